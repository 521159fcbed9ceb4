"""The complete model for other programs."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from tests.bundles.makers import card, task
from tests.bundles.validation import problems
from torchgeo_ext.bundles import export, read_bundle, write_bundle
from torchgeo_ext.errors import BadParameter, MissingDependency


def test_program_for_any_batch_size(tmp_path):
    folder = write_bundle(tmp_path / 'tiny', card(), task(), exports=['pt2'])
    item = json.loads((folder / 'model.json').read_text())
    assert problems(item) == []
    assert item['assets']['pt2']['mlm:artifact_type'] == 'torch.export.save'
    program = torch.export.load(folder / 'model.pt2').module()
    predictor = read_bundle(folder).build()
    for batch in (1, 5):
        values = torch.rand(batch, 3, 32, 32) * 3000
        with torch.inference_mode():
            torch.testing.assert_close(program(values), predictor(values), atol=1e-6, rtol=0)


def test_onnx_without_its_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(export, 'find_spec', lambda name: None)
    with pytest.raises(MissingDependency, match=r'onnx, onnxscript.*torchgeo_ext\[onnx\]'):
        write_bundle(tmp_path / 'tiny', card(), task(), exports=['onnx'])
    assert not (tmp_path / 'tiny').exists()


@pytest.mark.skipif(
    not (find_spec('onnxscript') and find_spec('onnxruntime')), reason='needs the extra onnx'
)
def test_onnx(tmp_path):
    import onnxruntime

    folder = write_bundle(tmp_path / 'tiny', card(), task(), exports=['onnx'])
    item = json.loads((folder / 'model.json').read_text())
    assert problems(item) == []
    session = onnxruntime.InferenceSession(folder / 'model.onnx')
    predictor = read_bundle(folder).build()
    for batch in (1, 5):
        values = torch.rand(batch, 3, 32, 32) * 3000
        with torch.inference_mode():
            expected = predictor(values)
        (scores,) = session.run(['scores'], {'image': values.numpy()})
        torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-5, rtol=0)


class Branching(nn.Module):
    """Looks at values while it runs, which cannot be traced."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_network_that_cannot_be_traced(tmp_path):
    with pytest.raises(BadParameter, match=r'exports has pt2.*Leave pt2 out'):
        export.write_program(Branching(), torch.zeros(2, 1, 8, 8), tmp_path / 'x.pt2')
