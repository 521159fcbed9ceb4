"""Put an image where another one of the same place says it belongs."""

import csv
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from torchgeo_ext.operations._checks import overlap, same_length
from torchgeo_ext.operations._operation import (
    ADVANCED,
    Label,
    Raster,
    RasterOut,
    StrPath,
    bands_of,
    file_out,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, portion, silent

if TYPE_CHECKING:
    from torchgeo_ext.inference.coregister import Registration


class CoregisterResult(NamedTuple):
    """Result of :func:`coregister`.

    Attributes:
        offset_x: Pixels of the reference by which the image lay too far to the right, in its
            middle.
        offset_y: Pixels by which it lay too far down.
        residual: Root mean square distance, in pixels of the reference, of the windows used from
            what the correction says.
        windows_used: Windows that agree with the correction.
        windows_compared: Windows that were compared.
    """

    output: str
    report: str | None
    offset_x: float
    offset_y: float
    residual: float
    windows_used: int
    windows_compared: int


@operation(
    label='Coregister',
    group='Preparation',
    tags=('registration', 'alignment', 'offset', 'shift', 'georeference', 'phase correlation'),
    checks=(overlap('reference', 'image'), same_length('reference_bands', 'image_bands')),
)
def coregister(
    reference: Raster,
    image: Raster,
    output: Annotated[RasterOut, Label('Corrected image')],
    *,
    correction: Literal['shift', 'affine'] = 'shift',
    resampling: Literal['none', 'nearest', 'bilinear', 'cubic', 'lanczos'] = 'none',
    reference_bands: Annotated[list[int], bands_of('reference')] | None = None,
    image_bands: Annotated[list[int], bands_of('image')] | None = None,
    windows: Annotated[int, within(1, 64), ADVANCED] = 8,
    report: Annotated[StrPath, file_out('csv')] | None = None,
    progress: Progress = silent,
) -> CoregisterResult:
    """Move an image to fit another one of the same place, to a fraction of a pixel.

    Windows spread over the common area are compared by phase correlation, which brightness,
    contrast and change in parts of a window do not mislead; windows that contradict the others are
    left out. The images may differ in grid, resolution and coordinate reference system. Offsets of
    more than about a hundred pixels of the reference are not found.

    Args:
        reference: Image that lies where it should.
        image: Image to move.
        output: Corrected image to write.
        correction: What may be wrong with the position: a shift, or an affine map, which also
            turns, scales and shears.
        resampling: none keeps the pixels exactly as they are and corrects only where they lie. The
            other methods write the image on the pixels of the reference, where both are.
        reference_bands: Numbers of the bands of the reference to compare, best similar ones. Left
            out, all are compared in their order.
        image_bands: Numbers of the bands of the image to compare. All are written in any case.
        windows: Windows along each axis at most, of 256 pixels each.
        report: Table of the offset in each window to write (CSV): position in pixels of the
            common area, columns to the right and rows down by which the image is off.
        progress: Told how far the work is.

    Raises:
        BadInput: If too few windows have a clear offset.
    """
    from torchgeo_ext.inference import RasterSource
    from torchgeo_ext.inference.coregister import register
    from torchgeo_ext.inference.rewrite import moved, rewrite
    from torchgeo_ext.operations._change import common_grid, plain_source
    from torchgeo_ext.operations._predict import Image

    images = (Image(reference, reference_bands, 'reference'), Image(image, image_bands, 'image'))
    grid = common_grid(*images, None)
    fixed, moving = (plain_source(each, 'cubic') for each in images)
    found = register(
        fixed, moving, grid, correction, along=windows, progress=portion(progress, 0.0, 0.6)
    )
    tags = {'coregistered_to': str(reference), 'offset': f'{found.x:.3f} {found.y:.3f} pixels'}
    writing = portion(progress, 0.6, 1.0)
    if resampling == 'none':
        whole = RasterSource(str(image), argument='image')
        rewrite(whole, output, place=found.transform, tags=tags, progress=writing)
    else:
        with moved(str(image), found.transform) as path:
            source = RasterSource(path, resampling=resampling, argument='image')
            rewrite(source, output, onto=grid, tags=tags, progress=writing)
    if report is not None:
        _write_report(report, found)
    return CoregisterResult(
        output=str(output),
        report=None if report is None else str(report),
        offset_x=found.x,
        offset_y=found.y,
        residual=round(found.residual, 3),
        windows_used=found.used,
        windows_compared=found.looked_at,
    )


def _write_report(path: StrPath, found: 'Registration') -> None:
    from torchgeo_ext.staging import staged

    with staged(path, 'report') as part, part.open('w', newline='', encoding='utf-8') as file:
        table = csv.writer(file)
        table.writerow(['column', 'row', 'offset_x', 'offset_y'])
        table.writerows(
            [round(w.column, 1), round(w.row, 1), round(w.x, 3), round(w.y, 3)]
            for w in found.windows
        )
