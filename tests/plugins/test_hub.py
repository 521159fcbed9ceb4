"""Weights are verified, wherever they come from."""

import hashlib
from types import SimpleNamespace

import pytest
import torch.nn as nn
from torchvision.models import Weights, WeightsEnum

from torchgeo_ext import hub
from torchgeo_ext.errors import BadInput, MissingWeights

CONTENT = b'not really weights'
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch, fresh_registry):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))


def published(tmp_path, name, **meta):
    (tmp_path / name).write_bytes(CONTENT)
    return SimpleNamespace(url=(tmp_path / name).as_uri(), meta=meta)


def test_downloads_are_kept_and_found_again(tmp_path):
    weights = published(tmp_path, f'net-{DIGEST[:8]}.pth')
    first = hub.weights_file(weights)
    (tmp_path / first.name).unlink()
    assert first.read_bytes() == CONTENT
    assert hub.weights_file(weights) == first


@pytest.mark.parametrize('meta', [{}, {'sha256': '0' * 64}])
def test_other_files_than_the_published_one_are_refused(tmp_path, meta):
    weights = published(tmp_path, f'net-{DIGEST[:8]}.pth', **meta)
    folder = hub.weights_folder()
    folder.mkdir(parents=True)
    (folder / f'net-{DIGEST[:8]}.pth').write_bytes(CONTENT if meta else b'tampered')
    with pytest.raises(BadInput, match='is not the published file'):
        hub.weights_file(weights)


def test_what_cannot_be_had_is_explained(tmp_path):
    weights = SimpleNamespace(url='file:///nowhere/net-12345678.pth', meta={})
    with pytest.raises(MissingWeights) as caught:
        hub.weights_file(weights)
    assert 'file:///nowhere/net-12345678.pth' in caught.value.hint
    assert str(hub.weights_folder()) in caught.value.hint


def test_the_md5_is_compared_where_nothing_else_was_published(tmp_path):
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    weights = published(tmp_path, 'net.pth', md5=digest)
    path = hub.weights_file(weights)
    assert path.read_bytes() == CONTENT
    path.write_bytes(b'tampered')
    with pytest.raises(BadInput, match=f'its MD5 is not {digest}'):
        hub.weights_file(weights)


class _Unnamed_Weights(WeightsEnum):
    SCENES = Weights('', nn.Identity, {'published_at': 'https://example.org/models'})


def test_files_of_unknown_name_are_looked_for_under_that_of_the_weights():
    with pytest.raises(MissingWeights, match='is not known here') as caught:
        hub.weights_file(_Unnamed_Weights.SCENES)
    path = hub.weights_folder() / '_Unnamed_Weights.SCENES.pth'
    assert caught.value.hint == f'Fetch it from https://example.org/models and save it as {path}.'
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert hub.weights_file(_Unnamed_Weights.SCENES) == path
