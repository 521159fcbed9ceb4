"""Translates between a :class:`BundleCard` and a STAC item of the MLM extension.

The item is read by anything that knows STAC. What MLM has no word for (task of two dates, halo,
range of ground resolution, architecture) stands under the prefix ``tgx:``.

References:
    * https://github.com/stac-extensions/mlm (version 1.5.2)
    * https://github.com/radiantearth/stac-spec (version 1.1.0)
"""

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from torchgeo_ext import __version__
from torchgeo_ext.bundles._card import DETECTING, Activation, Band, BundleCard, ModelClass, Task
from torchgeo_ext.errors import BadInput, BadParameter

ITEM = 'model.json'
#: Asset that holds the weights.
WEIGHTS = 'weights'
GET_AGAIN = 'Get the bundle again from where it came from.'

#: Raised whenever an older version could misread a bundle. Models whose bands are clipped are of
#: format 2, all others of format 1.
FORMAT = 2

_EXTENSION = 'https://stac-extensions.github.io/{}/schema.json'
MLM = _EXTENSION.format('mlm/v1.5.2')
_FILE = _EXTENSION.format('file/v2.1.0')
_RASTER = _EXTENSION.format('raster/v2.0.0')
_EO = _EXTENSION.format('eo/v2.0.0')
_CLASSIFICATION = _EXTENSION.format('classification/v1.1.0')
_SCIENTIFIC = _EXTENSION.format('scientific/v1.0.0')

#: Multihash prefix of a SHA-256: its code and its length in bytes.
_SHA256 = '1220'

#: What STAC accepts as the name of a licence.
_LICENSE = re.compile(r'[\w\-.+]+', re.ASCII)


@dataclass(frozen=True)
class FileEntry:
    """A file of a bundle.

    Args:
        name: Path in the bundle, with ``/``.
        sha256: As hexadecimal digits.
        size: In bytes.
        title: What it is.
        roles: Its roles in STAC's words.
        details: Further fields of the asset.
    """

    name: str
    sha256: str
    size: int
    title: str = ''
    roles: tuple[str, ...] = ('metadata',)
    details: Mapping[str, Any] | None = None


def card_to_item(
    card: BundleCard,
    files: Mapping[str, FileEntry],
    *,
    framework_version: str,
    parameters: int,
    created: datetime | None = None,
) -> dict[str, Any]:
    """Write a card as a STAC item.

    Args:
        card: What is known of the model.
        files: The files of the bundle by asset name; one of them has the role ``mlm:model``.
        framework_version: Version of PyTorch.
        parameters: How many numbers the network has learnt.
        created: Time of creation; now if not given.

    Returns:
        An item that validates against the schemas of STAC 1.1.0 and MLM 1.5.2.
    """
    time = (created or datetime.now(UTC)).astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
    return {
        'type': 'Feature',
        'stac_version': '1.1.0',
        'stac_extensions': _extensions(card),
        'id': _model_name(card.name),
        **_place(card.extent),
        'properties': {
            'title': card.name,
            'description': card.description or card.name,
            # when it was published, as MLM's best practices allow
            'datetime': time,
            'created': time,
            **_license(card),
            'bands': [_band(band) for band in card.bands],
            'mlm:name': _model_name(card.name),
            'mlm:architecture': _architecture_in_words(card.architecture),
            'mlm:tasks': _tasks(card),
            'mlm:framework': 'PyTorch',
            'mlm:framework_version': _semantic_version(framework_version),
            'mlm:total_parameters': parameters,
            'mlm:input': [_input(card)],
            'mlm:output': [_output(card)],
            **_private(card),
        },
        'links': [],
        'assets': {key: _asset(entry, card) for key, entry in files.items()},
    }


def _extensions(card: BundleCard) -> list[str]:
    """Name only those extensions whose fields appear: their schemas insist on it."""
    used = [MLM, _FILE, _RASTER]
    if any(band.center_wavelength or band.full_width_half_max for band in card.bands):
        used.append(_EO)
    if card.classes:
        used.append(_CLASSIFICATION)
    if card.citation:
        used.append(_SCIENTIFIC)
    return used


