"""Bundles of models that give more than one map."""

import pytest
import torch
from torch import nn

from tests.bundles.makers import BANDS, CLASSES, card, checkpoint
from tests.tasks.pairs import PixelNetwork, register
from torchgeo_ext.bundles import Band, read_bundle, read_checkpoint, write_bundle
from torchgeo_ext.bundles._predictor import Predictor
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.tasks import (
    BuildingDamage,
    ChangeQuestionAnswering,
    ConditionalChangeDetection,
    SemanticChangeDetection,
    SemiSupervisedChangeDetection,
)


def tiny_semantic(in_chans=3, num_classes=7):
    return PixelNetwork(in_chans, (2, num_classes, num_classes))


def tiny_damage(in_chans=3, num_classes=5):
    return PixelNetwork(in_chans, (2, num_classes))


class ChangeAlone(PixelNetwork):
    def forward(self, x):
        return super().forward(x)[0]


def tiny_change(in_chans=3):
    return ChangeAlone(in_chans, (1,))


class MapNetwork(nn.Module):
    """Adds what the map says to what a pixel looks like."""

    def __init__(self, in_chans, map_classes, num_classes):
        super().__init__()
        self.look = nn.Conv2d(2 * in_chans, num_classes, 1)
        self.remember = nn.Embedding(map_classes, num_classes)

    def forward(self, x, land_cover):
        return self.look(x.flatten(1, 2)) + self.remember(land_cover).movedim(-1, 1)

    def contrast(self, x, land_cover):
        raise NotImplementedError  # training only


def tiny_conditional(in_chans=3, map_classes=7, num_classes=2):
    return MapNetwork(in_chans, map_classes, num_classes)


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    for builder in (tiny_semantic, tiny_damage, tiny_change, tiny_conditional):
        register(monkeypatch, builder)
    torch.manual_seed(0)


TASKS = {
    'semantic_change': lambda: SemanticChangeDetection('tiny_semantic', num_classes=4),
    'building_damage': lambda: BuildingDamage('tiny_damage'),
    'damage in three levels': lambda: BuildingDamage('tiny_damage', levels=3),
    'map_update': lambda: ConditionalChangeDetection(
        'tiny_conditional', map_classes=4, semantic=True
    ),
    'where a map changed': lambda: ConditionalChangeDetection('tiny_conditional', map_classes=4),
    'change': lambda: SemiSupervisedChangeDetection('tiny_change'),
}


@pytest.mark.parametrize('name', TASKS)
def test_a_checkpoint_becomes_a_bundle_with_the_scores_of_the_task(name, tmp_path):
    task = TASKS[name]().eval()
    made = read_checkpoint(checkpoint(tmp_path / 'x.ckpt', task))
    write_bundle(tmp_path / 'bundle', made.card, made.load())
    bundle = read_bundle(tmp_path / 'bundle')
    assert bundle.card == made.card
    tasks = {'where a map changed': 'map_update', 'damage in three levels': 'building_damage'}
    assert bundle.card.task == tasks.get(name, name)
    stored = torch.randint(0, 256, (2, 2, 3, 8, 8)).float()
    land_cover = torch.randint(0, 4, (2, 8, 8))
    batch = {'image': stored / 255, 'mask_before': land_cover[:, None]}
    batch['mask'] = batch['mask_before']
    if bundle.card.task == 'map_update':
        stored = torch.cat([stored.flatten(1, 2), land_cover[:, None].float()], dim=1)
    with torch.inference_mode():
        scores = bundle.build()(stored)
        expected = task.predict_step(batch, 0)
    assert scores.shape == (2, bundle.card.outputs, 8, 8)
    maps = {key: scores[:, bands] for key, bands in bundle.card.maps.items()}
    if name == 'change':
        torch.testing.assert_close(scores[:, 0], expected)
        return
    first, *others = maps
    torch.testing.assert_close(maps[first][:, 0], expected[first])
    for other in others:
        best = maps[other].argmax(dim=1) + 1
        if name == 'map_update':
            best = best.where(expected['change'] > 0.5, land_cover)
        torch.testing.assert_close(best, expected[other])


class TextNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.answer = nn.Linear(1, 1)

    def forward(self, x, text, questions):
        raise NotImplementedError  # never asked


def tiny_answers(in_chans=3, num_classes=13, text_features=512):
    return TextNetwork()


class SeriesNetwork(PixelNetwork):
    def forward(self, x, series):
        return super().forward(x)


def tiny_series(in_chans=3, num_classes=7):
    return SeriesNetwork(in_chans, (2, num_classes, num_classes))


def test_what_makes_no_map_of_images_alone_says_so(monkeypatch, tmp_path):
    register(monkeypatch, tiny_answers)
    register(monkeypatch, tiny_series)
    task = ChangeQuestionAnswering('tiny_answers')
    assert task.predicts is None
    with pytest.raises(BadInput, match='ChangeQuestionAnswering classifies no pixels'):
        read_checkpoint(
            checkpoint(tmp_path / 'x.ckpt', task), architecture='ChangeQuestionAnswering'
        )
    assert SemanticChangeDetection('tiny_semantic').predicts == 'semantic_change'
    assert SemanticChangeDetection('tiny_series').predicts is None


def test_scores_of_maps_follow_each_other():
    made = card(task='semantic_change', dates=2)
    assert made.outputs == 1 + 2 * len(CLASSES)
    assert made.maps == {'change': slice(0, 1), 'before': slice(1, 4), 'after': slice(4, 7)}
    assert card().maps == {}


def test_dates_may_be_normalised_differently(tmp_path):
    after = tuple(Band(f'VV{i}', mean=i, std=2.0, nodata=-1) for i in range(3))
    made = card(
        task='change', dates=2, bands_after=after,
        architecture={'class': 'ChangeDetection', 'arguments': {
            'model': 'fcn', 'in_channels': 3, 'task': 'multiclass', 'num_classes': 3,
        }},
    )  # fmt: skip
    assert made.bands_of(0) == BANDS
    assert made.bands_of(1) == after
    x = torch.full((1, 2, 3, 4, 4), 5.0)
    seen = Predictor(nn.Identity(), made)._normalised(x)
    assert seen[0, 1, :, 0, 0].tolist() == [2.5, 2.0, 1.5]
    assert seen[0, 0, 0, 0, 0] == pytest.approx((5 * 1e-4 - 0.1 - 0.05) / 0.02)


@pytest.mark.parametrize(
    'changes',
    [
        {'task': 'semantic_change', 'dates': 1},
        {'bands_after': BANDS},
        {'dates': 2, 'bands_after': BANDS[:2]},
    ],
)
def test_contradictions_are_refused(changes):
    with pytest.raises(BadParameter, match=r'dates|bands_after'):
        card(**changes)
