"""Reads sensors from YAML files such as those of this folder.

A file describes one instrument and becomes several sensors: each of its platforms (and the family
as a whole, named like the file, with the wavelengths of the first platform), as digital numbers and
for each of its products. Keys of a file:

title, source
    Text.
ordered
    Whether a file with as many bands has them in the order given here.
bands
    Name -> ``aliases``, ``role``, ``gsd`` (metres), ``nm`` (centre and width in nanometres),
    ``planck``, ``bad`` (true if it holds nothing of use).
platforms (optional)
    Name -> ``title``, ``code`` (regular expression: how file names spell it) and ``bands`` (what
    differs from ``bands`` above).
products (optional)
    Name -> ``title``, ``quantity``, ``scale``, ``offset``, ``nodata``, ``valid_range``, ``bands``
    (their names, if not all) and ``file_names`` (regular expressions; those with ``{code}`` are of
    the platforms, the others of the family).
file_names, nodata (optional)
    The same for digital numbers.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchgeo_ext.sensors._sensor import Sensor, SensorBand


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
    family = {'title': entry['title'], 'bands': first.get('bands', {}), 'code': None}
    numbers = {'quantity': 'digital_number'}
    numbers.update((key, entry[key]) for key in ('file_names', 'nodata') if key in entry)
    for name, platform in {path.stem: family, **platforms}.items():
        described = {'family': path.stem, **entry}
        yield _sensor(name, described, platform, numbers)
        for suffix, product in entry.get('products', {}).items():
            yield _sensor(f'{name}_{suffix}', described, platform, product)


def _sensor(
    name: str, entry: Mapping[str, Any], platform: Mapping[str, Any], product: Mapping[str, Any]
) -> Sensor:
    changed = platform.get('bands', {})
    chosen = product.get('bands', entry['bands'])
    limits = product.get('valid_range')
    return Sensor(
        name=name,
        title=' '.join(filter(None, (platform['title'], product.get('title')))),
        quantity=product['quantity'],
        bands=tuple(_band(b, {**entry['bands'][b], **changed.get(b, {})}) for b in chosen),
        scale=float(product.get('scale', 1.0)),
        offset=float(product.get('offset', 0.0)),
        nodata=product.get('nodata'),
        valid_range=(limits[0], limits[1]) if limits else None,
        source=entry['source'],
        family=entry['family'],
        ordered=entry.get('ordered', False),
        file_names=tuple(_file_names(product.get('file_names', ()), platform.get('code', ''))),
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
        good=not entry.get('bad', False),
    )


def _file_names(patterns: Sequence[str], code: str | None) -> Iterator[str]:
    """Keep those of a platform, or those of the family, whose code is None."""
    for pattern in patterns:
        if ('{code}' in pattern) == (code is not None):
            yield pattern.replace('{code}', code or '')
