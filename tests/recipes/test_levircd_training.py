"""From a folder like LEVIR-CD to models that find change, by the command line alone.

New buildings are bright rectangles on dark ground; light and noise differ between the dates, so a
difference of the images alone is not enough.
"""

import csv

import numpy as np
import pytest
import yaml

from tests.data.pairs import write
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.cli import main
from torchgeo_ext.operations import detect_change

SIDE, EPOCHS = 64, 8
PAIRS = {'train': 16, 'val': 4, 'test': 4}


def binary(network):
    return {'class_path': 'BinaryChangeDetection', 'init_args': {'model': network, 'loss': 'ce'}}


#: Learning rate, task, and the name of its score of change in tests.
NETWORKS = {
    'tinycd': (0.01, binary('tinycd'), 'test_change_f1'),
    'bit': (0.001, binary('bit'), 'test_change_f1'),
    'fcsiamdiff': (
        0.003,
        {
            'class_path': 'MaskedChangeDetection',
            'init_args': {
                'model': 'fcsiamdiff', 'backbone': 'resnet18', 'task': 'binary', 'loss': 'bce',
                'ignore_index': -1,
            },
        },
        'test_F1/1',
    ),
}  # fmt: skip


def pair(random):
    """Images (3, h, w) before and after, and where buildings are new (h, w)."""
    ground = random.normal(90, 12, (3, SIDE, SIDE))
    before, change = ground.copy(), np.zeros((SIDE, SIDE), bool)
    after = ground * random.uniform(0.85, 1.15) + random.normal(0, 8, ground.shape)
    for number in range(8):
        top, left = random.integers(0, SIDE - 20, 2)
        part = np.s_[
            ..., top : top + random.integers(10, 20), left : left + random.integers(10, 20)
        ]
        roof = random.uniform(180, 230, (3, 1, 1))
        after[part] = roof
        if number < 4:  # those were there already
            before[part] = roof
        change[part] = number >= 4
    return *(np.clip(image, 0, 255).astype('uint8') for image in (before, after)), change


@pytest.fixture(scope='module')
def levircd(tmp_path_factory):
    root = tmp_path_factory.mktemp('levircd')
    random = np.random.default_rng(0)
    for split, number in PAIRS.items():
        for index in range(number):
            before, after, change = pair(random)
            for folder, values in (('A', before), ('B', after), ('label', 255 * change)):
                name = f'{split}_{index + 1}.png'
                write(root / split / folder / name, values.astype('uint8'))
    return root


@pytest.mark.parametrize('network', NETWORKS)
def test_training_finds_change(network, levircd, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    rate, task, score = NETWORKS[network]
    config = {
        'seed_everything': 0,
        'trainer': {
            'max_epochs': EPOCHS, 'accelerator': 'cpu', 'enable_progress_bar': False,
            'enable_model_summary': False, 'default_root_dir': str(tmp_path / 'run'),
        },
        'model': task,
        'data': {
            'class_path': 'ChangePairDataModule',
            'init_args': {
                'dataset': 'torchgeo_ext.datasets.LEVIRCDTiles', 'root': str(levircd),
                'patch_size': SIDE, 'batch_size': 4,
            },
            'dict_kwargs': {'tile_size': SIDE},
        },
        'optimizer': {'class_path': 'torch.optim.AdamW', 'init_args': {'lr': rate}},
        'lr_scheduler': {
            'class_path': 'torch.optim.lr_scheduler.CosineAnnealingLR',
            'init_args': {'T_max': EPOCHS},
        },
    }  # fmt: skip
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump(config), encoding='utf-8')
    assert main(['fit', '--config', str(path)]) == 0
    with (tmp_path / 'run' / 'logs' / 'version_0' / 'metrics.csv').open() as file:
        losses = [float(row['val_loss']) for row in csv.DictReader(file) if row['val_loss']]
    assert len(losses) == EPOCHS
    assert losses[-1] < losses[0]

    capsys.readouterr()
    assert main(['test', '--config', str(path), '--ckpt_path', 'best']) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if f' {score} ' in line]
    # a sixth of the ground is new: who calls everything changed scores 0.28
    assert float(line.split('│')[2]) > 0.5

    checkpoint = tmp_path / 'run' / 'checkpoints' / 'best.ckpt'
    words = ['create-bundle', '--checkpoint', str(checkpoint), '--output', str(tmp_path / 'model')]
    assert main(words) == 0
    card = read_bundle(tmp_path / 'model').card
    assert (card.task, card.dates) == ('change', 2)
    # of the images' three bands, as the data module standardises LEVIR-CD
    assert [round(band.mean, 2) for band in card.bands] == [123.68, 116.28, 103.53]
    before, after = (levircd / 'test' / date / 'test_1.png' for date in 'AB')
    result = detect_change(
        before, after, tmp_path / 'change.tif', bundle=tmp_path / 'model' / 'model.json'
    )
    assert 0.02 < result.changed_fraction < 0.5
