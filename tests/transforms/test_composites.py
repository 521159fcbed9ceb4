import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms.composites import (
    TemporalComposite,
    greenest_date,
    mean_composite,
    median_composite,
    medoid_date,
    take_dates,
)

BANDS = ['blue', 'green', 'red', 'nir']


@pytest.fixture
def series():
    random = torch.Generator().manual_seed(0)
    images = torch.rand(6, 4, 5, 7, generator=random)
    valid = torch.rand(6, 5, 7, generator=random) > 0.4
    valid[:, 0, 0] = False
    valid[:, 0, 1] = True
    return images, valid


@pytest.mark.parametrize(
    ('compose', 'reference'), [(median_composite, np.median), (mean_composite, np.mean)]
)
def test_statistics_equal_numpy(series, compose, reference):
    images, valid = series
    image, any_date = compose(images, valid)
    for row, col in np.ndindex(5, 7):
        values = images[valid[:, row, col], :, row, col]
        expected = reference(values.numpy(), axis=0) if len(values) else images[0, :, row, col]
        np.testing.assert_allclose(image[:, row, col], expected, rtol=1e-6)
    assert torch.equal(any_date, valid.any(dim=0))


@pytest.mark.parametrize('compose', [median_composite, mean_composite])
def test_invalid_values_and_gradients_stay_apart(series, compose):
    images, valid = series
    images = torch.where(valid[:, None], images, torch.nan).requires_grad_()
    image, any_date = compose(images, valid)
    assert image[:, any_date].isfinite().all()
    assert image[:, ~any_date].isnan().all()
    image[:, any_date].sum().backward()
    assert images.grad.isfinite().all()
    torch.testing.assert_close(images.grad.sum(dim=0), any_date.float().expand(4, -1, -1))


def test_medoid_equals_brute_force(series):
    images, valid = series
    dates = medoid_date(images, valid)
    for row, col in np.ndindex(5, 7):
        seen = valid[:, row, col].nonzero()[:, 0].tolist()
        spectra = images[:, :, row, col].double().numpy()
        totals = [sum(np.linalg.norm(spectra[i] - spectra[j]) for j in seen) for i in seen]
        expected = seen[int(np.argmin(totals))] if len(seen) > 2 else (seen or [-1])[0]
        assert dates[row, col] == expected


def test_medoid_shuns_clouds_and_invalid_spectra():
    images = torch.full((5, 3, 1, 1), 0.1)
    images[1] = 0.8  # a cloud
    images[3] = 0.11
    images[4] = torch.nan
    valid = torch.tensor([True, True, True, True, False]).reshape(5, 1, 1)
    assert medoid_date(images, valid).item() == 0


def test_greenest_date_is_valid_and_the_greenest(series):
    images, valid = series
    dates = greenest_date(images, valid, red=2, nir=3)
    ndvi = (images[:, 3] - images[:, 2]) / (images[:, 3] + images[:, 2])
    for row, col in np.ndindex(5, 7):
        seen = valid[:, row, col].nonzero()[:, 0].tolist()
        expected = max(seen, key=lambda i: ndvi[i, row, col]) if seen else -1
        assert dates[row, col] == expected
    black = torch.zeros(2, 2, 1, 1)
    assert greenest_date(black, torch.ones(2, 1, 1, dtype=torch.bool), 0, 1).item() == 0


def test_dates_are_taken_whole(series):
    images, _ = series
    dates = torch.randint(-1, 6, (5, 7), generator=torch.Generator().manual_seed(1))
    image = take_dates(images, dates)
    for row, col in np.ndindex(5, 7):
        assert torch.equal(image[:, row, col], images[max(dates[row, col], 0), :, row, col])


@pytest.mark.parametrize('method', ['median', 'mean', 'max_ndvi', 'medoid'])
def test_the_transform_makes_one_image(series, method):
    images, valid = series
    sample = {
        'image': images,
        'mask_valid': valid,
        'mask': torch.ones(5, 7, dtype=torch.int64),
        'wavelengths': torch.tensor([0.49, 0.56, 0.665, 0.842]),
    }
    compose = TemporalComposite(method)
    one = compose(sample)
    assert one['image'].shape == (4, 5, 7)
    assert torch.equal(one['mask_valid'], valid.any(dim=0))
    assert torch.equal(one['image'][:, 0, 0], images[0, :, 0, 0])
    assert one['mask'] is sample['mask']
    if method in ('max_ndvi', 'medoid'):
        assert torch.equal(one['image'], take_dates(images, one['mask_date']))
        assert torch.equal(one['mask_date'] >= 0, one['mask_valid'])
    two = compose({key: torch.stack((value, value)) for key, value in sample.items()})
    assert torch.equal(two['image'][1], one['image'])
    assert torch.equal(two['mask_valid'][1], one['mask_valid'])


@pytest.mark.parametrize('method', ['mean', 'medoid'])
def test_masks_of_dates_become_those_of_the_dates_taken(series, method):
    images, valid = series
    cloud = torch.arange(6).reshape(6, 1, 1).expand(6, 5, 7)
    sample = {'image': images, 'mask_valid': valid, 'mask_cloud': cloud}
    result = TemporalComposite(method)(sample)
    if method == 'mean':
        assert 'mask_cloud' not in result
    else:
        assert torch.equal(result['mask_cloud'], result['mask_date'].clamp(min=0))


def test_dates_without_a_file_are_not_taken(series):
    images, valid = series
    gap = torch.tensor([True] * 5 + [False])
    result = TemporalComposite('mean')({'image': images, 'mask_valid': valid, 'gap': gap})
    assert torch.equal(result['mask_valid'], valid[5])
    assert torch.equal(result['image'][:, valid[5]], images[5][:, valid[5]])


def test_bands_are_found_by_role_or_wavelength(series):
    images, _ = series
    by_name = TemporalComposite('max_ndvi', bands=BANDS)({'image': images})
    swapped = TemporalComposite('max_ndvi', bands=[0.842, 0.56, 0.665, 0.49])(
        {'image': images[:, [3, 1, 2, 0]]}
    )
    assert torch.equal(by_name['mask_date'], swapped['mask_date'])


def test_what_the_composite_cannot_use(series):
    images, _ = series
    with pytest.raises(BadParameter, match='mode'):
        TemporalComposite('mode')
    with pytest.raises(BadParameter, match='nir'):
        TemporalComposite('max_ndvi', bands=BANDS[:3])
    with pytest.raises(BadInput, match='red and near infrared'):
        TemporalComposite('max_ndvi')({'image': images})
    with pytest.raises(BadInput, match='no dates'):
        TemporalComposite()({'image': images[0]})
