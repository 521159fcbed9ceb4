"""U-TAE with a head: maps of classes from image series.

Garnot, V., Landrieu, L. (2021). Panoptic segmentation of satellite image time series with
convolutional temporal attention networks. ICCV. https://arxiv.org/abs/2107.07933

Written from the paper; no weights fit it.

Axes: b batch, t date, c channel, h height, w width, k classes.
"""

from typing import NamedTuple

from torch import Tensor, nn

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models._utae import STRIDE, UTAE


class DatedLogits(NamedTuple):
    """Logits of a series, and what was seen of each date.

    Attributes:
        logits: (b, k, h, w).
        dates: Maps of single dates (b, t, c, h', w'), of the series with pixels added below and to
            the right.
        present: Which dates there are (b, t).
    """

    logits: Tensor
    dates: Tensor
    present: Tensor


class UTAESegmenter(nn.Module):
    """Segments series of any length.

    Args:
        in_chans: Bands of each date.
        num_classes: Channels of the output.

    Attributes:
        date_width: Channels of the maps of single dates.
        date_stride: Pixels of the image, along one side, for each of theirs.
    """

    date_width = UTAE.date_width
    date_stride = STRIDE

    def __init__(self, in_chans: int, num_classes: int) -> None:
        super().__init__()
        self.encoder = UTAE(in_chans)
        self.head = nn.Conv2d(UTAE.width, num_classes, 1)

    def forward(self, x: Tensor, days: Tensor | None = None) -> Tensor:
        """Segment series.

        Args:
            x: Series (b, t, c, h, w) of any height and width, or single images (b, c, h, w),
                normalised. Dates that are 0 everywhere are missing.
            days: When they were taken (b, t), in days from any one day on; not told if not given.

        Returns:
            Logits (b, k, h, w).
        """
        return self.with_dates(x, days).logits

    def with_dates(self, x: Tensor, days: Tensor | None = None) -> DatedLogits:
        """Segment series as :meth:`forward` does, and tell what was seen of each date.

        Raises:
            BadInput: If these are no series.
        """
        if x.ndim == 4:
            x = x[:, None]
        if x.ndim != 5:
            raise BadInput(
                f'The input has the shape {tuple(x.shape)}, not (batch, dates, bands, height, '
                'width).'
            )
        levels, present = self.encoder.encode(x)
        features = self.encoder.join(levels, present, days)[..., : x.shape[-2], : x.shape[-1]]
        return DatedLogits(self.head(features), levels[-1], present)


def utae(in_chans: int = 10, num_classes: int = 20) -> UTAESegmenter:
    """Build U-TAE for semantic segmentation, 1.1 million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2107.07933

    Args:
        in_chans: Bands of each date.
        num_classes: Channels of the output.

    Returns:
        The model.
    """
    return UTAESegmenter(in_chans, num_classes)
