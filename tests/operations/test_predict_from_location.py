"""predict_from_location: scores, maps and residuals of targets that follow from the place."""

import json
import logging

import geopandas
import numpy as np
import pytest
import rasterio

from tests.points import read_layer, scattered, write_points
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import predict_from_location

FORMULA = {'model': 'location_harmonics'}


@pytest.fixture
def points(tmp_path):
    """Warm at the equator, cold at the poles, and the zones that this makes."""
    there = scattered(400, box=(-180, -85, 180, 85))
    warmth = 30 * np.cos(np.radians(there[:, 1])) ** 2
    zone = np.array(['cold', 'mild', 'warm'])[np.digitize(warmth, [10, 22])]
    return write_points(
        tmp_path / 'in.gpkg', there, warmth=warmth, zone=zone, same=[1.0] * 400,
        number=np.digitize(warmth, [10, 22]) + 5, when=['2020-01-01'] * 400,
    )  # fmt: skip


def test_a_number(points, tmp_path):
    result = predict_from_location(
        points, 'warmth', extent='-180,-90,180,90 [EPSG:4326]', resolution=2.0,
        output=tmp_path / 'o.tif', residuals=tmp_path / 'r.gpkg', **FORMULA,
    )  # fmt: skip
    assert result.samples == 400
    assert result.r2_spatial > 0.95
    assert result.r2_random > 0.95
    assert result.f1_spatial is None
    # straight lines over longitude and latitude know nothing of a maximum in the middle
    ways = json.loads(result.scores)
    assert [way['way'] for way in ways] == [
        'encoder, linear', 'longitude and latitude, linear', 'the 5 nearest points',
    ]  # fmt: skip
    assert ways[1]['r2_spatial'] < 0.2
    assert result.baseline_spatial == ways[2]['r2_spatial'] < result.r2_spatial
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        values = dataset.read(1)
        assert dataset.descriptions == ('warmth',)
    np.testing.assert_allclose(values[[5, 45]].mean(axis=1), [0.8, 30], atol=1.5)
    frame = read_layer(tmp_path / 'r.gpkg')
    np.testing.assert_allclose(frame['residual'], frame['warmth'] - frame['predicted'])
    assert 1 - frame['residual'].var() / frame['warmth'].var() == pytest.approx(
        result.r2_spatial, abs=0.01
    )
    assert set(frame['fold']) == {1, 2, 3, 4, 5}
    assert result.styles['residuals']['field'] == 'residual'


def test_classes(points, tmp_path):
    result = predict_from_location(
        points, 'zone', extent='-180,-90,180,90 [EPSG:4326]', resolution=2.0,
        output=tmp_path / 'o.tif', residuals=tmp_path / 'r.gpkg', **FORMULA,
    )  # fmt: skip
    assert result.r2_spatial is None
    assert result.f1_spatial > 0.7
    assert result.f1_random > 0.7
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        values = dataset.read(1)
    names = [entry['name'] for entry in result.styles['output']['classes']]
    assert names == ['cold', 'mild', 'warm']
    assert np.bincount(values[45]).argmax() == 3
    assert np.bincount(values[3]).argmax() == 1
    frame = read_layer(tmp_path / 'r.gpkg')
    assert (frame['correct'] == (frame['predicted'] == frame['zone'])).all()


def test_whole_numbers_are_classes_if_asked_for(points):
    assert predict_from_location(points, 'number', **FORMULA).f1_spatial is None
    result = predict_from_location(points, 'number', task='classification', **FORMULA)
    assert result.f1_spatial > 0.7


def test_blocks_are_harder_than_neighbours(tmp_path):
    """Noise that neighbours share can be copied from them, but not be known far away."""
    centres = scattered(60, seed=1)
    random = np.random.default_rng(0)
    there = np.repeat(centres, 8, axis=0) + random.normal(0, 0.02, (480, 2))
    there[:, 1] = there[:, 1].clip(-90, 90)
    source = write_points(tmp_path / 'in.gpkg', there, value=np.repeat(random.normal(size=60), 8))
    result = predict_from_location(
        source, 'value', method='neighbours', neighbours=3, block_size=1e6, **FORMULA
    )
    assert result.r2_random > 0.95
    assert result.r2_spatial < 0.3
    assert result.block_size == 1e6


