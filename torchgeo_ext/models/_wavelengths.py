"""What networks that know bands by their wavelengths have in common."""

import logging
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import wavelengths as find_wavelengths

log = logging.getLogger(__name__)

#: Micrometres; longer ones stand for radar.
_POSSIBLE = (0.2, 100)
#: Where bands of which nothing is known are taken to lie.
_OPTICAL = (0.4, 2.5)


def check_wavelengths(centres: Sequence[float]) -> tuple[float, ...]:
    """See that centres of bands are micrometres.

    Raises:
        BadParameter: If there are none, or one cannot be.
    """
    low, high = _POSSIBLE
    strange = [centre for centre in centres if not low <= centre <= high]
    if strange or not len(centres):
        raise BadParameter(
            f'wavelengths: {strange or "there are none"}.',
            'Give the centre of every band in micrometres.',
        )
    return tuple(float(centre) for centre in centres)


def known_wavelengths(
    in_chans: int | None, bands: Sequence[str | float] | None, usual: Sequence[float] = ()
) -> tuple[float, ...]:
    """Give the centres of bands.

    Args:
        in_chans: Their number, if it is known.
        bands: Their names or centres in micrometres, if these are known.
        usual: Centres of the bands that so many usually are.

    Returns:
        Micrometres. Without ``bands`` the usual ones, if the number fits; else evenly spread, with
        a warning.

    Raises:
        BadParameter: If nothing is known, numbers do not fit, or a name is not that of a band.
    """
    if not bands:
        if in_chans in (None, len(usual)) and usual:
            return tuple(usual)
        if in_chans is None:
            raise BadParameter(
                'bands: the network goes by wavelengths, but none are given.',
                'Give names or centres in micrometres of the bands.',
            )
        log.warning(
            'wavelengths: none are given of %d bands; until they are told, they are taken to lie '
            'evenly from %g to %g micrometres.',
            in_chans,
            *_OPTICAL,
        )
        return tuple(np.linspace(*_OPTICAL, in_chans).tolist())
    if in_chans not in (None, len(bands)):
        raise BadParameter(
            f'wavelengths has {len(bands)} centres, but in_chans is {in_chans}.',
            'Give one for each band.',
        )
    found = find_wavelengths(bands)
    unknown = [str(band) for band, centre in zip(bands, found, strict=True) if centre is None]
    if unknown:
        raise BadParameter(
            f'bands: the wavelengths of {", ".join(unknown[:6])} are not known.',
            'Give their centres in micrometres.',
        )
    return check_wavelengths([centre for centre in found if centre is not None])


def check_bands(x: Tensor, wavelengths: Sequence[float]) -> None:
    """See that images (b, s, h, w) have a band for each wavelength.

    Raises:
        BadInput: If not.
    """
    if x.shape[1] != len(wavelengths):
        raise BadInput(
            f'The image has {x.shape[1]} bands, but the network was given {len(wavelengths)} '
            'wavelengths.',
            'Set wavelengths to the centres of the bands in micrometres.',
        )
