"""SatMAE++ against the numbers of its published code, and what we added."""

from argparse import Namespace

import numpy as np
import pytest
import torch
from einops import rearrange

from tests.models.parity import Reference
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import satmaepp_rgb_vitl, satmaepp_sentinel2_vitl
from torchgeo_ext.models.satmaepp import (
    SIZES,
    SatMAEPP,
    SatMAEPP_Weights,
    SatMAEPPMAE,
    SatMAEPPSize,
    rgb_layout,
    sentinel2_layout,
)

TINY = SatMAEPPSize(32, 2, 2, 8)


def check_encoder(name, size, layout):
    reference = Reference(name)
    model = reference.build(SatMAEPP, size=SIZES[size], layout=layout, num_classes=62)
    (image,) = reference.inputs()
    states = list(model.states(image))
    reference.check('block0', states[0])
    # deep features before a norm are as exact as their size allows
    reference.check(f'block{len(states) - 1}', states[-1], rtol=1e-3, atol=1e-3)
    reference.check('features', model.embed(image))
    reference.check('logits', model(image))


def check_autoencoder(name, size, layout, scales):
    reference = Reference(name)
    model = reference.build(SatMAEPPMAE, size=SIZES[size], layout=layout, scales=scales)
    images = list(reference.inputs())
    tokens = images[0][0, 0].numel() // layout.patch**2 * len(layout.groups)
    noise = torch.from_numpy(np.random.RandomState(1).random_sample((1, tokens))).float()
    reference.check('latent', model.encode(images[0], noise)[0])
    reconstructed, mask = model.reconstruct(images[0], noise)
    order = 'b c (h w) (p q)' if layout.grouped else 'b (h w) (p q c)'
    patches = rearrange(
        reconstructed[0], f'b c (h p) (w q) -> {order}', p=layout.patch, q=layout.patch
    )
    reference.check('mask', mask.unflatten(1, (3, -1)) if layout.grouped else mask)
    reference.check('pred', patches)
    for scale, image in enumerate(reconstructed[1:], 1):
        reference.check(f'pred_{2**scale}x', image)
    hidden, finer = model.losses(reconstructed, mask, images)
    reference.check('loss', hidden)
    reference.check('multiscale_loss', finer)


@torch.no_grad()
def test_colours_as_the_published_code():
    check_encoder('satmaepp_rgb_base', 'vitb', rgb_layout())
    check_autoencoder('satmaepp_rgb_mae_base', 'vitb', rgb_layout(), 1)


@torch.no_grad()
def test_sentinel2_as_the_published_code(large_parity):
    check_encoder('satmaepp_sentinel_large', 'vitl', sentinel2_layout())
    check_autoencoder('satmaepp_sentinel_mae_large', 'vitl', sentinel2_layout(), 2)


@pytest.mark.parametrize(
    ('reference', 'layout'),
    [('satmaepp_rgb_mae_base', rgb_layout()), ('satmaepp_sentinel_mae_large', sentinel2_layout())],
)
def test_positions_as_the_published_code(reference, layout):
    reference = Reference(reference)
    size = SatMAEPPSize(768 if not layout.grouped else 1024, 1, 8, 256)
    model = SatMAEPPMAE(size, layout, decoder=SatMAEPPSize(512, 1, 8, 128))
    reference.check('init_pos_embed', model.pos_embed)
    reference.check('init_decoder_pos_embed', model.decoder_pos_embed)
    if layout.grouped:
        reference.check('init_channel_embed', model.channel_embed)
        reference.check('init_decoder_channel_embed', model.decoder_channel_embed)


