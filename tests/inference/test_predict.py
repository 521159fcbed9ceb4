"""From raster to raster: exact, complete, bounded, and nothing left behind."""

import json
import threading
import time
import tracemalloc

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.windows import Window
from torch import nn

from tests.inference.disks import small_disk
from tests.rasters import gradient, write_raster
from torchgeo_ext.errors import BadInput, BadParameter, Canceled, NoSpace, OutOfMemory
from torchgeo_ext.inference import (
    Grid,
    MaskSource,
    RasterClass,
    RasterOutput,
    RasterSource,
    open_raster,
    predict_raster,
)
from torchgeo_ext.inference import predict as module

UTM = CRS.from_epsg(32633)
TWO = (RasterClass(1, 'low', '#0000ff'), RasterClass(2, 'high', '#ff0000'))


def identity(batch):
    return batch


def grid_of(path):
    with open_raster(str(path)) as dataset:
        return Grid.of(dataset)


def run(path, output, *, kind='values', model=identity, source=None, grid=None, **options):
    """Predict with tiles of 8 pixels and return what was written."""
    options = {'tile_size': 8, 'overlap': 3, 'merge': 'crop', 'device': 'cpu'} | options
    outputs = [RasterOutput(output, kind, TWO if kind == 'classes' else ())]
    summary = predict_raster(
        model, source or RasterSource(str(path)), grid or grid_of(path), outputs, **options
    )
    with open_raster(str(output)) as dataset:
        return dataset.read(), summary


@pytest.fixture
def out(tmp_path):
    """An output folder of its own, so that leftovers are seen."""
    (tmp_path / 'out').mkdir()
    return tmp_path / 'out' / 'result.tif'


# ---- exact ----


@pytest.mark.parametrize('merge', ['crop', 'blend'])
@pytest.mark.parametrize('overlap', [0, 1, 5])
@pytest.mark.parametrize(
    ('height', 'width'), [(1, 1), (1, 33), (7, 8), (8, 8), (9, 31), (16, 5), (32, 17), (300, 13)]
)
def test_identity(tmp_path, out, height, width, overlap, merge):
    values = gradient(2, height, width)
    path = write_raster(tmp_path / 'a.tif', values)
    found, summary = run(path, out, overlap=overlap, merge=merge)
    np.testing.assert_allclose(found, values, rtol=0 if merge == 'crop' else 3e-7)
    assert summary.valid_pixels == height * width
    assert grid_of(out) == grid_of(path)


@pytest.mark.parametrize('constant', [1, 77])
def test_a_constant_stays_constant_up_to_the_corners(tmp_path, out, constant):
    # torchgeo.md section 2: a peer's spline weights leave 1.3e-5 of 1 in the corner
    path = write_raster(tmp_path / 'a.tif', np.full((75, 75), constant, 'uint8'))
    for merge in ('crop', 'blend'):
        for overlap in range(8):
            found, _ = run(path, out, overlap=overlap, merge=merge)
            np.testing.assert_allclose(found, constant, rtol=2e-7)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'float32', 'float64'])
@pytest.mark.parametrize('bands', [1, 3, 300])
def test_types_and_numbers_of_bands(tmp_path, out, dtype, bands):
    values = gradient(bands, 11, 9, dtype)
    found, _ = run(write_raster(tmp_path / 'a.tif', values), out)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ('crs', 'transform'),
    [
        ('EPSG:4326', Affine(2.7e-6, 0, 36.8, 0, -2.7e-6, -1.3)),
        ('EPSG:32633', Affine(0.3, 0, 499_995.3, 0, 0.3, 4_649_685.22)),
        ('+proj=laea +lat_0=47.3 +lon_0=11.7 +ellps=bessel', Affine(3, 0, 5, 0, -3, 7)),
        ('EPSG:32633', Affine.translation(5e5, 5e6) @ Affine.rotation(20) @ Affine.scale(2, -2)),
        (None, Affine(3, 0, 5, 0, -3, 7)),
    ],
    ids=['degrees', 'south up', 'own', 'rotated', 'no CRS'],
)
def test_grids_of_all_kinds(tmp_path, out, crs, transform):
    values = gradient(2, 11, 19)
    path = write_raster(tmp_path / 'a.tif', values, crs=crs, transform=transform)
    found, _ = run(path, out)
    np.testing.assert_array_equal(found, values)
    assert grid_of(out) == grid_of(path)


