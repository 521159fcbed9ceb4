"""Data module for change detection in one's own image pairs."""

from typing import Any

from torchgeo_ext.datamodules._labelled import LabelledDataModule
from torchgeo_ext.datasets import GeoPair


class LabelledPairDataModule(LabelledDataModule):
    """Trains on :class:`~torchgeo_ext.datasets.GeoPair`.

    Args:
        **kwargs: Arguments of :class:`LabelledDataModule` and of the dataset.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(GeoPair, **kwargs)