@torch.no_grad()
@pytest.mark.parametrize('layout', [rgb_layout(2), sentinel2_layout(2), sentinel2_layout(10)])
@pytest.mark.parametrize(('height', 'width'), [(37, 50), (96, 96)])
def test_any_bands_and_size(layout, height, width):
    torch.manual_seed(0)
    encoder = SatMAEPP(TINY, layout, num_classes=3).eval()
    image = torch.rand(2, layout.in_chans, height, width)
    assert encoder(image).shape == (2, 3)
    for features, stage in zip(encoder.feature_maps(image), encoder.feature_info, strict=True):
        rows, columns = (-(-side // stage.reduction) for side in (height, width))
        assert features.shape == (2, stage.channels, rows, columns)
    encoder.load_state_dict(encoder.state_dict())


@pytest.mark.parametrize('layout', [rgb_layout(2), sentinel2_layout(6)])
def test_the_autoencoder_learns_from_what_is_hidden(layout):
    torch.manual_seed(0)
    model = SatMAEPPMAE(TINY, layout, scales=1, decoder=TINY)
    image = torch.rand(2, layout.in_chans, 150, 100)
    first = model.eval()(image)
    assert torch.equal(first.loss, model(image).loss)
    assert first.target.shape == first.prediction.shape == first.hidden.shape
    assert first.hidden.float().mean() == pytest.approx(0.75, abs=0.01)
    model.train()
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        model(image).loss.mean().backward()
        optimizer.step()
    assert model.eval()(image).loss.mean() < 0.8 * first.loss.mean()


def test_the_encoder_takes_what_the_autoencoder_learned():
    trained = SatMAEPPMAE(TINY, sentinel2_layout(), decoder=TINY)
    torch.nn.init.normal_(trained.norm.weight)
    encoder = SatMAEPP(TINY, sentinel2_layout())
    encoder.load_state_dict(trained.state_dict() | {'channel_cls_embed': torch.zeros(1, 1, 8)})
    torch.testing.assert_close(encoder.fc_norm.weight, trained.norm.weight)
    torch.testing.assert_close(encoder.blocks[1].mlp.fc1.weight, trained.blocks[1].mlp.fc1.weight)


def test_what_is_no_partition_is_refused():
    with pytest.raises(BadParameter, match='bands 0 to 3 must be in one group'):
        sentinel2_layout(4, [[0, 1], [1, 2]])
    with pytest.raises(BadParameter, match=r'mask_ratio is 1\.0'):
        SatMAEPPMAE(TINY, rgb_layout(), mask_ratio=1.0)


def test_weights_know_their_preprocessing():
    for weights in SatMAEPP_Weights:
        preprocessing = weights.meta['preprocessing']
        image = torch.full((len(preprocessing.bands), 120, 120), 100.0)
        side = 96 if 'SENTINEL2' in weights.name else 224
        assert weights.transforms(image).shape == (len(preprocessing.bands), side, side)
    assert SatMAEPP_Weights.FMOW_RGB_MAE.meta['bands'] == ('B', 'G', 'R')


def test_published_weights_for_other_bands(publish, monkeypatch):
    monkeypatch.setitem(SIZES, 'vitl', TINY)
    trained = SatMAEPPMAE(TINY, sentinel2_layout(), scales=2, decoder=TINY).state_dict()
    names = {f'patch_embed.{group}.': f'patch_embed.{group}.proj.' for group in range(3)}
    published = {}
    for key, value in trained.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        published[key.replace('up_blocks.0', 'up_block1').replace('up_blocks.1', 'up_block2')] = (
            value
        )
    weights = SatMAEPP_Weights.SENTINEL2_FMOW_MAE
    publish(weights, {'model': published, 'epoch': 49, 'args': Namespace(batch_size=16)})
    same = satmaepp_sentinel2_vitl(weights).state_dict()
    torch.testing.assert_close(same['patch_embed.2.weight'], trained['patch_embed.2.weight'])
    torch.testing.assert_close(same['fc_norm.weight'], trained['norm.weight'])
    other = satmaepp_sentinel2_vitl(weights, in_chans=13, num_classes=5)
    assert [embed.in_channels for embed in other.patch_embed] == [4, 4, 4, 1]
    last = trained['patch_embed.2.weight'].mean(1, keepdim=True) * 2
    torch.testing.assert_close(other.patch_embed[3].weight, last)
    torch.testing.assert_close(other.blocks[0].attn.qkv.weight, trained['blocks.0.attn.qkv.weight'])
    with pytest.raises(BadParameter, match='not of satmaepp_rgb_vitl'):
        satmaepp_rgb_vitl(weights)
