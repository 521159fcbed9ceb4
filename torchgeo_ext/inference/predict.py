"""From rasters to rasters with a model.

Reading, computing and writing run at the same time in their own threads and never hold more than
a few tiles and one row of blocks, however large the rasters are.

    tiles --> TileReader --> batches --> ModelRunner --> Merger --> Encoder --> RasterWriter
              (threads)                  (threads)       (here)    (one thread)
"""

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.windows import Window
from torch import Tensor

import torchgeo_ext
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.blend import Piece, check_merge, make_merger, max_shared, needed_columns
from torchgeo_ext.inference.device import pick_device
from torchgeo_ext.inference.grid import Grid, Tile, Tiling
from torchgeo_ext.inference.mask import Mask
from torchgeo_ext.inference.outputs import Encoder, RasterOutput, Scores
from torchgeo_ext.inference.pipeline import Stage
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.runner import Model, ModelRunner
from torchgeo_ext.inference.tiles import TilePixels, TileReader
from torchgeo_ext.inference.writer import BLOCK, RasterLayout, RasterWriter
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.staging import check_destination

logger = logging.getLogger(__name__)

#: Bytes kept across the width of the raster; wider ones are done in strips of columns.
_ACROSS = 96 * 2**20
#: Bytes of tiles read in advance.
_AHEAD = 64 * 2**20
#: Tiles of a batch at most, computed or not.
_LONGEST_BATCH = 64


@dataclass(frozen=True)
class PredictSummary:
    """What was done.

    Args:
        tiles: Tiles that went through the model.
        tiles_skipped: Tiles without a valid pixel, which cost nothing.
        valid_pixels: Pixels of the outputs that have a value.
        batch_size: Tiles computed at once, at the end.
        device: Where.
        seconds: Wall time.
        counts: Valid pixels of each class value, if classes or a threshold were written.
    """

    tiles: int
    tiles_skipped: int
    valid_pixels: int
    batch_size: int
    device: str
    seconds: float
    counts: Mapping[int, int] = field(default_factory=dict)


