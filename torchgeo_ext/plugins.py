"""Finds plugins and keeps what went wrong with any of them.

A plugin is a module named by an entry point of group ``torchgeo_ext``. One that cannot be loaded
is reported by name; the others work on. ``TORCHGEO_EXT_PLUGINS=a,b`` loads only those
distributions, an empty value none.
"""

import functools
import importlib.metadata
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pluggy

from torchgeo_ext import __version__, builtin, hookspecs

log = logging.getLogger(__name__)

GROUP = 'torchgeo_ext'
ONLY = 'TORCHGEO_EXT_PLUGINS'


@dataclass
class Plugin:
    """A distribution that offers something.

    Args:
        name: Name of the distribution.
        version: Its version.
        module: What pluggy registered; None when loading failed.
        error: What went wrong, empty when nothing did.
    """

    name: str
    version: str
    module: Any = None
    error: str = ''

    def fail(self, error: Exception, when: str) -> None:
        """Keep an error and say so in the log; the first one is the one that explains."""
        message = f'{when}: {type(error).__name__}: {error}'
        self.error = self.error or message
        log.warning('Plugin %s %s failed (%s)', self.name, self.version, message)


class Plugins:
    """The hooks and everybody who implements them.

    Args:
        discover: Also load the entry points of installed distributions.
    """

    def __init__(self, discover: bool = True) -> None:
        self._manager = pluggy.PluginManager('torchgeo_ext')
        self._manager.add_hookspecs(hookspecs)
        self.all: list[Plugin] = []
        self.add(builtin, 'torchgeo_ext', __version__)
        if discover:
            self._discover()

    @property
    def hook(self) -> pluggy.HookRelay:
        """Call a hook of all plugins at once."""
        return self._manager.hook

    def add(self, module: Any, name: str, version: str = '') -> Plugin:
        """Register a plugin object.

        Args:
            module: A module or object with functions marked ``@hookimpl``.
            name: Name of the distribution it came from.
            version: Version of that distribution.

        Returns:
            The entry kept about it, with the error if it was refused.
        """
        plugin = Plugin(name, version)
        self.all.append(plugin)
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
            plugin.module = module
        except Exception as error:  # third-party code may raise anything
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            plugin.fail(error, 'registering its hooks')
        return plugin

    def offers(self, hook: str) -> Iterator[tuple[Plugin, Any]]:
        """Ask each plugin in turn what it offers, so that one failure costs only its own.

        Args:
            hook: Name of a hook without arguments that returns an iterable.

        Yields:
            The plugin and one thing it offers; built-in content first, then by name.
        """
        loaded = [plugin for plugin in self.all if plugin.module is not None]
        for plugin in loaded[:1] + sorted(loaded[1:], key=lambda p: p.name):
            others = [other.module for other in loaded if other is not plugin]
            caller = self._manager.subset_hook_caller(hook, others)
            try:
                offered = [thing for things in caller() for thing in things]
            except Exception as error:  # third-party code may raise anything
                if plugin.module is builtin:
                    raise
                plugin.fail(error, hook)
                continue
            for thing in offered:
                yield plugin, thing

    def _discover(self) -> None:
        only = os.environ.get(ONLY)
        wanted = None if only is None else {name.strip() for name in only.split(',')}
        entries = importlib.metadata.entry_points(group=GROUP)
        # by name, so that every machine loads them in the same order
        for entry in sorted(entries, key=lambda e: (e.dist.name if e.dist else '', e.name)):
            name = entry.dist.name if entry.dist else entry.name
            version = entry.dist.version if entry.dist else ''
            if wanted is not None and name not in wanted:
                continue
            try:
                module = entry.load()
            except Exception as error:  # third-party code may raise anything
                failed = Plugin(name, version)
                failed.fail(error, f'importing {entry.value}')
                self.all.append(failed)
                continue
            self.add(module, name, version)


@functools.cache
def plugins() -> Plugins:
    """Give the plugins of this process, found at the first call."""
    return Plugins()
