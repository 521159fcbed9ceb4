"""What sensor, atmosphere and calibration do to a spectrum, drawn at random.

Quantities are in the units of the image (so calibrate first, see :class:`ToPhysical`), wavelengths
in micrometres. Bands are given once, or the ``wavelengths`` of the sample tell.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms._bands import Bands, centre_wavelengths, wavelengths_for
from torchgeo_ext.transforms._base import (
    Drawn,
    Images,
    ImageTransform,
    Sample,
    check_fraction,
    check_range,
    per_channel,
    uniform,
    with_valid,
)

#: Share of the swath, around its centre, in which :class:`MissingLines` takes nothing away.
_WHOLE = 0.2


class _SpectralTransform(ImageTransform):
    """A transform that asks for the wavelengths of the bands."""

    def __init__(self, bands: Bands | None, p: float, same_on_time: bool) -> None:
        super().__init__(p, same_on_time)
        self.bands = None if bands is None else centre_wavelengths(bands)

    def wavelengths(self, images: Images) -> Tensor:
        """(n, c) wavelengths in micrometres."""
        name = type(self).__name__
        return wavelengths_for(name, self.bands, images.wavelengths, images.pixels)


class BandDropout(_SpectralTransform):
    """Take bands away, as if the sensor did not have them; at least one is left.

    Args:
        rate: Probability that a band is dropped.
        reach: Neighbours up to this far from a dropped band, in micrometres, go with it, since
            adjacent bands tell nearly the same. With 0 no wavelengths are needed.
        fill: What dropped bands hold then: a number, one per band, or ``mean`` for the mean of the
            band over the image's valid pixels.
        bands: Bands of the image, see :class:`AppendIndices`.
        p: Probability that an image loses bands at all.
        same_on_time: Drop the same bands in all dates of a series.

    Raises:
        BadParameter: If ``rate`` or ``p`` is not from 0 to 1, or ``reach`` is negative.
    """

    def __init__(
        self,
        rate: float = 0.2,
        reach: float = 0.0,
        fill: float | Sequence[float] | Literal['mean'] = 0.0,
        bands: Bands | None = None,
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(bands, p, same_on_time)
        check_fraction('rate', rate)
        check_range('reach', (0, reach), 0)
        self.rate = rate
        self.reach = reach
        self.fill = fill

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw a number per band; those below ``rate`` are dropped."""
        return {'chance': torch.rand(count, images.pixels.shape[1])}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Fill the dropped bands."""
        chance = drawn['chance']
        dropped = chance < self.rate
        if self.reach:
            wavelengths = self.wavelengths(images)
            near = (wavelengths[:, :, None] - wavelengths[:, None]).abs() <= self.reach
            dropped = (near & dropped[:, None]).any(dim=2)
        spared = torch.zeros_like(dropped).scatter(1, chance.argmax(dim=1, keepdim=True), True)
        dropped &= ~(spared & dropped.all(dim=1, keepdim=True))
        pixels = torch.where(dropped[:, :, None, None], self._filling(images), images.pixels)
        return dataclasses.replace(images, pixels=pixels)

    def _filling(self, images: Images) -> Tensor:
        if self.fill == 'mean':
            return images.means()
        fill = self.fill if isinstance(self.fill, Sequence) else [self.fill]
        return per_channel('fill', [float(value) for value in fill], images.pixels)


class SpectralJitter(_SpectralTransform):
    """Distort the calibration: a gain and an offset per band that vary smoothly over wavelength.

    Both are Gaussian processes over wavelength with a squared-exponential covariance.

    Args:
        gain: Standard deviation of the gain around 1.
        offset: Standard deviation of the offset around 0, in units of the image.
        length: How far the distortion reaches, in micrometres: the correlation of two bands is
            exp(-(distance / length)² / 2). With 0 bands are independent and no wavelengths are
            needed.
        bands: Bands of the image, see :class:`AppendIndices`.
        p: Probability that an image is distorted.
        same_on_time: Distort all dates of a series alike.

    Raises:
        BadParameter: If a standard deviation or ``length`` is negative.
    """

    def __init__(
        self,
        gain: float = 0.05,
        offset: float = 0.01,
        length: float = 0.1,
        bands: Bands | None = None,
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(bands, p, same_on_time)
        for name, value in (('gain', gain), ('offset', offset), ('length', length)):
            check_range(name, (0, value), 0)
        self.gain = gain
        self.offset = offset
        self.length = length

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw white noise over the bands, for gain and offset."""
        return {'white': torch.randn(count, 2, images.pixels.shape[1])}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Multiply and add."""
        noise = drawn['white'].double()
        if self.length:
            noise = noise @ self._root(self.wavelengths(images).double())
        gain, offset = noise.to(images.pixels)[..., None, None].unbind(1)
        pixels = images.pixels * (1 + self.gain * gain) + self.offset * offset
        return dataclasses.replace(images, pixels=pixels)

    def _root(self, wavelengths: Tensor) -> Tensor:
        """(n, c, c) symmetric square root of the bands' correlation."""
        distance = wavelengths[:, :, None] - wavelengths[:, None]
        values, vectors = torch.linalg.eigh(torch.exp(-0.5 * (distance / self.length) ** 2))
        return (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT


class Haze(_SpectralTransform):
    """Add haze that is denser at short wavelengths.

    Each band becomes ρ t + a (1 - t) with the transmission t = exp(-τ), where the optical depth
    follows Ångström's law, τ = τ₀.₅₅ (λ / 0.55 µm)^-exponent: from large aerosols (exponent near 1)
    to molecules (Rayleigh, 4).

    Args:
        depth: Range of the optical depth τ₀.₅₅ at 0.55 µm.
        exponent: Range of the exponent.
        airlight: Range of a, the value of infinitely thick haze, in units of the image.
        bands: Bands of the image, see :class:`AppendIndices`.
        p: Probability that an image gets haze.
        same_on_time: Give all dates of a series the same haze.

    Raises:
        BadParameter: If a range is not one, or a depth is negative.
    """

    def __init__(
        self,
        depth: tuple[float, float] = (0.05, 0.5),
        exponent: tuple[float, float] = (1.0, 4.0),
        airlight: tuple[float, float] = (0.3, 0.6),
        bands: Bands | None = None,
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(bands, p, same_on_time)
        self.depth = check_range('depth', depth, 0)
        self.exponent = check_range('exponent', exponent, 0)
        self.airlight = check_range('airlight', airlight)

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw depth, exponent and airlight of each image."""
        ranges = {'depth': self.depth, 'exponent': self.exponent, 'airlight': self.airlight}
        return {name: uniform((count, 1), within) for name, within in ranges.items()}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Dim the ground and add the haze's own light."""
        wavelengths = self.wavelengths(images)
        depth = drawn['depth'] * (wavelengths / 0.55) ** -drawn['exponent']
        clear = torch.exp(-depth)[:, :, None, None]
        airlight = drawn['airlight'][:, :, None, None]
        return dataclasses.replace(images, pixels=images.pixels * clear + airlight * (1 - clear))


class SensorNoise(ImageTransform):
    """Add the noise of a detector: shot noise, which grows with the signal, and read noise.

    The variance at the signal x is (reference / SNR)² ((1 - read) x / reference + read).

    Args:
        snr: Range of the signal-to-noise ratio at ``reference``, drawn for each band.
        reference: Signal for which the SNR is stated, in units of the image.
        read: Share of read noise in the variance at ``reference``.
        p: Probability that an image gets noise.
        same_on_time: Use the same SNR in all dates of a series; their noise still differs.

    Raises:
        BadParameter: If ``snr`` is not a positive range, ``reference`` not positive or ``read`` not
            from 0 to 1.
    """

    def __init__(
        self,
        snr: tuple[float, float] = (50.0, 200.0),
        reference: float = 0.1,
        read: float = 0.5,
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(p, same_on_time)
        self.snr = check_range('snr', snr, 0)
        if self.snr[0] == 0 or reference <= 0:
            raise BadParameter(f'snr is {snr} and reference {reference}; both must be positive.')
        check_fraction('read', read)
        self.reference = reference
        self.read = read

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw a signal-to-noise ratio for each band."""
        return {'snr': uniform((count, images.pixels.shape[1], 1, 1), self.snr)}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Add noise."""
        pixels = images.pixels
        signal = pixels.detach().clamp(min=0) / self.reference
        deviation = self.reference / drawn['snr'] * (signal * (1 - self.read) + self.read).sqrt()
        return dataclasses.replace(images, pixels=pixels + deviation * torch.randn_like(pixels))


class Striping(ImageTransform):
    """Give every detector of a scanner a gain and an offset of its own.

    Args:
        gain: Standard deviation of the gain around 1.
        offset: Standard deviation of the offset around 0, in units of the image.
        detectors: Number of detectors that scan side by side, so that stripes repeat (16 for
            Landsat 4 to 7); None if each line has one of its own, as in push-broom scanners.
        lines: Whether a detector's line is a row or a column of the image.
        p: Probability that an image gets stripes.
        same_on_time: Stripe all dates of a series alike.

    Raises:
        BadParameter: If a standard deviation is negative or there are no detectors.
    """

    def __init__(
        self,
        gain: float = 0.01,
        offset: float = 0.002,
        detectors: int | None = 16,
        lines: Literal['rows', 'columns'] = 'rows',
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(p, same_on_time)
        check_range('gain', (0, gain), 0)
        check_range('offset', (0, offset), 0)
        if detectors is not None and detectors < 1:
            raise BadParameter(f'detectors is {detectors}; there must be at least 1.')
        self.gain = gain
        self.offset = offset
        self.detectors = detectors
        self.lines = lines

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw the errors of the detectors and which of them comes first."""
        size = images.pixels.shape[2 if self.lines == 'rows' else 3]
        detectors = self.detectors or size
        first = torch.randint(detectors, (count, 1))
        order = (torch.arange(size) + first) % detectors
        errors = torch.randn(count, 2, images.pixels.shape[1], detectors)
        return {'errors': errors.gather(3, order[:, None, None].expand(-1, *errors.shape[1:3], -1))}

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Multiply and add line by line."""
        gain, offset = drawn['errors'][..., None].unbind(1)
        if self.lines == 'columns':
            gain, offset = gain.mT, offset.mT
        pixels = images.pixels * (1 + self.gain * gain) + self.offset * offset
        return dataclasses.replace(images, pixels=pixels)


class MissingLines(ImageTransform):
    """Take away scan lines, as Landsat 7 does since its scan line corrector failed in 2003.

    Gaps return every ``period`` lines. Nothing is lost in the central fifth of the swath; from
    there gaps widen to its edges, so that 22 % of a scene are lost. Where in the swath the image
    lies is drawn. Missing pixels are marked in ``mask_valid``, which is added if there is none;
    labels stay. Figures: USGS,
    https://landsat.usgs.gov/how-do-landsat-7-etm-slc-data-products-compare-previous-landsat-7-data

    Args:
        lost: Share of the lines that is lost at the edges of the swath.
        period: Lines from one gap to the next.
        swath: Width of the swath in pixels.
        tilt: Range of the angle between gaps and rows, in degrees.
        fill: Value of missing pixels.
        p: Probability that an image loses lines.
        same_on_time: Take the same lines away in all dates of a series.

    Raises:
        BadParameter: If ``lost`` is not from 0 to 1, or ``period`` or ``swath`` not positive.
    """

    needs_sample: ClassVar[bool] = True

    def __init__(
        self,
        lost: float = 0.55,
        period: float = 32.0,
        swath: float = 6200.0,
        tilt: tuple[float, float] = (-12.0, -6.0),
        fill: float = 0.0,
        p: float = 0.5,
        same_on_time: bool = False,
    ) -> None:
        super().__init__(p, same_on_time)
        check_fraction('lost', lost)
        if min(period, swath) <= 0:
            raise BadParameter(f'period is {period} and swath {swath}; both must be positive.')
        self.lost = lost
        self.period = period
        self.swath = swath
        self.tilt = check_range('tilt', tilt, -90, 90)
        self.fill = fill

    def transform(self, sample: Sample) -> Sample:
        """Take lines away and mark them."""
        return super().transform(with_valid(sample))

    def draw(self, count: int, images: Images) -> Drawn:
        """Draw the place in the swath (from -1 to 1), the first line and the tilt."""
        return {
            'place': uniform((count, 1, 1), (-1, 1)),
            'first': uniform((count, 1, 1), (0, self.period)),
            'tilt': uniform((count, 1, 1), self.tilt) * math.pi / 180,
        }

    def apply_transform(self, images: Images, drawn: Drawn) -> Images:
        """Fill the gaps and mark them."""
        height, width = images.pixels.shape[2:]
        like = drawn['place']
        y = torch.arange(height, dtype=like.dtype, device=like.device)[:, None]
        x = torch.arange(width, dtype=like.dtype, device=like.device) - (width - 1) / 2
        sine, cosine = drawn['tilt'].sin(), drawn['tilt'].cos()
        across = drawn['place'] + 2 * (x * cosine + y * sine) / self.swath
        line = (drawn['first'] + y * cosine - x * sine) % self.period
        outward = ((across.abs() - _WHOLE) / (1 - _WHOLE)).clamp(0, 1)
        missing = (line < self.lost * self.period * outward)[:, None]
        return dataclasses.replace(
            images, pixels=images.pixels.masked_fill(missing, self.fill), valid=~missing
        )
