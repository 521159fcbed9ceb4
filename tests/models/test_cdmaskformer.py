"""CDMaskFormer against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.models import cdmaskformer


@pytest.fixture(scope='module')
def reference():
    return Reference('cdmaskformer_seaformer_l')


@pytest.fixture(scope='module')
def model(reference):
    model = cdmaskformer().eval()
    model.load_state_dict({f'net.{key}': value for key, value in reference.state().items()})
    return model


@torch.no_grad()
def test_same_numbers_as_the_published_code(reference, model):
    before, after = reference.inputs()
    for number, features in enumerate(model.encoder(before)):
        reference.check(f'bb_pre_{number}', features)
    pair = torch.stack((before, after), dim=1)
    for number, features in enumerate(model.extract(pair)):
        reference.check(f'tff_{number}', features)
    classes, masks = model.propose(pair)[-1]
    reference.check('pred_logits', classes)
    reference.check('pred_masks', masks)
    reference.check('score', model(pair).sigmoid())


@torch.no_grad()
def test_no_evidence_is_no_change(model, monkeypatch):
    pair = torch.rand(1, 2, 3, 40, 50)
    assert model(pair).sigmoid().amax() == pytest.approx(1)
    monkeypatch.setattr(model, 'evidence', lambda x: torch.full((1, 1, 40, 50), 0.7))
    assert model(pair).sigmoid().amax() < 1e-6
