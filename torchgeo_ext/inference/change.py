"""From two rasters to a map of change without a trained model.

IR-MAD and CVA give every pixel a magnitude. Statistics are gathered by going through all pixels a
few times; then the pixels run through :func:`~torchgeo_ext.inference.predict.predict_raster` like
those of any other model.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.cva import Cva, fit_cva
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.irmad import Irmad, fit_irmad
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.moments import pieces
from torchgeo_ext.inference.otsu import Histogram
from torchgeo_ext.inference.outputs import RasterClass, RasterOutput
from torchgeo_ext.inference.pairs import PixelPairs, window_size
from torchgeo_ext.inference.predict import predict_raster
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.progress import Progress, portion, silent

logger = logging.getLogger(__name__)

UNCHANGED = RasterClass(0, 'unchanged', '#f0f0f0')
CHANGED = RasterClass(1, 'changed', '#d7191c')

METHODS = ('irmad', 'cva')
#: IR-MAD presumes that most of the scene did not change. When more than this share differs
#: significantly, season, weather and sensor are probably among the reasons.
_MOST = 0.25


@dataclass(frozen=True)
class Method:
    """A way to find change without training.

    Args:
        name: ``irmad`` or ``cva``.
        threshold: Magnitude from which on a pixel is changed; found if not given.
        threshold_by: How it is found. ``significance`` (IR-MAD only): magnitudes that a share
            ``significance`` of unchanged pixels reaches. ``otsu``: what separates strong from weak
            magnitudes best. ``automatic``: by significance unless more than a quarter of the
            pixels would be changed, then the larger one of both; for CVA Otsu's.
        significance: Share of unchanged pixels that may be called changed.
        regularisation: See :func:`~torchgeo_ext.inference.irmad.fit_irmad`.
        consistent: See :func:`~torchgeo_ext.inference.irmad.fit_irmad`.
        iterations: At most so many of IR-MAD.

    Raises:
        BadParameter: If there is no such method, or CVA is asked for significance.
    """

    name: str = 'irmad'
    threshold: float | None = None
    threshold_by: Literal['automatic', 'significance', 'otsu'] = 'automatic'
    significance: float = 1e-4
    regularisation: float = 0.0
    consistent: bool = True
    iterations: int = 100

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise BadParameter(f'{self.name!r} is no method.', f'Choose {" or ".join(METHODS)}.')
        if self.name == 'cva' and self.threshold_by == 'significance':
            raise BadParameter(
                'threshold_by is significance, but cva knows no probabilities.',
                'Take otsu, give a threshold, or choose irmad.',
            )


@dataclass(frozen=True)
class Change:
    """What was found.

    Args:
        counts: Unchanged and changed pixels by their value, 0 and 1.
        threshold: Magnitude from which on a pixel was taken for changed.
        strongest: Magnitude that 98 % of the pixels do not exceed.
        iterations: How many IR-MAD took; 0 for CVA.
    """

    counts: Mapping[int, int]
    threshold: float
    strongest: float
    iterations: int


def find_change(
    method: Method,
    before: RasterSource,
    after: RasterSource,
    grid: Grid,
    outputs: Mapping[str, str | Path],
    *,
    mask: MaskSource | None = None,
    tile_size: int = 0,
    progress: Progress = silent,
) -> Change:
    """Find change between two dates and write rasters.

    Args:
        method: How.
        before: The earlier date.
        after: The later date, with as many bands; for CVA in the same order.
        grid: The grid of the outputs, on which both dates are read.
        outputs: Paths by what to write: ``output`` (0 unchanged, 1 changed), ``magnitude``,
            ``probabilities`` (of change; IR-MAD only).
        mask: Where to look; the rest becomes nodata and has no influence.
        tile_size: Height and width of tiles in pixels; 0 chooses.
        progress: Told how far the work is.

    Returns:
        Numbers.

    Raises:
        BadParameter: If CVA is asked for probabilities, or outputs cannot be written.
        BadInput: If the dates do not go together or their pixels are no use.
    """
    if method.name == 'cva' and 'probabilities' in outputs:
        raise BadParameter(
            'probabilities: cva gives none.', 'Ask for magnitude instead, or choose irmad.'
        )
    with PixelPairs(before, after, grid, mask) as pairs:
        model = _fit(method, pairs, portion(progress, 0, 0.6))
        histogram = _magnitudes(model, pairs, portion(progress, 0.6, 0.7))
    threshold = _threshold(method, model, histogram)
    done = predict_raster(
        model,
        (before, after),
        grid,
        _rasters(method, outputs, threshold),
        tile_size=tile_size or window_size(len(model.mean) // 2),
        merge='crop',
        device='cpu',  # float64, which not every accelerator has
        mask=mask,
        progress=portion(progress, 0.7, 1),
    )
    return Change(
        counts=done.counts,
        threshold=threshold,
        strongest=histogram.quantile(0.98),
        iterations=model.iterations if isinstance(model, Irmad) else 0,
    )


def _fit(method: Method, pairs: PixelPairs, progress: Progress) -> Irmad | Cva:
    if method.name == 'cva':
        return fit_cva(pairs, pairs.names, progress)
    return fit_irmad(
        pairs,
        pairs.names,
        iterations=method.iterations,
        regularisation=method.regularisation,
        consistent=method.consistent,
        progress=progress,
    )


def _magnitudes(model: Irmad | Cva, pairs: PixelPairs, progress: Progress) -> Histogram:
    histogram = Histogram()
    for index, block in enumerate(pairs):
        progress(index / len(pairs), 'Looking for a threshold')
        for pixels in pieces(block):
            histogram.add(model.magnitude(pixels))
    return histogram


def _threshold(method: Method, model: Irmad | Cva, histogram: Histogram) -> float:
    if method.threshold is not None:
        return method.threshold
    if isinstance(model, Cva) or method.threshold_by == 'otsu':
        return histogram.otsu()
    significant = model.threshold(method.significance)
    share = histogram.share_from(significant)
    if method.threshold_by == 'significance' or share <= _MOST:
        return significant
    logger.warning(
        'irmad: %.0f %% of the pixels differ significantly, so only the strongest change is '
        'reported. For all of it choose threshold_by significance; a mask that leaves out large '
        'unchanging parts such as lakes, or what changes anyway such as fields, may help.',
        100 * share,
    )
    return max(significant, histogram.otsu())


def _rasters(
    method: Method, outputs: Mapping[str, str | Path], threshold: float
) -> list[RasterOutput]:
    tags = {'model': method.name, 'threshold': f'{threshold:.6g}'}
    made = []
    for name, path in outputs.items():
        if name == 'output':
            classes = (UNCHANGED, CHANGED)
            made.append(
                RasterOutput(path, 'threshold', classes, threshold=threshold, band=1, tags=tags)
            )
        else:
            band, text = {
                'magnitude': (1, 'magnitude of change'),
                'probabilities': (2, 'probability of change'),
            }[name]
            made.append(
                RasterOutput(
                    path, 'values', band=band, descriptions=[text], tags=tags, argument=name
                )
            )
    return made