@pytest.mark.parametrize('merge', ['crop', 'blend'])
def test_strips_of_columns_make_no_difference(tmp_path, out, merge, monkeypatch):
    path = write_raster(tmp_path / 'a.tif', gradient(3, 20, 900))
    slanted = torch.linspace(0, 1, 8)

    def model(batch):
        return batch * slanted

    whole, summary = run(path, out, model=model, merge=merge)
    monkeypatch.setattr(module, '_ACROSS', 1)
    again, strips = run(path, out, model=model, merge=merge)
    np.testing.assert_array_equal(again, whole)
    assert strips.tiles > summary.tiles


def test_a_grid_may_be_a_part_of_the_raster(tmp_path, out):
    values = gradient(1, 30, 40)
    path = write_raster(tmp_path / 'a.tif', values)
    part = grid_of(path).part(Window(11, 5, 20, 13))
    found, _ = run(path, out, grid=part)
    np.testing.assert_array_equal(found, values[:, 5:18, 11:31])
    assert grid_of(out) == part


def test_the_model_sees_whole_tiles_only(tmp_path, out):
    shapes = set()

    def model(batch):
        shapes.add(tuple(batch.shape[1:]))
        return batch

    run(write_raster(tmp_path / 'a.tif', gradient(2, 5, 30)), out, model=model)
    assert shapes == {(2, 8, 8)}


def test_small_rasters_are_continued_by_reflection(tmp_path, out):
    seen = []

    def model(batch):
        seen.append(batch[0, 0].clone())
        return batch

    run(write_raster(tmp_path / 'a.tif', np.array([[1, 2, 3]], 'uint8')), out, model=model)
    assert seen[0].tolist() == [[1, 2, 3, 2, 1, 2, 3, 2]] * 8


@pytest.mark.parametrize('merge', ['crop', 'blend'])
def test_several_threads_read_in_order(tmp_path, out, merge, monkeypatch):
    monkeypatch.setattr(module, '_reading_threads', lambda runner: 4)
    values = gradient(2, 90, 70)
    path = write_raster(tmp_path / 'a.tif', values)
    found, _ = run(path, out, merge=merge)
    np.testing.assert_allclose(found, values, rtol=3e-7)


# ---- several rasters ----


def test_two_dates_on_different_grids(tmp_path, out):
    before = write_raster(tmp_path / 'a.tif', np.full((30, 40), 3, 'uint8'))
    after = write_raster(
        tmp_path / 'b.tif', np.full((70, 70), 8, 'int16'), crs='EPSG:4326',
        transform=Affine(8e-5, 0, 14.9999, 0, -8e-5, 47.8535),
    )  # fmt: skip
    shapes = set()

    def difference(pair):
        shapes.add(tuple(pair.shape[1:]))
        return pair[:, 1] - pair[:, 0]

    found, _ = run(
        before, out, model=difference, source=[RasterSource(str(before)), RasterSource(str(after))]
    )
    assert shapes == {(2, 1, 8, 8)}
    np.testing.assert_allclose(found, 5)
    assert grid_of(out) == grid_of(before)


def test_a_pixel_must_be_valid_at_all_dates(tmp_path, out):
    values = np.full((10, 12), 3, 'uint8')
    values[:, :4] = 0
    before = write_raster(tmp_path / 'a.tif', values, nodata=0)
    after = write_raster(tmp_path / 'b.tif', values[:, ::-1], nodata=0)
    sources = [RasterSource(str(before)), RasterSource(str(after))]
    found, summary = run(before, out, model=lambda pair: pair[:, 0], source=sources)
    assert summary.valid_pixels == 40
    np.testing.assert_array_equal(np.isfinite(found[0, 0]), [False] * 4 + [True] * 4 + [False] * 4)


