"""How transforms are told which bands an image has."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchgeo_ext.errors import BadInput
from torchgeo_ext.sensors import Sensor, find_bands, sensor

#: A sensor or its name (all its bands, in its order), or of each band its name, its role (such as
#: ``red``) or its centre wavelength in micrometres.
type Bands = Sensor | str | Sequence[str | float]


def known_bands(bands: Bands) -> Sensor | Sequence[str | float]:
    """Look up a sensor given by name."""
    return sensor(bands) if isinstance(bands, str) else bands


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
