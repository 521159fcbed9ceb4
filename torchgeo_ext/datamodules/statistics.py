"""Right means and standard deviations for TorchGeo's data modules.

A data module of TorchGeo that has no figures of its own takes a mean of 0 and a standard deviation
of 255, whatever its images hold, and some never use those they have. The figures that are known to
be right are here; for all others, compute them from your own copy of the training data::

    data = PASTISDataModule(root='pastis')
    data.setup('fit')
    statistics = dataset_statistics(data.train_dataset)
    statistics.save('pastis.json')
    use_statistics(data, statistics.mean, statistics.std)

or, in a YAML file for ``torchgeo-ext fit``::

    trainer:
      callbacks:
        - class_path: torchgeo_ext.datamodules.statistics.UseStatistics
          init_args: {statistics: pastis.json}    # left out: the known figures
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import kornia.augmentation as K
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import Dataset
from torchgeo.datamodules import BaseDataModule

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.statistics import BandStatistics, StatisticsBuilder
from torchgeo_ext.progress import Progress, silent
from torchgeo_ext.transforms import Standardise

Figures = tuple[Sequence[float], Sequence[float]]

#: Where TorchGeo's data modules keep what is done to batches.
_AUGMENTATIONS = ('aug', 'train_aug', 'val_aug', 'test_aug', 'predict_aug')


def dataset_statistics(
    dataset: Dataset[Mapping[str, Any]],
    *,
    key: str = 'image',
    nodata: float | None = None,
    progress: Progress = silent,
) -> BandStatistics:
    """Compute the statistics of the images of a dataset with integer indices, each read once.

    For geo-datasets, which are queried by place, use
    :func:`torchgeo_ext.operations.compute_statistics` on their files.

    Args:
        dataset: Gives samples with an image (..., c, h, w), for instance ``train_dataset`` of a
            data module.
        key: Name of the images in samples.
        nodata: Value of missing pixels, besides NaN.
        progress: Told how far it is.

    Raises:
        BadInput: If the dataset is empty, or the number of bands changes.
    """
    number = len(dataset)  # type: ignore[arg-type]  # datasets with integer indices have a length
    name = type(_innermost(dataset)).__name__
    if number == 0:
        raise BadInput(f'{name} has no samples.', 'Compute statistics of the training split.')
    builder, count = None, 0
    for index in range(number):
        progress(index / number, 'computing statistics')
        image = dataset[index][key].movedim(-3, 0).flatten(1).numpy()
        if builder is None:
            count = len(image)
            known = zip(_band_names(dataset, count), [None] * count, strict=True)
            builder = StatisticsBuilder(tuple(known), [image.dtype] * count)
        if len(image) != count:
            raise BadInput(f'{name}: sample {index} has {len(image)} bands, the first has {count}.')
        valid = np.isfinite(image)
        if nodata is not None:
            valid &= image != nodata
        builder.add(image, valid, image.shape[1])
    progress(1.0)
    assert builder is not None
    return builder.build([name])


def _innermost(dataset: Any) -> Any:
    """Look through :class:`torch.utils.data.Subset` and the like."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


def _band_names(dataset: Any, count: int) -> list[str]:
    names = getattr(_innermost(dataset), 'bands', ())
    if isinstance(names, Sequence) and len(names) == count:
        return [str(name) for name in names]
    return [f'band {number}' for number in range(1, count + 1)]


def use_statistics(datamodule: BaseDataModule, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let a data module of TorchGeo subtract ``mean`` and divide by ``std`` in all its stages.

    Its own normalisation is changed, wherever it stands; where there is none, one is put first.

    Args:
        datamodule: The data module.
        mean: One number per band, or one for all.
        std: The same.
    """
    for name in _AUGMENTATIONS:
        augmentation = getattr(datamodule, name, None)
        if isinstance(augmentation, nn.Module):
            setattr(datamodule, name, _normalising(augmentation, mean, std))
    datamodule.mean, datamodule.std = torch.tensor(mean), torch.tensor(std)


def _normalising(augmentation: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    own = [part for part in augmentation.modules() if isinstance(part, K.Normalize)]
    for part in own:
        part.flags = {'mean': torch.tensor(mean), 'std': torch.tensor(std)}
    if own:
        return augmentation
    standardise = Standardise(mean, std)
    if isinstance(augmentation, _Standardised):
        return _Standardised(standardise, augmentation[1])
    return _Standardised(standardise, augmentation)


class _Standardised(nn.Sequential):
    """Standardisation that was put before an augmentation."""


def known_statistics(datamodule: BaseDataModule) -> Figures | None:
    """Give mean and standard deviation for data modules whose own figures are known to be wrong.

    Returns:
        Mean and standard deviation, or None if TorchGeo's are not known to be wrong.
    """
    for kind in type(datamodule).__mro__:
        if kind.__module__.startswith('torchgeo.') and kind.__name__ in _KNOWN:
            return _KNOWN[kind.__name__](datamodule)
    return None


def _reflectance(_: Any) -> Figures:
    """Sentinel-2 reflectance times 10,000."""
    return [0.0], [10_000.0]


def _already_scaled(_: Any) -> Figures:
    """The dataset gives values from 0 to 1."""
    return [0.0], [1.0]


def _so2sat(datamodule: Any) -> Figures | None:
    """The class has figures for all bands, but uses them only for some of them."""
    version = datamodule.kwargs['version']
    mean, std = datamodule.means_per_version[version], datamodule.stds_per_version[version]
    return (mean.tolist(), std.tolist()) if len(datamodule.kwargs['bands']) == len(mean) else None


#: Data modules of TorchGeo 0.10 and what their images need.
_KNOWN: dict[str, Callable[[Any], Figures | None]] = {
    # https://github.com/torchgeo/torchgeo/issues/4061
    'PASTISDataModule': _reflectance,
    'PASTIS100DataModule': _reflectance,
    # https://github.com/torchgeo/torchgeo/issues/4070
    'SubstationDataModule': _reflectance,
    # https://github.com/torchgeo/torchgeo/issues/4051
    'So2SatDataModule': _so2sat,
    # https://github.com/torchgeo/torchgeo/issues/4089
    'GeoNRWDataModule': _already_scaled,
    'SustainBenchCropYieldDataModule': _already_scaled,
}


class UseStatistics(Callback):
    """Corrects the normalisation of TorchGeo's data module before training, testing or predicting.

    Args:
        statistics: File of :func:`dataset_statistics` or of ``torchgeo-ext compute-statistics``;
            if not given, the figures that are known to be right.
    """

    def __init__(self, statistics: str | os.PathLike[str] | None = None) -> None:
        self.statistics = statistics

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Correct it.

        Raises:
            BadInput: If the file holds no statistics.
            BadParameter: If there is no data module, or nothing is known of it.
        """
        datamodule = getattr(trainer, 'datamodule', None)
        if datamodule is None:
            raise BadParameter('UseStatistics corrects a data module, but there is none.')
        if self.statistics is not None:
            found = BandStatistics.load(self.statistics)
            figures: Figures | None = found.mean, found.std
        else:
            figures = known_statistics(datamodule)
        if figures is None:
            raise BadParameter(
                f'No figures are known for {type(datamodule).__name__}.',
                'Compute them with dataset_statistics and name the file with statistics.',
            )
        use_statistics(datamodule, *figures)
