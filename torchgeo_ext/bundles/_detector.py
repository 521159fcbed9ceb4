"""The detector of a bundle with what is before it, and the choice between it and a predictor.

Axes: b batch, c channel, h height, w width, n objects.
"""

from typing import Any

import torch
from torch import Tensor, nn

from torchgeo_ext.bundles._card import BundleCard
from torchgeo_ext.bundles._predictor import Predictor

#: Objects that a tile may show. Torchvision's 100 is too few for a harbour or an orchard.
_MOST = 1000


def complete(network: nn.Module, card: BundleCard) -> 'Predictor | Detector':
    """Put around a network what a card says belongs before and after it."""
    return Detector(network, card) if card.task == 'detection' else Predictor(network, card)


class Detector(nn.Module):
    """From stored pixel values to objects.

    Args:
        network: Takes normalised values as torchvision's detectors do.
        card: Says how values are normalised.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: BundleCard) -> None:
        super().__init__()
        self.network = network
        # in units of stored values: (stored * scale + offset - mean) / std
        mean = [(band.mean - band.offset) / band.scale for band in card.bands]
        std = [band.std / band.scale for band in card.bands]
        self.register_buffer('mean', torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer('std', torch.tensor(std)[:, None, None], persistent=False)
        limited: list[Any] = [m for m in network.modules() if hasattr(m, 'detections_per_img')]
        for module in limited:
            module.detections_per_img = _MOST

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects.

        Args:
            x: Stored pixel values as float32 (b, c, h, w).

        Returns:
            For each image ``boxes`` (n, 4), left, top, right and bottom in pixels, ``scores`` (n)
            from 0 to 1 and ``labels`` (n), numbers of the classes from 1.
        """
        network: Any = self.network
        found: list[dict[str, Tensor]] = network((x - self.mean) / self.std)
        return found
