"""A user's land-cover map in the classes of a model, and what a model changed put back into it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._classes import LabelClass
from torchgeo_ext.datasets._labels import Labels
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference import Grid, RasterClass, RasterSource
from torchgeo_ext.inference.outputs import layout_of_classes
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.writer import RasterWriter, class_layout
from torchgeo_ext.operations._matching import UNKNOWN, listed, match_numbers, nameless
from torchgeo_ext.operations._operation import ClassEntry, StrPath, Styles
from torchgeo_ext.progress import Progress

if TYPE_CHECKING:
    import logging

    from torchgeo_ext.bundles import ModelClass

#: What became of a pixel if a model tells only where something changed.
CHANGED = LabelClass(1, 'changed', '#d7191c')

#: Height and width of what is translated at once.
_CHUNK = 1024


@dataclass(frozen=True)
class Legend:
    """How the classes of a map and those of a model belong together.

    Args:
        classes: The classes of the map, and behind them those of the model that it lacks.
        numbers: For each class of the map the number of the model's class, from 1; 0 for none.
        new: For each class of the model the position in ``classes`` of what becomes of a pixel
            that changed to it.
    """

    classes: tuple[LabelClass, ...]
    numbers: tuple[int, ...]
    new: tuple[int, ...]


def match_classes(
    classes: Sequence[LabelClass],
    model: 'Sequence[ModelClass]',
    mapping: Sequence[Sequence[Any]],
    log: 'logging.Logger',
) -> Legend:
    """Find out which classes of a map and a model mean the same.

    What ``mapping`` does not say is told by the names or, if the map has none, by the values.

    Args:
        classes: The classes of the map.
        model: Those of the model.
        mapping: Rows of a class of the map and one of the model; see
            :func:`~torchgeo_ext.operations._matching.match_numbers`.
        log: Told of rows about classes that do not occur.

    Raises:
        BadParameter: If the model has no such class, or a class of the map no counterpart.
    """
    numbers = match_numbers(
        classes, model, mapping, log, whose='the model', by_value=nameless(classes)
    )
    missing = [entry for entry, number in zip(classes, numbers, strict=True) if number == UNKNOWN]
    if missing:
        raise BadParameter(
            f'mapping: the map has classes that the model does not know: {listed(missing)}. The '
            f'model knows {listed(model)}.',
            'Give for each of them a row with its value and a class of the model, or with nothing '
            'to leave its pixels out.',
        )
    return _legend(tuple(classes), [number + 1 for number in numbers], model)


def _legend(
    classes: tuple[LabelClass, ...], numbers: Sequence[int], model: 'Sequence[ModelClass]'
) -> Legend:
    legend, new = [*classes], []
    for number, entry in enumerate(model, 1):
        if number in numbers:
            new.append(numbers.index(number))
            continue
        taken = {known.value for known in legend}
        free = entry.value if entry.value not in taken else max(taken) + 1
        new.append(len(legend))
        legend.append(LabelClass(free, entry.name, entry.color))
    return Legend(tuple(legend), tuple(numbers), tuple(new))


def write_numbers(
    known: Labels, legend: Legend, grid: Grid, path: Path, progress: Progress
) -> float:
    """Write a map as the numbers of a model's classes, and of its own.

    Args:
        known: The map.
        legend: How its classes and those of the model belong together.
        grid: Pixels to write.
        path: The raster to write. Its first band has the numbers of the model, from 1, its second
            one those of the map; 0, the nodata value, is no class.
        progress: Told how far the work is.

    Returns:
        Share of the pixels without a class.

    Raises:
        BadInput: If no pixel has a class.
    """
    # the last entry is for pixels without a label, which have the number -1
    table = np.array([*legend.numbers, 0], np.uint32)
    layout = dataclasses.replace(class_layout((), table.dtype, 0, {}), count=2)
    read, without = known.on(grid), 0
    with RasterWriter(path, grid, layout, 'land_cover') as writer:
        for window in grid.windows(_CHUNK):
            progress(window.row_off / grid.height, 'Reading the map')
            positions = read(window)
            numbers = table[positions]
            without += int(np.count_nonzero(numbers == 0))
            writer.write(window, np.stack([numbers, (1 + positions).astype(table.dtype)]))
        if without == grid.width * grid.height:
            raise BadInput(
                'land_cover: no pixel of the images has a class of the model in it.',
                'Check where the map lies, its nodata value and mapping.',
            )
        writer.finish()
    return without / (grid.width * grid.height)


class ClassRaster(NamedTuple):
    """A raster of classes that is wanted.

    Attributes:
        path: Where to write it; None if it is not wanted after all.
        classes: What its pixels can be.
    """

    path: StrPath | None
    classes: Sequence[ClassEntry]


def write_changes(
    found: Path,
    numbered: Path,
    legend: Legend,
    grid: Grid,
    after: int,
    maps: Mapping[str, ClassRaster],
    progress: Progress,
) -> Styles:
    """Write from which class of a map to which a model found change, and the map as it is now.

    Args:
        found: Raster of the model's new class from 1; 0 is unchanged.
        numbered: The map, as :func:`write_numbers` has written it.
        legend: How its classes and those of the model belong together.
        grid: Pixels to write.
        after: How many classes the model tells apart after a change.
        maps: What to write of ``output`` (the transitions, see
            :func:`~torchgeo_ext.operations._transitions.transitions`) and ``updated_map``.
        progress: Told how far the work is.

    Returns:
        A style per raster written.
    """
    numbers, new = np.asarray(legend.numbers), np.asarray(legend.new)
    wanted = {name: entry for name, entry in maps.items() if entry.path is not None}
    with ExitStack() as stack:
        reader = stack.enter_context(RasterSource(str(found)).open(grid))
        tags = reader.dataset.tags()
        writers = {
            name: stack.enter_context(_ClassWriter(entry, grid, tags, name))
            for name, entry in wanted.items()
        }
        mapped = stack.enter_context(RasterSource(str(numbered), bands=(2,)).open(grid))
        for window in grid.windows(_CHUNK):
            progress(window.row_off / grid.height, 'Writing')
            values, valid = reader.read_native(window)
            number = values[0].astype(np.intp)
            before = mapped.read_native(window)[0][0].astype(np.intp) - 1
            changed = valid & (number > 0)
            code = np.where(changed, 1 + after * before + number - 1, 0)
            writers['output'].write_positions(window, code, valid)
            if 'updated_map' in writers:
                # of several classes of the map that are one to the model, a pixel keeps its own
                moved = changed & (numbers[before] != number)
                now = np.where(moved, new[number - 1], before)
                writers['updated_map'].write_positions(window, now, before >= 0)
        for writer in writers.values():
            writer.finish()
    styles: Styles = {}
    for name, entry in wanted.items():
        styles[name] = {'type': 'classes', 'classes': [*entry.classes]}
        write_style(str(entry.path), styles[name])
    return styles


class _ClassWriter(RasterWriter):
    """Writes classes by their position in a table.

    Args:
        raster: What to write.
        grid: Its pixels.
        tags: Metadata.
        argument: The argument the path came from.
    """

    def __init__(
        self, raster: ClassRaster, grid: Grid, tags: Mapping[str, str], argument: str
    ) -> None:
        values = [entry['value'] for entry in raster.classes]
        dtype, self._nodata = layout_of_classes({*values}, None, argument)
        self._values = np.array(values, dtype)
        classes = [RasterClass(**entry) for entry in raster.classes]
        said = {**tags, 'classes': json.dumps([*raster.classes])}
        layout = class_layout(classes, dtype, self._nodata, said)
        super().__init__(str(raster.path), grid, layout, argument)

    def write_positions(
        self, window: Window, positions: NDArray[np.intp], valid: NDArray[np.bool_]
    ) -> None:
        """Write a window of positions in the table, and no data where they are not valid."""
        values = self._values[positions]
        values[~valid] = self._nodata
        self.write(window, values[None])
