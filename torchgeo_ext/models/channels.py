"""Filters of a first layer for other bands than they were trained with, in one place.

Axes: o filters, c bands.
"""

import contextlib
import re
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.sensors import find_bands, wavelengths
from torchgeo_ext.sensors._names import plain

#: How filters come to other bands: ``auto`` finds them by name, with the mean for bands that are
#: not known; where no name is known it finds all by role or wavelength, or takes bands in order, or
#: the mean of all if their number differs. ``repeat`` takes them in order, from the first again
#: after the last. ``mean`` gives each band the mean of all. ``nearest`` gives each band those of
#: the nearest centre wavelength. ``zero`` does as ``auto``, but lets bands that are not known begin
#: without effect.
Adaptation = Literal['auto', 'repeat', 'mean', 'nearest', 'zero']


def adapt_channels(
    kernels: Tensor,
    known: Sequence[str | float],
    bands: Sequence[str | float],
    channels: int | None = None,
    adaptation: Adaptation = 'auto',
) -> tuple[Tensor, str]:
    """Make filters for other bands.

    Filters are scaled by the ratio of the numbers of channels, so that what the layer gives keeps
    its size; but not with ``zero``, where bands that are known are to act as they did.

    Args:
        kernels: (o, c, ...).
        known: Name, or centre wavelength in micrometres, of each of the c bands; may be empty.
        bands: The same of the bands wanted.
        channels: Channels wanted: as many as bands, or a multiple for several dates.
        adaptation: How to do it, see :data:`Adaptation`.

    Returns:
        Filters (o, channels, ...) and what was done.

    Raises:
        BadParameter: If there is no such way, or wavelengths are needed that are not known.
    """
    if adaptation not in get_args(Adaptation):
        raise BadParameter(
            f'adaptation is {adaptation!r}, which is not known.',
            f'Choose one of {", ".join(get_args(Adaptation))}.',
        )
    count, dates = kernels.shape[1], (channels or len(bands)) // len(bands)
    known = known if len(known) == count else ()
    places: Sequence[int | None]
    if adaptation == 'repeat':
        places, note = _in_turn(len(bands), count)
    elif adaptation == 'mean':
        places, note = _averaged(len(bands), count)
    elif adaptation == 'nearest':
        places, note = _nearest(known, bands)
    else:
        places, note = _by_name(known, bands, count, 'the mean' if adaptation == 'auto' else 'none')
    rest = torch.zeros_like(kernels[:, 0]) if adaptation == 'zero' else kernels.mean(1)
    single = torch.stack([rest if place is None else kernels[:, place] for place in places], 1)
    scale = 1 / dates if adaptation == 'zero' else count / (len(bands) * dates)
    return torch.cat([single] * dates, dim=1) * scale, note


def adapt_filters(in_chans: int, filters: Tensor) -> Tensor:
    """Make filters for another number of bands of which no more is known.

    Args:
        in_chans: Bands wanted.
        filters: (o, c, ...). Those of three colours are repeated, or averaged for one band; of
            others the mean is taken for each band.

    Returns:
        Filters (o, in_chans, ...), scaled so that what they give keeps its size.
    """
    if filters.shape[1] == in_chans:
        return filters
    way: Adaptation = 'repeat' if filters.shape[1] == 3 and in_chans > 1 else 'mean'
    return adapt_channels(filters, (), range(in_chans), adaptation=way)[0]


def _in_turn(wanted: int, count: int) -> tuple[list[int | None], str]:
    note = f'its filters of {count} bands were repeated for these {wanted}'
    return [place % count for place in range(wanted)], note


def _averaged(wanted: int, count: int) -> tuple[list[int | None], str]:
    note = f'its first layer, made for {count} bands, was averaged for these {wanted}'
    return [None] * wanted, note


def _nearest(
    known: Sequence[str | float], bands: Sequence[str | float]
) -> tuple[list[int | None], str]:
    centres = {place: centre for place, centre in enumerate(wavelengths(known)) if centre}
    wanted = wavelengths(bands)
    if not centres or not any(wanted):
        whose = 'the weights' if not centres else 'the image'
        raise BadParameter(
            f'adaptation: nearest needs wavelengths, but those of the bands of {whose} '
            f'({_listed(known if not centres else bands) or "without names"}) are not known.',
            'Give centre wavelengths in micrometres or names of one sensor, or choose another '
            'adaptation.',
        )
    places = [
        None if centre is None else min(centres, key=lambda place: abs(centres[place] - centre))
        for centre in wanted
    ]
    pairs = [
        f'{band} from {known[place]}'
        for band, place in zip(bands, places, strict=True)
        if place is not None
    ]
    note = f'bands were found by wavelength: {", ".join(pairs)}'
    return places, note + _strangers(places, bands, 'the mean of its channels')


def _by_name(
    known: Sequence[str | float], bands: Sequence[str | float], count: int, given: str
) -> tuple[list[int | None], str]:
    names = [_spelled(name) for name in known]
    wanted = [_spelled(name) for name in bands]
    places = [names.index(name) if name in names else None for name in wanted]
    if any(place is not None for place in places):
        if None not in places:
            return places, 'all bands were found by name'
        what = 'the mean of its channels' if given == 'the mean' else 'no effect at first'
        return places, 'bands were found by name' + _strangers(places, bands, what)
    by_role = _by_role(known, bands)
    if by_role is not None:
        return by_role, 'all bands were found by role or wavelength'
    return _unnamed(bands, count, given)


def _by_role(known: Sequence[str | float], bands: Sequence[str | float]) -> list[int | None] | None:
    """Find all bands by what they are of the spectrum, whichever side says it in roles."""
    with contextlib.suppress(BadParameter):
        places = find_bands(bands, known)
        return list(places) if len(set(places)) == len(bands) else None
    if len(known) == len(bands):
        with contextlib.suppress(BadParameter):
            order = find_bands(known, bands)
            if len(set(order)) == len(bands):
                return [order.index(place) for place in range(len(bands))]
    return None


def _unnamed(bands: Sequence[str | float], count: int, given: str) -> tuple[list[int | None], str]:
    if len(bands) == count:
        note = 'bands are taken in their order, as their names are not those of the weights'
        return list(range(count)), note
    if given == 'the mean':
        return _averaged(len(bands), count)
    places = [place if place < count else None for place in range(len(bands))]
    note = f'its filters of {count} bands are taken in order for these {len(bands)}'
    return places, note + _strangers(places, bands, 'no effect at first')


def _strangers(places: Sequence[int | None], bands: Sequence[str | float], what: str) -> str:
    strange = [band for band, place in zip(bands, places, strict=True) if place is None]
    return f'; {_listed(strange)} got {what}' if strange else ''


def _listed(bands: Sequence[str | float]) -> str:
    return ', '.join(map(str, bands))


def _spelled(band: str | float) -> str:
    """Bring B1, B01 and SR_B1 to one form."""
    return plain(re.sub(r'^sr_', '', str(band).strip(), flags=re.IGNORECASE))
