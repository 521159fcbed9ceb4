"""AddPoint: the middle of samples of TorchGeo."""

import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import AddPoint


def test_the_middle_of_one_and_of_many():
    bounds = torch.tensor([499_000.0, 501_000, 10, 0, 200, 10, 0, 1, 1])
    sample = {'image': torch.zeros(1, 4, 4), 'bounds': bounds}
    point = AddPoint('EPSG:32633')(sample)['point']
    assert point.dtype == torch.float64
    assert point.tolist() == pytest.approx([15, 100 / 110_574], abs=1e-6)
    joined = {'image': torch.zeros(2, 1, 4, 4), 'bounds': torch.cat([bounds, bounds]).expand(2, 18)}
    torch.testing.assert_close(AddPoint('EPSG:32633')(joined)['point'], point.expand(2, 2))


def test_what_cannot_be_is_refused():
    with pytest.raises(BadParameter, match="crs: 'nowhere' is not known"):
        AddPoint('nowhere')
    with pytest.raises(BadInput, match='needs bounds in the sample, which has image'):
        AddPoint('EPSG:4326')({'image': torch.zeros(1, 4, 4)})
