"""RSMamba against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import RSMamba_Weights, rsmamba_b, rsmamba_h, rsmamba_l
from torchgeo_ext.models.rsmamba import SIZES, RSMamba, RSMambaSize

TINY = RSMambaSize(16, 2)


@torch.no_grad()
@pytest.mark.parametrize(
    ('name', 'shuffled'), [('rsmamba_b', True), ('rsmamba_b_reverse_gate', False)]
)
def test_same_numbers_as_the_published_code(name, shuffled):
    reference = Reference(name)
    model = reference.build(RSMamba, size=SIZES['b'], num_classes=30, shuffled=shuffled)
    reference.check_names(model)
    seen = {}
    for output in ('patch_embed', 'layers.0', 'ln1', 'ln2'):
        model.backbone.get_submodule(output).register_forward_hook(
            lambda module, inputs, result, output=output: seen.update({output: result})
        )
    logits = model(*reference.inputs())
    reference.check('patch_embed', seen['patch_embed'].flatten(2).mT)
    reference.check('mixer0', seen['layers.0'])
    reference.check('last_tokens', seen['ln1'])
    reference.check('pooled', seen['ln2'])
    reference.check('logits', logits)


@pytest.mark.parametrize(
    ('build', 'millions'), [(rsmamba_b, 6.383), (rsmamba_l, 16.249), (rsmamba_h, 33.056)]
)
def test_published_sizes(build, millions):
    with torch.device('meta'):
        model = build(num_classes=30)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.0005)


@torch.no_grad()
def test_random_orders_stay_the_same_unless_asked_otherwise():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 48)
    model = RSMamba(TINY)
    assert not torch.equal(model(image), model(image))
    model.eval()
    assert torch.equal(model(image), model(image))
    torch.testing.assert_close(model(image)[1:], model(image[1:]))
    as_published = RSMamba(TINY, same_orders=False).eval()
    assert not torch.equal(as_published(image), as_published(image))
    unshuffled = RSMamba(TINY, shuffled=False)
    assert torch.equal(unshuffled(image), unshuffled(image))


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = RSMamba(TINY, in_chans=5, num_classes=3)
    model(torch.rand(2, 5, 40, 30)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.fixture
def published(publish, monkeypatch):
    monkeypatch.setitem(SIZES, 'b', TINY)
    torch.manual_seed(0)
    state = RSMamba(TINY, num_classes=21).state_dict()
    publish(RSMamba_Weights.UCMERCED_B, {'state_dict': state, 'meta': {'epoch': 500}})
    return state


def test_classes_in_the_order_of_a_data_set(published):
    weights = RSMamba_Weights.UCMERCED_B
    row = published['head.fc.weight']
    own = rsmamba_b(weights)
    assert torch.equal(own.head.fc.weight, row)
    alphabet = sorted(weights.meta['classes'])
    assert alphabet[0] == 'agricultural'
    model = rsmamba_b(weights, classes=alphabet)
    # "agricultural" is the seventh of the published order, "harbor" its first
    assert torch.equal(model.head.fc.weight[0], row[6])
    assert torch.equal(model.head.fc.bias[alphabet.index('harbor')], published['head.fc.bias'][0])
    assert rsmamba_b(weights, classes=['beach', 'river'])(torch.rand(1, 3, 32, 32)).shape == (1, 2)
    with pytest.raises(BadParameter, match='does not know Harbor'):
        rsmamba_b(weights, classes=['Harbor'])
    with pytest.raises(BadParameter, match='can only be those of weights'):
        rsmamba_b(classes=['harbor'])


def test_published_weights_for_other_bands_and_classes(published):
    model = rsmamba_b(RSMamba_Weights.UCMERCED_B, in_chans=6, num_classes=4)
    kernels = published['backbone.patch_embed.projection.weight']
    torch.testing.assert_close(
        model.backbone.patch_embed.projection.weight, kernels.repeat(1, 2, 1, 1) / 2
    )
    assert model.head.fc.weight.shape == (4, 16)
    features = rsmamba_b(RSMamba_Weights.UCMERCED_B, num_classes=0)
    assert features(torch.rand(1, 3, 32, 32)).shape == (1, 16)
    with pytest.raises(BadParameter, match='those of rsmamba_b, not of rsmamba_l'):
        rsmamba_l(RSMamba_Weights.UCMERCED_B)


@pytest.mark.parametrize('weights', RSMamba_Weights)
def test_weights_know_their_classes_and_preprocessing(weights):
    number = {'UC Merced': 21, 'AID': 30, 'RESISC45': 45}[weights.meta['dataset']]
    assert len(set(weights.meta['classes'])) == number
    scene = torch.full((3, 300, 300), 100.0)
    assert weights.transforms(scene).shape == (3, 224, 224)
