import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms.misregistration import (
    Misregister,
    MisregisterBands,
    misregistered_grid,
    resample,
)


def ramp(height=20, width=24):
    """A plane that is 2 per column and 3 per row."""
    rows = torch.arange(height, dtype=torch.float64)[:, None]
    columns = torch.arange(width, dtype=torch.float64)
    return 2 * columns + 3 * rows


def everywhere(image):
    return torch.ones_like(image[:, :1], dtype=torch.bool)


@pytest.mark.parametrize('shift', [(0.3, -0.7), (-1.25, 2.5), (0.0, 0.0)])
def test_a_moved_ramp_is_exact_inside(shift):
    image = ramp()[None, None]
    grid = misregistered_grid((20, 24), torch.tensor([shift], dtype=torch.float64))
    moved, known = resample(image, everywhere(image), grid)
    expected = image - 2 * shift[0] - 3 * shift[1]
    torch.testing.assert_close(moved[known], expected[known])
    rows, columns = torch.meshgrid(torch.arange(20.0), torch.arange(24.0), indexing='ij')
    inside = (rows - shift[1] >= 0) & (rows - shift[1] <= 19)
    inside &= (columns - shift[0] >= 0) & (columns - shift[0] <= 23)
    assert torch.equal(known[0, 0], inside)


@pytest.mark.parametrize('resampling', ['bilinear', 'bicubic'])
def test_whole_pixels_move_without_loss(resampling):
    image = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    grid = misregistered_grid((20, 24), torch.tensor([[2.0, -3.0]]))
    moved, known = resample(image, everywhere(image), grid, resampling)
    torch.testing.assert_close(moved[0, :, :17, 2:], image[0, :, 3:, :22], atol=1e-5, rtol=1e-5)
    assert known[0, 0, :17, 2:].all()
    assert known.sum() == 17 * 22


def test_turning_and_enlarging_about_the_centre():
    image = torch.zeros(1, 1, 21, 21)
    image[0, 0, 10, 15] = 1  # five to the right of the centre
    still = torch.zeros(1, 2)
    turned, _ = resample(image, everywhere(image), misregistered_grid((21, 21), still, 90.0))
    assert turned[0, 0].argmax() == 15 * 21 + 10  # clockwise: below it
    larger, _ = resample(image, everywhere(image), misregistered_grid((21, 21), still, 0.0, 1.6))
    assert larger[0, 0].argmax() == 10 * 21 + 18


def test_invalid_pixels_have_no_part():
    image = torch.ones(1, 1, 12, 12)
    valid = everywhere(image)
    valid[0, 0, 6, 6] = False
    grid = misregistered_grid((12, 12), torch.tensor([[0.5, 0.0]]))
    moved, known = resample(torch.where(valid, image, 0), valid, grid)
    unknown = (~known[0, 0]).nonzero().tolist()
    assert unknown == sorted([[row, 0] for row in range(12)] + [[6, 6], [6, 7]])
    torch.testing.assert_close(moved[known], torch.ones(int(known.sum())))


@pytest.fixture
def pair():
    random = torch.Generator().manual_seed(0)
    image = torch.stack((ramp(), ramp() + 100))[:, None].repeat(1, 3, 1, 1)
    valid = torch.rand(2, 20, 24, generator=random) > 0.05
    return {
        'image': torch.where(valid[:, None], image, torch.nan),
        'mask_valid': valid,
        'mask': torch.ones(1, 20, 24, dtype=torch.int64),
        'mask_cloud': (torch.arange(24) > 11).long().expand(2, 20, 24),
    }


def test_the_first_date_and_the_labels_stay(pair):
    torch.manual_seed(1)
    result = Misregister(shift=1.5, p=1)(pair)
    valid = result['mask_valid']
    assert result['mask'] is pair['mask']
    torch.testing.assert_close(result['image'][0], pair['image'][0], equal_nan=True, rtol=0, atol=0)
    assert torch.equal(valid[0], pair['mask_valid'][0])
    assert not (valid & ~pair['mask_valid']).any()
    assert valid[1].sum() < pair['mask_valid'][1].sum()
    difference = (result['image'] - pair['image'])[1, :, valid[1]]
    # a plane moved by any amount differs by one number
    torch.testing.assert_close(difference, difference[:1, :1].expand_as(difference))
    assert difference[0, 0].abs() > 0.1
    same = result['image'][1, :, ~valid[1]]
    torch.testing.assert_close(same, pair['image'][1, :, ~valid[1]], equal_nan=True)


