"""What is done to training batches before they are standardised."""

from collections.abc import Sequence

import kornia.augmentation as K
from kornia.augmentation.base import _AugmentationBase
from torch import nn

from torchgeo_ext.transforms import KorniaSequential


def augmentation(
    transforms: Sequence[nn.Module], standardise: nn.Module, *, turn: bool
) -> nn.Sequential:
    """Join what is done to training batches.

    Args:
        transforms: Modules that take a batch as a dict, or single augmentations of kornia; they
            see physical values.
        standardise: The last step.
        turn: Flip and turn by quarters as well.
    """
    steps = [KorniaSequential(t) if isinstance(t, _AugmentationBase) else t for t in transforms]
    if turn:
        steps.append(
            KorniaSequential(
                K.RandomHorizontalFlip(), K.RandomVerticalFlip(), K.RandomRotation90((0, 3), p=1.0)
            )
        )
    return nn.Sequential(*steps, standardise)
