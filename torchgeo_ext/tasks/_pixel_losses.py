"""Losses of class maps that see labelled pixels only, shared by the tasks on pairs."""

import segmentation_models_pytorch as smp
from torch import nn

from torchgeo_ext.tasks._masked import LabelledPixels
from torchgeo_ext.tasks._pair_task import IGNORE


def cross_entropy() -> LabelledPixels:
    """Cross-entropy of logits (b, k, h, w) with labels (b, h, w), 0 if nothing is labelled."""
    return LabelledPixels(nn.CrossEntropyLoss(), IGNORE)


def lovasz() -> LabelledPixels:
    """Lovász-softmax, a relative of the mean IoU, of the same.

    Berman, M., Rannen Triki, A., Blaschko, M. B. (2018). The Lovász-softmax loss. CVPR.
    https://github.com/bermanmaxim/LovaszSoftmax
    """
    return LabelledPixels(smp.losses.LovaszLoss('multiclass'), IGNORE)
