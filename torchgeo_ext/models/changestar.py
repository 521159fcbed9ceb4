"""ChangeStar (1x256), the detectors pre-trained on the synthetic changes of Changen2.

Zheng, Z. et al. (2025). Changen2: multi-temporal remote sensing generative change foundation model.
IEEE TPAMI 47. https://arxiv.org/abs/2406.17998

Kirillov, A. et al. (2023). Segment anything. ICCV. https://arxiv.org/abs/2304.02643 (the encoder)

Zheng, Z. et al. (2020). Foreground-aware relation network for geospatial object segmentation in
high spatial resolution remote sensing imagery. CVPR. https://arxiv.org/abs/2011.09766 (FarSeg)

Axes: b batch, t date, c channel, h height, w width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
import torchvision.transforms.v2 as T
from timm.layers.norm import LayerNorm2d
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.models._pairs import SemanticChange, two_dates
from torchgeo_ext.models._weights import (
    accept_published_names,
    load_fitting,
    read_state,
    weights_of_checkpoint,
)

_FILES = 'https://huggingface.co/EVER-Z/Changen2-ChangeStar1x256/resolve/main'
_TRANSFORMS = nn.Sequential(
    T.Normalize(mean=[0.0], std=[255.0]),
    T.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
)
_META = {
    'in_chans': 3,
    'num_classes': 1,
    'bands': ('R', 'G', 'B'),
    'publication': 'https://arxiv.org/abs/2406.17998',
    'repo': 'https://github.com/Z-Zheng/pytorch-change-models',
    'license': 'CC-BY-NC-SA-4.0',
}
_BUILDINGS = {
    **_META,
    'dataset': 'Changen2-S1-15k',
    'classes': ('building change',),
    'semantic_classes': ('building',),
    'resolution': (0.3, 1.0),
}
_LAND_COVER = {
    **_META,
    'dataset': 'Changen2-S9-27k',
    'classes': ('land cover change',),
    'semantic_classes': (
        'unknown', 'bareland', 'rangeland', 'developed space', 'road', 'tree', 'water',
        'agriculture land', 'building',
    ),
    'resolution': (0.25, 0.5),
}  # fmt: skip


class ChangeStar1x256_ViTB_Weights(WeightsEnum):
    """Published weights of ChangeStar (1x256) on ViT-B, for RGB; not for commercial use."""

    CHANGEN2_S1 = Weights(
        url=f'{_FILES}/s1c1_cstar_vitb_1x256.pth',
        transforms=_TRANSFORMS,
        meta={
            **_BUILDINGS,
            'model': 'changestar1x256_vitb',
            'sha256': 'ba540ed456001c0a909fe0f464ed4c720d1e5b8f373e811164a09ac1da574b75',
        },
    )
    CHANGEN2_S9 = Weights(
        url=f'{_FILES}/s9c1_cstar_vitb_1x256.pth',
        transforms=_TRANSFORMS,
        meta={
            **_LAND_COVER,
            'model': 'changestar1x256_vitb',
            'sha256': 'b28646baf9641814cc6cae65f077652210dfaba235ea1d35eef1fc3afe0d3657',
        },
    )


class ChangeStar1x256_ViTL_Weights(WeightsEnum):
    """Published weights of ChangeStar (1x256) on ViT-L, for RGB; not for commercial use."""

    CHANGEN2_S1 = Weights(
        url=f'{_FILES}/s1c1_cstar_vitl_1x256.pth',
        transforms=_TRANSFORMS,
        meta={
            **_BUILDINGS,
            'model': 'changestar1x256_vitl',
            'sha256': '5edfac4597bd8467868e3e28d6161759b9378e5f62c7b99619e78c0069d2ca5b',
        },
    )


_WIDTH = 256
_LEVELS = 4


def _pointwise(channels: int, width: int, bias: bool = True) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 1, bias=bias), LayerNorm2d(width)]


class _SimplePyramid(nn.Module):
    """Makes maps at 1/4, 1/8, 1/16 and 1/32 of the resolution from one at 1/16 (as ViTDet)."""

    def __init__(self) -> None:
        super().__init__()
        scalings: dict[int, tuple[list[nn.Module], int]] = {
            2: (
                [
                    nn.ConvTranspose2d(_WIDTH, _WIDTH // 2, 2, stride=2),
                    LayerNorm2d(_WIDTH // 2),
                    nn.GELU(),
                    nn.ConvTranspose2d(_WIDTH // 2, _WIDTH // 4, 2, stride=2),
                ],
                _WIDTH // 4,
            ),
            3: ([nn.ConvTranspose2d(_WIDTH, _WIDTH // 2, 2, stride=2)], _WIDTH // 2),
            4: ([], _WIDTH),
            5: ([nn.MaxPool2d(2)], _WIDTH),
        }
        for level, (scaling, channels) in scalings.items():
            layers = [
                *scaling,
                nn.Sequential(*_pointwise(channels, _WIDTH, bias=False)),
                nn.Sequential(*_pointwise(_WIDTH, _WIDTH, bias=False)),
            ]
            self.add_module(f'simfp_{level}', nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (b, c, h, w) to four maps, finest first."""
        return [level(x) for level in self.children()]


