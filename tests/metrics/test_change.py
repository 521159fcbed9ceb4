"""The change metrics against the numbers of the published evaluators."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics import (
    BinaryChange,
    SemanticChangeByDate,
    SemanticChangeByPair,
    SemanticChangeSegmentation,
    XView2Score,
)

GOLDEN = Path(__file__).parents[1] / 'golden' / 'parity' / 'metrics_change.json'
FACTS = json.loads(GOLDEN.read_text())


@pytest.fixture(scope='module')
def maps():
    """Labels and predictions, drawn as the reference says."""
    random = np.random.RandomState(FACTS['seed'])
    shape = FACTS['shape']
    gt = random.random_sample(shape) < FACTS['p_change']
    t1, t2 = random.randint(1, 7, shape), random.randint(1, 7, shape)
    flip = random.random_sample(shape) < 0.1
    e1, e2 = random.random_sample(shape) < 0.3, random.random_sample(shape) < 0.3
    w1, w2 = random.randint(1, 7, shape), random.randint(1, 7, shape)
    ignore = random.random_sample(shape) < 0.05
    damage = random.randint(1, 5, shape)
    wrong = random.random_sample(shape) < 0.4
    damage_preds = np.where(wrong, random.randint(0, 5, shape), damage)
    pred = gt ^ flip
    drawn = {
        'gt': gt.astype(int),
        'pred': pred.astype(int),
        't2': t2,
        'p1': np.where(e1, w1, t1),
        'p2': np.where(e2, w2, t2),
        't1': t1,
        'ignore': ignore,
        'damage': damage * gt,
        'damage_preds': damage_preds,
    }
    return {key: torch.from_numpy(value) for key, value in drawn.items()}


def update_one_by_one(metric, *arrays):
    """As in a test loop: image after image."""
    for images in zip(*arrays, strict=True):
        metric.update(*(image[None] for image in images))
    return {key: float(value) for key, value in metric.compute().items()}


def check(found, expected):
    """Compare under our names; ``expected`` may have more."""
    for key, name in expected.items():
        assert found[key] == pytest.approx(name, abs=1e-6), key


def pairs(maps):
    preds = torch.stack((maps['p1'], maps['p2']), dim=1) * maps['pred'][:, None]
    target = torch.stack((maps['t1'], maps['t2']), dim=1) * maps['gt'][:, None]
    return preds, target


def test_the_arrays_are_those_of_the_reference(maps):
    assert int(maps['gt'].sum()) == FACTS['check']['gt_sum']
    assert int(maps['pred'].sum()) == FACTS['check']['pred_sum']
    assert int(maps['p2'].sum()) == FACTS['check']['p2_sum']
    assert int(maps['damage_preds'].sum()) == FACTS['check']['pdmg_sum']


@pytest.mark.parametrize('case', ['binary', 'binary_with_ignore_255'])
def test_binary(maps, case):
    target = maps['gt']
    if 'ignore' in case:
        target = target.where(~maps['ignore'], 255)
    found = update_one_by_one(BinaryChange(ignore_index=255), maps['pred'], target)
    check(found, {key: FACTS[case][key] for key in found})


def test_binary_as_bit_and_its_followers_count(maps):
    found = update_one_by_one(BinaryChange(), maps['pred'], maps['gt'])
    names = {'precision': 'precision_1', 'recall': 'recall_1', 'f1': 'F1_1', 'iou': 'iou_1'}
    reference = FACTS['binary_bit_style']
    check(found, {key: reference[name] for key, name in names.items()} | {'oa': reference['acc']})


@pytest.mark.parametrize(
    ('metric', 'case'),
    [(SemanticChangeByDate, 'scd_per_date_7'), (SemanticChangeByPair, 'scd_pair_encoding_37')],
)
def test_semantic(maps, metric, case):
    found = update_one_by_one(metric(num_classes=6), *pairs(maps))
    reference = FACTS[case]
    names = {key: key.replace('_', '') for key in found}
    check(found, {key: reference[name] for key, name in names.items()})


def test_counts_of_semantic_change(maps):
    metric = SemanticChangeByDate(num_classes=6)
    metric.update(*pairs(maps))
    expected = FACTS['scd_per_date_7']['confusion_rows_pred_cols_label']
    assert metric.confmat.T.tolist() == expected


def test_score_of_fusu(maps):
    metric = SemanticChangeByDate(num_classes=6, iou_weight=0.5)
    found = update_one_by_one(metric, *pairs(maps))
    assert found['score'] == pytest.approx((found['miou'] + found['sek']) / 2)


@pytest.mark.parametrize('metric', [SemanticChangeByDate, SemanticChangeByPair])
def test_a_pixel_ignored_in_one_date_counts_in_none(maps, metric):
    preds, target = pairs(maps)
    half = target.clone()
    half[:, 0, :32] = -1
    without = metric(num_classes=6)
    without.update(preds[..., 32:, :], target[..., 32:, :])
    found = metric(num_classes=6)
    found.update(preds, half)
    torch.testing.assert_close(found.compute(), without.compute())


def test_unchanged_in_one_date_only_is_unchanged():
    metric = SemanticChangeByPair(num_classes=2)
    metric.update(torch.tensor([[[[2]], [[0]]]]), torch.zeros(1, 2, 1, 1, dtype=torch.long))
    assert metric.confmat[0, 0] == 1


def test_shapes_of_semantic_change():
    with pytest.raises(BadInput, match='batch, 2, height, width'):
        SemanticChangeByDate(num_classes=2).update(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))


@pytest.mark.parametrize(
    ('mask_damage', 'case'), [(False, 'damage_xview2'), (True, 'damage_xview2_torchange')]
)
def test_xview2(maps, mask_damage, case):
    metric = XView2Score(mask_damage)
    found = update_one_by_one(metric, maps['pred'], maps['damage_preds'], maps['damage'])
    reference = FACTS[case]
    check(
        found,
        {
            'building_f1': reference['loc_f1'],
            'damage_f1': reference['clf_f1'],
            'score': reference['overall'],
        },
    )
    levels = [found[f'{name}_f1'] for name in ('no_damage', 'minor_damage')]
    assert levels == pytest.approx(reference['per_class_f1'][:2], abs=1e-6)


def test_xview2_takes_logits(maps):
    logits = maps['pred'] * 8.0 - 4
    arrays = maps['damage_preds'], maps['damage']
    expected = update_one_by_one(XView2Score(), maps['pred'], *arrays)
    assert update_one_by_one(XView2Score(), logits, *arrays) == pytest.approx(expected)


def test_bc_sc_scs(maps):
    target = maps['gt'].where(~maps['ignore'], 255)
    metric = SemanticChangeSegmentation(num_classes=6, ignore_index=255)
    found = update_one_by_one(metric, maps['pred'], maps['p2'] - 1, target, maps['t2'] - 1)
    reference = FACTS['mapformer_bc_sc_scs']
    names = {'bc': 'BC', 'sc': 'SC', 'scs': 'SCS', 'miou': 'mIoU'}
    check(found, {key: reference[name] for key, name in names.items()})


@pytest.mark.parametrize(('label', 'predicted'), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_nothing_to_divide_by(label, predicted):
    target = torch.full((2, 2, 8, 8), 3 * label)
    preds = torch.full((2, 2, 8, 8), 3 * predicted)
    semantic = SemanticChangeByDate(num_classes=6)
    semantic.update(preds, target)
    binary = BinaryChange()
    binary.update(preds[:, 0].clamp(max=1), target[:, 0].clamp(max=1))
    for found in (semantic.compute(), binary.compute()):
        assert all(0 <= value <= 1 for value in found.values())
        assert found['oa'] == (label == predicted)
        assert found['kappa'] == 0


def test_reset_forgets(maps):
    metric = SemanticChangeByDate(num_classes=6)
    metric.update(*pairs(maps))
    metric.reset()
    assert metric.images == 0
    assert metric.confmat.sum() == 0


def test_xview2_of_three_levels():
    target = torch.tensor([[[0, 1, 2, 3, 3]]])
    score = XView2Score(levels=3)
    score.update((target > 0).long(), torch.tensor([[[0, 1, 2, 3, 2]]]), target)
    figures = score.compute()
    f1s = 1, 2 / 3, 2 / 3
    names = ('intact_f1', 'damaged_f1', 'destroyed_f1')
    assert [figures[name].item() for name in names] == pytest.approx(f1s)
    assert figures['damage_f1'].item() == pytest.approx(3 / sum(1 / f1 for f1 in f1s), rel=1e-5)
    with pytest.raises(BadParameter, match=r'levels is 5; it must be 3 \(BRIGHT\) or 4'):
        XView2Score(levels=5)
