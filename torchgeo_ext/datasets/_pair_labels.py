"""What is known of a pair besides its images: change, land cover of both dates, damage, a map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.colors import DAMAGE_COLORS
from torchgeo_ext.datasets._classes import IGNORE, LabelClass, make_classes
from torchgeo_ext.datasets._features import FeatureLabels, plain
from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._labels import (
    UNCHANGED_COLOR,
    LabelOptions,
    LabelReader,
    Labels,
    RasterLabels,
    open_labels,
    read_labels,
)
from torchgeo_ext.datasets.vector_labels import VectorLabels, labels_for
from torchgeo_ext.datasets.xbd_damage import XBDDamage
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, portion

#: A layer of labels.
Layer = Paths | VectorLabels

#: Names of a pair's maps in its scene.
BEFORE, AFTER, CHANGE, MAP, PSEUDO = 'before', 'after', 'change', 'map', 'pseudo'

#: Levels of damage where none are given: xBD's.
_LEVELS = dict(enumerate(XBDDamage.classes[1:], start=1))


@dataclass(frozen=True)
class PairLayers:
    """The layers of :class:`~torchgeo_ext.datasets.GeoPair`, as they are given.

    Raises:
        BadParameter: If they do not go together.
    """

    labels: Layer | None = None
    labels_before: Layer | None = None
    labels_after: Layer | None = None
    map_before: Layer | None = None
    damage: Layer | None = None
    pseudo_labels: Layer | None = None

    def __post_init__(self) -> None:
        given = [name for name, layer in vars(self).items() if layer is not None]
        if self.damage is not None and len(given) > 1:
            others = ' and '.join(name for name in given if name != 'damage')
            raise BadParameter(
                f'damage is given, and {others} too, which no model learns together.',
                'Give either.',
            )
        if self.labels_before is not None and self.labels_after is None:
            raise BadParameter(
                'labels_before is given, but labels_after is not.',
                'Give both; an existing map that models read is map_before.',
            )
        if self.labels_after is not None and self.labels_before is self.map_before is None:
            raise BadParameter(
                'labels_after is given, but neither labels_before nor map_before is.',
                'Give the land cover of both dates.',
            )

    def open(
        self, grids: Sequence[Grid], options: LabelOptions, progress: Progress
    ) -> tuple[Labels | None, dict[str, Labels]]:
        """Open all layers and find their classes where the images are.

        Args:
            grids: The grids of the pairs.
            options: How to read them; field and classes are those of land cover or damage where
                there are any.
            progress: Told how far the look through rasters is.

        Returns:
            What places are counted by, and further maps by name. Land cover has numbers from 1, 0
            where it has no class.

        Raises:
            BadInput: If a layer lies elsewhere, holds other classes than it may, or the classes of
                layers differ.
            BadParameter: If ``classes`` cannot be.
        """
        if self.damage is not None:
            return _open_damage(self.damage, grids, options, progress), {}
        counted, maps = self._open_labels(grids, options, portion(progress, 0, 0.9))
        if self.pseudo_labels is not None:
            maps[PSEUDO] = _open_change(
                self.pseudo_labels,
                grids,
                replace(options, argument='pseudo_labels'),
                portion(progress, 0.9, 1),
            )
        return counted, maps

    def _open_labels(
        self, grids: Sequence[Grid], options: LabelOptions, progress: Progress
    ) -> tuple[Labels | None, dict[str, Labels]]:
        names = 'labels_before', 'labels_after', 'map_before'
        cover = {name: layer for name in names if (layer := getattr(self, name)) is not None}
        if not cover:
            return labels_for(self.labels, grids, options, change=True, progress=progress), {}
        change = None
        if self.labels is not None:
            change = _open_change(self.labels, grids, options, portion(progress, 0, 0.5))
        found = _open_cover(cover, grids, options, portion(progress, 0.5, 1))
        maps: dict[str, Labels] = {MAP: found['map_before']} if 'map_before' in found else {}
        if 'labels_after' not in found:
            return change, maps
        # an existing map tells the land cover before as well
        before = found.get('labels_before') or found['map_before']
        maps |= {BEFORE: before, AFTER: found['labels_after']}
        if change is not None:
            maps[CHANGE] = change
        return KindsOfChange(maps[BEFORE], maps[AFTER], change), maps


@dataclass(frozen=True)
class KindsOfChange:
    """Tells into what places changed: 0 where nothing did, from 1 the land cover after.

    Args:
        before: Land cover of the earlier date.
        after: That of the later date, with the same classes.
        change: What changed; where the two differ if not given.
    """

    before: Labels
    after: Labels
    change: Labels | None = None

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """Unchanged, then the classes of land cover."""
        return self.after.classes

    def on(self, grid: Grid) -> LabelReader:
        """Prepare reading on a grid."""
        before, after = self.before.on(grid), self.after.on(grid)
        change = None if self.change is None else self.change.on(grid)

        def read(window: Window) -> NDArray[np.int64]:
            later = after(window)
            changed = differing(before(window), later) if change is None else change(window)
            # what a place became may be unknown
            kinds = np.where(later > 0, later, IGNORE)
            return np.where(changed > 0, kinds, changed)

        return read


def differing(before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tell where the land cover of two dates differs: 0 no, 1 yes, ``IGNORE`` where unknown."""
    return np.where((before > 0) & (after > 0), before != after, IGNORE)


