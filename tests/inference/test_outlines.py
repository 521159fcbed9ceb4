"""Streamed outlines against GDAL's polygons of the whole raster."""

import numpy as np
import pytest
import shapely
from rasterio.features import shapes

from torchgeo_ext.inference import _outlines
from torchgeo_ext.inference._outlines import Outlines, OutlineTracer


def trace(raster, rows):
    tracer = OutlineTracer(raster.shape[1], 0, raster.dtype)
    parts = [tracer.push(raster[row : row + rows]) for row in range(0, len(raster), rows)]
    return [*parts, tracer.finish()]


def polygons(outlines: Outlines):
    ragged = (outlines.rings, outlines.polygons)
    coordinates = outlines.vertices.astype(float)
    return shapely.from_ragged_array(shapely.GeometryType.POLYGON, coordinates, ragged)


def listed(pairs):
    """Polygons with their values, written in one way whatever ring or vertex came first."""
    return sorted((int(value), shapely.normalize(polygon).wkt) for value, polygon in pairs)


def streamed(raster, rows):
    parts = trace(raster, rows)
    return listed(pair for part in parts for pair in zip(part.values, polygons(part), strict=True))


def in_one_go(raster):
    found = shapes(raster, mask=raster != 0, connectivity=4)
    return listed((value, shapely.geometry.shape(geometry)) for geometry, value in found)


def rasters(seed):
    """Noise, blobs and stripes with few and many values, of all small sizes."""
    rng = np.random.default_rng(seed)
    for _ in range(40):
        height, width = rng.integers(1, 24, 2)
        noise = rng.integers(0, rng.integers(2, 6), (height, width))
        blobs = np.repeat(np.repeat(noise, 3, axis=0), 2, axis=1)[:height, :width]
        holes = np.where(rng.random((height, width)) < 0.3, noise, 1)
        yield from (noise, blobs, holes)


@pytest.mark.parametrize('many', [4096, 3])
@pytest.mark.parametrize('seed', range(4))
def test_bands_of_any_height_give_the_polygons_of_the_whole(seed, many, monkeypatch):
    # 3: nearly every open region has its corners set aside
    monkeypatch.setattr(_outlines, '_MANY', many)
    for raster in rasters(seed):
        raster = raster.astype(np.int32)
        expected = in_one_go(raster)
        for rows in {1, 2, 5, len(raster)}:
            assert streamed(raster, rows) == expected, (raster.tolist(), rows)


def test_polygons_are_valid_where_a_region_meets_itself_at_a_corner():
    raster = np.ones((6, 6), np.int32)
    raster[1, 1] = raster[2, 2] = 0  # two holes that touch
    raster[0, 5] = raster[1, 4] = 0  # a hole that touches the outside
    (polygon,) = polygons(trace(raster, 6)[-1])
    assert polygon.is_valid
    assert polygon.area == raster.sum()
    assert len(polygon.interiors) == 3


def test_pixels_that_meet_at_a_corner_are_two_polygons():
    assert len(streamed(np.eye(2, dtype=np.int32), 1)) == 2


def test_a_region_is_given_as_soon_as_it_is_complete():
    raster = np.array([[1, 0, 2], [0, 0, 2], [0, 0, 0]], np.int32)
    first, second, third, rest = trace(raster, 1)
    assert [part.values.tolist() for part in (first, second, third, rest)] == [[], [1], [2], []]


def test_a_ring_around_the_whole_raster_is_joined_at_the_bottom():
    raster = np.zeros((50, 50), np.int32)
    raster[::2] = 1
    raster[:, [0, -1]] = 1
    (part,) = [part for part in trace(raster, 3) if len(part)]
    (polygon,) = polygons(part)
    assert polygon.area == raster.sum()
    assert len(polygon.interiors) == 24


def test_select_keeps_whole_polygons():
    raster = np.array([[1, 1, 1, 0, 2], [1, 0, 1, 0, 2], [1, 1, 1, 0, 2]], np.int32)
    outlines = trace(raster, 3)[-1]
    kept = outlines.select(outlines.values == 1)
    assert kept.values.tolist() == [1]
    assert polygons(kept)[0].area == 8
    assert len(outlines.select(np.zeros(2, bool))) == 0
