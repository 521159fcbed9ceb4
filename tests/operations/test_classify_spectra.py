"""classify_spectra: by a library or by places on the image."""

import json
import logging

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from tests.cubes import CENTRES, materials, simulate, write_cube
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import classify_spectra
from torchgeo_ext.sensors import BandWavelengths, SpectralLibrary, write_library

NAMES = ('green', 'bright', 'dark')


@pytest.fixture
def scene():
    return simulate(48, 64)


@pytest.fixture
def image(scene, tmp_path):
    values = np.rint(scene.values)
    values[:, :4, :4] = -32768
    return write_cube(tmp_path / 'cube.tif', values)


@pytest.fixture
def library(tmp_path):
    """Reflectance of the three materials, finer than the image and some of it beyond."""
    fine = np.linspace(0.4, 2.2, 400)
    bands = BandWavelengths(tuple(fine), (0.005,) * 400)
    spectra = np.concatenate([materials(fine).T, 0.5 * materials(fine).T]) / 10_000
    write_library(
        tmp_path / 'lib.csv',
        SpectralLibrary(
            (*NAMES, *(f'half as {n}' for n in NAMES)), spectra, bands, {'kind': NAMES * 2}
        ),
    )
    return tmp_path / 'lib.csv'


@pytest.fixture
def examples(scene, tmp_path):
    """A point where each material is purest in each of several columns."""
    rows = []
    for left in range(4, 64, 6):
        for number, name in enumerate(NAMES):
            share = scene.shares[number, 4:, left : left + 6]
            row, column = np.unravel_index(share.argmax(), share.shape)
            if share[row, column] > 0.7:
                x, y = 500_000 + 30 * (left + column + 0.5), 5_300_000 - 30 * (row + 4.5)
                rows.append({'class': name, 'geometry': shapely.Point(x, y)})
    geopandas.GeoDataFrame(rows, crs='EPSG:32633').to_file(tmp_path / 'examples.gpkg')
    return tmp_path / 'examples.gpkg'


def names_in(path, classes):
    """Names of the classes of a map (h, w); that of no data is ''."""
    with rasterio.open(path) as dataset:
        names = {entry['value']: entry['name'] for entry in json.loads(classes)}
        return np.vectorize({**names, dataset.nodata: ''}.get)(dataset.read(1))


def nearest(scene):
    """Names of the materials at the smallest angle (h, w)."""
    used = [band for band in range(30) if band not in (14, 15, 21, 22)]
    values, spectra = np.rint(scene.values)[used], materials()[used]
    cosines = np.einsum('ck,chw->khw', spectra / np.linalg.norm(spectra, axis=0), values)
    names = np.array(NAMES)[cosines.argmax(0)]
    names[:4, :4] = ''
    return names


def test_a_library_of_other_bands_and_units(scene, image, library, tmp_path, caplog):
    result = classify_spectra(
        image, tmp_path / 'o.tif', library=library, library_field='kind',
        confidence=tmp_path / 'c.tif', polygons=tmp_path / 'p.gpkg', report=tmp_path / 'r.html',
    )  # fmt: skip
    page = (tmp_path / 'r.html').read_text()
    assert page.count('<svg') == 1
    assert '<td>bright</td><td>2</td>' in page
    same = names_in(tmp_path / 'o.tif', result.classes) == nearest(scene)
    # the library has finer bands and ends before the image does
    assert same.mean() > 0.98
    assert result.known_spectra == 6
    assert result.held_out_accuracy is None
    # 2219 nm and more are beyond the library
    assert 'does not cover the bands 28-30' in caplog.text
    assert 'may be of other units' in caplog.text
    with rasterio.open(tmp_path / 'c.tif') as dataset:
        cosine = dataset.read(1)[4:, 4:]
    assert 0.8 < cosine.min() < cosine.max() <= 1
    assert sum(json.loads(result.class_areas).values()) == pytest.approx(
        900 * (48 * 64 - 16), rel=0.01
    )
    assert result.styles.keys() == {'output', 'confidence', 'polygons'}


def test_pixels_unlike_all_spectra_get_no_class(scene, image, library, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        result = classify_spectra(
            image, tmp_path / 'o.tif', library=library, spectra='green, half as dark',
            maximum_angle=5.0, library_scale=10_000,
        )  # fmt: skip
    assert 'other units' not in caplog.text
    classes = json.loads(result.classes)
    assert [entry['name'] for entry in classes] == ['green', 'half as dark', 'unclassified']
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        found = dataset.read(1)
    assert (found[scene.shares[1] > 0.8] == 0).all()
    assert (found[scene.shares[0] > 0.95] == 1).mean() > 0.9


@pytest.mark.parametrize('method', ['angle', 'svm', 'forest'])
def test_examples_on_the_image(scene, image, examples, tmp_path, method):
    result = classify_spectra(
        image, tmp_path / 'o.tif', examples=examples, class_field='class', method=method, trees=30
    )
    found = names_in(tmp_path / 'o.tif', result.classes)
    pure = scene.shares.max(0) > 0.9
    pure[:4, :4] = False
    assert (found[pure] == np.array(NAMES)[scene.shares.argmax(0)][pure]).mean() > 0.95
    assert result.held_out_accuracy > 0.9
    assert result.bands_used == 26


def test_what_does_not_go_together(image, library, examples, tmp_path):
    output = tmp_path / 'o.tif'
    for arguments, why in (
        ({}, 'Exactly one of library, examples is needed'),
        ({'examples': examples}, 'class_field is needed'),
        ({'library': library, 'class_field': 'kind'}, 'there is no examples'),
        (
            {'examples': examples, 'class_field': 'class', 'library_field': 'kind'},
            'there is no library',
        ),
        ({'library': library, 'method': 'svm', 'maximum_angle': 3.0}, 'no difference to svm'),
        ({'library': library, 'method': 'svm', 'confidence': tmp_path / 'c.tif'}, 'gives none'),
        ({'library': library, 'library_field': 'sort'}, "no field 'sort', but kind"),
        ({'library': library, 'spectra': 'red'}, "no spectrum 'red'; it has green"),
    ):
        with pytest.raises(BadParameter, match=why):
            classify_spectra(image, output, **arguments)
    with pytest.raises(BadInput, match='has 1 classes, but at least 2'):
        classify_spectra(image, output, library=library, spectra='green')
    assert not output.exists()


def test_bands_of_unknown_wavelength_are_taken_by_number(scene, image, tmp_path):
    bands = BandWavelengths((float('nan'),) * 30)
    write_library(tmp_path / 'same.csv', SpectralLibrary(NAMES, materials().T, bands))
    result = classify_spectra(image, tmp_path / 'o.tif', library=tmp_path / 'same.csv')
    np.testing.assert_array_equal(names_in(tmp_path / 'o.tif', result.classes), nearest(scene))
    write_library(
        tmp_path / 'few.csv', SpectralLibrary(NAMES, materials()[:7].T, bands.select(range(7)))
    )
    with pytest.raises(BadInput, match=r'has 7 bands and .* 30, and not for both'):
        classify_spectra(image, tmp_path / 'o.tif', library=tmp_path / 'few.csv')
    far = BandWavelengths(tuple(8 + CENTRES))
    write_library(tmp_path / 'far.csv', SpectralLibrary(NAMES, materials().T, far))
    with pytest.raises(BadInput, match='covers no band'):
        classify_spectra(image, tmp_path / 'o.tif', library=tmp_path / 'far.csv')