def test_dates_with_different_numbers_of_bands_are_refused(tmp_path, out):
    before = write_raster(tmp_path / 'a.tif', gradient(2, 10, 12))
    after = write_raster(tmp_path / 'b.tif', gradient(3, 10, 12))
    sources = [RasterSource(str(before)), RasterSource(str(after), argument='after')]
    with pytest.raises(BadParameter, match=r'after: .*gives 3 bands, but .* gives 2'):
        run(before, out, source=sources)


# ---- what is valid ----


def hole(shape):
    seen = np.full(shape, 255, 'uint8')
    seen[9:14, 3:20] = 0
    return seen


def invalid_raster(path, kind, values, seen):
    marked = values.astype('float32' if kind == 'nan' else 'uint8')
    if kind == 'nodata':
        marked[:, seen == 0] = 250
        return write_raster(path, marked, nodata=250)
    if kind == 'nan':
        marked[:, seen == 0] = np.nan
        return write_raster(path, marked)
    if kind == 'alpha':
        write_raster(path, np.concatenate([marked, seen[None]]))
        with rasterio.open(path, 'r+') as dataset:
            dataset.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
        return path
    write_raster(path, marked)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, 'r+') as dataset:
        dataset.write_mask(seen)
    return path


@pytest.mark.parametrize('kind', ['nodata', 'nan', 'alpha', 'mask'])
@pytest.mark.parametrize('merge', ['crop', 'blend'])
def test_invalid_pixels_come_from_the_mask_and_never_leak(tmp_path, out, kind, merge):
    values = gradient(2, 40, 30, 'uint8') % 200
    values[:, :3] = 0  # the value 0 is as good as any
    seen = hole((40, 30))
    path = invalid_raster(tmp_path / 'a.tif', kind, values, seen)
    finite = []

    def model(batch):
        finite.append(bool(batch.isfinite().all() and (batch < 200).all()))
        # each pixel depends on all pixels of its tile
        return batch + 0 * batch.sum((-2, -1), keepdim=True)

    source = RasterSource(str(path), fill=(7.0,))
    found, summary = run(path, out, model=model, source=source, merge=merge)
    assert all(finite)
    assert np.isnan(found[:, seen == 0]).all()
    np.testing.assert_allclose(found[:, seen != 0], values[:, seen != 0], rtol=3e-7)
    assert summary.valid_pixels == np.count_nonzero(seen)


@pytest.mark.parametrize('merge', ['crop', 'blend'])
@pytest.mark.parametrize('batch_size', [1, 5, 64])
def test_tiles_without_valid_pixels_cost_nothing(tmp_path, out, merge, batch_size):
    values = np.zeros((40, 40), 'uint8')
    values[3:6, 20:30] = 5
    tiles = []

    def model(batch):
        tiles.extend(bool((tile == 5).any()) for tile in batch)
        return batch

    path = write_raster(tmp_path / 'a.tif', values, nodata=0)
    found, summary = run(path, out, model=model, overlap=0, merge=merge, batch_size=batch_size)
    assert tiles == [True, True]
    assert (summary.tiles, summary.tiles_skipped, summary.valid_pixels) == (2, 23, 30)
    np.testing.assert_array_equal(np.isfinite(found[0]), values == 5)


def test_a_mask_says_where_to_predict(tmp_path, out):
    values = gradient(1, 20, 30)
    path = write_raster(tmp_path / 'a.tif', values)
    inside = np.zeros((20, 30), 'uint8')
    inside[2:7, 3:9] = 1
    mask = MaskSource(str(write_raster(tmp_path / 'm.tif', inside)))
    found, summary = run(path, out, mask=mask)
    np.testing.assert_array_equal(np.isfinite(found[0]), inside != 0)
    assert summary.valid_pixels == 30
    assert summary.tiles_skipped > 0


