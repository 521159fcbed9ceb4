"""Towers that learn which places, images and texts belong together."""

import math

import pytest
import torch
from torch import nn
from torchgeo.models import ResNet18_Weights

from tests.tasks.pairs import batch_of, run_once, save_and_load
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.tasks import ContrastiveTowers, contrastive_towers

PLACES, BANDS, SIZE = 12, 2, 16
NAMED = {
    'image': {'model': 'eurosat_baseline3', 'in_chans': BANDS},
    'point': {'model': 'location_harmonics', 'legendre_polys': 4},
}
WORDS = ('water', 'land', 'city')


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def samples(number=PLACES):
    """The color tells the place."""
    random = torch.Generator().manual_seed(1)
    points = (torch.rand(number, 2, generator=random, dtype=torch.float64) * 2 - 1) * 80
    noise = torch.randn(number, BANDS, SIZE, SIZE, generator=random) * 0.05
    images = noise + (points / 80).float()[..., None, None]
    return [{'image': i, 'point': p} for i, p in zip(images, points, strict=True)]


def make(**options):
    return ContrastiveTowers(**{'towers': NAMED, 'embed_dim': 16, 'lr': 1e-2} | options)


def learn(task, batch, steps=80):
    optimizer = task.configure_optimizers()
    task.log = lambda *_, **__: None
    for step in range(steps):
        optimizer.zero_grad()
        loss = task.training_step(batch, step)
        loss.backward()
        optimizer.step()
    return loss.item()


class Words(nn.Module):
    """A tower of texts: one vector for each known word."""

    def __init__(self, width):
        super().__init__()
        self.table = nn.Embedding(len(WORDS), width)

    def forward(self, texts):
        return self.table(torch.tensor([WORDS.index(text) for text in texts]))


def test_images_find_their_places():
    task, batch = make(), batch_of(samples())
    before = task.criterion(*task(batch).values())
    assert learn(task, batch) < before / 4
    task.eval()
    task._count(batch, 'val')
    found = task.val_metrics[0].compute()
    assert found['candidates'] == PLACES
    assert found['image_to_point_recall@1'] > 0.8  # guessing: 1 / 12
    assert found['point_to_image_median_rank'] == 1
    assert found['image_to_point_median_km'] == 0


def test_scores_are_logged_over_all_batches():
    logged = run_once(make(), samples())
    assert logged['train_loss'] > 0
    assert logged['train_scale'].item() == pytest.approx(1 / 0.07, rel=1e-3)
    for stage in ('val', 'test'):
        assert logged[f'{stage}_candidates'] == PLACES
        assert 0 <= logged[f'{stage}_point_to_image_recall@5'] <= 1
        assert f'{stage}_image_to_point_within_2500km' in logged
    assert ContrastiveTowers.monitor in logged


def test_texts_and_more_than_two_towers():
    towers = {'image': NAMED['image'], 'point': NAMED['point'], 'text': Words(16)}
    task = make(towers=towers, groups='number')
    batch = batch_of(samples())
    numbers = torch.arange(PLACES) % 3
    batch |= {'text': [WORDS[n] for n in numbers], 'number': numbers}
    before = learn(task, batch, steps=1)
    # four of one word cannot be told apart, which is no mistake
    assert math.log(4) - 0.1 < learn(task, batch) < before
    vectors = task.eval()({'text': ['city', 'water'], 'strange': 1})
    assert vectors['text'].shape == (2, 16)
    torch.testing.assert_close(vectors['text'].norm(dim=1), torch.ones(2))
    assert [metric.names for metric in task.val_metrics] == [
        ('image', 'point'), ('image', 'text'), ('point', 'text')
    ]  # fmt: skip
    with pytest.raises(BadInput, match='A batch has image, but not point, text'):
        task.training_step({'image': batch['image']}, 0)


