"""GeoTIFFs written block by block, each block once, with everything a GIS wants to know.

A raster is tiled, DEFLATE compressed (which every reader of TIFF knows), has internal overviews,
nodata, band names, provenance tags, and for classes a colour table and category names. Category
names have no place inside a TIFF: they are in the ``.aux.xml`` file beside it, where GDAL and QGIS
look for them.
"""

import errno
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window

from torchgeo_ext.errors import BadParameter, TorchgeoExtError
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import READ_ERRORS, quiet_open
from torchgeo_ext.staging import disk_full, staged

if TYPE_CHECKING:
    from torchgeo_ext.inference.outputs import ClassLike

#: Height and width of a block of the file.
BLOCK = 256


@dataclass(frozen=True)
class RasterLayout:
    """What a raster to be written looks like.

    Args:
        count: Number of bands.
        dtype: Data type.
        nodata: Value of invalid pixels.
        colors: Colour ``#rrggbb`` of values; together they make a colour table.
        categories: Names of values.
        descriptions: Names of bands.
        unit: Unit of the values.
        tags: Metadata.
        band_tags: Metadata of each band.
        scale: Factor from stored to physical values, which other programs apply.
        offset: Added after scaling.
        overviews: Resampling method of the overviews.
    """

    count: int
    dtype: np.dtype
    nodata: float
    colors: Mapping[int, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)
    descriptions: Sequence[str] = ()
    unit: str = ''
    tags: Mapping[str, str] = field(default_factory=dict)
    band_tags: Sequence[Mapping[str, str]] = ()
    scale: float = 1.0
    offset: float = 0.0
    overviews: Resampling = Resampling.average


def class_layout(
    classes: 'Sequence[ClassLike]', dtype: np.dtype, nodata: float, tags: Mapping[str, str]
) -> RasterLayout:
    """Describe a raster of class values.

    Args:
        classes: Values, names and colours.
        dtype: Data type.
        nodata: Value of invalid pixels.
        tags: Metadata.
    """
    return RasterLayout(
        count=1,
        dtype=dtype,
        nodata=nodata,
        colors={entry.value: entry.color for entry in classes},
        categories={entry.value: entry.name for entry in classes},
        tags=tags,
        overviews=Resampling.nearest,
    )


