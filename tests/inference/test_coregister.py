"""A known displacement is found and undone."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy import ndimage

from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.coregister import fit_affine, register
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.rewrite import moved, rewrite
from torchgeo_ext.inference.shift import estimate_shift

PLACE = Affine(10, 0, 500_000, 0, -10, 5_300_000)


def texture(size=640, seed=0):
    """Make ground with detail of several pixels."""
    random = np.random.default_rng(seed)
    return (
        ndimage.gaussian_filter(random.normal(size=(1, size, size)), (0, 1.5, 1.5)) * 1000
    ).astype('float32')


def source(path, **options):
    return RasterSource(str(path), resampling='cubic', argument=path.stem, **options)


@pytest.fixture(scope='module')
def reference(tmp_path_factory):
    return write_raster(tmp_path_factory.mktemp('r') / 'reference.tif', texture(), transform=PLACE)


def displaced(path, by, crs=None):
    """Write the ground of the reference with a wrong georeference."""
    return write_raster(path, texture(), transform=by @ PLACE)


def grid_of(path):
    with rasterio.open(path) as dataset:
        return Grid.of(dataset)


def test_a_shift_is_found(reference, tmp_path):
    image = displaced(tmp_path / 'image.tif', Affine.translation(123.4, -56.7))
    grid = grid_of(reference).crop(grid_of(image).bounds)
    found = register(source(reference), source(image), grid)
    assert (found.x, found.y) == pytest.approx((12.34, 5.67), abs=0.03)
    assert found.transform == pytest.approx(PLACE, abs=0.3)
    assert found.residual < 0.1
    assert found.used > 0.7 * found.looked_at


def test_an_affine_map_is_found(reference, tmp_path):
    middle = Affine.translation(503_200, 5_296_800)
    wrong = middle @ Affine.rotation(0.15) @ Affine.scale(1.002, 0.999) @ ~middle
    image = displaced(tmp_path / 'image.tif', Affine.translation(20, 30) @ wrong)
    grid = grid_of(reference).crop(grid_of(image).bounds)
    found = register(source(reference), source(image), grid, 'affine', along=12)
    corners = [(0, 0), (640, 0), (0, 640), (640, 640)]
    distance = [np.hypot(*np.subtract(found.transform @ c, PLACE @ c)) / 10 for c in corners]
    assert max(distance) < 0.25
    # a shift alone leaves more
    assert register(source(reference), source(image), grid).residual > 2 * found.residual


def test_windows_that_contradict_are_left_out():
    random = np.random.default_rng(0)
    there = random.random((30, 2)) * 1000 + [500_000, 5_300_000]
    true = Affine.translation(7, -3) @ Affine.scale(1 + 1e-6)
    wanted = np.array([true @ tuple(p) for p in there])
    wanted[:8] += random.normal(0, 200, (8, 2))
    fitted, used = fit_affine(there, wanted, 'affine', 0.5)
    assert not used[:8].any()
    assert used[8:].all()
    np.testing.assert_allclose([fitted @ tuple(p) for p in there[8:]], wanted[8:], atol=1e-6)


def test_nothing_in_common_is_refused(reference, tmp_path):
    other = write_raster(tmp_path / 'image.tif', texture(seed=9), transform=PLACE)
    with pytest.raises(BadInput, match=r'clear offset in only \d+ of 9 windows; shift needs'):
        register(source(reference), source(other), grid_of(reference))


def test_another_reference_system(reference, tmp_path):
    """The image is in degrees, and the correction is too."""
    with rasterio.open(reference) as dataset:
        place, width, height = rasterio.warp.calculate_default_transform(
            dataset.crs, 'EPSG:4326', dataset.width, dataset.height, *dataset.bounds
        )
        there = Grid(rasterio.crs.CRS.from_epsg(4326), place, width, height)
    rewrite(source(reference), tmp_path / 'degrees.tif', onto=there)
    shifted = Affine.translation(place.a * 2, place.e * -3) @ place
    image = tmp_path / 'image.tif'
    rewrite(source(tmp_path / 'degrees.tif'), image, place=shifted)
    found = register(source(reference), source(image), grid_of(reference))
    error = np.subtract(found.transform @ (width / 2, height / 2), place @ (width / 2, height / 2))
    assert np.hypot(*error) / place.a < 0.15


def test_moved_reads_the_same_pixels_elsewhere(reference):
    there = Affine.translation(5, 5) @ PLACE
    with moved(str(reference), there) as path, rasterio.open(path) as dataset:
        assert dataset.transform == there
        np.testing.assert_array_equal(dataset.read(), texture())


def test_after_correction_nothing_is_off(reference, tmp_path):
    image = displaced(tmp_path / 'image.tif', Affine.translation(-33, 21))
    grid = grid_of(reference).crop(grid_of(image).bounds)
    found = register(source(reference), source(image), grid)
    rewrite(source(image), tmp_path / 'right.tif', place=found.transform)
    shift = estimate_shift(source(reference), source(tmp_path / 'right.tif'), grid)
    assert (shift.x, shift.y) == pytest.approx((0, 0), abs=0.05)
