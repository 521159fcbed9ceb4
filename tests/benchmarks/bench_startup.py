"""How long a user waits before anything happens: ``--help``, the engine's hello, the plugin."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
QGIS_PYTHON = os.environ.get('QGIS_PYTHON', '/usr/bin/python3')
PLUGIN = """
import time
import qgis.core, qgis.gui, qgis.PyQt.QtWidgets  # what QGIS has loaded anyway
began = time.perf_counter()
import qgis_plugin
plugin = qgis_plugin.classFactory(None)
print(time.perf_counter() - began)
"""


def seconds(*command: str, stdin: str = '') -> float:
    """Time a process, the median of five runs after a first that fills the disk cache."""
    times = []
    for _ in range(6):
        began = time.perf_counter()
        subprocess.run(command, input=stdin, text=True, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print."""
    bare = seconds(sys.executable, '-c', 'pass')
    for name, words, stdin in (
        ('torchgeo-ext --help', ('-m', 'torchgeo_ext', '--help'), ''),
        ('engine hello and quit', ('-m', 'torchgeo_ext.engine'), '{"type": "quit"}\n'),
    ):
        took = seconds(sys.executable, *words, stdin=stdin)
        print(f'{name}: {took:.3f} s, {took / bare:.1f} x a bare Python ({bare:.3f} s)')
    environment = os.environ | {'QT_QPA_PLATFORM': 'offscreen', 'PYTHONPATH': str(ROOT)}
    times = [
        float(
            subprocess.run(
                [QGIS_PYTHON, '-c', PLUGIN],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(5)
    ]
    print(f'import of the QGIS plugin: {1000 * statistics.median(times):.1f} ms of at most 50 ms')


if __name__ == '__main__':
    main()
