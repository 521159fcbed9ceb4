"""Areas on the ground, against pyproj's geodesic areas and equal-area projections."""

import math

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Geod
from rasterio.crs import CRS

from torchgeo_ext.inference._outlines import OutlineTracer
from torchgeo_ext.inference.area import GroundArea, pixel_area, shape_areas
from torchgeo_ext.inference.grid import Grid


def outlines(raster):
    tracer = OutlineTracer(raster.shape[1], 0, np.dtype(np.int32))
    # the row of background completes everything
    return tracer.push(np.concatenate((raster, 0 * raster[:1])).astype(np.int32))


def frame(size=60):
    """A square with a hole: 3/4 of ``size`` squared pixels."""
    raster = np.ones((size, size), np.int32)
    quarter = size // 4
    raster[quarter:-quarter, quarter:-quarter] = 0
    return raster


def area(raster, crs, transform):
    (value,) = GroundArea(None if crs is None else CRS.from_user_input(crs), transform)(
        outlines(raster)
    )
    return value


def geodesic(corners):
    return abs(Geod(ellps='WGS84').polygon_area_perimeter(*zip(*corners, strict=True))[0])


@pytest.mark.parametrize('metres', [0.1, 10, 10_000])
def test_an_equal_area_projection_gives_its_planar_areas(metres):
    transform = Affine(metres, 0, 4_000_000, 0, -metres, 2_900_000)
    expected = 2700 * metres**2
    assert area(frame(), 'EPSG:3035', transform) == pytest.approx(expected, rel=1e-6)


def test_feet_are_converted():
    # Albers equal area in US survey feet
    crs = '+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96 +datum=NAD83 +units=us-ft'
    transform = Affine(100, 0, 1_000_000, 0, -100, 2_000_000)
    expected = 2700 * (100 * 1200 / 3937) ** 2
    assert area(frame(), crs, transform) == pytest.approx(expected, rel=1e-6)


def test_utm_is_corrected_by_its_scale():
    transform = Affine(10, 0, 499_700, 0, -10, 5_000_000)
    expected = 270_000 / 0.9996**2
    assert area(frame(), 'EPSG:32633', transform) == pytest.approx(expected, rel=1e-6)


def test_web_mercator_is_not_taken_at_its_word():
    at_60_degrees = 8_399_737.89
    transform = Affine(10, 0, 500_000, 0, -10, at_60_degrees + 300)
    radius = 6_378_137.0
    e2 = 0.00669437999014
    sine = math.sin(math.radians(60))
    # product of the scales along the meridian and the parallel
    normal = radius / math.sqrt(1 - e2 * sine**2)
    meridian = radius * (1 - e2) / (1 - e2 * sine**2) ** 1.5
    expected = 270_000 * math.cos(math.radians(60)) ** 2 * normal * meridian / radius**2
    assert area(frame(), 'EPSG:3857', transform) == pytest.approx(expected, rel=1e-6)


def test_degrees_give_what_lies_between_parallels_and_meridians():
    transform = Affine(0.001, 0, 10, 0, -0.001, 60)
    square = np.ones((60, 60), np.int32)
    corners = [(10 + c * 0.001, 60 - r * 0.001) for c, r in outlines(square).vertices]
    assert area(square, 'EPSG:4326', transform) == pytest.approx(geodesic(corners), rel=1e-6)


def test_the_whole_globe():
    globe = area(np.ones((180, 360), np.int32), 'EPSG:4326', Affine(1, 0, -180, 0, -1, 90))
    assert globe == pytest.approx(510_065_621_724_088, rel=1e-9)


def test_rotated_degrees():
    transform = Affine.translation(10, 50) * Affine.rotation(30) * Affine.scale(0.01, -0.01)
    square = np.ones((50, 50), np.int32)
    sides = np.linspace(0, 50, 501)
    rim = [
        *[(s, 0) for s in sides], *[(50, s) for s in sides],
        *[(s, 50) for s in sides[::-1]], *[(0, s) for s in sides[::-1]],
    ]  # fmt: skip
    expected = geodesic([transform * point for point in rim])
    assert area(square, 'EPSG:4326', transform) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('latitude', [-90, 90])
