"""How far predicted places are from the true ones.

Weyand, T., Kostrikov, I., & Philbin, J. (2016). PlaNet - photo geolocation with convolutional
neural networks. ECCV. https://arxiv.org/abs/1602.05314
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics._sphere import great_circle

#: Kilometres within which a prediction is said to know street, city, region, country, continent.
SCALES = (1.0, 25.0, 200.0, 750.0, 2500.0)


class GreatCircleAccuracy(Metric):
    """Share of predicted places that are near the true ones, and the median distance.

    Args:
        scales: Kilometres that count as near, each for a score of its own.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.

    Raises:
        BadParameter: If a scale is not positive.
    """

    full_state_update = False
    distances: list[Tensor]

    def __init__(self, scales: Sequence[float] = SCALES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not scales or min(scales) <= 0:
            raise BadParameter(f'scales is {list(scales)}; give positive numbers of kilometres.')
        self.scales = tuple(scales)
        self.add_state('distances', [], dist_reduce_fx='cat')

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add places.

        Args:
            preds: Predicted longitudes and latitudes (n, 2) in degrees.
            target: The true ones (n, 2).
        """
        self.distances.append(great_circle(preds.double(), target.double()))

    def compute(self) -> dict[str, Tensor]:
        """Compute the scores.

        Returns:
            ``within_1_km`` and so on (0 to 1), and ``median_km``, which is the lower one if two
            distances are in the middle. All are NaN if there were no places.
        """
        none = torch.empty(0, dtype=torch.float64, device=self.device)
        distances = dim_zero_cat(self.distances) if len(self.distances) else none
        scores = {
            f'within_{scale:g}_km': (distances <= scale).double().mean() for scale in self.scales
        }
        return {**scores, 'median_km': distances.median()}
