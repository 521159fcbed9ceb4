"""CDMaskFormer, which classifies masks of change instead of pixels.

Ma, X. et al. (2024). Rethinking remote sensing change detection with a mask view.
https://arxiv.org/abs/2406.15320

Axes: b batch, t date, c channel, h height, w width, q queries, n heads, d features of a head.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torchvision.ops import MLP

from torchgeo_ext.models._deformable import DeformableLayer, centres
from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._seaformer import SEAFORMER_WIDTHS, SeaFormerL
from torchgeo_ext.models._weights import accept_published_names

_WIDTH = 256
_HEADS = 8
_INNER = 1024
_LAYERS = 13
_LEVELS = 4
#: Below this probability a query does not look at a pixel.
_LOOK = 0.15


class ChangeMasks(NamedTuple):
    """Masks that a layer of the decoder proposes.

    Attributes:
        classes: Logits (b, q, 2): nothing, or change.
        masks: Logits (b, q, h/4, w/4).
    """

    classes: Tensor
    masks: Tensor


class _ChannelGate(nn.Module):
    """Weights channels by their mean, seen through four narrow layers at once."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.fc4 = (
            nn.Sequential(nn.Linear(channels, channels // 32, bias=False), nn.ReLU())
            for _ in range(4)
        )
        self.fc = nn.Sequential(nn.Linear(channels // 8, channels, bias=False), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) to weights (b, c, 1, 1)."""
        mean = x.mean(dim=(2, 3))
        views = [self.fc1(mean), self.fc2(mean), self.fc3(mean), self.fc4(mean)]
        return self.fc(torch.cat(views, dim=1))[..., None, None]


def _separable(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
        nn.Conv2d(2 * channels, channels, 1),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class _ChangeExtractor(nn.Module):
    """Brings the features of two dates to one map of what changed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.catconvA, self.catconvB, self.catconv = (_separable(channels) for _ in range(3))
        self.convA, self.convB = nn.Conv2d(channels, 1, 1), nn.Conv2d(channels, 1, 1)
        self.senetv2 = _ChannelGate(channels)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Map two (b, c, h, w) to one of the same shape."""
        difference = before - after
        channels = self.senetv2(difference)
        weighted = [
            date * channels * place(mix(torch.cat([difference, date], dim=1))).sigmoid()
            for date, mix, place in (
                (before, self.catconvA, self.convA),
                (after, self.catconvB, self.convB),
            )
        ]
        return self.catconv(torch.cat(weighted, dim=1))


class _PixelDecoder(nn.Module):
    """Lets the scales see each other; lists run from coarse to fine."""

    def __init__(self) -> None:
        super().__init__()
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, _WIDTH, 1), nn.GroupNorm(32, _WIDTH))
            for channels in reversed(SEAFORMER_WIDTHS)
        )
        self.pos_linear = nn.ModuleList(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, groups=_WIDTH) for _ in range(_LEVELS)
        )
        # the finest scale is left out of the attention
        self.level_embed = nn.Parameter(torch.randn(_LEVELS - 1, _WIDTH))
        self.layers = nn.ModuleList(DeformableLayer(_WIDTH, _LEVELS - 1, _INNER) for _ in range(4))
        self.adapter_1 = nn.Sequential(
            nn.Conv2d(SEAFORMER_WIDTHS[0], _WIDTH, 1), nn.GroupNorm(32, _WIDTH), nn.ReLU()
        )
        self.layer_1 = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.GroupNorm(32, _WIDTH), nn.ReLU()
        )
        self.mask_features = nn.Conv2d(_WIDTH, _WIDTH, 1)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Give maps (b, c, h, w), their positions of the same shapes, and features of masks."""
        projected = [project(x) for project, x in zip(self.input_proj, features, strict=True)]
        positions = [embed(x) for embed, x in zip(self.pos_linear, projected, strict=True)]
        coarse = projected[:-1]
        sizes = [(x.shape[2], x.shape[3]) for x in coarse]
        tokens = torch.cat([x.flatten(2).mT for x in coarse], dim=1)
        position = torch.cat(
            [
                x.flatten(2).mT + level
                for x, level in zip(positions[:-1], self.level_embed, strict=True)
            ],
            dim=1,
        )
        places = centres(sizes, tokens)
        for layer in self.layers:
            tokens = layer(tokens, position, places, sizes)
        maps = [
            rearrange(part, 'b (h w) c -> b c h w', h=height)
            for part, (height, _) in zip(
                tokens.split([h * w for h, w in sizes], dim=1), sizes, strict=True
            )
        ]
        finest = self.adapter_1(features[-1])
        finest = finest + F.interpolate(maps[-1], finest.shape[2:], mode='bilinear')
        finest = self.layer_1(finest)
        return [*maps, finest], positions, self.mask_features(finest)


class _MaskedAttention(nn.Module):
    """Queries look at the pixels inside their masks."""

    def __init__(self) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(_WIDTH, _HEADS, batch_first=True)
        self.norm = nn.LayerNorm(_WIDTH)

    def forward(
        self, query: Tensor, embedding: Tensor, x: Tensor, position: Tensor, masks: Tensor
    ) -> Tensor:
        """Keep the shape of the query (b, q, c); x and position are (b, c, h, w)."""
        probability = F.interpolate(masks, x.shape[2:], mode='bilinear').sigmoid().flatten(2)
        hidden = probability < _LOOK
        # a query that would see nothing sees everything
        hidden = hidden & ~hidden.all(dim=-1, keepdim=True)
        seen, _ = self.multihead_attn(
            query + embedding,
            (x + position).flatten(2).mT,
            x.flatten(2).mT,
            attn_mask=hidden.repeat_interleave(_HEADS, dim=0),
            need_weights=False,
        )
        return self.norm(query + seen)


class _AxialProjections(nn.Module):
    """The weights of the axial attention, packed as published."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(5 * _WIDTH, _WIDTH))
        self.in_proj_bias = nn.Parameter(torch.zeros(5 * _WIDTH))
        self.out_proj = nn.Linear(_WIDTH, _WIDTH)
        self.lin = nn.Linear(_WIDTH, _WIDTH)
        nn.init.xavier_uniform_(self.in_proj_weight)