@pytest.mark.parametrize('raster', [np.ones((60, 60), np.int32), frame()], ids=['full', 'hole'])
def test_around_a_pole(latitude, raster):
    crs = f'+proj=laea +lat_0={latitude} +ellps=WGS84'
    transform = Affine(10_000, 0, -300_000, 0, -10_000, 300_000)
    assert area(raster, crs, transform) == pytest.approx(raster.sum() * 1e8, rel=1e-5)


def test_across_the_antimeridian():
    transform = Affine(10_000, 0, -300_000, 0, -10_000, 300_000)
    crs = '+proj=laea +lat_0=20 +lon_0=180 +ellps=WGS84'
    assert area(frame(), crs, transform) == pytest.approx(2700 * 1e8, rel=1e-6)


def test_grads_and_another_prime_meridian():
    paris = area(frame(), 'EPSG:4807', Affine(0.001, 0, 2, 0, -0.001, 54))
    clarke = '+proj=longlat +a=6378249.2 +b=6356515'
    degrees = area(frame(), clarke, Affine(0.0009, 0, 4, 0, -0.0009, 48.6))
    assert paris == pytest.approx(degrees, rel=1e-9)


@pytest.mark.parametrize(
    ('crs', 'unit'), [(None, 1), ('LOCAL_CS["site",UNIT["foot",0.3048]]', 0.3048)]
)
def test_without_an_ellipsoid_areas_are_planar(crs, unit):
    transform = Affine(2, 0, 1_000, 0, -2, 1_000)
    assert area(frame(), crs, transform) == pytest.approx(2700 * 4 * unit**2)


def test_off_the_earth_no_area_is_known():
    transform = Affine(200_000, 0, -10_000_000, 0, -200_000, 10_000_000)
    assert math.isnan(area(np.ones((100, 100), np.int32), '+proj=ortho', transform))


def test_many_vertices_are_worked_on_in_chunks(monkeypatch):
    from torchgeo_ext.inference import area as module

    raster = np.random.default_rng(0).integers(0, 3, (40, 40))
    ground = GroundArea(CRS.from_epsg(32633), Affine(10, 0, 5e5, 0, -10, 5e6))
    pixels = GroundArea(None, Affine.identity())
    whole, counted = ground(outlines(raster)), pixels(outlines(raster))
    assert counted.sum() == np.count_nonzero(raster)
    monkeypatch.setattr(module, '_CHUNK', 7)
    np.testing.assert_allclose(ground(outlines(raster)), whole, rtol=1e-12)
    np.testing.assert_array_equal(pixels(outlines(raster)), counted)


def test_the_pixel_in_the_middle():
    grid = Grid(CRS.from_epsg(3035), Affine(30, 0, 4_000_000, 0, -20, 2_900_000), 101, 67)
    assert pixel_area(grid) == pytest.approx(600, rel=1e-6)
    assert pixel_area(Grid(None, Affine(2, 0, 0, 0, -3, 0), 1, 1)) == 6


@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:4979', 'EPSG:3857', 'EPSG:32633'])
def test_shapes_with_holes_and_parts(crs):
    house = shapely.box(15, 48, 15.01, 48.01).difference(
        shapely.box(15.002, 48.002, 15.008, 48.008)
    )
    two = shapely.union(house, shapely.box(15.003, 48.003, 15.005, 48.005))
    # nobody says which way round rings are drawn
    backwards = shapely.Polygon(house.exterior.coords[::-1], [house.interiors[0].coords[::-1]])
    shapes = np.array([house, None, two, shapely.Point(15, 48), backwards, shapely.Polygon()])
    expected = [
        0 if shape is None else abs(Geod(ellps='WGS84').geometry_area_perimeter(shape)[0])
        for shape in (shapely.orient_polygons(shapes))
    ]
    there = geopandas.GeoSeries(shapes, crs='EPSG:4326').to_crs(crs).values
    found = shape_areas(np.array(there), CRS.from_user_input(crs))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[2] > found[0] == pytest.approx(found[4], rel=1e-9)


def test_shapes_without_reference_system_are_planar():
    shapes = np.array([shapely.box(1e6 + 0.25, 5, 1e6 + 2.75, 9)])
    assert shape_areas(shapes, None).tolist() == [10.0]
    assert shape_areas(np.array([], object), None).tolist() == []
