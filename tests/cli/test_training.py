"""From a folder to a model: init, fit, go on, test, create-bundle."""

import csv
import shutil

import numpy as np
import pytest
import torch
import yaml

from tests.datasets.makers import boxes, class_map, image_of, write_pair_of_layers, write_polygons
from tests.rasters import write_raster
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.cli import main
from torchgeo_ext.datamodules import GeoTIFFDataModule

#: A network of some hundred parameters, and few patches.
TINY = [
    *('--model.init_args.model', 'fcn', '--data.init_args.length', '8'),
    *('--trainer.accelerator', 'cpu', '--trainer.enable_model_summary', 'false'),
]


@pytest.fixture(autouse=True)
def _no_words(monkeypatch):
    # LightningCLI complains of words given beside those of the process
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])


@pytest.fixture(scope='module')
def segmentation(tmp_path_factory):
    folder = tmp_path_factory.mktemp('fields')
    write_pair_of_layers(folder, class_map(96, 96, side=12), name='fields.tif')
    return folder


@pytest.fixture(scope='module')
def change(tmp_path_factory):
    folder = tmp_path_factory.mktemp('change')
    classes = class_map(96, 96, classes=2, side=12)
    write_raster(folder / 'scene_2019-05-01.tif', image_of(np.ones_like(classes)))
    write_raster(folder / 'scene_2020-05-01.tif', image_of(classes))
    write_raster(folder / 'change.tif', classes - 1)
    return folder


def init(folder, tmp_path, *words):
    config = tmp_path / 'training.yaml'
    assert main(['init', str(folder), '--output', str(config), *words]) == 0
    return config


def fit(config, *words):
    return main(['fit', '--config', str(config), *TINY, '--trainer.max_epochs', '1', *words])


