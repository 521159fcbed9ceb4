"""What is told by the shape of a spectrum and not by its brightness.

Each pixel is treated by itself, as a spectrum of the bands in the order of their wavelengths,
whatever their order in the image: two detectors may overlap. Differentiable. Axes: n images, c
bands, h height, w width, and k pixels.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import savgol_filter
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import WATER_VAPOUR
from torchgeo_ext.transforms._bands import Bands, band_wavelengths, wavelengths_for
from torchgeo_ext.transforms._base import Drawn, Images, ImageTransform, per_channel

#: Centres nearer than this, in micrometres, are the same.
_SAME = 1e-6
#: Deviations of so many units in the last place are no deviations.
_ROUNDING = 16


class _SpectrumTransform(ImageTransform):
    """A transform of spectra in the order of their wavelengths.

    A subclass implements :meth:`change`.

    Args:
        bands: Bands of the image, see :class:`SpectralResample`; by default the ``wavelengths`` of
            the sample tell.
    """

    def __init__(self, bands: Bands | None) -> None:
        super().__init__()
        self.bands = None if bands is None else band_wavelengths(bands)

    def change(self, spectra: Tensor, centres: tuple[float, ...]) -> Tensor:
        """Change spectra.

        Args:
            spectra: (n, c, h, w), from short to long waves.
            centres: (c,) micrometres, rising.

        Returns:
            (n, c, h, w).
        """
        raise NotImplementedError

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Sort bands, change spectra, and put bands back into their places."""
        own = None if self.bands is None else self.bands.centre
        name = type(self).__name__
        wavelengths = wavelengths_for(name, own, images.wavelengths, images.pixels)
        if not torch.equal(wavelengths, wavelengths[:1].expand_as(wavelengths)):
            raise BadInput(f'{name}: the images of this batch have different wavelengths.')
        order = wavelengths[0].argsort(stable=True)
        changed = self.change(images.pixels[:, order], tuple(wavelengths[0, order].tolist()))
        return dataclasses.replace(images, pixels=changed[:, order.argsort()])


class ContinuumRemoval(_SpectrumTransform):
    """Divide spectra by their convex hull, so that absorptions remain: 1 where there is none.

    Clark, R. N. & Roush, T. L. (1984). Reflectance spectroscopy: quantitative analysis techniques
    for remote sensing applications. https://doi.org/10.1029/JB089iB07p06329

    Args:
        bands: Bands of the image: a sensor or its name, what :func:`read_wavelengths` gives, or
            centre wavelengths in micrometres. By default the ``wavelengths`` of the sample tell.
    """

    def __init__(self, bands: Bands | None = None) -> None:
        super().__init__(bands)

    def change(self, spectra: Tensor, centres: tuple[float, ...]) -> Tensor:
        """Divide by the hull; 0 where that is not positive."""
        along = torch.tensor(centres, dtype=spectra.dtype, device=spectra.device)
        hull = upper_hull(spectra.movedim(1, -1), along).movedim(-1, 1)
        shown = hull > 0
        return torch.where(shown, spectra / torch.where(shown, hull, 1), 0)


def upper_hull(spectra: Tensor, centres: Tensor) -> Tensor:
    """Compute the upper convex hull of spectra, as a tight string over them.

    Args:
        spectra: (..., c) values.
        centres: (c,) rising.

    Returns:
        (..., c) values of the hull.
    """
    values = spectra.reshape(-1, spectra.shape[-1])
    left, right = _hull_ends(values.detach(), centres)
    start, end = values.gather(1, left), values.gather(1, right)
    share = (centres - centres[left]) / (centres[right] - centres[left]).clamp(min=_SAME)
    return (start + (end - start) * share).reshape(spectra.shape)


