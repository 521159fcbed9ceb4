"""The masked autoencoder of SpectralEarth's transformers."""

import pytest
import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import SpectralEarthMAE, spectralearth_vits
from torchgeo_ext.models.spectralearth import SIZES, SpectralEarthSize

TINY = SpectralEarthSize(32, 2, 2)
BANDS = 80


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SpectralEarthMAE(TINY, BANDS, mask_ratio=0.75).eval()


def image(height=16, width=16):
    return torch.rand(2, BANDS, height, width, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_places_are_hidden_with_all_their_bands(model):
    found = model(image())
    hidden = found.hidden.reshape(2, BANDS, 4, 4, 4, 4).movedim(3, 4)
    assert (hidden == hidden[:, :1, :, :, :1, :1]).all()
    assert found.hidden.float().mean() == 0.75
    assert found.target.shape == found.prediction.shape == image().shape
    places = found.target.reshape(2, BANDS, 4, 4, 4, 4).permute(0, 2, 4, 1, 3, 5).flatten(3)
    torch.testing.assert_close(places.mean(-1), torch.zeros(2, 4, 4), rtol=0, atol=1e-4)
    torch.testing.assert_close(places.var(-1), torch.ones(2, 4, 4), rtol=0, atol=1e-3)


@torch.no_grad()
def test_the_loss_is_that_of_the_hidden_places(model):
    found = model(image())
    square = (found.prediction - found.target).square()
    expected = (square * found.hidden).sum((1, 2, 3)) / found.hidden.sum((1, 2, 3))
    torch.testing.assert_close(found.loss, expected)


@torch.no_grad()
def test_what_is_hidden_is_not_seen(model):
    first = model(image())
    changed = torch.where(first.hidden, 9.0, image())
    torch.testing.assert_close(model(changed).prediction, first.prediction)
    assert not torch.allclose(
        model(torch.where(first.hidden, image(), 9.0)).prediction, first.prediction
    )


@torch.no_grad()
def test_with_nothing_hidden_it_encodes_as_the_backbone(model):
    every = torch.arange(16).expand(2, -1)
    tokens = model.encode(image(), every)
    torch.testing.assert_close(tokens[:, 0], model.encoder.embed(image()), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_sizes_that_are_no_multiple_of_a_patch(model):
    assert model(image(18, 13)).prediction.shape == (2, BANDS, 20, 16)


def test_the_backbone_takes_its_weights(monkeypatch, model):
    monkeypatch.setitem(SIZES, 'vits', TINY)
    backbone = spectralearth_vits(in_chans=BANDS)
    # the decoder is left out
    backbone.load_state_dict(model.state_dict())
    with torch.no_grad():
        same = backbone.eval().embed(image())
    torch.testing.assert_close(same, model.encoder.embed(image()))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [({'mask_ratio': 1.0}, 'mask_ratio is 1.0'), ({'in_chans': 74}, 'at least 75')],
)
def test_bad_input(arguments, message):
    with pytest.raises(BadParameter, match=message):
        SpectralEarthMAE(TINY, **arguments)
