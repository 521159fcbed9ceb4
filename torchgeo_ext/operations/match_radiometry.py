"""Give an image the brightness of another one of the same place."""

import json
from typing import Annotated, Literal, NamedTuple

from torchgeo_ext.operations._checks import overlap, same_length
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Label,
    Layer,
    Raster,
    RasterOut,
    bands_of,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent


class MatchRadiometryResult(NamedTuple):
    """Result of :func:`match_radiometry`.

    Attributes:
        lines: Gain and offset of each band and its correlation with the reference in the pixels
            used, as JSON; of a histogram's curve from end to end.
        pixels: Pixels the mapping was found from.
        difference: Mean absolute difference to the reference over those pixels and all bands,
            before.
        remaining: The same afterwards.
    """

    output: str
    lines: str
    pixels: int
    difference: float
    remaining: float


@operation(
    label='Match radiometry',
    group='Preparation',
    tags=('brightness', 'histogram', 'normalisation', 'normalization', 'pseudo-invariant', 'irmad'),
    checks=(overlap('reference', 'image'), same_length('reference_bands', 'image_bands')),
)
def match_radiometry(
    reference: Raster,
    image: Raster,
    output: Annotated[RasterOut, Label('Matched image')],
    *,
    method: Literal['invariant', 'histogram', 'mean_std'] = 'invariant',
    reference_bands: Annotated[list[int], bands_of('reference')] | None = None,
    image_bands: Annotated[list[int], bands_of('image')] | None = None,
    mask: Layer | None = None,
    confidence: Annotated[float, within(0.5, 0.9999), ADVANCED] = 0.95,
    regularisation: Annotated[float, within(0.0, 1.0), ADVANCED] = 0.0,
    progress: Progress = silent,
) -> MatchRadiometryResult:
    """Bring the pixel values of an image to those of another one of the same place.

    For models that expect both dates to look alike, and for mosaics. The mapping of each band is
    found where both images are and applied to the whole image, whose grid and data type stay.

    Args:
        reference: Image whose brightness is wanted.
        image: Image to change.
        output: Changed image to write.
        method: invariant finds pixels that did not change (IR-MAD) and fits a line to them, so that
            real change has no influence. histogram makes the distributions equal, mean_std only
            their means and standard deviations; both take real change for brightness.
        reference_bands: Numbers of the bands of the reference that belong to those of the image.
            Left out, all are used in their order.
        image_bands: Numbers of the bands of the image to change and write, in that order.
        mask: Raster (zero is outside) or polygons; pixels outside do not count, but are changed.
        confidence: For invariant: how probable it must be that a pixel did not change.
        regularisation: For invariant with bands that depend on each other, such as many narrow
            ones: added to the diagonal of their correlation matrices, for example 0.001.
        progress: Told how far the work is.

    Raises:
        BadInput: If too few pixels are valid in both images, or did not change.
    """
    from torchgeo_ext.inference import MaskSource
    from torchgeo_ext.inference.pairs import PixelPairs
    from torchgeo_ext.inference.radiometry import match
    from torchgeo_ext.inference.rewrite import rewrite
    from torchgeo_ext.operations._change import common_grid, plain_source
    from torchgeo_ext.operations._predict import Image

    images = (Image(reference, reference_bands, 'reference'), Image(image, image_bands, 'image'))
    grid = common_grid(*images, None)
    fixed, changing = (plain_source(each, 'bilinear') for each in images)
    wanted = None if mask is None else MaskSource(str(mask))
    with PixelPairs(fixed, changing, grid, wanted) as pairs:
        found = match(
            pairs,
            method,
            confidence=confidence,
            regularisation=regularisation,
            progress=portion(progress, 0.0, 0.7),
        )
    tags = {'radiometry_matched_to': str(reference), 'radiometry_method': method}
    rewrite(changing, output, change=found.mapping, tags=tags, progress=portion(progress, 0.7, 1.0))
    return MatchRadiometryResult(
        output=str(output),
        lines=json.dumps(
            [{'gain': gain, 'offset': offset} for gain, offset in found.mapping.lines]
        ),
        pixels=found.pixels,
        difference=found.difference,
        remaining=found.remaining,
    )
