"""CVMH-UNet, built from its description: what its parts do, and what it starts from."""

import pytest
import torch
from torch import nn

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import VMamba_Weights
from torchgeo_ext.models.cvmhunet import CVMHUNet, HVSSBlock, MFMSBlock
from torchgeo_ext.models.vmamba import SIZES, VMambaClassifier, VMambaSize

SMALL = {'width': 16, 'depths': (1, 1, 1, 1)}


@pytest.mark.parametrize('diagonal', [True, False])
def test_every_parameter_learns(diagonal):
    torch.manual_seed(0)
    model = CVMHUNet(5, 3, diagonal=diagonal, **SMALL)
    logits = model(torch.rand(2, 5, 70, 50))
    assert logits.shape == (2, 3, 70, 50)
    logits.square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@torch.no_grad()
def test_the_block_adds_a_scan_and_convolutions():
    torch.manual_seed(0)
    block = HVSSBlock(16).eval()
    x = torch.rand(1, 5, 6, 16)
    for last in (block.op.out_proj, block.local[-1], block.mlp.fc2):
        before = block(x)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        assert not torch.equal(block(x), before)
    torch.testing.assert_close(block(x), x)


def test_frequencies_of_maps():
    fuse = MFMSBlock(16)
    own = fuse.frequencies
    torch.testing.assert_close(own[0], torch.full((7, 7), 1 / 49))
    # all others see differences alone, and no two see the same
    torch.testing.assert_close(own[1:].sum((1, 2)), torch.zeros(15), rtol=0, atol=1e-6)
    products = own.flatten(1) @ own.flatten(1).T * 49
    torch.testing.assert_close(products, torch.eye(16), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_gate_chooses_between_encoder_and_decoder():
    torch.manual_seed(0)
    fuse = MFMSBlock(16).eval()
    nn.init.zeros_(fuse.join.weight)
    nn.init.zeros_(fuse.join.bias)
    fuse.join.weight[:, :16, 0, 0] = torch.eye(16)
    encoded, decoded = torch.rand(2, 1, 16, 9, 8)
    fused = fuse(encoded, decoded)
    low, high = torch.minimum(encoded, decoded), torch.maximum(encoded, decoded)
    assert ((fused >= low) & (fused <= high)).all()
    norm = fuse.points[-1]
    norm.bias.fill_(100)
    torch.testing.assert_close(fuse(encoded, decoded), encoded)
    norm.bias.fill_(-100)
    torch.testing.assert_close(fuse(encoded, decoded), decoded)


def test_a_width_that_cannot_be_shared_out_is_refused():
    with pytest.raises(BadParameter, match='channels is 40; it must be a multiple of 16'):
        CVMHUNet(width=40)


@pytest.mark.parametrize('diagonal', [True, False])
def test_the_encoder_starts_from_vmamba(publish, monkeypatch, diagonal):
    monkeypatch.setitem(SIZES, 'tiny', VMambaSize(16, (1, 2, 1, 1), 0.1))
    published = VMambaClassifier(SIZES['tiny']).state_dict()
    weights = VMamba_Weights.IMAGENET_TINY
    publish(weights, {'model': published})
    model = CVMHUNet(6, 3, diagonal=diagonal, backbone_weights=weights, **SMALL)
    own = model.encoder.state_dict()
    torch.testing.assert_close(
        own['patch_embed.0.weight'], published['patch_embed.0.weight'].repeat(1, 2, 1, 1) / 2
    )
    for name in ('x_proj_weight', 'dt_projs_bias', 'A_logs', 'Ds'):
        key = f'layers.1.blocks.0.op.{name}'
        expected = published[key]
        if diagonal:
            expected = torch.cat([expected, expected])
        torch.testing.assert_close(own[key], expected)
    key = 'layers.2.blocks.0.mlp.fc1.weight'
    assert torch.equal(own[key], published[key])
    with pytest.raises(BadParameter, match=r'width is 32, but that of .* is 16'):
        CVMHUNet(width=32, backbone_weights=weights)


def test_it_learns_to_segment():
    torch.manual_seed(0)
    model = CVMHUNet(1, 2, **SMALL)
    image = torch.rand(4, 1, 32, 32)
    labels = (nn.functional.avg_pool2d(image, 5, 1, 2) > 0.5).long()[:, 0]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(image), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