def _open_change(
    layer: Layer, grids: Sequence[Grid], options: LabelOptions, progress: Progress
) -> Labels:
    """Open a layer of change beside others, whose field and classes are not its own."""
    if isinstance(layer, VectorLabels):
        return layer.labels
    options = replace(options, class_field=None, classes=None)
    return open_labels(layer, grids, options, change=True, progress=progress)


def _open_damage(
    damage: Layer, grids: Sequence[Grid], options: LabelOptions, progress: Progress
) -> Labels:
    """Open levels of damage; where no building is, they are 0."""
    if isinstance(damage, VectorLabels):
        raise BadParameter(
            'damage is of VectorLabels, whose classes are in alphabetical order.',
            'Give the path of the layer, and its field as class_field.',
        )
    table = {0: XBDDamage.classes[0]} | dict(options.classes or _LEVELS)
    if sorted(table) != list(range(len(table))):
        raise BadParameter(
            f'classes: the levels of damage are {sorted(table)}.',
            'Number them from 1, the one without damage, to the worst.',
        )
    options = replace(options, classes=table, strict=True, argument='damage')
    labels = read_labels(damage, grids, options, background=0, progress=progress)
    colors = dict(enumerate(DAMAGE_COLORS.get(len(table) - 1, ()), start=1))
    return replace(labels, classes=make_classes(table, table, {0: UNCHANGED_COLOR} | colors))


def _open_cover(
    layers: Mapping[str, Layer], grids: Sequence[Grid], options: LabelOptions, progress: Progress
) -> dict[str, Labels]:
    """Open layers of land cover and give them one table of classes."""
    given = options.classes
    if given and 0 in given:
        raise BadParameter(
            f'classes: 0 is called {given[0]}, but means that there is no class.',
            'Renumber the classes of land cover from 1.',
        )
    found: dict[str, Labels] = {}
    for number, (argument, layer) in enumerate(layers.items()):
        if isinstance(layer, VectorLabels):
            found[argument] = layer.labels
            continue
        names = {0: 'no class'} | dict(given) if given else None
        found[argument] = read_labels(
            layer,
            grids,
            replace(options, classes=names, strict=True, argument=argument),
            progress=portion(progress, number / len(layers), (number + 1) / len(layers)),
        )
    return share_classes(found, given)


