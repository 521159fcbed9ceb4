"""Who may import whom: read from the source, so that nothing has to run."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: A room may import those to its right (and itself); see README, "Finding one's way".
LAYERS = [
    {'cli', '__main__', 'engine'},
    {'operations', 'builtin', 'plugins', 'registry', 'hookspecs'},
    {'inference', 'bundles', 'tasks', 'datamodules'},
    {'models', 'datasets', 'samplers', 'transforms', 'losses', 'metrics'},
    {'cells', 'layers', 'preprocessing', 'sensors', 'hub', 'ready'},
    {'colors', 'devices', 'errors', 'progress', 'staging', 'threads', '__init__'},
]
#: Rooms of content that know nothing of each other.
SIDEWAYS = {'models', 'datasets', 'samplers', 'transforms', 'losses', 'metrics'}
#: Doors in the other direction, each with its reason.
DOORS = {
    ('tasks', 'registry'): 'networks are looked up by name, those of plugins too',
    ('bundles', 'registry'): 'architectures are looked up by name, never by import path',
    ('sensors', 'registry'): 'sensors of plugins are as good as our own',
    ('hub', 'plugins'): 'mirrors are asked through a hook',
    ('datasets', 'inference'): 'rasters are read in one place',
    ('samplers', 'inference'): 'the grid of integer pixels is one for reading and for sampling',
    ('__init__', 'operations'): 'the decorator is part of the top-level API',
}


def imports(path):
    """(module, line) of everything a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, node.lineno
            if node.module == 'torchgeo_ext':
                yield from ((f'torchgeo_ext.{alias.name}', node.lineno) for alias in node.names)


def room(module):
    """The part of torchgeo_ext a module belongs to."""
    parts = module.split('.')
    return parts[1] if len(parts) > 1 else '__init__'


def level(name):
    return next((i for i, layer in enumerate(LAYERS) if name in layer), None)


FILES = sorted((ROOT / 'torchgeo_ext').rglob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards(path):
    relative = path.relative_to(ROOT / 'torchgeo_ext')
    own = relative.parts[0].removesuffix('.py')
    assert level(own) is not None, f'{own} has no place in LAYERS'
    for module, line in imports(path):
        if module != 'torchgeo_ext' and not module.startswith('torchgeo_ext.'):
            continue
        other = room(module)
        if other in ('hookimpl', 'operation', '__version__'):
            other = '__init__'
        if other == own or (own, other) in DOORS:
            continue
        where = f'{relative}:{line} imports {module}'
        assert level(other) is not None, where
        assert level(own) <= level(other), f'{where}, which stands above it'
        assert not (own in SIDEWAYS and other in SIDEWAYS), f'{where}, which stands beside it'


def test_the_two_worlds_do_not_import_each_other():
    for path in FILES:
        for module, line in imports(path):
            assert module.split('.')[0] not in ('qgis', 'osgeo', 'PyQt5', 'PyQt6'), f'{path}:{line}'


def test_the_plugin_uses_the_standard_library_and_qgis_only():
    allowed = set(sys.stdlib_module_names) | {'qgis', 'processing'}
    for path in sorted((ROOT / 'qgis_plugin').rglob('*.py')):
        for module, line in imports(path):
            assert module.split('.')[0] in allowed, f'{path}:{line} imports {module}'
