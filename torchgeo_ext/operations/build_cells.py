"""Cut the Earth into cells, small ones where there are many points."""

from typing import Annotated, NamedTuple

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.operations._operation import (
    Features,
    Label,
    StrPath,
    Styles,
    VectorOut,
    file_out,
    operation,
    within,
)


class BuildCellsResult(NamedTuple):
    """Result of :func:`build_cells`.

    Attributes:
        cell_count: Cells of the finest partition.
        point_count: Points that have a place.
        left_out_count: Those of them that lie in no cell of the finest partition.
        smallest_level: Level of its largest cell.
        largest_level: Level of its smallest cell.
    """

    output: str
    cells: str | None
    cell_count: int
    point_count: int
    left_out_count: int
    smallest_level: int
    largest_level: int
    styles: Styles


@operation(
    label='Build cells',
    group='Location',
    tags=('S2 cells', 'PlaNet', 'grid', 'partition', 'density', 'adaptive', 'quadtree'),
)
def build_cells(
    points: Features,
    output: Annotated[VectorOut, Label('Cells')],
    *,
    maximum: str = '1000',
    minimum: Annotated[int, within(1, None, 'points')] = 1,
    deepest: Annotated[int, within(0, 30)] = 30,
    cells: Annotated[StrPath, file_out('json'), Label('Cells as JSON')] | None = None,
) -> BuildCellsResult:
    """Cut the Earth into cells, small ones where there are many points and large ones elsewhere.

    Cells are those of S2: the six faces of a cube around the Earth, of which one with too many
    points is cut into quarters, and so on. What is learned from the points has about equally many
    examples in each of them; PlaNet tells places so.

    Args:
        points: Points in any coordinate reference system.
        output: Cells to write (GeoPackage): partition (from 1, coarse to fine), cell (its name in
            S2), level, points (how many are in it), longitude, latitude (the middle of these) and
            radius_km (how far the farthest corner is from there).
        maximum: Points that a cell may have. Several numbers in descending order, separated by
            commas, make partitions from coarse to fine whose cells lie in each other.
        minimum: Points that a cell must have; those with fewer are left out.
        deepest: Level of cells that are not cut any more, however many points they have. Those of
            level 0 are a sixth of the Earth, those of level 10 about 10 km wide, and half as wide
            with each level.
        cells: JSON file for the training of Geolocation to write.

    Raises:
        BadInput: If the layer has no points, or no cell has enough of them.
        BadParameter: If maximum has something else than numbers in descending order, or one below
            minimum.
    """
    from torchgeo_ext.cells import CellHierarchy, within_180
    from torchgeo_ext.inference.points import PointLayer
    from torchgeo_ext.operations._geolocation import write_partitions

    places = within_180(PointLayer.open(points, 'points').located())
    hierarchy = CellHierarchy.build(places, _numbers(maximum), minimum, deepest)
    write_partitions(output, hierarchy)
    if cells is not None:
        hierarchy.save(cells)
    finest = hierarchy.finest
    return BuildCellsResult(
        output=str(output),
        cells=None if cells is None else str(cells),
        cell_count=len(finest),
        point_count=len(places),
        left_out_count=len(places) - int(finest.counts.sum()),
        smallest_level=min(finest.levels),
        largest_level=max(finest.levels),
        styles={},
    )


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(',')]
    except ValueError as error:
        raise BadParameter(
            f'maximum is {text!r}, but must be whole numbers separated by commas.',
            'Give one number, or several in descending order, such as 10000,1000.',
        ) from error
