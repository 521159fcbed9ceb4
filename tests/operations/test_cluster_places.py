"""cluster_places: groups of alike points and cells."""

import json

import numpy as np
import pytest
import rasterio

from tests.points import read_layer, scattered, write_points
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import cluster_places

FORMULA = {'model': 'location_harmonics'}


@pytest.fixture
def towns(tmp_path):
    """Three bunches of points, one place alone in the ocean, and a feature that is nowhere."""
    middles = np.repeat([[16, 48], [-77, -12], [140, 36]], 40, axis=0)
    there = middles + np.random.default_rng(0).normal(0, 1, (120, 2))
    return write_points(tmp_path / 'in.gpkg', [*there, (-30, -40), None], n=range(122))


def groups(path):
    frame = read_layer(path)
    return frame['value'], frame


def test_points(towns, tmp_path):
    result = cluster_places(points=towns, places=tmp_path / 'o.gpkg', clusters=3, **FORMULA)
    value, frame = groups(tmp_path / 'o.gpkg')
    for start in (0, 40, 80):
        assert value[start : start + 40].nunique() == 1
    assert value[[0, 40, 80]].nunique() == 3
    assert np.isnan(value[121])
    assert frame['n'].tolist() == list(range(122))
    assert frame['class'][0] == f'group {int(value[0])}'
    assert sum(json.loads(result.cluster_sizes).values()) == 121
    assert result.styles['places']['field'] == 'class'


def test_points_by_density(towns, tmp_path):
    result = cluster_places(
        points=towns, places=tmp_path / 'o.gpkg', method='hdbscan', minimum_size=15, **FORMULA
    )
    assert result.clusters == 3
    value, frame = groups(tmp_path / 'o.gpkg')
    assert value[[0, 40, 80]].nunique() == 3
    assert value[120] == 0
    assert frame['class'][120] == 'no group'
    sizes = json.loads(result.cluster_sizes)
    assert sizes['no group'] == (value == 0).sum()


@pytest.mark.parametrize('method', ['kmeans', 'hdbscan'])
def test_cells(tmp_path, method):
    result = cluster_places(
        extent='0,-60,60,60 [EPSG:4326]', resolution=2.0, output=tmp_path / 'o.tif',
        method=method, clusters=4, minimum_size=10, **FORMULA,
    )  # fmt: skip
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        values = dataset.read(1)
        assert dataset.nodata == 255
    sizes = json.loads(result.cluster_sizes)
    for entry in result.styles['output']['classes']:
        assert sizes[entry['name']] == (values == entry['value']).sum()
    assert sum(sizes.values()) == 30 * 60
    if method == 'kmeans':
        assert set(np.unique(values)) == {1, 2, 3, 4}


def test_geoparquet(towns, tmp_path):
    result = cluster_places(points=towns, places=tmp_path / 'o.parquet', clusters=3, **FORMULA)
    frame = read_layer(tmp_path / 'o.parquet')
    assert frame['value'].nunique() == 3
    assert result.styles == {}


def test_the_same_seed_gives_the_same_groups(tmp_path):
    source = write_points(tmp_path / 'in.gpkg', scattered(300))
    for name in ('a', 'b'):
        cluster_places(points=source, places=tmp_path / f'{name}.gpkg', **FORMULA)
    assert groups(tmp_path / 'a.gpkg')[0].equals(groups(tmp_path / 'b.gpkg')[0])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'points': 'in.gpkg', 'output': 'o.tif'}, 'output: .* cannot be written, as points are'),
        ({'points': 'in.gpkg'}, 'places is needed'),
        ({'extent': '0,0,9,9', 'resolution': 1.0, 'places': 'o.gpkg'}, 'as an area is grouped'),
        ({'places': 'o.gpkg'}, 'Exactly one of points, extent'),
        ({'points': 'in.gpkg', 'places': 'o.gpkg', 'clusters': 200}, 'there are only 121 places'),
        (
            {'points': 'in.gpkg', 'places': 'o.gpkg', 'method': 'hdbscan', 'minimum_size': 100},
            'minimum_size is 100, but there are only 121',
        ),
    ],
)
def test_arguments_that_do_not_fit(towns, tmp_path, options, message):
    for name in {'points', 'output', 'places'} & options.keys():
        options[name] = tmp_path / options[name]
    with pytest.raises(BadParameter, match=message):
        cluster_places(**options, **FORMULA)
    assert [path.name for path in tmp_path.iterdir()] == ['in.gpkg']


def test_too_many_places_for_hdbscan(tmp_path):
    with pytest.raises(BadInput, match='takes up to 20,000 places, not 64,800'):
        cluster_places(
            extent='-180,-90,180,90 [EPSG:4326]', resolution=1.0, method='hdbscan',
            output=tmp_path / 'o.tif', **FORMULA,
        )  # fmt: skip
