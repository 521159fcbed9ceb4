"""An engine made of the standard library that does, on request, everything an engine may do wrong.

Started through a small script that takes the place of the engine's Python (``fakes.py``):
``fake_engine.py MODE JOURNAL -u -m torchgeo_ext.engine``. MODE says how it starts; what a job
does is said by its parameter ``act``. The journal tells the test what the engine saw.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

CLASSES = [
    {'value': 1, 'name': 'water', 'color': '#1f78b4'},
    {'value': 2, 'name': 'forest', 'color': '#33a02c'},
]
STYLES = {
    'classes': {'type': 'classes', 'field': 'class', 'classes': CLASSES},
    'range': {'type': 'range', 'minimum': 0.0, 'maximum': 2.0, 'unit': 'm', 'ramp': 'viridis'},
}
LAYERS = ('output', 'polygons')
HELLO = {
    'type': 'hello',
    'protocol': 1,
    'engine_version': '0.1.0',
    'python': '3.12.1',
    'torch': None,
    'devices': ['cpu'],
    'catalog_hash': 'fake',
}
THIRD_PARTY = {
    'format': 1,
    'name': 'count_herons',
    'id': 'countherons',
    'label': 'Count herons',
    'group': 'Birds',
    'group_id': 'birds',
    'tags': [],
    'summary': 'Count herons.',
    'help': '',
    'since': '1.0',
    'parameters': [],
    'outputs': [{'name': 'herons', 'label': 'Herons', 'help': 'How many.', 'kind': 'integer'}],
    'checks': [],
}


class FakeEngine:
    """Reads messages on one thread and acts on the other, like the real one."""

    def __init__(self, mode, journal):
        self.mode = mode
        self.journal = journal
        self.canceled = threading.Event()

    def note(self, text):
        with open(self.journal, 'a', encoding='utf-8') as file:
            file.write(f'{os.getpid()} {text}\n')

    def say(self, **message):
        sys.stdout.write(json.dumps(message) + '\n')
        sys.stdout.flush()

    def start(self):
        self.note('start')
        if self.mode == 'silent':
            sys.stdin.read()
        elif self.mode == 'broken':
            sys.stderr.write('Traceback ...\nImportError: libcudart.so.12 is missing\n')
            sys.exit(1)
        elif self.mode == 'babble':
            while True:
                sys.stdout.write('Welcome to something else\n')
        elif self.mode == 'noisy':
            sys.stdout.write('a library prints\n[1, 2]\n{"no": "type"}\n')
        if self.mode.startswith('protocol'):
            self.say(**{**HELLO, 'protocol': int(self.mode[len('protocol') :])})
        else:
            self.say(**HELLO)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in sys.stdin:
            message = json.loads(line)
            self.note(line.strip())
            if message['type'] == 'cancel':
                self.canceled.set()
                if self.mode == 'careful':
                    self.say(type='canceling', id=message['id'], text='Keeping', seconds=3)
            elif message['type'] == 'quit':
                self.leave('quit')
            elif message['type'] == 'catalog':
                self.say(type='catalog', operations=[THIRD_PARTY], plugins=[])
            elif message['type'] == 'job':
                threading.Thread(target=self.job, args=(message,), daemon=True).start()
        self.leave('end of input')

    def leave(self, why):
        self.note(why)
        os._exit(0)

    def job(self, message):
        self.canceled.clear()
        job, parameters = message['id'], message['parameters']
        self.say(type='log', id=job, level='info', text='fake engine at work')
        act = parameters.get('act', 'ok')
        getattr(self, f'act_{act}')(job, parameters)
        outputs = getattr(self, f'do_{message["operation"]}')(parameters)
        styles = {n: STYLES[parameters.get('style', 'classes')] for n in outputs if n in LAYERS}
        self.say(type='result', id=job, outputs=outputs, styles=styles, elapsed=0.1)

    # what may happen during a job

    def act_ok(self, job, parameters):
        for tile in range(4):
            value = (tile + 1) / 4
            self.say(type='progress', id=job, value=value, text='Copying', tile=tile + 1, tiles=4)

    def act_slow(self, job, parameters):
        for tick in range(600):
            self.say(type='progress', id=job, value=tick / 600, text='Waiting')
            if self.canceled.wait(0.05):
                time.sleep(2 if self.mode == 'careful' else 0)
                kept = {'output': '/kept'} if self.mode == 'careful' else None
                self.say(type='canceled', id=job, outputs=kept)
                threading.Event().wait()

    def act_deaf(self, job, parameters):
        """Does not hear cancel, but ends at SIGTERM."""
        threading.Event().wait()

    def act_numb(self, job, parameters):
        """Ends only when killed, and leaves an unfinished file behind."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._leave_part(parameters)
        threading.Event().wait()

    def act_oom(self, job, parameters):
        self._leave_part(parameters)
        os.kill(os.getpid(), signal.SIGKILL)

    def act_crash(self, job, parameters):
        sys.stderr.write('the last words\n')
        sys.stderr.flush()
        os._exit(3)

    def act_orphan(self, job, parameters):
        """Dies while something it has started still holds its pipes."""
        subprocess.Popen(['sleep', '20'])
        os._exit(3)

    def act_garbage(self, job, parameters):
        sys.stdout.write('not json\n' * 10 + '{"type": "unknown", "id": 1}\n{"type": "progress"}\n')
        self.say(type='result', id='another job', outputs={})

    def act_error(self, job, parameters):
        self.say(
            type='error',
            id=job,
            kind=parameters.get('kind', 'bad_input'),
            message='image: /a.tif is not a raster.',
            hint='Check the path.',
            traceback='Traceback (most recent call last): secret',
        )
        threading.Event().wait()

    @staticmethod
    def _leave_part(parameters):
        stem, suffix = os.path.splitext(parameters['output'])
        with open(f'{stem}.0123abcd.part{suffix}', 'w', encoding='utf-8') as file:
            file.write('half')

    # the operations

    def do_copy_layers(self, parameters):
        outputs = {'pixels': 16}
        shutil.copy(parameters['image'], parameters['output'])
        outputs['output'] = parameters['output']
        if 'polygons' in parameters:
            shutil.copy(parameters['zones'].split('|')[0], parameters['polygons'])
            outputs['polygons'] = parameters['polygons']
        return outputs

    def do_all_kinds(self, parameters):
        return {'received': json.dumps(parameters), 'output': None}

    do_compare_layers = do_all_kinds

    def do_count_herons(self, parameters):
        return {'herons': 7}

    def do_engine_status(self, parameters):
        return {
            'ready': True,
            'state': 'fake engine',
            'device': 'cpu',
            'action_required': '',
            'versions': '{}',
            'plugins': '[]',
        }


def probe(mode):
    """Answer ``python -c ...`` like the Python that the mode stands for."""
    version = [3, 9, 5] if mode == 'old' else [3, 12, 1]
    print(json.dumps({'version': version, 'package': mode not in ('old', 'empty')}))


def main():
    mode, journal = sys.argv[1:3]
    if '-c' in sys.argv[3:]:
        probe(mode)
    elif mode in ('old', 'empty'):
        sys.exit('No module named torchgeo_ext')
    else:
        FakeEngine(mode, journal).start()
        threading.Event().wait()


if __name__ == '__main__':
    main()
