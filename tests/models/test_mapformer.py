"""MapFormer against the numbers of its published code, and its map."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.errors import BadInput
from torchgeo_ext.models import mapformer


@pytest.fixture(scope='module')
def reference():
    return Reference('mapformer_mitb2_dynamicearthnet')


@pytest.fixture(scope='module')
def model(reference):
    return reference.build(mapformer)


@torch.no_grad()
def test_same_numbers_as_the_published_code(reference, model):
    before, after, _ = reference.inputs()
    labels = torch.from_numpy(reference.outputs['labels']).long()
    labels[labels == 6] = -1  # the published configuration's number for "unknown"
    pair = torch.stack((before, after), dim=1)
    dates = [model.backbone(image)[2:] for image in (before, after)]
    for number, features in enumerate(zip(*dates, strict=True)):
        reference.check(f'feat_{number}', torch.cat(features))
    reference.check('map', model.encode_map(labels, pair))
    logits, contrast = model.contrast(pair, labels)
    reference.check('bc', logits)
    reference.check('bc_full', model(pair, labels))
    assert {tuple(features.shape) for features in contrast} == {(1, 32, 64, 64)}
    assert not torch.equal(contrast.before, contrast.after)


@pytest.fixture(scope='module')
def tiny():
    return mapformer(map_classes=3, in_chans=2, backbone='b1').eval()


@torch.no_grad()
def test_the_map_matters_also_at_odd_sizes(tiny):
    pair = torch.rand(1, 2, 2, 37, 50)
    unknown = torch.full((1, 37, 50), -1)
    logits = tiny(pair, unknown)
    assert logits.shape == (1, 2, 37, 50)
    assert not torch.equal(tiny(pair, torch.zeros_like(unknown)), logits)


def test_maps_that_do_not_fit(tiny):
    pair = torch.rand(1, 2, 2, 32, 32)
    with pytest.raises(BadInput, match='the model knows 0 to 2'):
        tiny(pair, torch.full((1, 32, 32), 3))
    with pytest.raises(BadInput, match='land-cover map has the shape'):
        tiny(pair, torch.zeros(1, 16, 16))


def test_the_map_is_no_target_to_move(tiny):
    _, contrast = tiny.contrast(torch.rand(1, 2, 2, 32, 32), torch.zeros(1, 32, 32).long())
    assert contrast.after.requires_grad
    assert not contrast.land_cover.requires_grad
