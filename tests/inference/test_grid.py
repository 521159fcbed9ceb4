"""The grid and its tiles."""

from itertools import product

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.windows import Window

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Axis, Grid, check_tiling
from torchgeo_ext.inference.reader import open_raster

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.3, 0, 499_995.3, 0, -0.3, 4_649_685.22)
SOUTH_UP = Affine(0.3, 0, 499_995.3, 0, 0.3, 4_649_685.22)
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -2)
TRANSFORMS = pytest.mark.parametrize('transform', [NORTH_UP, SOUTH_UP, ROTATED])


def grid(width=40, height=30, transform=NORTH_UP, crs=UTM):
    return Grid(crs, transform, width, height)


@TRANSFORMS
def test_grid_of_a_raster_is_exact(tmp_path, transform):
    path = write_raster(tmp_path / 'a.tif', np.zeros((5, 7), 'uint8'), transform=transform)
    with open_raster(str(path)) as dataset:
        found = Grid.of(dataset)
    # torchgeo.md trap 2: float32 would be off by 0.22 m here
    assert found == Grid(UTM, transform, 7, 5)


def test_raster_tied_by_control_points_is_refused(tmp_path):
    points = [GroundControlPoint(r, c, 10 + c, 50 - r) for r, c in product((0, 5), (0, 5))]
    path = tmp_path / 'a.tif'
    rasterio.open(
        path, 'w', driver='GTiff', width=5, height=5, count=1, dtype='uint8', crs=UTM, gcps=points
    ).close()
    with open_raster(str(path)) as dataset, pytest.raises(BadInput, match='control points'):
        Grid.of(dataset)


@TRANSFORMS
def test_bounds_hold_all_corners_and_resolution_is_positive(transform):
    here = grid(transform=transform)
    corners = np.array([transform @ p for p in product((0, 40), (0, 30))])
    assert here.bounds[:2] == pytest.approx(corners.min(0), abs=1e-9)
    assert here.bounds[2:] == pytest.approx(corners.max(0), abs=1e-9)
    assert min(here.resolution) > 0


@pytest.mark.parametrize('transform', [NORTH_UP, SOUTH_UP])
def test_cropping_to_the_bounds_of_pixels_gives_these_pixels(transform):
    here = grid(transform=transform)
    window = Window(3, 4, 11, 5)
    part = here.part(window)
    assert here.crop(part.bounds) == part
    assert part.offset_in(here) == (3, 4)


def test_cropping_takes_every_pixel_the_extent_touches():
    here = grid(transform=Affine(10, 0, 0, 0, -10, 300))
    assert here.crop((5, 5, 11, 15)).bounds == (0, 0, 20, 20)


def test_cropping_in_another_crs():
    here = grid(400, 300, Affine(10, 0, 500_000, 0, -10, 5_300_000))
    part = here.crop((15.005, 47.83, 15.01, 47.84), CRS.from_epsg(4326))
    assert 30 < part.width < 45
    assert part.crs == UTM


@pytest.mark.parametrize(
    ('extent', 'words'),
    [((0, 0, 1, 1), 'outside'), ((5, 5, 5, 9), 'empty'), ((9, 0, 5, 1), 'empty')],
)
def test_cropping_to_nothing_is_refused(extent, words):
    with pytest.raises(BadParameter, match=f'extent.*{words}'):
        grid().crop(extent)


def test_grids_align_only_if_all_pixels_coincide():
    here = grid(1000, 1000)
    shifted = Affine.translation(0.3 * 7, -0.3 * 2) @ NORTH_UP
    assert grid(10, 10, shifted).offset_in(here) == (7, 2)
    # the origin coincides, the far end does not
    coarser = NORTH_UP @ Affine.scale(1.00001)
    assert grid(1000, 1000, coarser).offset_in(here) is None
    assert grid(10, 10, NORTH_UP, CRS.from_epsg(32634)).offset_in(here) is None


def test_overlap_across_coordinate_systems():
    here = grid(400, 300, Affine(10, 0, 500_000, 0, -10, 5_300_000))
    degrees = CRS.from_epsg(4326)
    assert grid(10, 10, Affine(0.01, 0, 15.0, 0, -0.01, 47.9), degrees).overlaps(here)
    assert not grid(10, 10, Affine(0.01, 0, 16.0, 0, -0.01, 47.9), degrees).overlaps(here)
    assert not here.overlaps(grid(10, 10, Affine(0.01, 0, 15.0, 0, -0.01, 12), degrees))


def test_windows_cover_each_pixel_once():
    here = grid(23, 17)
    times = np.zeros(here.shape, int)
    for window in here.windows(8):
        times[window.toslices()] += 1
    assert (times == 1).all()


AXES = [Axis(n, 16, overlap) for n in range(1, 65) for overlap in range(16)]


def test_tiles_lie_inside_and_share_what_was_asked_for():
    for axis in AXES:
        starts, stops = axis.starts, axis.stops
        assert starts[0] == 0, axis
        assert stops[-1] == axis.length, axis
        assert (np.diff(starts) > 0).all(), axis
        assert all(b - a == min(16, axis.length) for a, b in zip(starts, stops, strict=True)), axis
        shared = np.subtract(stops[:-1], starts[1:])
        assert (shared >= axis.overlap).all(), axis


def test_each_pixel_is_owned_by_one_tile_that_covers_it():
    for axis in AXES:
        times = np.zeros(axis.length, int)
        tiles = zip(axis.owned, axis.starts, axis.stops, strict=True)
        for (first, end), start, stop in tiles:
            assert start <= first < end <= stop, axis
            times[first:end] += 1
        assert (times == 1).all(), axis


def test_owned_pixels_keep_away_from_the_edges_of_their_tile():
    axis = Axis(200, 16, 6)
    for (first, end), start, stop in zip(axis.owned, axis.starts, axis.stops, strict=True):
        assert first == 0 or first - start >= 3
        assert end == 200 or stop - end >= 3


def test_weights_add_up_to_exactly_one_in_float32():
    for axis in AXES:
        total = np.zeros(axis.length, np.float32)
        for weights, start, stop in zip(axis.weights, axis.starts, axis.stops, strict=True):
            assert weights.dtype == np.float32
            assert (weights >= 0).all(), axis
            total[start:stop] += weights[: stop - start]
        assert (total == 1).all(), axis


@pytest.mark.parametrize(('height', 'width', 'overlap'), [(41, 50, 5), (64, 33, 11), (17, 9, 3)])
def test_products_of_weights_add_up_to_exactly_one(height, width, overlap):
    tiling = grid(width, height).tiles(16, overlap)
    total = np.zeros((height, width), np.float32)
    for tile in tiling:
        weights = np.outer(tiling.y.weights[tile.row], tiling.x.weights[tile.column])
        total[tile.window.toslices()] += weights[: tile.window.height, : tile.window.width]
    assert (total == 1).all()


def test_a_tile_counts_most_in_its_middle():
    weights = Axis(100, 16, 6).weights[2]
    assert (np.diff(weights[:6]) > 0).all()
    assert (weights[6:10] == 1).all()


@pytest.mark.parametrize(
    ('tile_size', 'overlap', 'name'),
    [(0, 0, 'tile_size'), (-5, 0, 'tile_size'), (16, 16, 'overlap'), (16, -1, 'overlap')],
)
def test_sizes_that_do_not_fit_are_refused(tile_size, overlap, name):
    with pytest.raises(BadParameter, match=name):
        check_tiling(tile_size, overlap)
