"""Statistics of rasters: equal to numpy's, window by window, and kept in a file."""

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.rasters import gradient, write_raster
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.inference import statistics
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.statistics import BandStatistics, band_statistics

DATA = Path(__file__).parents[2] / 'recipes' / 'demo' / 'data'


def source(path, **options):
    return RasterSource(str(path), **options)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """So that several windows are read of small rasters."""
    monkeypatch.setattr(statistics, '_WINDOW_VALUES', 64 * 64)


@pytest.mark.parametrize('name', ['sentinel2_2015-07-11.tif', 'naip_2009-08-18.tif'])
def test_equal_to_numpy_on_a_real_scene(name):
    path = DATA / name
    with rasterio.open(path) as dataset:
        values = dataset.read().astype('float64')
        valid = dataset.read_masks() != 0
    found = band_statistics([source(path)], quantiles=(0.02, 0.5, 0.75))
    assert len(found.bands) == len(values)
    for band, all_of_it, there in zip(found.bands, values, valid, strict=True):
        part = all_of_it[there]
        assert (band.valid, band.missing) == (part.size, all_of_it.size - part.size)
        assert band.mean == pytest.approx(part.mean(), rel=1e-12)
        assert band.std == pytest.approx(part.std(), rel=1e-12)
        assert (band.minimum, band.maximum) == (part.min(), part.max())
        assert band.quantiles_exact
        for share, value in band.quantiles.items():
            assert value == pytest.approx(np.quantile(part, share), rel=1e-12)


def test_names_and_wavelengths_come_from_file_and_sensor(tmp_path):
    found = band_statistics([source(DATA / 'sentinel2_2015-07-11.tif')])
    assert [band.name for band in found.bands[:3]] == ['B01', 'B02', 'B03']
    assert found.bands[1].wavelength == pytest.approx(0.4927)
    plain = write_raster(tmp_path / 'a.tif', gradient(2, 8, 8))
    assert [b.name for b in band_statistics([source(plain)]).bands] == ['band 1', 'band 2']


def test_each_band_has_its_own_missing_pixels(tmp_path):
    values = np.arange(3 * 70 * 70, dtype='float32').reshape(3, 70, 70)
    values[0, :10] = -9999
    values[1, 0, 0] = np.nan
    values[2] = -9999
    path = write_raster(tmp_path / 'a.tif', values, nodata=-9999)
    found = band_statistics([source(path)])
    assert [band.valid for band in found.bands] == [4200, 4899, 0]
    assert [band.missing for band in found.bands] == [700, 1, 4900]
    assert found.bands[0].mean == pytest.approx(values[0, 10:].mean(dtype='float64'))
    assert math.isnan(found.bands[2].mean)
    assert found.bands[2].quantiles == {}
    with pytest.raises(BadInput, match=r'band 3 of a\.tif has no valid pixel'):
        found.as_bands()


def test_several_rasters_are_one_sample(tmp_path):
    first, second = gradient(2, 70, 80), gradient(2, 30, 20) + 5
    paths = [
        write_raster(tmp_path / 'a.tif', first),
        write_raster(tmp_path / 'b.tif', second, crs='EPSG:32634', resolution=3),
    ]
    both = np.concatenate([first.reshape(2, -1), second.reshape(2, -1)], 1).astype('float64')
    found = band_statistics([source(path) for path in paths], quantiles=[0.5])
    assert found.mean == pytest.approx(both.mean(1))
    assert found.std == pytest.approx(both.std(1))
    assert found.bands[0].quantiles[0.5] == np.median(both[0])
    assert found.rasters == ('a.tif', 'b.tif')


def test_chosen_bands(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(3, 8, 8), names=['x', 'y', 'z'])
    found = band_statistics([source(path, bands=(3, 1))])
    assert [band.name for band in found.bands] == ['z', 'x']


def below_row_64(grid, window):
    assert grid.height == 80
    return np.full((window.height, window.width), window.row_off >= 64)