def predict_raster(
    model: Model,
    sources: RasterSource | Sequence[RasterSource],
    grid: Grid,
    outputs: Sequence[RasterOutput],
    *,
    tile_size: int,
    overlap: int = 0,
    merge: str = 'blend',
    batch_size: int = 0,
    device: str = 'auto',
    mask: Mask | None = None,
    join_bands: bool = False,
    reduction: int = 1,
    progress: Progress = silent,
) -> PredictSummary:
    """Run a model over rasters and write what it gives.

    The outputs appear together when all of them are complete; whatever happens before leaves
    existing files as they were. Each pixel of the grid is computed from whole tiles; tiles at the
    last row and column are shifted inside, and a grid smaller than a tile is continued by
    reflection.

    Example:
        >>> from pathlib import Path
        >>> import torch
        >>> from torchgeo_ext.inference import Grid, RasterClass, RasterOutput, RasterSource
        >>> from torchgeo_ext.inference import open_raster, predict_raster
        >>> def segment(image: Path, network: torch.nn.Module, output: Path) -> dict[int, int]:
        ...     with open_raster(str(image)) as dataset:
        ...         grid = Grid.of(dataset)
        ...     classes = (RasterClass(1, 'land', '#a6611a'), RasterClass(2, 'water', '#1f78b4'))
        ...     summary = predict_raster(
        ...         network,
        ...         RasterSource(str(image)),
        ...         grid,
        ...         [RasterOutput(output, 'classes', classes)],
        ...         tile_size=512,
        ...         overlap=64,
        ...     )
        ...     return dict(summary.counts)

    Args:
        model: Maps a float32 tensor (b, c, h, w), or (b, t, c, h, w) for t > 1 sources, to scores
            (b, k, h, w). A module is moved to the device and used in evaluation mode.
        sources: The raster, or one per date; those on other grids are warped.
        grid: The grid of the outputs.
        outputs: What to write.
        tile_size: Height and width of tiles in pixels.
        overlap: Pixels that neighbouring tiles share at least.
        merge: ``crop`` or ``blend``, see :data:`~torchgeo_ext.inference.blend.Merge`.
        batch_size: Tiles computed at once; 0 chooses. Halved when memory is too small.
        device: ``auto`` or a device of PyTorch's.
        mask: Where to predict; the rest becomes nodata.
        join_bands: Give the model (b, c, h, w) with the bands of all sources one after the other,
            which may then differ in their number.
        reduction: Pixels that the model reads, along one side, for each pixel it gives: it then
            maps tiles (b, c, h, w) to (b, k, h / reduction, w / reduction), and the outputs have
            pixels that many times as wide. They are valid where at least half of what they cover
            is. Tile size and overlap must be multiples of it.
        progress: Told how far the work is; stops it by raising.

    Returns:
        Numbers of tiles and pixels.

    Raises:
        BadParameter: If arguments do not fit together or outputs cannot be written.
        BadInput: If a source cannot be read or put onto the grid, or has no valid pixel there.
        OutOfMemory: If not even one tile fits.
        NoSpace: If the disk is full.
    """
    started = time.perf_counter()
    sources = (sources,) if isinstance(sources, RasterSource) else tuple(sources)
    _check_arguments(sources, outputs, batch_size)
    check_merge(merge)
    _check_reduction(reduction, tile_size, overlap)
    coarse = grid.coarser(reduction)
    tiling = coarse.tiles(tile_size // reduction, overlap // reduction)
    runner = ModelRunner(model, pick_device(device), batch_size, tile_size, reduction)
    tags = _provenance(model, sources, {'tile_size': tile_size, 'overlap': overlap, 'merge': merge})
    with ExitStack() as stack:
        reader = TileReader(
            sources, mask, grid, tiling, runner.channels_last, join_bands, reduction
        )
        stack.enter_context(reader)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=reader.cache_bytes))
        stack.enter_context(runner.evaluating())
        stack.enter_context(torch.inference_mode())
        run = _Run(reader, runner, coarse, tiling, merge, progress, stack)
        run.write(outputs, tags)
    return PredictSummary(
        tiles=run.done - run.skipped,
        tiles_skipped=run.skipped,
        valid_pixels=run.valid_pixels,
        batch_size=runner.batch_size,
        device=str(pick_device(device)),
        seconds=time.perf_counter() - started,
        counts=run.counts,
    )


