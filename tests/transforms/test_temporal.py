import math

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms.temporal import (
    EncodeDayOfYear,
    FillGaps,
    encode_day_of_year,
    fill_gaps,
)


def series(dates=7, channels=3, size=5, seed=0):
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(dates, channels, size, size, generator=random)
    valid = torch.rand(dates, size, size, generator=random) > 0.4
    days = torch.rand(dates, generator=random, dtype=torch.float64).mul(300).sort().values
    return images, valid, days


def column(*values):
    """Values over time of one pixel."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def flags(*values):
    return torch.tensor(values).bool().reshape(-1, 1, 1)


def test_linear_filling_equals_numpy():
    images, valid, days = series()
    valid[:, 0, 0] = True
    valid[:, 1, 1] = False
    filled, where = fill_gaps(images, valid, days)
    for row, col in np.ndindex(5, 5):
        seen = valid[:, row, col]
        expected = images[:, :, row, col].clone()
        if seen.any():
            for channel in range(3):
                expected[:, channel] = torch.from_numpy(
                    np.interp(days, days[seen], images[seen, channel, row, col])
                )
        torch.testing.assert_close(filled[:, :, row, col], expected)
        assert (where[:, row, col] == (~seen & seen.any())).all()
    assert torch.equal(filled[:, :, valid[0]][0], images[:, :, valid[0]][0])


def test_order_of_dates_does_not_matter():
    images, valid, days = series()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    filled, where = fill_gaps(images, valid, days)
    shuffled, shuffled_where = fill_gaps(images[order], valid[order], days[order])
    torch.testing.assert_close(shuffled, filled[order])
    assert torch.equal(shuffled_where, where[order])


def test_nearest_takes_the_earlier_of_two_equally_near():
    days = torch.tensor([0.0, 4.0, 5.0, 6.0, 10.0])
    filled, _ = fill_gaps(column(1, 0, 0, 0, 2), flags(1, 0, 0, 0, 1), days, method='nearest')
    assert filled.flatten().tolist() == [1, 1, 1, 2, 2]


def test_long_gaps_stay_as_they_are():
    days = torch.tensor([0.0, 10.0, 20.0, 50.0, 90.0, 100.0, 140.0])
    images, valid = column(0, 1, 7, 7, 9, 7, 7), flags(0, 1, 0, 0, 1, 0, 0)
    filled, where = fill_gaps(images, valid, days, max_gap=50)
    # 80 days between the valid dates; 10 before the first; 10 and 50 behind the last
    assert where.flatten().tolist() == [True, False, False, False, False, True, True]
    assert filled.flatten().tolist() == [1, 1, 7, 7, 9, 9, 9]


def test_invalid_values_are_never_read():
    images = column(1, math.nan, 3).requires_grad_()
    filled, _ = fill_gaps(images, flags(1, 0, 1), torch.tensor([0.0, 1.0, 2.0]))
    assert filled.flatten().tolist() == [1, 2, 3]
    filled.sum().backward()
    assert images.grad.flatten().tolist() == [1.5, 0, 1.5]


def test_dates_on_one_day_do_no_harm():
    filled, _ = fill_gaps(column(1, 0, 3), flags(1, 0, 1), torch.tensor([5.0, 5.0, 5.0]))
    assert filled.flatten()[1] in (1, 3)


def test_batches_have_dates_of_their_own():
    images, valid, days = series()
    other = days.flip(0) * 0.3
    both, where = fill_gaps(
        images.expand(2, -1, -1, -1, -1), valid.expand(2, -1, -1, -1), torch.stack((days, other))
    )
    for row, times in enumerate((days, other)):
        alone, alone_where = fill_gaps(images, valid, times)
        torch.testing.assert_close(both[row], alone)
        assert torch.equal(where[row], alone_where)


def test_the_transform_fills_whole_dates_without_a_file():
    sample = {
        'image': column(1, 0, 3),
        'mask_valid': flags(1, 1, 1),
        'gap': torch.tensor([False, True, False]),
        'seconds': torch.tensor([0.0, 86400.0, 4 * 86400.0], dtype=torch.float64),
        'mask': torch.zeros(1, 1, dtype=torch.int64),
    }
    result = FillGaps()(sample)
    assert result['image'].flatten().tolist() == [1, 1.5, 3]
    assert result['mask_filled'].flatten().tolist() == [False, True, False]
    assert result['mask_valid'].all()
    assert result['mask'] is sample['mask']
    assert sample['image'].flatten().tolist() == [1, 0, 3]


def test_the_transform_takes_batches_and_day_of_year():
    images, valid, days = series()
    sample = {'image': images, 'mask_valid': valid, 'doy': days.float()}
    batch = {key: torch.stack((value, value)) for key, value in sample.items()}
    one, two = FillGaps(max_gap=60)(sample), FillGaps(max_gap=60)(batch)
    assert one['image'].shape == images.shape
    assert one['mask_filled'].shape == valid.shape
    assert torch.equal(one['mask_valid'], valid | one['mask_filled'])
    for key in ('image', 'mask_valid', 'mask_filled'):
        assert torch.equal(two[key][1], one[key])


def test_what_the_gap_filler_cannot_use():
    images, valid, days = series()
    with pytest.raises(BadParameter, match='cubic'):
        FillGaps('cubic')
    with pytest.raises(BadParameter, match='max_gap'):
        FillGaps(max_gap=0)
    with pytest.raises(BadInput, match='does not tell its dates'):
        FillGaps()({'image': images, 'mask_valid': valid})
    with pytest.raises(BadInput, match='no dates'):
        FillGaps()({'image': images[0], 'doy': days})
    with pytest.raises(BadInput, match='doy has the shape'):
        FillGaps()({'image': images, 'doy': days[:3]})


def test_day_of_year_is_a_circle():
    points = encode_day_of_year(torch.tensor([1.0, 1 + 365.2425 / 4, 1 + 365.2425 / 2, 366.2425]))
    expected = torch.tensor([[0.0, 1], [1, 0], [0, -1], [0, 1]])
    torch.testing.assert_close(points, expected, atol=1e-5, rtol=0)
    steps = encode_day_of_year(torch.arange(1.0, 367)).diff(dim=0).norm(dim=1)
    torch.testing.assert_close(
        steps, torch.full_like(steps, 2 * math.pi / 365.2425), rtol=1e-3, atol=0
    )


def test_a_gap_is_no_day():
    sample = {
        'image': torch.zeros(2, 3, 1, 4, 4),
        'doy': torch.full((2, 3), 40.0),
        'gap': torch.tensor([[False, True, False], [False, False, False]]),
    }
    encoding = EncodeDayOfYear()(sample)['doy_encoding']
    assert encoding.shape == (2, 3, 2)
    assert encoding[0, 1].tolist() == [0, 0]
    torch.testing.assert_close(encoding.norm(dim=-1)[1], torch.ones(3))
    with pytest.raises(BadInput, match='doy'):
        EncodeDayOfYear()({'image': torch.zeros(2, 1, 4, 4)})
