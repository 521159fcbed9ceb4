"""From the bands of one sensor to those of another, and the choice of bands by wavelength."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import BandWavelengths
from torchgeo_ext.transforms._bands import (
    Bands,
    band_wavelengths,
    set_wavelengths,
    shared_wavelengths,
)
from torchgeo_ext.transforms._base import Sample, SampleTransform, fold
from torchgeo_ext.transforms._response import response_matrix

log = logging.getLogger(__name__)

#: Share of a response that must lie where the source has measured.
COVERED = 0.5


class SpectralResample(SampleTransform):
    """Turn images of one sensor into what another one would have seen.

    Each band is the integral of the spectrum, linear between the bands that were measured, times
    the Gaussian response of the band: an exact matrix, see
    :mod:`torchgeo_ext.transforms._response`. Differentiable. Bands may be in any order and overlap,
    as those of two detectors do; bad ones are not used. Invalid pixels become 0.

    Example:
        >>> resample = SpectralResample('sentinel2a_l2a', 'enmap')
        >>> resample(torch.rand(224, 64, 64)).shape
        torch.Size([12, 64, 64])

    Args:
        target: Bands that are asked for: a sensor or its name, what :func:`read_wavelengths`
            gives, or centre wavelengths in micrometres.
        source: Bands of the image in the same form. By default the ``wavelengths`` of the sample
            tell, and their widths are guessed.
        fill: Value of bands that the source does not cover, which a warning names: less than half
            of their response lies where it has measured. None guesses them from the nearest
            measurements.

    Attributes:
        matrix: (target, source) weights in float64; None as long as the source is not known.
        coverage: (target,) share of each response that lies where the source has measured.

    Raises:
        BadParameter: If a band to compute has no known wavelength, or no source band is of use.
    """

    matrix: Tensor | None
    coverage: Tensor | None

    def __init__(
        self, target: Bands, source: Bands | None = None, fill: float | None = 0.0
    ) -> None:
        super().__init__()
        self.target = band_wavelengths(target)
        self.source = None if source is None else band_wavelengths(source)
        self.fill = fill
        self._known: dict[tuple[float, ...], tuple[Tensor, Tensor]] = {}
        matrix, coverage = (None, None) if self.source is None else self._weights(self.source)
        self.register_buffer('matrix', matrix, persistent=False)
        self.register_buffer('coverage', coverage, persistent=False)

    def transform(self, sample: Sample) -> Sample:
        """Replace image and wavelengths.

        Raises:
            BadInput: If the source is not known, or has another number of bands than the image.
        """
        matrix, coverage = self._for(sample)
        images = fold(sample)
        if matrix.shape[1] != images.pixels.shape[1]:
            raise BadInput(
                f'SpectralResample was given {matrix.shape[1]} source bands, but the image has '
                f'{images.pixels.shape[1]}.',
                'Name the bands of the image in its order.',
            )
        image = sample['image']
        pixels = torch.einsum('ts,nshw->nthw', matrix.to(image), images.pixels)
        if self.fill is not None:
            covered = (coverage >= COVERED).to(image.device)[:, None, None]
            pixels = torch.where(covered, pixels, self.fill)
        if images.valid is not None:
            pixels = torch.where(images.valid, pixels, 0)
        sample['image'] = pixels.reshape(*image.shape[:-3], *pixels.shape[1:])
        set_wavelengths(sample, self.target.centre)
        return sample

    def _for(self, sample: Sample) -> tuple[Tensor, Tensor]:
        if self.matrix is not None and self.coverage is not None:
            return self.matrix, self.coverage
        centres = shared_wavelengths('SpectralResample', sample)
        if centres not in self._known:
            self._known[centres] = self._weights(BandWavelengths(centres))
        return self._known[centres]

    def _weights(self, source: BandWavelengths) -> tuple[Tensor, Tensor]:
        weights, covered = response_matrix(source, self.target)
        warn_uncovered(source, self.target, covered.tolist())
        return torch.from_numpy(weights), torch.from_numpy(covered)


def warn_uncovered(
    source: BandWavelengths, target: BandWavelengths, coverage: Sequence[float]
) -> list[int]:
    """Log a warning that names the bands which the source does not cover.

    Args:
        source: Bands that were measured.
        target: Bands that are asked for.
        coverage: Share of the response of each of these that lies where the source has measured.

    Returns:
        Positions of the bands that are not covered.
    """
    lacking = [i for i, share in enumerate(coverage) if share < COVERED]
    if lacking:
        log.warning(
            'These bands lie where %s has not measured: %s.',
            source.source or 'the image',
            target.describe(lacking),
        )
    return lacking


class SelectByWavelength(SampleTransform):
    """Keep the bands nearest to some wavelengths, or all within some ranges, and drop the others.

    Args:
        centres: Wavelengths in micrometres: one band for each, in this order.
        ranges: Ranges (low, high) in micrometres: all bands whose centre lies in one of them.
        without: Ranges whose bands are dropped, for instance
            :data:`torchgeo_ext.sensors.WATER_VAPOUR`.
        reach: How far, in micrometres, the nearest band may be from one of the ``centres``.
        source: Bands of the image, see :class:`SpectralResample`; those marked as bad are dropped.
            By default the ``wavelengths`` of the sample tell.

    Raises:
        BadParameter: If both ``centres`` and ``ranges`` are given.
        BadInput: If no band is near enough, or none is left.
    """

    def __init__(
        self,
        centres: Sequence[float] | None = None,
        ranges: Sequence[tuple[float, float]] | None = None,
        without: Sequence[tuple[float, float]] = (),
        reach: float = 0.02,
        source: Bands | None = None,
    ) -> None:
        super().__init__()
        if centres is not None and ranges is not None:
            raise BadParameter('Give centres or ranges, not both.')
        self.centres = centres
        self.ranges = ranges
        self.without = without
        self.reach = reach
        self.source = None if source is None else band_wavelengths(source)

    def transform(self, sample: Sample) -> Sample:
        """Keep some channels."""
        source = self.source or BandWavelengths(shared_wavelengths('SelectByWavelength', sample))
        channels = sample['image'].shape[-3]
        if len(source) != channels:
            raise BadInput(
                f'SelectByWavelength was given {len(source)} bands, but the image has {channels}.'
            )
        kept = self.positions(source)
        sample['image'] = sample['image'][..., kept, :, :]
        set_wavelengths(sample, [source.centre[i] for i in kept])
        return sample

    def positions(self, source: BandWavelengths) -> list[int]:
        """Positions, from 0, of the bands that are kept.

        Raises:
            BadInput: If no band is near enough, or none is left.
        """
        usable = source.without(self.without)
        left = [i for i in usable.order if usable.good[i]]
        if self.centres is not None:
            return [self._nearest(centre, source, left) for centre in self.centres]
        kept = sorted(i for i in left if self._within(source.centre[i]))
        if not kept:
            raise BadInput(
                f'No good band of {source.source or "the image"} is within {self.ranges}.'
            )
        return kept

    def _within(self, centre: float) -> bool:
        return self.ranges is None or any(low <= centre <= high for low, high in self.ranges)

    def _nearest(self, wanted: float, source: BandWavelengths, left: Sequence[int]) -> int:
        best = min(left, key=lambda i: abs(source.centre[i] - wanted), default=None)
        if best is None or abs(source.centre[best] - wanted) > self.reach:
            raise BadInput(
                f'No good band is within {1000 * self.reach:g} nm of {1000 * wanted:g} nm.',
                'Choose another wavelength, or a larger reach.',
            )
        return best
