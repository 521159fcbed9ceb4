"""Shapes of spectra, against scipy and numpy."""

import numpy as np
import pytest
import torch
from scipy.signal import savgol_filter
from scipy.spatial import ConvexHull

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import BandWavelengths
from torchgeo_ext.transforms import (
    ContinuumRemoval,
    MaskBands,
    SavitzkyGolay,
    ScatterCorrection,
    SpectralDerivative,
    StandardNormalVariate,
)

#: Unevenly spaced, and in no order.
CENTRES = np.random.default_rng(0).permutation(
    np.sort(np.random.default_rng(1).uniform(0.4, 2.4, 40))
)
ORDER = np.argsort(CENTRES)
SPECTRA = np.random.default_rng(2).uniform(0.05, 0.9, (40, 5, 7))


def applied(transform, spectra=SPECTRA):
    """Result with its bands from short to long waves."""
    return transform(torch.from_numpy(spectra)).numpy()[ORDER]


def hull_by_scipy(along, values):
    """Upper hull: the corners of the convex hull closed far below."""
    points = np.column_stack([along, values])
    closed = np.vstack([points, [[along[0], -9], [along[-1], -9]]])
    corners = sorted(v for v in ConvexHull(closed).vertices if v < len(along))
    return np.interp(along, along[corners], values[corners])


def test_continuum_is_the_hull_of_scipy():
    found = applied(ContinuumRemoval(CENTRES.tolist()))
    along, spectra = CENTRES[ORDER], SPECTRA[ORDER]
    for row, column in np.ndindex(5, 7):
        spectrum = spectra[:, row, column]
        expected = spectrum / hull_by_scipy(along, spectrum)
        assert found[:, row, column] == pytest.approx(expected)
    assert found.max() == pytest.approx(1)
    assert (found[[0, -1]] == 1).all()


def test_continuum_of_lines_and_of_nothing():
    along = torch.tensor([0.4, 0.5, 0.7, 1.0], dtype=torch.float64)
    line = (1 + 2 * along)[:, None, None]
    torch.testing.assert_close(ContinuumRemoval(along.tolist())(line), torch.ones_like(line))
    dark = torch.zeros(4, 1, 1)
    assert (ContinuumRemoval(along.tolist())(dark) == 0).all()


def test_overlapping_detectors_may_share_a_wavelength():
    result = ContinuumRemoval([0.4, 0.9, 0.9, 1.2])(torch.tensor([1, 0.5, 2.0, 1])[:, None, None])
    assert result.isfinite().all()
    assert result[2] == 1


@pytest.mark.parametrize('order', [1, 2])
def test_derivative_is_that_of_numpy(order):
    expected = SPECTRA[ORDER]
    for _ in range(order):
        expected = np.gradient(expected, CENTRES[ORDER], axis=0)
    np.testing.assert_allclose(applied(SpectralDerivative(order, CENTRES.tolist())), expected)


@pytest.mark.parametrize('derivative', [0, 1, 2])
def test_savitzky_golay_is_that_of_scipy(derivative):
    transform = SavitzkyGolay(9, 3, derivative, CENTRES.tolist())
    delta = (CENTRES.max() - CENTRES.min()) / 39
    expected = savgol_filter(SPECTRA[ORDER], 9, 3, deriv=derivative, delta=delta, axis=0)
    np.testing.assert_allclose(applied(transform), expected, atol=1e-9)


def test_standard_normal_variate():
    found = StandardNormalVariate()(torch.from_numpy(SPECTRA))
    expected = (SPECTRA - SPECTRA.mean(0)) / SPECTRA.std(0)
    np.testing.assert_allclose(found.numpy(), expected)
    flat = torch.full((6, 2, 2), 0.3, requires_grad=True)
    result = StandardNormalVariate()(flat)
    assert (result == 0).all()
    result.sum().backward()
    assert flat.grad.isfinite().all()


@pytest.mark.parametrize('given', [True, False])
def test_scatter_correction_is_a_fit(given):
    reference = np.linspace(0.1, 0.7, 40) if given else SPECTRA.mean(axis=(1, 2))
    transform = ScatterCorrection(reference.tolist() if given else None)
    found = transform(torch.from_numpy(SPECTRA)).numpy()
    for row, column in np.ndindex(5, 7):
        slope, level = np.polyfit(reference, SPECTRA[:, row, column], 1)
        expected = (SPECTRA[:, row, column] - level) / slope
        assert found[:, row, column] == pytest.approx(expected)


def test_scatter_correction_undoes_brightness_and_slope():
    reference = torch.linspace(0.1, 0.7, 12, dtype=torch.float64)
    changed = (0.2 + 1.7 * reference)[:, None, None]
    found = ScatterCorrection(reference.tolist())(changed)
    torch.testing.assert_close(found[:, 0, 0], reference)
    assert (ScatterCorrection(reference.tolist())(torch.ones(12, 1, 1)) == 0).all()


def test_mask_bands():
    image = torch.ones(224, 2, 2)
    found = MaskBands(bands='enmap', fill=-1.0)(image)[:, 0, 0]
    hidden = (found == -1).nonzero()[:, 0].tolist()
    assert hidden == list(range(129, 135))  # B130 to B135
    bands = BandWavelengths((0.5, 0.6, 1.38), good=(True, False, True))
    assert MaskBands(bands=bands)(torch.ones(3, 1, 1))[:, 0, 0].tolist() == [1, 0, 0]
    sample = {'image': torch.ones(2, 1, 1), 'wavelengths': torch.tensor([0.6, 1.9])}
    assert MaskBands()(sample)['image'][:, 0, 0].tolist() == [1, 0]


def test_what_cannot_be():
    with pytest.raises(BadParameter, match='window must be odd'):
        SavitzkyGolay(8)
    with pytest.raises(BadInput, match='window of 7 bands, but the image has only 3'):
        SavitzkyGolay(bands=[0.5, 0.6, 0.7])(torch.ones(3, 2, 2))
    with pytest.raises(BadParameter, match='order is 0'):
        SpectralDerivative(0)
    with pytest.raises(BadInput, match='all of different wavelengths'):
        SpectralDerivative(bands=[0.5, 0.5])(torch.ones(2, 2, 2))
    with pytest.raises(BadInput, match='ContinuumRemoval needs wavelengths'):
        ContinuumRemoval()(torch.ones(2, 2, 2))
    batch = {'image': torch.ones(2, 2, 2, 2), 'wavelengths': torch.tensor([[0.5, 0.6], [0.5, 0.7]])}
    with pytest.raises(BadInput, match='have different wavelengths'):
        ContinuumRemoval()(batch)
