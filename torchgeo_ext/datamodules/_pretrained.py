"""What weights saw in their pre-training, brought to the images of a data module."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from rasterio.windows import Window
from torch import Tensor

from torchgeo_ext.bundles import Band
from torchgeo_ext.datamodules._survey import BandValues
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.sensors import SensorBand
from torchgeo_ext.transforms import AsPretrained, Standardise

log = logging.getLogger(__name__)

#: Side of the part of an image whose values are looked at.
_LOOK = 512


def standardiser(values: BandValues, seen: Preprocessing | None) -> Standardise:
    """Give what makes the input of a network of physical values.

    Args:
        values: Statistics of the images, which it standardises with ...
        seen: ... unless it is known what the weights saw, see :func:`seen_by_weights`.
    """
    if seen is None:
        return Standardise(values.mean.tolist(), values.std.tolist(), fill=0.0)
    return AsPretrained(seen, fill=0.0)


def figures_of(standardise: Standardise) -> tuple[Tensor, Tensor]:
    """Give mean and standard deviation as TorchGeo's data modules have them, (c,) each."""
    mean, std = (
        torch.tensor(values, dtype=torch.float64) for values in (standardise.mean, standardise.std)
    )
    return mean, std


def seen_by_weights(
    name: str, dataset: SceneDataset, described: tuple[SensorBand, ...]
) -> Preprocessing:
    """Tell what is to be done to the physical values of images for weights by their name.

    A warning tells if they cannot be what the weights expect.

    Args:
        name: Of the weights.
        dataset: The images.
        described: What is known of their bands.

    Raises:
        BadParameter: If there are no such weights, it is not known what was done in their
            training, or a band of the images is not among theirs.
    """
    from torchgeo.models import get_weight

    from torchgeo_ext import models
    from torchgeo_ext.models.inputs import preprocessing_of

    assert models  # makes our own known to TorchGeo
    try:
        known = preprocessing_of(get_weight(name))
    except (KeyError, ValueError) as error:
        raise BadParameter(
            f'as_pretrained: there are no weights of the name {name} ({error}).',
            'Check the name, such as ResNet50_Weights.SENTINEL2_ALL_MOCO.',
        ) from error
    if known is None:
        raise BadParameter(
            f'as_pretrained: it is not known what was done in the pre-training of {name}.',
            'Leave it out, so that images are standardised.',
        )
    for problem in problems(known, dataset):
        log.warning('The images do not suit the weights %s: %s', name, problem)
    return for_dataset(known, dataset, described)


def for_dataset(
    known: Preprocessing, dataset: SceneDataset, described: tuple[SensorBand, ...]
) -> Preprocessing:
    """Bring what is done to stored values to the bands and the physical values of images.

    Args:
        known: What was done in the training of weights.
        dataset: The images.
        described: What is known of their bands.

    Raises:
        BadParameter: If a band of the images is not among those of the weights.
    """
    image = dataset.scenes[0].images[0]
    scale, offset = (np.ravel(values).tolist() for values in (image.scale, image.offset))
    return known.for_image(described).of_physical(scale, offset)


def problems(known: Preprocessing, dataset: SceneDataset) -> list[str]:
    """Tell why the values of images cannot be what weights expect; empty if they can.

    Args:
        known: What was done in their training.
        dataset: The images; the middle of the first is looked at.
    """
    image = dataset.scenes[0].images[0]
    scale, offset = (torch.from_numpy(values)[:, 0] for values in (image.scale, image.offset))
    # rounded, as what was scaled does not come back exactly
    return known.value_problems(((look(dataset) - offset) / scale).round(decimals=4))


def look(dataset: SceneDataset) -> Tensor:
    """Read the valid physical values (c, n) in the middle of the first image."""
    grid = dataset.grids[0]
    height, width = min(_LOOK, grid.height), min(_LOOK, grid.width)
    window = Window((grid.width - width) // 2, (grid.height - height) // 2, width, height)
    pixels = dataset.pixels(0, window)
    return torch.from_numpy(pixels.image[0])[:, torch.from_numpy(pixels.measured[0])]


def preprocessing_of_bands(bands: Sequence[Band]) -> Preprocessing:
    """Tell what is done to physical values before the network of a bundle sees them."""
    spans = [band.clip or (0.0, 1.0) for band in bands]
    both = list(zip(bands, spans, strict=True))
    return Preprocessing(
        'other',
        tuple(band.name for band in bands),
        low=tuple(low for low, _ in spans),
        high=tuple(high for _, high in spans),
        clip=any(band.clip for band in bands),
        levels=max(band.levels for band in bands),
        mean=tuple((band.mean - low) / (high - low) for band, (low, high) in both),
        std=tuple(band.std / (high - low) for band, (low, high) in both),
    )


def seen_in_checkpoint(bands: Sequence[Mapping[str, Any]]) -> Preprocessing | None:
    """Tell what was done to physical values in the training of a checkpoint.

    Args:
        bands: What its card says of them.

    Returns:
        That, or None if they were standardised and no more.
    """
    known = [Band(**band) for band in bands]
    return preprocessing_of_bands(known) if any(band.clip for band in known) else None
