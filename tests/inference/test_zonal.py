"""Pixels in polygons, against asking every polygon for every pixel."""

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from shapely import affinity

from tests.rasters import UTM, write_raster
from torchgeo_ext.inference import zonal
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.zonal import Zones

VALUES = (1, 4, 9)
PLACE = Affine(10, 0, 500_000, 0, -10, 5_300_000)
SOUTH_UP = Affine(10, 0, 500_000, 0, 10, 5_300_000)
TURNED = Affine.translation(500_000, 5_300_000) @ Affine.rotation(30) @ Affine.scale(10, -7)


def grid(transform=PLACE, width=70, height=50, crs=UTM):
    return Grid(CRS.from_user_input(crs), transform, width, height)


def polygons(place, count=60, seed=0):
    """Boxes, rings and pairs of boxes, turned at random; some beyond the grid, many overlapping."""
    random = np.random.default_rng(seed)
    shapes = []
    for kind in random.integers(0, 3, count):
        column, row = random.uniform((-8, -8), (place.width + 8, place.height + 8))
        wide, high = random.uniform(0.2, 12, 2)
        shape = shapely.box(column, row, column + wide, row + high)
        if kind == 1:
            shape = shape.difference(affinity.scale(shape, 0.5, 0.5))
        if kind == 2:
            shape = shapely.union(shape, affinity.translate(shape, wide + 2, 1))
        shape = affinity.rotate(shape, random.uniform(0, 90))
        shapes.append(affinity.affine_transform(shape, shapely_order(place.transform)))
    return np.array(shapes)


def shapely_order(t):
    return t.a, t.b, t.d, t.e, t.c, t.f


def centres(place):
    rows, columns = np.mgrid[: place.height, : place.width] + 0.5
    return place.transform @ (columns, rows)


def brute_force(shapes, place):
    """Which pixels each polygon has, (n, height, width)."""
    inside = np.array([shapely.contains_xy(shape, *centres(place)) for shape in shapes])
    for number in np.flatnonzero(~inside.any(axis=(1, 2))):
        point = shapely.point_on_surface(shapes[number])
        column, row = map(int, np.floor(~place.transform @ (point.x, point.y)))
        if 0 <= column < place.width and 0 <= row < place.height:
            inside[number, row, column] = True
    return inside


def pixels(zones, tmp_path):
    """How many pixels each polygon has."""
    place = zones.grid
    nothing = np.zeros((place.height, place.width), 'uint8')
    path = tmp_path / 'nothing.tif'
    write_raster(path, nothing, crs=place.crs, transform=place.transform)
    return zones.count(path, VALUES).pixels


@pytest.fixture
def raster(tmp_path):
    def make(place, nodata=0):
        values = np.random.default_rng(1).choice([0, 1, 2, 4, 9], (place.height, place.width))
        values = values.astype('uint8')
        path = write_raster(
            tmp_path / 'r.tif', values, crs=place.crs, transform=place.transform, nodata=nodata
        )
        return path, values

    return make


@pytest.mark.parametrize('window', [16, 1024])
@pytest.mark.parametrize('transform', [PLACE, SOUTH_UP, TURNED])
def test_counts_are_those_of_brute_force(transform, window, raster, monkeypatch):
    monkeypatch.setattr(zonal, '_WINDOW', window)
    place = grid(transform)
    shapes = polygons(place)
    inside = brute_force(shapes, place)
    path, values = raster(place)
    zones = Zones(shapes, UTM, place)
    counts = zones.count(path, VALUES)
    np.testing.assert_array_equal(counts.pixels, inside.sum(axis=(1, 2)))
    assert (counts.pixels == 0).any(), 'some lie elsewhere'
    expected = [[np.sum(own & (values == value)) for value in VALUES] for own in inside]
    np.testing.assert_array_equal(counts.values, expected)
    mask = zones.open(place).read(Window(7, 5, 40, 30))
    np.testing.assert_array_equal(mask, inside.any(axis=0)[5:35, 7:47])


