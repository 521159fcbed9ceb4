"""ClassScores: the numbers of scikit-learn, to the last bit but rounding."""

import numpy as np
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score, jaccard_score
from sklearn.metrics import precision_recall_fscore_support as by_class

from torchgeo_ext.metrics import ClassScores


def test_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    # of the classes 0 to 5, nobody has 4; 3 is never known and 5 never predicted
    known, found = random.choice([0, 1, 2, 5], 100_000), random.choice([0, 1, 2, 3], 100_000)
    found[:60_000] = np.minimum(known[:60_000], 3)
    metric = ClassScores(6)
    for part in np.array_split(np.arange(len(known)), 7):
        metric.update(torch.from_numpy(found[part]), torch.from_numpy(known[part]))
    metric.update(torch.tensor([1, 2]), torch.tensor([-1, -1]))  # not labelled
    scores = {name: value.numpy() for name, value in metric.compute().items()}
    there = [0, 1, 2, 3, 5]
    assert np.isnan(scores['iou'][4])
    precision, recall, f1, _ = by_class(known, found, labels=there, zero_division=0)
    iou = jaccard_score(known, found, labels=there, average=None, zero_division=0)
    np.testing.assert_array_equal(scores['precision'][there], precision)
    np.testing.assert_array_equal(scores['recall'][there], recall)
    np.testing.assert_array_equal(scores['f1'][there], f1)
    np.testing.assert_array_equal(scores['iou'][there], iou)
    assert scores['oa'] == accuracy_score(known, found)
    np.testing.assert_array_max_ulp(scores['mean_iou'], iou.mean(), 2)
    np.testing.assert_array_max_ulp(scores['mean_f1'], f1.mean(), 2)
    np.testing.assert_allclose(scores['kappa'], cohen_kappa_score(known, found), rtol=1e-14)
