"""Import every module of the plugin with PyQt6 and a stand-in for QGIS; run by a test."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[2]


class Anything(type):
    """A class all of whose attributes are classes like it."""

    def __getattr__(cls, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return Anything(name, (), {})

    def __or__(cls, other):
        return cls


class StandIn(ModuleType):
    """A module that has whatever is asked for."""

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return Anything(name, (), {})


def main():
    """Print the names of the modules that were imported."""
    sys.path.insert(0, str(REPOSITORY))
    stand_ins = ('qgis', 'qgis.core', 'qgis.gui', 'qgis.utils', 'qgis.PyQt')
    for name in (*stand_ins, 'processing', 'processing.gui', 'processing.gui.wrappers'):
        sys.modules[name] = StandIn(name)
    for name in ('QtCore', 'QtGui', 'QtWidgets'):
        sys.modules[f'qgis.PyQt.{name}'] = importlib.import_module(f'PyQt6.{name}')
    plugin = REPOSITORY / 'qgis_plugin'
    for path in sorted(plugin.rglob('*.py')):
        if path.name != '__init__.py':
            name = '.'.join(path.relative_to(REPOSITORY).with_suffix('').parts)
            importlib.import_module(name)
            sys.stdout.write(f'{name}\n')


if __name__ == '__main__':
    main()
