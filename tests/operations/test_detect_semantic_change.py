"""detect_semantic_change: what changed into what, on real files."""

import csv

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from torch import nn

from tests.rasters import write_raster
from tests.tasks.pairs import register
from torchgeo_ext.bundles import Band, BundleCard, ModelClass, write_bundle
from torchgeo_ext.errors import BadInput
from torchgeo_ext.operations import detect_change, detect_semantic_change
from torchgeo_ext.operations._transitions import transitions

CLASSES = (ModelClass(1, 'grass', '#00ff00'), ModelClass(4, 'roof', '#ff0000'))
PIXEL = 10.0


class Threshold(nn.Module):
    """Dark pixels are grass, bright ones roofs; what differs changed."""

    def __init__(self):
        super().__init__()
        self.steep = nn.Parameter(torch.tensor(20.0))

    def forward(self, x):
        bright = self.steep * x[:, :, :1]
        none = torch.zeros_like(bright[:, 0])
        before, after = (torch.cat([none, -b, b], dim=1) for b in bright.unbind(dim=1))
        change = (bright[:, 0] - bright[:, 1]).abs() - self.steep / 2
        return torch.cat([none, change], dim=1), before, after


def two_covers(in_chans=1):
    return Threshold()


@pytest.fixture
def bundle(monkeypatch, tmp_path):
    register(monkeypatch, two_covers)
    card = BundleCard(
        name='two covers', description='', task='semantic_change', dates=2, classes=CLASSES,
        bands=(Band('gray', mean=100.0, std=50.0),), tile_size=32, halo=4,
        architecture={'class': 'two_covers', 'arguments': {}}, output_activation='softmax',
    )  # fmt: skip
    return write_bundle(tmp_path / 'bundle', card, Threshold())


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


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset


def test_transitions_maps_polygons_and_matrix(bundle, pair, tmp_path):
    files = {
        'before_map': tmp_path / 'b.tif', 'after_map': tmp_path / 'a.tif',
        'probabilities': tmp_path / 'p.tif', 'polygons': tmp_path / 'p.gpkg',
        'matrix': tmp_path / 'm.csv',
    }  # fmt: skip
    result = detect_semantic_change(*pair, tmp_path / 'o.tif', bundle=bundle, **files)
    found, dataset = read(tmp_path / 'o.tif')
    expected = np.zeros((50, 70), int)
    expected[20:30, 20:40] = 2  # grass -> roof
    expected[40:44, 50:60] = 3  # roof -> grass
    expected[:3, :3] = dataset.nodata
    np.testing.assert_array_equal(found, expected)
    land_cover = read(files['after_map'])[0]
    assert land_cover[7, 7] == land_cover[25, 30] == 4
    assert land_cover[42, 55] == 1
    assert read(files['before_map'])[0][42, 55] == 4
    chance = read(files['probabilities'])[0]
    assert np.isnan(chance[0, 0])
    assert chance[25, 30] > 0.99 > 0.01 > chance[7, 7]
    frame = pyogrio.read_dataframe(files['polygons'], layer='p')
    assert sorted(frame['class']) == ['grass → roof', 'roof → grass']
    rows = list(csv.reader(files['matrix'].read_text(encoding='utf-8').splitlines()))
    assert rows[0] == ['from, to (hectares)', 'grass', 'roof', 'sum']
    hectares = {row[0]: [float(v) if v else None for v in row[1:]] for row in rows[1:]}
    assert hectares['grass'] == pytest.approx([0, 2, 2], rel=2e-3)
    assert hectares['roof'] == pytest.approx([0.4, 0, 0.4], rel=2e-3)
    assert hectares['changed'] == pytest.approx([0.4, 2, 2.4], rel=2e-3)
    assert hectares['unchanged'][-1] == pytest.approx((50 * 70 - 9 - 240) / 100, rel=2e-3)
    assert result.changed_area == pytest.approx(24_000, rel=2e-3)
    assert result.changed_fraction == pytest.approx(240 / (50 * 70 - 9))
    assert result.valid_fraction == 1 - 9 / (50 * 70)
    assert result.commonest == 'grass → roof'
    assert result.styles.keys() == {
        'output', 'before_map', 'after_map', 'probabilities', 'polygons',
    }  # fmt: skip


def test_the_legend_lists_what_occurs(bundle, pair, tmp_path):
    result = detect_semantic_change(*pair, tmp_path / 'o.tif', bundle=bundle)
    legend = {c['value']: c['name'] for c in result.styles['output']['classes']}
    assert legend == {0: 'unchanged', 2: 'grass → roof', 3: 'roof → grass'}
    style = (tmp_path / 'o.qml').read_text(encoding='utf-8')
    assert 'grass → roof' in style
    assert 'grass → grass' not in style


def test_the_matrix_may_be_a_page(bundle, pair, tmp_path):
    detect_semantic_change(
        *pair, tmp_path / 'o.tif', bundle=bundle, matrix=tmp_path / 'matrix.html', threshold=1.0
    )
    page = (tmp_path / 'matrix.html').read_text(encoding='utf-8')
    assert '<th>grass</th>' in page
    assert '#ff0000' in page


def test_tiles_do_not_show(bundle, pair, tmp_path):
    for size in (32, 256):
        detect_semantic_change(*pair, tmp_path / f'{size}.tif', bundle=bundle, tile_size=size)
    np.testing.assert_array_equal(read(tmp_path / '32.tif')[0], read(tmp_path / '256.tif')[0])


def test_many_classes_take_two_bytes():
    many = [ModelClass(i, f'c{i}', '#102030') for i in range(1, 18)]
    legend = transitions(many, many)
    assert len(legend) == 1 + 17**2
    assert legend[-1]['value'] == 17**2
    assert legend[18]['name'] == 'c2 → c1'


def test_a_bundle_of_another_kind_is_refused(bundle, pair, tmp_path):
    with pytest.raises(BadInput, match='semantic_change'):
        detect_change(*pair, tmp_path / 'o.tif', bundle=bundle)
    assert not (tmp_path / 'o.tif').exists()
