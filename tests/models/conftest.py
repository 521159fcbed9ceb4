"""Fixtures of the model tests."""

import pytest
import torch

from torchgeo_ext.hub import sha256


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Put a file where a download of published weights would be."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folder = tmp_path / 'hub' / 'checkpoints'
    folder.mkdir(parents=True)

    def save(weights, state):
        path = folder / weights.url.rsplit('/', 1)[1]
        torch.save(state, path)
        monkeypatch.setitem(weights.meta, 'sha256', sha256(path))
        return path

    return save
