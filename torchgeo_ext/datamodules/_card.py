"""Describes what a model of a data module reads and tells apart, as a bundle says it.

It travels in the checkpoint (``LightningDataModule.state_dict``), so that a checkpoint alone
becomes a bundle.
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.warp import transform_bounds

from torchgeo_ext.bundles import Band, ModelClass
from torchgeo_ext.bundles.bands import raster_bands
from torchgeo_ext.datamodules._parts import TRAINING, VALIDATION
from torchgeo_ext.datamodules._survey import BandValues
from torchgeo_ext.datasets._image import Image
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.inference.area import pixel_area
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.sensors import SensorBand, identify_bands, read_bands, sensor

if TYPE_CHECKING:
    from torchgeo_ext.datamodules.geotiff import GeoTIFFDataModule


def bands_of(
    dataset: SceneDataset,
    values: BandValues,
    described: Sequence[SensorBand],
    seen: Preprocessing | None = None,
) -> tuple[Band, ...]:
    """Describe the bands, with statistics of what was learned from.

    Args:
        dataset: The rasters.
        values: The statistics.
        described: What :func:`describe_bands` tells.
        seen: What was done to physical values instead of standardising by the statistics, if so.
    """
    image = dataset.scenes[0].images[0]
    nodata = _nodata(image)
    bands = tuple(
        Band(
            name=band.name,
            center_wavelength=band.wavelength,
            full_width_half_max=band.width,
            scale=float(image.scale[i, 0, 0]),
            offset=float(image.offset[i, 0, 0]),
            nodata=nodata[i],
            mean=float(values.mean[i]),
            std=float(values.std[i]),
            minimum=float(values.minimum[i]),
            maximum=float(values.maximum[i]),
        )
        for i, band in enumerate(described)
    )
    if seen is None:
        return bands
    return tuple(
        dataclasses.replace(band, **figures._asdict())
        for band, figures in zip(bands, seen.figures(len(bands)), strict=True)
    )


def describe_bands(dataset: SceneDataset, sensor_name: str | None) -> tuple[SensorBand, ...]:
    """Tell what is known of the bands of a dataset: by its files, else by their sensor.

    Args:
        dataset: The rasters.
        sensor_name: The sensor; found out from the first file if not given.

    Raises:
        BadParameter: If there is no such sensor.
    """
    known = None if sensor_name is None else sensor(sensor_name)
    own: list[SensorBand | None] = []
    widths: list[float | None] = []
    for source in dataset.scenes[0].images[0].sources:
        with source.open() as reader:
            numbers, told = reader.bands, read_bands(reader.dataset)
        found = identify_bands(source.path, known)
        own += [found[number - 1] for number in numbers]
        widths += [told[number - 1].width for number in numbers]
    return tuple(
        _described(name, None if np.isnan(wavelength) else float(wavelength), width, band)
        for name, wavelength, width, band in zip(
            dataset.bands, dataset.wavelengths.tolist(), widths, own, strict=True
        )
    )


def _described(
    name: str, wavelength: float | None, width: float | None, band: SensorBand | None
) -> SensorBand:
    if band is None:
        return SensorBand(name, wavelength=wavelength, width=width)
    nameless = re.fullmatch(r'band \d+', name)
    return dataclasses.replace(
        band,
        name=band.name if nameless else name,
        wavelength=wavelength or band.wavelength,
        width=width or band.width,
    )


def _nodata(image: Image) -> list[float | None]:
    """Give the stored value of missing pixels for each band."""
    values: list[float | None] = []
    for source in image.sources:
        with source.open() as reader:
            numbers = reader.bands
        known = {band.index: band.nodata for band in raster_bands(source.path)}
        own = source.nodata if isinstance(source.nodata, int | float) else None
        values += [known[number] if own is None else float(own) for number in numbers]
    return values


def classes_of(module: 'GeoTIFFDataModule', *, binary: bool) -> tuple[ModelClass, ...]:
    """Describe what a model tells; a single score has the values 0 and 1."""
    return tuple(
        ModelClass(position if binary else entry.value, entry.name, entry.color)
        for position, entry in enumerate(module.labelled.told_classes)
    )


def resolutions_of(grids: Iterable[Grid]) -> tuple[float | None, float | None]:
    """Give the range of pixel sizes, in metres, that a model should do well with."""
    sizes = [pixel_area(grid) ** 0.5 for grid in grids if grid.crs is not None]
    if not sizes:
        return None, None
    return 0.75 * min(sizes), 1.5 * max(sizes)


def extent_of(grids: Iterable[Grid]) -> tuple[float, float, float, float] | None:
    """Give west, south, east and north of all rasters in degrees."""
    placed = [grid for grid in grids if grid.crs is not None]
    if not placed:
        return None
    boxes = np.array([transform_bounds(grid.crs, 'EPSG:4326', *grid.bounds) for grid in placed])
    (west, south), (east, north) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return float(west), float(south), float(east), float(north)


def card_of(module: 'GeoTIFFDataModule') -> dict[str, Any]:
    """Give what the bundle of a model says of its data, as plain values."""
    finest, coarsest = resolutions_of(module.labelled.grids)
    extent = extent_of(module.labelled.grids)
    return {
        'name': module.name,
        'description': describe(module),
        'bands': [
            dataclasses.asdict(band)
            for band in bands_of(
                module.labelled, module.survey.values, module.described, module.seen
            )
        ],
        'classes': [dataclasses.asdict(entry) for entry in classes_of(module, binary=False)],
        'tile_size': module.patch_size,
        'halo': module.patch_size // 8,
        'resolution_minimum': finest,
        'resolution_maximum': coarsest,
        'extent': None if extent is None else list(extent),
        'training': {
            'images': files_of(module),
            'training_pixels': module.survey.counts(TRAINING).tolist(),
            'held_out_pixels': module.survey.counts(VALIDATION).tolist(),
        },
    }


def describe(module: 'GeoTIFFDataModule') -> str:
    """Say in a sentence what a model of it was trained for."""
    dataset, number = module.labelled, len(module.labelled.scenes)
    what = 'Change' if module.is_change else 'Classes'
    of = ('image pair' if module.is_change else 'image') + 's' * (number != 1)
    names = ', '.join(entry.name for entry in dataset.told_classes)
    return f'{what} ({names}) from {len(dataset.bands)} bands, trained on {number} {of}.'


def files_of(module: 'GeoTIFFDataModule') -> list[list[str]]:
    """Give the names of the images of each place or pair."""
    return [[Path(image.path).name for image in scene.images] for scene in module.labelled.scenes]
