"""Reading windows: values, validity, other grids, bad files."""

import tracemalloc

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.warp
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from tests.rasters import gradient, write_raster
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import RasterSource, open_raster

UTM = CRS.from_epsg(32633)
#: Where write_raster puts its rasters.
ORIGIN = Affine(10, 0, 500_000, 0, -10, 5_300_000)
WHOLE = Window(0, 0, 20, 16)
#: The same place as a raster of 20 x 16 pixels, with other pixels.
OTHER = Grid(UTM, Affine(7, 0, 500_003, 0, -7, 5_299_995), 26, 21)


def read(path, grid=None, **options):
    with RasterSource(str(path), **options).open(grid) as reader:
        return *reader.read(reader.grid.window), reader.warped


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'float32', 'float64'])
@pytest.mark.parametrize('bands', [1, 3])
def test_values_come_as_they_are(tmp_path, dtype, bands):
    values = gradient(bands, 16, 20, dtype)
    found, valid, warped = read(write_raster(tmp_path / 'a.tif', values))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values)
    assert valid.all()
    assert not warped


@pytest.mark.parametrize('interleave', ['band', 'pixel'])
def test_many_bands_are_those_of_the_file(tmp_path, interleave):
    values = gradient(70, 16, 20, 'int16')
    values[3, 5, 6] = values[40, 7, 8] = values[69, 0, 0] = -7
    path = write_raster(tmp_path / 'a.tif', values, nodata=-7, interleave=interleave)
    order = tuple(np.random.default_rng(0).permutation(70) + 1)
    for bands in (None, order):
        found, valid, _ = read(path, bands=bands)
        expected = values if bands is None else values[np.array(order) - 1]
        assert np.argwhere(~valid).tolist() == [[0, 0], [5, 6], [7, 8]]
        np.testing.assert_array_equal(found[:, valid], expected[:, valid])
        assert (found[:, ~valid] == 0).all()


def test_copies_of_many_bands_stay_small(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(200, 64, 64, 'int16'), interleave='band')
    out = np.empty((200, 64, 64), np.float32)
    with RasterSource(str(path)).open() as reader:
        tracemalloc.start()
        reader.read(reader.grid.window, out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < out.nbytes / 4


def test_three_hundred_bands_in_any_order(tmp_path):
    values = gradient(300, 3, 4)
    path = write_raster(tmp_path / 'a.tif', values)
    np.testing.assert_array_equal(read(path)[0], values)
    np.testing.assert_array_equal(read(path, bands=(300, 1, 7))[0], values[[299, 0, 6]])


def test_writes_into_memory_of_another_layout(tmp_path):
    values = gradient(3, 16, 20)
    out = np.moveaxis(np.empty((16, 20, 3), np.float32), -1, 0)
    with RasterSource(str(write_raster(tmp_path / 'a.tif', values))).open() as reader:
        assert reader.read(WHOLE, out=out)[0] is out
    np.testing.assert_array_equal(out, values)


def hole(values, value):
    values[..., 4:9, 5:12] = value
    expected = np.ones(values.shape[-2:], bool)
    expected[4:9, 5:12] = False
    return expected


@pytest.mark.parametrize(
    ('dtype', 'nodata', 'tag'),
    [
        ('uint8', 255, 255),
        ('int16', -9999, -9999),
        ('float32', -9999, -9999),
        ('float32', np.nan, np.nan),
        ('float32', np.nan, None),
        ('float32', np.inf, None),
        ('float32', np.finfo('float32').min, -3.4028234663852886e38),
        ('float32', np.float32(0.1), 0.1),
        ('float64', -1.7976931348623157e308, -1.7976931348623157e308),
        ('float64', 1e300, None),
    ],
)
def test_invalid_values(tmp_path, dtype, nodata, tag):
    values = gradient(2, 16, 20).astype(dtype) % 200
    expected = hole(values, nodata)
    path = write_raster(tmp_path / 'a.tif', values, nodata=tag)
    found, valid, _ = read(path, fill=(5.0, 6.0))
    np.testing.assert_array_equal(valid, expected)
    assert (found[:, ~expected] == [[5], [6]]).all()
    np.testing.assert_array_equal(found[:, expected], values[:, expected].astype('float32'))


def test_zero_is_a_value(tmp_path):
    found, valid, _ = read(write_raster(tmp_path / 'a.tif', np.zeros((2, 16, 20), 'uint8')))
    assert valid.all()
    assert (found == 0).all()


@pytest.mark.parametrize('tag', [-9999, 255.5, np.nan])
def test_nodata_that_the_type_cannot_hold_marks_nothing(tmp_path, tag):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 16, 20, 'uint8'))
    vrt = tmp_path / 'a.vrt'
    rasterio.shutil.copy(path, vrt, driver='VRT')
    text = vrt.read_text()
    assert '<ColorInterp>' in text
    tagged = f'<NoDataValue>{tag}</NoDataValue><ColorInterp>'
    vrt.write_text(text.replace('<ColorInterp>', tagged))
    assert read(vrt)[1].all()


