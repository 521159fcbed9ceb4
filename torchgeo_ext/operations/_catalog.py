"""The descriptions of all operations as JSON, for QGIS, the engine and the documentation."""

import hashlib
import json
from pathlib import Path
from typing import Any

from torchgeo_ext.registry import Registry, operations


def catalog(known: Registry = operations) -> list[dict[str, Any]]:
    """Describe all operations, sorted by name."""
    return [known[name].operation.describe() for name in known]


def catalog_hash(described: list[dict[str, Any]]) -> str:
    """Give a short text that changes whenever a description does."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def catalog_files() -> dict[str, str]:
    """Give name and text of the files that ship with the QGIS plugin: our own operations only."""
    own = [entry for entry in catalog() if operations.origin(entry['name']).name == 'torchgeo_ext']
    return {
        f'{entry["name"]}.json': json.dumps(entry, indent=1, ensure_ascii=False) + '\n'
        for entry in own
    }


def write_catalog(folder: Path) -> list[str]:
    """Bring the files in ``folder`` up to date and delete those of operations that are gone.

    Returns:
        Names of the files that changed.
    """
    files = catalog_files()
    changed = [path.name for path in folder.glob('*.json') if path.name not in files]
    for name in changed:
        (folder / name).unlink()
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            path.write_text(text, encoding='utf-8')
            changed.append(name)
    return sorted(changed)