def test_rasters_without_a_valid_pixel_are_refused(tmp_path, out):
    path = write_raster(tmp_path / 'a.tif', np.zeros((20, 30), 'uint8'), nodata=0)
    with pytest.raises(BadInput, match=r'image: .*a\.tif has no valid pixel'):
        run(path, out)
    full = write_raster(tmp_path / 'b.tif', np.ones((20, 30), 'uint8'))
    mask = MaskSource(str(write_raster(tmp_path / 'm.tif', np.zeros((20, 30), 'uint8'))))
    with pytest.raises(BadInput, match='no valid pixel in the area that the mask leaves'):
        run(full, out, mask=mask)
    assert not list(out.parent.iterdir())


def test_nan_of_the_model_is_no_data_and_is_told(tmp_path, out, caplog):
    values = np.full((20, 30), 4, 'uint8')
    values[5, 7:9] = 0
    path = write_raster(tmp_path / 'a.tif', values)
    found, summary = run(path, out, kind='classes', model=lambda b: torch.cat([b / b, b], 1))
    assert (found[0] == 255).sum() == 2
    assert summary.valid_pixels == sum(summary.counts.values()) == 598
    assert 'NaN at 2 pixels' in caplog.text


# ---- several outputs ----


def test_all_outputs_of_a_run(tmp_path, out):
    values = np.zeros((20, 30), 'float32')
    values[:, 15:] = 0.8
    path = write_raster(tmp_path / 'a.tif', values)
    names = ('classes', 'threshold', 'probabilities', 'confidence', 'values')
    outputs = [
        RasterOutput(out.with_name(f'{name}.tif'), name, TWO if name == 'classes' else (),
                     descriptions=('low', 'high') if name == 'probabilities' else (),
                     tags={'model': 'mine', 'sha256': 'ab'}, argument=name)
        for name in names
    ]  # fmt: skip
    summary = predict_raster(
        lambda b: torch.cat([1 - b, b], 1), RasterSource(str(path)), grid_of(path), outputs,
        tile_size=8, overlap=2, merge='crop', device='cpu',
    )  # fmt: skip
    assert summary.counts == {1: 300, 2: 300}
    found = {}
    for name in names:
        with rasterio.open(out.with_name(f'{name}.tif')) as dataset:
            found[name] = dataset.read()
            tags = dataset.tags()
        assert (tags['model'], tags['sha256']) == ('mine', 'ab')
        assert json.loads(tags['inputs']) == ['a.tif']
        assert json.loads(tags['parameters'])['overlap'] == 2
        assert tags['software'].startswith('torchgeo_ext ')
        assert tags['TIFFTAG_DATETIME']
    assert {n: (len(v), v.dtype) for n, v in found.items()} == {
        'classes': (1, 'uint8'), 'threshold': (1, 'uint8'), 'probabilities': (2, 'float32'),
        'confidence': (1, 'float32'), 'values': (2, 'float32'),
    }  # fmt: skip
    np.testing.assert_array_equal(found['classes'][0], 1 + (values > 0.5))
    np.testing.assert_array_equal(found['threshold'][0], values > 0.5)
    np.testing.assert_array_equal(found['probabilities'], [1 - values, values])
    np.testing.assert_array_equal(found['confidence'][0], np.maximum(1 - values, values))
    assert {p.name for p in out.parent.iterdir()} == {
        'classes.tif.aux.xml',
        *(f'{name}.tif' for name in names),
    }


def test_several_outputs_appear_together_or_not_at_all(tmp_path, out):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 20, 30))
    for name in ('one.tif', 'two.tif'):
        out.with_name(name).write_text('old')

    def fail_at_the_end(fraction, text='', *, tile=None, tiles=None):
        if text == 'Building overviews':
            raise Canceled

    outputs = [RasterOutput(out.with_name(name), 'values') for name in ('one.tif', 'two.tif')]
    with pytest.raises(Canceled):
        predict_raster(identity, RasterSource(str(path)), grid_of(path), outputs, tile_size=8,
                       progress=fail_at_the_end, device='cpu')  # fmt: skip
    assert {p.name: p.read_text() for p in out.parent.iterdir()} == {
        'one.tif': 'old',
        'two.tif': 'old',
    }


