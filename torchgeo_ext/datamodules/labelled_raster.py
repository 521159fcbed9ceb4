"""Data module for semantic segmentation of one's own rasters."""

from typing import Any

from torchgeo_ext.datamodules._labelled import LabelledDataModule
from torchgeo_ext.datasets import TiledRaster


class LabelledRasterDataModule(LabelledDataModule):
    """Trains on :class:`~torchgeo_ext.datasets.TiledRaster`.

    Args:
        **kwargs: Arguments of :class:`LabelledDataModule` and of the dataset.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(TiledRaster, **kwargs)
