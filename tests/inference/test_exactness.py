"""What goes in comes out: on every pixel, for every size, stride, kind of raster and mask."""

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.enums import ColorInterp

from tests.rasters import UTM, gradient, write_raster
from torchgeo_ext.errors import BadInput, BadParameter, OutOfMemory
from torchgeo_ext.inference import (
    Grid,
    MaskSource,
    RasterClass,
    RasterOutput,
    RasterSource,
    open_raster,
    predict_raster,
)

TILE = 8
#: Sizes that make one to four tiles, also just too small and just too large ones.
SIZES = (1, 3, 7, 8, 9, 12, 15, 16, 17, 21, 24, 25, 31, 32)


def grid_of(path):
    with open_raster(str(path)) as dataset:
        return Grid.of(dataset)


def run(model, image, output, *, kind='values', dtype='float32', **settings):
    """Predict and read the result back."""
    source = settings.pop('source', None) or RasterSource(str(image))
    settings = {'tile_size': TILE, 'overlap': 0} | settings
    output = RasterOutput(output, kind, dtype=dtype, classes=settings.pop('classes', ()))
    grid = settings.pop('grid', None) or grid_of(image)
    summary = predict_raster(model, source, grid, [output], **settings)
    with rasterio.open(output.path) as dataset:
        return dataset.read(), summary


def identity(x):
    return x


@pytest.mark.parametrize('merge', ['crop', 'blend'])
@pytest.mark.parametrize('overlap', range(TILE))
def test_the_identity_comes_out_identical(tmp_path, merge, overlap):
    for height, width in zip(SIZES, reversed(SIZES), strict=True):
        image = write_raster(tmp_path / 'i.tif', gradient(2, height, width, 'float32'))
        made, _ = run(identity, image, tmp_path / 'o.tif', merge=merge, overlap=overlap)
        expected = gradient(2, height, width, 'float32')
        if merge == 'crop':
            np.testing.assert_array_equal(made, expected)
        else:
            np.testing.assert_allclose(made, expected, rtol=2e-7)


@pytest.mark.parametrize('merge', ['crop', 'blend'])
@pytest.mark.parametrize('value', [1.0, 0.1, 1e-3, -7.3])
def test_a_constant_comes_out_constant(tmp_path, merge, value):
    for size, overlap in [(1, 3), (9, 7), (21, 5), (24, 4), (25, 6), (32, 1), (49, 2)]:
        image = write_raster(tmp_path / 'i.tif', np.full((1, size, 33), value, 'float32'))
        made, _ = run(identity, image, tmp_path / 'o.tif', merge=merge, overlap=overlap)
        np.testing.assert_allclose(made, np.float32(value), rtol=2e-7)


