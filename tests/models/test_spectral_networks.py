"""Networks for spectra: what they see, and that they learn."""

import sys

import pytest
import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import SpectralFormer, cnn1d, hybridsn, spectralformer

BUILDERS = [cnn1d, hybridsn, spectralformer]
#: Pixels to each side of one that its class depends on.
REACH = {cnn1d: 0, hybridsn: 4, spectralformer: 0}


@torch.no_grad()
@pytest.mark.parametrize('builder', BUILDERS)
def test_a_pixel_sees_its_surroundings_and_no_further(builder):
    torch.manual_seed(0)
    model = builder(30, 3).eval()
    image = torch.rand(1, 30, 13, 15)
    logits = model(image)
    assert logits.shape == (1, 3, 13, 15)
    image[:, :, 6, 7] += 1
    rows, columns = (model(image) != logits).any(1)[0].nonzero().T
    reach = REACH[builder]
    assert (rows.min(), rows.max()) == (6 - reach, 6 + reach)
    assert (columns.min(), columns.max()) == (7 - reach, 7 + reach)


@pytest.mark.parametrize('builder', BUILDERS)
def test_spectra_of_one_brightness_are_told_apart(builder):
    torch.manual_seed(0)
    wavelengths = torch.linspace(-2, 2, 30)
    shapes = torch.stack([torch.exp(-((wavelengths - peak) ** 2)) for peak in (-1, 0, 1)])
    labels = torch.randint(0, 3, (4, 8, 8))
    image = shapes[labels].movedim(-1, 1) + 0.1 * torch.randn(4, 30, 8, 8)
    model = builder(30, 3)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(image), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert (model.eval()(image).argmax(1) == labels).float().mean() > 0.95


@torch.no_grad()
def test_pixels_in_parts_as_at_once(monkeypatch):
    torch.manual_seed(0)
    model = spectralformer(12, 2).eval()
    image = torch.rand(2, 12, 5, 7)
    expected = model(image)
    monkeypatch.setattr(sys.modules[SpectralFormer.__module__], '_CHUNK', 9)
    torch.testing.assert_close(model(image), expected)


def test_bad_arguments():
    with pytest.raises(BadParameter, match='in_chans is 1'):
        cnn1d(1)
    with pytest.raises(BadParameter, match='group is 4'):
        spectralformer(10, group=4)
