"""SINR: where species live, and what places have in common by that.

Cole, E. et al. (2023). Spatial implicit neural representations for global-scale species mapping.
ICML. https://arxiv.org/abs/2306.02564

The published code is https://github.com/elijahcole/sinr (MIT). Its input is that of
:class:`~torchgeo_ext.models.location.WrapEncoder`, so that both poles have one vector. The files
with environmental variables as further input cannot be used.

Axes: n places, d features.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext.models._location import LocationEncoder, wrap
from torchgeo_ext.models._weights import (
    accept_published_names,
    check_model,
    read_state,
    weights_of_checkpoint,
)

_WIDTH, _BLOCKS = 256, 4


class SINR_Weights(WeightsEnum):
    """Published weights: four files of one shape, for 10, 100, 1000 or all records of a species."""

    INATURALIST_AN_FULL = Weights(
        url='',
        transforms=nn.Identity(),
        meta={
            'model': 'sinr',
            'dataset': 'iNaturalist',
            'published_at': 'https://data.caltech.edu/records/dk5g7-rhq64/files/'
            'pretrained_models.zip?download=1 (without environmental variables)',
            'publication': 'https://arxiv.org/abs/2306.02564',
            'repo': 'https://github.com/elijahcole/sinr',
            'license': 'MIT (that of the code)',
        },
    )


class _Block(nn.Module):
    """Two layers added to what comes in, by the names of the published code."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Linear(_WIDTH, _WIDTH)
        self.dropout1 = nn.Dropout()
        self.w2 = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (n, d)."""
        return x + F.relu(self.w2(self.dropout1(F.relu(self.w1(x)))))


class SINR(LocationEncoder):
    """The network below the classifier of species."""

    def __init__(self) -> None:
        super().__init__(_WIDTH)
        self.feats = nn.Sequential(
            nn.Linear(4, _WIDTH), nn.ReLU(), *(_Block() for _ in range(_BLOCKS))
        )
        accept_published_names(self, self.own_names)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`."""
        vectors: Tensor = self.feats(wrap(longitude, latitude).to(self.like))
        return vectors

    def own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`LocationEncoder`; leaves out the classifier of species."""
        return {key: value for key, value in state.items() if not key.startswith('class_emb.')}


def sinr(weights: SINR_Weights | None = None) -> SINR:
    """Build SINR, half a million parameters.

    If you use this model in your research, please cite the following paper:

    * https://arxiv.org/abs/2306.02564

    Args:
        weights: Published weights.

    Returns:
        The encoder, which gives 256 numbers.

    Raises:
        MissingWeights: If weights are not here.
    """
    model = SINR()
    if weights:
        check_model(weights, 'sinr')
        model.load_state_dict(weights_of_checkpoint(read_state(weights)))
    return model
