"""Scanning images in four directions."""

import pytest
import torch

from torchgeo_ext.layers import CS2D, SS2D, TextSS2D, VSSBlock, selective_recurrence
from torchgeo_ext.layers.ss2d import cross_merge, cross_scan, diagonals


def test_order_of_the_directions():
    image = torch.arange(6.0).view(1, 2, 3, 1)
    rows, columns, rows_back, columns_back = cross_scan(*[image] * 4)[0, :, :, 0].T.tolist()
    assert rows == [0, 1, 2, 3, 4, 5]
    assert columns == [0, 3, 1, 4, 2, 5]
    assert rows_back == rows[::-1]
    assert columns_back == columns[::-1]


def test_merging_brings_every_pixel_back():
    image = torch.rand(2, 4, 5, 3)
    torch.testing.assert_close(cross_merge(cross_scan(*[image] * 4), 4, 5), 4 * image)


def test_order_of_the_diagonals():
    rising, falling = diagonals(2, 3).tolist()
    assert rising == [0, 1, 3, 2, 4, 5]
    assert falling == [2, 1, 5, 0, 4, 3]


def test_eight_directions_bring_every_pixel_back():
    image = torch.rand(2, 4, 5, 3)
    sequences = CS2D.read([image] * 8)
    torch.testing.assert_close(sequences[:, :, :4], cross_scan(*[image] * 4))
    torch.testing.assert_close(sequences[:, :, 4], image.flatten(1, 2)[:, diagonals(4, 5)[0]])
    torch.testing.assert_close(sequences[:, :, 7], sequences[:, :, 5].flip(1))
    torch.testing.assert_close(CS2D.write(sequences, 4, 5), 8 * image)


def test_same_as_the_recurrence_direction_by_direction():
    torch.manual_seed(0)
    layer = SS2D(8, states=2).double()
    image = torch.rand(1, 3, 4, 16, dtype=torch.float64)
    sequences = cross_scan(*[image] * 4)
    outputs = []
    for k in range(4):
        x = sequences[:, :, k].transpose(1, 2)
        raw, b, c = torch.einsum('bdl,rd->brl', x, layer.x_proj_weight[k]).split([1, 2, 2], dim=1)
        own = slice(16 * k, 16 * (k + 1))
        outputs.append(
            selective_recurrence(
                x,
                torch.einsum('brl,dr->bdl', raw, layer.dt_projs_weight[k]),
                -layer.A_logs[own].exp(),
                b[:, None],
                c[:, None],
                layer.Ds[own],
                layer.dt_projs_bias[k],
                delta_softplus=True,
            )
        )
    expected = cross_merge(torch.stack(outputs, dim=1).permute(0, 3, 1, 2), 3, 4)
    torch.testing.assert_close(layer.scan(image), expected)


@pytest.mark.parametrize('kind', [SS2D, CS2D])
def test_every_pixel_sees_every_other(kind):
    torch.manual_seed(0)
    layer = kind(8)
    image = torch.rand(1, 5, 6, 8, requires_grad=True)
    layer(image)[0, 2, 3].sum().backward()
    assert (image.grad.abs().sum(-1) > 0).all()


def test_block_learns():
    torch.manual_seed(0)
    block = VSSBlock(8, drop_path=0.5)
    block(torch.rand(2, 4, 6, 8)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_text_starts_without_effect():
    torch.manual_seed(0)
    plain = SS2D(8)
    layer = TextSS2D(8, text_features=5)
    layer.load_state_dict(plain.state_dict(), strict=False)
    image = torch.rand(2, 4, 6, 8)
    torch.testing.assert_close(layer(image, torch.rand(2, 5)), plain(image))


def test_text_steers_the_scan_of_its_own_image():
    torch.manual_seed(0)
    layer = TextSS2D(8, text_features=5)
    torch.nn.init.normal_(layer.text_proj.weight)
    image, text = torch.rand(1, 4, 6, 8).expand(2, -1, -1, -1), torch.rand(2, 5)
    one, other = layer(image, text)
    assert not torch.allclose(one, other, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer(image[:1], text[:1])[0], one)
    layer(image, text).square().mean().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
