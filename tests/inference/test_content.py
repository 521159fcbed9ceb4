"""What models see in single images."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from torchgeo_ext.errors import BadInput, BadParameter, MissingDependency, MissingWeights
from torchgeo_ext.inference import CLIPSegContent, SegmenterContent


class Sums(nn.Module):
    """Scores: the first band, and the second."""

    def forward(self, x):
        assert x.shape[-1] % 32 == x.shape[-2] % 32 == 0
        return x[:, :2]


def image():
    pixels = torch.zeros(3, 20, 30)
    pixels[0] = 1
    for rows, columns in ((slice(2, 5), slice(2, 6)), (slice(10, 14), slice(20, 28))):
        pixels[1, rows, columns] = 5
    return pixels


def test_a_segmentation_model():
    seen = SegmenterContent(Sums(), targets=[1])(image())
    assert torch.equal(seen.probabilities, image()[:2])
    assert seen.instances.shape == (2, 20, 30)
    assert seen.instances.flatten(1).sum(dim=1).tolist() == [12, 32]
    soft = SegmenterContent(Sums(), [1], 'softmax')(image())
    torch.testing.assert_close(soft.probabilities, image()[:2].softmax(dim=0))
    assert torch.equal(soft.instances, seen.instances)
    assert len(SegmenterContent(Sums(), [0])(image()).instances) == 1


def test_a_single_score_is_that_of_the_second_class():
    model = nn.Conv2d(3, 1, 1)
    seen = SegmenterContent(model, [1], 'sigmoid')(image())
    torch.testing.assert_close(seen.probabilities.sum(dim=0), torch.ones(20, 30))
    assert torch.equal(seen.instances.any(dim=0), seen.probabilities[1] > 0.5)


class _Published:
    """Stands in for what transformers would download."""

    @classmethod
    def from_pretrained(cls, name):
        if name == 'elsewhere':
            raise OSError('no connection')
        return cls()


class _Processor(_Published):
    def __call__(self, text, images, padding, return_tensors):
        assert images[0].dtype.name == 'uint8'
        brightness = torch.tensor([float(picture[0].max()) for picture in images])

        class Given(dict):
            def to(self, device):
                return self

        return Given(pixel_values=brightness, words=text)


class _Model(_Published, nn.Module):
    def forward(self, pixel_values, words):
        maps = torch.full((len(words), 8, 8), -9.0)
        maps[words.index('building'), :4] = 3.0
        return SimpleNamespace(logits=maps.squeeze(0))


@pytest.fixture
def transformers(monkeypatch):
    package = SimpleNamespace(CLIPSegProcessor=_Processor, CLIPSegForImageSegmentation=_Model)
    monkeypatch.setitem(sys.modules, 'transformers', package)


@pytest.mark.usefixtures('transformers')
def test_clipseg():
    seen = CLIPSegContent()(image())
    assert seen.probabilities.shape == (6, 20, 30)
    assert seen.probabilities[1, 0, 0] > 0.9
    assert seen.probabilities[1, -1, -1] < 0.1
    assert len(seen.instances) == 1
    assert CLIPSegContent(['building'], [0])(image()).probabilities.shape == (1, 20, 30)
    with pytest.raises(BadInput, match=r'not \(3, height, width\)'):
        CLIPSegContent()(image()[:2])
    with pytest.raises(BadParameter, match='prompts is empty'):
        CLIPSegContent([])
    with pytest.raises(MissingWeights, match=r"'elsewhere' is not on this machine"):
        CLIPSegContent(weights='elsewhere')


def test_clipseg_needs_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(MissingDependency, match=r'torchgeo_ext\[language\]'):
        CLIPSegContent()
