"""``qgis_process`` with a profile of its own and the plugin installed from its zip."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile

from fakes import HERE, REPOSITORY

#: The shell script ``qgis_process`` of Debian 12 passes on an option its program does not know.
PROGRAM = shutil.which('qgis_process.bin') or shutil.which('qgis_process')


def builder():
    """The module that builds the zip."""
    path = REPOSITORY / '.ci' / 'build_plugin.py'
    spec = importlib.util.spec_from_file_location('build_plugin', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class QgisProcess:
    """A profile with the plugin in it.

    Args:
        folder: An empty folder for the profile.
        plugins: A folder that holds the plugin; by default the zip is built and installed.
    """

    def __init__(self, folder, plugins=None):
        self._folder = folder
        runtime = folder / 'runtime'
        runtime.mkdir(mode=0o700)
        self.environment = {
            **os.environ,
            'QT_QPA_PLATFORM': 'offscreen',
            'XDG_RUNTIME_DIR': str(runtime),
            'QGIS_CUSTOM_CONFIG_PATH': str(folder / 'config'),
        }
        name = 'torchgeo_qgis'
        if plugins is None:
            self._install()
        else:
            self.environment['QGIS_PLUGINPATH'] = str(plugins)
            name = 'qgis_plugin'
        settings = folder / 'config' / 'profiles' / 'default' / 'QGIS' / 'QGIS3.ini'
        settings.parent.mkdir(parents=True)
        settings.write_text(f'[PythonPlugins]\n{name}=true\n')

    def _install(self):
        target = self._folder / 'config' / 'profiles' / 'default' / 'python' / 'plugins'
        with zipfile.ZipFile(builder().build(self._folder)) as archive:
            archive.extractall(target)
        for path in (HERE / 'operations').glob('*.json'):
            shutil.copy(path, target / 'torchgeo_qgis' / 'operations')

    def start(self, *arguments, engine=None, folder=None):
        """Start it and do not wait."""
        environment = dict(self.environment)
        if engine is not None:
            environment['TORCHGEO_EXT_PYTHON'] = str(engine)
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments, engine=None, folder=None, timeout=300):
        """Start it and wait; gives exit code, standard output and standard error."""
        process = self.start(*arguments, engine=engine, folder=folder)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        return process.returncode, out, err

    def run(self, algorithm, engine, folder=None, **parameters):
        """Run an algorithm and give its results from the JSON on standard output."""
        values = [
            f'{name}={part}'
            for name, value in parameters.items()
            for part in (value if isinstance(value, list) else [value])
        ]
        code, out, err = self.call(
            '--json', 'run', algorithm, '--', *values, engine=engine, folder=folder
        )
        assert code == 0, err[-2000:]
        return json.loads(out)['results']


def interrupt(process):
    """Press Ctrl-C: the signal goes to the whole group of processes, as in a terminal."""
    os.killpg(process.pid, signal.SIGINT)


def seconds_until_end(process):
    """How long a process goes on."""
    begin = time.monotonic()
    process.communicate(timeout=60)
    return time.monotonic() - begin
