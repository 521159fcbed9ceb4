"""FSG-Net: its published module against its numbers, its wavelets against their properties."""

import torch

from tests.models.parity import Reference
from torchgeo_ext.models.fsgnet import TemporalSpatialAttention, haar, inverse_haar


@torch.no_grad()
def test_same_numbers_as_the_published_module():
    reference = Reference('fsgnet_stsam_c64')
    module = TemporalSpatialAttention(64).eval()
    module.load_state_dict(reference.state())
    before, after = reference.inputs()
    for name, features in zip(('cross1', 'cross2'), module.branch1(before, after), strict=True):
        reference.check(name, features)
    reference.check('coord1', module.branch2(before))
    for name, features in zip(('f1', 'f2'), module(before, after), strict=True):
        reference.check(name, features)


def test_wavelets_lose_nothing():
    x = torch.rand(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    bands = haar(x)
    assert bands.shape == (4, 2, 3, 3, 5)
    torch.testing.assert_close(inverse_haar(bands), x)
    torch.testing.assert_close(bands.square().sum(), x.square().sum())
    torch.testing.assert_close(bands[0], 2 * torch.nn.functional.avg_pool2d(x, 2))


def test_wavelets_tell_rows_from_columns():
    columns = torch.tensor([0.0, 1.0]).repeat(2).expand(1, 1, 4, 4)
    assert haar(columns)[1].abs().min() == 1
    assert haar(columns)[2:].abs().max() == 0
    assert haar(columns.mT)[2].abs().min() == 1
    assert haar(columns.mT)[1].abs().max() == 0
