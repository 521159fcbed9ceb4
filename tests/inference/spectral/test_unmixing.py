"""Abundances beside scipy, and endmembers that are known."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, nnls

from tests.cubes import cube_of, materials, simulate, write_cube
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.spectral import cube as cube_module
from torchgeo_ext.inference.spectral.endmembers import find_endmembers
from torchgeo_ext.inference.spectral.unmixing import (
    Unmixing,
    check_endmembers,
    constrained_least_squares,
)


def mixtures(count, bands, noise, seed=0):
    """Endmembers (c, p), and pixels (c, n) some of which are pure, zero or outside."""
    random = np.random.default_rng(seed)
    endmembers = 3000 * np.abs(random.normal(size=(bands, count))) + 100
    shares = random.dirichlet(np.full(count, 0.3), 200).T
    pixels = endmembers @ shares + noise * random.normal(size=(bands, 200))
    pixels[:, 0] = endmembers[:, 0]
    pixels[:, 1] = 0
    pixels[:, 2] = -pixels[:, 2]
    pixels[:, 3] *= 5
    return endmembers, pixels


@pytest.mark.parametrize(('count', 'bands'), [(1, 4), (2, 2), (4, 20), (12, 50)])
@pytest.mark.parametrize('noise', [0.0, 300.0])
def test_nnls_equals_scipy(count, bands, noise):
    endmembers, pixels = mixtures(count, bands, noise)
    expected = np.stack([nnls(endmembers, pixel)[0] for pixel in pixels.T], 1)
    found = constrained_least_squares(endmembers, pixels, sum_to_one=False)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize(('count', 'bands'), [(1, 4), (2, 2), (4, 20), (12, 50)])
@pytest.mark.parametrize('noise', [0.0, 300.0])
def test_fcls_equals_scipy_with_a_heavy_sum(count, bands, noise):
    endmembers, pixels = mixtures(count, bands, noise)
    heavy = 1e4 * endmembers.max()
    longer = np.concatenate([endmembers, np.full((1, count), heavy)])
    expected = np.stack([nnls(longer, np.append(pixel, heavy))[0] for pixel in pixels.T], 1)
    found = constrained_least_squares(endmembers, pixels, sum_to_one=True)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-12)
    assert found.min() >= 0
    # the heavy sum is itself off by what it weighs
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_fcls_equals_a_general_solver():
    endmembers, pixels = mixtures(4, 20, 300.0)
    found = constrained_least_squares(endmembers, pixels, sum_to_one=True)
    for pixel, shares in list(zip(pixels.T, found.T, strict=True))[:8]:

        def residual(a, pixel=pixel):
            return np.square(endmembers @ a - pixel).sum() / 1e6

        best = minimize(
            residual, np.full(4, 0.25), bounds=[(0, 1)] * 4, method='SLSQP',
            constraints={'type': 'eq', 'fun': lambda a: a.sum() - 1}, options={'ftol': 1e-14},
        )  # fmt: skip
        assert residual(shares) <= best.fun * (1 + 1e-6) + 1e-9


def test_units_do_not_matter():
    endmembers, pixels = mixtures(5, 20, 300.0)
    plain = constrained_least_squares(endmembers, pixels, sum_to_one=True)
    tiny = constrained_least_squares(1e-7 * endmembers, 1e-7 * pixels, sum_to_one=True)
    np.testing.assert_allclose(tiny, plain, atol=1e-9)


def test_shares_of_a_scene_and_what_is_left():
    scene = simulate(20, 20, noise=1.0)
    tiles = torch.from_numpy(scene.values).float()[None]
    found = Unmixing(materials(), 'fcls')(tiles)[0].numpy()
    np.testing.assert_allclose(found[:3], scene.shares, atol=0.02)
    expected = np.sqrt(np.square(scene.noise).mean())
    assert found[3].mean() == pytest.approx(expected, rel=0.1)


def test_endmembers_that_cannot_be_told_apart():
    spectra = materials()
    double = np.stack([spectra[:, 0], spectra[:, 1], 2 * spectra[:, 0]], 1)
    with pytest.raises(BadInput, match='library: a, c are mixtures of each other'):
        check_endmembers(double, ('a', 'b', 'c'), 'library')
    with pytest.raises(BadInput, match='b is zero in all bands'):
        check_endmembers(spectra * [1, 0, 1], ('a', 'b', 'c'), 'library')
    with pytest.raises(BadInput, match='3 endmembers; with 2 bands 1 to 2'):
        check_endmembers(spectra[:2], ('a', 'b', 'c'), 'library')


@pytest.mark.parametrize('method', ['vca', 'nfindr', 'atgp'])
@pytest.mark.parametrize('noise', [0.5, 10.0])
def test_pure_pixels_are_found(tmp_path, method, noise, monkeypatch):
    values = np.rint(simulate(40, 56, noise=noise).values)
    values[:, 12, 12] = 0
    values[:, 25:30, 5:9] = -32768
    cube = cube_of(write_cube(tmp_path / 'cube.tif', values))
    monkeypatch.setattr(cube_module, '_VALUES', 30 * 32**2)
    found = find_endmembers(cube, 3, method)
    for column, row in found.places:
        np.testing.assert_array_equal(
            found.spectra[:, found.places.tolist().index([column, row])], values[:, row, column]
        )
    expected = materials() / np.linalg.norm(materials(), axis=0)
    units = found.spectra / np.linalg.norm(found.spectra, axis=0)
    angles = np.degrees(np.arccos((expected.T @ units).clip(-1, 1)))
    assert sorted(angles.argmin(0)) == [0, 1, 2]
    assert angles.min(0).max() < 8


def test_more_endmembers_than_bands(tmp_path):
    cube = cube_of(write_cube(tmp_path / 'cube.tif', simulate().values)).select([0, 5, 9])
    with pytest.raises(BadParameter, match='endmembers is 4, but must be between 2 and 3'):
        find_endmembers(cube, 4, 'vca')
