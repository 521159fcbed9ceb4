"""Which Python runs the engine, and why one does not.

``sys.executable`` is never it: inside QGIS that is QGIS itself or the Python of QGIS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .environment import clean_environment
from .problems import EngineUnusable, describe_exit

VARIABLE = 'TORCHGEO_EXT_PYTHON'
OLDEST_PYTHON = (3, 12)

#: What pip is given; not a bare name, which would ask a public index for it.
PACKAGE = '<folder or wheel of torchgeo_ext>'

_PLUGIN = Path(__file__).resolve().parent.parent
_PROBE_SECONDS = 60
_PROBE = """
import importlib.util, json, sys
found = importlib.util.find_spec('torchgeo_ext') is not None
print(json.dumps({'version': list(sys.version_info[:3]), 'package': found}))
"""


def data_folder() -> Path:
    """Where this user's engine is looked for when nothing else is said."""
    if sys.platform == 'win32':
        return Path(os.environ.get('LOCALAPPDATA', Path.home())) / 'torchgeo_ext'
    if sys.platform == 'darwin':
        return Path.home() / 'Library' / 'Application Support' / 'torchgeo_ext'
    return Path(os.environ.get('XDG_DATA_HOME') or Path.home() / '.local/share') / 'torchgeo_ext'


def work_folder() -> Path:
    """The folder an engine is started in: one of its own, so that no stray file is imported."""
    if sys.platform == 'win32':
        base = Path(os.environ.get('LOCALAPPDATA', Path.home())) / 'torchgeo_ext' / 'cache'
    elif sys.platform == 'darwin':
        base = Path.home() / 'Library' / 'Caches' / 'torchgeo_ext'
    else:
        base = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'torchgeo_ext'
    folder = base / 'engine'
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_python(
    setting: str = '', environment: Mapping[str, str] | None = None, plugin: Path = _PLUGIN
) -> Path:
    """Find the Python that runs the engine; looks at files only and starts nothing.

    Args:
        setting: What the user chose in the options; a program or the folder of an environment.
        environment: Environment variables, by default those of this process.
        plugin: The folder of the plugin; a ``.venv`` beside it is a development checkout.

    Returns:
        The program.

    Raises:
        EngineUnusable: If there is none, or if what the user chose does not exist.
    """
    environment = os.environ if environment is None else environment
    for origin, chosen in (
        ('the options of QGIS (Settings ‣ Options ‣ TorchGeo)', setting),
        (f'the environment variable {VARIABLE}', environment.get(VARIABLE, '')),
    ):
        if chosen:
            return _chosen(Path(chosen).expanduser(), origin)
    for folder in (plugin.parent / '.venv', data_folder() / 'venv'):
        for program in _programs(folder):
            if program.is_file():
                return program
    raise EngineUnusable('No TorchGeo engine was found on this computer.', how_to_get_one())


def how_to_get_one() -> str:
    """Tell the user how to install an engine where it is found without further settings."""
    venv = data_folder() / 'venv'
    program = next(_programs(venv))
    return (
        'The engine is the Python package torchgeo_ext in an environment of its own with Python '
        f'{_dotted(OLDEST_PYTHON)} or newer. Create one with\n'
        f'    python3 -m venv "{venv}"\n'
        f'    "{program}" -m pip install {PACKAGE}\n'
        'or choose the Python of an environment that has it under '
        f'Settings ‣ Options ‣ TorchGeo, or name it in the environment variable {VARIABLE}.'
    )


def explain_failed_start(python: Path, exit_code: int | None, last_words: str) -> EngineUnusable:
    """Find out why ``python -m torchgeo_ext.engine`` ended before it said hello.

    Args:
        python: The program that was started.
        exit_code: Its exit code.
        last_words: The end of its standard error.

    Returns:
        The problem, to be raised.
    """
    try:
        facts = _probe(python)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        return EngineUnusable(
            f'{python} is not a working Python: {error}',
            'Choose another one under Settings ‣ Options ‣ TorchGeo.',
            last_words,
        )
    version = tuple(facts['version'])
    if version < OLDEST_PYTHON:
        return EngineUnusable(
            f'{python} is Python {_dotted(version)}, but the engine needs '
            f'{_dotted(OLDEST_PYTHON)} or newer.',
            how_to_get_one(),
        )
    if not facts['package']:
        return EngineUnusable(
            f'{python} (Python {_dotted(version)}) does not have the package torchgeo_ext.',
            f'Install it with\n    "{python}" -m pip install {PACKAGE}\n'
            'or choose another Python under Settings ‣ Options ‣ TorchGeo.',
        )
    what, hint = describe_exit(exit_code)
    cause = last_words.strip().splitlines()[-1:] or ['']
    return EngineUnusable(
        f'The engine {what} while starting. {cause[0]}'.strip(),
        f'{hint} Reinstalling may help:\n    "{python}" -m pip install --force-reinstall {PACKAGE}',
        last_words,
    )


def _chosen(path: Path, origin: str) -> Path:
    if path.is_dir():
        for program in _programs(path):
            if program.is_file():
                return program
        raise EngineUnusable(
            f'{path}, named by {origin}, is a folder without a Python in it.', how_to_get_one()
        )
    if not path.is_file():
        raise EngineUnusable(
            f'{path}, named by {origin} as the Python of the engine, does not exist.',
            how_to_get_one(),
        )
    return path


def _programs(environment: Path) -> Iterator[Path]:
    """Where venv and conda put the Python of an environment."""
    if sys.platform == 'win32':
        yield environment / 'Scripts' / 'python.exe'
        yield environment / 'python.exe'
    else:
        yield environment / 'bin' / 'python'
        yield environment / 'bin' / 'python3'


def _probe(python: Path) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), '-c', _PROBE],
        env=clean_environment(os.environ),
        cwd=work_folder(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PROBE_SECONDS,
        creationflags=getattr(subprocess, 'CREATE_NO_WINDOW', 0),
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if not lines:
        raise ValueError((done.stderr.strip().splitlines() or ['it says nothing'])[-1])
    return json.loads(lines[-1])


def _dotted(version: tuple[int, ...]) -> str:
    return '.'.join(str(part) for part in version)