def test_each_band_may_have_its_own_nodata(tmp_path):
    values = np.full((2, 16, 20), 50, 'int16')
    values[1, 4:6], values[0, :, 6:8] = 1, 2  # nodata of the other band
    values[0, :4], values[1, :, :5] = 1, 2
    path = write_raster(tmp_path / 'a.tif', values)
    vrt = tmp_path / 'a.vrt'
    rasterio.shutil.copy(path, vrt, driver='VRT')
    one, two = vrt.read_text().split('<VRTRasterBand')[1:]
    text = vrt.read_text()
    for band, nodata in ((one, 1), (two, 2)):
        text = text.replace(band, band.replace('>', f'><NoDataValue>{nodata}</NoDataValue>', 1))
    vrt.write_text(text)
    expected = np.ones((16, 20), bool)
    expected[:4] = expected[:, :5] = False
    np.testing.assert_array_equal(read(vrt)[1], expected)
    # and the same when warped: no value next to a hole is mixed with its nodata value
    same = Grid(UTM, ORIGIN @ Affine.scale(0.5), 40, 32)
    found, valid, warped = read(vrt, same, bands=(1,))
    assert warped
    assert set(np.unique(found[:, valid & (np.arange(40) < 10)])) == {50}


def test_nodata_of_the_source_overrides_that_of_the_file(tmp_path):
    values = np.full((16, 20), 7, 'uint8')
    values[:3], values[3:5] = 0, 9
    path = write_raster(tmp_path / 'a.tif', values, nodata=0)
    _, valid, _ = read(path, nodata=9)
    np.testing.assert_array_equal(valid, values != 9)


def with_alpha(path, values, alpha, **options):
    write_raster(path, np.concatenate([values, alpha[None]]), **options)
    with rasterio.open(path, 'r+') as dataset:
        dataset.colorinterp = [*dataset.colorinterp[:-1], ColorInterp.alpha]
    return path


def with_mask(path, values, mask, **options):
    write_raster(path, values, **options)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, 'r+') as dataset:
        dataset.write_mask(mask)
    return path


@pytest.mark.parametrize('make', [with_alpha, with_mask])
@pytest.mark.parametrize('bands', [1, 2, 3, 5])
def test_alpha_and_mask_bands(tmp_path, make, bands):
    values = gradient(bands, 16, 20, 'uint8')
    seen = np.full((16, 20), 255, 'uint8')
    expected = hole(seen, 0)
    path = make(tmp_path / 'a.tif', values, seen)
    for chosen in (None, (1,)):
        found, valid, _ = read(path, bands=chosen)
        assert len(found) == (bands if chosen is None else 1)
        np.testing.assert_array_equal(valid, expected)


@pytest.mark.parametrize('make', [with_alpha, with_mask])
def test_nodata_and_mask_together(tmp_path, make):
    values, seen = np.full((1, 16, 20), 9, 'uint8'), np.full((16, 20), 255, 'uint8')
    values[:, :, :3] = 4
    expected = hole(seen, 0)
    expected[:, :3] = False
    path = make(tmp_path / 'a.tif', values, seen, nodata=4)
    np.testing.assert_array_equal(read(path)[1], expected)
    same = Grid(UTM, ORIGIN @ Affine.scale(0.5), 40, 32)
    _, valid, warped = read(path, same, resampling='nearest')
    assert warped
    np.testing.assert_array_equal(valid, expected.repeat(2, 0).repeat(2, 1))


def test_grid_of_the_same_pixels_is_read_without_warping(tmp_path):
    values = gradient(1, 16, 20)
    part = Grid(UTM, ORIGIN, 20, 16).part(Window(3, 4, 8, 9))
    found, _, warped = read(write_raster(tmp_path / 'a.tif', values), part)
    assert not warped
    np.testing.assert_array_equal(found, values[:, 4:13, 3:11])