def test_points_without_value_get_a_prediction(tmp_path, caplog):
    there = scattered(100)
    value = there[:, 1].copy()
    value[:10] = np.nan
    source = write_points(tmp_path / 'in.gpkg', [*there[:99], None], value=value)
    with caplog.at_level(logging.WARNING):
        result = predict_from_location(source, 'value', residuals=tmp_path / 'r.gpkg', **FORMULA)
    assert result.samples == 89
    assert '11 of 100 features have no place or no value' in caplog.text
    frame = read_layer(tmp_path / 'r.gpkg')
    assert np.median(np.abs(frame['predicted'][:10] - there[:10, 1])) < 5
    assert frame['residual'].isna().tolist() == [True] * 10 + [False] * 89 + [True]
    assert np.isnan(frame['predicted'][99])


def test_reports(points, tmp_path):
    for ending in ('html', 'json'):
        predict_from_location(points, 'zone', report=tmp_path / f'r.{ending}', **FORMULA)
    told = json.loads((tmp_path / 'r.json').read_text())
    assert told['data']['points learned from'] == 400
    assert told['scores'][0].keys() == {
        'way', 'f1_spatial', 'f1_random', 'error_rate_spatial', 'error_rate_random',
    }  # fmt: skip
    assert told['settings']['encoder is'] == 'a formula without weights'
    page = (tmp_path / 'r.html').read_text()
    assert 'F1 (mean of classes), blocks' in page
    assert f'{told["scores"][0]["f1_spatial"]:.3f}' in page


def test_an_encoder_that_is_of_no_use_is_called_so(points, tmp_path):
    predict_from_location(
        points, 'warmth', model='location_wrap', method='neighbours', neighbours=1,
        report=tmp_path / 'r.json',
    )  # fmt: skip
    scores = json.loads((tmp_path / 'r.json').read_text())
    useless = scores['scores'][0]['r2_spatial'] <= scores['scores'][2]['r2_spatial']
    assert useless == any('of no use' in note for note in scores['notes'])


@pytest.mark.parametrize(
    ('target', 'options', 'error', 'message'),
    [
        ('heat', {}, BadParameter, r"has no field 'heat'.*warmth, zone"),
        ('same', {}, BadInput, r'same of .* is 1.0 everywhere'),
        ('zone', {'task': 'regression'}, BadInput, 'but a regression needs numbers'),
        ('warmth', {'task': 'classification'}, BadInput, 'classes are text or whole numbers'),
        ('warmth', {'block_size': 2e7}, BadParameter, r'block_size: all points lie in \d blocks'),
        ('warmth', {'output': 'o.tif'}, BadParameter, 'needs an area'),
    ],
)
def test_arguments_that_do_not_fit(points, tmp_path, target, options, error, message):
    if 'output' in options:
        options['output'] = tmp_path / options['output']
    with pytest.raises(error, match=message):
        predict_from_location(points, target, **options, **FORMULA)
    assert [path.name for path in tmp_path.iterdir()] == ['in.gpkg']


def test_fewer_points_than_folds(tmp_path):
    source = write_points(tmp_path / 'in.gpkg', scattered(4), value=[1.0, 2.0, 3.0, 4.0])
    with pytest.raises(BadInput, match='4 have a place and a target, fewer than 5 folds'):
        predict_from_location(source, 'value', **FORMULA)


def test_a_field_of_dates(tmp_path):
    frame = geopandas.GeoDataFrame(
        {'day': np.array(['2020-01-01', '2020-01-02'], 'datetime64[ms]')},
        geometry=geopandas.points_from_xy([1, 2], [3, 4]), crs=4326,
    )  # fmt: skip
    frame.to_file(tmp_path / 'in.gpkg')
    with pytest.raises(BadInput, match=r'day of .* is of type'):
        predict_from_location(tmp_path / 'in.gpkg', 'day', **FORMULA)
