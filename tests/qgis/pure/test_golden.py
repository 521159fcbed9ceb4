"""Names that saved models, batch files and scripts of users hold."""

import json

from fakes import REPOSITORY

GOLDEN = REPOSITORY / 'tests' / 'golden' / 'qgis_names.txt'


def names():
    """Ids of algorithms with their parameters and outputs, and ids of the packaged models."""
    plugin = REPOSITORY / 'qgis_plugin'
    lines = {path.stem.replace('_', '') for path in (plugin / 'models').glob('*.model3')}
    for path in (plugin / 'operations').glob('*.json'):
        described = json.loads(path.read_text(encoding='utf-8'))
        for entry in described['parameters'] + described['outputs']:
            lines.add(f'{described["id"]} {entry["name"].upper()}')
    return lines


def test_no_name_disappears_and_new_ones_are_kept():
    """A deliberate change goes into the file by hand."""
    frozen = set(GOLDEN.read_text(encoding='utf-8').splitlines())
    assert not frozen - names(), 'gone or renamed'
    assert not names() - frozen, 'new: add these lines to tests/golden/qgis_names.txt'