def test_grid_that_reaches_beyond_the_raster_is_invalid_there(tmp_path):
    values = gradient(1, 16, 20)
    wider = Grid(UTM, ORIGIN @ Affine.translation(-2, -3), 24, 22)
    found, valid, warped = read(write_raster(tmp_path / 'a.tif', values), wider)
    assert warped
    expected = np.zeros((22, 24), bool)
    expected[3:19, 2:22] = True
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(found[:, 3:19, 2:22], values)


@pytest.mark.parametrize('resampling', ['nearest', 'bilinear', 'cubic', 'average', 'lanczos'])
@pytest.mark.parametrize('kind', ['nodata', 'nan', 'alpha', 'mask'])
def test_warping_keeps_a_constant_and_lets_nothing_invalid_in(tmp_path, resampling, kind):
    values = np.full((2, 16, 20), 50, 'float32' if kind == 'nan' else 'uint8')
    seen = np.full((16, 20), 255, 'uint8')
    hole(seen, 0)
    path = tmp_path / 'a.tif'
    if kind in ('nodata', 'nan'):
        hole(values, {'nodata': 200, 'nan': np.nan}[kind])
        write_raster(path, values, nodata={'nodata': 200, 'nan': None}[kind])
    else:
        values[:, seen == 0] = 200
        {'alpha': with_alpha, 'mask': with_mask}[kind](path, values, seen)
    found, valid, warped = read(path, OTHER, resampling=resampling, fill=(-1.0,))
    assert warped
    assert 0.5 < valid.mean() < 0.95
    np.testing.assert_allclose(found[:, valid], 50, rtol=1e-6)
    assert (found[:, ~valid] == -1).all()


@pytest.mark.parametrize(('bands', 'count'), [((3,), 1), ((4, 2), 2), (None, 4)])
def test_warping_reads_the_bands_asked_for(tmp_path, bands, count):
    values = np.stack([np.full((16, 20), number, 'uint8') for number in (1, 2, 3, 4)])
    found, valid, _ = read(write_raster(tmp_path / 'a.tif', values), OTHER, bands=bands)
    expected = bands or (1, 2, 3, 4)
    assert [set(np.unique(band[valid])) for band in found] == [{b} for b in expected]
    assert len(found) == count


def test_south_up_raster_on_a_north_up_grid(tmp_path):
    values = gradient(1, 16, 20)
    south_up = Affine(10, 0, 500_000, 0, 10, 5_300_000 - 160)
    path = write_raster(tmp_path / 'a.tif', values[:, ::-1], transform=south_up)
    found, valid, _ = read(path, Grid(UTM, ORIGIN, 20, 16))
    assert valid.all()
    np.testing.assert_array_equal(found, values)
    assert not read(path)[2]


def test_rotated_raster_is_read_as_it_is_and_warped_to_others(tmp_path):
    rotated = ORIGIN @ Affine.rotation(30)
    path = write_raster(tmp_path / 'a.tif', np.full((16, 20), 3, 'uint8'), transform=rotated)
    assert read(path)[1].all()
    found, valid, warped = read(path, OTHER)
    assert warped
    assert 0.1 < valid.mean() < 1
    assert (found[:, valid] == 3).all()


def test_another_coordinate_system(tmp_path):
    # x and y in metres as values
    columns, rows = np.meshgrid(np.arange(20) + 0.5, np.arange(16) + 0.5)
    values = np.stack([columns * 10, rows * 10]).astype('float32')
    path = write_raster(tmp_path / 'a.tif', values)
    degrees = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 15.0004, 0, -1e-4, 47.8531), 10, 8)
    found, valid, _ = read(path, degrees)
    assert valid.all()
    x, y = rasterio.warp.transform(
        degrees.crs, UTM, *(np.ravel(c).tolist() for c in _centres(degrees))
    )
    # GDAL places pixels to an eighth of a pixel
    np.testing.assert_allclose(found[0].ravel(), np.subtract(x, 500_000), atol=1.3)
    np.testing.assert_allclose(found[1].ravel(), np.subtract(5_300_000, y), atol=1.3)


def _centres(grid):
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return grid.transform @ (columns, rows)


def test_native_values_of_labels(tmp_path):
    values = np.full((16, 20), 2**31 - 5, 'int32')
    expected = hole(values, -1)
    path = write_raster(tmp_path / 'a.tif', values, nodata=-1)
    for grid in (None, Grid(UTM, ORIGIN @ Affine.scale(0.5), 40, 32)):
        with RasterSource(str(path), fill=(7,), resampling='nearest').open(grid) as reader:
            found, valid = reader.read_native(reader.grid.window)
        assert found.dtype == np.int32
        assert set(np.unique(found)) == {2**31 - 5, 7}
        assert valid.mean() == expected.mean()