class _Run:
    """The threads of one run, what they have counted, and how far they are.

    Args:
        reader: Reads tiles.
        runner: Runs the model.
        grid: The grid of the outputs.
        tiling: Its tiles.
        merge: How to merge them.
        progress: Told how far the work is.
        stack: Ends the threads.
    """

    def __init__(
        self,
        reader: TileReader,
        runner: ModelRunner,
        grid: Grid,
        tiling: Tiling,
        merge: str,
        progress: Progress,
        stack: ExitStack,
    ) -> None:
        self.done = self.skipped = self.valid_pixels = self.undefined = 0
        self.counts: Mapping[int, int] = {}
        self._reader, self._runner, self._grid = reader, runner, grid
        self._tiling, self._merge, self._progress = tiling, merge, progress
        self._total, self._text = len(tiling), 'Reading'
        self._reading = stack.enter_context(Stage(_reading_threads(runner), self._report))
        self._first_tile, self._first_scores = self._first()
        stack.enter_context(runner.sharing_cores())
        self._computing = stack.enter_context(Stage(runner.threads, self._report))
        self._writing: Stage
        self._pairs: list[tuple[Encoder, RasterWriter]]

    def write(self, outputs: Sequence[RasterOutput], tags: Mapping[str, str]) -> None:
        """Compute all tiles and write the outputs."""
        encoders = [Encoder(output, self._scores) for output in outputs]
        with ExitStack() as files:
            self._pairs = [
                (encoder, files.enter_context(_writer(encoder, self._grid, tags)))
                for encoder in encoders
            ]
            # the thread has to end before files are closed
            self._writing = files.enter_context(Stage(1, self._report))
            self._text = 'Predicting'
            logger.info(
                'Predicting %d tiles of %d pixels, %d at once',
                len(self._tiling), self._runner.tile_size, self._runner.batch_size,
            )  # fmt: skip
            strips = self._strips(encoders)
            self._total = sum(len(self._columns(s)) for s in strips) * len(self._tiling.y.starts)
            for strip in strips:
                self._write_strip(strip)
            self._text = 'Building overviews'
            for _, writer in self._pairs:
                self._report()
                self._writing.put(writer.finish, ahead=0)
        self.counts = next((dict(e.pixels) for e in encoders if e.categorical), {})
        if self.undefined:
            logger.warning('The model gave NaN at %d pixels; they have no data', self.undefined)

    def _first(self) -> tuple[tuple[int, int], Tensor]:
        """Compute the first tile with valid pixels: it tells how many scores there are."""
        with closing(self._reading.map(self._reader.read, self._tiling, ahead=4)) as tiles:
            for pixels in tiles:
                self._report()
                if pixels.values is not None:
                    return (pixels.tile.row, pixels.tile.column), self._runner([pixels.values])[0]
        raise self._reader.nothing_valid()

    @property
    def _scores(self) -> int:
        return len(self._first_scores)

    def _strips(self, encoders: Sequence[Encoder]) -> list[range]:
        """Cut columns of pixels so that what is kept across a strip stays bounded."""
        column_bytes = BLOCK * sum(e.count * e.dtype.itemsize for e in encoders)
        if self._merge == 'blend':
            column_bytes += 4 * self._scores * max_shared(self._tiling.y)
        # narrow strips would spend their time on tiles that two of them share
        widest = max(_ACROSS // column_bytes, 8 * self._tiling.tile_size)
        count = -(-self._grid.width // widest)
        width = -(-self._grid.width // (count * BLOCK)) * BLOCK
        starts = range(0, self._grid.width, width)
        return [range(start, min(start + width, self._grid.width)) for start in starts]

    def _columns(self, strip: range) -> range:
        return needed_columns(self._merge, self._tiling.x, strip.start, strip.stop)

    def _write_strip(self, strip: range) -> None:
        columns = self._columns(strip)
        merger = make_merger(self._merge, self._tiling, columns)
        tiles = (tile for tile in self._tiling if tile.column in columns)
        ahead = _ahead(self._reader.tile_bytes, 2 * self._runner.batch_size + 2)
        batches = self._batches(self._reading.map(self._reader.read, tiles, ahead))
        helping = self._runner.workers > self._runner.threads
        for batch in self._computing.map(self._compute, batches, ahead=2, helping=helping):
            for tile, valid, scores in batch:
                self._put(merger.add(tile, scores), tile, valid, strip)
                self.done += 1
                self.skipped += scores is None
            self._report()
        self._writing.drain()

    def _batches(self, tiles: Iterable[TilePixels]) -> Iterator[list[TilePixels]]:
        """Collect tiles until there are enough to compute, or many that need no computing."""
        batch: list[TilePixels] = []
        for pixels in tiles:
            batch.append(pixels)
            live = sum(p.values is not None for p in batch)
            if live >= self._runner.batch_size or len(batch) >= _LONGEST_BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _compute(self, batch: Sequence[TilePixels]) -> list[tuple[Tile, np.ndarray, Tensor | None]]:
        keys = [(pixels.tile.row, pixels.tile.column) for pixels in batch]
        fresh = {
            key: pixels.values
            for key, pixels in zip(keys, batch, strict=True)
            if pixels.values is not None and key != self._first_tile
        }
        scores = dict(zip(fresh, self._runner(list(fresh.values())) if fresh else (), strict=True))
        scores[self._first_tile] = self._first_scores
        return [(p.tile, p.valid, scores.get(key)) for key, p in zip(keys, batch, strict=True)]

    def _put(self, piece: Piece, tile: Tile, valid: np.ndarray, strip: range) -> None:
        """Have the part of a piece written that lies in the strip."""
        window, scores = piece.window, piece.scores
        left = max(window.col_off, strip.start)
        right = min(window.col_off + window.width, strip.stop)
        if left >= right:
            return
        if scores is not None:
            scores = scores[..., left - window.col_off : right - window.col_off]
        top = window.row_off - tile.window.row_off
        x = tile.window.col_off
        valid = valid[top : top + window.height, left - x : right - x]
        window = Window(left, window.row_off, right - left, window.height)
        ahead = _ahead(4 * self._scores * self._tiling.tile_size**2, 2)
        self._writing.put(self._write_piece, window, scores, valid, ahead=ahead)

    def _write_piece(self, window: Window, values: Tensor | None, valid: np.ndarray) -> None:
        scores = None if values is None else Scores(values)
        if scores is not None and scores.undefined is not None:
            self.undefined += int(np.count_nonzero(valid & scores.undefined))
            valid = valid & ~scores.undefined
        self.valid_pixels += int(np.count_nonzero(valid))
        for encoder, writer in self._pairs:
            writer.write(window, encoder.encode(scores, valid))

    def _report(self) -> None:
        # the last twentieth is for overviews
        fraction = 0.95 * self.done / self._total
        self._progress(fraction, self._text, tile=self.done, tiles=self._total)


def _check_arguments(
    sources: Sequence[RasterSource], outputs: Sequence[RasterOutput], batch_size: int
) -> None:
    if not sources:
        raise BadParameter('sources: there is no raster to read.')
    if not outputs:
        raise BadParameter('outputs: there is nothing to write.')
    if batch_size < 0:
        raise BadParameter(
            f'batch_size: {batch_size} is negative.', 'Give a number of tiles, or 0 to choose.'
        )
    taken = {Path(source.path).absolute(): source.argument for source in sources}
    for output in outputs:
        path = check_destination(output.path, output.argument)
        if path in taken:
            raise BadParameter(
                f'{output.argument}: {path} is also the {taken[path]}.', 'Choose another file.'
            )
        taken[path] = output.argument


def _check_reduction(reduction: int, tile_size: int, overlap: int) -> None:
    if reduction < 1:
        raise BadParameter(f'reduction: {reduction} is not a positive number of pixels.')
    for name, value in (('tile_size', tile_size), ('overlap', overlap)):
        if value % reduction:
            raise BadParameter(
                f'{name}: {value} is not a multiple of {reduction}, the pixels the model reads for '
                'each that it gives.',
                f'Choose for instance {value - value % reduction or reduction}.',
            )


def _provenance(
    model: Model, sources: Sequence[RasterSource], parameters: Mapping[str, object]
) -> dict[str, str]:
    software = f'torchgeo_ext {torchgeo_ext.__version__}'
    now = datetime.now(UTC)
    return {
        'TIFFTAG_SOFTWARE': software,
        'TIFFTAG_DATETIME': now.strftime('%Y:%m:%d %H:%M:%S'),
        'software': software,
        'date': now.isoformat(timespec='seconds'),
        'model': getattr(model, '__name__', type(model).__name__),
        'inputs': json.dumps([Path(source.path).name for source in sources]),
        'parameters': json.dumps(parameters),
    }


def _writer(encoder: Encoder, grid: Grid, tags: Mapping[str, str]) -> RasterWriter:
    output = encoder.output
    classes = output.classes if encoder.categorical else ()
    descriptions = output.descriptions
    if not descriptions and not encoder.categorical and len(output.classes) == encoder.count:
        descriptions = [entry.name for entry in output.classes]
    layout = RasterLayout(
        count=encoder.count,
        dtype=encoder.dtype,
        nodata=encoder.nodata,
        colors={entry.value: entry.color for entry in classes},
        categories={entry.value: entry.name for entry in classes},
        descriptions=descriptions,
        unit=output.unit,
        tags={**tags, **output.tags},
        band_tags=output.band_tags,
        scale=output.scale,
        offset=output.offset,
        overviews=Resampling.nearest if encoder.categorical else Resampling.average,
    )
    return RasterWriter(output.path, grid, layout, output.argument)


def _reading_threads(runner: ModelRunner) -> int:
    """Return how many threads keep the device busy; a CPU is kept busy enough by one or two."""
    cores = os.cpu_count() or 1
    return min(4, cores) if runner.on_accelerator else min(2, max(1, cores // 4))


def _ahead(item_bytes: int, most: int) -> int:
    return max(1, min(most, _AHEAD // item_bytes))