@pytest.fixture(scope='module')
def trained(segmentation, tmp_path_factory):
    """The folder of a configuration that was trained for an epoch."""
    folder = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sys.argv', ['torchgeo-ext'])
        assert fit(init(segmentation, folder)) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, to be changed."""
    shutil.copytree(trained, tmp_path / 'copy')
    config = tmp_path / 'copy' / 'training.yaml'
    text = config.read_text(encoding='utf-8')
    config.write_text(text.replace(str(trained), str(tmp_path / 'copy')), encoding='utf-8')
    return config


def test_init_tells_what_it_understood(segmentation, tmp_path, capsys):
    config = init(segmentation, tmp_path)
    told = capsys.readouterr().out
    assert 'Task: segmentation' in told
    assert (
        'Images: 1, 2 bands uint16 of Sentinel-2 MSI (B02, B03), pixels of 10, EPSG:32633' in told
    )
    assert 'Labels: labels_fields.tif: 1 class 1, 2 class 2, 3 class 3' in told
    assert f'torchgeo-ext fit --config {config}' in told
    content = yaml.safe_load(config.read_text(encoding='utf-8'))
    assert content['model']['class_path'] == 'MaskedSegmentation'
    assert content['model']['init_args']['num_classes'] == 3
    assert content['data']['init_args'] == {
        'root': str(segmentation), 'images': ['fields.tif'], 'labels': 'labels_fields.tif',
        'patch_size': 32, 'balance': 'square_root', 'test_fold': 1,
    }  # fmt: skip
    assert content['trainer'] == {'max_epochs': 50}


def test_init_does_not_overwrite(segmentation, tmp_path, capsys):
    config = init(segmentation, tmp_path)
    assert main(['init', str(segmentation), '--output', str(config)]) == 2
    assert 'is there already' in capsys.readouterr().err
    init(segmentation, tmp_path, '--force')


def test_init_refuses_what_it_cannot_tell(tmp_path, capsys):
    assert main(['init', str(tmp_path)]) == 2
    assert 'has no raster that can be read' in capsys.readouterr().err


def test_many_images_become_a_pattern(tmp_path):
    for day in range(1, 6):
        write_raster(tmp_path / f's2_2020-06-0{day}.tif', image_of(class_map(96, 96)))
    write_polygons(
        tmp_path / 'crops.gpkg', boxes([(0, 0, 48, 96), (48, 0, 96, 96)]), crop=['rye', 'oats']
    )
    (tmp_path / 'out').mkdir()
    data = yaml.safe_load(init(tmp_path, tmp_path / 'out').read_text())['data']['init_args']
    assert data['images'] == 's2_*.tif'
    assert data['class_field'] == 'crop'
    assert len(GeoTIFFDataModule(**data | {'split': None}).labelled.scenes) == 5


def test_files_that_cannot_be_read_are_named_and_left_out(tmp_path, capsys):
    for day in range(1, 6):
        write_raster(tmp_path / f's2_2020-06-0{day}.tif', image_of(class_map(64, 64)))
    (tmp_path / 's2_2020-06-09.tif').write_bytes(b'II*\0nothing more')
    write_raster(tmp_path / 'labels.tif', class_map(64, 64))
    (tmp_path / 'out').mkdir()
    data = yaml.safe_load(init(tmp_path, tmp_path / 'out').read_text())['data']['init_args']
    assert 'Cannot be read: s2_2020-06-09.tif' in capsys.readouterr().out
    assert len(data['images']) == 5
    assert 's2_2020-06-09.tif' not in data['images']


def test_a_training_leaves_checkpoints_logs_and_figures(trained):
    run = trained / 'training_run'
    assert {path.name for path in (run / 'checkpoints').iterdir()} == {'best.ckpt', 'last.ckpt'}
    logs = run / 'logs' / 'version_0'
    rows = list(csv.DictReader((logs / 'metrics.csv').read_text(encoding='utf-8').splitlines()))
    assert any(row['val_mIoU'] for row in rows)
    assert any(path.name.startswith('events') for path in logs.iterdir())
    assert {path.name for path in (run / 'figures').iterdir()} == {
        'coverage.png', 'predictions.png', 'split.png',
    }  # fmt: skip


def test_the_checkpoint_alone_becomes_a_bundle(trained, segmentation, tmp_path, caplog):
    checkpoint = trained / 'training_run' / 'checkpoints' / 'best.ckpt'
    words = ['create-bundle', '--checkpoint', str(checkpoint), '--output', str(tmp_path / 'model')]
    assert main(words) == 0
    assert 'divided by 255' not in caplog.text
    card = read_bundle(tmp_path / 'model').card
    assert [band.name for band in card.bands] == ['B02', 'B03']
    assert all(band.mean > 1000 for band in card.bands)
    assert [(entry.value, entry.name) for entry in card.classes] == [
        (1, 'class 1'), (2, 'class 2'), (3, 'class 3'),
    ]  # fmt: skip
    assert card.tile_size == 256
    assert card.resolution_minimum == pytest.approx(7.5, rel=0.01)
    image, output = segmentation / 'fields.tif', tmp_path / 'map.tif'
    words = ['--image', image, '--bundle', tmp_path / 'model', '--output', output]
    assert main(['segment-image', *map(str, words)]) == 0


def test_a_training_is_not_overwritten_but_goes_on(run, capsys):
    assert fit(run) == 2
    assert 'holds a training already' in capsys.readouterr().err
    assert fit(run, '--trainer.max_epochs', '2', '--ckpt_path', 'last') == 0
    last = run.parent / 'training_run' / 'checkpoints' / 'last.ckpt'
    assert torch.load(last, weights_only=True)['epoch'] == 1


def test_the_last_epoch_is_kept_though_it_is_no_better(segmentation, tmp_path):
    config = init(segmentation, tmp_path)
    assert fit(config, '--trainer.max_epochs', '3', '--model.init_args.lr', '0') == 0
    kept = tmp_path / 'training_run' / 'checkpoints'
    epochs = {path.stem: torch.load(path, weights_only=True)['epoch'] for path in kept.iterdir()}
    assert epochs == {'best': 0, 'last': 2}


def test_scores_of_the_test_fold(run, capsys):
    assert main(['test', '--config', str(run), *TINY, '--ckpt_path', 'best']) == 0
    shown = capsys.readouterr().out
    for name in ('test_mIoU', 'test_OA', 'test_F1', 'test_IoU/class 2'):
        assert name in shown


def test_a_test_needs_a_training(segmentation, tmp_path, capsys):
    config = init(segmentation, tmp_path)
    assert main(['test', '--config', str(config), *TINY, '--ckpt_path', 'best']) == 2
    assert 'best.ckpt' in capsys.readouterr().err


def test_a_model_that_does_not_fit_the_data(segmentation, tmp_path, capsys):
    config = init(segmentation, tmp_path)
    assert fit(config, '--model.init_args.in_channels', '4') == 2
    assert 'model.in_channels is 4, but the images have 2 bands' in capsys.readouterr().err
    assert (
        fit(config, '--model.init_args.num_classes', '2', '--model.init_args.labels', 'null') == 2
    )
    assert 'model.num_classes is 2, but the labels have 3 classes' in capsys.readouterr().err


def test_change_from_folder_to_scores(change, tmp_path, capsys):
    config = init(change, tmp_path)
    told = capsys.readouterr().out
    assert 'scene_2019-05-01.tif -> scene_2020-05-01.tif' in told
    content = yaml.safe_load(config.read_text(encoding='utf-8'))
    # one score per pixel and its loss are what the task does by default
    assert set(content['model']['init_args']) == {
        'model', 'backbone', 'in_channels', 'ignore_index',
    }  # fmt: skip
    assert fit(config) == 0
    assert main(['test', '--config', str(config), *TINY, '--ckpt_path', 'last']) == 0
    assert 'test_F1' in capsys.readouterr().out


def test_transforms_and_samplers_by_class_path(segmentation, tmp_path):
    config = init(segmentation, tmp_path)
    content = yaml.safe_load(config.read_text(encoding='utf-8'))
    content['data']['init_args'] |= {
        'balance': 'inverse',
        'weights': {
            'class_path': 'RasterWeight',
            'init_args': {'raster': str(segmentation / 'fields.tif')},
        },
        'transforms': [{'class_path': 'torchgeo_ext.transforms.BandDropout'}],
    }
    config.write_text(yaml.safe_dump(content), encoding='utf-8')
    assert fit(config) == 0


def test_samplers_of_hard_examples_from_yaml(segmentation, tmp_path):
    config = init(segmentation, tmp_path)
    content = yaml.safe_load(config.read_text(encoding='utf-8'))
    content['data']['init_args']['sampler'] = {
        'class_path': 'HardExampleSampler', 'init_args': {'hard': 0.8},
    }  # fmt: skip
    content['trainer']['callbacks'] = ['torchgeo_ext.datamodules.losses.TellLosses']
    config.write_text(yaml.safe_dump(content), encoding='utf-8')
    assert fit(config) == 0
    last = tmp_path / 'training_run' / 'checkpoints' / 'last.ckpt'
    kept = torch.load(last, weights_only=True)['callbacks']['TellLosses']
    assert len(kept['losses']) == len(kept['tile_ids'].unique()) > 0
    assert main(['fit', '--config', str(config), *TINY, '--trainer.max_epochs', '2',
                 '--ckpt_path', 'last']) == 0  # fmt: skip
