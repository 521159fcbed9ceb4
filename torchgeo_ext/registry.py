"""Everything known by name, as read-only mappings: ``registry.models['tinycd']``.

Built-in content and that of plugins stand side by side; :meth:`Registry.origin` tells whose a
thing is. A mapping is filled when it is first used.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.plugins import Plugin, plugins


class Registry(Mapping[str, Any]):
    """Names and what they stand for, collected from one hook.

    Args:
        kind: What is collected, in the singular.
        hook: The hook to ask.
        name_of: Finds the name of a thing.
        ready: Called with all names and things when the mapping has been filled.
    """

    def __init__(
        self,
        kind: str,
        hook: str,
        name_of: Callable[[Any], str],
        ready: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._kind = kind
        self._hook = hook
        self._name_of = name_of
        self._ready = ready
        self._filled: dict[str, tuple[Plugin, Any]] | None = None
        self._clashes: dict[str, str] = {}

    @property
    def _entries(self) -> dict[str, tuple[Plugin, Any]]:
        if self._filled is None:
            self._filled = self._fill()
            if self._ready:
                self._ready(self)
        return self._filled

    def _fill(self) -> dict[str, tuple[Plugin, Any]]:
        entries: dict[str, tuple[Plugin, Any]] = {}
        builtin = plugins().all[0]
        for plugin, thing in plugins().offers(self._hook):
            name = self._name_of(thing)
            if name not in entries:
                entries[name] = (plugin, thing)
                continue
            holder = entries[name][0]
            error = BadParameter(
                f'Two things of kind {self._kind} are called {name!r}: one of {holder.name} '
                f'{holder.version} and one of {plugin.name} {plugin.version}.',
                'Uninstall one, or leave it out with TORCHGEO_EXT_PLUGINS.',
            )
            plugin.fail(error, self._hook)
            if holder is not builtin:
                # neither has a better claim, so the name stands for nothing
                self._clashes[name] = str(error)
        return dict(sorted((n, e) for n, e in entries.items() if n not in self._clashes))

    def __getitem__(self, name: str) -> Any:
        entries = self._entries
        if name in self._clashes:
            raise BadParameter(self._clashes[name])
        if name not in entries:
            from torchgeo_ext.operations._validate import near_matches

            raise UnknownName(
                f'No {self._kind} is called {name!r}.', near_matches(name, [*entries])
            )
        return entries[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def origin(self, name: str) -> Plugin:
        """Tell which plugin a name came from."""
        self[name]
        return self._entries[name][0]

    def clear(self) -> None:
        """Forget everything; the next use asks the plugins again."""
        self._filled = None
        self._clashes.clear()


class UnknownName(BadParameter, KeyError):
    """A name nobody registered; also a KeyError, as mappings promise."""


def _own_name(thing: Any) -> str:
    return str(thing.__name__)


def _teach_torchgeo(builders: Mapping[str, Any]) -> None:
    from torchgeo_ext.models._torchgeo import teach

    teach(builders.values())


sensors = Registry('sensor', 'register_sensors', lambda thing: str(thing.name))
datasets = Registry('dataset', 'register_datasets', _own_name)
datamodules = Registry('data module', 'register_datamodules', _own_name)
samplers = Registry('sampler', 'register_samplers', _own_name)
transforms = Registry('transform', 'register_transforms', _own_name)
models = Registry('model', 'register_models', _own_name, ready=_teach_torchgeo)
tasks = Registry('task', 'register_tasks', _own_name)
operations = Registry('operation', 'register_operations', lambda thing: thing.operation.name)

ALL = (sensors, datasets, datamodules, samplers, transforms, models, tasks, operations)


def clear() -> None:
    """Forget plugins and names, for instance after a plugin was installed."""
    plugins.cache_clear()
    model_names.cache_clear()
    for registry in ALL:
        registry.clear()


@functools.cache
def model_names(task: str) -> tuple[str, ...]:
    """List the names that may be chosen where an operation asks for a model of ``task``."""
    from torchgeo_ext.ready import ready_models

    return tuple(entry.name for entry in ready_models() if task in ('', entry.task))
