"""Finds the files of images: paths, folders, patterns, lists of these, STAC items."""

import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from torchgeo_ext.datasets._dates import parse_time, period
from torchgeo_ext.errors import BadInput, BadParameter

#: One path or many.
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

#: What is taken for a raster in a folder.
_SUFFIXES = {'.tif', '.tiff', '.jp2', '.vrt', '.img'}
_ITEM_SUFFIXES = {'.json', '.geojson'}


@dataclass(frozen=True)
class ImageFiles:
    """The files of an image and what is known of them besides what they say themselves.

    Args:
        paths: One, or one for each band or group of bands.
        time: When it was taken, if known.
        names: Names of all bands, if known.
        bands: ``wavelength`` (micrometres), ``scale``, ``offset``, ``nodata`` of each band, as far
            as known; empty if nothing is.
    """

    paths: tuple[str, ...]
    time: pd.Interval | None = None
    names: tuple[str, ...] = ()
    bands: tuple[dict[str, float], ...] = ()


def list_paths(paths: Paths) -> list[str]:
    """Make a list of one path or many."""
    if isinstance(paths, str | os.PathLike):
        return [os.fspath(paths)]
    return [os.fspath(path) for path in paths]


def find_images(paths: Paths, assets: Sequence[str] | None, argument: str) -> list[ImageFiles]:
    """Find the files of images.

    Args:
        paths: One or more of: a raster (a VRT is one), a folder (searched with all folders in
            it), a pattern such as ``scenes/**/*_B04.tif``, a STAC item or collection of items.
        assets: Keys or roles of the assets of STAC items to use.
        argument: The argument they came from, for messages.

    Returns:
        In the order given; those of a folder or pattern by name, each file once.

    Raises:
        BadInput: If there is no raster.
        BadParameter: If assets are asked for but there are no items, or items lack them.
    """
    found: list[ImageFiles] = []
    items = 0
    for path in list_paths(paths):
        if Path(path).suffix.lower() in _ITEM_SUFFIXES:
            found.extend(_items(path, assets, argument))
            items += 1
        else:
            found.extend(ImageFiles((file,)) for file in expand(path, argument))
    if assets is not None and not items:
        raise BadParameter(
            f'assets: {argument} names no STAC items, which alone have assets.',
            'Leave it out, or name the file of a STAC item or item collection.',
        )
    return found


def expand(path: str, argument: str) -> list[str]:
    """List the rasters that a path, folder or pattern stands for, by name."""
    if Path(path).is_dir():
        files = (p for p in Path(path).rglob('*') if p.suffix.lower() in _SUFFIXES)
        found = sorted(str(file) for file in files)
        what = f'The folder {path} holds no raster ({", ".join(sorted(_SUFFIXES))}).'
    elif glob.has_magic(path) and not Path(path).exists() and not path.startswith('/vsi'):
        found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  # absolute patterns too
        what = f'No file is named like {path}.'
    else:
        return [path]
    if not found:
        raise BadInput(f'{argument}: {what}', 'Check the path.')
    return found


def _items(path: str, assets: Sequence[str] | None, argument: str) -> Iterator[ImageFiles]:
    """Read STAC items, https://github.com/radiantearth/stac-spec."""
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise BadInput(
            f'{argument}: {path} cannot be read as JSON ({error}).', 'Check the path.'
        ) from error
    items = content.get('features', [content]) if isinstance(content, dict) else []
    if not items or not all(isinstance(item, dict) and 'assets' in item for item in items):
        raise BadInput(
            f'{argument}: {path} holds no STAC items.',
            'Give a STAC item or a FeatureCollection of items, or rasters themselves.',
        )
    for item in items:
        yield _item(item, path, assets)


def _item(item: Mapping[str, Any], path: str, assets: Sequence[str] | None) -> ImageFiles:
    chosen = _assets(item, assets)
    properties = item.get('properties', {})
    bands = [band for key, asset in chosen for band in _bands(key, asset)]
    names = tuple(band.pop('name', '') for band in bands)
    return ImageFiles(
        paths=tuple(_resolve(str(asset['href']), path) for _, asset in chosen),
        time=_time(properties),
        names=names if all(names) else (),
        bands=tuple(bands),
    )


def _assets(
    item: Mapping[str, Any], wanted: Sequence[str] | None
) -> list[tuple[str, Mapping[str, Any]]]:
    """Choose assets by key, in the order wanted, or by role; by default those with data."""
    assets: Mapping[str, Any] = item['assets']
    found = [
        (key, asset)
        for word in wanted or ('data',)
        for key, asset in assets.items()
        if word == key or word in asset.get('roles', ())
    ]
    if not found:
        raise BadParameter(
            f'assets: the item {item.get("id")} has none with key or role '
            f'{" or ".join(wanted or ("data",))}.',
            f'It has: {", ".join(assets)}.',
        )
    return found


def _bands(key: str, asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gather what STAC 1.1 (bands) and the eo and raster extensions before it say of bands."""
    lists = [asset.get(name, []) for name in ('raster:bands', 'eo:bands', 'bands')]
    gathered = []
    for number in range(max(1, *map(len, lists))):
        said = dict(asset)
        for entries in lists:
            said |= entries[number] if number < len(entries) else {}
        gathered.append(_band(said))
    if len(gathered) == 1:
        gathered[0].setdefault('name', key)
    return gathered


def _band(said: Mapping[str, Any]) -> dict[str, Any]:
    band: dict[str, Any] = {'name': said['name']} if 'name' in said else {}
    for key, words in {
        'wavelength': ('center_wavelength', 'eo:center_wavelength'),
        'scale': ('scale', 'raster:scale'),
        'offset': ('offset', 'raster:offset'),
        'nodata': ('nodata',),
    }.items():
        value = next((said[word] for word in words if said.get(word) is not None), None)
        # pixels that are NaN are never valid
        if value is not None and value != 'nan':
            band[key] = float(value)
    return band


def _time(properties: Mapping[str, Any]) -> pd.Interval | None:
    exact = parse_time(properties.get('datetime'))
    if exact is not None:
        return exact
    ends = [parse_time(properties.get(key)) for key in ('start_datetime', 'end_datetime')]
    return period(ends) if all(ends) else None


def _resolve(href: str, item: str) -> str:
    """Make a path of what an item links to; relative links begin at the item."""
    if '://' in href or href.startswith('/vsi') or Path(href).is_absolute():
        return href.removeprefix('file://')
    return str(Path(item).parent / href)
