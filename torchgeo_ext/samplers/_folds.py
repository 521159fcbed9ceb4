"""Deals blocks out to folds, so that each has its share of every class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Times each block may change its fold; it ends by itself much earlier.
_SWEEPS = 100


def choose_folds(histograms: NDArray[Any], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal blocks out to folds so that each has about the same share of every class.

    Starts from a random deal of equally many blocks and moves single blocks as long as that makes
    shares more equal. The folds whose hold-out leaves most classes to learn from come first.

    Args:
        histograms: (n, k) pixels per block and class.
        folds: Number of folds, at most n.
        seed: For the random start.

    Returns:
        (n,) fold of each block, 0 to folds - 1; none is empty.

    Raises:
        ValueError: If there are fewer blocks than folds.
    """
    number = len(histograms)
    if number < folds:
        raise ValueError(f'{number} blocks are too few for {folds} folds')
    random = np.random.default_rng(seed)
    counts = histograms[:, histograms.sum(0) > 0]
    shares = counts / counts.sum(0)
    # all classes together count as one more class: folds of the same size
    shares = np.column_stack([shares, counts.sum(1) / counts.sum()])
    fold = random.permutation(np.arange(number) % folds)
    totals = np.stack([shares[fold == f].sum(0) for f in range(folds)])
    sizes = np.bincount(fold, minlength=folds)
    for _ in range(_SWEEPS):
        moved = False
        for block in random.permutation(number):
            here, share = fold[block], shares[block]
            # change in the sum of squared totals if the block goes elsewhere
            gain = 2 * ((totals - totals[here] + share) @ share)
            gain[here] = 0
            best = int(gain.argmin())
            if gain[best] < -1e-12 and sizes[here] > 1:
                totals[here] -= share
                totals[best] += share
                sizes[here] -= 1
                sizes[best] += 1
                fold[block] = best
                moved = True
        if not moved:
            break
    lost = (totals > 1 - 1e-9).sum(1)
    order = np.argsort(lost, kind='stable')
    return np.argsort(order)[fold]
