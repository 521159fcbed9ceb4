"""Build the zip of the QGIS plugin and check it as the plugin repository does.

    python .ci/build_plugin.py [FOLDER]

It is written to ``dist/`` or the given folder. The rules are those of the repository's own
validator and security scan (qgis/QGIS-Plugins-Website: validator.py, security_scanner.py).
"""

import configparser
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / 'qgis_plugin'
#: The folder in the zip; QGIS knows an installed plugin by it, so it never changes.
FOLDER = 'torchgeo_qgis'

LARGEST = 25 * 1024**2
REQUIRED = (
    'name',
    'description',
    'version',
    'qgisMinimumVersion',
    'author',
    'email',
    'about',
    'tracker',
    'repository',
)
#: What only the owner of the project knows; asked for when uploading, not when building.
OWNER = ('email', 'tracker', 'repository', 'homepage')
FORBIDDEN_PARTS = ('__pycache__', '__MACOSX', '.git', '..')
FORBIDDEN_SUFFIXES = ('.pyc', '.pyo', '.exe', '.dll', '.so', '.dylib', '.sh', '.bat', '.ps1')

#: Rules of bandit that the repository reports without blocking a plugin for them.
INFORMATIVE = 'B101,B108,B110,B112,B310,B311,B324,B403,B404,B603,B606,B607,B608,B614'


class Refused(Exception):
    """The plugin breaks a rule of the plugin repository."""


def files() -> dict[str, Path]:
    """Give the files of the plugin by their path in the zip; links are followed."""
    found = {
        path.relative_to(SOURCE).as_posix(): path
        for folder, folders, names in os.walk(SOURCE, followlinks=True)
        for path in (Path(folder) / name for name in names)
        if not set(path.relative_to(SOURCE).parts) & set(FORBIDDEN_PARTS)
        and path.suffix not in FORBIDDEN_SUFFIXES
        and not any(part.startswith('.') for part in path.relative_to(SOURCE).parts)
    }
    return dict(sorted((found | {'LICENSE': ROOT / 'LICENSE'}).items()))


def metadata() -> dict[str, str]:
    """Read the ``general`` section of ``metadata.txt``."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read(ROOT / 'metadata.txt', encoding='utf-8')
    return dict(parser['general'])


def build(target: Path) -> Path:
    """Write the zip.

    Args:
        target: The folder to write to.

    Returns:
        The path of the zip; equal sources give equal bytes.
    """
    target.mkdir(parents=True, exist_ok=True)
    path = target / f'torchgeo_ext_qgis-{metadata()["version"]}.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, file in files().items():
            entry = zipfile.ZipInfo(f'{FOLDER}/{name}', (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    return path


def check(path: Path) -> None:
    """Check a zip against the rules.

    Args:
        path: The zip.

    Raises:
        Refused: If the repository would not take it.
    """
    _check_metadata(metadata())
    if path.stat().st_size > LARGEST:
        raise Refused(f'{path.name} is larger than {LARGEST // 1024**2} MB')
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            _check_name(name)
        if f'{FOLDER}/LICENSE' not in archive.namelist():
            raise Refused('LICENSE is missing')
        with tempfile.TemporaryDirectory() as folder:
            archive.extractall(folder)
            _check_bandit(Path(folder))
            _check_secrets(Path(folder))


def _check_metadata(values: dict[str, str]) -> None:
    missing = [key for key in REQUIRED if key not in OWNER and not values.get(key, '').strip()]
    if missing:
        raise Refused(f'metadata.txt has no value for {", ".join(missing)}')
    if not (SOURCE / values['icon']).is_file():
        raise Refused(f'metadata.txt names the icon {values["icon"]}, which does not exist')


def _check_name(name: str) -> None:
    parts = name.split('/')
    if (
        parts[0] != FOLDER
        or not FOLDER.isidentifier()
        or '\\' in name
        or set(parts) & set(FORBIDDEN_PARTS)
        or name.endswith(FORBIDDEN_SUFFIXES)
    ):
        raise Refused(f'{name} must not be in the zip')


def _check_bandit(folder: Path) -> None:
    done = _run('bandit', '-r', '-f', 'json', '-q', '-s', INFORMATIVE, str(folder))
    findings = json.loads(done.stdout)['results']
    if findings:
        lines = [f'{f["filename"]}:{f["line_number"]} {f["issue_text"]}' for f in findings]
        raise Refused('bandit:\n' + '\n'.join(lines))


def _check_secrets(folder: Path) -> None:
    done = _run('detect_secrets', 'scan', '--all-files', str(folder))
    found = json.loads(done.stdout)['results']
    if found:
        raise Refused(f'detect-secrets: {json.dumps(found, indent=1)}')


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, '-m', module, *arguments], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        raise Refused(f'{module} did not run: {done.stderr.strip()}')
    return done


def main() -> None:
    """Build, check and say what is left for the owner."""
    path = build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / 'dist')
    try:
        check(path)
    except Refused as problem:
        path.unlink()
        sys.exit(f'build_plugin: {problem}')
    print(f'{path} ({path.stat().st_size / 1000:.0f} kB)')
    empty = [key for key in OWNER if not metadata().get(key, '').strip()]
    if empty:
        print(f'Before an upload fill in metadata.txt: {", ".join(empty)}')


if __name__ == '__main__':
    main()
