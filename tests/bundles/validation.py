"""Validates a STAC item with the schemas in ``schemas/``, without network."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

SCHEMAS = Path(__file__).parent / 'schemas'
STAC = 'https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/'
EXTENSIONS = 'https://stac-extensions.github.io/'
GEOJSON = 'https://geojson.org/schema/'


def address(path: Path) -> str:
    """Where a schema is published."""
    folder, name = path.parent.name, path.name
    if folder == 'stac-spec':
        return STAC + name
    if folder == 'geojson':
        return GEOJSON + name
    return f'{EXTENSIONS}{folder}/{path.stem}/schema.json'


@cache
def schemas() -> Registry[Any]:
    """All schemas, by address and by what they call themselves (some differ)."""
    registry: Registry[Any] = Registry()
    for path in sorted(SCHEMAS.glob('*/*.json')):
        schema = json.loads(path.read_text(encoding='utf-8'))
        resource = Resource.from_contents(schema, default_specification=DRAFT7)
        for uri in (schema['$id'].rstrip('#'), address(path)):
            registry = registry.with_resource(uri, resource)
    return registry


def problems(item: dict[str, Any]) -> list[str]:
    """What STAC and all extensions an item names find wrong with it."""
    found = []
    for uri in [STAC + 'item.json', *item['stac_extensions']]:
        validator = Draft7Validator(
            {'$ref': uri}, registry=schemas(), format_checker=Draft7Validator.FORMAT_CHECKER
        )
        found += [
            f'{uri}: {error.json_path}: {error.message}' for error in validator.iter_errors(item)
        ]
    return found
