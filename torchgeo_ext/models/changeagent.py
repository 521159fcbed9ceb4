"""The change branch of Change-Agent's multi-level change interpretation (MCI) model.

Liu, C. et al. (2024). Change-Agent: towards interactive comprehensive remote sensing change
interpretation and analysis. IEEE TGRS 62. https://arxiv.org/abs/2403.19646

Axes: b batch, t date, c channel, h height, w width, n heads, d features of a head.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
import torchvision.transforms.v2 as T
from einops import rearrange
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.models._mit import MIT_WIDTHS, mix_transformer, stages
from torchgeo_ext.models._pairs import two_dates
from torchgeo_ext.models._weights import accept_published_names, load_fitting, read_state

_TRANSFORMS = T.Normalize(
    mean=[0.39073 * 255, 0.38623 * 255, 0.32989 * 255],
    std=[0.15329 * 255, 0.14628 * 255, 0.13648 * 255],
)


class ChangeAgent_Weights(WeightsEnum):
    """Published weights of Change-Agent's model: change of roads and buildings in RGB images."""

    LEVIR_MCI = Weights(
        url='https://huggingface.co/lcybuaa/Change-Agent/resolve/main/MCI_model.pth',
        transforms=_TRANSFORMS,
        meta={
            'dataset': 'LEVIR-MCI',
            'model': 'changeagent',
            'encoder': 'mit_b1',
            'in_chans': 3,
            'num_classes': 3,
            'bands': ('R', 'G', 'B'),
            'classes': ('unchanged', 'road change', 'building change'),
            'resolution': 0.5,
            'publication': 'https://arxiv.org/abs/2403.19646',
            'repo': 'https://github.com/Chen-Yang-Liu/Change-Agent',
            'license': 'MIT (the repository); the file itself names none',
        },
    )


_WIDTH = MIT_WIDTHS[-1]
_HEADS = 8
_LAYERS = 3
#: Rows and columns the position tables know.
_POSITIONS = 16


