import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms.mixing import (
    ClassMix,
    CutMix,
    SeasonalMix,
    random_boxes,
    random_classes,
)


def batch(count=6, dates=None, size=(12, 16)):
    """Samples whose every pixel tells, in image, mask and validity, which sample it is of."""
    number = torch.arange(count)
    shape = (count, 3, *size) if dates is None else (count, dates, 3, *size)
    axes = [1] * (len(shape) - 1)
    image = number.float().reshape(-1, *axes).expand(shape).clone()
    mask = number.reshape(-1, 1, 1).expand(count, *size).clone()
    valid = torch.rand(count, *([] if dates is None else [dates]), *size) > 0.2
    return {
        'image': image,
        'mask': mask if dates is None else mask[:, None],
        'mask_valid': valid,
        'number': number,
    }


def owner(result):
    """Which sample each pixel is of, by the image."""
    return result['image'].flatten(1, -3)[:, 0].long()


def test_boxes_have_their_area():
    torch.manual_seed(0)
    boxes = random_boxes(200, 40, 60, torch.full((200,), 0.25))
    assert (boxes.sum(dim=(1, 2)) == 20 * 30).all()
    assert (boxes.any(dim=2).sum(dim=1) == 20).all()
    assert (boxes.any(dim=1).sum(dim=1) == 30).all()
    assert boxes.any(dim=(0, 1)).all()
    assert boxes.any(dim=(0, 2)).all()
    assert random_boxes(1, 5, 5, torch.ones(1)).all()
    assert not random_boxes(1, 5, 5, torch.zeros(1)).any()


@pytest.mark.parametrize('dates', [None, 2])
def test_cutmix_keeps_image_labels_and_validity_together(dates):
    torch.manual_seed(0)
    sample = batch(dates=dates)
    result = CutMix(area=(0.25, 0.25), p=1)(sample)
    mine = torch.arange(6)[:, None, None]
    where = owner(result)
    assert torch.equal(where, result['mask'].reshape(where.shape))
    assert (result['image'].flatten(1, -3) == where[:, None]).all()
    # the box of the labels is that of the image, of the area asked for
    assert ((where != mine).sum(dim=(1, 2)) == 6 * 8).all()
    valid = sample['mask_valid']
    expected = torch.where(
        (where != mine).reshape(6, *[1] * (valid.ndim - 3), 12, 16),
        valid[torch.where(where != mine, where, -1).amax(dim=(1, 2))],
        valid,
    )
    assert torch.equal(result['mask_valid'], expected)
    assert result['number'] is sample['number']
    # nobody gives to two, nobody takes from itself
    assert sorted(where[i][where[i] != i][0].item() for i in range(6)) == list(range(6))


def test_chance_decides_for_each_sample():
    torch.manual_seed(0)
    sample = batch(count=40)
    mixed = (owner(CutMix(p=0.5)(sample)) != torch.arange(40)[:, None, None]).any(dim=(1, 2))
    assert 10 < mixed.sum() < 30
    assert torch.equal(CutMix(p=0)(sample)['image'], sample['image'])


def test_half_of_the_classes_are_drawn():
    torch.manual_seed(0)
    mask = torch.randint(-1, 5, (50, 20, 20)) * 1000
    mask[mask < 0] = -1
    mask[0] = 3000
    mask[1] = -1
    mask[2, :10], mask[2, 10:] = 0, 1000
    drawn = random_classes(mask)
    assert not drawn[mask == -1].any()
    assert not drawn[:2].any()
    assert drawn[2].sum() == 200
    for one, where in zip(mask[3:], drawn[3:], strict=True):
        classes = one[where].unique()
        assert len(classes) == 2
        assert torch.equal(where, torch.isin(one, classes))
    assert (
        len({tuple(one[where].unique().tolist()) for one, where in zip(mask, drawn, strict=True)})
        > 5
    )


@pytest.mark.parametrize('dates', [None, 2])
def test_classmix_takes_the_partners_pixels(dates):
    torch.manual_seed(0)
    sample = batch(dates=dates)
    classes = torch.randint(0, 4, (6, 12, 16))
    sample['mask'] = classes if dates is None else classes[:, None]
    result = ClassMix(p=1)(sample)
    where = owner(result)
    for i in range(6):
        taken = where[i] != i
        partner = where[i][taken][0].item()
        assert torch.equal(taken, torch.isin(classes[partner], classes[partner][taken].unique()))
        mask = result['mask'][i].reshape(12, 16)
        assert torch.equal(mask, torch.where(taken, classes[partner], classes[i]))
        valid = sample['mask_valid']
        assert torch.equal(result['mask_valid'][i], torch.where(taken, valid[partner], valid[i]))


