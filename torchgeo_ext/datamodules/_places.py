"""Splits places on the globe, so that validation is not asked of next-door places."""

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.globe import NearestPlace, blocks
from torchgeo_ext.samplers.blocked_split import choose_folds

#: Width of the margin as a part of a block, where no buffer is given; as in ``BlockedSplit``.
_MARGIN = 1 / 8


def split_at_random(
    number: int, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw what to validate by.

    Args:
        number: How many there are.
        share: Which part of them to validate by.
        seed: Another seed, another draw.

    Returns:
        Numbers to learn from and to be judged by, in order.
    """
    order = np.random.default_rng(seed).permutation(number)
    held = max(1, round(share * number))
    return np.sort(order[held:]), np.sort(order[:held])


def split_by_blocks(
    places: NDArray[np.float64], share: float, side: float, buffer: float | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out whole blocks of the globe, with a margin around them that is used for nothing.

    Args:
        places: Longitude and latitude (n, 2) in degrees.
        share: Which part of the places to hold out, about.
        side: Height and width of the blocks in metres.
        buffer: Metres from places held out within which others are left out; an eighth of a block
            if None.
        seed: Another seed, other blocks.

    Returns:
        Numbers to learn from and to be judged by, in order.

    Raises:
        BadParameter: If there are too few blocks.
        BadInput: If nothing is left to learn from.
    """
    folds = max(2, round(1 / share))
    numbers, block = np.unique(blocks(places, side), return_inverse=True)
    if len(numbers) < folds:
        raise BadParameter(
            f'block_size: all places lie in {len(numbers)} blocks of {side:g} m, fewer than the '
            f'{folds} that a share of {share:g} needs.',
            'Choose smaller blocks or a larger share, or split at random.',
        )
    counts = np.bincount(block)[:, None]
    held = (choose_folds(counts, folds, seed) == 0)[block]
    margin = _MARGIN * side if buffer is None else buffer
    learned = ~held & (NearestPlace(places[held])(places) > margin)
    if not learned.any():
        raise BadInput(
            f'buffer: no place is farther than {margin:g} m from those held out.',
            'Choose a smaller buffer, or smaller blocks.',
        )
    return np.flatnonzero(learned), np.flatnonzero(held)
