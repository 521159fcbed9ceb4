"""LENet against the numbers of its published code."""

import torch

from tests.models.parity import Reference
from torchgeo_ext.models import lenet
from torchgeo_ext.models.lenet import _own_names


@torch.no_grad()
def test_same_numbers_as_the_published_code():
    reference = Reference('lenet_swinv2b')
    model = reference.build(lenet)
    pair = torch.stack([*reference.inputs()], dim=1)
    maps = model.maps(pair)
    for number, features in enumerate(maps):
        reference.check(f'map{number}', features)
    reference.check('logits', model.head(maps[2]))
    for number, head in enumerate(model.auxiliary_heads):
        reference.check(f'aux{number}', head(maps[number]))


def test_the_unused_backbone_of_published_checkpoints_is_left_out():
    value = torch.zeros(1)
    published = {'model.rwe.0.convA.bn1.bias': value, 'backbone.patch_embed.norm.bias': value}
    assert _own_names(published).keys() == {'exchange.0.convA.bn1.bias'}
    own = {'backbone.patch_embed.norm.bias': value}
    assert _own_names(own) == own
