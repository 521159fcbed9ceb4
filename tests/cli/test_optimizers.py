"""Optimisers and schedules of published trainings, from a configuration."""

from typing import ClassVar

import pytest
import yaml
from lightning.pytorch.callbacks import Callback
from torch import nn

from tests.data.levircd import data as levircd
from tests.tasks.pairs import PixelNetwork, register
from torchgeo_ext.cli._fit import run
from torchgeo_ext.cli._optimizers import ParameterGroup, group_parameters
from torchgeo_ext.errors import BadParameter


class PixelChange(PixelNetwork):
    def forward(self, x):
        return super().forward(x)[0]


def tiny_change(in_chans=3):
    return PixelChange(in_chans, [2])


class Rates(Callback):
    """Notes learning rate and weight decay of each group before each step."""

    seen: ClassVar = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        groups = trainer.optimizers[0].param_groups
        self.seen.append([(group['lr'], group['weight_decay']) for group in groups])


def test_parameters_go_to_the_first_group_that_fits():
    network = nn.ModuleDict({'encoder': nn.Linear(2, 3), 'norm': nn.LayerNorm(3)})
    groups = [ParameterGroup('norm', weight_decay=0.0), ParameterGroup('weight$', lr=0.1)]
    dealt = group_parameters(network.named_parameters(), groups)
    assert [list(map(id, group.pop('params'))) for group in dealt] == [
        [id(network['encoder'].bias)],
        [id(network['norm'].weight), id(network['norm'].bias)],
        [id(network['encoder'].weight)],
    ]
    assert dealt == [{}, {'weight_decay': 0.0}, {'lr': 0.1}]
    with pytest.raises(BadParameter, match=r"no parameter is left for 'decoder'"):
        group_parameters(network.named_parameters(), [ParameterGroup('decoder')])


def rates(tmp_path, **further):
    """Train four steps, two epochs; give the learning rates of each group at each step."""
    levircd.make(tmp_path / 'data')
    trainer = {
        'accelerator': 'cpu', 'default_root_dir': str(tmp_path / 'run'), 'logger': False,
        'enable_progress_bar': False, 'enable_model_summary': False, 'max_epochs': 2,
        'enable_checkpointing': False, 'callbacks': {'class_path': f'{__name__}.Rates'},
    }  # fmt: skip
    config = {
        'seed_everything': 0,
        'trainer': trainer | further.pop('trainer', {}),
        'model': {
            'class_path': 'BinaryChangeDetection', 'init_args': {'model': 'tiny_change'}
        },
        'data': {
            'class_path': 'ChangePairDataModule',
            'init_args': {
                'dataset': 'torchgeo_ext.datasets.LEVIRCDTiles', 'root': str(tmp_path / 'data'),
                'patch_size': 16, 'batch_size': 1,
            },
        },
        **further,
    }  # fmt: skip
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump(config))
    Rates.seen.clear()
    run(['fit', '--config', str(path)])
    lr = [[lr for lr, _ in step] for step in zip(*Rates.seen, strict=True)]
    return lr, [{decay for _, decay in step} for step in zip(*Rates.seen, strict=True)]


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    # LightningCLI complains of words given beside those of the process
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    register(monkeypatch, tiny_change)


SGD = {'class_path': 'torch.optim.SGD', 'init_args': {'lr': 0.1, 'momentum': 0.9}}
HALVE = {
    'class_path': 'torch.optim.lr_scheduler.StepLR', 'init_args': {'step_size': 1, 'gamma': 0.5}
}  # fmt: skip


BY_STEPS = {'max_epochs': -1, 'max_steps': 4}


def test_schedules_go_by_epochs(tmp_path):
    ((found,), _) = rates(tmp_path, optimizer=SGD, lr_scheduler=HALVE)
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.05])


def test_schedules_go_by_steps_where_the_training_does(tmp_path):
    ((found,), _) = rates(tmp_path, optimizer=SGD, lr_scheduler=HALVE, trainer=BY_STEPS)
    assert found == pytest.approx([0.1, 0.05, 0.025, 0.0125])


def test_warmup_multiplies_the_schedule(tmp_path):
    ((found,), _) = rates(
        tmp_path, optimizer=SGD, lr_scheduler=HALVE, trainer=BY_STEPS, warmup_steps=2
    )
    assert found == pytest.approx([1e-7, 0.025, 0.025, 0.0125], rel=1e-4)


def test_groups_have_rates_and_decay_of_their_own(tmp_path):
    groups = [{'match': r'bias$', 'weight_decay': 0.0}, {'match': 'heads', 'lr': 1.0}]
    optimizer = {'class_path': 'torch.optim.AdamW', 'init_args': {'lr': 0.1, 'weight_decay': 0.5}}
    found, decay = rates(tmp_path, optimizer=optimizer, lr_scheduler=HALVE, parameter_groups=groups)
    assert found == [pytest.approx([lr, lr, lr / 2, lr / 2]) for lr in (0.1, 0.1, 1.0)]
    assert decay == [{0.5}, {0.0}, {0.5}]


def test_optimizer_without_schedule(tmp_path):
    ((found,), _) = rates(tmp_path, optimizer=SGD)
    assert found == pytest.approx([0.1] * 4)


def test_plateaus_are_looked_for_after_epochs(tmp_path):
    plateau = {
        'class_path': 'lightning.pytorch.cli.ReduceLROnPlateau',
        'init_args': {'monitor': 'val_loss', 'patience': 0, 'threshold': 10.0, 'factor': 0.5},
    }
    trainer = {'max_epochs': 3}
    ((found,), _) = rates(tmp_path, optimizer=SGD, lr_scheduler=plateau, trainer=trainer)
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
