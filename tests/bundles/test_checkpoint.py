"""From Lightning checkpoints to bundles and back to the same scores."""

import dataclasses
import logging
from unittest.mock import ANY

import pytest
import torch
from torch import nn
from torchgeo.tasks import (
    ChangeDetection,
    Classification,
    PixelwiseRegression,
    SemanticSegmentation,
)

from tests.bundles.makers import CLASSES, checkpoint, task
from torchgeo_ext import registry
from torchgeo_ext.bundles import (
    Band,
    describe_bundle,
    known_architectures,
    read_bundle,
    read_checkpoint,
    write_bundle,
)
from torchgeo_ext.bundles.checkpoint import DATA_CARD
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.tasks import MaskedChangeDetection, MaskedSegmentation, SceneClassification

SMALL = 'tu-lcnet_050'

TASKS = {
    'segmentation of 3 classes': lambda: SemanticSegmentation(
        model='unet', backbone=SMALL, in_channels=4, num_classes=3, class_weights=[1.0, 2.0, 3.0]
    ),
    'binary segmentation': lambda: SemanticSegmentation(
        model='fcn', in_channels=2, task='binary', loss='bce', pos_weight=torch.tensor([2.0])
    ),
    'multilabel segmentation': lambda: SemanticSegmentation(
        model='fcn', in_channels=2, task='multilabel', num_labels=2, loss='bce', labels=['a', 'b']
    ),
    'early fusion, binary': lambda: ChangeDetection(model='unet', backbone=SMALL, in_channels=3),
    'early fusion, 3 classes': lambda: ChangeDetection(
        model='fcn', in_channels=3, task='multiclass', num_classes=3, loss='ce'
    ),
    'siamese, binary': lambda: ChangeDetection(model='fcsiamdiff', backbone=SMALL, in_channels=4),
    'siamese, 2 classes': lambda: ChangeDetection(
        model='fcsiamconc',
        backbone=SMALL,
        in_channels=4,
        task='multiclass',
        num_classes=2,
        loss='ce',
    ),
    'regression': lambda: PixelwiseRegression(
        model='unet', backbone=SMALL, in_channels=5, labels=['height']
    ),
    'scenes': lambda: Classification(model='lcnet_050', in_channels=4, num_classes=3),
    'ours, one image': lambda: MaskedSegmentation(
        model='unet++', backbone=SMALL, in_channels=4, num_classes=3, ignore_index=255
    ),
    'ours, a pair': lambda: MaskedChangeDetection(
        model='linknet', backbone=SMALL, in_channels=4, loss='bce', ignore_index=255
    ),
    'ours, scenes': lambda: SceneClassification(
        model=SMALL, in_channels=4, task='multilabel', num_labels=3, loss='bce'
    ),
    'ours, binary scenes': lambda: SceneClassification(
        model=SMALL, in_channels=4, task='binary', loss='bce', labels=['mine']
    ),
}


def randomise(module):
    """Weights, and statistics of batch normalisation, that no start value happens to equal."""
    generator = torch.Generator().manual_seed(1)
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not name.startswith('criterion'):
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(noise + 0.5 if 'var' in name else (noise - 0.5) * 0.3)
    return module.eval()


def predicted(module, image):
    """What the task itself predicts."""
    result = module.predict_step({'image': image}, 0)
    return result['probabilities'] if isinstance(result, dict) else result


@pytest.mark.parametrize('name', TASKS)
def test_round_trip(name, tmp_path):
    module = randomise(TASKS[name]())
    found = read_checkpoint(checkpoint(tmp_path / 'epoch=3.ckpt', module))
    channels = module.hparams['in_channels']
    bands = tuple(
        Band(f'B{i}', scale=0.5, offset=-1, mean=50 + i, std=20 + i) for i in range(channels)
    )
    card = dataclasses.replace(found.card, bands=bands, tile_size=64, halo=8)
    write_bundle(tmp_path / 'bundle', card, found.load())
    bundle = read_bundle(tmp_path / 'bundle')
    assert bundle.card == card
    state = module.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in bundle.load().items())

    dates = (2,) if card.dates == 2 else ()
    stored = torch.randint(0, 256, (2, *dates, channels, 64, 64)).float()
    scale = torch.tensor([[0.5, -1, 50 + i, 20 + i] for i in range(channels)]).T[..., None, None]
    normalised = (stored * scale[0] + scale[1] - scale[2]) / scale[3]
    with torch.inference_mode():
        scores = bundle.build()(stored)
        torch.testing.assert_close(scores, predicted(module, normalised), atol=1e-5, rtol=1e-5)
    size = () if card.task == 'classification' else (64, 64)
    assert scores.shape == (2, card.outputs, *size)


