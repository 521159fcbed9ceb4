"""The change losses: values worked out by hand, and that they can be learnt from."""

import math

import pytest
import torch

from torchgeo_ext.losses import (
    BalancedContrastiveLoss,
    ChangeMaskLoss,
    ContentLoss,
    MapContrastiveLoss,
    SeKLoss,
    UnchangedSimilarityLoss,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def logits_of(classes, count, sure=20.0):
    return sure * torch.nn.functional.one_hot(classes, count).movedim(-1, 1).float()


def test_unchanged_similarity_counts_unchanged_pixels_only():
    before = logits_of(torch.tensor([[[0, 1]]]), 2)
    after = logits_of(torch.tensor([[[1, 0]]]), 2)
    loss = UnchangedSimilarityLoss()
    assert loss(before, after, torch.tensor([[[False, False]]])) == 0
    # two classes of one of two pixels are off by one
    assert loss(before, after, torch.tensor([[[True, False]]])).item() == pytest.approx(0.5)


@pytest.fixture
def labels():
    return torch.tensor([[[0, 1, 1], [2, 2, 3], [-1, 3, 0]]])


def test_sek_is_zero_when_all_is_right_or_nothing_changed(labels):
    right = logits_of(labels.clamp(min=0), 4)
    assert SeKLoss()(right, right, labels, labels).item() == pytest.approx(0, abs=1e-4)
    assert SeKLoss()(right, right, labels * 0, labels * 0) == 0


def test_sek_by_hand(labels):
    # half sure of the right class, half of the next: kappa and IoU can be counted
    probabilities = logits_of(labels.clamp(min=0), 4, 1.0) / 2
    probabilities += logits_of(labels.clamp(min=1) % 3 + 1, 4, 1.0) / 2
    logits = (probabilities + 1e-12).log()
    # observed 1/2; two pixels of each class make expected 1/3; IoU 1 / (2 + 2 - 1)
    kappa, iou = (1 / 2 - 1 / 3) / (1 - 1 / 3), 1 / 3
    expected = -math.log(kappa * math.exp(1.5 * iou)) - 0.5 * math.log(iou)
    found = SeKLoss()(logits, logits, labels, labels)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_sek_of_worse_than_chance_is_finite_and_can_be_learnt_from(labels):
    wrong = logits_of(labels.clamp(min=1) % 3 + 1, 4, 3.0).requires_grad_()
    loss = SeKLoss()(wrong, wrong, labels, labels)
    loss.backward()
    assert loss.isfinite()
    assert wrong.grad.isfinite().all()
    assert wrong.grad.abs().sum() > 0


def test_content_of_equal_dates():
    features = [torch.rand(2, 4, 8, 8), torch.rand(2, 3, 16, 16)]
    focus = [torch.rand(2, 1, 8, 8), torch.rand(2, 1, 16, 16)]
    assert ContentLoss()(features, features, focus).item() == pytest.approx(1)


def test_content_weights_leave_likeness_as_it_is():
    before, after = torch.rand(2, 1, 4, 8, 8).unbind()
    losses = []
    for focus in (0.2, 0.7):
        torch.manual_seed(1)
        losses.append(ContentLoss()([before], [after], [torch.full((1, 1, 8, 8), focus)]))
    torch.testing.assert_close(losses[0], losses[1])


def test_map_contrast_by_hand():
    land_cover = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 1, 4)
    after = land_cover.clone()
    after[0, :, 0, 3] = torch.tensor([0.6, 0.8])  # its cosine with the map is 0.6
    change = torch.tensor([[[0, 0, -1, 1]]])
    loss = MapContrastiveLoss()(land_cover, after, land_cover, change)
    assert loss.item() == pytest.approx(-1 + 0.6)
    loss = MapContrastiveLoss(balance=False)(land_cover, after, land_cover, change)
    assert loss.item() == pytest.approx((-6 + 0.6) / 7)
    loss = MapContrastiveLoss(margin=0.5)(land_cover, after, land_cover, change)
    assert loss.item() == pytest.approx(-1 + 0.1 + 0.5)
    assert MapContrastiveLoss()(land_cover, after, land_cover, 0 * change) < 0


def test_balanced_contrast_by_hand():
    before = torch.zeros(1, 1, 1, 4)
    after = torch.tensor([[[[3.0, 1.0, 0.5, 9.0]]]])
    change = torch.tensor([[[0, 0, 1, -1]]])
    loss = BalancedContrastiveLoss()(before, after, change)
    assert loss.item() == pytest.approx(((9 + 1) / 2 + 1.5**2) / 2)
    still = before.clone().requires_grad_()
    BalancedContrastiveLoss()(still, before, change).backward()
    assert still.grad.isfinite().all()


def test_change_mask_prefers_the_mask_that_fits():
    change = torch.tensor([[[1, 1, 0, 0]] * 4])
    fits, misses = (change * 2.0 - 1) * 20, (1 - change * 2.0) * 20
    masks = torch.stack([misses, fits], dim=1)
    sure = torch.tensor([[[9.0, -9.0], [-9.0, 9.0]]])
    loss = ChangeMaskLoss()
    assert loss([(sure, masks)], change) < 1e-3
    assert loss([(sure, masks)] * 3, change) < 3e-3
    assert loss([(sure.flip(1), masks)], change) > 5
    assert loss([(sure, masks.flip(1))], change) > 5


def test_change_mask_ignores_unknown_pixels():
    change = torch.tensor([[[1, 1, 0, -1]] * 4])
    masks = torch.randn(1, 3, 4, 4)
    other = masks.clone()
    other[..., 3] += 5
    classes = torch.randn(1, 3, 2)
    torch.testing.assert_close(
        ChangeMaskLoss()([(classes, masks)], change), ChangeMaskLoss()([(classes, other)], change)
    )


@pytest.mark.parametrize('value', [0, 1, -1])
def test_change_mask_of_even_images(value):
    classes = torch.randn(2, 3, 2, requires_grad=True)
    masks = torch.randn(2, 3, 2, 2, requires_grad=True)
    ChangeMaskLoss()([(classes, masks)], torch.full((2, 8, 8), value)).backward()
    assert classes.grad.abs().sum() > 0
    assert (masks.grad.abs().sum() > 0) == (value == 1)
