"""Reading spectral libraries of all layouts."""

import json

import geopandas
import numpy as np
import pytest
import shapely

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import BandWavelengths, SpectralLibrary, read_library, write_library

WAVES = [450.0, 550.5, 1650.0, 2200.0]
SPECTRA = np.array([[0.1, 0.2, 0.3, 0.25], [0.05, 0.04, 0.01, 0.0]])


def write_envi(folder, *, dtype='<f4', extra='', spectra=SPECTRA):
    kinds = {'<f4': '4', '>i2': '2'}
    names = ', '.join(['grass', 'deep water'])
    (folder / 'lib.hdr').write_text(
        'ENVI\ndescription = {\n a library = of two}\n'
        f'samples = 4\nlines = 2\nbands = 1\nheader offset = 3\ndata type = {kinds[dtype]}\n'
        'file type = ENVI Spectral Library\ninterleave = bsq\n'
        f'byte order = {int(dtype[0] == ">")}\n'
        f'wavelength units = Nanometers\nwavelength = {{\n 450, 550.5,\n 1650, 2200}}\n'
        f'spectra names = {{{names}}}\nbbl = {{1, 1, 0, 1}}\n{extra}'
    )
    path = folder / 'lib.sli'
    path.write_bytes(b'abc' + spectra.astype(dtype).tobytes())
    return path


def test_envi_of_either_file(tmp_path):
    path = write_envi(tmp_path)
    for given in (path, tmp_path / 'lib.hdr'):
        library = read_library(given)
        assert library.names == ('grass', 'deep water')
        np.testing.assert_allclose(library.spectra, SPECTRA, rtol=1e-6)
        assert library.bands.centre == pytest.approx([0.45, 0.5505, 1.65, 2.2])
        assert library.bands.good == (True, True, False, True)


def test_envi_scaled_integers_of_the_other_byte_order(tmp_path):
    path = write_envi(
        tmp_path, dtype='>i2', extra='reflectance scale factor = 10000\n', spectra=SPECTRA * 10000
    )
    np.testing.assert_allclose(read_library(path).spectra, SPECTRA, atol=1e-6)


def test_envi_that_is_broken(tmp_path):
    path = write_envi(tmp_path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BadInput, match='has 31 bytes, but 2 spectra of 4 bands take 35'):
        read_library(path)
    (tmp_path / 'lib.hdr').write_text('ENVI\nlines = 2\n')
    with pytest.raises(BadInput, match="lacks or misspells 'samples'"):
        read_library(path)
    write_envi(tmp_path, extra='fwhm = {a, b}\n')
    with pytest.raises(BadInput, match="could not convert string to float: 'a'"):
        read_library(path)
    (tmp_path / 'lib.hdr').unlink()
    with pytest.raises(BadInput, match=r'its header lib\.hdr is missing'):
        read_library(path)


def profiles(**first):
    made = []
    for row in SPECTRA:
        made.append({'x': [w / 1000 for w in WAVES], 'y': row.tolist(), 'xUnit': 'Micrometers'})
    made[0].update(first)
    return made


@pytest.mark.parametrize('kind', ['blob', 'text', 'geojson'])
def test_enmap_box(tmp_path, kind):
    texts = [json.dumps(profile) for profile in profiles()]
    if kind == 'geojson':
        path = tmp_path / 'lib.geojson'
        features = [
            {
                'type': 'Feature',
                'properties': {'name': name, 'level_1': level, 'profiles': profile},
                'geometry': {'type': 'Point', 'coordinates': [13, 52]},
            }
            for name, level, profile in zip(('a', 'b'), ('plant', 'water'), profiles(), strict=True)
        ]
        path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))
    else:
        path = tmp_path / 'lib.gpkg'
        cells = [text.encode() if kind == 'blob' else text for text in texts]
        frame = geopandas.GeoDataFrame(
            {'name': ['a', 'b'], 'profiles': cells, 'level_1': ['plant', 'water'], 'n': [1, 2]},
            geometry=[shapely.Point(13, 52)] * 2,
            crs=4326,
        )
        frame.to_file(path, engine='pyogrio', use_arrow=True)
    library = read_library(path)
    assert library.names == ('a', 'b')
    np.testing.assert_allclose(library.spectra, SPECTRA)
    assert library.bands.centre == pytest.approx([0.45, 0.5505, 1.65, 2.2])
    assert library.classes('level_1') == ('plant', 'water')
    assert library.select(['b']).classes('level_1') == ('water',)
    with pytest.raises(BadParameter, match="has no field 'x', but name, level_1"):
        library.classes('x')
    with pytest.raises(BadParameter, match="no spectrum 'c'; it has a, b"):
        library.select(['c'])