# ---- what can go wrong ----


def assert_nothing_happened(out, threads):
    assert {p.name: p.read_text() for p in out.parent.iterdir()} == {'result.tif': 'old'}
    assert threading.active_count() == threads


@pytest.fixture
def untouched(out):
    """Check that a failure leaves an existing output, no part of a new one, and no thread."""
    out.write_text('old')
    threads, torch_threads = threading.active_count(), torch.get_num_threads()
    yield
    assert_nothing_happened(out, threads)
    assert torch.get_num_threads() == torch_threads


@pytest.mark.usefixtures('untouched')
@pytest.mark.parametrize('merge', ['crop', 'blend'])
@pytest.mark.parametrize('after', [0, 1, 30])
def test_errors_of_the_model(tmp_path, out, merge, after):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 60, 60))
    calls = []

    def model(batch):
        calls.append(None)
        if len(calls) > after:
            raise ZeroDivisionError
        return batch

    with pytest.raises(ZeroDivisionError):
        run(path, out, model=model, merge=merge, batch_size=1)


@pytest.mark.usefixtures('untouched')
@pytest.mark.parametrize('tile', [0, 20])
def test_cancel(tmp_path, out, tile):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 100, 100))

    def cancel(fraction, text='', *, tile=None, tiles=None):
        assert 0 <= fraction <= 1
        if tile >= at:
            raise Canceled

    at = tile
    with pytest.raises(Canceled):
        run(path, out, progress=cancel, batch_size=1)


@pytest.mark.usefixtures('untouched')
def test_cancel_does_not_wait_for_the_model(tmp_path, out):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 30, 30))
    begun = time.monotonic()

    def slow(batch):
        time.sleep(0.5)
        return batch

    def cancel(fraction, text='', *, tile=None, tiles=None):
        raise Canceled

    with pytest.raises(Canceled):
        run(path, out, model=slow, progress=cancel, batch_size=1)
    # the batch under way is finished, no other one is begun
    assert time.monotonic() - begun < 1.4


def test_progress_is_told_often_and_to_the_end(tmp_path, out):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 30, 30))
    told = []

    def progress(fraction, text='', *, tile=None, tiles=None):
        told.append((time.monotonic(), fraction, tile, tiles))

    run(path, out, model=lambda b: time.sleep(0.25) or b, progress=progress, batch_size=9)
    times, fractions, done, total = (np.array(x) for x in zip(*told, strict=True))
    # only the first tile, of 0.25 s, is computed in silence
    assert (np.diff(times) > 0.2).sum() <= 1
    assert (np.diff(fractions) >= 0).all()
    assert done[-1] == total[-1] == 36


@pytest.mark.usefixtures('untouched')
def test_a_raster_cut_short(tmp_path, out):
    values = np.random.default_rng(0).integers(0, 255, (1, 256, 256), 'uint8')
    path = write_raster(
        tmp_path / 'a.tif', values, tiled=True, blockxsize=64, blockysize=64, compress='deflate'
    )
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(BadInput, match=r'image: .*a\.tif cannot be read at column'):
        run(path, out, tile_size=64)


@pytest.mark.usefixtures('untouched')
def test_not_enough_memory_for_one_tile(tmp_path, out):
    def model(batch):
        raise torch.OutOfMemoryError('CUDA out of memory')

    with pytest.raises(OutOfMemory, match='8 x 8 pixels'):
        run(write_raster(tmp_path / 'a.tif', gradient(1, 20, 20)), out, model=model)


def test_smaller_batches_when_memory_is_short(tmp_path, out):
    values = gradient(1, 60, 60)

    def model(batch):
        if len(batch) > 3:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return batch

    path = write_raster(tmp_path / 'a.tif', values)
    found, summary = run(path, out, model=model, batch_size=16)
    np.testing.assert_array_equal(found, values)
    # how long the batch was that did not fit depends on which thread was first
    assert summary.batch_size in (2, 3)


