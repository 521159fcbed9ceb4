"""Small third-party packages, and how to install them into a folder without a network."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

_BUILD = 'import setuptools.build_meta as b; b.build_wheel("dist")'


def install(names: Iterable[str], folder: Path) -> None:
    """Build a wheel of each package beside this file and unpack it into ``folder``."""
    for name in names:
        with tempfile.TemporaryDirectory() as temporary:
            source = Path(temporary, name)
            shutil.copytree(Path(__file__).parent / name, source)
            subprocess.run(
                [sys.executable, '-c', _BUILD], cwd=source, check=True, capture_output=True
            )
            with zipfile.ZipFile(next(source.glob('dist/*.whl'))) as wheel:
                wheel.extractall(folder)
