"""Lightning tasks: what TorchGeo's lack."""

from torchgeo_ext.tasks.masked_change_detection import MaskedChangeDetection
from torchgeo_ext.tasks.masked_segmentation import MaskedSegmentation

__all__ = ('MaskedChangeDetection', 'MaskedSegmentation')
