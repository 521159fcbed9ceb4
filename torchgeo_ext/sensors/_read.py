"""Reads the YAML files of this folder.

A file describes one instrument and becomes several sensors: each of its platforms (and the family
as a whole, named like the file, with the wavelengths of the first platform), as digital numbers and
for each of its products. Keys of a file:

title, source
    Text. Sources of a product or platform are added to those of the file.
bands
    Name -> ``aliases``, ``role``, ``gsd`` (metres), ``nm`` (centre and width in nanometres),
    ``planck``.
platforms (optional)
    Name -> ``title``, ``code`` (how file names spell it), and what differs for its bands.
products (optional)
    Name -> ``title``, ``quantity``, ``scale``, ``offset``, ``nodata``, ``valid_range``, ``bands``
    (their names, if not all) and ``file_names``. A file name pattern with ``{code}`` is of a
    platform, one without is of the family.
file_names, nodata, valid_range (optional)
    The same for digital numbers.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torchgeo_ext.sensors._sensor import Sensor, SensorBand

#: The product whose numbers no published factor turns into anything.
_DIGITAL_NUMBERS: Mapping[str, Any] = {'quantity': 'digital_number'}


@functools.cache
def builtin_sensors() -> tuple[Sensor, ...]:
    """Give all sensors of this folder."""
    files = sorted(Path(__file__).parent.glob('*.yaml'))
    return tuple(known for file in files for known in read_sensors(file))


def read_sensors(path: Path) -> Iterator[Sensor]:
    """Read the sensors that a file describes.

    Args:
        path: YAML file of the form told at the head of this module; its stem names the family.
    """
    import yaml

    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    entry = yaml.load(path.read_text(encoding='utf-8'), Loader=loader)  # noqa: S506  # both are safe
    platforms = entry.get('platforms', {})
    first: Mapping[str, Any] = next(iter(platforms.values()), {})
    family = {**first, 'title': entry['title'], 'code': ''}
    unspecific = {**_DIGITAL_NUMBERS, **{key: entry[key] for key in _SHARED if key in entry}}
    for name, platform in {path.stem: family, **platforms}.items():
        yield _sensor(name, entry, platform, unspecific)
        for suffix, product in entry.get('products', {}).items():
            yield _sensor(f'{name}_{suffix}', entry, platform, product)


_SHARED = ('file_names', 'nodata', 'valid_range')


def _sensor(
    name: str, entry: Mapping[str, Any], platform: Mapping[str, Any], product: Mapping[str, Any]
) -> Sensor:
    changed = platform.get('bands', {})
    chosen = product.get('bands', entry['bands'])
    sources = [part['source'] for part in (entry, platform, product) if 'source' in part]
    low_high = product.get('valid_range')
    return Sensor(
        name=name,
        title=' '.join([platform['title'], *([product['title']] if 'title' in product else [])]),
        quantity=product['quantity'],
        bands=tuple(_band(b, {**entry['bands'][b], **changed.get(b, {})}) for b in chosen),
        scale=float(product.get('scale', 1.0)),
        offset=float(product.get('offset', 0.0)),
        nodata=product.get('nodata'),
        valid_range=(low_high[0], low_high[1]) if low_high else None,
        source=' '.join(dict.fromkeys(sources)),
        file_names=tuple(_file_names(product.get('file_names', ()), platform['code'])),
    )


def _band(name: str, entry: Mapping[str, Any]) -> SensorBand:
    centre, width = entry.get('nm', (None, None))
    planck = entry.get('planck')
    return SensorBand(
        name=name,
        aliases=tuple(entry.get('aliases', ())),
        role=entry.get('role'),
        wavelength=None if centre is None else round(centre / 1000, 7),
        width=None if width is None else round(width / 1000, 7),
        gsd=entry.get('gsd'),
        planck=(planck[0], planck[1]) if planck else None,
    )


def _file_names(patterns: tuple[str, ...], code: str) -> Iterator[str]:
    """Keep the patterns of a platform if there is a code, else those of the family."""
    for pattern in patterns:
        if ('{code}' in pattern) == bool(code):
            yield pattern.replace('{code}', code)
