"""LESS ViT against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import lessvit_base, lessvit_mae_base
from torchgeo_ext.models._less import LESSSize
from torchgeo_ext.models.lessvit import SIZES, LESSLayout, LESSViT, LESSViTMAE

TINY = LESSSize(32, 2, 2, band_width=4)
#: Nanometres that the published code brings to 0 and 1.
FIRST, LAST = 447.17, 2365.20


def wavelengths(reference):
    """Centres of all bands in micrometres, those of radar last."""
    values = [entry['values'] for entry in reference.facts['inputs'] if 'values' in entry]
    return tuple(centre / 1000 for centres in values for centre in centres)


def check(reference, layout, **arguments):
    model = reference.build(LESSViT, size=SIZES['base'], layout=layout, **arguments)
    images = list(reference.inputs())
    optical = images[0]
    embedded = model.optical_patch_embed(optical).flatten(2, 3)
    reference.check('patch_embed', embedded)
    image = torch.cat(images, dim=1)
    table, places, grid = model.tokens(image)
    turns, allowed = places.turns(*grid, table), places.allowed(*grid, table.device)
    block = model.blocks[0]
    reference.check('block0_attention', block.attn(block.norm1(table), turns, allowed))
    states = model.states(image)
    reference.check('block0', states[0])
    reference.check('last_hidden_state', model.norm(states[-1]), rtol=5e-4, atol=5e-4)
    reference.check('cls', model.embed(image))
    return model


@torch.no_grad()
def test_optical_and_radar_as_the_published_code():
    reference = Reference('lessvit_base_p16')
    layout = LESSLayout(wavelengths(reference), radar=2)
    reference.check_names(check(reference, layout))


@torch.no_grad()
def test_perception_field_as_the_published_code():
    reference = Reference('lessvit_base_p16_field')
    check(reference, LESSLayout(wavelengths(reference), radius=640))


@torch.no_grad()
def test_turned_positions_as_the_published_code():
    reference = Reference('lessvit_hypermae_p4_rope')
    shares = [1000 * share for share in wavelengths(reference)]
    centres = tuple((FIRST + share * (LAST - FIRST)) / 1000 for share in shares)
    layout = LESSLayout(centres, resolution=30, patch=4, positions='rope', radius=360)
    check(reference, layout, layer_scale=1.0)


def layout(bands=4, **options):
    centres = tuple(torch.linspace(0.45, 2.3, bands).tolist())
    return LESSLayout(centres, **{'resolution': 30, 'patch': 4, **options})


LAYOUTS = [layout(), layout(positions='rope'), layout(radius=150), layout(radar=2)]


@torch.no_grad()
def test_bands_are_known_by_their_wavelengths_and_not_by_their_places():
    torch.manual_seed(0)
    model = LESSViT(TINY, layout()).eval()
    image = torch.rand(1, 4, 16, 16)
    expected = model.embed(image)
    order = [2, 0, 3, 1]
    model.wavelengths = [model.wavelengths[n] for n in order]
    torch.testing.assert_close(model.embed(image[:, order]), expected)
    assert not torch.allclose(model.embed(image), expected)


@torch.no_grad()
def test_other_sensors_are_read_by_the_same_network():
    model = LESSViT(TINY, layout()).eval()
    model.wavelengths = [0.5, 0.6]
    assert model.embed(torch.rand(1, 2, 10, 9)).shape == (1, 32)
    with pytest.raises(BadInput, match='3 bands, but the network was given 2 wavelengths'):
        model(torch.rand(1, 3, 8, 8))
    with pytest.raises(BadParameter, match='micrometres'):
        model.wavelengths = [500, 600]


def test_wavelengths_that_nobody_gives_are_told(caplog, monkeypatch):
    monkeypatch.setitem(SIZES, 'base', TINY)
    assert lessvit_base().wavelengths[1] == pytest.approx(0.492, abs=0.001)
    assert not caplog.text
    lessvit_base(3)
    assert 'none are given of 3 bands' in caplog.text
    with pytest.raises(BadParameter, match='2 centres, but in_chans is 3'):
        lessvit_base(3, wavelengths=[0.5, 0.6])


@torch.no_grad()
@pytest.mark.parametrize('layout', LAYOUTS)
def test_what_is_hidden_does_not_reach_the_reconstruction(layout):
    torch.manual_seed(0)
    model = LESSViTMAE(TINY, TINY, layout).eval()
    image = torch.rand(2, 4, 18, 16)
    found = model(image)
    assert found.prediction.shape == found.target.shape == found.hidden.shape == (2, 4, 20, 16)
    changed = torch.where(found.hidden[..., :18, :], torch.rand_like(image), image)
    again = model(changed)
    assert torch.equal(again.hidden, found.hidden)
    assert torch.equal(again.prediction, found.prediction)
    assert not torch.equal(again.loss, found.loss)
    # three quarters of the places and two of four bands
    assert found.hidden.float().mean() == pytest.approx(1 - 0.25 * 0.5, abs=0.01)
    seen = torch.where(found.hidden[..., :18, :], image, image + 1)
    assert not torch.equal(model(seen).prediction, found.prediction)


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    model = LESSViTMAE(TINY, TINY, layout(), band_dropout=(0.2, 0.3))
    ramp = torch.linspace(-1, 1, 16)
    image = (ramp + ramp[:, None])[None, None] * torch.tensor([1.0, 0.5, -0.5, -1])[:, None, None]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        result = model(image.expand(4, -1, -1, -1))
        assert result.target.shape[1] in (2, 3)  # of four bands
        losses.append(result.loss.mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert torch.stack(losses[-20:]).mean() < 0.6 * torch.stack(losses[:20]).mean()


def test_the_encoder_of_a_trained_autoencoder_is_a_backbone(monkeypatch):
    monkeypatch.setitem(SIZES, 'base', TINY)
    monkeypatch.setitem(SIZES, 'decoder', TINY)
    trained = lessvit_mae_base(positions='rope')
    state = trained.encoder.state_dict()
    model = lessvit_base(positions='rope')
    model.load_state_dict(state)
    assert model.feature_maps(torch.rand(1, 13, 20, 33))[-1].shape == (1, 32, 2, 3)


@pytest.mark.parametrize(
    'arguments',
    [{'mask_ratio': 0}, {'mask_ratio': 1}, {'band_mask_ratio': -1}, {'band_dropout': (0, 1.5)}],
)
def test_shares_that_cannot_be(arguments):
    with pytest.raises(BadParameter, match='must be between 0 and 1'):
        LESSViTMAE(TINY, TINY, layout(), **arguments)


def test_an_autoencoder_of_a_single_band():
    with pytest.raises(BadParameter, match='two are always seen'):
        LESSViTMAE(TINY, TINY, layout(1))
