"""From names of spectral indices to a network that computes them from stored values."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference import open_raster
from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.operations._spectral import REFLECTANCE, largest, not_twice, reflectance_already
from torchgeo_ext.sensors import (
    BandWavelengths,
    Sensor,
    SensorBand,
    identify_bands,
    read_wavelengths,
    wavelength_table,
)
from torchgeo_ext.sensors._sensor import HALF_WIDTH
from torchgeo_ext.sensors._units import factor
from torchgeo_ext.sensors._wavelengths import of_file
from torchgeo_ext.transforms.indices import ResolvedIndex, resolve_index

log = logging.getLogger(__name__)


class OpenedIndices(NamedTuple):
    """Indices, and the bands of an image that they need.

    Attributes:
        cube: These bands, with what makes reflectance of them.
        indices: The indices; their channels are positions among these bands.
        used: For people: by index, what was taken for each letter.
    """

    cube: Cube
    indices: tuple[ResolvedIndex, ...]
    used: dict[str, dict[str, str]]


class IndexNetwork(nn.Module):
    """Computes spectral indices from stored values; NaN where one is no number.

    Args:
        opened: The indices and their bands.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, opened: OpenedIndices) -> None:
        super().__init__()
        self.indices = opened.indices
        bands = opened.cube.bands
        for name, values in (('scale', bands.scale), ('offset', bands.offset)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute.

        Args:
            pixels: (b, c, h, w) stored values.

        Returns:
            (b, k, h, w) indices.
        """
        physical = pixels * self.scale + self.offset
        computed = [index.compute(physical[:, list(index.channels)]) for index in self.indices]
        indices = torch.stack(computed, dim=1)
        return torch.where(indices.isfinite(), indices, math.nan)


def split_indices(text: str) -> list[str]:
    """Split names and formulas at semicolons, and at commas outside of brackets.

    Raises:
        BadParameter: If there is none.
    """
    names = [name.strip() for name in re.split(r'[;,](?![^(]*\))', text) if name.strip()]
    if not names:
        raise BadParameter(f'index is {text!r}; it names no index.', 'Give for instance NDVI.')
    return names


def open_indices(
    cube: Cube,
    names: Sequence[str],
    shows: str,
    wavelengths: Any,
    constants: Sequence[Sequence[Any]],
    *,
    scale: float | None,
    offset: float | None,
) -> OpenedIndices:
    """Find the bands that indices need, and what makes reflectance of them.

    Args:
        cube: All bands of the image.
        names: Names in the catalogue or formulas.
        shows: What the bands show, separated by commas; empty if the file tells.
        wavelengths: Table of wavelengths or name of a sensor; None if the file tells.
        constants: Rows of a constant of the formulas and its value.
        scale: Factor that makes reflectance; None if the file or its sensor tell.
        offset: Added after scaling, likewise.

    Raises:
        BadParameter: If an index, a constant or a band is missing.
        BadInput: If nothing is known of any band.
    """
    numbers = [number - 1 for number in cube.source.bands or ()]
    with open_raster(cube.source.path) as dataset:
        found, known = of_file(dataset).select(numbers), identify_bands(dataset)
    own = [known[number] for number in numbers]
    if shows and wavelengths is not None:
        raise BadParameter('Give shows or wavelengths, not both.')
    if shows or wavelengths is not None:
        found, own = _told(found, shows, wavelengths), [None] * len(numbers)
    sensor = Sensor('image', 'the image', 'digital_number', tuple(_bands(found, own)))
    if not any(band.name or band.wavelength or band.role for band in sensor.bands):
        read_wavelengths(cube.source.path)  # tells where nothing was found, and what to give
    values = _constants(constants)
    resolved = [resolve_index(name, sensor, values) for name in names]
    needed = sorted({channel for index in resolved for channel in index.channels})
    indices = tuple(
        replace(index, channels=tuple(needed.index(place) for place in index.channels))
        for index in resolved
    )
    reading = _with_factors(replace(cube, bands=found).select(needed), scale, offset)
    _warn_of_units(reading, indices)
    used = {
        name: {
            letter: found.describe([place])
            if sensor.bands[place].wavelength
            else found.names[place]
            for letter, place in zip(index.letters, index.channels, strict=True)
        }
        for name, index in zip(names, resolved, strict=True)
    }
    return OpenedIndices(reading, indices, used)


def _bands(found: BandWavelengths, own: Sequence[SensorBand | None]) -> 'list[SensorBand]':
    """What is known of each band, by the file and by its sensor; nothing of bad ones."""
    bands = []
    for place, known in enumerate(own):
        centre, width = found.centre[place], found.fwhm[place]
        described = SensorBand(
            found.names[place],
            wavelength=None if math.isnan(centre) else centre,
            # the centres of narrow bands may be further from each other than their widths
            width=None if math.isnan(width) else max(width, 2 * HALF_WIDTH),
        )
        if known is not None:
            described = replace(described, aliases=(*known.aliases, known.name), role=known.role)
        bands.append(described if found.good[place] else SensorBand(''))
    return bands


def _told(found: BandWavelengths, shows: str, wavelengths: Any) -> BandWavelengths:
    """Replace what the file says by what the user says."""
    words = [word.strip() for word in shows.split(',')]
    given = (
        wavelength_table(wavelengths, 'wavelengths')
        if wavelengths is not None
        else BandWavelengths(
            tuple(_micrometres(word) for word in words),
            names=tuple(word if math.isnan(_micrometres(word)) else '' for word in words),
        )
    )
    if len(given) != len(found):
        raise BadParameter(
            f'{"shows" if shows else "wavelengths"} tells of {len(given)} bands, but image has '
            f'{len(found)}.',
            'Tell what each band of the image shows, in their order.',
        )
    return replace(given, scale=found.scale, offset=found.offset)


def _micrometres(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        return math.nan
    return value * factor(value)


def _constants(rows: Sequence[Sequence[Any]]) -> Mapping[str, float]:
    try:
        return {str(name).strip(): float(value) for name, value in rows}
    except (TypeError, ValueError) as error:
        raise BadParameter(
            f'constants is {rows!r}, which are no rows of a name and a number.',
            'Give for instance L and 0.5.',
        ) from error


def _with_factors(cube: Cube, scale: float | None, offset: float | None) -> Cube:
    cube = cube if scale is not None else not_twice(cube)
    bands = cube.bands
    if scale is not None:
        bands = replace(bands, scale=(scale,) * len(bands))
        seen = reflectance_already(cube)
        if scale < 1 and seen is not None:
            log.warning(
                'scale is %g, but values of image (up to %.3g) look like reflectance already; '
                'they are multiplied nevertheless.',
                scale,
                seen,
            )
    if offset is not None:
        bands = replace(bands, offset=(offset,) * len(bands))
    return replace(cube, bands=bands)


def _warn_of_units(cube: Cube, indices: Sequence[ResolvedIndex]) -> None:
    """Warn if formulas that want reflectance would get other numbers."""
    wanting = [index.index.name for index in indices if not _free_of_units(index)]
    if wanting and (seen := largest(cube)) > REFLECTANCE:
        log.warning(
            'image: values go up to %.4g, but %s want reflectance from 0 to 1. Set scale (and '
            'offset) so that they become reflectance.',
            seen,
            ', '.join(wanting),
        )


def _free_of_units(index: ResolvedIndex) -> bool:
    """Whether an index of numbers that are ten times as large is the same."""
    random = np.random.default_rng(0).uniform(0.1, 0.9, (len(index.channels), 1, 8))
    pixels = torch.from_numpy(random)
    return torch.allclose(index.compute(pixels), index.compute(10 * pixels))
