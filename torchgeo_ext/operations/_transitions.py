"""From what to what: codes, names and colours of transitions between classes, and their table."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torchgeo_ext.operations._operation import ClassEntry, StrPath, Styles
from torchgeo_ext.operations._tables import Table, hectares, write_table
from torchgeo_ext.progress import Progress

if TYPE_CHECKING:
    import numpy as np

    from torchgeo_ext.bundles import BundleCard
    from torchgeo_ext.inference.outputs import ClassLike, Scores

UNCHANGED: ClassEntry = {'value': 0, 'name': 'unchanged', 'color': '#f0f0f0'}

#: Share of the colour of the class before in that of a transition.
_BEFORE = 0.3


def transitions(before: 'Sequence[ClassLike]', after: 'Sequence[ClassLike]') -> list[ClassEntry]:
    """List what a pixel can be: unchanged, or changed from each class to each class.

    Args:
        before: The land cover before.
        after: The land cover after.

    Returns:
        Values 0 for unchanged and 1 + k * (number before) + (number after), counting the classes
        from 0, of which there are k after. A changed pixel may keep its class: something else of
        the same kind.
    """
    entries = [UNCHANGED]
    for old in before:
        for new in after:
            entries.append(
                {
                    'value': len(entries),
                    'name': f'{old.name} → {new.name}',
                    'color': _mixed(old.color, new.color),
                }
            )
    return entries


def _mixed(before: str, after: str) -> str:
    pairs = zip(bytes.fromhex(before[1:]), bytes.fromhex(after[1:]), strict=True)
    return '#' + bytes(round(_BEFORE * b + (1 - _BEFORE) * a) for b, a in pairs).hex()


def decide_transition(
    card: 'BundleCard', threshold: float
) -> 'Callable[[Scores], np.ndarray[Any, Any]]':
    """Make what tells the transition of each pixel, as its value, from a model's scores.

    Args:
        card: A model of semantic change.
        threshold: Score of change from which on a pixel is changed.
    """
    count, maps = len(card.classes), card.maps

    def decide(scores: 'Scores') -> 'np.ndarray[Any, Any]':
        import numpy as np

        changed = scores.reached(maps['change'].start, threshold)
        before, after = (scores.part(maps[date]).best for date in ('before', 'after'))
        # of 16 bits, as the classes of 16 land covers make more than 255 transitions
        code = 1 + count * before.astype(np.uint16) + after
        return np.where(changed, code, 0).astype(np.uint16)

    return decide


class Changes(NamedTuple):
    """What a raster of transitions says in short.

    Attributes:
        area: Square metres that changed.
        fraction: Share of the pixels that changed.
        pixels: Pixels with data.
        commonest: Name of the transition that covers most ground; empty if nothing changed.
    """

    area: float
    fraction: float
    pixels: int
    commonest: str


def report_transitions(
    raster: Any,
    before: 'Sequence[ClassLike]',
    after: 'Sequence[ClassLike]',
    *,
    polygons: Any,
    minimum_area: float,
    matrix: StrPath | None,
    styles: Styles,
    progress: Progress,
) -> Changes:
    """Measure a raster of transitions, and write its polygons and table if they are wanted.

    Args:
        raster: The raster.
        before: The land cover before.
        after: The land cover after.
        polygons: The GeoPackage to write, or None.
        minimum_area: Leave out smaller polygons, in square metres.
        matrix: The table to write, or None.
        styles: Gets those of the raster, with what occurs, and of the polygons.
        progress: Told how far the work is.
    """
    from torchgeo_ext.operations._change import ground_by_value, outline_values, show_classes

    legend = transitions(before, after)
    ground = ground_by_value(raster)
    areas = {value: area for value, (_, area) in ground.items()}
    found = {value: area for value, area in areas.items() if value}
    # a handful of classes has dozens of transitions, most of which are nowhere
    styles['output'] = show_classes(raster, [e for e in legend if e['value'] in areas])
    if polygons is not None:
        shown = [entry for entry in legend if entry['value'] in found]
        styles['polygons'] = outline_values(raster, polygons, shown, minimum_area, progress)
    if matrix is not None:
        write_transitions(matrix, before, after, areas)
    pixels = sum(count for count, _ in ground.values())
    unchanged = ground.get(0, (0, 0.0))[0]
    return Changes(
        area=sum(found.values()),
        fraction=1 - unchanged / pixels if pixels else 0.0,
        pixels=pixels,
        commonest=legend[max(found, key=found.__getitem__)]['name'] if found else '',
    )


def write_transitions(
    path: StrPath,
    before: 'Sequence[ClassLike]',
    after: 'Sequence[ClassLike]',
    ground: Mapping[int, float],
) -> None:
    """Write hectares by class before (rows) and after (columns) as CSV or, by its name, HTML.

    Args:
        path: The file.
        before: The land cover before.
        after: The land cover after.
        ground: Square metres by value of the transition; 0 is unchanged.
    """
    count = len(after)
    areas = [[ground.get(1 + count * b + a, 0.0) for a in range(count)] for b in range(len(before))]
    rows = [
        [entry.name, *map(hectares, row), hectares(sum(row))]
        for entry, row in zip(before, areas, strict=True)
    ]
    totals = [sum(column) for column in zip(*areas, strict=True)]
    rows.append(['changed', *map(hectares, totals), hectares(sum(totals))])
    rows.append(['unchanged', *[''] * count, hectares(ground.get(0, 0.0))])
    table = Table(
        title='What became of what',
        header=['from, to (hectares)', *(entry.name for entry in after), 'sum'],
        rows=rows,
        column_colors=[None, *(entry.color for entry in after), None],
    )
    write_table(path, table, 'matrix')
