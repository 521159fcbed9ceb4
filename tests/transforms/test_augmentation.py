import kornia.augmentation as K
import pytest
import torch

from torchgeo_ext.errors import BadInput
from torchgeo_ext.transforms import KorniaSequential


def sample():
    labels = torch.randint(0, 5, (3, 16, 16), generator=torch.Generator().manual_seed(0))
    return {
        'image': torch.rand(3, 4, 16, 16, generator=torch.Generator().manual_seed(1)),
        'mask': labels,
        'mask_valid': torch.ones(3, 16, 16, dtype=torch.bool),
        'wavelengths': torch.tensor([0.49, 0.56, 0.665, 0.842]).expand(3, -1),
    }


def test_kornia_alone_spoils_the_labels():
    flip = K.AugmentationSequential(K.RandomHorizontalFlip(p=1), data_keys=None, keepdim=True)
    assert flip(sample())['mask'].dtype == torch.bool  # the trap
    result = KorniaSequential(K.RandomHorizontalFlip(p=1))(sample())
    assert torch.equal(result['mask'], sample()['mask'].flip(-1))
    assert result['mask'].dtype == torch.int64
    assert result['mask_valid'].dtype == torch.bool


def test_what_comes_from_outside_has_no_label_and_is_not_valid():
    torch.manual_seed(0)
    result = KorniaSequential(K.RandomRotation((30.0, 30.0), p=1))(sample())
    outside = result['mask'] == -1
    assert outside[:, 0, 0].all()
    assert not outside[:, 8, 8].any()
    assert torch.equal(outside, ~result['mask_valid'])
    unmarked = {key: value for key, value in sample().items() if key != 'mask_valid'}
    torch.manual_seed(0)
    result = KorniaSequential(K.RandomRotation((30.0, 30.0), p=1))(unmarked)
    assert torch.equal(outside, ~result['mask_valid'])


@pytest.mark.parametrize('batched', [False, True])
def test_dates_move_together(batched):
    torch.manual_seed(0)
    augment = KorniaSequential(
        K.RandomRotation((30.0, 30.0), p=1), K.RandomCrop((8, 8), p=1), series=not batched
    )
    image = torch.rand(2, 1, 3, 16, 16).expand(2, 5, 3, 16, 16)
    given = {
        'image': image,
        'mask': torch.randint(0, 5, (2, 1, 16, 16)),
        'mask_valid': torch.ones(2, 5, 16, 16, dtype=torch.bool),
    }
    if not batched:
        given = {key: value[0] for key, value in given.items()}
    result = augment(given)
    leading = (2, 5) if batched else (5,)
    assert result['image'].shape == (*leading, 3, 8, 8)
    assert result['mask_valid'].shape == (*leading, 8, 8)
    assert result['mask'].shape[-3:] == (1, 8, 8)
    dates = result['image'].movedim(-4, 0)
    assert (dates == dates[0]).all()


def test_masks_that_do_not_fit():
    pair = {'image': torch.rand(2, 3, 8, 8), 'mask': torch.zeros(1, 8, 8).long()}
    with pytest.raises(BadInput, match='series=True'):
        KorniaSequential(K.RandomHorizontalFlip())(pair)
    assert KorniaSequential(K.RandomHorizontalFlip(), series=True)(pair)['mask'].shape == (1, 8, 8)


@pytest.mark.parametrize('nodata', [-9999.0, float('nan')])
def test_invalid_pixels_do_not_colour_their_neighbours(nodata):
    torch.manual_seed(0)
    valid = torch.rand(3, 16, 16) > 0.2
    image = torch.tensor([2.0, 5.0])[:, None, None].expand(3, 2, 16, 16)
    given = {'image': torch.where(valid[:, None], image, nodata), 'mask_valid': valid}
    result = KorniaSequential(K.RandomRotation90((1, 3), p=1))(given)
    assert (~result['mask_valid']).sum() == (~valid).sum()
    torch.testing.assert_close(result['image'], image, atol=1e-3, rtol=0)
