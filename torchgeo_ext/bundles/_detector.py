"""The detector of a bundle with what is before it, and the choice between it and a predictor.

Axes: b batch, c channel, h height, w width, n objects.
"""

from typing import Any

from torch import Tensor, nn

from torchgeo_ext.bundles._card import DETECTING, BundleCard
from torchgeo_ext.bundles._predictor import Predictor, Standardised

#: Objects that a tile may show. Torchvision's 100 is too few for a harbour or an orchard.
_MOST = 1000
#: The same if each has a mask, which takes the memory of a tile.
_MOST_MASKS = 300


def complete(network: nn.Module, card: BundleCard) -> 'Predictor | Detector':
    """Put around a network what a card says belongs before and after it."""
    return Detector(network, card) if card.task in DETECTING else Predictor(network, card)


class Detector(Standardised):
    """From stored pixel values to objects.

    Args:
        network: Takes normalised values as torchvision's detectors do.
        card: Says how values are normalised.
    """

    def __init__(self, network: nn.Module, card: BundleCard) -> None:
        super().__init__(network, card)
        limited: list[Any] = [m for m in network.modules() if hasattr(m, 'detections_per_img')]
        for module in limited:
            module.detections_per_img = _MOST if card.task == 'detection' else _MOST_MASKS

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects.

        Args:
            x: Stored pixel values as float32 (b, c, h, w).

        Returns:
            For each image ``boxes`` (n, 4), left, top, right and bottom in pixels, or (n, 5) of
            detectors of rotated boxes (see :mod:`torchgeo_ext.layers.rotated_boxes`); ``scores``
            (n) from 0 to 1; ``labels`` (n), numbers of the classes from 1; and, of an
            ``instance_segmentation``, ``masks`` (n, 1, h, w), scores from 0 to 1.
        """
        network: Any = self.network
        found: list[dict[str, Tensor]] = network(self._normalised(x))
        return found