def share_classes(
    layers: Mapping[str, Labels], given: Mapping[int, str] | None = None
) -> dict[str, Labels]:
    """Number the classes of layers alike: 0 for unchanged, then all of them by value.

    Args:
        layers: Land cover by the argument it came from.
        given: Names of classes by value, if there may be no others.

    Raises:
        BadInput: If the layers have a single class together, or the same value or name means
            something else in another layer.
    """
    names, origins = dict(given or {}), dict.fromkeys(given or {}, 'classes')
    for argument, layer in layers.items():
        for entry in _numbered(layer):
            if given is None:
                _add_name(names, origins, entry, argument)
            elif entry.value not in given:
                raise _strange(argument, f'{entry.value} {entry.name}', names)
    by_name = {plain(name): value for value, name in names.items()}
    words = [entry.name for layer in layers.values() for entry in _named(layer)]
    if not by_name:
        order = sorted({plain(word): word for word in words}.values(), key=str.casefold)
        names = dict(enumerate(order, start=1))
        by_name = {plain(name): value for value, name in names.items()}
    for argument, layer in layers.items():
        for entry in _named(layer):
            if plain(entry.name) not in by_name:
                raise _strange(argument, repr(entry.name), names)
    if len(names) < 2:
        raise BadInput(
            f'{" and ".join(layers)}: the only class of land cover is {", ".join(names.values())}.',
            'At least two classes are needed to tell apart.',
        )
    table = make_classes(
        [0, *names], {0: 'unchanged'} | names, {0: UNCHANGED_COLOR} | _colors(layers, by_name)
    )
    return {name: _recoded(layer, table, by_name) for name, layer in layers.items()}


def _is_named(layer: Labels) -> bool:
    return isinstance(layer, FeatureLabels) and layer.named


def _numbered(layer: Labels) -> list[LabelClass]:
    """Give the classes of a layer whose values mean something; 0 is none."""
    return [] if _is_named(layer) else [entry for entry in layer.classes if entry.value]


def _named(layer: Labels) -> list[LabelClass]:
    """Give the classes of a layer that are known by name alone."""
    return [entry for entry in layer.classes if entry.value] if _is_named(layer) else []


def _add_name(
    names: dict[int, str], origins: dict[int, str], entry: LabelClass, argument: str
) -> None:
    """Put down what a value is called, and by whom, unless it is called otherwise already."""
    without = f'class {entry.value}'
    known = names.get(entry.value, without)
    if without not in (known, entry.name) and plain(known) != plain(entry.name):
        raise BadInput(
            f'Value {entry.value} is {known} in {origins[entry.value]}, but {entry.name} in '
            f'{argument}.',
            'Number the classes of all layers alike, and name them with classes.',
        )
    if entry.value not in names or known == without:
        names[entry.value], origins[entry.value] = entry.name, argument


def _strange(argument: str, what: str, names: Mapping[int, str]) -> BadInput:
    known = ', '.join(f'{value} {name}' for value, name in sorted(names.items()))
    return BadInput(
        f'{argument} has the class {what}, which is none of {known}.',
        'Give all layers the same classes, and name them with classes.',
    )


def _colors(layers: Mapping[str, Labels], by_name: Mapping[str, int]) -> dict[int, str]:
    """Take the colours of classes from the layer that has them first."""
    colors: dict[int, str] = {}
    for layer in layers.values():
        for entry in layer.classes:
            value = by_name.get(plain(entry.name)) if _is_named(layer) else entry.value
            if value and value not in colors and entry.color not in colors.values():
                colors[value] = entry.color
    return colors


def _recoded(
    layer: Labels, table: tuple[LabelClass, ...], by_name: Mapping[str, int]
) -> FeatureLabels | RasterLabels:
    """Number the classes of a layer by their place in a table."""
    if isinstance(layer, RasterLabels):
        return replace(layer, classes=table)
    assert isinstance(layer, FeatureLabels)
    order = [entry.value for entry in table]
    places = [
        order.index(by_name[plain(e.name)] if layer.named and e.value else e.value)
        for e in layer.classes
    ]
    # what has no label stays without: -1 is the last
    numbers = np.array([*places, IGNORE])
    return replace(
        layer, codes=numbers[layer.codes], classes=table, outside=int(numbers[layer.outside])
    )
