"""build_cells: cells of the Earth where points are, on real files."""

import geopandas
import numpy as np
import pytest

from tests.points import write_points
from torchgeo_ext.cells import CellHierarchy
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import build_cells


@pytest.fixture
def points(tmp_path):
    """A hundred points beside the antimeridian, and some in Europe."""
    random = np.random.default_rng(0)
    near = np.column_stack([random.uniform(178, 182, 100), random.uniform(-20, -15, 100)])
    places = np.concatenate([near, random.uniform((5, 45), (15, 50), (10, 2))])
    return write_points(tmp_path / 'points.gpkg', places)


def test_cells_of_two_partitions(points, tmp_path):
    result = build_cells(
        points, tmp_path / 'c.gpkg', maximum='60, 15', minimum=2, cells=tmp_path / 'c.json'
    )
    cells = geopandas.read_file(tmp_path / 'c.gpkg')
    assert cells.crs == 'EPSG:4326'
    coarse, fine = (cells[cells['partition'] == number] for number in (1, 2))
    assert (coarse['points'].max(), fine['points'].max()) <= (60, 15)
    assert fine['points'].min() >= 2
    assert len(fine) == result.cell_count > len(coarse)
    assert result.point_count == 110
    assert result.left_out_count == 110 - fine['points'].sum()
    assert (result.smallest_level, result.largest_level) == (
        fine['level'].min(),
        fine['level'].max(),
    )
    # on both sides of the antimeridian, and not across the whole map
    torn = fine[fine.longitude.abs() > 170]
    left, _, right, _ = torn.total_bounds
    assert (left, right) == (-180, 180)
    parts = torn.geometry.explode().bounds
    assert (parts['maxx'] - parts['minx']).max() < 20
    hierarchy = CellHierarchy.load(tmp_path / 'c.json')
    assert hierarchy.finest.tokens == fine['cell'].tolist()


def test_what_cannot_be_is_refused(points, tmp_path):
    with pytest.raises(BadParameter, match="maximum is 'many'"):
        build_cells(points, tmp_path / 'c.gpkg', maximum='many')
    with pytest.raises(BadParameter, match='descending'):
        build_cells(points, tmp_path / 'c.gpkg', maximum='5,10')
    with pytest.raises(BadParameter, match='minimum is 20 and maximum 10'):
        build_cells(points, tmp_path / 'c.gpkg', maximum='10', minimum=20)
    with pytest.raises(BadInput, match='no cell has 500'):
        build_cells(points, tmp_path / 'c.gpkg', minimum=500)
    assert not list(tmp_path.glob('c.*'))
