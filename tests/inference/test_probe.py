"""Small models of vectors, judged with blocks of land held out."""

import numpy as np
import pytest

from tests.points import scattered
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.globe import blocks
from torchgeo_ext.inference.probe import Probe, random_folds, scores, spatial_folds

PLACES = scattered(300)


@pytest.fixture
def samples():
    """Features and a target that is a straight function of them, and one in three classes."""
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 8)).astype(np.float32)
    target = features @ np.arange(8) * 100 + 5000
    return features, target, np.digitize(target, np.quantile(target, [1 / 3, 2 / 3]))


@pytest.mark.parametrize('method', ['linear', 'network', 'neighbours'])
def test_each_method_learns_numbers_and_classes(samples, method):
    features, target, classes = samples
    folds = random_folds(300, None, 5, 0)
    for values, classify, least in ((target, False, 0.35), (classes, True, 0.5)):
        predicted = Probe(method, classify).predict_held_out(features, values, folds)
        assert scores(values, predicted, classify=classify).main > least
        if classify:
            assert set(predicted) <= {0, 1, 2}


def test_scores_of_known_predictions():
    truth = np.array([1.0, 2.0, 3.0])
    assert scores(truth, truth, classify=False) == (1.0, 0.0, 0.0)
    mean = scores(truth, np.full(3, 2.0), classify=False)
    assert mean == pytest.approx((0.0, (2 / 3) ** 0.5, 2 / 3))
    half = scores(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]), classify=True)
    assert half == (pytest.approx((2 / 3 + 0) / 2), 0.5, None)


def test_a_network_of_a_seed_is_one_network(samples):
    features, target, _ = samples
    first, second, other = (
        Probe('network', False, seed=seed).fit(features, target).predict(features[:5])
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0


def test_blocks_stay_whole():
    found = spatial_folds(PLACES, None, 5, 2e6, 0)
    assert set(found.folds) == set(range(5))
    keys = blocks(PLACES, 2e6)
    for key in np.unique(keys):
        assert len(set(found.folds[keys == key])) == 1
    assert found.number == len(np.unique(keys))
    # about as many points in each
    assert np.bincount(found.folds).min() > 40


def test_blocks_are_as_large_as_leaves_enough_of_them():
    wide = spatial_folds(PLACES, None, 5, None, 0)
    assert wide.number >= 24
    assert len(np.unique(blocks(PLACES, 2 * wide.side))) < 24 or wide.side == 2_048_000
    near = spatial_folds(scattered(300, box=(10, 50, 10.5, 50.5)), None, 5, None, 0)
    assert near.number >= 24
    assert near.side < 20_000


def test_each_fold_has_its_share_of_classes():
    classes = (PLACES[:, 1] > 0).astype(int)
    found = spatial_folds(PLACES, classes, 5, 1e6, 0)
    for fold in range(5):
        assert 0.3 < classes[found.folds == fold].mean() < 0.7


def test_too_few_places():
    with pytest.raises(BadInput, match='3 have a place and a target, fewer than 5 folds'):
        spatial_folds(PLACES[:3], None, 5, None, 0)
    with pytest.raises(BadInput, match='all lie at 1 places, fewer than 5 folds'):
        spatial_folds(np.repeat(PLACES[:1], 9, axis=0), None, 5, None, 0)
    near = scattered(50, box=(10, 50, 10.1, 50.1))
    with pytest.raises(BadParameter, match=r'block_size: all points lie in \d blocks of 2e\+06 m'):
        spatial_folds(near, None, 5, 2e6, 0)


def test_rare_classes_do_not_stop_random_folds():
    classes = np.array([0] * 20 + [1])
    folds = random_folds(21, classes, 5, 0)
    assert np.bincount(folds).tolist() == [5, 4, 4, 4, 4]


def test_nothing_to_learn_when_a_part_is_held_out():
    folds = np.array([0] * 10 + [1] * 10)
    classes = folds.copy()
    with pytest.raises(BadInput, match='has only one class when a part'):
        Probe('linear', True).predict_held_out(np.zeros((20, 2)), classes, folds)