class _TopDown(nn.Module):
    """A feature pyramid network: hands coarse features down to finer maps."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList(nn.Conv2d(_WIDTH, _WIDTH, 1, bias=False) for _ in range(_LEVELS))
        self.layer = nn.ModuleList(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False) for _ in range(_LEVELS)
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Keep the shapes of the maps, finest first."""
        merged = [inner(x) for inner, x in zip(self.inner, maps, strict=True)]
        for level in range(_LEVELS - 2, -1, -1):
            merged[level] = merged[level] + F.interpolate(merged[level + 1], scale_factor=2)
        return [layer(x) for layer, x in zip(self.layer, merged, strict=True)]


class _SceneRelation(nn.Module):
    """Strengthens the pixels that fit the scene as a whole (FarSeg's relation module)."""

    def __init__(self) -> None:
        super().__init__()

        def per_level(*layers: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Sequential(
                    *[module for _ in layers for module in (*_pointwise(_WIDTH, _WIDTH), nn.GELU())]
                )
                for _ in range(_LEVELS)
            )

        self.scene_encoder = per_level(1, 2)
        self.content_encoders = per_level(1)
        self.feature_reencoders = per_level(1)
        self.project = nn.ModuleList(
            nn.Sequential(*_pointwise(2 * _WIDTH, _WIDTH, bias=False), nn.GELU(), nn.Dropout2d(0.1))
            for _ in range(_LEVELS)
        )

    def forward(self, scene: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """Keep the shapes of the maps; ``scene`` is (b, c, 1, 1)."""
        refined = []
        for level, x in enumerate(maps):
            likeness = self.scene_encoder[level](scene) * self.content_encoders[level](x)
            relation = likeness.sum(dim=1, keepdim=True).sigmoid()
            strengthened = relation * self.feature_reencoders[level](x)
            refined.append(self.project[level](torch.cat([strengthened, x], dim=1)))
        return refined


class _Decoder(nn.Module):
    """Brings all maps to the finest resolution and averages them."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(*[self._block(double=level > 0) for _ in range(max(1, level))])
            for level in range(_LEVELS)
        )

    @staticmethod
    def _block(double: bool) -> nn.Sequential:
        layers = [
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False),
            LayerNorm2d(_WIDTH),
            nn.GELU(),
        ]
        return nn.Sequential(*layers, *([nn.UpsamplingBilinear2d(scale_factor=2)] * double))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Average four maps, finest (b, c, h, w) first, to (b, c, h, w)."""
        same_size = [block(x) for block, x in zip(self.blocks, maps, strict=True)]
        return torch.stack(same_size).mean(dim=0)


class ChangeStar1x256(nn.Module):
    """ChangeStar with one layer of 256 channels, on the encoder of Segment Anything with FarSeg.

    Each date is segmented by itself; change is what one convolution makes of both dates, seen in
    both orders. With five change classes it grades damage (none to destroyed).

    Args:
        encoder: An image encoder of Segment Anything with a neck of 256 channels.
        num_classes: Channels of the change output; 1 for change or not.
        semantic_classes: Channels of the land-cover outputs; 1 for one class or not.
    """

    def __init__(
        self, encoder: VisionTransformerSAM, num_classes: int = 1, semantic_classes: int = 1
    ) -> None:
        super().__init__()
        self.vit = encoder
        self.sfp = _SimplePyramid()
        self.fpn = _TopDown()
        self.fsr = _SceneRelation()
        self.dec = _Decoder()
        self.compare = nn.Sequential(
            nn.Conv2d(2 * _WIDTH, _WIDTH, 3, padding=1, bias=False), LayerNorm2d(_WIDTH), nn.GELU()
        )
        self.change = nn.Conv2d(_WIDTH, num_classes, 1)
        self.semantic = nn.Conv2d(_WIDTH, semantic_classes, 1)
        accept_published_names(self, _own_names)

    def forward(self, x: Tensor) -> SemanticChange:
        """Detect change and segment both dates.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits of change and of both dates' land cover.
        """
        height, width = x.shape[-2:]
        before, after = (self.encode(image) for image in two_dates(x, multiple=32))
        orders = ([before, after], [after, before])
        forth, back = (self.compare(torch.cat(order, dim=1)) for order in orders)
        low = (self.change(forth + back), self.semantic(before), self.semantic(after))
        upsampled = (
            F.interpolate(logits, scale_factor=4, mode='bilinear', align_corners=True)
            for logits in low
        )
        return SemanticChange(*(logits[..., :height, :width] for logits in upsampled))

    def encode(self, image: Tensor) -> Tensor:
        """Give the features (b, 256, h/4, w/4) of one date (b, c, h, w)."""
        pyramid = self.sfp(self.vit.forward_features(image))
        scene = pyramid[-1].mean(dim=(2, 3), keepdim=True)
        return self.dec(self.fsr(scene, self.fpn(pyramid)))


#: Names of the published code and ours; the encoder's are those of timm.
_RENAMED = {
    'encoder.vit.': 'vit.',
    'encoder.sfp.': 'sfp.',
    'encoder.farseg.': '',
    'head.conv.': 'compare.',
    'head.change_conv.0.': 'change.',
    'head.semantic_conv.0.': 'semantic.',
    '.mlp.lin': '.mlp.fc',
    **{
        f'fpn.fpn_{name}{level + 1}.0.': f'fpn.{name}.{level}.'
        for name in ('inner', 'layer')
        for level in range(_LEVELS)
    },
}


def _own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {}
    for key, value in state.items():
        for old, new in _RENAMED.items():
            key = key.replace(old, new)
        own[key] = value
    return own


def _build(
    vit: str,
    weights: WeightsEnum | None,
    in_chans: int,
    num_classes: int,
    semantic_classes: int | None,
) -> ChangeStar1x256:
    if semantic_classes is None:
        semantic_classes = len(weights.meta['semantic_classes']) if weights else 1
    encoder: Any = timm.create_model(vit, in_chans=in_chans, num_classes=0)
    model = ChangeStar1x256(encoder, num_classes, semantic_classes)
    if weights:
        state = _own_names(weights_of_checkpoint(read_state(weights)))
        load_fitting(model, state, ['vit.patch_embed.proj.weight'], ['change.', 'semantic.'])
    return model


def changestar1x256_vitb(
    weights: ChangeStar1x256_ViTB_Weights | None = None,
    in_chans: int = 3,
    num_classes: int = 1,
    semantic_classes: int | None = None,
) -> ChangeStar1x256:
    """Build ChangeStar (1x256) on ViT-B.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2406.17998

    Args:
        weights: Published weights of the whole network. Filters of the three colours are repeated
            and scaled for other numbers of bands; for other numbers of classes the last layers
            start at random. Those of S0 and those fine-tuned for xView2 have no members here:
            ``load_state_dict`` takes them too.
        in_chans: Bands of each image.
        num_classes: Channels of the change output; 1 for change or not, 5 for building damage.
        semantic_classes: Channels of the land-cover outputs; as the weights have, or 1.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build('samvit_base_patch16', weights, in_chans, num_classes, semantic_classes)


def changestar1x256_vitl(
    weights: ChangeStar1x256_ViTL_Weights | None = None,
    in_chans: int = 3,
    num_classes: int = 1,
    semantic_classes: int | None = None,
) -> ChangeStar1x256:
    """Build ChangeStar (1x256) on ViT-L.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2406.17998

    Args:
        weights: Published weights of the whole network. Filters of the three colours are repeated
            and scaled for other numbers of bands; for other numbers of classes the last layers
            start at random.
        in_chans: Bands of each image.
        num_classes: Channels of the change output; 1 for change or not, 5 for building damage.
        semantic_classes: Channels of the land-cover outputs; as the weights have, or 1.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return _build('samvit_large_patch16', weights, in_chans, num_classes, semantic_classes)
