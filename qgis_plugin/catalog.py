"""The descriptions of operations: those shipped with the plugin and those the engine has on top.

The shipped files make the toolbox complete without any engine. An engine with other operations
(third-party ones, or of another version) is asked once, and what it said is kept in the profile.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .parameters import Description

FORMAT = 1
SHIPPED = Path(__file__).parent / 'operations'


class Catalog:
    """All known operations.

    Args:
        shipped: The folder with one JSON file per operation.
        cache: The file that keeps what an engine said.
    """

    def __init__(self, shipped: Path, cache: Path) -> None:
        self._shipped = shipped
        self._cache = cache
        #: Names of files that could not be read, with the reason.
        self.problems: dict[str, str] = {}

    def operations(self, python: str) -> list[Description]:
        """Describe all operations, sorted by name.

        Args:
            python: The engine's program; what another one said is not used.

        Returns:
            The shipped descriptions, overlaid by those of the engine.
        """
        known = {}
        for path in sorted(self._shipped.glob('*.json')):
            described = self._read(path)
            if described is not None and described.get('format') == FORMAT:
                known[described['name']] = described
        kept = self._kept()
        if kept.get('python') == python:
            known.update((described['name'], described) for described in kept['operations'])
        return [known[name] for name in sorted(known)]

    def knows(self, python: str, catalog_hash: str) -> bool:
        """Whether the catalogue with this hash of this engine is kept already."""
        kept = self._kept()
        return kept.get('python') == python and kept.get('hash') == catalog_hash

    def keep(self, python: str, catalog_hash: str, operations: list[Description]) -> None:
        """Keep what an engine said.

        Args:
            python: The engine's program.
            catalog_hash: From its hello.
            operations: From its catalogue.
        """
        usable = [described for described in operations if described.get('format') == FORMAT]
        content = {'python': python, 'hash': catalog_hash, 'operations': usable}
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        # two QGIS windows share a profile: never let one read half a file of the other
        part = self._cache.with_suffix(f'.{os.getpid()}.part')
        part.write_text(json.dumps(content), encoding='utf-8')
        part.replace(self._cache)

    def _kept(self) -> dict[str, Any]:
        return (self._read(self._cache) or {}) if self._cache.exists() else {}

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            return json.loads(path.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            self.problems[path.name] = str(error)
            return None
