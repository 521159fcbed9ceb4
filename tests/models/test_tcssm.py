"""TCSSM: how texts and questions take part."""

import pytest
import torch

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models import VMamba_Weights, tcssm
from torchgeo_ext.models.vmamba import SIZES, VMamba

FEATURES = 6


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    made = tcssm(in_chans=2, num_classes=5, text_features=FEATURES).eval()
    for name, value in made.named_parameters():
        if '.text_proj.weight' in name:  # texts start without effect
            torch.nn.init.normal_(value)
    return made


def inputs():
    generator = torch.Generator().manual_seed(1)
    shapes = (2, 2, 2, 37, 50), (2, FEATURES), (2, 3, FEATURES)
    return [torch.rand(shape, generator=generator) for shape in shapes]


@torch.no_grad()
def test_text_and_questions_matter(model):
    pair, text, questions = inputs()
    logits = model(pair, text, questions)
    assert logits.shape == (2, 3, 5)
    assert not torch.allclose(model(pair, text.flip(0), questions), logits, atol=1e-4)
    # each question is answered for itself
    turned = model(pair, text, questions.flip(1))
    torch.testing.assert_close(turned.flip(1), logits)
    # and what happened has a direction
    assert not torch.allclose(model(pair.flip(1), text, questions), logits, atol=1e-4)


def test_everything_learns(model):
    model(*inputs()).square().sum().backward()
    still = [
        name
        for name, value in model.named_parameters()
        # only the last of the encoder's maps is used
        if value.grad is None and not name.startswith('encoder.outnorm')
    ]
    model.zero_grad()
    assert still == []


def test_starts_from_weights_of_vmamba(publish):
    weights = VMamba_Weights.IMAGENET_TINY
    backbone = VMamba(SIZES['tiny']).eval()
    state = {k: v for k, v in backbone.state_dict().items() if not k.startswith('outnorm')}
    publish(weights, {'model': state})
    encoder = tcssm(text_features=FEATURES, backbone_weights=weights).encoder.eval()
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        told = encoder(image, torch.rand(1, FEATURES))
        for one, other in zip(told, backbone(image), strict=True):
            torch.testing.assert_close(one, other)


def test_texts_that_do_not_fit(model):
    pair, text, questions = inputs()
    with pytest.raises(BadInput, match=r'text has the shape \(1, 6\), not \(2, 6\)'):
        model(pair, text[:1], questions)
    with pytest.raises(BadInput, match=r'questions has the shape .*, not \(2, any number, 6\)'):
        model(pair, text, questions[:, 0])
