"""BIT, the bitemporal image transformer.

Chen, H., Qi, Z., Shi, Z. (2022). Remote sensing image change detection with transformers. IEEE
TGRS 60. https://arxiv.org/abs/2103.00208

Axes: b batch, t date, c channel, h height, w width, l tokens, n heads, d features of a head.
"""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import accept_published_names, load_fitting, read_state

_WIDTH = 32
_HEADS = 8


class _Attention(nn.Module):
    """Attention of queries to keys that are projected apart, or to themselves."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        inner = _HEADS * head_width
        self.to_q = nn.Linear(_WIDTH, inner, bias=False)
        self.to_k = nn.Linear(_WIDTH, inner, bias=False)
        self.to_v = nn.Linear(_WIDTH, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, _WIDTH))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Let x (b, l, c) look at memory (b, m, c)."""
        q, k, v = (
            rearrange(project(source), 'b l (n d) -> b n l d', n=_HEADS)
            for project, source in ((self.to_q, x), (self.to_k, memory), (self.to_v, memory))
        )
        # scaled by the width of the tokens, not of a head
        seen = F.scaled_dot_product_attention(q, k, v, scale=_WIDTH**-0.5)
        return self.to_out(rearrange(seen, 'b n l d -> b l (n d)'))


class _Normalised(nn.Module):
    """Adds to x what a module makes of the normalised x (and memory)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_WIDTH)
        self.inner = inner

    def forward(self, x: Tensor, *memory: Tensor) -> Tensor:
        """Keep the shape of x."""
        return x + self.inner(self.norm(x), *(self.norm(tokens) for tokens in memory))


class _Layer(nn.Module):
    """Attention and a perceptron."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.attention = _Normalised(_Attention(head_width))
        self.perceptron = _Normalised(
            nn.Sequential(nn.Linear(_WIDTH, 2 * _WIDTH), nn.GELU(), nn.Linear(2 * _WIDTH, _WIDTH))
        )

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Keep the shape of x."""
        return self.perceptron(self.attention(x, memory))


class BIT(nn.Module):
    """BIT on a ResNet-18 without its last stage.

    Each date is condensed to a few semantic tokens; the tokens of both dates see each other, and
    the pixels of each date look at its tokens. The absolute difference of the dates is classified.

    The authors publish weights trained on LEVIR-CD for research only (links in
    https://github.com/justchenhao/BIT_CD); ``load_state_dict`` takes their ``best_ckpt.pt`` as it
    is. They are for RGB from -1 to 1.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        tokens: Semantic tokens of each date.
        decoder_depth: Layers in which pixels look at tokens.
    """

    def __init__(
        self, in_chans: int = 3, num_classes: int = 2, tokens: int = 4, decoder_depth: int = 8
    ) -> None:
        super().__init__()
        backbone = resnet18()
        if in_chans != 3:
            backbone.conv1 = nn.Conv2d(in_chans, 64, 7, stride=2, padding=3, bias=False)
        # the third stage keeps the resolution
        backbone.layer3[0].conv1.stride = backbone.layer3[0].downsample[0].stride = (1, 1)
        # up to that stage
        self.resnet = nn.Sequential(OrderedDict(islice(backbone.named_children(), 7)))
        self.conv_pred = nn.Conv2d(256, _WIDTH, 3, padding=1)
        self.conv_a = nn.Conv2d(_WIDTH, tokens, 1, bias=False)
        self.pos_embedding = nn.Parameter(torch.randn(1, 2 * tokens, _WIDTH))
        self.encoder = _Layer(head_width=64)
        self.decoder = nn.ModuleList(_Layer(head_width=8) for _ in range(decoder_depth))
        self.classifier = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False),
            nn.BatchNorm2d(_WIDTH),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, num_classes, 3, padding=1),
        )
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        height, width = x.shape[-2:]
        dates = [self.encode(image) for image in two_dates(x, multiple=8)]
        tokens = torch.cat([self.tokenize(features) for features in dates], dim=1)
        tokens = tokens + self.pos_embedding
        tokens = self.encoder(tokens, tokens)
        before, after = (
            self._decode(features, own)
            for features, own in zip(dates, tokens.chunk(2, dim=1), strict=True)
        )
        difference = F.interpolate((before - after).abs(), scale_factor=4, mode='bilinear')
        return self.classifier(difference)[..., :height, :width]

    def encode(self, image: Tensor) -> Tensor:
        """Give the features (b, c=32, h/4, w/4) of one date (b, c, h, w)."""
        return self.conv_pred(F.interpolate(self.resnet(image), scale_factor=2))

    def tokenize(self, features: Tensor) -> Tensor:
        """Condense features (b, c, h, w) to tokens (b, l, c)."""
        attention = self.conv_a(features).flatten(2).softmax(dim=-1)
        return torch.einsum('blp,bcp->blc', attention, features.flatten(2))

    def _decode(self, features: Tensor, tokens: Tensor) -> Tensor:
        pixels = rearrange(features, 'b c h w -> b (h w) c')
        for layer in self.decoder:
            pixels = layer(pixels, tokens)
        return rearrange(pixels, 'b (h w) c -> b c h w', h=features.shape[2])


#: Names of the published code and ours.
_RENAMED = {
    'transformer.layers.0.': 'encoder.',
    'transformer_decoder.layers.': 'decoder.',
    '0.fn.': 'attention.',
    '1.fn.': 'perceptron.',
    '.fn.net.3.': '.inner.2.',
    '.fn.net.': '.inner.',
    '.fn.': '.inner.',
}


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the transformers, split their joint projection, leave out the unused last stage."""
    own = {}
    for key, value in state.items():
        if key.startswith(('resnet.layer4.', 'resnet.fc.')):
            continue
        if key.startswith('transformer'):
            for old, new in _RENAMED.items():
                key = key.replace(old, new)
        if key.endswith('to_qkv.weight'):
            for letter, part in zip('qkv', value.chunk(3), strict=True):
                own[key.replace('to_qkv', f'to_{letter}')] = part
        else:
            own[key] = value
    return own


def bit(
    in_chans: int = 3, num_classes: int = 2, backbone_weights: ResNet18_Weights | None = None
) -> BIT:
    """Build BIT.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2103.00208

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        backbone_weights: Weights of the encoder alone, from which the authors started their
            training. Filters of the three colours are repeated and scaled for other numbers of
            bands.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    model = BIT(in_chans, num_classes)
    if backbone_weights:
        state = read_state(backbone_weights)
        encoder = {key: value for key, value in state.items() if key in model.resnet.state_dict()}
        load_fitting(model.resnet, encoder, bands=['conv1.weight'])
    return model
