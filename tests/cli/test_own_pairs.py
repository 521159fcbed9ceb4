"""Every task of change on one's own files: fit, test, create-bundle, predict."""

import geopandas
import numpy as np
import pytest
import rasterio
import torch
import yaml

from tests.datasets.makers import boxes, class_map, image_of, write_dates, write_polygons
from tests.rasters import write_raster
from tests.tasks.pairs import PixelNetwork, register
from tests.tasks.test_building_damage import tiny_damage
from tests.tasks.test_conditional_change_detection import tiny_map
from tests.tasks.test_semantic_change_detection import tiny_semantic, tiny_series
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.cli import main
from torchgeo_ext.colors import DAMAGE_COLORS
from torchgeo_ext.datamodules import GeoTIFFDataModule
from torchgeo_ext.errors import BadParameter


class PixelChange(PixelNetwork):
    def forward(self, x):
        return super().forward(x)[0]


def tiny_change(in_chans=3):
    return PixelChange(in_chans, (2,))


@pytest.fixture(autouse=True)
def _tiny_networks(monkeypatch):
    # LightningCLI complains of words given beside those of the process
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    for builder in (tiny_semantic, tiny_series, tiny_damage, tiny_map, tiny_change):
        register(monkeypatch, builder)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A pair with all that can be known of it."""
    folder = tmp_path_factory.mktemp('own')
    first, second = write_dates(folder, step=10)
    changed = (first != second).astype('uint8')
    write_raster(folder / 'changed.tif', changed)
    some = np.where(np.arange(96) < 48, changed, 255).astype('uint8')
    write_raster(folder / 'some.tif', some, nodata=255)
    cells = [(c, r, c + 6, r + 6) for r in range(0, 96, 12) for c in range(0, 96, 12)]
    words = ['no-damage', 'minor-damage', 'major-damage', 'destroyed']
    write_polygons(
        folder / 'buildings.gpkg', boxes(cells), damage=[words[n % 4] for n in range(len(cells))]
    )
    (folder / 'months').mkdir()
    for month in (1, 2, 3):
        values = image_of(class_map(24, 24, side=6, seed=month))
        write_raster(folder / 'months' / f's2_2020-0{month}-05.tif', values, resolution=40.0)
    return folder


#: Task with its arguments, and what the data module is given besides the images.
COVERS = {'labels_before': 'land_cover_before.tif', 'labels_after': 'land_cover_after.tif'}
SETTINGS = {
    'semantic': ('SemanticChangeDetection', {'model': 'tiny_semantic', 'num_classes': 4}, COVERS),
    'damage': (
        'BuildingDamage',
        {'model': 'tiny_damage'},
        {'damage': 'buildings.gpkg', 'class_field': 'damage'},
    ),
    'conditional': (
        'ConditionalChangeDetection',
        {'model': 'tiny_map', 'map_classes': 4, 'loss': 'ce'},
        {'labels': 'changed.tif', 'map_before': COVERS['labels_before']},
    ),
    'conditional, both dates': (
        'ConditionalChangeDetection',
        {'model': 'tiny_map', 'map_classes': 4, 'loss': 'ce', 'semantic': False},
        COVERS,
    ),
    'conditional, new classes': (
        'ConditionalChangeDetection',
        {'model': 'tiny_map', 'map_classes': 4, 'loss': 'ce', 'semantic': True},
        {'map_before': COVERS['labels_before'], 'labels_after': COVERS['labels_after']},
    ),
    'semi-supervised': (
        'SemiSupervisedChangeDetection',
        {'model': 'tiny_change'},
        {'labels': 'some.tif', 'unlabelled': 0.5, 'pseudo_labels': 'changed.tif'},
    ),
    'with a series': (
        'SemanticChangeDetection',
        {'model': 'tiny_series', 'num_classes': 4, 'loss': 'fusu'},
        COVERS | {'series': 'months', 'series_size': 16, 'turn': False},
    ),
    'binary': ('BinaryChangeDetection', {'model': 'tiny_change'}, {'labels': 'changed.tif'}),
}


def write_config(path, folder, setting, **changes):
    task, arguments, layers = SETTINGS[setting]
    data = {
        'root': str(folder), 'before': 'before.tif', 'after': 'after.tif', **layers,
        'patch_size': 32, 'batch_size': 4, 'length': 8, 'test_fold': 1,
    }  # fmt: skip
    config = {
        'trainer': {
            'accelerator': 'cpu', 'enable_model_summary': False, 'enable_progress_bar': False,
            'max_epochs': 1, 'default_root_dir': str(path.parent / 'run'),
        },
        'model': {'class_path': task, 'init_args': {'in_channels': 2, **arguments}},
        'data': {'class_path': 'GeoTIFFDataModule', 'init_args': data},
    }  # fmt: skip
    for place, value in changes.items():
        config[place]['init_args'] |= value
    path.write_text(yaml.safe_dump(config), encoding='utf-8')
    return str(path)


@pytest.mark.parametrize('setting', SETTINGS)
def test_fit_and_test(setting, folder, tmp_path, capsys):
    config = write_config(tmp_path / 'c.yaml', folder, setting)
    assert main(['fit', '--config', config]) == 0
    assert (tmp_path / 'run' / 'figures' / 'predictions.png').is_file()
    assert main(['test', '--config', config, '--ckpt_path', 'best']) == 0
    assert 'test_loss' in capsys.readouterr().out


@pytest.fixture
def bundle(folder, tmp_path):
    """Train with a setting and make a bundle of it."""

    def make(setting):
        config = write_config(tmp_path / 'c.yaml', folder, setting)
        assert main(['fit', '--config', config]) == 0
        checkpoint = tmp_path / 'run' / 'checkpoints' / 'best.ckpt'
        words = ['--checkpoint', str(checkpoint), '--output', str(tmp_path / 'model')]
        assert main(['create-bundle', *words]) == 0
        return tmp_path / 'model'

    return make


def pair_of(folder):
    return ['--before', str(folder / 'before.tif'), '--after', str(folder / 'after.tif')]


def test_a_semantic_model_from_files_to_a_map(bundle, folder, tmp_path):
    card = read_bundle(model := bundle('semantic')).card
    assert [(entry.value, entry.name) for entry in card.classes] == [
        (10, 'class 10'), (20, 'class 20'), (30, 'class 30'),
    ]  # fmt: skip
    assert all(band.mean > 1000 for band in card.bands)
    output = tmp_path / 'after.tif'
    words = ['--bundle', model, '--output', tmp_path / 'out.tif', '--after-map', output]
    assert main(['detect-semantic-change', *pair_of(folder), *map(str, words)]) == 0
    with rasterio.open(output) as dataset:
        assert set(np.unique(dataset.read())) <= {0, 10, 20, 30}


@pytest.mark.parametrize('setting', ['conditional', 'conditional, new classes'])
def test_a_model_that_updates_a_map(setting, bundle, folder, tmp_path):
    card = read_bundle(model := bundle(setting)).card
    assert [entry.value for entry in card.classes] == [10, 20, 30]
    words = ['--bundle', model, '--output', tmp_path / 'out.tif']
    words += ['--land-cover', folder / 'land_cover_before.tif']
    assert main(['update-map', *pair_of(folder), *map(str, words)]) == 0
    with rasterio.open(tmp_path / 'out.tif') as dataset:
        assert dataset.shape == (96, 96)


def test_a_damage_model_from_files_to_buildings(bundle, folder, tmp_path):
    card = read_bundle(model := bundle('damage')).card
    assert [(entry.value, entry.name) for entry in card.classes] == [
        (1, 'no damage'), (2, 'minor damage'), (3, 'major damage'), (4, 'destroyed'),
    ]  # fmt: skip
    assert all(band.mean > 1000 for band in card.bands)
    assert [entry.color for entry in card.classes] == list(DAMAGE_COLORS[4])
    words = ['--bundle', model, '--output', tmp_path / 'out.tif']
    words += ['--buildings', tmp_path / 'out.gpkg', '--footprints', folder / 'buildings.gpkg']
    assert main(['assess-damage', *pair_of(folder), *map(str, words)]) == 0
    assert len(geopandas.read_file(tmp_path / 'out.gpkg', layer='out')) == 64
    with rasterio.open(tmp_path / 'out.tif') as dataset:
        assert dataset.shape == (96, 96)


@pytest.mark.parametrize(
    ('setting', 'changes', 'message'),
    [
        ('semantic', {'model': {'num_classes': 7}},
         'model.num_classes is 7, but the labels have 4 classes: 0 unchanged, 10 class 10'),
        ('damage', {'model': {'levels': 3}},
         'model.levels is 3, but the labels have 5 classes: 0 no building, 1 no damage'),
        ('conditional', {'model': {'map_classes': 7}},
         'model.map_classes is 7, but the map has 4 classes'),
        ('conditional', {'data': {'map_before': None}}, 'reads a map of land cover'),
        ('conditional', {'model': {'semantic': True}},
         'learns from the land cover of both dates (labels_before and labels_after), but the data '
         'module has one layer of labels'),
        ('binary', {'data': {'labels': None} | COVERS}, 'learns from one layer of labels'),
        ('binary', {'data': {'labels': COVERS['labels_after']}},
         'The model tells 2 classes apart, but the labels have 3'),
        ('semantic', {'data': {'labels_after': None}}, 'labels_after is not'),
        ('semantic', {'data': {'before': ['before.tif'] * 2}}, 'before has 2 images'),
        ('binary', {'data': {'unlabelled': 0.5}}, 'all training land is labelled'),
        ('with a series', {'data': {'series': None}}, 'The batch has no series, which tiny_series'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(setting, changes, message, folder, tmp_path, capsys):
    config = write_config(tmp_path / 'c.yaml', folder, setting, **changes)
    assert main(['fit', '--config', config]) == 2
    # the terminal breaks lines
    assert message in ' '.join(capsys.readouterr().err.split())


def test_each_pair_may_have_its_own_land_cover(folder):
    module = GeoTIFFDataModule(
        root=str(folder), before=['before.tif', 'after.tif'], after=['after.tif', 'before.tif'],
        labels_before=['land_cover_before.tif', 'land_cover_after.tif'],
        labels_after=['land_cover_after.tif', 'land_cover_before.tif'], patch_size=32,
    )  # fmt: skip
    module.setup('fit')
    first, second = (module.labelled.pixels(n, module.labelled.grids[n].window) for n in (0, 1))
    np.testing.assert_array_equal(first.maps['before'], second.maps['after'])
    assert module.survey.counts(1).shape == (4,)


def test_patches_are_drawn_where_nobody_has_labelled(folder):
    def labelled(unlabelled):
        module = GeoTIFFDataModule(
            root=str(folder), before='before.tif', after='after.tif', labels='some.tif',
            unlabelled=unlabelled, patch_size=16, length=200,
        )  # fmt: skip
        module.setup('fit')
        masks = [module.train_dataset[patch]['mask'] for patch in module.train_sampler]
        return torch.stack([(mask >= 0).any() for mask in masks]).float().mean().item()

    assert labelled(0.0) == 1.0
    assert 0.4 < labelled(0.5) < 0.7


def test_layers_of_pairs_beside_single_images(folder):
    with pytest.raises(BadParameter, match='damage: these are of pairs, but images are given'):
        GeoTIFFDataModule(images=str(folder / 'before.tif'), damage='buildings.gpkg')


def test_a_share_that_cannot_be():
    with pytest.raises(BadParameter, match=r'unlabelled is 1\.5'):
        GeoTIFFDataModule(before='b.tif', after='a.tif', unlabelled=1.5)


def init(folder, tmp_path, *words):
    config = tmp_path / 'training.yaml'
    assert main(['init', str(folder), '--output', str(config), *words]) == 0
    return yaml.safe_load(config.read_text(encoding='utf-8'))


@pytest.mark.parametrize('names', [('before', 'after'), ('2019-05-01', '2021-05-01')])
def test_init_finds_the_land_cover_of_both_dates(names, tmp_path, capsys):
    (tmp_path / 'in').mkdir()
    write_dates(tmp_path / 'in', step=10)
    for old, new in zip(('before', 'after'), names, strict=True):
        for kind in ('', 'land_cover_'):
            (tmp_path / 'in' / f'{kind}{old}.tif').rename(tmp_path / 'in' / f'{kind}{new}.tif')
    words = () if names[0] == 'before' else ('--task', 'semantic_change')
    config = init(tmp_path / 'in', tmp_path, *words)
    assert f'land_cover_{names[0]}.tif, land_cover_{names[1]}.tif' in capsys.readouterr().out
    assert config['model'] == {
        'class_path': 'SemanticChangeDetection',
        'init_args': {'model': 'changemamba_scd_tiny', 'in_channels': 2, 'num_classes': 4},
    }
    data = config['data']['init_args']
    assert data['labels_before'] == f'land_cover_{names[0]}.tif'
    assert data['labels_after'] == f'land_cover_{names[1]}.tif'
    assert data['before'] == [f'{names[0]}.tif']
    assert data['classes'] == {10: 'class 10', 20: 'class 20', 30: 'class 30'}
    assert 'labels' not in data


def test_init_finds_labels_of_change_beside(folder, tmp_path):
    (tmp_path / 'in').mkdir()
    for name in ('before', 'after', 'land_cover_before', 'land_cover_after', 'changed'):
        (tmp_path / 'in' / f'{name}.tif').write_bytes((folder / f'{name}.tif').read_bytes())
    data = init(tmp_path / 'in', tmp_path)['data']['init_args']
    assert data['labels'] == 'changed.tif'
    assert data['labels_after'] == 'land_cover_after.tif'


def test_init_finds_damage(folder, tmp_path):
    (tmp_path / 'in').mkdir()
    for name in ('before.tif', 'after.tif', 'buildings.gpkg'):
        (tmp_path / 'in' / name).write_bytes((folder / name).read_bytes())
    config = init(tmp_path / 'in', tmp_path)
    assert config['model']['class_path'] == 'BuildingDamage'
    assert config['model']['init_args']['levels'] == 4
    data = config['data']['init_args']
    assert (data['damage'], data['class_field']) == ('buildings.gpkg', 'damage')


def test_init_asks_which_labels_are_of_which_date(tmp_path, capsys):
    (tmp_path / 'in').mkdir()
    write_dates(tmp_path / 'in')
    (tmp_path / 'in' / 'land_cover_after.tif').unlink()
    words = ['--output', str(tmp_path / 'c.yaml'), '--task', 'semantic_change']
    assert main(['init', str(tmp_path / 'in'), *words]) == 2
    assert 'which labels are of the earlier and which of the later' in capsys.readouterr().err