class _AxialAttention(nn.Module):
    """Queries look at rows and columns, whose keys the scene as a whole weights."""

    def __init__(self) -> None:
        super().__init__()
        self.multihead_attn = _AxialProjections()
        self.adapt_pos1d = nn.Sequential(
            nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH)
        )
        self.norm = nn.LayerNorm(_WIDTH)

    def forward(self, query: Tensor, where: Tensor, x: Tensor, position: Tensor) -> Tensor:
        """Keep the shape of the query (b, q, c).

        Args:
            query: (b, q, c).
            where: Learnt place of each query (q, 2), x and y.
            x: Map (b, c, h, w).
            position: Its positions, of the same shape.
        """
        weights = self.multihead_attn.in_proj_weight.chunk(5)
        biases = self.multihead_attn.in_proj_bias.chunk(5)
        keys = (x + position).movedim(1, -1)
        inputs = (
            query + self.adapt_pos1d(_sine(where[:, 0])),
            query + self.adapt_pos1d(_sine(where[:, 1])),
            keys.mean(dim=1),  # one for each column
            keys.mean(dim=2),  # one for each row
            x.movedim(1, -1),
        )
        q_x, q_y, k_x, k_y, v = map(F.linear, inputs, weights, biases)
        scene = self.multihead_attn.lin(x.mean(dim=(2, 3))).sigmoid()[:, None]
        along_x, along_y = (_look(q, k * scene) for q, k in ((q_x, k_x), (q_y, k_y)))
        v = rearrange(v, 'b h w (n d) -> b n h w d', n=_HEADS)
        seen = torch.einsum('bnqw,bnqh,bnhwd->bqnd', along_x, along_y, v).flatten(2)
        return self.norm(query + self.multihead_attn.out_proj(seen))


def _look(q: Tensor, k: Tensor) -> Tensor:
    """Attention (b, n, q, l) of queries (b, q, c) to keys (b, l, c)."""
    q, k = (rearrange(x, 'b l (n d) -> b n l d', n=_HEADS) for x in (q, k))
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)