@pytest.mark.parametrize('transform', [CutMix(p=1), ClassMix(p=1)])
def test_mixing_is_for_batches_with_labels(transform):
    sample = batch(dates=2)
    with pytest.raises(BadInput, match='no mask'):
        transform({'image': sample['image']})
    for key in ('mask', 'mask_valid'):
        sample[key] = sample[key][0]
    with pytest.raises(BadInput, match='batch'):
        transform({**sample, 'image': sample['image'][0]})
    with pytest.raises(BadInput, match='batch'):
        transform({'image': torch.zeros(3, 8, 8), 'mask': torch.zeros(8, 8).long()})
    with pytest.raises(BadParameter, match='p is 2'):
        type(transform)(p=2)


def test_gradients_go_to_whom_the_pixel_came_from():
    torch.manual_seed(0)
    sample = batch()
    sample['image'].requires_grad_()
    result = CutMix(p=1)(sample)
    result['image'].sum().backward()
    given = torch.stack([(owner(result) == i).sum() for i in range(6)])
    torch.testing.assert_close(sample['image'].grad.sum(dim=(1, 2, 3)), 3.0 * given)


def series(dates, valid_share=0.8):
    random = torch.Generator().manual_seed(0)
    return {
        'image': torch.arange(float(dates)).reshape(-1, 1, 1, 1).expand(dates, 2, 12, 16).clone(),
        'mask_valid': torch.rand(dates, 12, 16, generator=random) < valid_share,
        'mask': torch.ones(1, 12, 16, dtype=torch.int64),
        'mask_cloud': torch.arange(dates).reshape(-1, 1, 1).expand(dates, 12, 16).clone(),
        'doy': torch.arange(float(dates)),
    }


@pytest.mark.parametrize('dates', [2, 5])
def test_dates_exchange_a_box(dates):
    torch.manual_seed(0)
    sample = series(dates)
    result = SeasonalMix(share=(0.25, 0.25), p=1)(sample)
    image, own = result['image'], torch.arange(dates)[:, None, None]
    # every pixel still has each date once, and other masks of a date go with it
    assert torch.equal(image.sort(dim=0).values, sample['image'])
    assert torch.equal(image[:, 0].long(), result['mask_cloud'])
    moved = image[:, 0] != own
    assert ((moved.sum(dim=(1, 2)) > 0).sum()) == dates - dates % 2
    for i in range(dates):
        if moved[i].any():
            partner = image[i, 0][moved[i]].long()
            assert (partner == partner[0]).all()
            assert not moved[i][~sample['mask_valid'][i]].any()
            assert not moved[i][~sample['mask_valid'][partner[0]]].any()
            assert moved[i].any(dim=0).sum() == 8
            assert moved[i].any(dim=1).sum() == 6
    for key in ('mask', 'mask_valid', 'doy'):
        assert result[key] is sample[key]


def test_dates_blend_into_each_other():
    torch.manual_seed(0)
    sample = series(2, valid_share=0.6)
    result = SeasonalMix('blend', share=(0.3, 0.3), p=1)(sample)
    both = sample['mask_valid'].all(dim=0)
    expected = torch.where(both, torch.tensor([0.3, 0.7]).reshape(2, 1, 1), sample['image'][:, 0])
    torch.testing.assert_close(result['image'], expected[:, None].expand(-1, 2, -1, -1))
    assert result['mask_cloud'] is sample['mask_cloud']


def test_series_of_a_batch_are_mixed_by_themselves():
    torch.manual_seed(0)
    sample = series(4)
    two = {
        key: torch.stack((value, value + 10 if key == 'image' else value))
        for key, value in sample.items()
    }
    result = SeasonalMix(p=1)(two)['image']
    assert (result[0] < 10).all()
    assert (result[1] >= 10).all()
    assert not torch.equal(result[0], result[1] - 10)
    assert torch.equal(SeasonalMix(p=0)(two)['image'], two['image'])


def test_dates_without_a_file_are_not_mixed():
    torch.manual_seed(0)
    sample = series(2) | {'gap': torch.tensor([False, True])}
    assert torch.equal(SeasonalMix('blend', p=1)(sample)['image'], sample['image'])


def test_what_cannot_be_mixed():
    with pytest.raises(BadParameter, match='swap'):
        SeasonalMix('swap')
    with pytest.raises(BadParameter, match='share'):
        SeasonalMix(share=(0, 2))
    with pytest.raises(BadParameter, match='area'):
        CutMix(area=(0.5, 0.1))
    with pytest.raises(BadInput, match='no dates'):
        SeasonalMix()({'image': torch.zeros(3, 8, 8)})