class RasterWriter:
    """Writes a GeoTIFF under a temporary name, to be renamed when the ``with`` block ends well.

    Windows may come in any order and size as long as each pixel comes once. Blocks are kept until
    they are whole. :meth:`finish` must be called inside of the ``with`` block; so several rasters
    can all be finished before the first of them appears.

    Args:
        path: Where the raster shall be; its name ends in ``.tif`` or ``.tiff``.
        grid: Its grid.
        layout: Its bands and metadata.
        argument: The argument the path came from, for messages.

    Raises:
        BadParameter: If nothing can be written there.
        NoSpace: If the disk is full, at any time.
    """

    def __init__(
        self, path: str | Path, grid: Grid, layout: RasterLayout, argument: str = 'output'
    ) -> None:
        if Path(path).suffix.lower() not in ('.tif', '.tiff'):
            raise BadParameter(
                f'{argument}: {path} is not the name of a GeoTIFF.', 'Let it end in .tif.'
            )
        self._path, self._grid, self._layout, self._argument = Path(path), grid, layout, argument
        self._stack = ExitStack()
        self._part = Path()
        self._dataset: Any = None
        self._incomplete: dict[tuple[int, int], _Block] = {}
        self._finished = self._has_sidecar = False

    def __enter__(self) -> Self:
        with ExitStack() as failing:
            self._part = failing.enter_context(staged(self._path, self._argument))
            with self._explained():
                self._dataset = self._create()
            failing.callback(lambda: self._dataset.close())
            self._stack = failing.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and not self._finished:
            with self._stack:
                raise RuntimeError(f'{self._path} was not finished')
        self._stack.__exit__(kind, error, traceback)
        if kind is None:
            self._remove_stale()

    def write(self, window: Window, values: np.ndarray) -> None:
        """Write pixels.

        Args:
            window: Where, in whole pixels of the grid.
            values: Array (bands, height, width) of the layout's data type.
        """
        for row in range(window.row_off // BLOCK, -(-(window.row_off + window.height) // BLOCK)):
            for column in range(
                window.col_off // BLOCK, -(-(window.col_off + window.width) // BLOCK)
            ):
                self._write_part(row, column, window, values)

    def finish(self) -> None:
        """Complete the temporary file: overviews, names of categories, and proof that it is whole.

        Raises:
            NoSpace: If the disk is full.
        """
        if self._incomplete:
            raise RuntimeError(f'{len(self._incomplete)} blocks of {self._path} are incomplete')
        with self._explained():
            self._dataset.close()
            factors = overview_factors(self._grid)
            if factors:
                with (
                    rasterio.Env(GDAL_NUM_THREADS='ALL_CPUS'),
                    quiet_open(self._part, 'r+') as dataset,
                ):
                    dataset.build_overviews(factors, self._layout.overviews)
            _check_blocks(self._part)
        self._write_sidecar()
        self._finished = True

    def _create(self) -> Any:
        layout, grid = self._layout, self._grid
        georeference = {} if grid.transform.is_identity else {'transform': grid.transform}
        dataset = quiet_open(
            self._part,
            'w',
            driver='GTiff',
            width=grid.width,
            height=grid.height,
            count=layout.count,
            dtype=layout.dtype.name,
            crs=grid.crs,
            nodata=layout.nodata,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            interleave='band',
            bigtiff='IF_SAFER',
            compress='deflate',
            **_compression(layout),
            **georeference,
        )
        if layout.colors:
            dataset.write_colormap(1, _color_table(layout))
        for band, name in enumerate(layout.descriptions, 1):
            dataset.set_band_description(band, name)
        if layout.unit:
            dataset.units = (layout.unit,) * layout.count
        dataset.update_tags(**layout.tags)
        for band, tags in enumerate(layout.band_tags, 1):
            dataset.update_tags(band, **tags)
        if (layout.scale, layout.offset) != (1, 0):
            dataset.scales = (layout.scale,) * layout.count
            dataset.offsets = (layout.offset,) * layout.count
        return dataset

    def _write_part(self, row: int, column: int, window: Window, values: np.ndarray) -> None:
        """Write the part of a window that lies in a block, or keep it until the block is whole."""
        block = self._block_window(row, column)
        top, left = max(block.row_off, window.row_off), max(block.col_off, window.col_off)
        bottom = min(block.row_off + block.height, window.row_off + window.height)
        right = min(block.col_off + block.width, window.col_off + window.width)
        part = values[
            :,
            top - window.row_off : bottom - window.row_off,
            left - window.col_off : right - window.col_off,
        ]
        if part.shape[1:] == (block.height, block.width):
            self._write_block(block, part)
            return
        kept = self._incomplete.get((row, column))
        if kept is None:
            kept = self._incomplete[row, column] = _Block.empty(block, self._layout)
        kept.put(top - block.row_off, left - block.col_off, part)
        if not kept.missing:
            self._write_block(block, self._incomplete.pop((row, column)).values)

    def _block_window(self, row: int, column: int) -> Window:
        top, left = row * BLOCK, column * BLOCK
        height = min(BLOCK, self._grid.height - top)
        return Window(left, top, min(BLOCK, self._grid.width - left), height)

    def _write_block(self, block: Window, values: np.ndarray) -> None:
        with self._explained():
            self._dataset.write(values, window=block)

    def _write_sidecar(self) -> None:
        """Put category names into the file of metadata that GDAL keeps beside a raster.

        GDAL may have made one already, for a CRS that GeoTIFF cannot express.
        """
        made = _sidecar(self._part)
        if self._layout.categories:
            _add_categories(made, self._layout.categories)
        self._has_sidecar = made.exists()
        if self._has_sidecar:
            made.replace(self._stack.enter_context(staged(_sidecar(self._path), self._argument)))

    def _remove_stale(self) -> None:
        """Remove what belonged to an earlier raster of this name."""
        for suffix in ['.ovr', '.msk'] if self._has_sidecar else ['.ovr', '.msk', '.aux.xml']:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (*READ_ERRORS, OSError) as error:
            raise _cannot_write(self._path.absolute(), self._argument, error) from error


@dataclass
class _Block:
    """A block of which a part is still missing.

    Args:
        values: Array (bands, height, width).
        missing: Number of pixels that are missing.
    """

    values: np.ndarray
    missing: int

    @classmethod
    def empty(cls, window: Window, layout: RasterLayout) -> Self:
        values = np.empty((layout.count, window.height, window.width), layout.dtype)
        return cls(values, window.height * window.width)

    def put(self, top: int, left: int, part: np.ndarray) -> None:
        _, height, width = part.shape
        self.values[:, top : top + height, left : left + width] = part
        self.missing -= height * width


def overview_factors(grid: Grid) -> list[int]:
    """Return how much smaller each overview is; the last one fits into a block."""
    factors = [2]
    while max(grid.shape) > BLOCK * factors[-1] // 2:
        factors.append(2 * factors[-1])
    return factors[:-1]


def _compression(layout: RasterLayout) -> dict[str, int]:
    if layout.dtype.kind == 'f':
        # noise in the last digits makes more effort slow without making files smaller
        return {'predictor': 3, 'zlevel': 1}
    return {} if layout.overviews is Resampling.nearest else {'predictor': 2}


def _color_table(layout: RasterLayout) -> dict[int, tuple[int, int, int, int]]:
    table = {value: (*bytes.fromhex(color[1:7]), 255) for value, color in layout.colors.items()}
    return table | {int(layout.nodata): (0, 0, 0, 0)}


def _check_blocks(path: Path) -> None:
    """See that all blocks are inside of the file.

    GDAL does not tell when its last bytes did not fit on the disk while it closed a file.
    """
    size = path.stat().st_size
    with quiet_open(path) as dataset:
        levels = len(dataset.overviews(1))
    for level in [None, *range(levels)]:
        with quiet_open(path, **({} if level is None else {'overview_level': level})) as dataset:
            if any(end > size for end in _block_ends(dataset)):
                raise OSError(errno.EIO, 'the file is cut short', str(path))


def _block_ends(dataset: Any) -> Iterator[int]:
    for band, (height, width) in zip(dataset.indexes, dataset.block_shapes, strict=True):
        for row, column in product(
            range(-(-dataset.height // height)), range(-(-dataset.width // width))
        ):
            offset, length = (
                dataset.get_tag_item(f'BLOCK_{what}_{column}_{row}', 'TIFF', bidx=band)
                for what in ('OFFSET', 'SIZE')
            )
            if offset is None or length is None:
                raise OSError(errno.EIO, 'the file lacks blocks', dataset.name)
            yield int(offset) + int(length)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + '.aux.xml')


def _add_categories(path: Path, categories: Mapping[int, str]) -> None:
    root = ElementTree.Element('PAMDataset')
    if path.exists():
        root = ElementTree.parse(path).getroot()  # noqa: S314  # GDAL has just written it
    band = ElementTree.SubElement(root, 'PAMRasterBand', band='1')
    names = ElementTree.SubElement(band, 'CategoryNames')
    for value in range(max(categories) + 1):
        ElementTree.SubElement(names, 'Category').text = categories.get(value, '')
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding='utf-8')


def _cannot_write(path: Path, argument: str, error: Exception) -> TorchgeoExtError:
    """Find out why: GDAL does not say that a disk is full."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(bytes(2**20))
            probe.flush()
    except OSError as full:
        if full.errno in (errno.ENOSPC, errno.EDQUOT):
            return disk_full(path)
    return BadParameter(
        f'{argument}: {path} cannot be written ({error.__cause__ or error}).',
        'Check the disk, or write to another folder.',
    )
