"""SkySense's branches against PyTorch's own transformer, by the names of the published files."""

import pytest
import torch
from einops import rearrange

from torchgeo_ext.models import skysense_sentinel2_vitl
from torchgeo_ext.models.skysense import SkySense, SkySenseSize

TINY = SkySenseSize(32, 4, 2)


class Published(torch.nn.Module):
    """The same of PyTorch's layers, which the published ones wrap."""

    def __init__(self, size, in_chans):
        super().__init__()
        self.first = torch.nn.Conv2d(in_chans, size.width, 4, stride=4)
        self.places = torch.nn.Parameter(torch.randn(1, 17, size.width))
        self.layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(
                size.width,
                size.heads,
                4 * size.width,
                dropout=0,
                activation='gelu',
                layer_norm_eps=1e-6,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(size.depth)
        )

    def forward(self, x):
        tokens = self.first(x).flatten(2).mT + self.places[:, 1:]
        for layer in self.layers:
            tokens = layer(tokens)
            yield rearrange(tokens, 'b (h w) d -> b d h w', h=4)

    def file(self):
        names = {
            '.self_attn.': '.attn.attn.',
            '.norm1.': '.ln1.',
            '.norm2.': '.ln2.',
            '.linear1.': '.ffn.layers.0.0.',
            '.linear2.': '.ffn.layers.1.',
            'first.': 'patch_embed.projection.',
            'places': 'pos_embed',
        }
        state = {'cls_token': torch.rand(1, 1, 32), 'ctpe': torch.rand(1, 365, 8)}
        for key, value in self.state_dict().items():
            for ours, theirs in names.items():
                key = key.replace(ours, theirs)
            state[key] = value
        return state


@torch.no_grad()
@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_the_published_file_gives_what_its_layers_give(prefix):
    torch.manual_seed(0)
    published = Published(TINY, 10).eval()
    model = SkySense(TINY, 10).eval()
    model.load_state_dict({prefix + key: value for key, value in published.file().items()})
    image = torch.rand(2, 10, 16, 16)
    for ours, theirs in zip(model.feature_maps(image), published(image), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    model.load_state_dict(model.state_dict())


@torch.no_grad()
@pytest.mark.parametrize(('height', 'width'), [(37, 50), (64, 64)])
def test_any_bands_and_size(height, width):
    torch.manual_seed(0)
    model = SkySense(TINY, 3, num_classes=5).eval()
    image = torch.rand(2, 3, height, width)
    assert model(image).shape == (2, 5)
    for features, stage in zip(model.feature_maps(image), model.feature_info, strict=True):
        assert features.shape == (2, stage.channels, -(-height // 4), -(-width // 4))


def test_published_size():
    with torch.device('meta'):
        model = skysense_sentinel2_vitl()
    # 24 blocks of 12.6 million, patches of 10 x 4 x 4 numbers, 16 places
    assert sum(parameter.numel() for parameter in model.parameters()) == 302_490_624
