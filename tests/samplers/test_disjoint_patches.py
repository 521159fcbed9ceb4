"""No pixel lies in patches of both training and validation."""

import numpy as np
import pytest
from torch.utils.data import Subset

from tests.data.cubescene.data import make
from torchgeo_ext.datasets import IndianPines
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.samplers import BlockedSplit, disjoint_patches


def seen(places, chosen, size, side):
    """Pixels (h, w) that the patches around some places show."""
    reach = side // 2
    shown = np.zeros(size, bool)
    for row, column in places[chosen]:
        top, left = max(0, row - reach), max(0, column - reach)
        shown[top : row + reach + 1, left : column + reach + 1] = True
    return shown


@pytest.mark.parametrize('side', [1, 3, 9, 15])
@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('block', [None, 17.3, 30.0])
def test_no_pixel_is_seen_by_both(side, seed, block):
    random = np.random.default_rng(seed)
    places = np.argwhere(random.random((145, 160)) < 0.5)
    targets = random.integers(0, 6, len(places))
    split = BlockedSplit(folds=5, seed=seed, block_size=block)
    found = disjoint_patches(places, targets, (145, 160), side, split)
    assert min(len(found.training), len(found.validation)) > 100
    learned = seen(places, found.training, (145, 160), side)
    judged = seen(places, found.validation, (145, 160), side)
    assert not (learned & judged).any()
    # and the split proves it for itself
    assert found.roles.check([found.grid]).distance > side - 1
    assert not set(found.training) & set(found.validation)


def test_a_random_split_leaks():
    """What the test above would say of the split that is usual."""
    places = np.argwhere(np.ones((40, 40), bool))
    order = np.random.default_rng(0).permutation(len(places))
    learned, judged = (seen(places, part, (40, 40), 9) for part in np.split(order, [1200]))
    assert (learned & judged).mean() > 0.99


def test_folds_cover_all_and_hold_each_class(tmp_path):
    pines = IndianPines(*make(tmp_path, 200, (145, 145), 4), patch_size=5)
    held = []
    for fold in range(4):
        split = BlockedSplit(folds=4, fold=fold)
        found = disjoint_patches(pines.places, pines.targets, pines.size, pines.patch_size, split)
        held.append(found.validation)
        assert set(pines.targets[found.validation]) == {0, 1, 2, 3}
        assert set(pines.targets[found.training]) == {0, 1, 2, 3}
        sample = Subset(pines, found.validation.tolist())[0]
        assert sample['label'] == pines.targets[found.validation[0]]
    np.testing.assert_array_equal(np.sort(np.concatenate(held)), np.arange(len(pines)))


def test_bad_splits():
    places = np.argwhere(np.ones((40, 40), bool))
    targets = np.zeros(len(places), int)
    with pytest.raises(BadParameter, match='a buffer of 4 pixels lets patches of 9 overlap'):
        disjoint_patches(places, targets, (40, 40), 9, BlockedSplit(buffer=4))
    split = BlockedSplit(regions='a.gpkg', region_field='name')
    with pytest.raises(BadParameter, match='regions'):
        disjoint_patches(places, targets, (40, 40), 9, split)
    with pytest.raises(BadInput, match='leave no pixel'):
        disjoint_patches(places, targets, (40, 40), 41, BlockedSplit(folds=2))