def test_masks_of_a_date_move_along(pair):
    torch.manual_seed(1)
    result = Misregister(shift=6, p=1)(pair | {'image': pair['image'].nan_to_num()})
    cloud, valid = result['mask_cloud'], result['mask_valid']
    assert torch.equal(cloud[0], pair['mask_cloud'][0])
    shift = (result['image'] - pair['image'])[1, 0][valid[1]][0].item()
    assert abs(shift) > 0.1
    edges = cloud[1].where(valid[1], -1).diff(dim=1) == 1
    columns = (edges & valid[1, :, :-1]).nonzero()[:, 1]
    assert len(columns.unique()) == 1
    assert columns[0] != 11


def test_series_batches_and_chance(pair):
    sample = {
        'image': torch.rand(4, 5, 2, 16, 16, generator=torch.Generator().manual_seed(0)),
        'mask': torch.zeros(4, 16, 16, dtype=torch.int64),
    }
    torch.manual_seed(0)
    result = Misregister(shift=1, rotation=2, scale=0.02, resampling='bicubic', p=0.5)(sample)
    changed = (result['image'] != sample['image']).flatten(2).any(dim=2)
    assert not changed[:, 0].any()
    assert 3 < changed.sum() < 14
    assert result['mask_valid'].shape == (4, 5, 16, 16)
    assert result['mask_valid'][~changed].all()
    assert not result['mask_valid'][changed].flatten(1).all(dim=1).any()
    torch.manual_seed(0)
    again = Misregister(shift=1, rotation=2, scale=0.02, resampling='bicubic', p=0.5)(sample)
    assert torch.equal(again['image'], result['image'])
    assert torch.equal(
        Misregister(shift=0, p=1)(sample)['mask_valid'], torch.ones(4, 5, 16, 16).bool()
    )


def test_bands_move_against_the_first():
    torch.manual_seed(0)
    image = torch.stack((ramp(), ramp(), ramp()))
    valid = torch.ones(20, 24, dtype=torch.bool)
    valid[10, 10] = False
    result = MisregisterBands(shift=0.8, p=1)({'image': image, 'mask_valid': valid})
    assert torch.equal(result['image'][0], image[0])
    moved = (result['image'] - image)[:, result['mask_valid']]
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))
    assert moved[1, 0].abs() > 0.01
    assert (moved[1, 0] - moved[2, 0]).abs() > 0.01
    assert torch.equal(result['image'][:, 10, 10], image[:, 10, 10])
    assert result['mask_valid'].sum() < valid.sum()


def test_bands_of_all_dates_can_move_alike():
    torch.manual_seed(0)
    image = ramp().expand(2, 3, 3, -1, -1)
    moved = MisregisterBands(shift=0.8, same_on_time=True, p=1)({'image': image})['image'] - image
    centre = moved[..., 10, 12]
    torch.testing.assert_close(centre, centre[:, :1].expand_as(centre))
    assert (centre[0] != centre[1]).any()
    own = (MisregisterBands(shift=0.8, p=1)({'image': image})['image'] - image)[..., 10, 12]
    assert (own[:, 0, 1] != own[:, 1, 1]).all()


@pytest.mark.parametrize(
    'transform', [Misregister(shift=0.7, p=1), MisregisterBands(shift=0.7, p=1)]
)
def test_gradients_reach_the_images(transform):
    image = torch.rand(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)

    def move(image):
        torch.manual_seed(0)
        return transform({'image': image})['image']

    assert torch.autograd.gradcheck(move, image)


def test_what_cannot_be_moved():
    for arguments in (
        {'shift': -1},
        {'rotation': -1},
        {'scale': 2},
        {'resampling': 'nearest'},
        {'p': 7},
    ):
        with pytest.raises(BadParameter, match=next(iter(arguments))):
            Misregister(**arguments)
    with pytest.raises(BadParameter, match='cubic'):
        MisregisterBands(resampling='cubic')
    with pytest.raises(BadInput, match='no dates'):
        Misregister()({'image': torch.zeros(3, 8, 8)})
