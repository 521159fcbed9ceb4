"""Pairs are taken apart and padded."""

import pytest
import torch

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models._pairs import two_dates


def test_padding_repeats_the_edge():
    x = torch.rand(2, 2, 3, 5, 8)
    before, after = two_dates(x, multiple=4)
    assert before.shape == after.shape == (2, 3, 8, 8)
    torch.testing.assert_close(after[..., :5, :], x[:, 1])
    torch.testing.assert_close(before[..., 5:, :], x[:, 0, :, 4:].expand(-1, -1, 3, -1))


def test_what_fits_stays_as_it_is():
    x = torch.rand(1, 2, 1, 4, 8)
    assert torch.equal(torch.stack(two_dates(x, multiple=4), dim=1), x)
    assert two_dates(x, multiple=4, smallest=12)[0].shape == (1, 1, 12, 12)


@pytest.mark.parametrize('shape', [(1, 3, 8, 8), (1, 3, 2, 8, 8), (1, 6, 8, 8)])
def test_other_than_two_dates(shape):
    with pytest.raises(BadInput, match='batch, 2, bands'):
        two_dates(torch.rand(shape))
