"""detect_target and detect_anomalies: what was hidden in a cube is found."""

import json
import re

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

from tests.cubes import CENTRES, simulate, write_cube
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import detect_anomalies, detect_target
from torchgeo_ext.sensors import BandWavelengths, SpectralLibrary, write_library

PLACES = [(10, 50), (30, 20), (40, 44)]
SHARE = 0.3


@pytest.fixture
def target():
    return 1500 + 900 * np.sin(9 * CENTRES)


@pytest.fixture
def image(tmp_path, target):
    """A scene with three pixels of which 30 % are the target, and a hole."""
    values = simulate(48, 64).values
    for row, column in PLACES:
        values[:, row, column] = (1 - SHARE) * values[:, row, column] + SHARE * target
    values = np.rint(values)
    values[:, 20:24, 30:36] = -32768
    return write_cube(tmp_path / 'cube.tif', values)


@pytest.fixture
def library(tmp_path, target):
    bands = BandWavelengths(tuple(CENTRES))
    spectra = np.stack([target, 3000 * np.exp(-CENTRES)]) / 10_000
    write_library(tmp_path / 'lib.csv', SpectralLibrary(('odd', 'common'), spectra, bands))
    return tmp_path / 'lib.csv'


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.descriptions


@pytest.mark.parametrize('method', ['ace', 'matched_filter', 'cem'])
def test_parts_of_pixels_are_found(image, library, tmp_path, method):
    result = detect_target(
        image, tmp_path / 'o.tif', library=library, spectra='odd', library_scale=10_000,
        method=method, share=0.00082, found=tmp_path / 'f.tif', polygons=tmp_path / 'p.gpkg',
        report=tmp_path / 'r.html',
    )  # fmt: skip
    page = (tmp_path / 'r.html').read_text()
    assert 'mean of the image' in page
    assert re.search(r'<td>odd</td><td>[\d.]+</td><td>0\.2\d+</td>', page)
    (scores,), names = read(tmp_path / 'o.tif')
    assert names == ('odd',)
    assert np.isnan(scores[20:24, 30:36]).all()
    strongest = np.argsort(np.nan_to_num(scores).ravel())[-3:]
    assert sorted(zip(*np.unravel_index(strongest, scores.shape), strict=True)) == PLACES
    if method != 'ace':
        found = scores[tuple(np.transpose(PLACES))]
        np.testing.assert_allclose(found, SHARE, atol=0.1)
    (marked,), _ = read(tmp_path / 'f.tif')
    assert sorted(zip(*np.nonzero(marked == 1), strict=True)) == PLACES
    assert json.loads(result.target_areas)['odd'] == pytest.approx(3 * 900, rel=0.01)
    assert len(pyogrio.read_dataframe(tmp_path / 'p.gpkg', layer='p')) == 3
    assert result.styles.keys() == {'output', 'found', 'polygons'}


def test_the_angle_of_several_targets(image, library, tmp_path):
    result = detect_target(
        image, tmp_path / 'o.tif', library=library, method='angle', threshold=0.2,
        found=tmp_path / 'f.tif', report=tmp_path / 'r.html',
    )  # fmt: skip
    assert 'mean of the image' not in (tmp_path / 'r.html').read_text()
    angles, names = read(tmp_path / 'o.tif')
    assert names == ('odd', 'common')
    (marked,), _ = read(tmp_path / 'f.tif')
    assert json.loads(result.thresholds_used) == {'odd': 0.2, 'common': 0.2}
    assert (marked[angles[1] <= 0.2] == 2).all()
    assert (marked[(angles > 0.2).all(0)] == 0).all()
    # spectra of any unit have the same angle
    unit = detect_target(
        image, tmp_path / 'o2.tif', library=library, method='angle', library_scale=1000.0
    )
    np.testing.assert_allclose(read(unit.output)[0], angles, atol=1e-5)


