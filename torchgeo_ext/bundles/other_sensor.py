"""Models on images of sensors they were not trained on: what they are told, and users too."""

import dataclasses
import itertools
import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np

from torchgeo_ext.bundles._card import Band, BundleCard
from torchgeo_ext.bundles._read import Bundle
from torchgeo_ext.errors import BadInput
from torchgeo_ext.sensors import BandWavelengths

__all__ = ('goes_by_wavelength', 'on_other_bands', 'tell_of_bands')

log = logging.getLogger(__name__)

#: Micrometres around a band within which it tells what is measured there.
_REACH = 0.03


def goes_by_wavelength(card: BundleCard) -> bool:
    """Tell whether the network of a bundle is told wavelengths instead of having fixed bands."""
    arguments = card.architecture['arguments'].get('model_args')
    return isinstance(arguments, dict) and 'bands' in arguments


def on_other_bands(bundle: Bundle, found: BandWavelengths, argument: str = 'image') -> Bundle:
    """Give a bundle whose network goes by wavelengths for the bands of another sensor.

    Weights stay as they are. What bands are normalised by is interpolated between those of the
    training by wavelength. A warning names the parts of the spectrum that the network was trained
    on and the image does not show, and bands it was not trained on.

    Args:
        bundle: The model; see :func:`goes_by_wavelength`.
        found: The bands of the image that it is to see, all with known centres.
        argument: The argument the image came from, for messages.

    Returns:
        The same model, reading these bands.

    Raises:
        BadInput: If no band lies where the network was trained.
    """
    card = bundle.card
    known = sorted(card.image_bands, key=lambda band: band.center_wavelength or math.inf)
    centres = [band.center_wavelength or math.nan for band in known]
    _tell(card.name, centres, found, argument)
    bands = tuple(
        _band(found, position, centre, centres, known)
        for position, centre in enumerate(found.centre)
    )
    arguments = dict(card.architecture['arguments'])
    arguments |= {
        'in_channels': len(bands),
        'model_args': arguments['model_args'] | {'bands': list(found.centre)},
    }
    architecture = dict(card.architecture) | {'arguments': arguments}
    # behind those of the image, bands that say where it lies
    bands += card.bands[len(known) :]
    return dataclasses.replace(
        bundle, card=dataclasses.replace(card, bands=bands, architecture=architecture)
    )


def _band(
    found: BandWavelengths, position: int, centre: float, centres: Sequence[float], of: list[Band]
) -> Band:
    # a training on stored values goes on with stored values, whatever files say of them
    physical = any((band.scale, band.offset) != (1.0, 0.0) for band in of)
    return Band(
        found.names[position] or f'band {position + 1}',
        centre,
        scale=found.scale[position] if physical else 1.0,
        offset=found.offset[position] if physical else 0.0,
        mean=float(np.interp(centre, centres, [band.mean for band in of])),
        std=float(np.interp(centre, centres, [band.std for band in of])),
    )


def _tell(name: str, trained: Sequence[float], found: BandWavelengths, argument: str) -> None:
    reach = [max(_REACH, width / 2) for width in np.nan_to_num(found.fwhm)]
    seen = [
        any(abs(centre - other) <= near for other, near in zip(found.centre, reach, strict=True))
        for centre in trained
    ]
    known = [any(abs(centre - other) <= _REACH for other in trained) for centre in found.centre]
    if not any(known):
        raise BadInput(
            f'{argument}: {name} was trained on bands from {_nm(trained[0])} to '
            f'{_nm(trained[-1])} nm, but the image has {found.describe(range(len(found)))}.',
            'Choose a model of this part of the spectrum.',
        )
    tell_of_bands(
        name, trained, seen, len(found), argument, 'is told the wavelengths of those of the image'
    )
    if strange := [place for place, flag in enumerate(known) if not flag]:
        log.warning('%s: %s was not trained on %s.', argument, name, found.describe(strange))


def tell_of_bands(
    name: str, trained: Sequence[float], seen: Sequence[bool], count: int, argument: str, how: str
) -> None:
    """Log a warning that a model runs on bands it was not trained on.

    Args:
        name: What the model is called.
        trained: Centres of the bands it was trained on, in micrometres and any order.
        seen: Which of these the image shows.
        count: How many bands the image has.
        argument: The argument the image came from.
        how: What is done about it.
    """
    log.warning(
        '%s: %s was trained on other bands (%d instead of %d) and %s. How well that does is not '
        'known: compare with places you know.', argument, name, len(trained), count, how,
    )  # fmt: skip
    if gaps := ', '.join(_ranges(sorted(zip(trained, seen, strict=True)))):
        log.warning(
            '%s: the image shows nothing of what %s was trained on at %s nm.', argument, name, gaps
        )


def _ranges(pairs: Sequence[tuple[float, bool]]) -> Iterator[str]:
    """Name runs of wavelengths that are not seen."""
    for flag, run in itertools.groupby(pairs, key=lambda pair: pair[1]):
        ends = [centre for centre, _ in run]
        if not flag:
            first, last = _nm(ends[0]), _nm(ends[-1])
            yield first if first == last else f'{first} to {last}'


def _nm(micrometres: float) -> str:
    return f'{1000 * micrometres:.0f}'
