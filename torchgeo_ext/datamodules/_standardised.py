"""What data modules of published patches have in common."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets import NonGeoDataset

from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datasets import ReBEN
from torchgeo_ext.datasets._maps import MapImages
from torchgeo_ext.transforms import Standardise


def published_figures(
    dataset: type[MapImages] | type[ReBEN], bands: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Give published mean and standard deviation of some bands of a dataset."""
    places = [dataset.all_bands.index(band) for band in bands]
    mean, std = ([row[place] for place in places] for row in (dataset.mean, dataset.std))
    return mean, std


class StandardisedDataModule(NonGeoDataModule):
    """Patches of the splits of a dataset, standardised with published figures.

    Training patches are flipped and turned at random, maps alike.

    Args:
        dataset: Class of the dataset, which takes a ``split``.
        batch_size: Patches per step.
        num_workers: Processes that read patches.
        mean: Mean of each band that the dataset gives.
        std: Standard deviation of each.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training patches at random.
        **kwargs: Further arguments of the dataset.
    """

    def __init__(
        self,
        dataset: type[NonGeoDataset],
        batch_size: int,
        num_workers: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        transforms: Sequence[nn.Module],
        turn: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, batch_size, num_workers, **kwargs)
        # tasks undo it in figures
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)
        self.aug = Standardise(mean, std)
        self.train_aug = augmentation(transforms, self.aug, turn=turn)

    def setup(self, stage: str) -> None:
        """Open the splits that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        if stage == 'predict':
            self.predict_dataset = self.dataset_class(split='test', **self.kwargs)  # type: ignore[call-arg]
        else:
            super().setup(stage)
