"""MFNet, first called MANet: Segment Anything's encoder for images beside a second raster.

Ma, X., Zhang, X., Pun, M.-O., Huang, B. (2025). A unified framework with multimodal fine-tuning for
remote sensing semantic segmentation. IEEE TGRS. https://arxiv.org/abs/2410.11160 (MANet:
fine-tuning Segment Anything Model for multimodal remote sensing semantic segmentation)

Kirillov, A. et al. (2023). Segment anything. ICCV. https://arxiv.org/abs/2304.02643 (the encoder)

One encoder sees both; small layers for each, which also exchange what they found, are what is
trained. The code is Apache-2.0; its authors publish no weights of the whole network, and those of
the encoder are Meta's, Apache-2.0 too.

Axes: b batch, c band or channel, h height, w width, n tokens, d features, k classes.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from timm.layers.norm import LayerNorm2d
from timm.models.vision_transformer_sam import (
    Block,
    VisionTransformerSAM,
    window_partition,
    window_unpartition,
)
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models._unetformer import UNetFormerDecoder
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)
from torchgeo_ext.preprocessing import Preprocessing

#: How the encoder is tuned: adapters beside its layers, or low-rank additions to their weights.
Tuning = Literal['adapter', 'lora']
#: Rank of the additions.
_RANK = 4
_WIDTH = 256


class SAMSize(NamedTuple):
    """Size of an encoder of Segment Anything.

    Attributes:
        width: Features of a token.
        depth: Blocks.
        heads: Heads of their attention.
        everywhere: Numbers of the blocks whose attention is not within windows.
    """

    width: int
    depth: int
    heads: int
    everywhere: tuple[int, ...]


SIZES = {
    'vitb': SAMSize(768, 12, 12, (2, 5, 8, 11)),
    'vitl': SAMSize(1024, 24, 16, (5, 11, 17, 23)),
    'vith': SAMSize(1280, 32, 16, (7, 15, 23, 31)),
}

_SA1B = Preprocessing(
    '8 bit',
    bands=('R', 'G', 'B'),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    source='https://github.com/facebookresearch/segment-anything (modeling/sam.py)',
)


def _sa1b(size: str, file: str) -> Weights:
    return Weights(
        url=f'https://dl.fbaipublicfiles.com/segment_anything/{file}',
        transforms=_SA1B.transform(),
        meta={
            'model': f'mfnet_{size}',
            'dataset': 'SA-1B',
            'in_chans': 3,
            'bands': _SA1B.bands,
            'preprocessing': _SA1B,
            'publication': 'https://arxiv.org/abs/2304.02643',
            'repo': 'https://github.com/facebookresearch/segment-anything',
            'license': 'Apache-2.0',
        },
    )


class MFNet_Weights(WeightsEnum):
    """Weights of Segment Anything's encoder, to tune MFNet from.

    MFNet's authors divide images by 255 alone, and bring heights to 0 to 1.
    """

    SA1B_VITB = _sa1b('vitb', 'sam_vit_b_01ec64.pth')
    SA1B_VITL = _sa1b('vitl', 'sam_vit_l_0b3195.pth')
    SA1B_VITH = _sa1b('vith', 'sam_vit_h_4b8939.pth')


class _Adapter(nn.Module):
    """A perceptron with a narrow middle."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.D_fc1 = nn.Linear(width, width // 4)
        self.D_fc2 = nn.Linear(width // 4, width)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (..., d)."""
        y: Tensor = self.D_fc2(F.gelu(self.D_fc1(x)))
        return y


class _AdapterBlock(Block):
    """A block that sees images and second rasters one after the other in a batch, with adapters."""

    def __init__(self, dim: int, *arguments: Any, **more: Any) -> None:
        super().__init__(dim, *arguments, **more)
        for name in ('Img_Adapter', 'DSM_Adapter', 'MLPx_Adapter', 'MLPy_Adapter'):
            self.add_module(name, _Adapter(dim))
        self.wx_Adapter = nn.Parameter(torch.tensor([0.5]))
        self.wy_Adapter = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (2 b, h, w, d)."""
        attended = self._attend(self.norm1(x))
        adapted = self._each('Img_Adapter', 'DSM_Adapter', attended)
        x = x + attended + torch.cat(adapted)
        normal = self.norm2(x)
        image, second = self._each('MLPx_Adapter', 'MLPy_Adapter', normal)
        exchanged = [
            torch.lerp(second, image, self.wx_Adapter),
            torch.lerp(image, second, self.wy_Adapter),
        ]
        y: Tensor = x + self.mlp(normal) + torch.cat(exchanged)
        return y

    def _each(self, image: str, second: str, x: Tensor) -> list[Tensor]:
        adapters = self.get_submodule(image), self.get_submodule(second)
        return [adapt(half) for adapt, half in zip(adapters, x.chunk(2), strict=True)]

    def _attend(self, x: Tensor) -> Tensor:
        if not self.window_size:
            attended: Tensor = self.attn(x)
            return attended
        windows, padded = window_partition(x, self.window_size)
        size = (x.shape[1], x.shape[2])
        return window_unpartition(self.attn(windows), self.window_size, size, padded)


class _LowRank(nn.Linear):
    """A layer whose weights get additions of low rank, others for images than for second rasters.

    Args:
        layer: The layer.
        parts: Equal parts of its output that get additions, by their numbers; of how many.
        mixed: Whether images and second rasters get some of each other's addition.
    """

    def __init__(self, layer: nn.Linear, parts: tuple[tuple[int, ...], int], mixed: bool) -> None:
        super().__init__(layer.in_features, layer.out_features)
        self.parts, self.of = parts
        self.mixed = mixed
        height = layer.out_features // self.of * len(self.parts)
        for name in 'xy':
            down = nn.Parameter(torch.empty(_RANK * len(self.parts), layer.in_features))
            nn.init.kaiming_uniform_(down, a=5**0.5)
            self.register_parameter(f'lora_A{name}', down)
            self.register_parameter(f'lora_B{name}', nn.Parameter(torch.zeros(height, _RANK)))
            if mixed:
                self.register_parameter(f'lora_w{name}', nn.Parameter(torch.tensor([0.5])))

    def forward(self, x: Tensor) -> Tensor:
        """Map (2 b, ..., in) to (2 b, ..., out)."""
        image, second = (
            self._addition(name, half) for name, half in zip('xy', x.chunk(2), strict=True)
        )
        if self.mixed:
            image, second = (
                torch.lerp(second, image, self.get_parameter('lora_wx')),
                torch.lerp(image, second, self.get_parameter('lora_wy')),
            )
        return super().forward(x) + torch.cat([image, second])

    def _addition(self, name: str, x: Tensor) -> Tensor:
        downs = self.get_parameter(f'lora_A{name}').chunk(len(self.parts))
        ups = self.get_parameter(f'lora_B{name}').chunk(len(self.parts))
        # only additions that are not mixed are scaled in the published code
        scale = 1.0 if self.mixed else 1 / _RANK
        added = [scale * (x @ down.mT @ up.mT) for down, up in zip(downs, ups, strict=True)]
        filled = iter(added)
        zeros = torch.zeros_like(added[0])
        return torch.cat(
            [next(filled) if part in self.parts else zeros for part in range(self.of)], dim=-1
        )


class _LowRankBlock(Block):
    """A block whose queries, values and perceptron get additions of low rank."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.attn.qkv = _LowRank(self.attn.qkv, ((0, 2), 3), mixed=False)
        self.mlp.fc1 = _LowRank(cast('nn.Linear', self.mlp.fc1), ((0,), 1), mixed=True)
        self.mlp.fc2 = _LowRank(cast('nn.Linear', self.mlp.fc2), ((0,), 1), mixed=True)


_BLOCKS: dict[Tuning, type[Block]] = {'adapter': _AdapterBlock, 'lora': _LowRankBlock}


class _Encoder(VisionTransformerSAM):
    """Segment Anything's encoder, for images and second rasters in one batch."""

    def __init__(self, size: SAMSize, in_chans: int, tuning: Tuning) -> None:
        super().__init__(
            in_chans=in_chans,
            num_classes=0,
            embed_dim=size.width,
            depth=size.depth,
            num_heads=size.heads,
            norm_layer=cast('type[nn.Module]', partial(nn.LayerNorm, eps=1e-6)),
            block_fn=_BLOCKS[tuning],
            use_rel_pos=True,
            global_attn_indexes=size.everywhere,
            neck_chans=_WIDTH,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (2 b, c, h, w) to features (2 b, 256, h/16, w/16)."""
        tokens = self.patch_embed(x)
        tokens = self.blocks(tokens + self.places(tokens))
        features: Tensor = self.neck(rearrange(tokens, 'b h w d -> b d h w'))
        return features

    def places(self, tokens: Tensor) -> Tensor:
        """Positions (1, h, w, d) of tokens (b, h, w, d); timm smooths them, which was not done."""
        assert self.pos_embed is not None
        table = rearrange(self.pos_embed, '1 h w d -> 1 d h w')
        places = F.interpolate(table, tokens.shape[1:3], mode='bicubic')
        return rearrange(places, '1 d h w -> 1 h w d')


def _enlarge() -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(_WIDTH, _WIDTH, 2, stride=2)


class _Pyramid(nn.Module):
    """Makes maps at 1/4, 1/8, 1/16 and 1/32 of the resolution from one at 1/16."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.fpn1 = nn.Sequential(_enlarge(), norm, nn.GELU(), _enlarge())
        self.fpn2 = nn.Sequential(_enlarge())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (b, c, h, w) to four maps, fine to coarse."""
        return [self.fpn1(x), self.fpn2(x), x, F.max_pool2d(x, 2)]


class _Fusion(nn.Module):
    """Adds two maps after each was weighted by the means of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.se_rgb, self.se_depth = _excitation(), _excitation()

    def forward(self, image: Tensor, second: Tensor) -> Tensor:
        """Keep the shape (b, c, h, w)."""
        y: Tensor = image * self.se_rgb(image) + second * self.se_depth(second)
        return y


def _excitation() -> nn.Sequential:
    layers = (
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(_WIDTH, _WIDTH // 16, 1),
        nn.ReLU(),
        nn.Conv2d(_WIDTH // 16, _WIDTH, 1),
        nn.Sigmoid(),
    )
    return nn.Sequential(*layers)


class MFNet(nn.Module):
    """Segments images with the help of a second raster, for instance of heights.

    Both go through one encoder, so the one with fewer bands has them repeated until it has as many
    as the other.

    Args:
        size: Size of the encoder.
        in_chans: Bands of both, those of the second raster last.
        second_chans: Bands of the second raster.
        num_classes: Channels of the output.
        tuning: How the encoder is tuned, by adapters or by additions of low rank.
        freeze_encoder: Whether nothing else of the encoder is trained.

    Raises:
        BadParameter: If one of the rasters has no band, or there is no such tuning.
    """

    def __init__(
        self,
        size: SAMSize,
        in_chans: int = 4,
        second_chans: int = 1,
        num_classes: int = 6,
        tuning: Tuning = 'adapter',
        freeze_encoder: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < second_chans < in_chans:
            raise BadParameter(
                f'second_chans is {second_chans} and in_chans {in_chans}; both rasters must have '
                'bands.',
                'in_chans counts those of both.',
            )
        if tuning not in _BLOCKS:
            raise BadParameter(f'tuning is {tuning!r}; choose one of {", ".join(_BLOCKS)}.')
        self.bands = (in_chans - second_chans, second_chans)
        self.encoder = _Encoder(size, max(self.bands), tuning)
        self.pyramids = nn.ModuleList(
            [_Pyramid(LayerNorm2d(_WIDTH, eps=1e-6)), _Pyramid(nn.BatchNorm2d(_WIDTH))]
        )
        self.fusions = nn.ModuleList(_Fusion() for _ in range(4))
        self.decoder = UNetFormerDecoder([_WIDTH] * 4, num_classes)
        if freeze_encoder:
            for name, parameter in self.encoder.named_parameters():
                parameter.requires_grad = 'Adapter' in name or 'lora_' in name
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> Tensor:
        """Segment images.

        Args:
            x: Images and second rasters (b, c, h, w) of any size, normalised.

        Returns:
            Logits (b, k, h, w).

        Raises:
            BadInput: If there are other bands.
        """
        if x.ndim != 4 or x.shape[1] != sum(self.bands):
            raise BadInput(
                f'The input has the shape {tuple(x.shape)}, not (batch, {sum(self.bands)}, height, '
                'width).',
                'Put the bands of the second raster after those of the image.',
            )
        height, width = x.shape[-2:]
        bottom, right = (max(64, -(-side // 32) * 32) - side for side in (height, width))
        padded = F.pad(x, (0, right, 0, bottom), 'replicate')
        logits = self.decoder(self.fuse(*self.encode(padded)))
        logits = F.interpolate(logits, padded.shape[-2:], mode='bilinear')
        return logits[..., :height, :width]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the features (b, 256, h/16, w/16) of images and of second rasters (b, c, h, w)."""
        image, second = x.split(self.bands, dim=1)
        features = self.encoder(torch.cat([self._repeated(image), self._repeated(second)]))
        image, second = features.chunk(2)
        return image, second

    def fuse(self, image: Tensor, second: Tensor) -> list[Tensor]:
        """Join features of both at 1/4, 1/8, 1/16 and 1/32 of the resolution."""
        maps = [pyramid(x) for pyramid, x in zip(self.pyramids, (image, second), strict=True)]
        return [fuse(*level) for fuse, *level in zip(self.fusions, *maps, strict=True)]

    def _repeated(self, x: Tensor) -> Tensor:
        order = torch.arange(max(self.bands), device=x.device) % x.shape[1]
        return x[:, order]


#: Names of the published code and of Segment Anything, and ours.
_RENAMED = {
    r'^(sam\.)?image_encoder\.': 'encoder.',
    r'\.attn\.rel_([hw])$': r'.attn.rel_pos_\1',
    r'\.mlp\.lin([12])\.': r'.mlp.fc\1.',
    r'^fpn1x\.1\.ln\.': 'fpn1x.1.',
    r'^fpn([12])x\.': r'pyramids.0.fpn\1.',
    r'^fpn([12])y\.': r'pyramids.1.fpn\1.',
    r'(se_rgb|se_depth)\.fc\.0\.': r'\1.1.',
    r'(se_rgb|se_depth)\.fc\.2\.': r'\1.3.',
}
_FUSION = re.compile(r'^fusion(\d)\.')


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        # the published code keeps the decoder of Segment Anything, without using it
        if key.startswith(('sam.prompt_', 'sam.mask_')) or key.endswith('relative_position_index'):
            continue
        for old, new in _RENAMED.items():
            key = re.sub(old, new, key)
        own[_FUSION.sub(lambda match: f'fusions.{int(match[1]) - 1}.', key)] = value
    return own


def _build(
    size: str,
    weights: MFNet_Weights | None,
    in_chans: int,
    second_chans: int,
    num_classes: int,
    tuning: Tuning,
    freeze_encoder: bool | None,
) -> MFNet:
    if freeze_encoder is None:
        freeze_encoder = weights is not None
    model = MFNet(SIZES[size], in_chans, second_chans, num_classes, tuning, freeze_encoder)
    if weights:
        check_model(weights, f'mfnet_{size}')
        published = _own_names(weights_of_checkpoint(read_state(weights)))
        # adapters, pyramids and the decoder start at random
        state = {key: published.get(key, value) for key, value in model.state_dict().items()}
        load_fitting(model, state, ['encoder.patch_embed.proj.weight'])
    return model


def mfnet_vitb(
    weights: MFNet_Weights | None = None,
    in_chans: int = 4,
    second_chans: int = 1,
    num_classes: int = 6,
    tuning: Tuning = 'adapter',
    freeze_encoder: bool | None = None,
) -> MFNet:
    """Build MFNet (MANet) on ViT-B, 106 million parameters with adapters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2410.11160

    Args:
        weights: Segment Anything's weights of the encoder; the published code leaves out its
            relative positions by mistake, which are taken here. Filters of the three colours are
            repeated and scaled for other numbers of bands.
        in_chans: Bands of image and second raster together, those of the second raster last.
        second_chans: Bands of the second raster.
        num_classes: Channels of the output.
        tuning: ``adapter`` for adapters beside the layers of the encoder (MMAdapter), ``lora`` for
            additions of low rank to their weights (MMLoRA).
        freeze_encoder: Whether nothing else of the encoder is trained; so with weights, if left
            out.

    Returns:
        The model.

    Raises:
        BadParameter: If one of the rasters has no band, or the weights are those of another size.
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build('vitb', weights, in_chans, second_chans, num_classes, tuning, freeze_encoder)


def mfnet_vitl(
    weights: MFNet_Weights | None = None,
    in_chans: int = 4,
    second_chans: int = 1,
    num_classes: int = 6,
    tuning: Tuning = 'adapter',
    freeze_encoder: bool | None = None,
) -> MFNet:
    """Build MFNet on ViT-L, as its authors did; see :func:`mfnet_vitb`."""
    return _build('vitl', weights, in_chans, second_chans, num_classes, tuning, freeze_encoder)


def mfnet_vith(
    weights: MFNet_Weights | None = None,
    in_chans: int = 4,
    second_chans: int = 1,
    num_classes: int = 6,
    tuning: Tuning = 'adapter',
    freeze_encoder: bool | None = None,
) -> MFNet:
    """Build MFNet on ViT-H; see :func:`mfnet_vitb`."""
    return _build('vith', weights, in_chans, second_chans, num_classes, tuning, freeze_encoder)