class _LocalPerception(nn.Module):
    """Adds what three differently shaped depthwise convolutions see."""

    def __init__(self) -> None:
        super().__init__()
        self.d_conv_3x3 = _depthwise(3, 3)
        self.d_conv_1x5 = _depthwise(1, 5)
        self.d_conv_5x1 = _depthwise(5, 1)
        self.BN = nn.BatchNorm2d(3 * _WIDTH)
        self.conv_1 = nn.Conv2d(3 * _WIDTH, _WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        seen = torch.cat([self.d_conv_3x3(x), self.d_conv_1x5(x), self.d_conv_5x1(x)], dim=1)
        return x + self.conv_1(F.gelu(self.BN(seen)))


def _depthwise(height: int, width: int) -> nn.Conv2d:
    padding = (height // 2, width // 2)
    return nn.Conv2d(_WIDTH, _WIDTH, (height, width), padding=padding, groups=_WIDTH)


class _DifferenceAttention(nn.Module):
    """Lets one date look at its difference from the other."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(_WIDTH, _WIDTH) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.Dropout(0.1))
        self.fuse_conv = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 1), nn.BatchNorm2d(_WIDTH), nn.ReLU()
        )

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Map two (b, c, h, w) to tokens (b, h w, c)."""
        difference = self.fuse_conv(own * (other - own)).flatten(2).mT
        own = own.flatten(2).mT
        q, k, v = (
            rearrange(project(tokens), 'b l (n d) -> b n l d', n=_HEADS)
            for project, tokens in (
                (self.to_q, own),
                (self.to_k, difference),
                (self.to_v, difference),
            )
        )
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0)
        return self.to_out(rearrange(seen, 'b n l d -> b l (n d)'))


class _Interaction(nn.Module):
    """One layer of the bitemporal interaction: one date is told about the other."""

    def __init__(self) -> None:
        super().__init__()
        self.Q_d_conv, self.K_d_conv = _LocalPerception(), _LocalPerception()
        self.att = _DifferenceAttention()
        self.norm1, self.norm2 = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.feedforward = nn.Sequential(
            nn.Linear(_WIDTH, 4 * _WIDTH),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(4 * _WIDTH, _WIDTH),
            nn.Dropout(0.1),
        )

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Map two (b, c, h, w) to one of the same shape."""
        height = own.shape[2]
        own, other = self.Q_d_conv(own), self.K_d_conv(other)
        x = self.norm1(self.att(own, other) + own.flatten(2).mT)
        x = self.norm2(self.feedforward(x) + x)
        return rearrange(x, 'b (h w) c -> b c h w', h=height)


class _Exchange(nn.ModuleList):
    """Tells the first date about the second, then the second about what became of the first."""

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the shapes (b, c, h, w)."""
        before = self[0](before, after) + before
        return before, self[1](after, before) + after


class ChangeAgent(nn.Module):
    """Change-Agent's MCI model without its captions.

    A Siamese mix transformer; at the coarsest scale the dates interact, at all scales their
    difference and likeness are fused from coarse to fine.

    ``load_state_dict`` takes the published ``MCI_model.pth`` as it is and leaves out the entries of
    the captions.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 3 for unchanged, road and building.
        backbone_weights: ``imagenet`` to start from NVIDIA's weights (non-commercial use).
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 3,
        backbone_weights: Literal['imagenet'] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = mix_transformer('b1', in_chans, backbone_weights is not None)
        self.h_embedding_CD = nn.Embedding(_POSITIONS, _WIDTH // 2)
        self.w_embedding_CD = nn.Embedding(_POSITIONS, _WIDTH // 2)
        self.Transformer_aug_CD = nn.ModuleList(
            _Exchange([_Interaction(), _Interaction()]) for _ in range(_LAYERS)
        )
        self.conv_dif = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width)) for width in MIT_WIDTHS
        )
        self.conv_fuse = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3 * width, 2 * width, 3, padding=1),
                nn.BatchNorm2d(2 * width),
                nn.ReLU(),
                nn.Conv2d(2 * width, 2 * width, 1),
            )
            for width in MIT_WIDTHS
        )
        self.to_fused = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * width, 2 * width, 1),
                nn.BatchNorm2d(2 * width),
                nn.ReLU(),
                nn.ConvTranspose2d(2 * width, 2 * finer, 4, stride=2, padding=1),
            )
            for width, finer in zip(MIT_WIDTHS, (MIT_WIDTHS[0], *MIT_WIDTHS[:-1]), strict=True)
        )
        self.to_seg = nn.Sequential(
            nn.ConvTranspose2d(2 * MIT_WIDTHS[0], 64, 4, stride=2, padding=1),
            nn.Conv2d(64, num_classes, 1),
        )
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised. Up to
                512 pixels each place has a position of its own as published; beyond, positions are
                interpolated.

        Returns:
            Logits (b, k, h, w).
        """
        height, width = x.shape[-2:]
        before, after = (stages(self.encoder, image) for image in two_dates(x, multiple=32))
        before[-1], after[-1] = self._interact(before[-1], after[-1])
        fused = [
            self._fuse(scale, one, other)
            for scale, (one, other) in enumerate(zip(before, after, strict=True))
        ]
        change = fused[-1]
        for scale in range(len(fused) - 1, 0, -1):
            change = self.to_fused[scale](change) + fused[scale - 1]
        return self.to_seg(self.to_fused[0](change))[..., :height, :width]

    def _interact(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        height, width = before.shape[2:]
        # the published code looks rows up in the table of columns and the other way round
        rows = _positions(self.w_embedding_CD.weight, height)[:, :, None].expand(-1, -1, width)
        columns = _positions(self.h_embedding_CD.weight, width)[:, None].expand(-1, height, -1)
        position = torch.cat([columns, rows])
        before, after = before + position, after + position
        for exchange in self.Transformer_aug_CD:
            before, after = exchange(before, after)
        return before, after

    def _fuse(self, scale: int, before: Tensor, after: Tensor) -> Tensor:
        likeness = F.cosine_similarity(before, after, dim=1)[:, None]
        difference = self.conv_dif[scale](after - before) + likeness
        return self.conv_fuse[scale](torch.cat([before, difference, after], dim=1))


def _positions(table: Tensor, count: int) -> Tensor:
    """Give the vectors (c, count) of the first places, or of all, stretched to ``count``."""
    if count <= len(table):
        return table[:count].mT
    return F.interpolate(table.mT[None], count, mode='linear', align_corners=True)[0]


#: Entries of the published file that the change branch does not use.
_UNUSED = ('.PCM.', '.Q_LN.', '.K_LN.', '.V_LN.', '.fuse_conv2.')
_CAPTIONS = ('Dynamic_DIF_aware_TR.', 'h_embedding.', 'w_embedding.', 'decoder_dict.')


def _own_names(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Open the groups of the published file, rename the encoder, leave out what is not used."""
    flat: dict[str, Tensor] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            flat |= {f'{key}.{name}': part for name, part in value.items()}
        else:
            flat[key] = value
    own = {}
    for key, value in flat.items():
        key = key.removeprefix('encoder_trans_dict.')
        key = key.replace('encoder_dict.cnn.segformer.', 'encoder.', 1)
        key = key.replace('.feedforward.net.', '.feedforward.')
        if not key.startswith(_CAPTIONS) and not any(part in key for part in _UNUSED):
            own[key] = value
    return own


def changeagent(
    weights: ChangeAgent_Weights | None = None,
    in_chans: int = 3,
    num_classes: int = 3,
    backbone_weights: Literal['imagenet'] | None = None,
) -> ChangeAgent:
    """Build the change branch of Change-Agent's MCI model.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2403.19646

    Args:
        weights: Published weights of the whole network. Filters of the three colours are repeated
            and scaled for other numbers of bands; for other numbers of classes the last layer
            starts at random.
        in_chans: Bands of each image.
        num_classes: Channels of the output; 3 for unchanged, road and building.
        backbone_weights: ``imagenet`` to start from NVIDIA's weights of the encoder
            (non-commercial use); not together with ``weights``.

    Returns:
        The model.

    Raises:
        ValueError: If both weights are given.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    if weights and backbone_weights:
        raise ValueError('weights has a backbone already; leave out backbone_weights')
    model = ChangeAgent(in_chans, num_classes, backbone_weights)
    if weights:
        state = _own_names(read_state(weights))
        load_fitting(model, state, ['encoder.patch_embed1.proj.weight'], ['to_seg.1.'])
    return model
