"""MFNet against the numbers of its published code, and what we added."""

import pytest
import torch
from einops import rearrange

from tests.models.parity import Reference
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import MFNet_Weights, mfnet_vitb, mfnet_vitl
from torchgeo_ext.models.mfnet import SIZES, MFNet, SAMSize

TINY = SAMSize(32, 3, 2, (2,))


@torch.no_grad()
@pytest.mark.parametrize('tuning', ['adapter', 'lora'])
def test_as_the_published_code(tuning):
    reference = Reference(f'manet_mm{tuning}_vit_b')
    model = reference.build(mfnet_vitb, tuning=tuning)
    image, heights = reference.inputs()
    x = torch.cat([image, heights[:, None]], dim=1)
    encoder = model.encoder
    both = torch.cat([image, heights[:, None].repeat(1, 3, 1, 1)])
    tokens = encoder.patch_embed(both)
    places = rearrange(encoder.places(tokens), '1 h w d -> 1 d h w')
    reference.check('pos_embed_resized_x1000', 1000 * places)
    states = [encoder.blocks[0](tokens + encoder.places(tokens))]
    for block in encoder.blocks[1:3]:
        states.append(block(states[-1]))
    for name, state in (('block0', states[0]), ('global_block', states[-1])):
        for modality, half in zip('xy', state.chunk(2), strict=True):
            reference.check(f'{name}_{modality}', half)
    encoded = model.encode(x)
    reference.check('neck_x', encoded[0])
    reference.check('neck_y', encoded[1])
    for level, features in enumerate(model.fuse(*encoded), 1):
        reference.check(f'fusion{level}', features)
    reference.check('logits', model(x))


@torch.no_grad()
@pytest.mark.parametrize('tuning', ['adapter', 'lora'])
@pytest.mark.parametrize(('bands', 'second'), [(2, 1), (7, 5), (6, 2)])
def test_any_bands_and_size(tuning, bands, second):
    torch.manual_seed(0)
    model = MFNet(TINY, bands, second, 3, tuning).eval()
    image = torch.rand(1, bands, 37, 130)
    logits = model(image)
    assert logits.shape == (1, 3, 37, 130)
    for band in range(bands):
        other = image.clone()
        other[:, band] += 1
        assert not torch.allclose(model(other), logits)


@pytest.mark.parametrize('tuning', ['adapter', 'lora'])
def test_only_what_was_added_is_tuned(tuning):
    torch.manual_seed(0)
    model = MFNet(TINY, 2, 1, 2, tuning, freeze_encoder=True)
    before = {key: value.clone() for key, value in model.named_parameters()}
    image = torch.rand(2, 2, 64, 64)
    labels = (image[:, 1] > 0.5).long()
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 1e-2)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(torch.nn.functional.cross_entropy(model(image), labels))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    for key, value in model.named_parameters():
        added = 'Adapter' in key or 'lora_' in key or not key.startswith('encoder.')
        assert torch.equal(value, before[key]) != added, key


def test_weights_of_segment_anything(publish, monkeypatch):
    monkeypatch.setitem(SIZES, 'vitb', TINY)
    plain = {
        key: torch.randn_like(value)
        for key, value in MFNet(TINY).state_dict().items()
        if key.startswith('encoder.') and 'Adapter' not in key
    }
    names = {'encoder.': 'image_encoder.', '.mlp.fc': '.mlp.lin'}
    published = {'prompt_encoder.not_a_point_embed.weight': torch.rand(1, 256)}
    for key, value in plain.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        published[key] = value
    publish(MFNet_Weights.SA1B_VITB, published)
    for tuning in ('adapter', 'lora'):
        model = mfnet_vitb(MFNet_Weights.SA1B_VITB, tuning=tuning)
        state = model.state_dict()
        for key, value in plain.items():
            torch.testing.assert_close(state[key], value)
        assert not model.encoder.blocks[0].attn.rel_pos_h.requires_grad
    wide = mfnet_vitb(MFNet_Weights.SA1B_VITB, in_chans=7, second_chans=1, freeze_encoder=False)
    first = plain['encoder.patch_embed.proj.weight']
    torch.testing.assert_close(wide.encoder.patch_embed.proj.weight, first.repeat(1, 2, 1, 1) / 2)
    assert wide.encoder.blocks[0].attn.rel_pos_h.requires_grad
    with pytest.raises(BadParameter, match='not of mfnet_vitl'):
        mfnet_vitl(MFNet_Weights.SA1B_VITB)


def test_additions_start_without_effect():
    torch.manual_seed(0)
    model = MFNet(TINY, 2, 1, 2, 'lora').eval()
    image = torch.rand(1, 2, 64, 64)
    before = model(image)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if 'lora_A' in key:
                value.add_(1)
    assert torch.equal(model(image), before)


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadParameter, match='both rasters must have bands'):
        MFNet(TINY, 3, 3)
    with pytest.raises(BadParameter, match="tuning is 'all'"):
        MFNet(TINY, tuning='all')
    with pytest.raises(BadInput, match='after those of the image'):
        MFNet(TINY)(torch.zeros(1, 3, 64, 64))