def _place(extent: tuple[float, float, float, float] | None) -> dict[str, Any]:
    if extent is None:
        return {'geometry': None}
    west, south, east, north = extent
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {'geometry': {'type': 'Polygon', 'coordinates': [ring]}, 'bbox': [*extent]}


def _license(card: BundleCard) -> dict[str, str]:
    fields = {'license': card.license if _LICENSE.fullmatch(card.license) else 'other'}
    if card.citation:
        fields['sci:citation'] = card.citation
    return fields


def _band(band: Band) -> dict[str, Any]:
    statistics = {
        'mean': band.mean,
        'stddev': band.std,
        'minimum': band.minimum,
        'maximum': band.maximum,
    }
    numbers = {
        'eo:center_wavelength': band.center_wavelength,
        'eo:full_width_half_max': band.full_width_half_max,
        'raster:scale': band.scale,
        'raster:offset': band.offset,
    }
    entry = {'name': band.name, **_known(numbers), 'statistics': _known(statistics)}
    if band.nodata is not None:
        # JSON has no NaN and no infinity; STAC spells them as words
        finite = math.isfinite(band.nodata)
        entry['nodata'] = float(band.nodata) if finite else str(float(band.nodata))
    if band.clip is not None:
        entry['tgx:clip'] = [float(end) for end in band.clip]
        entry['tgx:levels'] = band.levels
    return entry


def _known(numbers: Mapping[str, float | None]) -> dict[str, float]:
    # float(): statistics often come as numbers of numpy, which JSON does not have
    return {key: float(value) for key, value in numbers.items() if value is not None}


def _tasks(card: BundleCard) -> list[str]:
    # the schema's list of tasks is closed and has no change detection
    names = {
        'regression': 'regression',
        'classification': 'scene-classification',
        'detection': 'object-detection',
        'instance_segmentation': 'instance-segmentation',
        'geolocation': 'classification',
    }
    return [names.get(card.task, 'semantic-segmentation')]


def _input(card: BundleCard) -> dict[str, Any]:
    shape = [-1, *card.input_shape]
    order = ['batch', *['time'] * (len(shape) > 4), 'bands', 'height', 'width']
    name = 'image' if card.dates == 1 else 'before and after'
    description = 'Stored values times raster:scale plus raster:offset, then value_scaling.'
    if _clips(card):
        description += ' Before that, values are clipped to tgx:clip of the band and rounded down '
        description += 'to tgx:levels steps of it where there are any.'
    if card.task == 'map_update':
        name += ', then the map before'
        description += ' The map comes as numbers of its classes from 1, 0 being none.'
    return {
        'name': name,
        'description': description,
        'bands': [band.name for band in card.bands],
        'input': {'shape': shape, 'dim_order': order, 'data_type': 'float32'},
        'value_scaling': [
            {'type': 'z-score', **_known({'mean': band.mean, 'stddev': band.std})}
            for band in card.bands
        ],
        'resize_type': None,
    }


def _output(card: BundleCard) -> dict[str, Any]:
    regression = card.task == 'regression'
    description = 'Outputs of the network'
    if card.maps:
        description = f'Scores of {", then ".join(card.maps)}'
    elif card.output_activation != 'none':
        description += f'; {card.output_activation} turns them into scores'
    order = ['batch', 'channel' if regression else 'class', 'height', 'width']
    shape = [-1, *card.output_shape]
    name = 'values' if regression else 'scores'
    if card.task in DETECTING:
        name, order, shape = 'objects', ['batch', 'object', 'value'], [-1, -1, 6]
        description = 'Boxes (left, top, right, bottom), scores, and labels from 1'
    output: dict[str, Any] = {
        'name': name,
        'description': f'{description}.',
        'tasks': _tasks(card),
        'result': {'shape': shape, 'dim_order': order[: len(shape)], 'data_type': 'float32'},
    }
    if card.classes:
        output['classification:classes'] = [
            {
                'value': int(entry.value),
                'name': _slug(entry.name) or f'class-{entry.value}',
                # version 1 of the extension wants a description, version 2 has a title
                'title': entry.name,
                'description': entry.name,
                'color_hint': entry.color.lstrip('#').upper(),
            }
            for entry in card.classes
        ]
    return output