def test_the_target_on_the_image_itself(image, tmp_path):
    row, column = PLACES[0]
    x, y = 500_000 + 30 * (column + 0.5), 5_300_000 - 30 * (row + 0.5)
    point = geopandas.GeoDataFrame(geometry=[shapely.Point(x, y)], crs='EPSG:32633')
    point.to_file(tmp_path / 'point.gpkg')
    detect_target(image, tmp_path / 'o.tif', examples=tmp_path / 'point.gpkg')
    scores, names = read(tmp_path / 'o.tif')
    assert names == ('examples',)
    assert scores[0, row, column] == pytest.approx(1, abs=1e-4)
    others = [scores[(0, *place)] for place in PLACES[1:]]
    assert min(others) > np.nanquantile(scores, 0.995)


def test_anomalies_of_the_whole_image(image, tmp_path):
    result = detect_anomalies(
        image, tmp_path / 'o.tif', share=0.00082, found=tmp_path / 'f.tif',
        polygons=tmp_path / 'p.gpkg', report=tmp_path / 'r.html',
    )  # fmt: skip
    page = (tmp_path / 'r.html').read_text()
    assert 'mean of the anomalies' in page
    assert re.search(r'<td>anomalies</td><td>3</td><td>0\.2\d+</td>', page)
    (scores,), _ = read(tmp_path / 'o.tif')
    assert result.degrees_of_freedom == result.bands_used == 26
    assert np.nanmean(scores) == pytest.approx(26, rel=1e-3)
    (marked,), _ = read(tmp_path / 'f.tif')
    assert sorted(zip(*np.nonzero(marked == 1), strict=True)) == PLACES
    assert result.anomalous_area == pytest.approx(2700, rel=0.01)
    assert result.threshold_used < min(scores[place] for place in PLACES)
    detect_anomalies(image, tmp_path / 'o.tif', threshold=1e9, report=tmp_path / 'r.html')
    page = (tmp_path / 'r.html').read_text()
    assert '<td>anomalies</td><td>0</td>' in page
    assert 'mean of the anomalies' not in page


def test_local_anomalies_do_not_depend_on_tiles(tmp_path, monkeypatch):
    values = np.rint(simulate(70, 90).values)
    values[:, 33:35, 60] += 800 * np.sin(9 * CENTRES)[:, None]
    values[:, 10:14, 10:30] = -32768
    image = write_cube(tmp_path / 'cube.tif', values)
    options = {'method': 'local', 'components': 6, 'window': 15, 'guard': 5}
    detect_anomalies(image, tmp_path / 'one.tif', **options)
    monkeypatch.setattr('torchgeo_ext.inference.spectral.cube._VALUES', 30 * 32**2)
    result = detect_anomalies(image, tmp_path / 'some.tif', **options)
    (one,), _ = read(tmp_path / 'one.tif')
    (some,), _ = read(tmp_path / 'some.tif')
    inside = np.s_[7:-7, 7:-7]
    np.testing.assert_allclose(some[inside], one[inside], rtol=1e-4)
    assert np.isnan(some[10:14, 10:30]).all()
    row, column = np.unravel_index(np.nan_to_num(some).argmax(), some.shape)
    assert row in (33, 34)
    assert column == 60
    assert result.degrees_of_freedom == 6


def test_bad_arguments(image, library, tmp_path):
    output = tmp_path / 'o.tif'
    with pytest.raises(BadParameter, match='window is 20, but must be odd'):
        detect_anomalies(image, output, method='local', window=20)
    with pytest.raises(BadParameter, match='guard is 9, but must be smaller than window'):
        detect_anomalies(image, output, method='local', window=9, guard=9)
    with pytest.raises(BadParameter, match='components is 9, but only 2 bands'):
        detect_anomalies(image, output, method='local', components=9, bands=[1, 2])
    with pytest.raises(BadInput, match='depend on each other'):
        detect_target(image, output, library=library, bands=[1, 2, 2])
    assert not output.exists()
