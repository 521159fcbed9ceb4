import pytest
import torch

from torchgeo_ext.cells import EARTH_RADIUS
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics import GreatCircleAccuracy


def test_shares_within_distances():
    metric = GreatCircleAccuracy()
    true = torch.zeros(5, 2)
    # 0, 0.5, 100, 700 and 5000 km along the equator
    off = torch.tensor([0, 0.5, 100, 700, 5000]) / EARTH_RADIUS
    found = torch.stack([torch.rad2deg(off), torch.zeros(5)], dim=1)
    metric.update(found[:2], true[:2])
    metric.update(found[2:], true[2:])
    scores = {name: round(float(score), 3) for name, score in metric.compute().items()}
    assert scores == {
        'within_1_km': 0.4, 'within_25_km': 0.4, 'within_200_km': 0.6, 'within_750_km': 0.8,
        'within_2500_km': 0.8, 'median_km': 100.0,
    }  # fmt: skip
    metric.reset()
    with pytest.warns(UserWarning, match='before the ``update``'):
        assert metric.compute()['median_km'].isnan()


def test_scales():
    metric = GreatCircleAccuracy([10])
    metric.update(torch.zeros(1, 2), torch.zeros(1, 2))
    assert list(metric.compute()) == ['within_10_km', 'median_km']
    with pytest.raises(BadParameter, match='scales'):
        GreatCircleAccuracy([0])