def _private(card: BundleCard) -> dict[str, Any]:
    return {
        'tgx:format': FORMAT if _clips(card) else 1,
        'tgx:written_by': f'torchgeo_ext {__version__}',
        'tgx:task': card.task,
        'tgx:architecture': {
            'class': card.architecture['class'],
            'arguments': _storable(card.architecture['arguments']),
        },
        'tgx:activation': card.output_activation,
        'tgx:multilabel': card.multilabel,
        'tgx:variables': list(card.variables),
        'tgx:dates': card.dates,
        'tgx:bands_after': [_band(band) for band in card.bands_after],
        'tgx:tile_size': card.tile_size,
        'tgx:halo': card.halo,
        'tgx:resolution': {'minimum': card.resolution_minimum, 'maximum': card.resolution_maximum},
        'tgx:license': card.license,
        'tgx:training': _storable(card.training),
    }


def _clips(card: BundleCard) -> bool:
    return any(band.clip for band in (*card.bands, *card.bands_after))


def _asset(entry: FileEntry, card: BundleCard) -> dict[str, Any]:
    asset = {
        'href': f'./{entry.name}',
        'title': entry.title or entry.name,
        'roles': list(entry.roles),
        'file:size': entry.size,
        'file:checksum': _SHA256 + entry.sha256,
        **(entry.details or {}),
    }
    if 'mlm:model' in entry.roles:
        # STAC wants bands named in an asset before it accepts their description in the item
        asset['bands'] = [{'name': band.name} for band in card.bands]
    return asset


