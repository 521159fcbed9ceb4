"""Which labelled pixels of one image to learn from, and which to be judged by.

A model that looks at the patch around a pixel has seen the pixels of the patch. Where patches of
training and of validation overlap, scores tell how well it remembers; most published scores of
hyperspectral images have this leak. Here no pixel lies in patches of both.

See Nalepa, J., Myller, M. & Kawulok, M. (2019). Validating hyperspectral image segmentation. IEEE
Geoscience and Remote Sensing Letters 16(8), 1264-1268. https://doi.org/10.1109/LGRS.2019.2895697
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.samplers._blocks import BlockLattice
from torchgeo_ext.samplers._roles import TRAINING, VALIDATION, Roles
from torchgeo_ext.samplers.blocked_split import BlockedSplit, Histograms


@dataclass(frozen=True)
class DisjointPatches:
    """Positions of labelled pixels, made by :func:`disjoint_patches`.

    Args:
        training: Those to learn from.
        validation: Those to be judged by.
        roles: What each place is used for; its unit of length is the pixel.
        grid: The pixels of the image.
    """

    training: NDArray[np.intp]
    validation: NDArray[np.intp]
    roles: Roles
    grid: Grid


def disjoint_patches(
    places: NDArray[Any],
    targets: NDArray[Any],
    size: tuple[int, int],
    patch_size: int,
    split: BlockedSplit | None = None,
) -> DisjointPatches:
    """Split labelled pixels so that no patch of training shares a pixel with one of validation.

    Blocks of the image are dealt out to folds. Pixels nearer to a held-out block than a patch is
    wide are used for nothing.

    Example:
        >>> from torch.utils.data import Dataset, Subset
        >>> from torchgeo_ext.samplers import disjoint_patches
        >>> def split(pines: Dataset) -> tuple[Dataset, Dataset]:
        ...     found = disjoint_patches(pines.places, pines.targets, pines.size, pines.patch_size)
        ...     return Subset(pines, found.training), Subset(pines, found.validation)

    Args:
        places: Row and column of the labelled pixels (n, 2).
        targets: Class of each (n), from 0.
        size: Height and width of the image.
        patch_size: Height and width of the patches around them.
        split: Folds, block size and seed, with lengths in pixels; the buffer follows from the
            patch size.

    Raises:
        BadParameter: If the split has a buffer that is too small, or regions.
        BadInput: If there are too few labels for so many folds, or none is left to learn from.
    """
    # middles of pixels are whole pixels apart, so more than one less is enough
    needed = patch_size - 0.75
    chosen = split or BlockedSplit()
    if chosen.regions is not None:
        raise BadParameter(
            f'split: regions ({chosen.regions}) cannot be laid on an image without a map.',
            'Split by blocks.',
        )
    if chosen.buffer is not None and chosen.buffer < needed:
        raise BadParameter(
            f'split: a buffer of {chosen.buffer:g} pixels lets patches of {patch_size} overlap.',
            f'Leave it out, or take at least {needed:g}.',
        )
    grid = Grid(None, Affine.scale(1, -1), size[1], size[0])
    rows, columns = np.asarray(places).T

    def count(lattice: BlockLattice) -> Histograms:
        keys = lattice.keys(grid, grid.window)[rows, columns]
        classes = int(targets.max()) + 1
        return {
            int(key): np.bincount(targets[keys == key], minlength=classes)
            for key in np.unique(keys)
        }

    buffer = needed if chosen.buffer is None else chosen.buffer
    roles = replace(chosen, buffer=buffer).resolve([grid], count)
    used = roles.roles(grid, grid.window)[rows, columns]
    found = DisjointPatches(
        np.flatnonzero(used == TRAINING), np.flatnonzero(used == VALIDATION), roles, grid
    )
    if not len(found.training):
        raise BadInput(
            f'patch_size: next to blocks held out, patches of {patch_size} pixels leave no pixel '
            'to learn from.',
            'Choose smaller patches, larger blocks (block_size) or fewer folds.',
        )
    return found
