"""Data module for the tasks of SpectralEarth."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchgeo.datamodules import NonGeoDataModule

from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datasets import SpectralEarthTask
from torchgeo_ext.datasets.spectral_earth import TaskName
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms import Standardise


class SpectralEarthDataModule(NonGeoDataModule):
    """Patches of EnMAP of one of the tasks, standardised with the published figures.

    Training patches are flipped and turned at random, maps alike.

    Args:
        root: Folder with the data.
        batch_size: Patches per step; 8 in the published configurations.
        num_workers: Processes that read patches.
        task: One of the tasks of EnMAP; see :class:`~torchgeo_ext.datasets.SpectralEarthTask`.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training patches at random.

    Raises:
        BadParameter: If the task is of another sensor, whose figures are not known here.
    """

    def __init__(
        self,
        root: str = 'data',
        batch_size: int = 8,
        num_workers: int = 0,
        *,
        task: TaskName = 'enmap_cdl',
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        **kwargs: Any,
    ) -> None:
        from torchgeo_ext.models.spectralearth import enmap_preprocessing

        if not task.startswith('enmap_'):
            raise BadParameter(
                f'task: {task} is not of EnMAP, and how its bands are standardised is not known '
                'here.',
                'Choose a task of EnMAP, or compute statistics of your copy.',
            )
        super().__init__(SpectralEarthTask, batch_size, num_workers, root=root, task=task, **kwargs)
        figures = enmap_preprocessing()
        # tasks undo it in figures
        self.mean, self.std = torch.tensor(figures.mean), torch.tensor(figures.std)
        self.aug = Standardise(figures.mean, figures.std)
        self.train_aug = augmentation(transforms, self.aug, turn=turn)

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == 'predict':
            self.predict_dataset = SpectralEarthTask(split='test', **self.kwargs)
        else:
            super().setup(stage)
