"""Offsets that are known are found, and none is made up."""

import numpy as np
import pytest
from affine import Affine
from scipy import ndimage

from tests.rasters import write_raster
from torchgeo_ext.errors import Canceled
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.shift import estimate_shift, phase_shift


def texture(bands=2, size=320, seed=0):
    """Make ground with detail of several pixels."""
    random = np.random.default_rng(seed)
    return ndimage.gaussian_filter(random.normal(size=(bands, size, size)), (0, 1.5, 1.5)) * 1000


def moved(image, x, y):
    """Move the ground by x columns and y rows."""
    return ndimage.shift(image, (0, y, x), order=5, mode='mirror')


@pytest.mark.parametrize(('x', 'y'), [(0, 0), (0.25, -0.4), (3.3, 1.5), (-17.7, 30.1)])
def test_finds_a_known_offset(x, y):
    ground = texture(size=256)
    found = phase_shift(ground, moved(ground, x, y))
    assert found[:2] == pytest.approx((x, y), abs=0.03)
    assert found[2] > 20


def test_brightness_contrast_noise_and_local_change_do_not_matter():
    ground = texture(size=256)
    after = 50 + 0.3 * moved(ground, 1.2, -0.6)
    after += np.random.default_rng(1).normal(size=after.shape) * 10
    after[:, 100:180, 60:150] = 0
    assert phase_shift(ground, after)[:2] == pytest.approx((1.2, -0.6), abs=0.05)


def test_unrelated_images_have_no_clear_peak():
    assert phase_shift(texture(), texture(seed=1))[2] < 7
    assert phase_shift(texture(), np.zeros((2, 320, 320)))[2] < 7


def source(tmp_path, name, image, **profile):
    path = write_raster(tmp_path / f'{name}.tif', image.astype(np.float32), **profile)
    return RasterSource(str(path), resampling='cubic', argument=name)


def test_reports_columns_right_and_rows_down(tmp_path):
    ground = texture(size=600)
    before = source(tmp_path, 'before', ground)
    shift = estimate_shift(
        before, source(tmp_path, 'after', moved(ground, 0.7, -1.2)), before.open().grid
    )
    assert (shift.x, shift.y) == pytest.approx((0.7, -1.2), abs=0.03)
    assert shift.windows == 9
    assert shift.spread < 0.02


def test_one_moved_corner_does_not_move_the_median(tmp_path):
    ground = texture(size=600)
    after = moved(ground, 0.5, 0.5)
    after[:, :250, :250] = moved(ground, 9, -9)[:, :250, :250]
    before = source(tmp_path, 'before', ground)
    shift = estimate_shift(before, source(tmp_path, 'after', after), before.open().grid)
    assert (shift.x, shift.y) == pytest.approx((0.5, 0.5), abs=0.03)


def test_warping_onto_the_grid_leaves_no_offset(tmp_path):
    ground = texture(size=400)
    before = source(tmp_path, 'before', ground)
    # the same ground on a grid that starts 3.4 columns and 2.7 rows further
    grid = Affine(10, 0, 500_034, 0, -10, 5_300_000 - 27)
    after = source(tmp_path, 'after', moved(ground, -3.4, -2.7), transform=grid)
    common = before.open().grid.part(Grid.of(before.open().dataset).window)
    shift = estimate_shift(before, after, common.crop((500_050, 5_296_100, 503_900, 5_299_900)))
    assert (shift.x, shift.y) == pytest.approx((0, 0), abs=0.05)


def test_windows_with_holes_are_left_out_or_filled(tmp_path):
    ground = texture(size=520)
    after = moved(ground, 1.5, 0.4)
    after[:, 300:, 260:] = -9999
    after[:, 40:50, 40:60] = -9999
    before = source(tmp_path, 'before', ground)
    shift = estimate_shift(
        before, source(tmp_path, 'after', after, nodata=-9999), before.open().grid
    )
    assert (shift.x, shift.y) == pytest.approx((1.5, 0.4), abs=0.04)
    assert shift.windows < 9


def even(size=256):
    return np.full((2, size, size), 50.0)


def objects_elsewhere():
    """A few objects on even ground, of which none is where another was."""
    before, after = even(), even()
    before[:, 50:80, 50:90] = before[:, 180, 30] = 100
    after[:, 120:150, 150:190] = after[:, 20, 200] = 100
    return before, after


def single_edge():
    before, after = even(), even()
    before[..., :128] = after[..., :100] = 60
    return before, after


def double_image():
    """The ground twice, here and there."""
    ground = texture(size=256)
    return ground, moved(ground, 4, -3) + moved(ground, -20, 9)


@pytest.mark.parametrize('dates', [objects_elsewhere, single_edge, double_image])
def test_makes_up_no_offset_where_several_would_do(tmp_path, dates):
    before, after = (source(tmp_path, f'{n}', image) for n, image in enumerate(dates()))
    assert estimate_shift(before, after, before.open().grid) is None


@pytest.mark.parametrize('after', ['other', 'flat', 'small'])
def test_says_nothing_where_nothing_can_be_said(tmp_path, after):
    size = 20 if after == 'small' else 300
    ground = texture(size=size)
    other = {'other': texture(seed=5), 'flat': np.ones((2, 300, 300)), 'small': ground}[after]
    before = source(tmp_path, 'before', ground)
    shift = estimate_shift(
        before, source(tmp_path, 'after', other[:, :size, :size]), before.open().grid
    )
    assert shift is None


def test_small_images_have_one_window(tmp_path):
    ground = texture(size=48)
    before = source(tmp_path, 'before', ground)
    shift = estimate_shift(
        before, source(tmp_path, 'after', moved(ground, 1, 0.5)), before.open().grid
    )
    assert (shift.x, shift.y) == pytest.approx((1, 0.5), abs=0.1)
    assert shift.windows == 1


def test_cancels(tmp_path):
    before = source(tmp_path, 'before', texture())

    def cancel(fraction, text='', **rest):
        raise Canceled

    with pytest.raises(Canceled):
        estimate_shift(before, before, before.open().grid, cancel)
