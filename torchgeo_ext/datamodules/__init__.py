"""Lightning data modules."""

from torchgeo_ext.datamodules.labelled_pair import LabelledPairDataModule
from torchgeo_ext.datamodules.labelled_raster import LabelledRasterDataModule

__all__ = ('LabelledPairDataModule', 'LabelledRasterDataModule')
