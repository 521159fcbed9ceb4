"""A convolutional network along the spectrum of each pixel.

Hu, W., Huang, Y., Wei, L., Zhang, F., Li, H. (2015). Deep convolutional neural networks for
hyperspectral image classification. Journal of Sensors. https://doi.org/10.1155/2015/258619

Axes: b batch, s bands, h and w rows and columns, k classes.
"""

import math

from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter

_KERNELS, _HIDDEN = 20, 100
#: Values that are left of a spectrum after pooling; 30 to 40 in the paper.
_POOLED = 35
#: Fewer bands leave nothing to pool.
_FEWEST_BANDS = 2


class CNN1D(nn.Module):
    """One convolution along the spectrum, pooling and two layers, the same for all pixels.

    Args:
        in_chans: Bands, in the order of their wavelengths.
        num_classes: Channels of the output.

    Raises:
        BadParameter: If there is a single band.
    """

    def __init__(self, in_chans: int, num_classes: int) -> None:
        super().__init__()
        if in_chans < _FEWEST_BANDS:
            raise BadParameter(
                f'in_chans is {in_chans}; a spectrum has at least {_FEWEST_BANDS} bands.',
                'Give images of more bands.',
            )
        kernel = math.ceil(in_chans / 9)
        left = in_chans - kernel + 1
        pool = max(1, round(left / _POOLED))
        # pixels beside each other do not see each other
        self.features = nn.Sequential(
            nn.Conv3d(1, _KERNELS, (kernel, 1, 1)), nn.Tanh(), nn.MaxPool3d((pool, 1, 1))
        )
        self.head = nn.Sequential(
            nn.Conv2d(_KERNELS * (left // pool), _HIDDEN, 1),
            nn.Tanh(),
            nn.Conv2d(_HIDDEN, num_classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Classify the pixels of images (b, s, h, w), normalised: logits (b, k, h, w)."""
        logits: Tensor = self.head(self.features(x[:, None]).flatten(1, 2))
        return logits


def cnn1d(in_chans: int = 200, num_classes: int = 2) -> CNN1D:
    """Build a convolutional network along the spectrum of each pixel.

    If you use this model in your research, please cite the following paper:

    * https://doi.org/10.1155/2015/258619

    Args:
        in_chans: Bands of the images, in the order of their wavelengths.
        num_classes: Channels of the output.

    Returns:
        The model, at random weights.

    Raises:
        BadParameter: If there is a single band.
    """
    return CNN1D(in_chans, num_classes)
