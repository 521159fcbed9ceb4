"""embed_points: vectors as attributes of points."""

import logging

import geopandas
import numpy as np
import pytest
import shapely
import torch

from tests.points import read_layer, scattered, write_points
from torchgeo_ext.errors import BadInput, BadParameter, MissingWeights
from torchgeo_ext.models.location import location_encoder, location_names
from torchgeo_ext.operations import embed_points
from torchgeo_ext.operations._location_parameters import FORMULAS

FORMULA = {'model': 'location_harmonics'}


def expected(places, model='location_harmonics'):
    with torch.inference_mode():
        return location_encoder(model)(torch.tensor(places)).float().numpy()


def test_fields_beside_the_own_attributes(tmp_path):
    there = scattered(40)
    source = write_points(tmp_path / 'in.gpkg', there, name=[f'n{n}' for n in range(40)])
    result = embed_points(source, tmp_path / 'out.gpkg', **FORMULA)
    assert (result.dimensions, result.embedded_count, result.empty_count) == (100, 40, 0)
    assert result.source == 'a formula without weights'
    frame = read_layer(tmp_path / 'out.gpkg')
    assert frame['name'].tolist() == [f'n{n}' for n in range(40)]
    fields = [f'embedding_{number:03d}' for number in range(100)]
    np.testing.assert_allclose(frame[fields].to_numpy(), expected(there), atol=1e-6)


def test_one_field_in_either_format(tmp_path):
    there = scattered(10)
    source = write_points(tmp_path / 'in.geojson', [*there, None])
    for ending in ('gpkg', 'parquet'):
        embed_points(source, tmp_path / f'out.{ending}', form='array', prefix='place', **FORMULA)
    lists = read_layer(tmp_path / 'out.parquet')['place']
    np.testing.assert_allclose(np.stack(lists[:10]), expected(there), atol=1e-6)
    assert lists[10] is None
    blobs = read_layer(tmp_path / 'out.gpkg')['place']
    found = np.stack([np.frombuffer(blob, '<f4') for blob in blobs[:10]])
    np.testing.assert_array_equal(found, np.stack(lists[:10]))
    assert blobs[10] is None


def test_a_place_has_one_vector_in_every_reference_system(tmp_path):
    there = scattered(10, box=(12, 40, 18, 60))
    points = geopandas.GeoSeries.from_xy(*there.T, crs='EPSG:4326').to_crs('EPSG:32633')
    source = write_points(tmp_path / 'in.gpkg', points, crs='EPSG:32633')
    embed_points(source, tmp_path / 'out.parquet', form='array', **FORMULA)
    frame = read_layer(tmp_path / 'out.parquet')
    np.testing.assert_allclose(np.stack(frame['embedding']), expected(there), atol=1e-5)
    assert frame.crs == 'EPSG:32633'


def test_features_without_place_stay(tmp_path, caplog):
    both = shapely.MultiPoint([(1, 2), (3, 4)])
    source = write_points(tmp_path / 'in.gpkg', [(1, 2), None, both], n=[1, 2, 3])
    with caplog.at_level(logging.WARNING):
        result = embed_points(source, tmp_path / 'out.gpkg', **FORMULA)
    assert (result.embedded_count, result.empty_count) == (1, 2)
    frame = read_layer(tmp_path / 'out.gpkg')
    assert frame['n'].tolist() == [1, 2, 3]
    assert frame['embedding_000'].isna().tolist() == [False, True, True]
    assert '2 of 3 features are at no single place' in caplog.text


def test_a_field_of_that_name_stays(tmp_path):
    source = write_points(tmp_path / 'in.gpkg', [(1, 2)], EMBEDDING_000=['own'])
    embed_points(source, tmp_path / 'out.gpkg', **FORMULA)
    frame = read_layer(tmp_path / 'out.gpkg')
    assert frame['EMBEDDING_000'].tolist() == ['own']
    assert frame['embedding_000_2'].notna().all()


