"""Published weights find their places: under other names, in other modules, for other bands."""

import pytest
import torch
from torch import nn
from torchgeo.models import ResNet18_Weights

from torchgeo_ext.errors import BadInput, MissingWeights
from torchgeo_ext.models._weights import (
    accept_published_names,
    fetching_imagenet_weights,
    load_fitting,
    read_state,
)


class Small(nn.Module):
    def __init__(self, bands=3, classes=2):
        super().__init__()
        self.stem = nn.Conv2d(bands, 4, 1)
        self.head = nn.Conv2d(4, classes, 1)
        accept_published_names(self, self.translate)

    @staticmethod
    def translate(state):
        used = {key: value for key, value in state.items() if not key.startswith('unused.')}
        return {key.replace('first.', 'stem.'): value for key, value in used.items()}


@pytest.fixture
def published():
    state = Small().state_dict()
    state = {key.replace('stem.', 'first.'): value for key, value in state.items()}
    return state | {'unused.weight': torch.zeros(1)}


@pytest.mark.parametrize('group', [None, 'state_dict', 'model', 'model_G_state_dict'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_checkpoints_of_training_scripts(published, group, prefix):
    checkpoint = {prefix + key: value for key, value in published.items()}
    model = Small()
    model.load_state_dict({group: checkpoint, 'epoch': 3} if group else checkpoint)
    torch.testing.assert_close(model.stem.weight, published['first.weight'])
    # our own names keep working
    model.load_state_dict(Small().state_dict())


def test_inside_another_module(published):
    outer = nn.ModuleDict({'other': nn.Linear(1, 1), 'model': Small()})
    state = {f'model.{key}': value for key, value in published.items()}
    outer.load_state_dict(state | {'other.weight': torch.ones(1, 1), 'other.bias': torch.ones(1)})
    torch.testing.assert_close(outer['model'].stem.weight, published['first.weight'])


def test_what_does_not_fit_is_not_hidden(published):
    del published['first.bias']
    with pytest.raises(RuntimeError, match=r'stem\.bias'):
        Small().load_state_dict(published)


def test_other_bands_and_classes(caplog):
    published = Small().state_dict()
    model = Small(bands=6, classes=5)
    random = model.head.weight.clone()
    with caplog.at_level('INFO'):
        load_fitting(model, published, bands=['stem.weight'], heads=['head.'])
    expected = published['stem.weight'].repeat(1, 2, 1, 1) / 2
    torch.testing.assert_close(model.stem.weight, expected)
    torch.testing.assert_close(model.head.weight, random)
    assert 'Filters of 3 bands in stem.weight were adapted to 6 bands' in caplog.text
    assert 'head.weight starts at random' in caplog.text
    caplog.clear()
    load_fitting(Small(), published, bands=['stem.weight'], heads=['head.'])
    assert not caplog.text


def test_no_connection_is_explained():
    expected = pytest.raises(MissingWeights, match=r'ImageNet weights of mit_b1 .*no route')
    with expected, fetching_imagenet_weights('mit_b1'):
        raise OSError('no route')


class Logger:
    """What training scripts leave in their checkpoints."""


def test_checkpoints_that_could_run_code_are_refused(publish):
    weights = ResNet18_Weights.SENTINEL2_ALL_MOCO
    path = publish(weights, {'state_dict': {}, 'meta': Logger()})
    with pytest.raises(BadInput, match=f'{path} holds more than plain weights'):
        read_state(weights)