@torch.no_grad()
def _hull_ends(values: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Find, for each band of each spectrum (k, c), the corners of the hull on both sides of it.

    From a corner the next one is where the line to it is steepest, for all spectra at once.
    """
    count, bands = values.shape
    places = torch.arange(bands, device=values.device)
    left = torch.zeros(count, bands, dtype=torch.long, device=values.device)
    right = torch.full_like(left, bands - 1)
    corner = torch.zeros(count, 1, dtype=torch.long, device=values.device)
    while (corner < bands - 1).any():
        rise = values - values.gather(1, corner)
        run = (centres - centres[corner]).clamp(min=_SAME)
        slope = torch.where(places > corner, rise / run, -torch.inf)
        # the last one of those in a line
        following = bands - 1 - slope.flip(1).argmax(1, keepdim=True)
        following = torch.where(corner < bands - 1, following, corner)
        between = (places >= corner) & (places <= following)
        left = torch.where(between, corner, left)
        right = torch.where(between, following, right)
        corner = following
    return left, right


class SpectralDerivative(_SpectrumTransform):
    """Replace spectra by their derivative with respect to wavelength, per micrometre.

    Central differences of second order, for bands at any distance; one-sided at the ends.

    Args:
        order: How often to derive.
        bands: Bands of the image, see :class:`ContinuumRemoval`.

    Raises:
        BadParameter: If ``order`` is below 1.
    """

    def __init__(self, order: int = 1, bands: Bands | None = None) -> None:
        super().__init__(bands)
        if order < 1:
            raise BadParameter(f'order is {order}; it must be at least 1.')
        self.order = order

    def change(self, spectra: Tensor, centres: tuple[float, ...]) -> Tensor:
        """Derive."""
        return _mixed(spectra, _derivatives(centres, self.order))


class SavitzkyGolay(_SpectrumTransform):
    """Smooth spectra, or derive smooth ones, by polynomials fitted to the bands around each band.

    Savitzky, A. & Golay, M. J. E. (1964). Smoothing and differentiation of data by simplified least
    squares procedures. https://doi.org/10.1021/ac60214a047. Bands count as equally far from each
    other. At the ends the polynomial of the outer window goes on.

    Args:
        window: Number of bands of a window, odd.
        degree: Of the polynomials.
        derivative: How often to derive, per micrometre at the mean distance of the bands.
        bands: Bands of the image, see :class:`ContinuumRemoval`.

    Raises:
        BadParameter: If these do not go together.
    """

    def __init__(
        self, window: int = 7, degree: int = 2, derivative: int = 0, bands: Bands | None = None
    ) -> None:
        super().__init__(bands)
        if window % 2 == 0 or not 0 <= derivative <= degree < window:
            raise BadParameter(
                f'window is {window}, degree {degree} and derivative {derivative}; window must be '
                'odd and greater than degree, derivative from 0 to degree.'
            )
        self.window = window
        self.degree = degree
        self.derivative = derivative

    def change(self, spectra: Tensor, centres: tuple[float, ...]) -> Tensor:
        """Smooth."""
        if len(centres) < self.window:
            raise BadInput(
                f'SavitzkyGolay has a window of {self.window} bands, but the image has only '
                f'{len(centres)}.',
                'Choose a smaller window.',
            )
        return _mixed(spectra, _smoothing(centres, self.window, self.degree, self.derivative))


class StandardNormalVariate(ImageTransform):
    """Bring each spectrum to mean 0 and standard deviation 1 over its bands.

    Barnes, R. J., Dhanoa, M. S. & Lister, S. J. (1989). Standard normal variate transformation and
    de-trending of near-infrared diffuse reflectance spectra.
    https://doi.org/10.1366/0003702894202201. Flat spectra become 0.
    """

    def __init__(self) -> None:
        super().__init__()

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Standardise along the bands."""
        level = images.pixels.mean(dim=1, keepdim=True)
        centred = images.pixels - level
        variance = (centred**2).mean(dim=1, keepdim=True)
        # smaller ones are rounding, and a root has no slope at 0
        varied = variance > (_ROUNDING * torch.finfo(level.dtype).eps * level) ** 2
        spread = torch.where(varied, variance, 1).sqrt()
        return dataclasses.replace(images, pixels=torch.where(varied, centred / spread, 0))


class ScatterCorrection(ImageTransform):
    """Bring spectra to the level and slope of a reference (multiplicative scatter correction).

    A spectrum x is fitted as a + b r with the reference r, and becomes (x - a) / b. Martens, H.,
    Jensen, S. Å. & Geladi, P. (1983). Multivariate linearity transformations for near-infrared
    reflectance spectroscopy. Spectra that have nothing of the reference become 0.

    Args:
        reference: A number for each band; by default the mean spectrum of each image.
    """

    def __init__(self, reference: Sequence[float] | None = None) -> None:
        super().__init__()
        self.reference = reference

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Fit and correct."""
        pixels = images.pixels
        reference = (
            images.means()
            if self.reference is None
            else per_channel('reference', list(self.reference), pixels)[None].expand(
                1, pixels.shape[1], 1, 1
            )
        )
        level, base = pixels.mean(dim=1, keepdim=True), reference.mean(dim=1, keepdim=True)
        varied = reference - base
        power = (varied**2).sum(dim=1, keepdim=True)
        slope = ((pixels - level) * varied).sum(dim=1, keepdim=True) / torch.where(
            power > 0, power, 1
        )
        fits = slope.abs() > torch.finfo(pixels.dtype).eps
        corrected = (pixels - level) / torch.where(fits, slope, 1) + base
        return dataclasses.replace(images, pixels=torch.where(fits, corrected, 0))


class MaskBands(ImageTransform):
    """Fill bands that say nothing of the ground: those in ranges of wavelengths, and bad ones.

    The image keeps its bands, as networks for all bands of a sensor want;
    :class:`SelectByWavelength` takes bands away.

    Args:
        ranges: Ranges (low, high) in micrometres; by default those of water vapour.
        fill: Value of the bands.
        bands: Bands of the image, see :class:`ContinuumRemoval`; those marked as bad are filled
            too.
    """

    def __init__(
        self,
        ranges: Sequence[tuple[float, float]] = WATER_VAPOUR,
        fill: float = 0.0,
        bands: Bands | None = None,
    ) -> None:
        super().__init__()
        self.ranges = ranges
        self.fill = fill
        self.bands = None if bands is None else band_wavelengths(bands)

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Fill."""
        own = None if self.bands is None else self.bands.centre
        centres = wavelengths_for('MaskBands', own, images.wavelengths, images.pixels)
        hidden = torch.zeros_like(centres, dtype=torch.bool)
        for low, high in self.ranges:
            hidden |= (centres >= low) & (centres <= high)
        if self.bands is not None:
            hidden |= ~torch.tensor(self.bands.good, device=hidden.device)
        pixels = torch.where(hidden[..., None, None], self.fill, images.pixels)
        return dataclasses.replace(images, pixels=pixels)


def _mixed(spectra: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum('dc,nchw->ndhw', matrix.to(spectra), spectra)


@functools.lru_cache(maxsize=8)
def _derivatives(centres: tuple[float, ...], order: int) -> Tensor:
    """Matrix (c, c) that derives spectra."""
    along = np.array(centres)
    if len(along) < 2 or np.diff(along).min() < _SAME:
        raise BadInput(
            'SpectralDerivative needs at least two bands, all of different wavelengths.',
            'Drop one of two bands at the same wavelength with SelectByWavelength.',
        )
    matrix: NDArray[np.float64] = np.eye(len(along))
    for _ in range(order):
        matrix = np.asarray(np.gradient(matrix, along, axis=0))
    return torch.from_numpy(matrix)


@functools.lru_cache(maxsize=8)
def _smoothing(centres: tuple[float, ...], window: int, degree: int, derivative: int) -> Tensor:
    """Matrix (c, c) that smooths spectra, by what the filter makes of each single band."""
    distance = (centres[-1] - centres[0]) / (len(centres) - 1)
    matrix = savgol_filter(
        np.eye(len(centres)), window, degree, deriv=derivative, delta=distance, axis=0
    )
    return torch.from_numpy(matrix)
