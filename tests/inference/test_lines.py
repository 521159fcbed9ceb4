"""Centre lines: where they run, how long and wide they are, and that tiles leave no seams."""

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize

from tests.rasters import write_raster
from torchgeo_ext.inference import Grid, RasterSource, lines
from torchgeo_ext.inference.lines import centre_lines
from torchgeo_ext.inference.thinning import thin

LEFT, TOP, PIXEL = 500_000, 5_300_000, 10


def nonzero(values):
    return values > 0, values


def draw(shapes, size=200, value=1):
    """Burn shapes in pixel coordinates."""
    return rasterize([(shape, value) for shape in shapes], (size, size), dtype='uint8')


def trace(folder, values, **options):
    path = write_raster(folder / 'r.tif', values)
    source = RasterSource(str(path))
    with source.open() as reader:
        grid = reader.grid
    return centre_lines(source, grid, nonzero, **options)


def in_pixels(shape):
    return shapely.transform(shape, lambda xy: (xy - (LEFT, TOP)) / (PIXEL, -PIXEL))


@pytest.mark.parametrize('width', [1, 3, 8, 15])
def test_a_straight_line(tmp_path, width):
    middle = shapely.LineString([(20, 30), (170, 120)])
    found = trace(tmp_path, draw([middle.buffer(width / 2, cap_style='flat')]))
    assert len(found.shapes) == 1
    line = in_pixels(found.shapes[0])
    assert line.hausdorff_distance(middle) < 1.5 + width / 2
    assert shapely.distance(shapely.points(line.coords), middle).max() < 1.5
    # areas are true to the ellipsoid, so pixels are not quite 10 m wide
    assert found.lengths[0] == pytest.approx(10 * line.length, rel=0.001)
    assert found.widths[0] == pytest.approx(10 * width, abs=15)
    assert found.scores[0] == 1


def test_lines_that_meet_are_parted_there(tmp_path):
    cross = [
        shapely.LineString([(20, 100), (180, 100)]), shapely.LineString([(90, 10), (110, 190)])
    ]  # fmt: skip
    found = trace(tmp_path, draw([line.buffer(3) for line in cross]))
    assert len(found.shapes) == 4
    ends = np.array([point for line in found.shapes for point in (line.coords[0], line.coords[-1])])
    assert len(np.unique(ends, axis=0)) == 5
    assert shapely.union_all(found.shapes).length / 10 == pytest.approx(160 + 181, rel=0.05)


def test_a_ring_and_what_is_too_wide_or_too_short(tmp_path, caplog):
    ring = shapely.Point(60, 60).buffer(40).boundary.buffer(3)
    blob = shapely.Point(150, 150).buffer(30)
    short = shapely.LineString([(10, 190), (20, 190)]).buffer(1)
    values = draw([ring, blob, short])
    found = trace(tmp_path, values, maximum_width=12, minimum_length=500)
    (line,) = found.shapes
    assert line.is_ring
    assert found.lengths[0] == pytest.approx(2 * np.pi * 400, rel=0.03)
    assert 'wider than 12 pixels' in caplog.text
    assert len(trace(tmp_path, values, maximum_width=12).shapes) == 2
    assert len(trace(tmp_path, values * 0).shapes) == 0
    assert len(trace(tmp_path, values * 0 + 1).shapes) == 0


def wild(size=300, seed=0):
    """Crooked lines of all widths, and some areas."""
    random = np.random.default_rng(seed)
    shapes = [
        shapely.LineString(random.uniform(0, size, (4, 2))).buffer(random.uniform(0.6, 6))
        for _ in range(12)
    ]
    return draw([*shapes, shapely.Point(200, 80).buffer(25)], size)


@pytest.mark.parametrize('tile', [37, 64, 150])
def test_tiles_leave_no_seams(tmp_path, monkeypatch, tile):
    values = wild()
    whole = trace(tmp_path, values, maximum_width=14)
    monkeypatch.setattr(lines, '_TILE', tile)
    parts = trace(tmp_path, values, maximum_width=14)
    # the same lines, which may begin at their other end or be listed in another order
    one, other = (
        sorted(shapely.normalize(found.shapes).tolist(), key=str) for found in (whole, parts)
    )
    assert len(one) > 20
    assert one == other
    np.testing.assert_allclose(sorted(whole.widths), sorted(parts.widths))


def test_lines_stay_connected_and_one_pixel_wide():
    area = wild().astype(bool)
    line, distance, wide = thin(area, 60)
    assert not wide.any()
    assert (line <= area).all()
    one, other = (connected(each) for each in (area, line))
    assert one == other
    # no square of two by two pixels is left but where lines cross
    squares = line[1:, 1:] & line[:-1, 1:] & line[1:, :-1] & line[:-1, :-1]
    assert squares.sum() < 0.01 * line.sum()
    assert (distance[line] >= 1).all()


def connected(area):
    from scipy.ndimage import label

    return label(area, np.ones((3, 3)))[1]


def test_a_raster_without_reference_system(tmp_path):
    middle = shapely.LineString([(20, 30), (170, 30)])
    path = write_raster(tmp_path / 'r.tif', draw([middle.buffer(2)]), crs=None)
    source = RasterSource(str(path))
    with source.open() as reader:
        grid: Grid = reader.grid
    found = centre_lines(source, grid, nonzero)
    assert found.lengths[0] == pytest.approx(1500, rel=0.03)
