"""Lightning tasks: what TorchGeo's lack."""

from torchgeo_ext.tasks.masked_change_detection import MaskedChangeDetection
from torchgeo_ext.tasks.masked_segmentation import MaskedSegmentation
from torchgeo_ext.tasks.semantic_change_detection import SemanticChangeDetection

__all__ = ('MaskedChangeDetection', 'MaskedSegmentation', 'SemanticChangeDetection')