def test_satclip_is_trained_as_published():
    task = make(model='satclip_resnet18_l10', towers=None, freeze=[r'^visual\.(?!fc\.)'])
    assert task.criterion.logit_scale is task.model.logit_scale
    kept, decayed = task.configure_optimizers().param_groups
    assert (kept['weight_decay'], decayed['weight_decay']) == (0, 0.01)
    assert all(value.ndim < 2 for value in kept['params'])
    assert any(value is task.model.logit_scale for value in kept['params'])
    names = {name for name, value in task.named_parameters() if value.requires_grad}
    assert names == {
        'model.logit_scale', 'model.visual.fc.weight', 'model.visual.fc.bias',
        *(f'model.location.nnet.{layer}.{kind}' for kind in ('weight', 'bias')
          for layer in ('layers.0', 'layers.1', 'last_layer')),
    }  # fmt: skip
    assert len(kept['params']) + len(decayed['params']) == len(names)
    before = task.model.visual.bn1.running_mean.clone()
    images = torch.rand(4, 13, 32, 32)
    made = [{'image': i, 'point': s['point']} for i, s in zip(images, samples(4), strict=True)]
    run_once(task, made)
    # statistics of what is frozen stay, unlike those of the published code
    assert torch.equal(task.model.visual.bn1.running_mean, before)
    assert task.model.location.training
    assert not task.model.visual.layer1.training


def test_towers_start_from_published_weights(monkeypatch):
    from torchgeo.models import resnet18

    donor = resnet18(in_chans=13, num_classes=0).state_dict() | {'fc.weight': torch.zeros(10, 512)}
    asked = []
    monkeypatch.setattr(contrastive_towers, 'read_state', lambda w: asked.append(w) or donor)
    name = 'ResNet18_Weights.SENTINEL2_ALL_MOCO'
    satclip = {'model': 'satclip_resnet18_l10', 'towers': None}
    task = make(**satclip, backbone_weights={'image': name})
    assert asked == [ResNet18_Weights.SENTINEL2_ALL_MOCO]
    assert torch.equal(task.model.visual.layer1[0].conv1.weight, donor['layer1.0.conv1.weight'])
    assert task.model.visual.fc.weight.shape == (256, 512)
    with pytest.raises(BadParameter, match="no tower 'picture'"):
        make(**satclip, backbone_weights={'picture': name})
    with pytest.raises(BadInput, match='missing'):
        make(model='satclip_resnet50_l10', towers=None, backbone_weights={'image': name})


def test_checkpoints_come_back(tmp_path):
    task = make(temperature=0.1, learn_temperature=False).eval()
    again, content = save_and_load(task, tmp_path / 'towers.ckpt')
    batch = batch_of(samples(3))
    for key, vectors in again.eval()(batch).items():
        assert torch.equal(vectors, task(batch)[key])
    assert not again.criterion.logit_scale.requires_grad
    assert content['hyper_parameters']['towers'] == NAMED
    modules = {'image': nn.Linear(2, 3), 'point': nn.Linear(2, 3)}
    with_modules = make(towers=modules)
    assert 'towers' not in with_modules.hparams
    assert with_modules.model['image'] is modules['image']


def test_what_cannot_be_is_refused():
    with pytest.raises(BadParameter, match='must have two entries'):
        make(towers={'image': 'tu-resnet18'})
    with pytest.raises(BadParameter, match='there is no model'):
        make(weights='SatCLIPTowers_Weights.S2_100K_VIT16_L40')
    with pytest.raises(BadParameter, match='No model is called'):
        make(towers=NAMED | {'text': 'nothing'})
    with pytest.raises(BadParameter, match='does not tell the length of its vectors'):
        make(towers=NAMED | {'other': {'model': 'tinycd'}})
    with pytest.raises(BadParameter, match='names no model'):
        make(towers=NAMED | {'other': {'in_chans': 3}})
    with pytest.raises(BadParameter, match="no part 'image' for image"):
        make(model='satclip_resnet18_l10', towers={'image': 'image', 'point': 'location'})
    with pytest.raises(BadParameter, match='found in no name'):
        make(freeze=['visual'])
    with pytest.raises(BadParameter, match='no parameter is left'):
        make(freeze=['.'])
