"""unmix_spectra and assess_bands on files."""

import csv
import json

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from tests.cubes import CENTRES, materials, simulate, write_cube
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import assess_bands, unmix_spectra
from torchgeo_ext.sensors import BandWavelengths, SpectralLibrary, read_library, write_library

NAMES = ('green', 'bright', 'dark')


@pytest.fixture
def scene():
    return simulate(48, 64, noise=2.0)


@pytest.fixture
def image(scene, tmp_path):
    values = np.rint(scene.values)
    values[:, 30:35, 30:35] = -32768
    values[2] = -32768
    return write_cube(tmp_path / 'cube.tif', values)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.descriptions


def test_abundances_of_a_library(scene, image, tmp_path):
    bands = BandWavelengths(tuple(CENTRES))
    library = SpectralLibrary(NAMES, materials().T / 10_000, bands)
    write_library(tmp_path / 'lib.csv', library)
    result = unmix_spectra(
        image, tmp_path / 'o.tif', library=tmp_path / 'lib.csv', library_scale=10_000,
        residual=tmp_path / 'r.tif', report=tmp_path / 'r.html',
    )  # fmt: skip
    shares, names = read(tmp_path / 'o.tif')
    assert names == NAMES
    valid = np.isfinite(shares[0])
    assert (~valid).sum() == 25
    np.testing.assert_allclose(shares[:, valid], scene.shares[:, valid], atol=0.05)
    (left,), _ = read(tmp_path / 'r.tif')
    assert left[valid].mean() == pytest.approx(result.mean_residual, rel=1e-5)
    means = json.loads(result.mean_abundances)
    assert [*means] == [*NAMES]
    assert means['green'] == pytest.approx(scene.shares[0, valid].mean(), abs=0.01)
    page = (tmp_path / 'r.html').read_text()
    assert page.count('<svg') == 1
    assert 'bright' in page
    assert result.styles.keys() == {'output', 'residual'}


@pytest.mark.parametrize('extraction', ['vca', 'nfindr', 'atgp'])
def test_endmembers_found_in_the_image_make_a_library(scene, image, tmp_path, extraction):
    found = unmix_spectra(
        image, tmp_path / 'o.tif', extraction=extraction, endmembers=3, table=tmp_path / 't.csv',
        report=tmp_path / 'r.html',
    )  # fmt: skip
    assert json.loads(found.endmembers_used) == ['endmember 1', 'endmember 2', 'endmember 3']
    table = read_library(tmp_path / 't.csv')
    assert table.bands.centre == pytest.approx(
        [c for i, c in enumerate(CENTRES) if i not in (2, 14, 15, 21, 22)], abs=1e-5
    )
    for spectrum, x, y in zip(table.spectra, table.fields['x'], table.fields['y'], strict=True):
        with rasterio.open(image) as dataset:
            row, column = dataset.index(float(x), float(y))
            there = dataset.read()[:, row, column]
        np.testing.assert_allclose(spectrum, np.delete(there, [2, 14, 15, 21, 22]))
    again = unmix_spectra(image, tmp_path / 'again.tif', library=tmp_path / 't.csv')
    np.testing.assert_allclose(read(again.output)[0], read(found.output)[0], atol=1e-5)
    assert (tmp_path / 'r.html').read_text().count('endmember 3') >= 2


def test_places_on_the_image_and_no_sum(scene, image, tmp_path):
    rows = []
    for number, name in enumerate(NAMES):
        row, column = np.unravel_index(scene.shares[number].argmax(), (48, 64))
        x, y = 500_000 + 30 * (column + 0.5), 5_300_000 - 30 * (row + 0.5)
        rows.append({'kind': name, 'geometry': shapely.Point(x, y)})
    geopandas.GeoDataFrame(rows, crs='EPSG:32633').to_file(tmp_path / 'pure.gpkg')
    result = unmix_spectra(
        image, tmp_path / 'o.tif', examples=tmp_path / 'pure.gpkg', class_field='kind',
        method='nnls',
    )  # fmt: skip
    shares, names = read(tmp_path / 'o.tif')
    assert sorted(names) == sorted(NAMES)
    assert json.loads(result.endmembers_used) == list(names)
    order = [names.index(name) for name in NAMES]
    valid = np.isfinite(shares[0])
    np.testing.assert_allclose(shares[order][:, valid], scene.shares[:, valid], atol=0.1)
    assert np.abs(shares[:, valid].sum(0) - 1).max() > 1e-4


def test_what_does_not_go_together(image, tmp_path):
    output = tmp_path / 'o.tif'
    write_library(
        tmp_path / 'lib.csv',
        SpectralLibrary(
            ('a', 'b'), np.stack([materials()[:, 0]] * 2), BandWavelengths(tuple(CENTRES))
        ),
    )
    with pytest.raises(BadParameter, match='neither a library nor examples'):
        unmix_spectra(image, output, spectra='a')
    with pytest.raises(BadParameter, match='Both library'):
        unmix_spectra(image, output, library=tmp_path / 'lib.csv', examples=tmp_path / 'lib.csv')
    with pytest.raises(BadInput, match='library: a, b are mixtures of each other'):
        unmix_spectra(image, output, library=tmp_path / 'lib.csv')
    assert not output.exists()


def test_bands_are_assessed(image, tmp_path):
    result = assess_bands(image, tmp_path / 'r.html', table=tmp_path / 't.csv')
    bad = {3, 15, 16, 22, 23}
    assert [int(n) for n in result.good_bands.split(',')] == [
        n for n in range(1, 31) if n not in bad
    ]
    assert (result.good, result.bad) == (25, 5)
    with open(tmp_path / 't.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['verdict'] for row in rows[:3]] == ['good', 'good', 'no data']
    assert rows[14]['verdict'] == 'water vapour'
    assert rows[2]['mean'] == ''
    assert float(rows[0]['wavelength (nm)']) == pytest.approx(450)
    assert float(rows[0]['SNR']) == pytest.approx(float(rows[0]['mean']) / 2, rel=0.3)
    page = (tmp_path / 'r.html').read_text()
    assert page.count('<svg') == 3
    assert 'water vapour: 15-16, 22-23' in page
    strict = assess_bands(image, tmp_path / 'r.html', lowest_snr=1e6)
    assert (strict.good, strict.median_snr) == (0, None)
