"""FUSU's model: its series, missing dates, and what differs from the published code."""

import pytest
import torch

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models import fusu
from torchgeo_ext.models._utae import UTAE

BANDS = 5


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return fusu(2, BANDS, semantic_classes=4, backbone='hrnet_w18_small').eval()


def inputs(dates=3, batch=2):
    generator = torch.Generator().manual_seed(1)
    pairs = torch.rand(batch, 2, 2, 37, 50, generator=generator)
    return pairs, torch.rand(batch, dates, BANDS, 13, 9, generator=generator)


@torch.no_grad()
def test_outputs(model):
    shapes = [logits.shape[1:] for logits in model(*inputs())]
    assert shapes == [(1, 37, 50), (4, 37, 50), (4, 37, 50), (4, 37, 50)]


@torch.no_grad()
def test_each_pair_has_its_own_series(model):
    """The published code gives all pairs of a batch the mean of the first one's series."""
    pairs, series = inputs()
    both = model(pairs, series)
    alone = model(pairs[1:], series[1:])
    for one, other in zip(both, alone, strict=True):
        torch.testing.assert_close(one[1:], other, rtol=1e-4, atol=1e-4)
    swapped = model(pairs, series.flip(0))
    assert not torch.allclose(both.before, swapped.before)
    # what the series alone tells does not see the images
    torch.testing.assert_close(both.series, swapped.series.flip(0), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_missing_dates_and_days():
    torch.manual_seed(0)
    encoder = UTAE(BANDS).eval()
    _, series = inputs()
    filled = torch.cat([series, torch.zeros_like(series[:, :2])], dim=1)
    torch.testing.assert_close(encoder(filled), encoder(series), rtol=1e-4, atol=1e-5)
    # without days their order does not matter, with days it does
    torch.testing.assert_close(encoder(series.flip(1)), encoder(series), rtol=1e-4, atol=1e-5)
    days = torch.tensor([[0.0, 200.0, 400.0]] * 2)
    assert not torch.allclose(encoder(series, days), encoder(series.flip(1), days), atol=1e-3)
    assert encoder(torch.zeros_like(series)).isfinite().all()


def test_everything_learns(model):
    model.train()
    sum(logits.square().mean() for logits in model(*inputs())).backward()
    still = [name for name, value in model.named_parameters() if value.grad is None]
    model.zero_grad()
    model.eval()
    assert still == []


def test_series_that_do_not_fit(model):
    pairs, series = inputs()
    for strange in (series[:1], series[:, :, :3], series[:, 0]):
        with pytest.raises(BadInput, match=r'not \(2, dates, 5, height, width\)'):
            model(pairs, strange)
