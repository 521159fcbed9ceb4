"""Rules that keep the plugin loadable everywhere: what it may import, say and contain."""

import ast
import json
import subprocess
import sys
import zipfile

import pytest
from command import builder
from fakes import HERE, REPOSITORY, engine_python

PLUGIN = REPOSITORY / 'qgis_plugin'
SOURCES = sorted(PLUGIN.rglob('*.py'))
ALLOWED = set(getattr(sys, 'stdlib_module_names', ())) | {'qgis', 'processing'}
IDS = [str(path.relative_to(PLUGIN)) for path in SOURCES]


@pytest.fixture(params=SOURCES, ids=IDS)
def tree(request):
    # the oldest Python that a QGIS 3.22 brings
    return ast.parse(request.param.read_text(encoding='utf-8'), feature_version=(3, 9))


def test_only_the_standard_library_and_qgis_are_imported(tree):
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.partition('.')[0])
    assert imported - {'__future__'} <= ALLOWED


def test_nothing_is_printed_or_evaluated(tree):
    """Printing would break the JSON of ``qgis_process --json``; ``exec_`` is gone from Qt 6."""
    forbidden = {'print', 'eval', 'exec', 'exec_'}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, 'id', getattr(node.func, 'attr', ''))
            assert name not in forbidden, f'line {node.lineno}'


def test_annotations_are_not_evaluated(tree):
    """Python 3.9 knows ``X | None`` only in annotations that nobody evaluates."""
    operators = [node.op for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    uses = any(isinstance(operator, ast.BitOr) for operator in operators)
    future = any(isinstance(n, ast.ImportFrom) and n.module == '__future__' for n in tree.body)
    assert future or not uses


def test_the_words_of_the_protocol_are_those_of_the_engine():
    from qgis_plugin.engine import protocol

    lines = (REPOSITORY / 'tests' / 'golden' / 'protocol.jsonl').read_text().splitlines()
    messages = {}
    for line in lines:
        message = json.loads(line)
        messages.setdefault(message['type'], message)
    known = {getattr(protocol, n) for n in dir(protocol) if isinstance(getattr(protocol, n), str)}
    needed = {'job', 'cancel', 'quit', 'catalog', 'hello', 'progress', 'log', 'result', 'error'}
    assert needed | {'canceled'} <= known & set(messages)
    assert messages['hello']['protocol'] == protocol.VERSION
    assert messages['error']['kind'] in protocol.HARMLESS_KINDS


def test_plugin_and_engine_have_one_version():
    text = (REPOSITORY / 'torchgeo_ext' / '__init__.py').read_text(encoding='utf-8')
    assert f"__version__ = '{builder().metadata()['version']}'" in text
    assert (PLUGIN / 'metadata.txt').read_bytes() == (REPOSITORY / 'metadata.txt').read_bytes()


def test_the_metadata_is_for_qgis_3_and_4():
    metadata = builder().metadata()
    assert metadata['qgisMinimumVersion'] == '3.22'
    assert metadata['qgisMaximumVersion'] == '4.99'
    assert metadata['hasProcessingProvider'] == 'yes'
    assert metadata['license'] == 'MIT'


def test_the_zip_passes_the_rules_of_the_plugin_repository(tmp_path):
    done = subprocess.run(
        [engine_python(), REPOSITORY / '.ci' / 'build_plugin.py', tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.iterdir()
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        links = [entry.filename for entry in archive.infolist() if entry.external_attr >> 28 == 0xA]
    assert {f'torchgeo_qgis/{n}' for n in ('__init__.py', 'metadata.txt', 'LICENSE')} <= names
    assert {f'torchgeo_qgis/{p.relative_to(PLUGIN).as_posix()}' for p in SOURCES} <= names
    assert not links
    assert builder().build(tmp_path / 'again').read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    'name',
    [
        'other/a.py',
        'torchgeo_qgis/__pycache__/a.pyc',
        'torchgeo_qgis/../a.py',
        'torchgeo_qgis/a.so',
        'torchgeo_qgis\\a.py',
    ],
)
def test_the_builder_refuses_what_the_repository_refuses(name):
    module = builder()
    with pytest.raises(module.Refused, match='must not be in the zip'):
        module._check_name(name)


def test_the_builder_refuses_incomplete_metadata():
    module = builder()
    with pytest.raises(module.Refused, match='no value for about'):
        module._check_metadata({**module.metadata(), 'about': ' '})
    with pytest.raises(module.Refused, match=r'icon no\.svg'):
        module._check_metadata({**module.metadata(), 'icon': 'no.svg'})


@pytest.mark.parametrize('code', ["PASSWORD = 'hunter2'\n", 'eval(input())\n'])
def test_the_scan_finds_what_is_critical(tmp_path, code):
    (tmp_path / 'bad.py').write_text(code)
    script = (
        'import sys, pathlib; sys.path.insert(0, sys.argv[1]); import build_plugin as b\n'
        'try: b._check_bandit(pathlib.Path(sys.argv[2]))\n'
        'except b.Refused as problem: sys.exit(f"refused {problem}")\n'
    )
    done = subprocess.run(
        [engine_python(), '-c', script, REPOSITORY / '.ci', tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'refused bandit' in done.stderr


def test_every_module_can_be_imported_on_qt_6():
    """Real PyQt6 under a stand-in for QGIS: finds moved classes and unscoped enumerations."""
    done = subprocess.run(
        [engine_python(), HERE / 'qt6.py'], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(
        'qgis_plugin' + ''.join(f'.{p}' for p in path.relative_to(PLUGIN).with_suffix('').parts)
        for path in SOURCES
        if path.name != '__init__.py'
    )
