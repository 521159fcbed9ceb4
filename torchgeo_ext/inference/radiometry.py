"""The pixel values of an image brought to those of another one of the same place.

Three ways to find the mapping of each band, all from pixels that are valid in both images:

- equal histograms, which also follows curved relations but takes change for brightness;
- equal mean and standard deviation;
- pixels that did not change, found by IR-MAD, and a line through them that treats the errors of
  both images alike: Canty, M. J. & Nielsen, A. A. (2008). Automatic radiometric normalization of
  multitemporal satellite imagery with the iteratively re-weighted MAD transformation. Remote
  Sensing of Environment 112(3), 1025-1036. https://doi.org/10.1016/j.rse.2007.07.013

Arrays of pixels are (b, n): the c bands of the reference, then the c bands of the image (b = 2c).
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.irmad import Irmad, fit_irmad
from torchgeo_ext.inference.moments import Floats, Moments, pieces
from torchgeo_ext.inference.pairs import PixelPairs, check_moments
from torchgeo_ext.progress import Progress, portion, silent

logger = logging.getLogger(__name__)

Method = Literal['histogram', 'mean_std', 'invariant']

#: Pixels from which quantiles are taken; their error is below a tenth of a percent.
_SAMPLE = 2**21
#: Knots of the curve from histogram to histogram.
_KNOTS = 1001
#: A sample of pixels for the report is as large as so many blocks.
_SAMPLED_BLOCKS = 8
#: Correlation below which a line through invariant pixels has little to hold on to.
_RELATED = 0.7
#: Invariant pixels needed for each line.
_FEWEST = 100


@dataclass(frozen=True)
class Mapping:
    """From values of an image to those of a reference, band by band.

    Args:
        knots: (c, k) values of the image, rising.
        values: (c, k) values of the reference that belong to them. Between knots the mapping is
            linear, beyond them it goes on like the whole curve.
    """

    knots: Floats
    values: Floats

    @property
    def lines(self) -> list[tuple[float, float]]:
        """Gain and offset of each band, of the whole curve if it is not a line."""
        gains = (self.values[:, -1] - self.values[:, 0]) / (self.knots[:, -1] - self.knots[:, 0])
        offsets = self.values[:, 0] - gains * self.knots[:, 0]
        return [(float(g), float(o)) for g, o in zip(gains, offsets, strict=True)]

    def __call__(self, image: NDArray[Any]) -> Floats:
        """Map pixels (c, ...) of the image."""
        mapped = np.empty(image.shape)
        bands = zip(image, self.knots, self.values, self.lines, strict=True)
        for band, (pixels, knots, values, (gain, _)) in enumerate(bands):
            inside = np.clip(pixels, knots[0], knots[-1])
            mapped[band] = np.interp(inside, knots, values) + gain * (pixels - inside)
        return mapped


class Matched(NamedTuple):
    """What came of comparing an image with a reference.

    Args:
        mapping: From values of the image to those of the reference.
        correlations: How alike the bands (c,) of image and reference are in these pixels.
        pixels: Pixels it was found from.
        difference: Mean absolute difference over all bands of (some of) these pixels, before ...
        remaining: ... and after the mapping.
    """

    mapping: Mapping
    correlations: Floats
    pixels: int
    difference: float
    remaining: float


def match(
    pairs: PixelPairs,
    method: Method = 'invariant',
    *,
    confidence: float = 0.95,
    regularisation: float = 0.0,
    progress: Progress = silent,
) -> Matched:
    """Find the mapping from the second image of some pairs to the first.

    Args:
        pairs: Pixels of the reference, then of the image.
        method: ``histogram``, ``mean_std`` or ``invariant`` (see above).
        confidence: For ``invariant``: how probable it must be that a pixel did not change.
        regularisation: For ``invariant``: see :func:`~torchgeo_ext.inference.irmad.fit_irmad`.
        progress: Told how far it is.

    Raises:
        BadInput: If there are too few (invariant) pixels, or bands are constant.
    """
    if method == 'histogram':
        sample = _sample(pairs, progress)
        moments = Moments(len(pairs.names))
        moments.add(sample)
        check_moments(moments, pairs.names)
        return _matched(_curves(sample), moments, sample)
    fitted = None
    if method == 'invariant':
        fitted = fit_irmad(
            pairs, pairs.names, regularisation=regularisation, progress=portion(progress, 0, 0.8)
        )
    moments, sample = _compare(pairs, fitted, confidence, portion(progress, 0.8, 1))
    if fitted is not None and moments.weight < _FEWEST:
        raise BadInput(
            f'Only {moments.weight:.0f} pixels did not change with a probability of '
            f'{confidence:g}.',
            'Lower the confidence, mask clouds, or use another method.',
        )
    check_moments(moments, pairs.names)
    if fitted is None:
        return _matched(_along(_equal_spread(moments), moments), moments, sample)
    for band, correlation in enumerate(_correlations(moments), 1):
        if correlation < _RELATED:
            logger.warning(
                'Where nothing changed, band %d of image and reference have a correlation of only '
                '%.2f, so its line is uncertain; mean_std or histogram may do better',
                band,
                correlation,
            )
    lines = _orthogonal(moments)
    return _matched(_along(lines, moments), moments, sample)


def _compare(
    pairs: PixelPairs, fitted: Irmad | None, confidence: float, progress: Progress
) -> tuple[Moments, Floats]:
    """Gather the moments and a sample of all pixels, or of those that did not change."""
    moments, kept = Moments(len(pairs.names)), []
    step = max(1, len(pairs) // _SAMPLED_BLOCKS)
    for index, block in enumerate(pairs):
        progress(index / len(pairs), 'Comparing brightness')
        for pixels in pieces(block):
            chosen = pixels
            if fitted is not None:
                chosen = pixels[:, fitted.no_change(pixels) >= confidence]
            moments.add(chosen)
            kept.append(chosen[:, ::step])
    return moments, np.concatenate(kept, 1)


def _sample(pairs: PixelPairs, progress: Progress) -> Floats:
    """Take every second, fourth ... pixel, so that their number stays bounded."""
    parts, step, held = [], 1, 0
    for index, block in enumerate(pairs):
        progress(index / len(pairs), 'Comparing histograms')
        parts.append(block[:, ::step])
        held += parts[-1].shape[1]
        while held > _SAMPLE:
            step *= 2
            parts = [part[:, ::2] for part in parts]
            held = sum(part.shape[1] for part in parts)
    return np.concatenate(parts, 1).astype(np.float64)


def _curves(sample: Floats) -> Mapping:
    reference, image = np.split(sample, 2)
    shares = np.linspace(0, 1, _KNOTS)
    knots, values = (np.quantile(date, shares, axis=1).T for date in (image, reference))
    return Mapping(knots, values)


def _orthogonal(moments: Moments) -> Floats:
    """Lines (c, 2) that are nearest to the pixels, measured at right angles."""
    bands = len(moments.mean) // 2
    covariance = moments.covariance
    reference, image = np.diag(covariance)[:bands], np.diag(covariance)[bands:]
    across = np.diag(covariance[:bands, bands:])
    if (across <= 0).any():
        raise BadInput(
            f'Band {int((across <= 0).argmax()) + 1} of image and reference have nothing in common '
            'where nothing changed.',
            'Choose bands that show the same part of the spectrum, in the same order.',
        )
    difference = reference - image
    gain = (difference + np.sqrt(difference**2 + 4 * across**2)) / (2 * across)
    return np.column_stack([gain, moments.mean[:bands] - gain * moments.mean[bands:]])


def _equal_spread(moments: Moments) -> Floats:
    bands = len(moments.mean) // 2
    gain = np.sqrt(moments.variance[:bands] / moments.variance[bands:])
    return np.column_stack([gain, moments.mean[:bands] - gain * moments.mean[bands:]])


def _along(lines: Floats, moments: Moments) -> Mapping:
    bands = len(lines)
    spread = np.sqrt(moments.variance[bands:])
    knots = moments.mean[bands:, None] + spread[:, None] * np.array([-1.0, 1.0])
    return Mapping(knots, lines[:, :1] * knots + lines[:, 1:])


def _correlations(moments: Moments) -> Floats:
    bands = len(moments.mean) // 2
    across = np.diag(moments.covariance[:bands, bands:])
    correlations: Floats = across / np.sqrt(moments.variance[:bands] * moments.variance[bands:])
    return correlations


def _matched(mapping: Mapping, moments: Moments, sample: Floats) -> Matched:
    reference, image = np.split(sample, 2)
    return Matched(
        mapping,
        _correlations(moments),
        round(moments.weight),
        float(np.abs(reference - image).mean()),
        float(np.abs(reference - mapping(image)).mean()),
    )
