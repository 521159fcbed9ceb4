import pyproj
import pytest
import torch

from torchgeo_ext.cells import EARTH_RADIUS
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics import GreatCircleAccuracy
from torchgeo_ext.metrics.great_circle_accuracy import great_circle


def places(number, seed):
    vectors = torch.randn(number, 3, generator=torch.Generator().manual_seed(seed)).double()
    x, y, z = vectors.unbind(1)
    return torch.rad2deg(torch.stack([torch.atan2(y, x), torch.atan2(z, x.hypot(y))], dim=1))


def test_distances_are_those_of_proj():
    sphere = pyproj.Geod(a=1000 * EARTH_RADIUS, f=0)
    first, second = places(200, 1), places(200, 2)
    # near ones, ones beyond the antimeridian, and opposite ones
    first = torch.cat([first, torch.tensor([[179.999, 10], [0, 90], [10, 20], [5.0, 5]])])
    second = torch.cat([second, torch.tensor([[-179.999, 10], [77, -90], [10, 20], [5, 5.00001]])])
    expected = sphere.inv(*first.T.numpy(), *second.T.numpy())[2] / 1000
    found = great_circle(first, second)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-7, atol=1e-5)
    assert great_circle(first[:, None], second).shape == (len(first), len(second))


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