def test_a_full_disk(tmp_path, capfd):
    values = np.random.default_rng(0).random((3, 200, 200), 'float32')
    path = write_raster(tmp_path / 'a.tif', values)
    with small_disk(tmp_path / 'disk', 300) as disk:
        (disk / 'result.tif').write_text('old')
        with pytest.raises(NoSpace, match='the disk is full'):
            run(path, disk / 'result.tif', tile_size=64)
        assert_nothing_happened(disk / 'result.tif', threading.active_count())
    capfd.readouterr()  # libtiff talks


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'tile_size': 0}, 'tile_size: 0'),
        ({'overlap': 8}, 'overlap: 8'),
        ({'merge': 'mean'}, "merge: 'mean'"),
        ({'batch_size': -1}, 'batch_size: -1'),
        ({'device': 'cuda:77'}, 'device: cuda:77'),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, out, options, words):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 20, 20))
    with pytest.raises(BadParameter, match=words):
        run(path, out, **options)
    assert not list(out.parent.iterdir())


def test_outputs_that_would_overwrite_something(tmp_path, out):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 20, 20))
    with pytest.raises(BadParameter, match='is also the image'):
        run(path, path)
    outputs = [RasterOutput(out, 'values'), RasterOutput(out, 'values', argument='confidence')]
    with pytest.raises(BadParameter, match=r'confidence: .* is also the output'):
        predict_raster(identity, RasterSource(str(path)), grid_of(path), outputs, tile_size=8)
    with pytest.raises(BadParameter, match='nothing to write'):
        predict_raster(identity, RasterSource(str(path)), grid_of(path), [], tile_size=8)
    with pytest.raises(BadParameter, match='no raster to read'):
        predict_raster(identity, [], grid_of(path), outputs, tile_size=8)


def test_a_missing_folder_is_found_before_any_work(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 20, 20))

    def model(batch):
        raise AssertionError('work was done')

    with pytest.raises(BadParameter, match=r'output: the folder .*nowhere'):
        run(path, tmp_path / 'nowhere' / 'a.tif', model=model)


# ---- speed and memory ----


def test_networks_are_computed_by_two_workers_with_the_same_result(tmp_path, out, monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    path = write_raster(tmp_path / 'a.tif', gradient(3, 50, 70, 'uint8'))
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
    one, _ = run(path, out, model=network, merge='blend')
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    two, summary = run(path, out, model=network, merge='blend', batch_size=1)
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-4)
    assert summary.tiles == 10 * 14
    assert network.training


@pytest.mark.parametrize('merge', ['crop', 'blend'])
def test_memory_does_not_grow_with_the_height(tmp_path, out, merge):
    peaks = []
    for height in (512, 4096):
        path = tmp_path / f'{height}.tif'
        write_raster(path, np.ones((height, 512), 'uint8'), tiled=True)
        tracemalloc.start()
        run_without_reading(path, out, merge)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # the plan of tiles grows by some bytes per row of tiles
    assert peaks[1] < 1.1 * peaks[0]


def run_without_reading(path, output, merge):
    predict_raster(
        lambda b: b, RasterSource(str(path)), grid_of(path), [RasterOutput(output, 'values')],
        tile_size=64, overlap=16, merge=merge, device='cpu', batch_size=4,
    )  # fmt: skip


def test_tiles_are_not_read_far_ahead(tmp_path, out, monkeypatch):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 200, 200))
    read, computed, most = [], [], []
    plain = module.TileReader.read
    monkeypatch.setattr(
        module.TileReader, 'read', lambda self, tile: read.append(tile) or plain(self, tile)
    )

    def model(batch):
        computed.extend(batch)
        time.sleep(0.002)
        most.append(len(read) - len(computed))
        return batch

    run(path, out, model=model, overlap=0, batch_size=2)
    assert max(most) < 20