def test_native_values_stay_in_range_when_interpolated(tmp_path):
    values = np.zeros((16, 20), 'uint8')
    values[:, 10:] = 255
    grid = Grid(UTM, ORIGIN @ Affine.scale(0.5), 40, 32)
    with RasterSource(str(write_raster(tmp_path / 'a.tif', values)), resampling='cubic').open(
        grid
    ) as reader:
        found, _ = reader.read_native(grid.window)
    # overshooting to -9 and 264 must not become 247 and 8
    assert set(np.unique(found[:, :, :18])) == {0}
    assert set(np.unique(found[:, :, 22:])) == {255}


def test_missing_file():
    with pytest.raises(BadInput, match=r'before: /no/such\.tif does not exist'):
        open_raster('/no/such.tif', 'before')


def test_not_a_raster(tmp_path):
    path = tmp_path / 'a.tif'
    path.write_text('hello')
    with pytest.raises(BadInput, match=r'image: .*a\.tif cannot be opened as a raster'):
        open_raster(str(path))


def test_web_layer():
    with pytest.raises(BadInput, match='cannot be opened') as caught:
        open_raster('type=xyz&url=https://tile.example.org/{z}/{x}/{y}.png')
    assert 'save web layers' in caught.value.hint


def test_container_of_several_rasters_lists_them(tmp_path):
    path = tmp_path / 'a.gpkg'
    for table, append in (('summer', 'NO'), ('winter', 'YES')):
        with rasterio.open(
            path, 'w', driver='GPKG', width=8, height=8, count=1, dtype='uint8', crs=UTM,
            transform=ORIGIN, raster_table=table, append_subdataset=append,
        ) as dataset:  # fmt: skip
            dataset.write(gradient(1, 8, 8, 'uint8'))
    with pytest.raises(BadInput, match='has no raster bands') as caught:
        open_raster(str(path))
    assert 'winter' in caught.value.hint
    name = caught.value.hint.split()[-1]
    assert read(name)[1].all()


def test_raster_cut_short_names_file_and_place(tmp_path):
    random = np.random.default_rng(0)
    values = random.integers(0, 255, (1, 256, 256), 'uint8')
    path = write_raster(
        tmp_path / 'a.tif', values, tiled=True, blockxsize=64, blockysize=64, compress='deflate'
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with RasterSource(str(path), argument='after').open() as reader:
        reader.read(Window(0, 0, 64, 64))
        with pytest.raises(BadInput, match=r'after: .*a\.tif .*column 192, row 128') as caught:
            reader.read(Window(192, 128, 64, 64))
    assert 'damaged' in caught.value.hint


def test_bands_that_do_not_exist(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(3, 4, 4))
    with pytest.raises(BadParameter, match=r'band 4 does not exist.*1 to 3'):
        read(path, bands=(1, 4))


def test_complex_numbers_are_refused(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.ones((4, 4), 'complex64'))
    with pytest.raises(BadInput, match='complex'):
        read(path)


def test_fill_of_another_length(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(3, 4, 4))
    with pytest.raises(BadParameter, match='2 values do not fit 3 bands'):
        read(path, fill=(1.0, 2.0))


def test_unknown_resampling(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 16, 20))
    with pytest.raises(BadParameter, match=r"resampling: 'sharp'"):
        read(path, OTHER, resampling='sharp')


def test_no_coordinate_system_where_one_is_needed(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 16, 20), crs=None)
    assert read(path)[1].all()
    with pytest.raises(BadInput, match='it has no coordinate reference system'):
        read(path, OTHER)
    georeferenced = write_raster(tmp_path / 'b.tif', gradient(1, 16, 20))
    with pytest.raises(BadInput, match='that has no coordinate reference system'):
        read(georeferenced, Grid(None, OTHER.transform, 26, 21))


def test_rasters_of_different_places(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 16, 20))
    away = Grid(UTM, Affine(10, 0, 700_000, 0, -10, 5_300_000), 20, 16)
    with pytest.raises(BadInput, match=r'does not overlap'):
        read(path, away)


def test_readers_close_their_files_when_they_cannot_be_made(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 16, 20))
    for _ in range(5):
        with pytest.raises(BadParameter):
            RasterSource(str(path), bands=(2,)).open()
    path.unlink()
    assert not list(tmp_path.iterdir())
