"""Detectors of known spectra beside their formulas."""

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance

from tests.cubes import cube_of, materials, simulate, write_cube
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.spectral.anomalies import GlobalAnomaly, LocalAnomaly
from torchgeo_ext.inference.spectral.cube import background, whitening
from torchgeo_ext.inference.spectral.reduction import fit_pca
from torchgeo_ext.inference.spectral.targets import make_detector


@pytest.fixture(scope='module')
def scene():
    return simulate(40, 40)


@pytest.fixture(scope='module')
def cube(scene, tmp_path_factory):
    return cube_of(write_cube(tmp_path_factory.mktemp('cube') / 'cube.tif', scene.values))


@pytest.fixture(scope='module')
def pixels(scene):
    return np.rint(scene.values).reshape(30, -1)


@pytest.fixture(scope='module')
def targets():
    unlike = 1000 + 800 * np.sin(np.arange(30))
    return np.stack([materials()[:, 0], unlike], 1)


def test_scores_equal_their_formulas(cube, pixels, targets):
    mean, covariance = background(cube)
    np.testing.assert_allclose(mean, pixels.mean(1))
    inverse = np.linalg.inv(np.cov(pixels, bias=True))
    centred, wanted = pixels - mean[:, None], targets - mean[:, None]
    across = wanted.T @ inverse @ centred
    own = np.einsum('ck,cd,dk->k', wanted, inverse, wanted)[:, None]
    lengths = np.einsum('cn,cd,dn->n', centred, inverse, centred)
    correlation = np.linalg.inv(pixels @ pixels.T / pixels.shape[1])
    norms = np.linalg.norm(targets, axis=0)[:, None] * np.linalg.norm(pixels, axis=0)
    expected = {
        'matched_filter': across / own,
        'ace': across**2 / (own * lengths),
        'cem': targets.T
        @ correlation
        @ pixels
        / np.einsum('ck,cd,dk->k', targets, correlation, targets)[:, None],
        'angle': np.arccos(targets.T @ pixels / norms),
    }
    for method, scores in expected.items():
        found = make_detector(method, targets, (mean, covariance))
        np.testing.assert_allclose(found.scores(pixels), scores, rtol=1e-6, atol=1e-9)
        tiles = torch.from_numpy(pixels.reshape(30, 40, 40)).float()[None]
        np.testing.assert_allclose(found(tiles)[0], scores.reshape(2, 40, 40), rtol=1e-4, atol=1e-4)
        assert found.scores(targets)[0, 0] == pytest.approx(float(method != 'angle'), abs=1e-6)


def test_only_the_angle_needs_no_background(targets):
    assert make_detector('angle', targets).scores(3 * targets)[1, 1] == pytest.approx(0, abs=1e-7)
    assert make_detector('angle', targets).scores(0 * targets)[0, 0] == pytest.approx(np.pi / 2)
    nothing = make_detector('angle', np.zeros((30, 1))).scores(targets)
    np.testing.assert_allclose(nothing, np.pi / 2)
    with pytest.raises(BadParameter, match='background: ace needs one'):
        make_detector('ace', targets)


def test_global_anomalies_equal_the_mahalanobis_distance(cube, pixels):
    mean, covariance = background(cube)
    expected = EmpiricalCovariance().fit(pixels.T).mahalanobis(pixels.T)
    found = GlobalAnomaly(mean, whitening(covariance)).scores(pixels)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.mean() == pytest.approx(30)


def test_bands_that_depend_on_each_other_need_regularisation(cube):
    doubled = cube.select([0, 1, 1])
    with pytest.raises(BadInput, match=r'band 2 .* depend on each other'):
        background(doubled)
    _, covariance = background(doubled, 0.01)
    plain = np.diag(background(cube)[1])
    np.testing.assert_allclose(np.diag(covariance), 1.01 * plain[[0, 1, 1]])


@pytest.mark.parametrize(('outer', 'inner'), [(9, 3), (15, 5)])
def test_local_anomalies_equal_window_by_window(cube, pixels, scene, outer, inner):
    pca = fit_pca(cube)
    module = LocalAnomaly(pca, 4, outer, inner)
    values = np.rint(scene.values)
    values[:, 5:9, 7:20] = np.nan
    tiles = torch.from_numpy(values).float()[None]
    found = module(tiles)[0, 0].numpy()
    low = pca.axes[:4] @ (values.reshape(30, -1) - pca.mean[:, None])
    low = (low / np.sqrt(pca.strengths[:4, None])).reshape(4, 40, 40)
    for row, column in [(20, 20), (0, 0), (39, 3), (10, 12), (5, 6)]:
        ring = np.zeros((40, 40), bool)
        for side, inside in ((outer, True), (inner, False)):
            reach = side // 2
            ring[
                max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1
            ] = inside
        around = low[:, ring & ~np.isnan(low[0])]
        # as if one more pixel had the covariance of the whole image
        covariance = np.cov(around, bias=True) * around.shape[1] + np.eye(4)
        covariance /= around.shape[1] + 1
        apart = low[:, row, column] - around.mean(1)
        expected = apart @ np.linalg.inv(covariance) @ apart
        assert found[row, column] == pytest.approx(expected, rel=1e-4)