def test_polygons_of_another_reference_system(raster):
    place = grid()
    shapes = polygons(place)
    degrees = geopandas.GeoSeries(shapes, crs=UTM).to_crs('EPSG:4326')
    path, _ = raster(place)
    ours = Zones(np.array(degrees.values), 'EPSG:4326', place)
    expected = Zones(shapes, UTM, place).count(path, VALUES)
    np.testing.assert_array_equal(ours.count(path, VALUES).values, expected.values)


def test_shares_of_the_area_on_the_grid(tmp_path):
    place = grid()
    left, bottom, right, top = place.bounds
    shapes = [
        shapely.box(left + 2, bottom + 2, left + 22, bottom + 22),
        shapely.box(left - 30, bottom, left + 10, bottom + 40),
        shapely.box(right, top, right + 10, top + 10),
        shapely.box(left, bottom, right, top),
    ]
    zones = Zones(np.array(shapes), UTM, place)
    np.testing.assert_allclose(zones.covered, [1, 0.25, 0, 1])
    np.testing.assert_array_equal(pixels(zones, tmp_path), [4, 4, 0, 70 * 50])


def test_what_is_no_polygon_has_no_pixels(tmp_path):
    place = grid(width=10, height=10)
    left, top = place.transform.c, place.transform.f
    corners = [(0, 0), (40, -40), (40, 0), (0, -40)]
    bow_tie = shapely.polygons(np.add(corners, (left, top)))
    shapes = [None, shapely.Point(left + 5, top - 5), shapely.Polygon(), bow_tie]
    found = pixels(Zones(np.array(shapes), UTM, place), tmp_path)
    assert found[:3].tolist() == [0, 0, 0]
    assert found[3] >= 4, 'both halves of it count'
    for nothing in ([None], []):
        zones = Zones(np.array(nothing, object), UTM, place)
        assert pixels(zones, tmp_path).tolist() == [0] * len(nothing)


def test_what_has_no_place_in_the_reference_system_lies_elsewhere(tmp_path):
    """The far side of the earth is nowhere in UTM."""
    shapes = np.array([shapely.box(-165.1, 10, -165, 10.1), shapely.box(14.9, 47, 15.1, 48)])
    zones = Zones(shapes, 'EPSG:4326', grid())
    elsewhere, here = pixels(zones, tmp_path)
    assert elsewhere == zones.covered[0] == 0
    assert here > 0


def test_a_sieve_has_no_pixels_but_the_one_it_lies_in(tmp_path):
    """Much area and little perimeter, and yet a hole at the centre of each pixel."""
    place = grid(Affine(10, 0, 0, 0, -10, 0), 12, 12)
    holes = [
        shapely.Point(x, -y).buffer(0.01).exterior
        for x in range(5, 100, 10)
        for y in range(5, 100, 10)
    ]
    sieve = shapely.Polygon(shapely.box(0.5, -99.5, 99.5, -0.5).exterior, holes)
    assert pixels(Zones(np.array([sieve]), UTM, place), tmp_path).tolist() == [1]


def test_small_polygons_have_the_pixel_they_lie_in(raster):
    place = grid(width=4, height=3)
    path, values = raster(place, nodata=None)
    left, top = place.transform.c, place.transform.f
    # two sheds in one pixel, and one below them
    shapes = [
        shapely.box(left + x, top - y - 1, left + x + 1, top - y)
        for x, y in ((11, 1), (17, 8), (11, 11))
    ]
    counts = Zones(np.array(shapes), UTM, place).count(path, range(10)).values
    assert counts.sum(axis=1).tolist() == [1, 1, 1]
    assert counts.argmax(axis=1).tolist() == [values[0, 1], values[0, 1], values[1, 1]]


def test_layers_are_few():
    """A terrace of houses that share walls, and the block around them."""
    houses = [shapely.box(x, 0, x + 10, 10) for x in range(0, 1000, 10)]
    index = zonal._Index(np.arange(101), np.array([*houses, shapely.box(-5, -5, 1005, 15)]))
    assert len(list(index.layers((-5, -5, 1005, 15)))) == 3
