"""SemiCD-VL's network: what it tells for training agrees with what it tells for use."""

import torch

from torchgeo_ext.models import semicdvl


@torch.no_grad()
def test_change_is_the_same_with_and_without_guidance():
    torch.manual_seed(0)
    model = semicdvl(in_chans=4, semantic_classes=3).eval()
    pair = torch.rand(2, 2, 4, 37, 50)
    told = model.guided(pair)
    torch.testing.assert_close(told.change, model(pair))
    assert told.pseudo.shape == (2, 2, 37, 50)
    assert not torch.allclose(told.pseudo, told.change)
    assert told.before.shape == told.after.shape == (2, 3, 37, 50)
    assert told.distance.shape == (2, 37, 50)
    assert told.distance.min() > 0
    swapped = model.guided(pair.flip(1))
    torch.testing.assert_close(swapped.change, told.change)
    torch.testing.assert_close(swapped.before, told.after)


def test_equal_dates_have_no_distance_and_a_finite_gradient():
    model = semicdvl().eval()
    image = torch.rand(1, 1, 3, 32, 32).expand(-1, 2, -1, -1, -1).clone().requires_grad_()
    distance = model.guided(image).distance
    assert distance.max() < 1e-5
    distance.sum().backward()
    assert image.grad.isfinite().all()