def _sine(place: Tensor) -> Tensor:
    """Embed places (q,), with 1 for the whole length, in sines and cosines (q, c)."""
    step = torch.arange(_WIDTH // 2, device=place.device) / (_WIDTH // 2)
    angle = 2 * math.pi * place[:, None] / 10000**step
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class _SelfAttention(nn.Module):
    """Queries look at each other."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(_WIDTH, _HEADS, batch_first=True)
        self.norm = nn.LayerNorm(_WIDTH)

    def forward(self, query: Tensor, embedding: Tensor) -> Tensor:
        """Keep the shape of the query (b, q, c)."""
        told = query + embedding
        return self.norm(query + self.self_attn(told, told, query, need_weights=False)[0])


class _Perceptron(nn.Module):
    """Two layers beside an identity."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(_WIDTH, _INNER), nn.Linear(_INNER, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH)

    def forward(self, query: Tensor) -> Tensor:
        """Keep the shape (b, q, c)."""
        return self.norm(query + self.linear2(F.relu(self.linear1(query))))


class _Predictor(nn.Module):
    """Turns a few queries into masks of change, layer after layer."""

    def __init__(self, queries: int) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(queries, _WIDTH)
        self.query_embed = nn.Embedding(queries, _WIDTH)
        self.query_pos_embed = nn.Embedding(queries, 2)
        self.level_embed = nn.Embedding(_LEVELS, _WIDTH)
        self.cross = nn.ModuleList(
            _AxialAttention() if self._is_axial(layer) else _MaskedAttention()
            for layer in range(_LAYERS)
        )
        self.among = nn.ModuleList(_SelfAttention() for _ in range(_LAYERS))
        self.ffn = nn.ModuleList(_Perceptron() for _ in range(_LAYERS))
        self.decoder_norm = nn.LayerNorm(_WIDTH)
        self.class_embed = nn.Linear(_WIDTH, 2)
        self.mask_embed = MLP(_WIDTH, [_WIDTH] * 3)

    @staticmethod
    def _is_axial(layer: int) -> bool:
        return layer % _LEVELS == _LEVELS - 1

    def forward(
        self, maps: list[Tensor], positions: list[Tensor], mask_features: Tensor
    ) -> list[ChangeMasks]:
        """Propose masks before the first and after each layer."""
        query = self.query_feat.weight.expand(len(mask_features), -1, -1)
        embedding = self.query_embed.weight
        levels = [
            x + level[:, None, None] for x, level in zip(maps, self.level_embed.weight, strict=True)
        ]
        proposals = [self._propose(query, mask_features)]
        for number, (cross, among, perceptron) in enumerate(
            zip(self.cross, self.among, self.ffn, strict=True)
        ):
            x, position = levels[number % _LEVELS], positions[number % _LEVELS]
            if self._is_axial(number):
                query = cross(query, self.query_pos_embed.weight, x, position)
            else:
                masks = proposals[-1].masks.detach()
                query = cross(query, embedding, x, position, masks)
            query = perceptron(among(query, embedding))
            proposals.append(self._propose(query, mask_features))
        return proposals

    def _propose(self, query: Tensor, mask_features: Tensor) -> ChangeMasks:
        query = self.decoder_norm(query)
        masks = torch.einsum('bqc,bchw->bqhw', self.mask_embed(query), mask_features)
        return ChangeMasks(self.class_embed(query), masks)


def _stretch(evidence: Tensor) -> Tensor:
    """Stretch the evidence of each image from 0 to 1 and give the logits."""
    lowest, highest = evidence.amin((1, 2, 3), True), evidence.amax((1, 2, 3), True)
    tiny = torch.finfo(evidence.dtype).eps
    # an even map has no change, where the published score divides by zero
    return ((evidence - lowest) / (highest - lowest).clamp(min=tiny)).logit(eps=tiny)


class CDMaskFormer(nn.Module):
    """CDMaskFormer on SeaFormer-L.

    A few learnt queries are turned into masks, each of which is change or nothing. For training as
    published, with :class:`torchgeo_ext.losses.ChangeMaskLoss`, see :meth:`propose`.

    The published score of a pixel is stretched from 0 to 1 over each image; so an image without
    change has pixels of score 1 too, and what a pixel gets depends on the whole input. ``forward``
    gives the logits of this score, :meth:`evidence` what it is before it is stretched.

    No weights are published but those of the encoder (links in
    https://github.com/xwmaxwma/rschange); ``load_state_dict`` takes checkpoints of the authors'
    training code. Their images have ImageNet's mean and deviation.

    Args:
        in_chans: Bands of each image.
        queries: Number of masks.
    """

    def __init__(self, in_chans: int = 3, queries: int = 5) -> None:
        super().__init__()
        self.encoder = SeaFormerL(in_chans)
        self.extractors = nn.ModuleList(_ChangeExtractor(channels) for channels in SEAFORMER_WIDTHS)
        self.pixel_decoder = _PixelDecoder()
        self.predictor = _Predictor(queries)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, 1, h, w).
        """
        return _stretch(self.evidence(x))

    def evidence(self, x: Tensor) -> Tensor:
        """Give the sum over masks (b, 1, h, w) of the probabilities of change."""
        return self._sum(self.propose(x)[-1], *x.shape[-2:])

    def logits(self, proposal: ChangeMasks, height: int, width: int) -> Tensor:
        """Turn a proposal into logits (b, 1, h, w) for images of a height and width."""
        return _stretch(self._sum(proposal, height, width))

    @staticmethod
    def _sum(proposal: ChangeMasks, height: int, width: int) -> Tensor:
        classes, masks = proposal
        masks = F.interpolate(masks, scale_factor=4, mode='bilinear')[..., :height, :width]
        change = classes.softmax(dim=-1)[..., 1]
        return torch.einsum('bq,bqhw->bhw', change, masks.sigmoid())[:, None]

    def propose(self, x: Tensor) -> list[ChangeMasks]:
        """Propose masks, as the published training needs them.

        Args:
            x: Images before and after (b, t=2, c, h, w); height and width are padded to multiples
                of 32 first.

        Returns:
            What the layers propose; the last is the prediction.
        """
        return self.predictor(*self.pixel_decoder(self.extract(x)[::-1]))

    def extract(self, x: Tensor) -> list[Tensor]:
        """Give the maps of change (b, c, h/4, w/4) to (b, c, h/32, w/32)."""
        before, after = (self.encoder(image) for image in two_dates(x, multiple=32))
        return [
            extract(one, other)
            for extract, one, other in zip(self.extractors, before, after, strict=True)
        ]


#: Names of the published code and ours.
_RENAMED = (
    (r'^net\.', ''),
    (r'^backbone\.backbone\.smb1\.stem_block\.', 'encoder.stem.'),
    *(
        (
            rf'^backbone\.backbone\.smb{stage + 1}\.layer{layer + 1}\.',
            f'encoder.stages.{stage}.{layer}.',
        )
        for stage in range(_LEVELS)
        for layer in range(3)
    ),
    (r'^backbone\.backbone\.trans1\.transformer_blocks\.', 'encoder.stages.2.2.'),
    (r'^backbone\.backbone\.trans2\.transformer_blocks\.', 'encoder.stages.3.1.'),
    *((rf'^decoderhead\.tff{level + 1}\.', f'extractors.{level}.') for level in range(_LEVELS)),
    (r'^decoderhead\.sem_seg_head\.', ''),
    (r'^pixel_decoder\.transformer\.(encoder\.)?', 'pixel_decoder.'),
    (r'\.transformer_cross_attention_layers\.', '.cross.'),
    (r'\.transformer_self_attention_layers\.', '.among.'),
    (r'\.transformer_ffn_layers\.', '.ffn.'),
    (r'\.mask_embed\.layers\.0\.', '.mask_embed.0.'),
    (r'\.mask_embed\.layers\.1\.', '.mask_embed.3.'),
    (r'\.mask_embed\.layers\.2\.', '.mask_embed.6.'),
    (r'\.c\.', '.0.'),
    (r'\.bn\.', '.1.'),
)
#: The classifier of the encoder and the stage before it.
_UNUSED = re.compile(r'^(net\.)?backbone\.backbone\.(smb5|trans3|linear)\.')


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        if _UNUSED.match(key):
            continue
        for old, new in _RENAMED:
            key = re.sub(old, new, key)
        own[key] = value
    return own


def cdmaskformer(in_chans: int = 3, queries: int = 5) -> CDMaskFormer:
    """Build CDMaskFormer.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2406.15320

    Args:
        in_chans: Bands of each image.
        queries: Number of masks the network proposes.

    Returns:
        The model.
    """
    return CDMaskFormer(in_chans, queries)