@pytest.mark.parametrize('merge', ['crop', 'blend'])
def test_neighbours_across_tile_borders_are_seen(tmp_path, merge):
    """With enough overlap a filter gives what it gives on the whole image."""
    values = np.random.default_rng(0).random((1, 45, 37), 'float32')
    image = write_raster(tmp_path / 'i.tif', values)
    blur = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
    torch.nn.init.constant_(blur.weight, 1 / 9)
    with torch.inference_mode():
        expected = blur(torch.from_numpy(values)[None])[0].numpy()
    made, _ = run(blur, image, tmp_path / 'o.tif', merge='crop', tile_size=16, overlap=4)
    # the outermost ring of a tile sees padding, which is cut off wherever tiles overlap
    np.testing.assert_allclose(made[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize(
    'dtype', ['uint8', 'uint16', 'int16', 'uint32', 'int32', 'float32', 'float64']
)
def test_every_data_type_arrives_as_it_is(tmp_path, dtype):
    values = (gradient(1, 11, 13, 'int64') % 120).astype(dtype)
    image = write_raster(tmp_path / 'i.tif', values)
    made, _ = run(identity, image, tmp_path / 'o.tif')
    np.testing.assert_array_equal(made, values.astype('float32'))


@pytest.mark.parametrize('bands', [1, 3, 13, 300])
def test_one_to_three_hundred_bands(tmp_path, bands):
    values = gradient(bands, 9, 10)
    image = write_raster(tmp_path / 'i.tif', values)
    seen = []

    def first_and_last(x):
        seen.append(x.shape[1])
        return x[:, [0, -1]]

    made, _ = run(first_and_last, image, tmp_path / 'o.tif')
    np.testing.assert_array_equal(made, values[[0, -1]])
    assert set(seen) == {bands}


GRIDS = {
    'degrees': ('EPSG:4326', Affine(0.0008, 0, 14.5, 0, -0.0008, 46.5)),
    'south-up': (UTM, Affine(10, 0, 500_000, 0, 10, 5_300_000)),
    'no CRS': (None, Affine(2, 0, 10, 0, -2, 50)),
    'custom': (
        '+proj=aea +lat_1=40 +lat_2=60 +lat_0=50 +lon_0=14 +ellps=bessel +units=m',
        Affine(30, 0, 100, 0, -30, 200),
    ),
    'half a metre': ('EPSG:32633', Affine(0.5, 0, 499_995.3, 0, -0.5, 4_649_685.22)),
    'rotated': (
        UTM,
        Affine.translation(500_000, 5_300_000) @ Affine.rotation(30) @ Affine.scale(10, -10),
    ),
}


@pytest.mark.parametrize('name', GRIDS)
def test_the_grid_of_the_image_is_kept_exactly(tmp_path, name):
    crs, transform = GRIDS[name]
    values = gradient(1, 19, 23, 'float32')
    image = write_raster(tmp_path / 'i.tif', values, crs=crs, transform=transform)
    made, _ = run(identity, image, tmp_path / 'o.tif', overlap=3)
    np.testing.assert_array_equal(made, values)
    with rasterio.open(image) as source, rasterio.open(tmp_path / 'o.tif') as result:
        assert result.transform == source.transform
        assert result.crs == source.crs


def holes(shape):
    """A pattern with a hole, an edge and a whole tile that are invalid."""
    valid = np.ones(shape, bool)
    valid[0, :] = False
    valid[10:13, 5:9] = False
    valid[16:24, 8:16] = False
    return valid


def with_nodata(path, values, valid):
    values[:, ~valid] = 65_535
    return write_raster(path, values, nodata=65_535)


def with_nan(path, values, valid):
    values = values.astype('float32')
    values[:, ~valid] = np.nan
    return write_raster(path, values)


def with_alpha(path, values, valid):
    alpha = np.where(valid, 65_535, 0).astype(values.dtype)[None]
    colors = np.concatenate([values, values[:1], alpha])
    write_raster(path, colors, photometric='rgb', alpha='yes')
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[-1] == ColorInterp.alpha
    return path


def with_mask_band(path, values, valid):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_raster(path, values)
        with rasterio.open(path, 'r+') as dataset:
            dataset.write_mask(valid)
    return path


@pytest.mark.parametrize('mark', [with_nodata, with_nan, with_alpha, with_mask_band])
@pytest.mark.parametrize('merge', ['crop', 'blend'])
def test_what_is_invalid_stays_invalid_and_nothing_else(tmp_path, mark, merge):
    values, valid = gradient(2, 29, 31), holes((29, 31))
    values[:, 20, 25] = 0  # a zero is a value like any other
    expected = values.astype('float32')
    image = mark(tmp_path / 'i.tif', values.copy(), valid)
    source = RasterSource(str(image), bands=(1, 2))
    made, summary = run(identity, image, tmp_path / 'o.tif', source=source, merge=merge, overlap=3)
    np.testing.assert_array_equal(np.isfinite(made), np.broadcast_to(valid, made.shape))
    np.testing.assert_allclose(made[:, valid], expected[:, valid], rtol=2e-7)
    assert summary.valid_pixels == valid.sum()


def test_nan_never_reaches_the_model_and_invalid_pixels_are_filled(tmp_path):
    values = np.full((2, 16, 16), 5, 'float32')
    values[:, 3:9, 3:9] = np.nan
    image = write_raster(tmp_path / 'i.tif', values)
    filled = []

    def look(x):
        assert torch.isfinite(x).all()
        filled.append(x[:, :, 4, 4])
        return x

    run(look, image, tmp_path / 'o.tif', source=RasterSource(str(image), fill=(7.0, -2.0)))
    assert filled[0][0].tolist() == [7.0, -2.0]


def test_tiles_without_valid_pixels_cost_nothing(tmp_path):
    values = gradient(1, 40, 40, 'float32')
    values[:, :, 8:] = np.nan
    image = write_raster(tmp_path / 'i.tif', values)
    tiles = []

    def count(x):
        tiles.append(len(x))
        return x

    _, summary = run(count, image, tmp_path / 'o.tif')
    assert sum(tiles) == 5
    assert (summary.tiles, summary.tiles_skipped) == (5, 20)


def test_nothing_valid_is_refused(tmp_path):
    image = write_raster(tmp_path / 'i.tif', np.zeros((1, 9, 9), 'uint8'), nodata=0)
    with pytest.raises(BadInput, match=r'i\.tif'):
        run(identity, image, tmp_path / 'o.tif')
    assert not (tmp_path / 'o.tif').exists()


def test_a_mask_raster_on_another_grid(tmp_path):
    image = write_raster(tmp_path / 'i.tif', gradient(1, 20, 20))
    coarse = np.zeros((5, 5), 'uint8')
    coarse[1:3, 2:4] = 1
    mask = write_raster(tmp_path / 'm.tif', coarse, resolution=40.0)
    made, _ = run(identity, image, tmp_path / 'o.tif', mask=MaskSource(str(mask)))
    np.testing.assert_array_equal(
        np.isfinite(made[0]), np.kron(coarse, np.ones((4, 4))).astype(bool)
    )


def test_a_second_date_on_another_grid_is_warped(tmp_path):
    """A ramp in map coordinates is the same ramp on any grid, away from its edges."""

    def ramp(path, crs, transform, size):
        columns, rows = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
        x, y = transform @ (columns, rows)
        return write_raster(path, (x - 500_000 + y - 5_300_000)[None], crs=crs, transform=transform)

    before = ramp(tmp_path / 'b.tif', UTM, Affine(10, 0, 500_000, 0, -10, 5_300_000), 30)
    after = ramp(tmp_path / 'a.tif', UTM, Affine(7, 0, 499_950, 0, -7, 5_300_050), 60)
    made, _ = run(
        lambda x: x[:, 1] - x[:, 0], before, tmp_path / 'o.tif',
        source=[RasterSource(str(before)), RasterSource(str(after), argument='after')], overlap=2,
    )  # fmt: skip
    # a fortieth of a pixel: what GDAL's bilinear kernel does to a ramp when it shrinks an image
    assert np.abs(made[0, 2:-2, 2:-2]).max() < 0.25


def test_classes_have_their_values_and_counts(tmp_path):
    values = np.random.default_rng(1).random((3, 21, 18), 'float32')
    image = write_raster(tmp_path / 'i.tif', values)
    classes = [RasterClass(v, f'c{v}', '#102030') for v in (4, 9, 700)]
    made, summary = run(identity, image, tmp_path / 'o.tif', kind='classes', classes=classes)
    expected = np.array([4, 9, 700])[values.argmax(0)]
    np.testing.assert_array_equal(made[0], expected)
    assert summary.counts == {v: int((expected == v).sum()) for v in (4, 9, 700)}


class Exhausted:
    """A model that fits only so many tiles into memory."""

    def __init__(self, most):
        self.most = most
        self.sizes = []

    def __call__(self, x):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError('out of memory')
        return x


def test_batches_are_halved_until_they_fit(tmp_path):
    image = write_raster(tmp_path / 'i.tif', gradient(1, 40, 40, 'float32'))
    model = Exhausted(2)
    made, summary = run(model, image, tmp_path / 'o.tif', batch_size=8)
    np.testing.assert_array_equal(made, gradient(1, 40, 40, 'float32'))
    # the last batch may have been collected before the limit was found
    assert summary.batch_size in (1, 2)
    # the first batch has one tile less when it holds the tile that was computed to count scores
    assert max(model.sizes) in (7, 8)


def test_a_tile_that_never_fits(tmp_path):
    image = write_raster(tmp_path / 'i.tif', gradient(1, 16, 16))
    with pytest.raises(OutOfMemory) as caught:
        run(Exhausted(0), image, tmp_path / 'o.tif', batch_size=4)
    assert caught.value.hint
    assert not (tmp_path / 'o.tif').exists()


def test_an_error_of_the_model_arrives_and_leaves_the_old_output(tmp_path):
    image = write_raster(tmp_path / 'i.tif', gradient(1, 64, 64))
    (tmp_path / 'o.tif').write_text('old')
    calls = []

    def fail_later(x):
        calls.append(1)
        if len(calls) > 3:
            raise ZeroDivisionError('the model is broken')
        return x

    with pytest.raises(ZeroDivisionError, match='broken'):
        run(fail_later, image, tmp_path / 'o.tif', batch_size=1)
    assert (tmp_path / 'o.tif').read_text() == 'old'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['i.tif', 'o.tif']


def test_a_truncated_image_is_named(tmp_path):
    values = np.random.default_rng(2).integers(0, 255, (1, 600, 600)).astype('uint8')
    image = write_raster(tmp_path / 'i.tif', values, tiled=True, blockxsize=128, blockysize=128)
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r'i\.tif'):
        run(identity, image, tmp_path / 'o.tif', tile_size=64)
    assert not (tmp_path / 'o.tif').exists()


@pytest.mark.parametrize(
    'settings',
    [{'tile_size': 0}, {'overlap': 8}, {'overlap': -1}, {'merge': 'mean'}, {'batch_size': -1}],
)
def test_sizes_that_do_not_fit_together(tmp_path, settings):
    image = write_raster(tmp_path / 'i.tif', gradient(1, 9, 9))
    with pytest.raises(BadParameter, match=next(iter(settings))):
        run(identity, image, tmp_path / 'o.tif', **settings)


def test_bands_that_do_not_exist(tmp_path):
    image = write_raster(tmp_path / 'i.tif', gradient(2, 9, 9))
    with pytest.raises(BadParameter, match='3'):
        run(identity, image, tmp_path / 'o.tif', source=RasterSource(str(image), bands=(1, 3)))


def test_the_file_is_tiled_compressed_and_has_overviews(tmp_path):
    image = write_raster(tmp_path / 'i.tif', gradient(1, 1100, 1100, 'float32'))
    run(identity, image, tmp_path / 'o.tif', tile_size=512)
    with rasterio.open(tmp_path / 'o.tif') as made:
        assert made.profile['tiled']
        assert made.profile['compress'] == 'deflate'
        assert made.overviews(1)
        assert made.tags()['software'].startswith('torchgeo_ext')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['i.tif', 'o.tif']
