"""compute_statistics: from images, and labels, to figures in a file."""

import csv
import json

import geopandas
import numpy as np
import pytest
from shapely.geometry import box

from tests.rasters import gradient, write_raster
from torchgeo_ext.cli import main
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.inference.statistics import BandStatistics
from torchgeo_ext.operations import compute_statistics


@pytest.fixture
def image(tmp_path):
    return write_raster(tmp_path / 'image.tif', gradient(2, 40, 50), names=['red', 'nir'])


def test_figures_and_files(image, tmp_path):
    values = gradient(2, 40, 50).reshape(2, -1).astype('float64')
    result = compute_statistics(
        image, tmp_path / 'a.json', table=tmp_path / 'a.csv', quantiles='0.1, 0.5'
    )
    assert (result.bands, result.pixels, result.valid_fraction) == (2, 2000, 1)
    assert [float(word) for word in result.mean.split(',')] == pytest.approx(values.mean(1))
    assert [float(word) for word in result.std.split(',')] == pytest.approx(values.std(1))
    loaded = BandStatistics.load(result.output)
    assert loaded.bands[1].quantiles == {
        0.1: pytest.approx(np.quantile(values[1], 0.1)),
        0.5: np.median(values[1]),
    }
    with open(result.table, newline='') as file:
        head, red, nir = csv.reader(file)
    assert head[:4] == ['band', 'valid', 'missing', 'mean']
    assert head[-1] == 'quantile 0.5'
    assert (red[0], float(nir[-1])) == ('red', np.median(values[1]))


def test_several_images_and_an_extent(image, tmp_path):
    """Images outside of the extent do not count."""
    other = write_raster(tmp_path / 'b.tif', gradient(2, 8, 8), crs='EPSG:32601')
    result = compute_statistics([image, other], tmp_path / 'a.json')
    assert result.pixels == 2064
    extent = '500100,5299800,500200,5299900 [EPSG:32633]'
    result = compute_statistics([image, other], tmp_path / 'b.json', extent=extent)
    assert result.pixels == 100
    with pytest.raises(BadParameter, match='outside of the image'):
        compute_statistics([image], tmp_path / 'c.json', extent='0,0,1,1')


def test_classes_of_polygons_inside_a_mask(image, tmp_path):
    west, north = 500_000, 5_300_000
    frame = geopandas.GeoDataFrame(
        {'kind': ['water', 'field']},
        geometry=[
            box(west, north - 100, west + 200, north),
            box(west + 300, north - 100, west + 400, north),
        ],
        crs='EPSG:32633',
    )
    frame.to_file(tmp_path / 'labels.gpkg')
    mask = np.zeros((40, 50), 'uint8')
    mask[:5] = 1
    result = compute_statistics(
        image,
        tmp_path / 'a.json',
        labels=tmp_path / 'labels.gpkg',
        class_field='kind',
        mask=write_raster(tmp_path / 'mask.tif', mask),
        table=tmp_path / 'a.csv',
    )
    assert result.pixels == 250
    classes = {entry.name: entry.pixels for entry in BandStatistics.load(result.output).classes}
    assert classes == {'field': 50, 'water': 100}
    assert 'water' in (tmp_path / 'a.csv').read_text()


def test_classes_of_a_raster(image, tmp_path):
    labels = np.zeros((40, 50), 'uint8')
    labels[:10], labels[10:15] = 3, 7
    path = write_raster(tmp_path / 'labels.tif', labels, nodata=0)
    result = compute_statistics(image, tmp_path / 'a.json', labels=path)
    classes = {entry.value: entry.pixels for entry in BandStatistics.load(result.output).classes}
    assert classes == {3: 500, 7: 250}


def test_nothing_is_left_behind_when_canceled(image, tmp_path):
    def cancel(fraction, text='', **_):
        raise Canceled('stopped')

    with pytest.raises(Canceled):
        compute_statistics(image, tmp_path / 'a.json', progress=cancel)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['image.tif']


@pytest.mark.parametrize('quantiles', ['half', '0.5;0.6', '1.5', '-1'])
def test_bad_quantiles(image, tmp_path, quantiles):
    with pytest.raises(BadParameter, match='numbers between 0 and 1'):
        compute_statistics(image, tmp_path / 'a.json', quantiles=quantiles)


def test_different_bands(image, tmp_path):
    other = write_raster(tmp_path / 'b.tif', gradient(3, 8, 8))
    with pytest.raises(BadInput, match=r'has 2 bands, but .* has 3'):
        compute_statistics([image, other], tmp_path / 'a.json')
    result = compute_statistics([image, other], tmp_path / 'a.json', bands=[2])
    assert result.bands == 1


def test_from_the_command_line(image, tmp_path, capsys):
    arguments = ['--image', str(image), '--output', str(tmp_path / 'a.json'), '--json']
    assert main(['compute-statistics', *arguments]) == 0
    assert json.loads(capsys.readouterr().out)['pixels'] == 2000
