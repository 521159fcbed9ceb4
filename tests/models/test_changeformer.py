"""ChangeFormer against the numbers of its published code."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.models import changeformer


@pytest.fixture(scope='module')
def reference():
    return Reference('changeformer_v6_256')


@torch.no_grad()
def test_same_numbers_as_the_published_code(reference):
    model = reference.build(changeformer)
    before, after = reference.inputs()
    for number, features in enumerate(model.encoder(before)):
        reference.check(f'enc_pre_{number}', features)
    for number, logits in enumerate(model.scales(torch.stack((before, after), dim=1))):
        reference.check(f'out_{number}', logits)
