"""LENet against the numbers of its published code."""

import torch

from tests.models.parity import Reference
from torchgeo_ext.models import lenet


@torch.no_grad()
def test_same_numbers_as_the_published_code():
    reference = Reference('lenet_swinv2b')
    model = lenet().eval()
    unused = {'backbone.patch_embed.projection.bias': torch.zeros(1)}
    model.load_state_dict(reference.state() | unused, assign=True)
    pair = torch.stack([*reference.inputs()], dim=1)
    maps = model.maps(pair)
    for number, features in enumerate(maps):
        reference.check(f'map{number}', features)
    reference.check('logits', model.head(maps[2]))
    for number, head in enumerate(model.auxiliary_heads):
        reference.check(f'aux{number}', head(maps[number]))