def test_enmap_box_of_several_instruments_or_without_json(tmp_path):
    def write(cells):
        geometry = [shapely.Point(13, 52)] * len(cells)
        frame = geopandas.GeoDataFrame({'profiles': cells}, geometry=geometry, crs=4326)
        frame.to_file(tmp_path / 'lib.gpkg', engine='pyogrio', use_arrow=True)
        return tmp_path / 'lib.gpkg'

    mixed = [json.dumps(profile) for profile in profiles(x=[1, 2], y=[3, 4])]
    with pytest.raises(BadInput, match=r'2 different sets of bands \(2, 4 bands\)'):
        read_library(write(mixed))
    with pytest.raises(BadInput, match='no field has profiles, but profiles'):
        read_library(write([b'\x80\x04\x95pickle', b'\x80\x04\x95pickle']))


def test_missing_values_and_bad_bands_of_a_profile(tmp_path):
    path = tmp_path / 'lib.geojson'
    profile = profiles(y=[0.1, None, 0.3, 0.2], bbl=[1, 0, 1, 1])[0]
    feature = {'type': 'Feature', 'properties': {'profiles': profile}, 'geometry': None}
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': [feature]}))
    library = read_library(path)
    assert np.isnan(library.spectra).tolist() == [[False, True, False, False]]
    assert library.bands.good == (True, False, True, True)
    assert library.names == ('spectrum 1',)
    feature['properties']['profiles'] = profiles(x=['2020-01-01'] * 4)[0]
    path.write_text(json.dumps({'type': 'FeatureCollection', 'features': [feature]}))
    with pytest.raises(BadInput, match='a profile is not of numbers'):
        read_library(path)


def test_csv_comes_back_as_it_was_written(tmp_path):
    bands = BandWavelengths(tuple(w / 1000 for w in WAVES))
    spectra = SPECTRA.copy()
    spectra[1, 2] = np.nan
    library = SpectralLibrary(('a', 'b, c'), spectra, bands, {'kind': ('x', 'y')})
    write_library(tmp_path / 'lib.csv', library)
    again = read_library(tmp_path / 'lib.csv')
    assert again.names == library.names
    assert again.fields == library.fields
    np.testing.assert_allclose(again.spectra, spectra, rtol=1e-8)
    assert again.bands.centre == pytest.approx(bands.centre)


@pytest.mark.parametrize(
    'text',
    [
        'wavelength (um);grass;water\n0.45;0.1;0.05\n0.55;0.2;0.04\n',
        'Wavelength_nm,grass,water\n450,0.1,0.05\n550,0.2,0.04\n',
        'label,450,550\ngrass,0.1,0.2\nwater,0.05,0.04\n',
        'label,0.45 um,0.55 um\ngrass,0.1,0.2\nwater,0.05,0.04\n',
    ],
)
def test_csv_of_other_people(tmp_path, text):
    (tmp_path / 'lib.csv').write_text(text)
    library = read_library(tmp_path / 'lib.csv')
    assert library.names == ('grass', 'water')
    assert library.bands.centre == pytest.approx([0.45, 0.55])
    np.testing.assert_allclose(library.spectra, SPECTRA[:, :2])


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        ('name,kind\na,b\n', 'its columns are name, kind'),
        ('name,450,550\na,0.1,x\n', "could not convert string to float: 'x'"),
        ('name,450,550\n', 'it has no rows'),
    ],
)
def test_csv_that_is_no_library(tmp_path, text, why):
    (tmp_path / 'lib.csv').write_text(text)
    with pytest.raises(BadInput, match=why):
        read_library(tmp_path / 'lib.csv')
