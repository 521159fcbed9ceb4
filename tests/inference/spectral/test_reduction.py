"""PCA, MNF and the autoencoder beside their definitions."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from tests.cubes import cube_of, materials, simulate, write_cube
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.moments import Moments
from torchgeo_ext.inference.spectral.reduction import fit_autoencoder, fit_mnf, fit_pca, solve_mnf


@pytest.fixture(scope='module')
def scene():
    return simulate(64, 64)


@pytest.fixture(scope='module')
def cube(scene, tmp_path_factory):
    return cube_of(write_cube(tmp_path_factory.mktemp('cube') / 'cube.tif', scene.values))


@pytest.fixture(scope='module')
def pixels(scene):
    return np.rint(scene.values).reshape(30, -1)


@pytest.mark.parametrize('standardise', [False, True])
def test_principal_components_equal_those_of_scikit_learn(cube, pixels, standardise):
    found = fit_pca(cube, standardise=standardise)
    scale = pixels.std(1, keepdims=True) if standardise else 1.0
    expected = PCA(4).fit(((pixels - pixels.mean(1, keepdims=True)) / scale).T)
    components = found.components(pixels, 4)
    theirs = expected.transform(((pixels - pixels.mean(1, keepdims=True)) / scale).T).T
    signs = np.sign((components * theirs).sum(1, keepdims=True))
    np.testing.assert_allclose(components, signs * theirs, atol=1e-6 * np.abs(theirs).max())
    np.testing.assert_allclose(found.restored(found.components(pixels, 30)), pixels, atol=1e-6)
    if not standardise:
        share = expected.explained_variance_ratio_.sum()
        assert found.kept(4) == pytest.approx(share, abs=1e-9)


def test_noise_of_mnf_components_is_one_and_signal_comes_first(scene):
    clean = np.tensordot(materials(), scene.shares, 1).reshape(30, -1)
    signal = Moments(30)
    signal.add(clean + scene.noise[:, None] * np.random.default_rng(1).normal(size=clean.shape))
    noise = np.diag(scene.noise**2)
    found = solve_mnf(signal, noise)
    np.testing.assert_allclose(found.axes @ noise @ found.axes.T, np.eye(30), atol=1e-9)
    turned = found.axes @ signal.covariance @ found.axes.T
    np.testing.assert_allclose(turned, np.diag(found.strengths), atol=1e-6 * turned.max())
    # three materials whose shares add up to one span two directions
    assert found.strengths[1] > 50 > 1.5 > found.strengths[2]
    denoised = found.restored(found.components(clean, 2))
    assert np.abs(denoised - clean).max() < 0.02 * np.abs(clean).max()


def test_mnf_of_a_file_ignores_strong_noise(cube, pixels):
    mnf, pca = fit_mnf(cube), fit_pca(cube)
    (strong,) = [np.s_[-5:]]
    for number in range(2):
        loading = np.abs(mnf.axes[number]) * np.sqrt(pixels.var(1))
        assert loading[strong].max() < loading.max()
    assert mnf.kept(2) < pca.kept(2) + 1e-9
    np.testing.assert_allclose(mnf.restored(mnf.components(pixels, 30)), pixels, atol=1e-5)


def test_the_module_gives_what_the_definition_does(cube, pixels, scene):
    fitted = fit_mnf(cube)
    tiles = torch.from_numpy(np.rint(scene.values)).float()[None]
    expected = fitted.components(pixels, 3).reshape(3, 64, 64)
    np.testing.assert_allclose(fitted.network(3)(tiles)[0], expected, atol=2e-3)


def test_noise_that_depends_on_itself_needs_regularisation(tmp_path):
    values = simulate().values
    values[4] = values[3]
    copied = cube_of(write_cube(tmp_path / 'cube.tif', values))
    with pytest.raises(BadInput, match=r'band 4 .*, band 5 .* depend on each other'):
        fit_mnf(copied)
    assert fit_mnf(copied, regularisation=0.001).strengths[0] > 10


def test_an_autoencoder_finds_a_curve_that_lines_miss(tmp_path):
    random = np.random.default_rng(0)
    along = random.uniform(-1, 1, (64, 64))
    bent = np.stack([along, along**2, along**3])
    mixing = random.normal(0, 300, (30, 3))
    values = 2000 + np.tensordot(mixing, bent, 1) + random.normal(0, 5, (30, 64, 64))
    cube = cube_of(write_cube(tmp_path / 'cube.tif', values))
    found = fit_autoencoder(cube, 1)
    assert found.kept > found.kept_linear + 0.1
    assert found.kept > 0.97
    tiles = torch.from_numpy(np.rint(values)).float()[None]
    with torch.inference_mode():
        component = found.network(tiles)[0, 0].numpy()
    order = np.corrcoef(np.argsort(np.argsort(component.ravel())), along.ravel())[0, 1]
    assert abs(order) > 0.95