def test_parts_masks_and_conditions(tmp_path):
    values = gradient(1, 80, 80)
    path = write_raster(tmp_path / 'a.tif', values)
    mask = write_raster(tmp_path / 'm.tif', np.eye(80, dtype='uint8'))
    with rasterio.open(path) as dataset:
        grid = Grid.of(dataset).part(rasterio.windows.Window(10, 20, 30, 40))
    part = values[0, 20:60, 10:40]
    found = band_statistics([source(path)], grids=[grid])
    assert (found.bands[0].valid, found.bands[0].maximum) == (1200, part.max())
    found = band_statistics([source(path)], mask=MaskSource(str(mask)))
    assert (found.bands[0].valid, found.bands[0].missing) == (80, 0)
    assert found.mean[0] == pytest.approx(np.diag(values[0]).mean())
    found = band_statistics([source(path)], where=below_row_64)
    assert found.bands[0].minimum == values[0, 64, 0]


def test_nothing_valid(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.zeros((1, 8, 8), 'uint8'), nodata=0)
    with pytest.raises(BadInput, match=r'image: no pixel of a\.tif is valid'):
        band_statistics([source(path)])


def test_rasters_of_different_bands(tmp_path):
    paths = [write_raster(tmp_path / f'{n}.tif', gradient(n, 8, 8)) for n in (2, 3)]
    with pytest.raises(BadInput, match=r'2\.tif has 2 bands, but .*3\.tif has 3'):
        band_statistics([source(path) for path in paths])


def test_impossible_quantiles(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 8, 8))
    with pytest.raises(BadParameter, match='between 0 and 1'):
        band_statistics([source(path)], quantiles=[2])


def test_progress_and_cancel(tmp_path):
    path = write_raster(tmp_path / 'a.tif', gradient(1, 200, 200))
    told = []

    def listen(fraction, text='', **_):
        told.append(fraction)
        if len(told) == 3:
            raise Canceled('stopped')

    with pytest.raises(Canceled):
        band_statistics([source(path)], progress=listen)
    assert told == sorted(told)
    assert told[-1] < 1


def test_windows_do_not_grow_with_rasters_or_bands():
    for bands in (1, 3, 224, 10_000):
        side = statistics._side(bands)
        assert side == 64 or side * side * bands <= statistics._WINDOW_VALUES


def test_memory_does_not_grow_with_the_raster(tmp_path):
    peaks = []
    for side in (64, 128, 512):  # the first also pays for what is imported
        path = write_raster(tmp_path / f'{side}.tif', gradient(2, side, side) % 100)
        tracemalloc.start()
        band_statistics([source(path)])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1]
    assert peaks[2] < 512 * 512 * 2


def test_the_file(tmp_path):
    values = np.ones((2, 8, 8), 'float32')
    values[0] *= np.arange(8)
    path = write_raster(tmp_path / 'a.tif', values, names=['B04', 'flat'])
    found = band_statistics([source(path)])
    assert found.std == (pytest.approx(values[0].std()), 1.0)
    saved = found.save(tmp_path / 'a.json')
    assert BandStatistics.load(saved) == found
    written = json.loads(saved.read_text())
    assert (written['format'], written['version']) == ('torchgeo_ext-statistics', 1)
    assert written['bands'][0]['quantiles']['0.5'] == found.bands[0].quantiles[0.5]
    first, second = found.as_bands()
    assert (first.name, first.mean, first.maximum) == ('B04', 3.5, 7)
    assert (second.std, second.minimum) == (1, 1)


def test_a_band_without_values_in_the_file(tmp_path):
    values = np.stack([np.ones((8, 8), 'float32'), np.full((8, 8), np.nan, 'float32')])
    path = write_raster(tmp_path / 'a.tif', values)
    saved = band_statistics([source(path)]).save(tmp_path / 'a.json')
    assert json.loads(saved.read_text())['bands'][1]['mean'] is None
    assert math.isnan(BandStatistics.load(saved).mean[1])


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('nonsense', 'JSONDecodeError'),
        ('[]', 'TypeError'),
        ('{"format": "other"}', 'it is other None'),
        ('{"format": "torchgeo_ext-statistics", "version": 2}', 'it is .* 2, not .* 1'),
        ('{"format": "torchgeo_ext-statistics", "version": 1}', "KeyError: 'bands'"),
    ],
)
def test_other_files(tmp_path, text, reason):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(BadInput, match=rf'a\.json is no file of statistics \({reason}'):
        BandStatistics.load(path)


def test_no_file(tmp_path):
    with pytest.raises(BadInput, match='FileNotFoundError'):
        BandStatistics.load(tmp_path / 'a.json')
