"""Fixtures of the model tests, and the table of ``make parity``."""

import pytest
import torch

from tests.models.parity import FOLDER, compared
from torchgeo_ext.hub import file_name, sha256


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Put a file where a download of published weights would be."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)

    def save(weights, state):
        path = folder / file_name(weights)
        torch.save(state, path)
        monkeypatch.setitem(weights.meta, 'sha256', sha256(path))
        return path

    return save


@pytest.fixture
def large_parity(request):
    """Leave out references of several hundred million parameters but for ``make parity``."""
    if not request.config.getoption('--parity', default=False):
        pytest.skip('runs with --parity')


def pytest_addoption(parser):
    parser.addoption('--parity', action='store_true', help='print the differences to references')


def pytest_terminal_summary(terminalreporter, config):
    if not config.getoption('--parity'):
        return
    terminalreporter.section('difference to the published code, / (1 + its size)')
    width = max((len(name) for name, *_ in compared), default=0)
    for name, output, difference, tolerance in sorted(compared):
        verdict = '' if difference <= tolerance else f'   above {tolerance:g}'
        terminalreporter.write_line(f'{name:{width}}  {output:24} {difference:.1e}{verdict}')
    seen = {name for name, *_ in compared}
    unused = sorted({path.stem for path in FOLDER.glob('*.npz')} - seen)
    if unused:
        terminalreporter.write_line(f'not compared: {", ".join(unused)}')
