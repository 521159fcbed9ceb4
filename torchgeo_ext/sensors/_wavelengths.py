"""Where the bands of a raster or of a sensor lie in the spectrum."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors._detect import detect_sensor, identify_bands, opened
from torchgeo_ext.sensors._facts import BandFacts
from torchgeo_ext.sensors._products import container_facts, metadata_file
from torchgeo_ext.sensors._raster import read_bands
from torchgeo_ext.sensors._sensor import HALF_WIDTH, Sensor, sensor
from torchgeo_ext.sensors._table import read_table

if TYPE_CHECKING:
    import os

#: Micrometres in which water vapour of the atmosphere leaves next to nothing of the light: where
#: EnMAP has no bands (1391 to 1461 and 1760 to 1939 nm), or no data at L2A (1331 to 1391 nm).
WATER_VAPOUR = ((1.325, 1.455), (1.765, 1.935))

_TABLE = 'A table is a CSV with a row for each band (wavelength_nm,fwhm_nm).'


@dataclass(frozen=True, repr=False)
class BandWavelengths:
    """Where bands lie in the spectrum, and what their numbers mean.

    Physical value = stored value * ``scale`` + ``offset``. All tuples have an entry for each band,
    in the order of the file, which need not be that of the wavelengths.

    Args:
        centre: Centres in micrometres, NaN where unknown.
        fwhm: Full widths at half maximum in micrometres, NaN where unknown.
        good: False for bands that are of no use.
        scale: Factors from stored to physical values.
        offset: Added after scaling.
        names: Names of the bands; may be empty.
        source: Where this was read, for people.
    """

    centre: tuple[float, ...]
    fwhm: tuple[float, ...] = ()
    good: tuple[bool, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    source: str = ''

    def __post_init__(self) -> None:
        usual = {'fwhm': math.nan, 'good': True, 'scale': 1.0, 'offset': 0.0, 'names': ''}
        for key, value in usual.items():
            given = tuple(getattr(self, key)) or (value,) * len(self.centre)
            if len(given) != len(self.centre):
                raise BadParameter(
                    f'{key} has {len(given)} entries, but there are {len(self.centre)} bands.'
                )
            object.__setattr__(self, key, given)

    def __len__(self) -> int:
        return len(self.centre)

    def __repr__(self) -> str:
        ends = [f'{1000 * self.centre[i]:.0f}' for i in (*self.order[:1], *self.order[-1:])]
        return f'<{len(self)} bands, {" to ".join(ends)} nm, {self.source or "as given"}>'

    @classmethod
    def of_sensor(cls, known: Sensor | str) -> 'BandWavelengths':
        """Give the bands of a sensor, or of the one of this name.

        Raises:
            BadParameter: If there is no such sensor, or its bands vary from image to image.
        """
        found = sensor(known) if isinstance(known, str) else known
        if not any(band.wavelength for band in found.bands):
            raise BadParameter(
                f'The wavelengths of {found.title} vary from image to image.',
                'Give a table of wavelengths instead.',
            )
        return cls(
            centre=tuple(band.wavelength or math.nan for band in found.bands),
            fwhm=tuple(band.width or math.nan for band in found.bands),
            good=tuple(band.good for band in found.bands),
            scale=(found.scale,) * len(found.bands),
            offset=(found.offset,) * len(found.bands),
            names=tuple(band.name for band in found.bands),
            source=found.title,
        )

    @property
    def order(self) -> tuple[int, ...]:
        """Positions of the bands whose wavelengths are known, from short to long waves."""
        known = (i for i, centre in enumerate(self.centre) if not math.isnan(centre))
        return tuple(sorted(known, key=lambda i: self.centre[i]))

    @property
    def widths(self) -> tuple[float, ...]:
        """Full widths at half maximum in micrometres, guessed where they are unknown.

        The guess is the larger distance to a neighbour, but at most that of a usual multispectral
        band. NaN where not even the centre is known.
        """
        order, widths = self.order, list(self.fwhm)
        for place, i in enumerate(order):
            if math.isnan(widths[i]):
                beside = [order[p] for p in (place - 1, place + 1) if 0 <= p < len(order)]
                gaps = [abs(self.centre[i] - self.centre[k]) for k in beside]
                widths[i] = min(max(gaps, default=0.0) or 2 * HALF_WIDTH, 2 * HALF_WIDTH)
        return tuple(widths)

    def select(self, positions: Iterable[int]) -> 'BandWavelengths':
        """Give some of the bands, by positions from 0."""
        chosen = tuple(positions)
        entries: dict[str, Any] = {
            key: tuple(getattr(self, key)[i] for i in chosen)
            for key in ('centre', 'fwhm', 'good', 'scale', 'offset', 'names')
        }
        return dataclasses.replace(self, **entries)

    def unscaled(self) -> 'BandWavelengths':
        """Forget factors and offsets, for values that are physical already."""
        return dataclasses.replace(self, scale=(), offset=())

    @property
    def uniform(self) -> bool:
        """Whether all bands have the same factor and offset."""
        return len({*zip(self.scale, self.offset, strict=True)}) <= 1

    def without(self, ranges: Sequence[tuple[float, float]] = WATER_VAPOUR) -> 'BandWavelengths':
        """Mark bands as bad whose centres lie in any of these ranges, in micrometres."""
        good = tuple(
            flag and not any(low <= centre <= high for low, high in ranges)
            for flag, centre in zip(self.good, self.centre, strict=True)
        )
        return dataclasses.replace(self, good=good)

    def tags(self) -> list[dict[str, str]]:
        """Give metadata for each band of a file, as GDAL and EnMAP-Box write it."""
        return [
            ({} if math.isnan(centre) else _centre_tags(centre))
            | ({} if math.isnan(width) else {'fwhm': f'{1000 * width:.7g}'})
            | ({} if good else {'bbl': '0'})
            for centre, width, good in zip(self.centre, self.fwhm, self.good, strict=True)
        ]

    def describe(self, positions: Iterable[int]) -> str:
        """List bands for a message, by names and nanometres."""
        words = [f'{self.names[i]} {self.centre[i] * 1000:.0f} nm'.strip() for i in positions]
        more = f' and {len(words) - 20} more' if len(words) > 20 else ''
        return ', '.join(words[:20]) + more


def _centre_tags(centre: float) -> dict[str, str]:
    return {'wavelength': f'{1000 * centre:.7g}', 'wavelength_units': 'Nanometers'}


def read_wavelengths(
    raster: 'str | os.PathLike[str] | Any',
    table: 'str | os.PathLike[str] | None' = None,
    *,
    argument: str = 'image',
) -> BandWavelengths:
    """Read where the bands of a raster lie in the spectrum.

    Looked at in this order: the table; tags of the bands; lists for all bands (ENVI headers); the
    metadata that products of EnMAP, DESIS, PRISMA and EMIT bring; names of the bands; the sensor,
    if names of files or bands tell it (see :func:`detect_sensor`). Nanometres and micrometres are
    told from each other by the values. Of a PRISMA file as a whole, the bands are those of the VNIR
    cube and then those of the SWIR cube.

    Args:
        raster: Path of a raster, or an open :class:`rasterio.DatasetReader`.
        table: CSV with a row for each band (see :func:`read_table`), or the name of a sensor
            whose bands these are.
        argument: The argument the raster came from, for messages.

    Returns:
        One entry for each band of the raster. Wavelengths of some bands may be unknown (NaN).

    Raises:
        BadInput: If no wavelength is known, or the table has more or fewer bands than the raster.
        BadParameter: If ``table`` names neither a file nor a sensor.
    """
    with opened(raster) as dataset:
        if dataset.count == 0:
            found = _of(container_facts(dataset), [], Path(dataset.name).name)
        else:
            found = of_file(dataset)
        path, count = dataset.name, len(found)
    if table is not None:
        given = wavelength_table(table)
        if len(given) != count:
            raise BadInput(
                f'wavelengths: {given.source} has {len(given)} bands, but {argument} {path} has '
                f'{count}. {_sensors_of(count)}',
                'Give the sensor that the image is of, or a CSV with a row for each of its bands, '
                'in their order.',
            )
        return _completed(given, found)
    if not found.order:
        raise _no_wavelengths(path, count, argument)
    return found


def wavelength_table(
    table: 'str | os.PathLike[str]', argument: str = 'wavelengths'
) -> BandWavelengths:
    """Read a table of bands, or look up a sensor.

    Args:
        table: CSV with a row for each band (see :func:`read_table`), or the name of a sensor.
        argument: The argument it came from, for messages.

    Raises:
        BadInput: If the file is no such table.
        BadParameter: If it names neither a file nor a sensor.
    """
    path = Path(table)
    if path.suffix or path.exists():
        names, told = read_table(path, argument)
        return _of(told, names, str(table))
    try:
        return BandWavelengths.of_sensor(str(table))
    except BadParameter as error:
        raise BadParameter(f'{argument}: {error.message}', f'{error.hint} {_TABLE}') from error


def _of(told: Sequence[BandFacts], names: Sequence[str], source: str) -> BandWavelengths:
    return BandWavelengths(
        centre=tuple(math.nan if f.wavelength is None else f.wavelength for f in told),
        fwhm=tuple(math.nan if f.width is None else f.width for f in told),
        good=tuple(f.good is not False for f in told),
        scale=tuple(1.0 if f.scale is None else f.scale for f in told),
        offset=tuple(f.offset or 0.0 for f in told),
        names=tuple(names),
        source=source,
    )


def of_file(dataset: Any) -> BandWavelengths:
    """Tell what an open raster says of its bands, completed by what is known of its sensor.

    Args:
        dataset: Open :class:`rasterio.DatasetReader`.

    Returns:
        One entry for each band; nothing may be known of any of them.
    """
    bands, known = read_bands(dataset), detect_sensor(dataset)
    own = identify_bands(dataset, known)
    told = [
        BandFacts(
            band.wavelength or (nominal.wavelength if nominal else None),
            band.width or (nominal.width if nominal else None),
            band.good and not band.alpha and (nominal is None or nominal.good),
            band.scale,
            band.offset,
        )
        for band, nominal in zip(bands, own, strict=True)
    ]
    names = [
        band.name or (nominal.name if nominal else '')
        for band, nominal in zip(bands, own, strict=True)
    ]
    found = _of(told, names, Path(dataset.name).name)
    if known is not None and not _scaled(found):
        count = len(found)
        found = dataclasses.replace(
            found, scale=(known.scale,) * count, offset=(known.offset,) * count
        )
    return found


def _completed(given: BandWavelengths, found: BandWavelengths) -> BandWavelengths:
    """Keep what the file says of names and factors where a table is silent."""
    names = tuple(own or theirs for own, theirs in zip(given.names, found.names, strict=True))
    kept = given if _scaled(given) else found
    return dataclasses.replace(given, names=names, scale=kept.scale, offset=kept.offset)


def _scaled(bands: BandWavelengths) -> bool:
    return set(bands.scale) != {1.0} or any(bands.offset)


def _no_wavelengths(path: str, count: int, argument: str) -> BadInput:
    beside = metadata_file(path)
    known = detect_sensor(path) if Path(path).exists() else None
    layout = ''
    if known is not None and known.bands:
        layout = (
            f' It seems to be of {known.title}, which has {len(known.bands)} bands, but the file '
            f'has {count} in an order that nothing tells.'
        )
    else:
        layout = f' {_sensors_of(count)}'
    return BadInput(
        f'{argument}: {path} does not say at which wavelengths its {count} bands are. Looked at: '
        'tags of the bands, the header (wavelength), '
        f'{beside or "metadata beside it (...METADATA.XML), of which there is none"}, names of the '
        f'bands, and names of known sensors.{layout}',
        f'Give a table of wavelengths, or the name of a sensor such as enmap. {_TABLE}',
    )


def _sensors_of(count: int) -> str:
    """Say which instruments have so many bands whose wavelengths are known."""
    from torchgeo_ext.registry import sensors

    fitting = [
        name
        for name, known in sensors.items()
        if known.family in ('', name)
        and [bool(b.wavelength) for b in known.bands] == [True] * count
    ]
    if not fitting:
        return f'No known sensor has {count} bands.'
    return f'{count} bands have: {", ".join(fitting)}.'
