"""Data module for reBEN (BigEarthNet v2)."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from torchgeo_ext.datamodules._standardised import StandardisedDataModule, published_figures
from torchgeo_ext.datasets import ReBEN


class ReBENDataModule(StandardisedDataModule):
    """Patches of the published split of reBEN, standardised with the published figures.

    TorchGeo's ``BigEarthNetDataModule`` serves the first version of the dataset alone. Training
    patches are flipped and turned at random, maps alike.

    In YAML::

        data:
          class_path: ReBENDataModule
          init_args: {root: data/reben, bands: s2}
          dict_kwargs: {order: sorted}

    Args:
        root: Folder with the data.
        batch_size: Patches per step.
        num_workers: Processes that read patches.
        bands: Names of the bands, or ``s1``, ``s2`` or ``all``.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training patches at random.
        **kwargs: Further arguments of :class:`~torchgeo_ext.datasets.ReBEN`, such as ``order``.

    Raises:
        BadParameter: If there is no such band.
    """

    def __init__(
        self,
        root: str = 'data',
        batch_size: int = 64,
        num_workers: int = 0,
        *,
        bands: list[str] | str = 'all',
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        **kwargs: Any,
    ) -> None:
        mean, std = published_figures(ReBEN, ReBEN.choose(bands))
        super().__init__(
            ReBEN,
            batch_size,
            num_workers,
            mean=mean,
            std=std,
            transforms=transforms,
            turn=turn,
            root=root,
            bands=bands,
            **kwargs,
        )
