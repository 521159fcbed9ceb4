"""The network of SemiCD-VL: change, and the land cover that a model of vision and language sees.

Li, K. et al. (2024). SemiCD-VL: visual-language model guidance makes better semi-supervised change
detector. IEEE TGRS 62. https://arxiv.org/abs/2405.04788

Axes: b batch, t date, c channel, h height, w width.
"""

from collections.abc import Sequence
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from torchgeo_ext.models._pairs import GuidedChange, two_dates
from torchgeo_ext.models._vss import enlarge
from torchgeo_ext.models._weights import fetching_imagenet_weights

_WIDTH = 256


class _LightHead(nn.Module):
    """Brings the stages to one width and the size of the first, and joins them."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Conv2dNormActivation(width, _WIDTH, 1) for width in widths)
        self.fusion_conv = Conv2dNormActivation(_WIDTH * len(widths), _WIDTH, 1)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Give features (b, c=256, h/4, w/4)."""
        maps = [conv(x) for conv, x in zip(self.convs, stages, strict=True)]
        return self.fusion_conv(torch.cat([enlarge(x, maps[0]) for x in maps], dim=1))


class SemiCDVL(nn.Module):
    """A shared ResNet-50, a light head on the absolute difference of the dates, one on each date.

    This is the network of the published experiments 47 (LEVIR-CD) and 48 (WHU-CD). The change head
    has a second projection for pseudo-labels, so that these and what the network finds itself do
    not contradict each other in one. The head on the dates is for training only: it tells where
    there is a building, and the distance of its features takes part in the loss; see
    :meth:`guided`. As described in the paper, the distance is one over the channels; the published
    code takes it along rows of pixels.

    No weights are published.

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        semantic_classes: What the head on the dates tells apart; 2 for building or not.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 2,
        semantic_classes: int = 2,
        backbone_weights: Literal['imagenet'] | None = None,
    ) -> None:
        super().__init__()
        with fetching_imagenet_weights('resnet50s'):
            encoder: Any = timm.create_model(
                'resnet50s',  # three convolutions of 64, 64 and 128 channels begin it
                pretrained=backbone_weights is not None,
                features_only=True,
                out_indices=(1, 2, 3, 4),
                output_stride=16,
                in_chans=in_chans,
            )
        self.backbone = encoder
        widths = encoder.feature_info.channels()
        self.change_head, self.date_head = _LightHead(widths), _LightHead(widths)
        self.change = nn.Conv2d(_WIDTH, num_classes, 1)
        self.pseudo = nn.Conv2d(_WIDTH, num_classes, 1)
        self.land_cover = nn.Conv2d(_WIDTH, semantic_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Detect change.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.

        Returns:
            Logits (b, k, h, w).
        """
        dates = self._encode(x)
        return _as_image(self.change(self._difference(dates)), x)

    def guided(self, x: Tensor) -> GuidedChange:
        """Detect change and give all that is trained.

        Args:
            x: As for :meth:`forward`.

        Returns:
            Logits of change, of change as pseudo-labels have it, of the land cover of both dates,
            and the distance of their features.
        """
        dates = self._encode(x)
        difference = self._difference(dates)
        before, after = (self.date_head(stages) for stages in dates)
        # the small number keeps the gradient of the root finite at distance 0
        distance = ((before - after).square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
        return GuidedChange(
            _as_image(self.change(difference), x),
            _as_image(self.pseudo(difference), x),
            _as_image(self.land_cover(before), x),
            _as_image(self.land_cover(after), x),
            _as_image(distance, x)[:, 0],
        )

    def _encode(self, x: Tensor) -> list[list[Tensor]]:
        return [self.backbone(image) for image in two_dates(x, multiple=16)]

    def _difference(self, dates: Sequence[Sequence[Tensor]]) -> Tensor:
        pairs = zip(*dates, strict=True)
        features: Tensor = self.change_head([(one - other).abs() for one, other in pairs])
        return features


def _as_image(output: Tensor, x: Tensor) -> Tensor:
    """Enlarge a map at 1/4 of the padded images, and take the padding away."""
    height, width = x.shape[-2:]
    enlarged = F.interpolate(output, scale_factor=4, mode='bilinear')
    return enlarged[..., :height, :width]


def semicdvl(
    in_chans: int = 3,
    num_classes: int = 2,
    semantic_classes: int = 2,
    backbone_weights: Literal['imagenet'] | None = None,
) -> SemiCDVL:
    """Build the network of SemiCD-VL.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2405.04788

    Args:
        in_chans: Bands of each image.
        num_classes: Channels of the output; 2 for unchanged and changed.
        semantic_classes: What is told apart on each date; 2 for building or not.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return SemiCDVL(in_chans, num_classes, semantic_classes, backbone_weights)
