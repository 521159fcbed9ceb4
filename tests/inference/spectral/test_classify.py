"""Classifiers of known spectra beside those of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from torchgeo_ext.inference.spectral.classify import fit_spectra


@pytest.fixture
def known():
    random = np.random.default_rng(0)
    classes = np.arange(90) % 3
    middles = np.array([[9, 1, 1, 2], [1, 9, 1, 2], [4, 4, 9, 2]])
    return middles[classes] + random.normal(0, 1.5, (90, 4)), classes


def run(network, pixels):
    with torch.inference_mode():
        return network(torch.from_numpy(pixels).float().T[None, :, :, None])[0, :, :, 0].numpy()


def test_the_smallest_angle(known):
    spectra, classes = known
    pixels = np.random.default_rng(1).uniform(0, 9, (50, 4))
    pixels[0] = 0
    with_zero = np.concatenate([spectra, np.zeros((1, 4))])
    found = run(fit_spectra('angle', with_zero, np.append(classes, 1), 3), pixels)
    units = spectra / np.linalg.norm(spectra, axis=1, keepdims=True)
    cosines = units @ pixels[1:].T / np.linalg.norm(pixels[1:], axis=1)
    expected = [np.maximum(cosines[classes == k].max(0), 0 if k == 1 else -1) for k in range(3)]
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)
    np.testing.assert_array_equal(found[:, 0], 0)


def test_pixels_beyond_the_maximum_angle(known):
    spectra, classes = known
    limit = np.radians(10)
    pixels = np.array([spectra[0], [0, 0, 0, 1]])
    found = run(fit_spectra('angle', spectra, classes, 3, maximum_angle=limit), pixels)
    assert found.shape == (4, 2)
    assert found.argmax(0).tolist() == [classes[0], 3]
    np.testing.assert_allclose(found[3], np.cos(limit), rtol=1e-6)


def test_forest_and_machine_are_those_of_scikit_learn(known):
    spectra, classes = known
    pixels = np.random.default_rng(1).uniform(0, 9, (40, 4)).astype(np.float32)
    forest = RandomForestClassifier(20, class_weight='balanced_subsample', random_state=3)
    expected = forest.fit(spectra, classes).predict_proba(pixels).T
    found = run(fit_spectra('forest', spectra, classes, 3, trees=20, seed=3), pixels)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    scaler = StandardScaler().fit(spectra)
    machine = SVC(C=10, class_weight='balanced').fit(scaler.transform(spectra), classes)
    expected = machine.decision_function(scaler.transform(pixels)).T
    found = run(fit_spectra('svm', spectra, classes, 3, cost=10), pixels)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize('method', ['svm', 'forest'])
def test_two_classes_and_one_that_is_not_known(known, method):
    spectra, classes = known
    two = classes < 2
    found = run(fit_spectra(method, spectra[two], classes[two], 3, trees=20), spectra[two])
    assert np.isneginf(found[2]).all()
    assert (found.argmax(0) == classes[two]).mean() > 0.95
