"""HybridSN: convolutions in space and spectrum, then in space.

Roy, S. K., Krishna, G., Dubey, S. R., Chaudhuri, B. B. (2020). HybridSN: exploring 3-D-2-D CNN
feature hierarchy for hyperspectral image classification. IEEE Geoscience and Remote Sensing
Letters. https://arxiv.org/abs/1902.06701

Written from the paper, for maps instead of single pixels: windows are not cut out, but the image is
convolved as a whole, with zeros around it, and the dense layers see 9 x 9 pixels instead of the
whole window of 25 x 25. The paper brings bands to 15 or 30 principal components beforehand; here a
layer that is trained with the rest does that.

Axes: b batch, s bands, h and w rows and columns, k classes.
"""

from torch import Tensor, nn

#: Components that bands are brought to; 30 for Indian Pines and 15 for the others in the paper.
_COMPONENTS = 30
#: Kernels of the first three layers, along the spectrum; they are 3 x 3 in space.
_SPECTRAL = ((8, 7), (16, 5), (32, 3))
_SPATIAL = 64
_HIDDEN = (256, 128)


class HybridSN(nn.Module):
    """Three convolutions in space and spectrum, one in space, and three layers for each pixel.

    Args:
        in_chans: Bands, in the order of their wavelengths.
        num_classes: Channels of the output.
        components: Mixtures of bands that the network sees, at least 13.
        dropout: Share of the hidden values that is left out in training.
    """

    def __init__(
        self, in_chans: int, num_classes: int, components: int = _COMPONENTS, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_chans, components, 1)
        layers: list[nn.Module] = []
        before, depth = 1, components
        for kernels, length in _SPECTRAL:
            layers += [nn.Conv3d(before, kernels, (length, 3, 3), padding=(0, 1, 1)), nn.ReLU()]
            before, depth = kernels, depth - length + 1
        self.spectral = nn.Sequential(*layers)
        self.spatial = nn.Sequential(nn.Conv2d(before * depth, _SPATIAL, 3, padding=1), nn.ReLU())
        first, second = _HIDDEN
        self.head = nn.Sequential(
            nn.Conv2d(_SPATIAL, first, 1), nn.ReLU(), nn.Dropout2d(dropout),
            nn.Conv2d(first, second, 1), nn.ReLU(), nn.Dropout2d(dropout),
            nn.Conv2d(second, num_classes, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Classify the pixels of images (b, s, h, w), normalised: logits (b, k, h, w)."""
        volume = self.spectral(self.reduce(x)[:, None])
        logits: Tensor = self.head(self.spatial(volume.flatten(1, 2)))
        return logits


def hybridsn(in_chans: int = 200, num_classes: int = 2) -> HybridSN:
    """Build HybridSN for maps.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/1902.06701

    Args:
        in_chans: Bands of the images, in the order of their wavelengths.
        num_classes: Channels of the output.

    Returns:
        The model, at random weights.
    """
    return HybridSN(in_chans, num_classes)
