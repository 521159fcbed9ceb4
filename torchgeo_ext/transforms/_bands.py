"""How transforms are told which bands an image has."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput
from torchgeo_ext.sensors import BandWavelengths, Sensor, find_bands, sensor, wavelengths
from torchgeo_ext.transforms._base import Sample

#: A sensor or its name (all its bands, in its order), what :func:`read_wavelengths` gives, or of
#: each band its name, its role (such as ``red``) or its centre wavelength in micrometres.
type Bands = Sensor | BandWavelengths | str | Sequence[str | float]


def known_bands(bands: Bands) -> Sensor | Sequence[str | float]:
    """Look up a sensor given by name."""
    if isinstance(bands, BandWavelengths):
        return bands.centre
    return sensor(bands) if isinstance(bands, str) else bands


def band_wavelengths(bands: Bands) -> BandWavelengths:
    """Tell where bands lie in the spectrum, in whatever form they are given.

    Raises:
        BadParameter: If there is no such sensor, or its bands vary from image to image.
    """
    if isinstance(bands, BandWavelengths):
        return bands
    known = known_bands(bands)
    if isinstance(known, Sensor):
        return BandWavelengths.of_sensor(known)
    return BandWavelengths(
        tuple(math.nan if centre is None else centre for centre in wavelengths(known)),
        names=tuple(band if isinstance(band, str) else '' for band in known),
    )


def count_bands(bands: Bands) -> int:
    """How many bands an image is said to have."""
    known = known_bands(bands)
    return len(known.bands if isinstance(known, Sensor) else known)


def centre_wavelengths(bands: Bands) -> list[float]:
    """Centre wavelength of each band in micrometres, NaN where unknown."""
    known = known_bands(bands)
    if isinstance(known, Sensor):
        return [math.nan if band.wavelength is None else band.wavelength for band in known.bands]
    return [math.nan if isinstance(band, str) else float(band) for band in known]


def positions(wanted: Sequence[str | float], bands: Bands) -> list[int]:
    """Positions (from 0) of bands; see :func:`torchgeo_ext.sensors.find_bands`."""
    return list(find_bands(wanted, known_bands(bands)))


def wavelengths_for(
    transform: str, own: Sequence[float] | None, sample: Tensor | None, pixels: Tensor
) -> Tensor:
    """Find the wavelengths of images: those a transform was given, else those of the sample.

    Args:
        transform: Name of the transform, for errors.
        own: What the transform was given, or None.
        sample: (n, c) wavelengths of the sample, or None.
        pixels: (n, c, h, w) images.

    Returns:
        (n, c) wavelengths in micrometres.

    Raises:
        BadInput: If there are none, some are unknown, or their number is not that of the channels.
    """
    hint = f'Give {transform} its bands, as a sensor or as wavelengths in micrometres.'
    if own is not None:
        sample = torch.tensor(own, dtype=pixels.dtype, device=pixels.device).expand(len(pixels), -1)
    if sample is None:
        raise BadInput(f'{transform} needs wavelengths, and the sample has none.', hint)
    if sample.shape[1] != pixels.shape[1]:
        raise BadInput(
            f'{transform} was given {sample.shape[1]} bands, but the image has {pixels.shape[1]}.',
            hint,
        )
    if sample.isnan().any():
        unknown = [str(i) for i in sample.isnan().any(dim=0).nonzero()[:, 0].tolist()]
        raise BadInput(
            f'{transform} needs all wavelengths; of channel {", ".join(unknown)} (from 0) it is '
            'not known.',
            hint,
        )
    return sample.to(pixels)


def shared_wavelengths(transform: str, sample: Sample) -> tuple[float, ...]:
    """Give the wavelengths of a sample whose images all have the same.

    Args:
        transform: Name of the transform, for errors.
        sample: One sample or a batch.

    Returns:
        Micrometres, NaN where unknown.

    Raises:
        BadInput: If there are none, or they differ.
    """
    wavelengths = sample.get('wavelengths')
    if wavelengths is None:
        raise BadInput(
            f'{transform} was not given bands, and the sample has no wavelengths.',
            'Give it bands: a sensor, or names, roles or wavelengths in micrometres.',
        )
    rows = wavelengths.reshape(-1, wavelengths.shape[-1])
    if not torch.equal(rows.nan_to_num(), rows[:1].expand_as(rows).nan_to_num()):
        raise BadInput(f'{transform}: the images of this batch have different wavelengths.')
    return tuple(rows[0].tolist())


def set_wavelengths(sample: Sample, centres: Sequence[float]) -> None:
    """Replace the wavelengths of a sample, if it has any, by those of other bands."""
    if (old := sample.get('wavelengths')) is not None:
        new = torch.tensor(list(centres), dtype=old.dtype, device=old.device)
        sample['wavelengths'] = new.expand(*old.shape[:-1], -1)
