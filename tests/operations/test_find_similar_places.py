"""find_similar_places: rasters of similarity and ranked points."""

import numpy as np
import pytest
import rasterio

from tests.points import read_layer, scattered, write_points
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.globe import NearestPlace
from torchgeo_ext.operations import find_similar_places

#: The cosine of spherical harmonics falls with the distance and depends on nothing else.
FORMULA = {'model': 'location_harmonics'}
VIENNA, LIMA = (16.4, 48.2), (-77.0, -12.0)
EUROPE = '-10,35,40,65 [EPSG:4326]'


@pytest.fixture
def references(tmp_path):
    return write_points(tmp_path / 'references.geojson', [VIENNA])


def test_similarity_of_an_area(references, tmp_path):
    result = find_similar_places(
        references, extent=EUROPE, resolution=0.5, output=tmp_path / 'o.tif', **FORMULA
    )
    assert result.compared_count == 100 * 60
    assert result.places is None
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        values = dataset.read(1)
        row, column = np.unravel_index(values.argmax(), values.shape)
        best = rasterio.transform.xy(dataset.transform, row, column)
    np.testing.assert_allclose(best, VIENNA, atol=0.5)
    assert result.highest_similarity == pytest.approx(values.max())
    style = result.styles['output']
    assert values.min() <= style['minimum'] < style['maximum'] <= values.max()
    assert (tmp_path / 'o.qml').is_file()


def test_ranked_cells_keep_their_distances(references, tmp_path):
    result = find_similar_places(
        references, extent=EUROPE, resolution=0.5, exclusion=200_000, spacing=100_000, top=12,
        output=tmp_path / 'o.tif', places=tmp_path / 'p.gpkg', **FORMULA,
    )  # fmt: skip
    frame = read_layer(tmp_path / 'p.gpkg')
    assert result.place_count == len(frame) == 12
    assert frame['rank'].tolist() == list(range(1, 13))
    assert result.styles['places']['field'] == 'similarity'
    assert (np.diff(frame['similarity']) <= 0).all()
    places = np.column_stack([frame.geometry.x, frame.geometry.y])
    distance = NearestPlace(np.array([VIENNA]))(places)
    np.testing.assert_allclose(frame['distance_m'], distance)
    assert (distance >= 200_000).all()
    for number in range(1, 12):
        assert NearestPlace(places[:number])(places[number : number + 1]) >= 100_000
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        row, column = dataset.index(*VIENNA)
        assert np.isnan(dataset.read(1)[row, column])
        assert np.isfinite(dataset.read(1)).sum() == result.compared_count


def test_ranked_points_keep_their_attributes(references, tmp_path):
    there = np.vstack([scattered(200), [VIENNA]])
    candidates = write_points(tmp_path / 'c.gpkg', there, number=range(201))
    find_similar_places(
        references, candidates=candidates, places=tmp_path / 'p.parquet', top=5, **FORMULA
    )
    frame = read_layer(tmp_path / 'p.parquet')
    order = np.argsort(NearestPlace(np.array([VIENNA]))(there))[:5]
    assert frame['number'].tolist() == order.tolist()
    assert frame['number'][0] == 200
    assert frame['similarity'][0] == pytest.approx(1, abs=1e-6)


def test_candidates_without_place_are_not_ranked(references, tmp_path):
    candidates = write_points(tmp_path / 'c.gpkg', [None, (1, 2), None], number=[1, 2, 3])
    result = find_similar_places(
        references, candidates=candidates, places=tmp_path / 'p.gpkg', **FORMULA
    )
    assert result.compared_count == 1
    assert read_layer(tmp_path / 'p.gpkg')['number'].tolist() == [2]


def test_several_references(tmp_path):
    """The nearest one counts, or the mean of both."""
    references = write_points(tmp_path / 'references.gpkg', [VIENNA, LIMA])
    candidates = write_points(tmp_path / 'c.gpkg', [VIENNA, LIMA], number=[1, 2])
    found = {}
    for combine in ('nearest', 'mean'):
        find_similar_places(
            references, candidates=candidates, places=tmp_path / 'p.gpkg', combine=combine,
            **FORMULA,
        )  # fmt: skip
        found[combine] = read_layer(tmp_path / 'p.gpkg')['similarity']
    np.testing.assert_allclose(found['nearest'], 1, atol=1e-6)
    # of cosines 1 and nearly 0
    np.testing.assert_allclose(found['mean'], 0.5, atol=0.1)


def test_exclusion_of_everything(references, tmp_path):
    with pytest.raises(BadInput, match='leave no place to compare'):
        find_similar_places(
            references, extent='16,48,17,49 [EPSG:4326]', resolution=0.1, exclusion=1e6,
            output=tmp_path / 'o.tif', **FORMULA,
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ['references.geojson']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'extent': EUROPE, 'resolution': 1.0}, 'nothing to write'),
        ({'extent': EUROPE, 'places': 'p.gpkg'}, 'resolution is needed for the area'),
        ({'places': 'p.gpkg'}, 'Exactly one of extent, candidates'),
        (
            {'candidates': 'references.geojson', 'output': 'o.tif'},
            'output: a raster .* needs an area',
        ),
        ({'extent': EUROPE, 'resolution': 0.001, 'places': 'p.gpkg'}, 'more than maximum_cells'),
    ],
)
def test_arguments_that_do_not_fit(references, tmp_path, options, message):
    for name in {'candidates', 'output', 'places'} & options.keys():
        options[name] = tmp_path / options[name]
    with pytest.raises(BadParameter, match=message):
        find_similar_places(references, **options, **FORMULA)