def test_random_numbers_are_called_so_and_follow_the_seed(tmp_path):
    source = write_points(tmp_path / 'in.gpkg', scattered(5))
    found = []
    for seed in (0, 0, 1):
        result = embed_points(
            source, tmp_path / 'out.parquet', model='satclip_resnet18_l10', untrained=True,
            form='array', seed=seed,
        )  # fmt: skip
        assert result.source == 'random numbers, not trained'
        found.append(np.stack(read_layer(tmp_path / 'out.parquet')['embedding']))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0.01


def test_weights_of_a_file(tmp_path):
    encoder = location_encoder('satclip_resnet18_l10')
    keys = {f'model.location.{key}': value for key, value in encoder.state_dict().items()}
    torch.save({'state_dict': keys}, tmp_path / 'weights.ckpt')
    there = scattered(5)
    source = write_points(tmp_path / 'in.gpkg', there)
    result = embed_points(
        source, tmp_path / 'out.parquet', model='satclip_resnet18_l10', form='array',
        weights=tmp_path / 'weights.ckpt',
    )  # fmt: skip
    assert result.source == 'weights of weights.ckpt'
    found = np.stack(read_layer(tmp_path / 'out.parquet')['embedding'])
    with torch.inference_mode():
        wanted = encoder(torch.tensor(there)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'untrained': True}, 'untrained is True, but location_harmonics is a formula'),
        ({'weights': 'in.gpkg'}, 'weights is .*in.gpkg, but location_harmonics is a formula'),
        (
            {'weights': 'in.gpkg', 'untrained': True, 'model': 'satclip_resnet18_l10'},
            'untrained: weights are given too',
        ),
        ({'output': 'out.shp'}, 'must end in .gpkg or .parquet'),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, options, message):
    source = write_points(tmp_path / 'in.gpkg', [(1, 2)])
    given = {'output': 'out.gpkg', **FORMULA, **options}
    for name in {'weights', 'output'} & given.keys():
        given[name] = tmp_path / given[name]
    with pytest.raises(BadParameter, match=message):
        embed_points(source, **given)
    assert [path.name for path in tmp_path.iterdir()] == ['in.gpkg']


def test_more_fields_than_a_geopackage_has(tmp_path):
    names = {f'field{number}': [0] for number in range(1950)}
    source = write_points(tmp_path / 'in.parquet', [(1, 2)], **names)
    with pytest.raises(BadParameter, match='1950 fields of the layer and 100 of the vectors'):
        embed_points(source, tmp_path / 'out.gpkg', **FORMULA)


def test_nothing_is_left_if_a_later_part_fails(tmp_path, monkeypatch):
    monkeypatch.setattr('torchgeo_ext.inference.points.PointLayer.batches.__defaults__', (None, 2))
    shapes = [(1, 2), (3, 4), shapely.box(0, 0, 1, 1)]
    source = write_points(tmp_path / 'in.geojson', shapes)
    with pytest.raises(BadInput, match='also holds Polygon'):
        embed_points(source, tmp_path / 'out.gpkg', **FORMULA)
    assert [path.name for path in tmp_path.iterdir()] == ['in.geojson']


def test_every_encoder_can_be_chosen():
    (choice,) = [p for p in embed_points.operation.parameters if p.name == 'model']
    assert sorted(choice.choices) == location_names()
    assert [name for name in choice.choices if name.startswith('location_')] == list(FORMULAS)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('satclip_resnet18_l10', 'could not be downloaded'),
        ('geoclip_location', 'Fetch it from'),
        ('csp', 'no lasting address of the weights of csp'),
    ],
)
def test_published_weights_that_cannot_be_fetched(tmp_path, monkeypatch, model, message):
    def offline(*_, **__):
        raise OSError('no network')

    monkeypatch.setattr('torch.hub.download_url_to_file', offline)
    source = write_points(tmp_path / 'in.gpkg', [(1, 2)])
    with pytest.raises(MissingWeights, match=message):
        embed_points(source, tmp_path / 'out.gpkg', model=model)
    assert [path.name for path in tmp_path.iterdir()] == ['in.gpkg']