def test_cards_of_checkpoints(tmp_path):
    cards = {
        name: read_checkpoint(checkpoint(tmp_path / 'x.ckpt', TASKS[name]())).card for name in TASKS
    }
    classes = {name: card.architecture['class'] for name, card in cards.items()}
    assert classes == {
        'segmentation of 3 classes': 'SemanticSegmentation',
        'binary segmentation': 'SemanticSegmentation',
        'multilabel segmentation': 'SemanticSegmentation',
        'early fusion, binary': 'ChangeDetection',
        'early fusion, 3 classes': 'ChangeDetection',
        'siamese, binary': 'ChangeDetection',
        'siamese, 2 classes': 'ChangeDetection',
        'regression': 'PixelwiseRegression',
        'scenes': 'Classification',
        'ours, one image': 'MaskedSegmentation',
        'ours, a pair': 'MaskedChangeDetection',
        'ours, scenes': 'SceneClassification',
        'ours, binary scenes': 'SceneClassification',
    }
    facts = {name: (c.task, c.dates, c.output_activation, c.outputs) for name, c in cards.items()}
    assert facts['segmentation of 3 classes'] == ('segmentation', 1, 'softmax', 3)
    assert facts['binary segmentation'] == ('segmentation', 1, 'sigmoid', 1)
    assert facts['multilabel segmentation'] == ('segmentation', 1, 'sigmoid', 2)
    assert facts['early fusion, binary'] == ('change', 2, 'sigmoid', 1)
    assert facts['siamese, 2 classes'] == ('change', 2, 'softmax', 2)
    assert facts['regression'] == ('regression', 1, 'none', 1)
    assert facts['scenes'] == ('classification', 1, 'softmax', 3)
    assert facts['ours, scenes'] == ('classification', 1, 'sigmoid', 3)
    assert facts['ours, binary scenes'] == ('classification', 1, 'sigmoid', 1)
    assert facts['ours, a pair'] == ('change', 2, 'sigmoid', 1)
    assert [c.name for c in cards['siamese, 2 classes'].classes] == ['no change', 'change']
    assert [c.name for c in cards['multilabel segmentation'].classes] == ['a', 'b']
    assert [c.name for c in cards['binary segmentation'].classes] == ['background', 'foreground']
    assert cards['regression'].variables == ('height',)
    training = cards['segmentation of 3 classes'].training
    assert training['hyper_parameters']['class_weights'] == [1.0, 2.0, 3.0]
    assert training['epoch'] == 0


def test_class_written_by_lightnings_command_line(tmp_path):
    path = checkpoint(tmp_path / 'x.ckpt', task())
    content = torch.load(path, weights_only=True)
    content['hyper_parameters'] |= {
        '_class_path': 'torchgeo.tasks.SemanticSegmentation',
        '_instantiator': 'lightning.pytorch.cli.instantiate_module',
    }
    torch.save(content, path)
    assert read_checkpoint(path).card.architecture['class'] == 'SemanticSegmentation'
    content['hyper_parameters']['_class_path'] = 'somewhere.MyTask'
    torch.save(content, path)
    with pytest.raises(BadInput, match="class 'MyTask', which is not known"):
        read_checkpoint(path)


def test_architecture_may_be_given(tmp_path):
    path = checkpoint(tmp_path / 'x.ckpt', task())
    found = read_checkpoint(path, architecture='MaskedSegmentation')
    assert found.card.architecture['class'] == 'MaskedSegmentation'
    with pytest.raises(BadInput, match='do not fit the architecture'):
        read_checkpoint(path, architecture='ChangeDetection')


def test_bare_checkpoint_as_a_bundle(tmp_path, caplog):
    path = checkpoint(tmp_path / 'model.ckpt', task())
    with caplog.at_level(logging.WARNING):
        bundle = read_bundle(path)
    assert 'divided by 255' in caplog.text
    assert 'create_bundle' in caplog.text
    values = torch.randint(0, 256, (1, 3, 32, 32)).float()
    with torch.inference_mode():
        expected = task().eval()(values / 255).softmax(1)
        torch.testing.assert_close(bundle.build()(values), expected, atol=1e-6, rtol=0)
    info = describe_bundle(path)
    assert (info.parameters, info.card) == (432, bundle.card)
    caplog.clear()
    content = torch.load(path, weights_only=True)
    content['data'] = {
        DATA_CARD: {
            'bands': [{'name': name, 'mean': 0.5} for name in 'abc'],
            'classes': [dataclasses.asdict(entry) for entry in CLASSES],
        }
    }
    torch.save(content, path)
    assert [band.mean for band in read_bundle(path).card.bands] == [0.5] * 3
    assert not caplog.text


def test_what_is_told_of_bands_counts_whatever_the_number_of_classes(tmp_path):
    path = checkpoint(tmp_path / 'model.ckpt', task())
    own = read_checkpoint(path).card
    content = torch.load(path, weights_only=True)
    told = {
        'bands': [{'name': name, 'mean': 0.5, 'std': 2.0} for name in 'abc'],
        'classes': [dataclasses.asdict(entry) for entry in CLASSES[:-1]],
        'tile_size': 128,
    }
    torch.save(content | {'data': {DATA_CARD: told}}, path)
    card = read_checkpoint(path).card
    assert [(band.name, band.mean, band.std) for band in card.bands] == [
        (name, 0.5, 2.0) for name in 'abc'
    ]
    assert card.classes == own.classes
    assert card.tile_size == 128
    # bands that are not the network's tell nothing of it
    torch.save(content | {'data': {DATA_CARD: told | {'bands': told['bands'][:2]}}}, path)
    assert read_checkpoint(path).card == dataclasses.replace(own, training=ANY)


