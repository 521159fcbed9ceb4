"""update_map: what changed since a map was made, on real files."""

import csv

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch
from torch import nn

from tests.rasters import write_raster
from tests.tasks.pairs import register
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle
from torchgeo_ext.datasets._labels import RasterLabels
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import detect_semantic_change, update_map

GRASS, ROOF = 1, 4
CLASSES = (ModelClass(GRASS, 'grass', '#00ff00'), ModelClass(ROOF, 'roof', '#ff0000'))
PIXEL = 10.0


class MapAndBrightness(nn.Module):
    """What is dark later is grass, what is bright a roof; it changed if the map says otherwise."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.steep = nn.Parameter(torch.tensor(20.0))
        self.where_only = num_classes == 2

    def forward(self, x, land_cover):
        now = 1 + (x[:, 1, 0] > 0).long()
        same = (now == land_cover).float()
        changed = [(1 - same) * (now == number) for number in (1, 2)]
        if self.where_only:
            changed = [1 - same]
        return self.steep * torch.stack([same, *changed], dim=1)


def map_and_brightness(in_chans=1, map_classes=3, num_classes=3):
    return MapAndBrightness(num_classes)


def make_bundle(folder, num_classes=3):
    card = BundleCard(
        name='map and brightness', description='', task='map_update', dates=2, classes=CLASSES,
        bands=(Band('gray', mean=100.0, std=50.0),), tile_size=32, halo=4,
        architecture={'class': 'map_and_brightness', 'arguments': {'num_classes': num_classes}},
        output_activation='softmax' if num_classes == 3 else 'sigmoid',
    )  # fmt: skip
    return write_bundle(folder, card, MapAndBrightness(num_classes))


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, map_and_brightness)


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / 'bundle')


@pytest.fixture
def pair(tmp_path):
    """A roof stands through, one is built, one is demolished; a corner has no data."""
    before = np.full((50, 70), 50, 'uint16')
    after = before.copy()
    before[5:10, 5:10] = after[5:10, 5:10] = 150
    after[20:30, 20:40] = 150
    before[40:44, 50:60] = 150
    after[:3, :3] = 0
    files = tmp_path / 'before.tif', tmp_path / 'after.tif'
    for path, values in zip(files, (before, after), strict=True):
        write_raster(path, values, resolution=PIXEL, nodata=0)
    return files


@pytest.fixture
def land_cover(pair, tmp_path):
    """Grass is 20 west and 30 east of column 30, roofs are 7; the last row has no class."""
    values = np.full((50, 70), 20, 'uint8')
    values[:, 30:] = 30
    values[5:10, 5:10] = values[40:44, 50:60] = 7
    values[49] = 255
    path = tmp_path / 'map.tif'
    write_raster(path, values, resolution=PIXEL, nodata=255)
    return path


MAPPING = [[20, 'grass'], ['30', GRASS], [7, 'Roof ']]


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset


def test_changes_and_the_map_as_it_is_now(bundle, pair, land_cover, tmp_path):
    files = {
        'updated_map': tmp_path / 'u.tif', 'probabilities': tmp_path / 'p.tif',
        'polygons': tmp_path / 'p.gpkg', 'matrix': tmp_path / 'm.csv',
    }  # fmt: skip
    output = tmp_path / 'o.tif'
    result = update_map(*pair, land_cover, bundle, output, mapping=MAPPING, **files)
    found, dataset = read(output)
    legend = {c['name']: c['value'] for c in result.styles['output']['classes']}
    expected = np.zeros((50, 70), int)
    expected[20:30, 20:30] = legend['class 20 → class 7']
    expected[20:30, 30:40] = legend['class 30 → class 7']
    expected[40:44, 50:60] = legend['class 7 → class 20']
    expected[:3, :3] = expected[49] = dataset.nodata
    np.testing.assert_array_equal(found, expected)
    updated, dataset = read(files['updated_map'])
    now = read(land_cover)[0]
    now[20:30, 20:40] = 7
    now[40:44, 50:60] = 20
    now[49] = dataset.nodata
    np.testing.assert_array_equal(updated, now)
    with rasterio.open(files['updated_map']) as dataset:
        assert dataset.tags()['model'] == 'map and brightness'
    chance = read(files['probabilities'])[0]
    assert np.isnan(chance[0, 0])
    assert chance[25, 30] > 0.99 > 0.01 > chance[7, 7]
    frame = pyogrio.read_dataframe(files['polygons'], layer='p')
    assert sorted(frame['class']) == [
        'class 20 → class 7', 'class 30 → class 7', 'class 7 → class 20',
    ]  # fmt: skip
    rows = list(csv.reader(files['matrix'].read_text(encoding='utf-8').splitlines()))
    assert rows[0] == ['from, to (hectares)', 'class 20', 'class 7', 'sum']
    hectares = {row[0]: [float(v) if v else None for v in row[1:]] for row in rows[1:]}
    assert hectares['class 30'] == pytest.approx([0, 1, 1], rel=2e-3)
    assert hectares['class 7'] == pytest.approx([0.4, 0, 0.4], rel=2e-3)
    assert result.changed_area == pytest.approx(24_000, rel=2e-3)
    assert result.changed_fraction == pytest.approx(240 / (49 * 70 - 9))
    assert result.unmapped_fraction == pytest.approx(1 / 50)
    assert result.valid_fraction == pytest.approx((49 * 70 - 9) / (50 * 70))
    assert result.styles.keys() == {'output', 'updated_map', 'probabilities', 'polygons'}


def test_the_map_is_read_once(bundle, pair, land_cover, tmp_path, monkeypatch):
    opened, on = [], RasterLabels.on

    def counted(labels, grid):
        opened.append(grid)
        return on(labels, grid)

    monkeypatch.setattr(RasterLabels, 'on', counted)
    options = {'mapping': MAPPING, 'updated_map': tmp_path / 'u.tif'}
    update_map(*pair, land_cover, bundle, tmp_path / 'o.tif', **options)
    assert len(opened) == 1


def test_tiles_do_not_show(bundle, pair, land_cover, tmp_path):
    for size in (32, 256):
        update_map(
            *pair, land_cover, bundle, tmp_path / f'{size}.tif', mapping=MAPPING, tile_size=size
        )
    np.testing.assert_array_equal(read(tmp_path / '32.tif')[0], read(tmp_path / '256.tif')[0])


def test_a_map_of_polygons_elsewhere_named_as_the_model(bundle, pair, tmp_path):
    with rasterio.open(pair[0]) as dataset:
        crs, bounds, transform = dataset.crs, dataset.bounds, dataset.transform
    left, top = transform @ (20, 20)
    # the later of two polygons on the same place counts
    frame = geopandas.GeoDataFrame(
        {'kind': ['Grass', 'ROOF']},
        geometry=[shapely.box(*bounds), shapely.box(left, top - 10 * PIXEL, left + 200, top)],
        crs=crs,
    ).to_crs('EPSG:4326')
    path = tmp_path / 'map.gpkg'
    frame.to_file(path, layer='map', engine='pyogrio')
    output = tmp_path / 'o.tif'
    result = update_map(*pair, path, bundle, output, class_field='kind')
    found = read(output)[0]
    legend = {c['name']: c['value'] for c in result.styles['output']['classes']}
    assert found[25, 30] == 0
    assert found[7, 7] == legend['Grass → ROOF']
    assert result.commonest == 'Grass → ROOF'
    assert result.unmapped_fraction < 0.05


def test_a_new_class_the_map_lacks_gets_a_value_of_its_own(bundle, pair, tmp_path):
    """The map has 4 for another thing than the model, whose roofs it does not know."""
    values = np.full((50, 70), 2, 'uint8')
    values[:, 35:] = 4
    path = tmp_path / 'map.tif'
    write_raster(path, values, resolution=PIXEL)
    mapping = [[2, 'grass'], [4, '']]
    updated = tmp_path / 'u.tif'
    result = update_map(
        *pair, path, bundle, tmp_path / 'o.tif', mapping=mapping, updated_map=updated
    )
    legend = {c['name']: c['value'] for c in result.styles['updated_map']['classes']}
    assert legend == {'class 2': 2, 'class 4': 4, 'roof': 5}
    now = read(updated)[0]
    assert now[25, 25] == 5
    assert now[25, 38] == 4  # left out
    assert result.unmapped_fraction == 0.5


def test_values_tell_if_there_are_no_names(bundle, pair, tmp_path):
    values = np.full((50, 70), GRASS, 'uint8')
    values[5:10, 5:10] = values[40:44, 50:60] = ROOF
    path = tmp_path / 'map.tif'
    write_raster(path, values, resolution=PIXEL)
    result = update_map(*pair, path, bundle, tmp_path / 'o.tif')
    assert result.commonest == 'class 1 → class 4'


def test_a_model_that_tells_only_where(pair, land_cover, tmp_path):
    where = make_bundle(tmp_path / 'where', num_classes=2)
    output, updated = tmp_path / 'o.tif', tmp_path / 'u.tif'
    result = update_map(*pair, land_cover, where, output, mapping=MAPPING)
    assert result.commonest == 'class 20 → changed'
    assert result.changed_area == pytest.approx(24_000, rel=2e-3)
    with pytest.raises(BadParameter, match=r'updated_map: .*not into what'):
        update_map(*pair, land_cover, where, output, mapping=MAPPING, updated_map=updated)


@pytest.mark.parametrize(
    ('mapping', 'message'),
    [
        (None, r'mapping: the map has classes that .*: 7 \(class 7\), 20 .*knows 1 \(grass\)'),
        (MAPPING[:2], r'does not know: 7 \(class 7\)'),
        ([*MAPPING, [20, 'roof']], r'20 is there twice'),
        ([[20, 'lawn']], r"no class 'lawn'; it knows 1 \(grass\), 4 \(roof\)"),
        ([[20, 'grass', 'x']], r'mapping .* must be rows of 2 values'),
    ],
)
def test_classes_without_counterpart(bundle, pair, land_cover, tmp_path, mapping, message):
    with pytest.raises(BadParameter, match=message):
        update_map(*pair, land_cover, bundle, tmp_path / 'o.tif', mapping=mapping)
    assert not (tmp_path / 'o.tif').exists()


def test_a_map_of_which_nothing_is_meant(bundle, pair, land_cover, tmp_path):
    with pytest.raises(BadInput, match='land_cover: no pixel'):
        update_map(
            *pair, land_cover, bundle, tmp_path / 'o.tif', mapping=[[v, ''] for v in (7, 20, 30)]
        )


def test_a_map_of_one_class_and_one_of_nothing_here(bundle, pair, tmp_path):
    path = tmp_path / 'map.tif'
    write_raster(path, np.full((50, 70), GRASS, 'uint8'), resolution=PIXEL)
    result = update_map(*pair, path, bundle, tmp_path / 'o.tif')
    assert result.commonest == 'class 1 → roof'
    write_raster(path, np.full((5, 7), GRASS, 'uint8'), crs='EPSG:32733')
    with pytest.raises(BadInput, match=r'land_cover: .*where no image is'):
        update_map(*pair, path, bundle, tmp_path / 'o.tif')


def test_rows_about_classes_elsewhere_are_said(bundle, pair, land_cover, tmp_path, caplog):
    update_map(*pair, land_cover, bundle, tmp_path / 'o.tif', mapping=[*MAPPING, [99, 'roof']])
    assert 'mapping: 99 do not occur' in caplog.text


def test_a_bundle_of_another_kind_is_refused(bundle, pair, tmp_path):
    with pytest.raises(BadInput, match='does map_update'):
        detect_semantic_change(*pair, tmp_path / 'o.tif', bundle=bundle)
