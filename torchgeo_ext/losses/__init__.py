"""Losses that no library has: of change detection, of pairs of two kinds.

The others of change detection that published systems are trained with are in
segmentation_models_pytorch, a dependency: ``smp.losses.LovaszLoss('multiclass', ignore_index=-1)``
is the Lovász-softmax of ChangeMamba and Mamba-FCS; ``DiceLoss``, ``FocalLoss``, ``TverskyLoss`` and
``SoftBCEWithLogitsLoss`` are there too.
"""

from torchgeo_ext.losses.balanced_contrastive import BalancedContrastiveLoss
from torchgeo_ext.losses.change_mask import ChangeMaskLoss
from torchgeo_ext.losses.content import ContentLoss
from torchgeo_ext.losses.map_contrastive import MapContrastiveLoss
from torchgeo_ext.losses.sek import SeKLoss
from torchgeo_ext.losses.symmetric_contrastive import SymmetricContrastiveLoss
from torchgeo_ext.losses.unchanged_similarity import UnchangedSimilarityLoss

__all__ = (
    'BalancedContrastiveLoss',
    'ChangeMaskLoss',
    'ContentLoss',
    'MapContrastiveLoss',
    'SeKLoss',
    'SymmetricContrastiveLoss',
    'UnchangedSimilarityLoss',
)
