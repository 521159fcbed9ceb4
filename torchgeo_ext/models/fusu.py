"""FUSU's unified model of image pairs and the time series between them.

Yuan, S. et al. (2024). FUSU: a multi-temporal-source land use change segmentation dataset for
fine-grained urban semantic understanding. NeurIPS. https://arxiv.org/abs/2405.19055

Garioud, A. et al. (2023). FLAIR: a country-scale land cover semantic segmentation dataset from
multi-source optical imagery. NeurIPS. https://arxiv.org/abs/2310.13336 (the fusion)

Axes: b batch, t date, c channel, h height, w width, s bands of the series.
"""

from itertools import pairwise
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as T
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models._pairs import SeriesChange, two_dates
from torchgeo_ext.models._utae import UTAE
from torchgeo_ext.models._vss import enlarge
from torchgeo_ext.models._weights import fetching_imagenet_weights


class _Fusion(nn.Module):
    """Brings the series to the features of the images: its middle as a map, its mean everywhere.

    Args:
        width: Channels of the images' features.
        center: Pixels of the series that the images cover.
    """

    def __init__(self, width: int, center: int) -> None:
        super().__init__()
        self.center = center
        self.crop = nn.Conv2d(UTAE.width, width, 1)
        step = abs(width - UTAE.width) // 3
        sizes = [UTAE.width + number * step for number in range(3)]
        self.collapse = nn.Sequential(
            *(
                layer
                for size, following in pairwise(sizes)
                for layer in (nn.Linear(size, following), nn.Dropout(0.3), nn.ReLU())
            ),
            nn.Linear(sizes[-1], width),
        )

    def forward(self, series: Tensor, like: Tensor) -> Tensor:
        """Give a map of the size of another from features of the series (b, c, h, w)."""
        height, width = (min(self.center, size) for size in series.shape[-2:])
        middle = self.crop(T.center_crop(series, [height, width]))
        everywhere = self.collapse(series.mean(dim=(2, 3)))
        return enlarge(middle, like) + everywhere[..., None, None]


class _Pyramid(nn.Module):
    """PSPNet's head: what is around at four scales, and a classifier."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(size), Conv2dNormActivation(channels, channels // 4, 1)
            )
            for size in (1, 2, 3, 6)
        )
        self.classify = _classifier(channels + 4 * (channels // 4), channels // 4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Give logits (b, k, h, w) of features (b, c, h, w)."""
        around = [enlarge(pool(x), x) for pool in self.pools]
        return self.classify(torch.cat([x, *around], dim=1))


def _classifier(channels: int, width: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        Conv2dNormActivation(channels, width), nn.Dropout(0.1), nn.Conv2d(width, num_classes, 1)
    )


class FUSUNet(nn.Module):
    """HRNet for the images of two dates, U-TAE for the series, and one head for their land use.

    The middle of the series' features, enlarged, and their mean are added to the features of both
    dates. The same head names the land use of both and, from what the series alone gives, that of
    the series; change is told from the absolute difference of the dates.

    No weights are published. Differences to the published code, which lies beside the dataset: the
    mean of the series is that of each sample, not of the first in the batch; change is given as
    logits, not as probabilities; days may be told; a second U-TAE in the head of change and the
    smaller maps of the fusion, which are computed there without being used, are left out; missing
    dates do not count in any norm; images
    and series may have any size and number of bands; HRNet is timm's.

    Args:
        in_chans: Bands of each image.
        series_chans: Bands of the series; the published code has 15, the data 14.
        semantic_classes: Land-use classes; 18 as tasks count FUSU's 17, with 0 for none.
        num_classes: Channels of the change output; 1 for change or not.
        center: Height and width of the middle of the series that the images cover, in its pixels:
            26 of 10 m for FUSU, as in FLAIR-2.
        backbone: An HRNet, by its name in timm.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """

    def __init__(
        self,
        in_chans: int = 3,
        series_chans: int = 14,
        semantic_classes: int = 18,
        num_classes: int = 1,
        center: int = 26,
        backbone: str = 'hrnet_w18',
        backbone_weights: Literal['imagenet'] | None = None,
    ) -> None:
        super().__init__()
        self.series_chans = series_chans
        with fetching_imagenet_weights(backbone):
            encoder: Any = timm.create_model(
                backbone,
                pretrained=backbone_weights is not None,
                features_only=True,
                feature_location='',  # the branches themselves, not what classifiers make of them
                out_indices=(1, 2, 3, 4),
                in_chans=in_chans,
            )
        self.backbone = encoder
        width = sum(encoder.feature_info.channels())
        self.series = UTAE(series_chans)
        self.fuse = _Fusion(width, center)
        self.land_use = _classifier(width, width // 4, semantic_classes)
        self.change = _Pyramid(width, num_classes)

    def forward(self, x: Tensor, series: Tensor, days: Tensor | None = None) -> SeriesChange:
        """Detect change and segment both dates.

        Args:
            x: Images before and after (b, t=2, c, h, w) of any height and width, normalised.
            series: Images between them (b, t, s, h', w'), around the same middle; its bands should
                have values of like size. Dates that are 0 everywhere are missing.
            days: When these were taken (b, t), in days from any one day on; not told if not given,
                as in the published code.

        Returns:
            Logits of change, of both dates' land use and of that of the series.

        Raises:
            BadInput: If the series is none or has other bands.
        """
        height, width = x.shape[-2:]
        dates = two_dates(x, multiple=32, smallest=64)
        if series.ndim != 5 or len(series) != len(x) or series.shape[2] != self.series_chans:
            raise BadInput(
                f'The series has the shape {tuple(series.shape)}, not ({len(x)}, dates, '
                f'{self.series_chans}, height, width).',
                'Give one series for each pair, with the bands the model was built for.',
            )
        before, after = (self._encode(image) for image in dates)
        shared = self.fuse(self.series(series, days), before)
        before, after = before + shared, after + shared
        logits = (
            self.change((before - after).abs()),
            *(self.land_use(features) for features in (before, after, shared)),
        )
        return SeriesChange(
            *(
                F.interpolate(y, scale_factor=4, mode='bilinear')[..., :height, :width]
                for y in logits
            )
        )

    def _encode(self, image: Tensor) -> Tensor:
        """Join the branches (b, c, h/4, w/4) of one date."""
        finest, *coarser = self.backbone(image)
        size = finest.shape[-2:]
        enlarged = (F.interpolate(y, size, mode='bilinear', align_corners=True) for y in coarser)
        return torch.cat([finest, *enlarged], dim=1)


def fusu(
    in_chans: int = 3,
    series_chans: int = 14,
    semantic_classes: int = 18,
    num_classes: int = 1,
    center: int = 26,
    backbone: str = 'hrnet_w18',
    backbone_weights: Literal['imagenet'] | None = None,
) -> FUSUNet:
    """Build FUSU's unified model of image pairs and time series.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2405.19055

    Args:
        in_chans: Bands of each image.
        series_chans: Bands of the series.
        semantic_classes: Land-use classes; 18 as tasks count FUSU's 17, with 0 for none.
        num_classes: Channels of the change output; 1 for change or not.
        center: Height and width of the middle of the series that the images cover, in its pixels.
        backbone: An HRNet, by its name in timm.
        backbone_weights: ``imagenet`` to start from weights of photographs.

    Returns:
        The model.

    Raises:
        MissingWeights: If weights are not here and cannot be downloaded.
    """
    return FUSUNet(
        in_chans, series_chans, semantic_classes, num_classes, center, backbone, backbone_weights
    )
