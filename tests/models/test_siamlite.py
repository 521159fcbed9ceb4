"""SiamLite: what it does not look at, and that it learns."""

import pytest
import torch

from torchgeo_ext.models import SiamLite, siamlite
from torchgeo_ext.models.siamlite import standardise


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return siamlite(in_channels=3).eval()


def pairs(*size):
    return torch.rand(2, 2, 3, *size, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize('size', [(1, 1), (8, 9), (37, 50)])
def test_any_size(model, size):
    logits = model(pairs(*size))
    assert logits.shape == (2, 1, *size)
    assert logits.isfinite().all()


@torch.no_grad()
def test_gain_offset_and_order_of_dates_do_not_matter(model):
    given = pairs(40, 40)
    gain = torch.tensor([2.0, 100.0, 5000.0]).reshape(3, 1, 1)
    changed = torch.stack((given[:, 0], given[:, 1] * gain + 3), dim=1)
    expected = model(given)
    torch.testing.assert_close(model(changed), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(model(given.flip(1)), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_images_of_a_batch_do_not_mix(model):
    batch = pairs(40, 40)
    torch.testing.assert_close(model(batch)[1:], model(batch[1:]), rtol=1e-4, atol=1e-5)


def test_missing_pixels_do_not_count():
    image = 5 + torch.rand(1, 3, 20, 20)
    image[..., 5:, :] = 0
    standard = standardise(image)
    assert (standard[..., 5:, :] == 0).all()
    torch.testing.assert_close(standard[..., :5, :], standardise(image[..., :5, :]))


def test_bands_of_one_value_say_nothing():
    image = torch.rand(3, 20, 20)
    image[1] = 12345.678
    standard = standardise(image)
    assert (standard[1] == 0).all()
    torch.testing.assert_close(standard.std(dim=(1, 2), correction=0)[::2], torch.ones(2))
    assert (standardise(torch.zeros(3, 8, 8)) == 0).all()


def test_it_learns():
    torch.manual_seed(0)
    model = siamlite(in_channels=2, num_classes=1).train()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    image = torch.rand(4, 1, 2, 32, 32).repeat(1, 2, 1, 1, 1)
    image[:, 1, :, 8:20, 8:20] += 1
    truth = torch.zeros(4, 1, 32, 32)
    truth[..., 8:20, 8:20] = 1
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(image), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_it_is_small():
    model = SiamLite(in_channels=4)
    assert sum(p.numel() for p in model.parameters()) * 4 < 5e6
    assert SiamLite(2, 3, widths=(4, 8))(torch.rand(1, 2, 2, 9, 9)).shape == (1, 3, 9, 9)
