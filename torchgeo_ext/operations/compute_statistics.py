"""Compute statistics of the bands of images, and how often classes occur."""

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.operations._operation import (
    Extent,
    Label,
    Layer,
    Rasters,
    StrPath,
    bands_of,
    field_of,
    file_out,
    operation,
)
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torchgeo_ext.datasets._labels import Labels
    from torchgeo_ext.inference import Grid
    from torchgeo_ext.inference.statistics import BandStatistics


class ComputeStatisticsResult(NamedTuple):
    """Result of :func:`compute_statistics`.

    Attributes:
        bands: Number of bands.
        pixels: Number of pixels looked at, in all images together.
        valid_fraction: Share of their values, over all bands, that is valid.
        mean: Mean of each band, separated by commas, as create_bundle takes it.
        std: Standard deviation of each band, separated by commas.
    """

    output: str
    table: str | None
    bands: int
    pixels: int
    valid_fraction: float
    mean: str
    std: str


@operation(
    label='Compute statistics',
    group='Preparation',
    tags=('mean', 'standard deviation', 'quantile', 'histogram', 'normalisation', 'class balance'),
)
def compute_statistics(
    image: Rasters,
    output: Annotated[StrPath, file_out('json'), Label('Statistics')],
    *,
    bands: Annotated[list[int], bands_of('image')] | None = None,
    labels: Layer | None = None,
    class_field: Annotated[str, field_of('labels')] | None = None,
    extent: Extent | None = None,
    mask: Layer | None = None,
    quantiles: str = '0.02,0.25,0.5,0.75,0.98',
    table: Annotated[StrPath, file_out('csv')] | None = None,
    progress: Progress = silent,
) -> ComputeStatisticsResult:
    """Compute mean, standard deviation, range and quantiles of each band of one or more images.

    Images are read window by window, so that their size does not matter, and count as one sample;
    they need not have a common coordinate reference system. A pixel counts for each band in which
    it is valid. Mean and standard deviation are exact; quantiles are exact for whole numbers of up
    to 16 bits and within 0.1 % of the value for other numbers.

    Args:
        image: Images with the same bands.
        output: File to write (JSON), which data modules and Python programs read.
        bands: Numbers of the bands; all but transparency if left out.
        labels: Labels whose classes are to be counted: a raster of class numbers, or polygons.
        class_field: Field of the polygons with their class.
        extent: Part of the images that counts: xmin,ymin,xmax,ymax.
        mask: Pixels that count: a raster that is not 0 there, or polygons.
        quantiles: Shares between 0 and 1, separated by commas.
        table: The same figures as a table (CSV) to write.
        progress: Told how far the work is.

    Raises:
        BadInput: If the images do not have the same bands, or no pixel is valid.
    """
    from torchgeo_ext.inference import MaskSource, RasterSource
    from torchgeo_ext.inference.statistics import band_statistics
    from torchgeo_ext.staging import check_destination

    check_destination(output)
    shares = _shares(quantiles)
    paths = [image] if isinstance(image, str) or not isinstance(image, Sequence) else image
    placed = _inside(paths, extent)
    grids = [grid for _, grid in placed]
    counted = _labels(labels, class_field, grids, portion(progress, 0.0, 0.1)) if labels else None
    found = band_statistics(
        [RasterSource(path, bands=tuple(bands) if bands else None) for path, _ in placed],
        grids=grids,
        mask=MaskSource(str(mask)) if mask else None,
        labels=counted,
        quantiles=shares,
        progress=portion(progress, 0.1 if labels else 0.0, 1.0),
    )
    found.save(output)
    if table is not None:
        _write_table(table, found)
    first = found.bands[0]
    pixels = first.valid + first.missing
    return ComputeStatisticsResult(
        output=str(output),
        table=None if table is None else str(table),
        bands=len(found.bands),
        pixels=pixels,
        valid_fraction=sum(band.valid for band in found.bands) / (pixels * len(found.bands)),
        mean=_joined(found.mean),
        std=_joined(found.std),
    )


def _shares(quantiles: str) -> list[float]:
    try:
        shares = [float(word) for word in quantiles.split(',') if word.strip()]
    except ValueError:
        shares = [-1.0]
    if not all(0 <= share <= 1 for share in shares):
        raise BadParameter(
            f'quantiles is {quantiles!r}, but must be numbers between 0 and 1, separated by commas.'
        )
    return shares


def _inside(paths: Sequence[StrPath], extent: Any) -> 'list[tuple[str, Grid]]':
    """Give the images that reach into the extent, each with its part there."""
    from torchgeo_ext.operations._predict import choose_grid

    placed, outside = [], []
    for path in paths:
        try:
            placed.append((str(path), choose_grid(path, extent)))
        except BadParameter as error:
            outside.append(error)
    if not placed:
        raise outside[0]
    return placed


def _labels(
    path: StrPath, class_field: str | None, grids: 'Sequence[Grid]', progress: Progress
) -> 'Labels':
    from torchgeo_ext.datasets._labels import LabelOptions, open_labels

    return open_labels(path, grids, LabelOptions(class_field=class_field), progress=progress)


def _joined(numbers: Sequence[float]) -> str:
    return ','.join(f'{number:.9g}' for number in numbers)


def _write_table(path: StrPath, found: 'BandStatistics') -> None:
    from torchgeo_ext.staging import staged

    shares = sorted({share for band in found.bands for share in band.quantiles})
    heads = ['valid', 'missing', 'mean', 'std', 'minimum', 'maximum']
    with staged(path, 'table') as part, part.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['band', *heads, *(f'quantile {share:g}' for share in shares)])
        for band in found.bands:
            numbers = [getattr(band, head) for head in heads]
            writer.writerow([band.name, *numbers, *(band.quantiles.get(q, '') for q in shares)])
        if found.classes:
            writer.writerow([])
            writer.writerow(['class', 'value', 'pixels'])
            writer.writerows([entry.name, entry.value, entry.pixels] for entry in found.classes)
