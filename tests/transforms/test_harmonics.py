import math

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms.harmonics import (
    HarmonicCoefficients,
    HarmonicFill,
    fit_harmonics,
    harmonic_design,
)


@pytest.fixture
def planted():
    """A series that is a harmonic model, with its coefficients."""
    random = torch.Generator().manual_seed(0)
    days = (torch.rand(30, generator=random, dtype=torch.float64) * 900).sort().values
    coefficients = torch.randn(6, 2, 4, 5, generator=random, dtype=torch.float64)
    design = harmonic_design(days, days.mean())
    images = torch.einsum('tp,pchw->tchw', design, coefficients)
    valid = torch.rand(30, 4, 5, generator=random) > 0.3
    return images, valid, days, coefficients


def test_the_regressors_are_what_they_are_said_to_be():
    days = torch.tensor([0.0, 100.0], dtype=torch.float64)
    angle = 2 * math.pi * 100 / 365.2425
    expected = [[1, -40 / 365.2425, 1, 0], [1, 60 / 365.2425, math.cos(angle), math.sin(angle)]]
    design = harmonic_design(days, torch.tensor(40.0), harmonics=1)
    np.testing.assert_allclose(design, expected, atol=1e-12)
    assert harmonic_design(days, days[0], harmonics=2, trend=False).shape == (2, 5)


def test_planted_coefficients_are_recovered(planted):
    images, valid, days, coefficients = planted
    images = torch.where(valid[:, None], images, torch.nan)
    fit = fit_harmonics(images, valid, days, ridge=1e-10)
    torch.testing.assert_close(fit.coefficients, coefficients, atol=1e-6, rtol=0)
    assert torch.equal(fit.observations, valid.sum(dim=0))


def test_the_fit_equals_ridge_regression(planted):
    images, valid, days, _ = planted
    images = images + torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    valid[6:, 0, 0] = False
    fit = fit_harmonics(images, valid, days, ridge=0.5)
    design = harmonic_design(days, days.mean()).numpy()
    for row, col in np.ndindex(4, 5):
        seen = valid[:, row, col].numpy()
        normal = design[seen].T @ design[seen] + np.diag([0] + [0.5] * 5)
        right = design[seen].T @ images[seen, :, row, col].numpy()
        expected = np.linalg.solve(normal, right)
        np.testing.assert_allclose(
            fit.coefficients[:, :, row, col], expected, rtol=1e-8, atol=1e-12
        )


def test_prediction_at_other_dates(planted):
    images, valid, days, coefficients = planted
    fit = fit_harmonics(images, valid, days, ridge=1e-10)
    later = torch.tensor([1000.0, 1100.0, 3.5], dtype=torch.float64)
    expected = torch.einsum('tp,pchw->tchw', harmonic_design(later, days.mean()), coefficients)
    torch.testing.assert_close(fit.predict(later), expected, atol=1e-5, rtol=0)


def test_few_dates_give_small_waves_and_none_gives_zero():
    images = torch.full((4, 1, 1, 2), 0.3)
    valid = torch.zeros(4, 1, 2, dtype=torch.bool)
    valid[:2, 0, 0] = True
    fit = fit_harmonics(images, valid, torch.tensor([10.0, 200.0, 300.0, 340.0]))
    torch.testing.assert_close(fit.coefficients[0, 0, 0, 0].item(), 0.3)
    assert fit.coefficients[1:, 0, 0, 0].abs().max() < 1e-6
    assert (fit.coefficients[..., 1] == 0).all()


def test_batches_equal_single_series(planted):
    images, valid, days, _ = planted
    other = days * 0.7 + 20
    both = fit_harmonics(
        torch.stack((images, images)), torch.stack((valid, valid)), torch.stack((days, other))
    )
    for row, times in enumerate((days, other)):
        alone = fit_harmonics(images, valid, times)
        torch.testing.assert_close(both.coefficients[row], alone.coefficients)
        torch.testing.assert_close(
            both.predict(torch.stack((days, other)))[row], alone.predict(times)
        )


def test_gradients_reach_the_images():
    random = torch.Generator().manual_seed(0)
    images = torch.rand(8, 1, 1, 2, generator=random, dtype=torch.float64, requires_grad=True)
    valid = torch.rand(8, 1, 2, generator=random) > 0.2
    days = torch.arange(8) * 40.0

    def predict(images):
        return fit_harmonics(images, valid, days, harmonics=1).predict(days)

    assert torch.autograd.gradcheck(predict, images)


def test_filling_by_season(planted):
    images, valid, days, _ = planted
    valid[5:, 0, 0] = False
    sample = {
        'image': torch.where(valid[:, None], images, -9).float(),
        'mask_valid': valid,
        'seconds': days * 86400,
    }
    fill = HarmonicFill(ridge=1e-8)
    one = fill(sample)
    expected = ~valid
    expected[:, 0, 0] = False
    assert torch.equal(one['mask_filled'], expected)
    assert torch.equal(one['mask_valid'], valid | expected)
    torch.testing.assert_close(
        torch.where(one['mask_valid'][:, None], one['image'], images.float()),
        images.float(),
        atol=1e-4,
        rtol=0,
    )
    assert (one['image'][5:, :, 0, 0] == -9).all()
    two = fill({key: torch.stack((value, value)) for key, value in sample.items()})
    torch.testing.assert_close(two['image'][1], one['image'])
    assert torch.equal(two['mask_filled'][1], one['mask_filled'])


def test_coefficients_as_channels(planted):
    images, valid, days, coefficients = planted
    valid[:, 0, 0] = False
    sample = {
        'image': images.float(),
        'mask_valid': valid,
        'seconds': days * 86400,
        'wavelengths': torch.tensor([0.665, 0.842]),
        'mask_filled': torch.zeros_like(valid),
    }
    describe = HarmonicCoefficients(ridge=1e-8)
    one = describe(sample)
    assert one['image'].shape == (12, 4, 5)
    assert one['image'].dtype == torch.float32
    assert 'mask_filled' not in one
    assert one['wavelengths'].shape == (12,)
    assert one['wavelengths'].isnan().all()
    assert torch.equal(one['mask_valid'], valid.any(dim=0))
    expected = coefficients.reshape(12, 4, 5).float()
    expected[:, 0, 0] = 0
    torch.testing.assert_close(one['image'], expected, atol=1e-4, rtol=0)
    two = describe({key: torch.stack((value, value)) for key, value in sample.items()})
    torch.testing.assert_close(two['image'][1], one['image'])


def test_what_cannot_be_fitted():
    with pytest.raises(BadParameter, match='harmonics'):
        HarmonicFill(harmonics=-1)
    with pytest.raises(BadParameter, match='ridge'):
        HarmonicCoefficients(ridge=0)
    with pytest.raises(BadParameter, match='minimum_dates'):
        HarmonicFill(minimum_dates=0)
