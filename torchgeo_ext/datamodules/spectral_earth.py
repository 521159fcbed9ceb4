"""Data modules for SpectralEarth: its tasks, and its patches for pre-training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kornia.augmentation as K
import torch
from torch import nn
from torch.utils.data import random_split
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datamodules._augment import augmentation
from torchgeo_ext.datamodules._standardised import StandardisedDataModule
from torchgeo_ext.datasets import SpectralEarth, SpectralEarthTask
from torchgeo_ext.datasets.spectral_earth import TaskName
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms import KorniaSequential, Standardise


class SpectralEarthDataModule(StandardisedDataModule):
    """Patches of one of the tasks, standardised with the published figures of their sensor.

    Training patches are flipped and turned at random, maps alike. Batches tell the wavelengths of
    the bands, which networks that go by them are told by our tasks.

    Args:
        root: Folder with the data.
        batch_size: Patches per step; 8 in most published configurations.
        num_workers: Processes that read patches.
        task: One of the tasks; see :class:`~torchgeo_ext.datasets.SpectralEarthTask`.
        bands: Places of the bands to give, from 0; all if not given.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training patches at random.
    """

    def __init__(
        self,
        root: str = 'data',
        batch_size: int = 8,
        num_workers: int = 0,
        *,
        task: TaskName = 'enmap_cdl',
        bands: list[int] | None = None,
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        **kwargs: Any,
    ) -> None:
        mean, std = _figures(task.partition('_')[0], bands)
        super().__init__(
            SpectralEarthTask,
            batch_size,
            num_workers,
            mean=mean,
            std=std,
            transforms=transforms,
            turn=turn,
            root=root,
            task=task,
            bands=bands,
            **kwargs,
        )


class SpectralEarthPretrainDataModule(NonGeoDataModule):
    """Patches of EnMAP for pre-training, standardised with the published figures.

    A batch has ``image`` (b, s, h, w) and ``wavelengths``; of pairs the bands of both dates follow
    each other (b, 2 s, h, w), as TorchGeo's ``MoCo`` takes them. Some places are held out, always
    the same ones, to tell how the training goes.

    Args:
        root: Folder with the data.
        batch_size: Patches, or pairs, per step.
        num_workers: Processes that read patches.
        pairs: Give two dates of each place.
        bands: Places of the bands to give, from 0; all if not given.
        patch_size: Height and width of crops, random ones in training; whole patches if None.
        val_share: Share of the places that is held out, above 0 to below 1.
        transforms: What is done to training batches before they are standardised: modules that
            take a batch as a dict, and single augmentations of kornia.
        turn: Flip and turn training patches at random.

    Raises:
        BadParameter: If there is no such band, or the share cannot be.
    """

    def __init__(
        self,
        root: str = 'data',
        batch_size: int = 64,
        num_workers: int = 0,
        *,
        pairs: bool = False,
        bands: list[int] | None = None,
        patch_size: int | None = None,
        val_share: float = 0.01,
        transforms: Sequence[nn.Module] = (),
        turn: bool = True,
        **kwargs: Any,
    ) -> None:
        if not 0 < val_share < 1:
            raise BadParameter(f'val_share is {val_share}; it must be above 0 and below 1.')
        super().__init__(
            SpectralEarth,
            batch_size,
            num_workers,
            root=root,
            pairs=pairs,
            bands=bands,
            transforms=_join_dates if pairs else None,
            **kwargs,
        )
        self.val_share = val_share
        dates = 2 if pairs else 1
        mean, std = ([*figures] * dates for figures in _figures('enmap', bands))
        # tasks undo it in figures
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)
        standardise = Standardise(mean, std)
        crops: list[list[nn.Module]] = [[], []]
        if patch_size is not None:
            size = (patch_size, patch_size)
            crops = [[K.RandomCrop(size)], [KorniaSequential(K.CenterCrop(size))]]
        self.train_aug = augmentation([*crops[0], *transforms], standardise, turn=turn)
        self.aug = nn.Sequential(*crops[1], standardise)

    def setup(self, stage: str) -> None:
        """Open the patches.

        Args:
            stage: ``fit`` or ``validate``.
        """
        if stage in ('fit', 'validate'):
            dataset = SpectralEarth(**self.kwargs)
            held = max(1, round(self.val_share * len(dataset)))
            parts = [len(dataset) - held, held]
            same = torch.Generator().manual_seed(0)
            self.train_dataset, self.val_dataset = random_split(dataset, parts, same)


def _join_dates(sample: Sample) -> Sample:
    """Put the bands of one date after those of the other."""
    joined = torch.cat([sample['image1'], sample['image2']])
    return {'image': joined, 'wavelengths': sample['wavelengths'].repeat(2)}


def _figures(images: str, bands: Sequence[int] | None) -> tuple[list[float], list[float]]:
    """Give published mean and standard deviation of the bands of a sensor.

    Those of DESIS and Hyperion: https://github.com/AABNassim/spectral_earth
    (``data/desis_statistics``, ``data/eo1_statistics``).
    """
    from torchgeo_ext.models.spectralearth import enmap_preprocessing

    if images == 'enmap':
        known = enmap_preprocessing()
        mean, std = list(known.mean), list(known.std)
    else:
        text = Path(__file__).with_suffix('.json').read_text(encoding='utf-8')
        mean, std = (json.loads(text)[images][name] for name in ('mean', 'std'))
    if bands is None:
        return mean, std
    strange = [place for place in bands if not 0 <= place < len(mean)]
    if strange:
        raise BadParameter(f'bands: {strange}.', f'Give places from 0 to {len(mean) - 1}.')
    return [mean[place] for place in bands], [std[place] for place in bands]
