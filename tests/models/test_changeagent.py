"""Change-Agent's model against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.models import ChangeAgent_Weights, changeagent
from torchgeo_ext.models._mit import stages


@pytest.fixture(scope='module')
def state():
    """The published file: three groups; of the captions' a sample is enough."""
    reference = Reference('changeagent_mci_mitb1')
    shapes = reference.facts['state_dict']
    captions = [key for key in shapes if 'Dynamic_DIF' in key or key.startswith('decoder_dict.')]
    for key in captions[1:]:
        del shapes[key]
    groups = {}
    for key, value in reference.state().items():
        group, name = key.split('.', 1)
        groups.setdefault(group, {})[name] = value
    return groups


@torch.no_grad()
def test_same_numbers_as_the_published_code(state):
    reference = Reference('changeagent_mci_mitb1')
    model = changeagent().eval()
    model.load_state_dict(state)
    before, after = reference.inputs()
    for number, features in enumerate(stages(model.encoder, before)):
        reference.check(f'enc_{number}', features)
    reference.check('seg', model(torch.stack((before, after), dim=1)))


@torch.no_grad()
def test_published_weights_for_other_bands_and_classes(publish, state):
    publish(ChangeAgent_Weights.LEVIR_MCI, state)
    loaded = changeagent(ChangeAgent_Weights.LEVIR_MCI, in_chans=2, num_classes=2).eval()
    seg = state['encoder_trans_dict']['to_seg.0.weight']
    torch.testing.assert_close(loaded.to_seg[0].weight, seg)
    # more columns than the position table knows, and not square
    assert loaded(torch.rand(1, 2, 2, 32, 544)).shape == (1, 2, 32, 544)


def test_one_start_only():
    with pytest.raises(ValueError, match='backbone_weights'):
        changeagent(ChangeAgent_Weights.LEVIR_MCI, backbone_weights='imagenet')
