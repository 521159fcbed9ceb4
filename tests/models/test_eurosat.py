"""The networks of EuroSAT against the numbers of their published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.models import eurosat_attention7, eurosat_balanced12, eurosat_baseline3
from torchgeo_ext.models.eurosat import BalancedAttention, _DropBlock

#: Which maps are which of the published outputs.
MAPS = {
    eurosat_baseline3: {'pool1': 0, 'pool2': 1, 'pool3': 2},
    eurosat_attention7: {'block1': 0, 'block3': 2, 'attention6': 4},
    eurosat_balanced12: {'stage1': 0, 'stage2': 1, 'stage3': 2, 'stage4': 3},
}


#: Large numbers go through its sigmoids, so that rounding shows: float32 is up to 6e-4 (of 1 plus
#: the number) off the exact result, depending on how a processor multiplies, and the published
#: numbers are 1.5e-4 off. It is therefore compared exactly, in float64.
TOLERANCE = {eurosat_attention7: 2e-4}


@torch.no_grad()
@pytest.mark.parametrize('build', MAPS, ids=lambda build: build.__name__)
def test_same_numbers_as_the_published_code(build):
    reference = Reference(build.__name__)
    model = reference.build(build)
    reference.check_names(model)
    (images,) = reference.inputs()
    if build in TOLERANCE:
        model, images = model.double(), images.double()
    maps = model.feature_maps(images)
    accuracy = TOLERANCE.get(build, 1e-4)
    for output, level in MAPS[build].items():
        reference.check(output, maps[level].float(), rtol=accuracy, atol=accuracy)
    reference.check('logits', model(images).float(), rtol=accuracy, atol=accuracy)


@pytest.mark.parametrize('build', MAPS, ids=lambda build: build.__name__)
def test_every_parameter_learns(build):
    torch.manual_seed(0)
    model = build(in_chans=13, num_classes=4)
    model(torch.randn(2, 13, 64, 64)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_attention_is_balanced():
    attention = BalancedAttention(32)
    assert attention.share_of_places == pytest.approx(0.6225, abs=1e-4)
    x = torch.rand(1, 32, 5, 4)
    with torch.no_grad():
        attention.alpha.fill_(100)
        assert torch.equal(attention(x), attention.coord_attention(x))
        attention.alpha.fill_(-100)
        assert torch.equal(attention(x), attention.se_attention(x))


def test_squares_are_left_out_of_all_channels_in_training():
    torch.manual_seed(0)
    drop = _DropBlock(0.2)
    x = torch.ones(2, 3, 32, 32)
    dropped = drop(x)
    assert torch.equal(dropped[:, 0], dropped[:, 2])
    assert 0.05 < (dropped == 0).float().mean() < 0.35
    assert dropped.mean() == pytest.approx(1, abs=1e-5)
    assert torch.equal(drop.eval()(x), x)