class Thing:
    """Something only code can bring back."""


def test_checkpoint_that_needs_unpickling_is_not_opened(tmp_path):
    path = checkpoint(tmp_path / 'x.ckpt', task())
    content = torch.load(path, weights_only=True)
    content['hyper_parameters']['thing'] = Thing()
    torch.save(content, path)
    with pytest.raises(BadInput) as caught:
        read_checkpoint(path)
    assert 'test_checkpoint.Thing' in caught.value.message
    assert 'run any code' in caught.value.message
    assert 'save it anew' in caught.value.hint


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04 cut'])
def test_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / 'x.ckpt').write_bytes(content)
    with pytest.raises(BadInput, match=r'checkpoint: .*x\.ckpt'):
        read_checkpoint(tmp_path / 'x.ckpt')


def test_truncated_checkpoint(tmp_path):
    path = checkpoint(tmp_path / 'x.ckpt', task())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(BadInput, match=r'x\.ckpt cannot be read as a checkpoint'):
        read_checkpoint(path)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(BadInput, match='does not exist'):
        read_checkpoint(tmp_path / 'x.ckpt')


@pytest.mark.parametrize('content', [{'state_dict': {}}, [1, 2], {'epoch': 3}])
def test_weights_that_lightning_did_not_write(tmp_path, content):
    torch.save(content, tmp_path / 'x.ckpt')
    with pytest.raises(BadInput, match='is no checkpoint of a Lightning task'):
        read_checkpoint(tmp_path / 'x.ckpt')


def test_checkpoint_of_a_task_that_predicts_no_rasters(tmp_path):
    torch.save(
        {'state_dict': {'w': torch.zeros(1)}, 'hyper_parameters': {'dropout': 0.1}},
        tmp_path / 'x.ckpt',
    )
    with pytest.raises(BadInput, match=r'fits no task.*\(its arguments are dropout\)'):
        read_checkpoint(tmp_path / 'x.ckpt')


class Twin(SemanticSegmentation):
    """Same arguments and weights as its sibling."""


def offer(monkeypatch, registry_name, **things):
    monkeypatch.setattr(registry, registry_name, things)


def test_ambiguous_checkpoint(tmp_path, monkeypatch):
    path = checkpoint(tmp_path / 'x.ckpt', task())
    architectures = {'First': type('First', (Twin,), {}), 'Second': type('Second', (Twin,), {})}
    monkeypatch.setattr(
        'torchgeo_ext.bundles.checkpoint.known_architectures', lambda: architectures
    )
    monkeypatch.setattr(
        'torchgeo_ext.bundles._architecture.known_architectures', lambda: architectures
    )
    with pytest.raises(BadParameter, match=r'could be of First or Second.*architecture'):
        read_checkpoint(path)


def tiny_net(in_channels, num_classes, weights='IMAGENET', backbone_weights=None, pretrained=True):
    assert (weights, backbone_weights, pretrained) == (None, None, False)
    return nn.Conv2d(in_channels, num_classes, 1)


def test_registered_models_are_known(tmp_path, monkeypatch):
    offer(monkeypatch, 'models', tiny_net=tiny_net)
    found = read_checkpoint(checkpoint(tmp_path / 'x.ckpt', task()))
    arguments = {'in_channels': 3, 'num_classes': 3, 'backbone_weights': 'x', 'pretrained': True}
    architecture = {'class': 'tiny_net', 'arguments': arguments}
    card = dataclasses.replace(found.card, architecture=architecture, tile_size=32, halo=0)
    network = nn.Conv2d(3, 3, 1)
    write_bundle(tmp_path / 'bundle', card, network)
    values = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            read_bundle(tmp_path / 'bundle').build()(values), network(values / 255).softmax(1)
        )


def test_nobody_can_stand_in_for_torchgeos_tasks(monkeypatch):
    offer(monkeypatch, 'tasks', SemanticSegmentation=Thing)
    assert known_architectures()['SemanticSegmentation'] is SemanticSegmentation


def test_arguments_that_json_cannot_hold(tmp_path, monkeypatch):
    class Weighted(SemanticSegmentation):
        def __init__(self, kernel, in_channels=3, num_classes=3):
            super().__init__(model='fcn', in_channels=in_channels, num_classes=num_classes)

    offer(monkeypatch, 'tasks', Weighted=Weighted)
    path = checkpoint(tmp_path / 'x.ckpt', task())
    content = torch.load(path, weights_only=True)
    content['hyper_parameters'] = {'kernel': torch.zeros(3), 'in_channels': 3}
    torch.save(content, path)
    with pytest.raises(BadParameter, match=r'argument kernel of Weighted .* bundle cannot hold'):
        read_checkpoint(path, architecture='Weighted')