def parse_item(content: bytes, where: str) -> Any:
    """Parse a ``model.json``.

    Args:
        content: The file.
        where: Where it came from, for messages.

    Raises:
        BadInput: If it is no JSON.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f'{where} is no valid JSON ({error}).', GET_AGAIN) from error


def item_to_card(item: Any, where: str) -> BundleCard:
    """Read a card from a STAC item.

    Args:
        item: Parsed ``model.json``.
        where: Where it came from, for messages.

    Returns:
        The card.

    Raises:
        BadInput: If it is no MLM item, none of ours, of a future format, or damaged.
    """
    _check_kind(item, where)
    properties = item['properties']
    try:
        return _card(item, properties)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, BadParameter) as error:
        reason = f'{error} is missing' if isinstance(error, KeyError) else error
        raise BadInput(f'{where} is damaged: {reason}.', GET_AGAIN) from error


def _check_kind(item: Any, where: str) -> None:
    properties = item.get('properties') if isinstance(item, dict) else None
    extensions = item.get('stac_extensions') if isinstance(item, dict) else None
    mlm = isinstance(extensions, list) and any('/mlm/' in str(name) for name in extensions)
    if not mlm or not isinstance(properties, dict):
        raise BadInput(
            f'{where} does not describe a model: it is no STAC item of the MLM extension.',
            'Choose the model.json of a bundle written by torchgeo_ext.',
        )
    version = properties.get('tgx:format')
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadInput(
            f'{where} describes a model of another program: it has no tgx:format.',
            'Make a bundle from its checkpoint with create_bundle.',
        )
    if version > FORMAT:
        writer = properties.get('tgx:written_by', 'a newer version')
        raise BadInput(
            f'{where} has format {version}, written by {writer}; this is torchgeo_ext '
            f'{__version__}, which reads formats up to {FORMAT}.',
            'Update torchgeo_ext.',
        )


def _card(item: Mapping[str, Any], properties: Mapping[str, Any]) -> BundleCard:
    resolution = properties['tgx:resolution']
    output = properties['mlm:output'][0]
    extent = item.get('bbox')
    return BundleCard(
        name=str(properties['title']),
        description=str(properties['description']),
        task=cast('Task', properties['tgx:task']),
        bands=tuple(_read_band(entry) for entry in properties['bands']),
        classes=tuple(_read_class(entry) for entry in output.get('classification:classes', ())),
        dates=properties['tgx:dates'],
        # bundles of the first days have no such entry
        bands_after=tuple(_read_band(entry) for entry in properties.get('tgx:bands_after', ())),
        tile_size=int(properties['tgx:tile_size']),
        halo=int(properties['tgx:halo']),
        resolution_minimum=resolution['minimum'],
        resolution_maximum=resolution['maximum'],
        license=str(properties['tgx:license']),
        citation=str(properties.get('sci:citation', '')),
        architecture=properties['tgx:architecture'],
        output_activation=cast('Activation', properties['tgx:activation']),
        training=properties['tgx:training'],
        multilabel=bool(properties['tgx:multilabel']),
        variables=tuple(properties['tgx:variables']),
        extent=None if extent is None else tuple(extent),
    )


def _read_band(entry: Mapping[str, Any]) -> Band:
    statistics = entry['statistics']
    nodata, clip = entry.get('nodata'), entry.get('tgx:clip')
    return Band(
        name=str(entry['name']),
        center_wavelength=entry.get('eo:center_wavelength'),
        full_width_half_max=entry.get('eo:full_width_half_max'),
        scale=float(entry['raster:scale']),
        offset=float(entry['raster:offset']),
        nodata=None if nodata is None else float(nodata),
        mean=float(statistics['mean']),
        std=float(statistics['stddev']),
        minimum=statistics.get('minimum'),
        maximum=statistics.get('maximum'),
        clip=None if clip is None else (float(clip[0]), float(clip[1])),
        levels=int(entry.get('tgx:levels', 0)),
    )


def _read_class(entry: Mapping[str, Any]) -> ModelClass:
    return ModelClass(
        value=int(entry['value']), name=str(entry['title']), color=f'#{entry["color_hint"].lower()}'
    )


def item_files(item: Any, where: str) -> dict[str, FileEntry]:
    """Read which files a bundle consists of.

    Args:
        item: Parsed ``model.json``.
        where: Where it came from, for messages.

    Returns:
        The files by asset name.

    Raises:
        BadInput: If a file has no SHA-256 or lies outside the bundle.
    """
    assets = item.get('assets') if isinstance(item, Mapping) else None
    if not isinstance(assets, dict) or not all(isinstance(a, dict) for a in assets.values()):
        raise BadInput(f'{where} is damaged: it names no files.', GET_AGAIN)
    return {key: _read_asset(key, asset, where) for key, asset in assets.items()}


def _read_asset(key: str, asset: Mapping[str, Any], where: str) -> FileEntry:
    name = str(asset.get('href', '')).removeprefix('./')
    checksum = str(asset.get('file:checksum', ''))
    size = asset.get('file:size')
    if not re.fullmatch(_SHA256 + '[0-9a-f]{64}', checksum) or not isinstance(size, int):
        raise BadInput(
            f'{where}: {key} ({name}) has no SHA-256 or no size, so it cannot be trusted.',
            GET_AGAIN,
        )
    # backslashes and colons: a Windows path or a URL
    if not name or name.startswith('/') or re.search(r'[\\:]|(^|/)\.\.(/|$)', name):
        raise BadInput(
            f'{where}: {key} lies outside the bundle ({name}).',
            'Do not use this bundle; it may have been made to read or overwrite other files.',
        )
    return FileEntry(
        name=name,
        sha256=checksum.removeprefix(_SHA256),
        size=size,
        title=str(asset.get('title', '')),
        roles=tuple(asset.get('roles', ())),
    )


def _slug(text: str) -> str:
    """Spell a name with the characters that STAC's extensions allow; may leave nothing."""
    plain = unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode()
    return re.sub(r'[^0-9a-zA-Z]+', '-', plain).strip('-').lower()


def _model_name(name: str) -> str:
    slug = _slug(name)
    # MLM wants a letter first and three characters at least
    return slug if len(slug) >= 3 and slug[0].isalpha() else f'model-{slug or "unnamed"}'


def _semantic_version(version: str) -> str:
    match = re.match(r'(\d+)\.(\d+)\.(\d+)(\+[0-9A-Za-z.-]+)?', version)
    return match.group(0) if match else '0.0.0'


def _architecture_in_words(architecture: Mapping[str, Any]) -> str:
    arguments = architecture['arguments']
    words = [arguments[key] for key in ('model', 'backbone') if isinstance(arguments.get(key), str)]
    return ' '.join([architecture['class'], *words])


def _storable(value: Any) -> Any:
    """Bring facts into a form that JSON has: arrays become lists, NaN and infinity null."""
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _storable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
