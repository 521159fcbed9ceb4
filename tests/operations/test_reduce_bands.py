"""reduce_bands: components of cubes as files."""

import csv
import logging

import numpy as np
import pytest
import rasterio

from tests.cubes import simulate, write_cube
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import reduce_bands


@pytest.fixture
def image(tmp_path):
    """A cube with a hole, an empty band and a bad one; bands 15, 16, 22, 23 lie in water vapour."""
    values = np.rint(simulate(64, 64).values)
    values[2] = -32768
    values[:, 20:30, 5:15] = -32768
    path = write_cube(tmp_path / 'cube.tif', values)
    with rasterio.open(path, 'r+') as dataset:
        dataset.update_tags(9, bbl='0')
    return path


def test_components_of_the_bands_that_are_of_use(image, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        result = reduce_bands(image, tmp_path / 'o.tif', components=3, table=tmp_path / 't.csv')
    assert '24 of 30 bands are used' in caplog.text
    assert '3 (no data); 9 (marked as bad); 15-16, 22-23 (water vapour)' in caplog.text
    assert result.bands_used == 24
    assert result.informative == 2
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        components = dataset.read()
        assert dataset.descriptions == ('component 1', 'component 2', 'component 3')
        assert dataset.res == (30, 30)
    assert np.isnan(components[:, 20:30, 5:15]).all()
    assert np.isfinite(components[:, :20]).all()
    # neighbours in the third are as different as any two pixels: it is noise
    third = components[2, 31:]
    assert np.var(np.diff(third)) / 2 == pytest.approx(np.var(third), rel=0.3)
    assert np.var(np.diff(components[0, 31:])) / 2 < 0.1 * np.var(components[0, 31:])
    with open(tmp_path / 't.csv', newline='') as file:
        rows = list(csv.reader(file))
    assert rows[0][:4] == ['component', 'strength', 'kept variance so far', 'band 1 (450 nm)']
    assert len(rows) == 4
    assert float(rows[3][2]) == pytest.approx(result.kept_variance)


def test_bands_of_choice_and_a_table_of_wavelengths(image, tmp_path):
    plain = tmp_path / 'plain.tif'
    with rasterio.open(image) as dataset:
        values = dataset.read()
    write_cube(plain, values, centres=())
    all_but_empty = reduce_bands(plain, tmp_path / 'o.tif', method='pca', components=1)
    assert all_but_empty.bands_used == 29
    table = tmp_path / 'waves.csv'
    table.write_text('wavelength_nm\n' + '\n'.join(f'{1010 + i * 50}' for i in range(30)))
    told = reduce_bands(
        plain, tmp_path / 'o.tif', method='pca', components=1, wavelengths=str(table)
    )
    assert told.bands_used == 29 - 5  # 1360, 1410, and 1810 to 1910 nm
    chosen = reduce_bands(image, tmp_path / 'o.tif', method='pca', components=2, bands=[9, 16])
    assert chosen.bands_used == 2
    assert chosen.kept_variance == pytest.approx(1)


def test_what_does_not_go_together(image, tmp_path):
    output = tmp_path / 'o.tif'
    with pytest.raises(BadParameter, match='components is 4, but only 3 bands'):
        reduce_bands(image, output, components=4, bands=[4, 5, 6])
    with pytest.raises(BadParameter, match='standardise is true, but makes no difference to mnf'):
        reduce_bands(image, output, standardise=True)
    with pytest.raises(BadParameter, match='an autoencoder has no table'):
        reduce_bands(image, output, method='autoencoder', table=tmp_path / 't.csv')
    with pytest.raises(BadParameter, match='band 31 does not exist'):
        reduce_bands(image, output, bands=[1, 31])
    with pytest.raises(BadInput, match='depend on each other'):
        reduce_bands(image, output, bands=[4, 5, 5, 6], components=2)
    assert not output.exists()
