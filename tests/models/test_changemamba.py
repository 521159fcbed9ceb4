"""ChangeMamba against the numbers of its published code, and what we added."""

import pytest
import torch

from tests.models.parity import Reference
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import (
    ChangeMamba_Weights,
    ChangeMambaBCD,
    ChangeMambaBDA,
    ChangeMambaMMBDA,
    ChangeMambaSCD,
    VMamba_Weights,
    changemamba,
    changemamba_bcd_tiny,
    changemamba_bda_tiny,
    changemamba_mmbda_tiny,
    changemamba_scd_tiny,
)
from torchgeo_ext.models._torchgeo import weights_of
from torchgeo_ext.models.vmamba import SIZES

SMALL = SIZES['tiny']._replace(width=8, depths=(1, 1, 1, 1))
KINDS = [ChangeMambaBCD, ChangeMambaSCD, ChangeMambaBDA, ChangeMambaMMBDA]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    torch.manual_seed(0)
    return request.param


@torch.no_grad()
def test_same_change_as_the_published_code():
    reference = Reference('changemamba_mambabcd_tiny')
    model = reference.build(changemamba_bcd_tiny)
    reference.check_names(model)
    before, after = reference.inputs()
    earlier, later = model.encoder(before), model.encoder(after)
    for number, features in enumerate(earlier):
        reference.check(f'pre_encoder_stage{number}', features)
    reference.check('decoder', model.decoder(earlier, later))
    reference.check('logits', model(torch.stack((before, after), dim=1)))


@pytest.mark.parametrize(
    ('name', 'build', 'outputs'),
    [
        ('mambascd_tiny', changemamba_scd_tiny, ('change', 'sem_t1', 'sem_t2')),
        ('mambabda_tiny', changemamba_bda_tiny, ('building', 'damage')),
        ('mmbda_tiny', changemamba_mmbda_tiny, ('building', 'damage')),
    ],
)
@torch.no_grad()
def test_same_maps_as_the_published_code(name, build, outputs):
    reference = Reference(f'changemamba_{name}')
    model = reference.build(build)
    reference.check_names(model)
    maps = model(torch.stack(tuple(reference.inputs()), dim=1))
    for output, logits in zip(outputs, maps, strict=True):
        reference.check(output, logits)


@pytest.mark.parametrize(
    ('name', 'build'),
    [
        ('mambabcd_tiny', changemamba_bcd_tiny),
        ('mambascd_tiny', changemamba_scd_tiny),
        ('mambabda_tiny', changemamba_bda_tiny),
        ('mmbda_tiny', changemamba_mmbda_tiny),
    ],
)
def test_files_of_the_authors_are_understood(name, build):
    facts = Reference(f'changemamba_{name}').facts
    with torch.device('meta'):
        model = build()
        old = {key: torch.empty(shape) for key, shape in facts['legacy_state_dict'].items()}
        assert old.keys() != facts['state_dict'].keys()
        model.load_state_dict({'model': {f'module.{key}': old[key] for key in old}}, assign=True)


@pytest.mark.parametrize(
    ('task', 'millions'),
    [
        ('bcd', (32.61, 54.00, 92.40)),
        ('scd', (37.13, 58.51, 97.03)),
        ('bda', (34.87, 56.26, 94.72)),
        ('mmbda', (60.23, 103.0, 179.5)),
    ],
)
def test_published_sizes(task, millions):
    for size, expected in zip(('tiny', 'small', 'base'), millions, strict=True):
        with torch.device('meta'):
            model = getattr(changemamba, f'changemamba_{task}_{size}')()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        assert parameters / 1e6 == pytest.approx(expected, abs=0.05)


@torch.no_grad()
@pytest.mark.parametrize('size', [(1, 1), (33, 70)])
def test_any_size(kind, size):
    model = kind(SMALL).eval()
    outputs = model(torch.rand(1, 2, 3, *size))
    for logits in (outputs,) if isinstance(outputs, torch.Tensor) else outputs:
        assert logits.shape[-2:] == size
        assert logits.isfinite().all()


def test_any_bands_and_classes_learn(kind):
    model = kind(SMALL, in_chans=5, num_classes=3).train()
    outputs = model(torch.rand(2, 2, 5, 64, 64))
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    assert any(logits.shape[1] == 3 for logits in outputs)
    sum(logits.square().mean() for logits in outputs).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_images_of_a_batch_do_not_mix(kind):
    model = kind(SMALL).eval()
    batch = torch.rand(3, 2, 3, 32, 32)
    whole, single = model(batch), model(batch[1:2])
    whole, single = (x if isinstance(x, tuple) else (x,) for x in (whole, single))
    for one, other in zip(whole, single, strict=True):
        torch.testing.assert_close(one[1:2], other, rtol=1e-4, atol=1e-5)


def test_only_pairs_are_taken():
    with pytest.raises(BadInput, match=r'\(1, 3, 3, 32, 32\)'):
        ChangeMambaBCD(SMALL)(torch.rand(1, 3, 3, 32, 32))


def test_published_weights_for_other_bands_and_classes(publish, caplog):
    weights = ChangeMamba_Weights.SECOND_SCD_TINY
    reference = Reference('changemamba_mambascd_tiny')
    state = reference.state()
    publish(weights, state)
    with caplog.at_level('INFO'):
        model = changemamba_scd_tiny(weights, in_chans=4, num_classes=9)
    assert 'adapted to 4 bands' in caplog.text
    assert 'aux_clf.weight starts at random' in caplog.text
    found = model.state_dict()
    for key in ('encoder.outnorm0.weight', 'decoder_T2.smooth_layers.3.conv1.weight'):
        assert torch.equal(found[key], state[key])


def test_both_encoders_start_from_imagenet(publish):
    published = Reference('changemamba_vssm_tiny_classifier').state()
    publish(VMamba_Weights.IMAGENET_TINY, {'model': published})
    model = changemamba_mmbda_tiny(backbone_weights=VMamba_Weights.IMAGENET_TINY)
    for encoder in (model.encoder_1, model.encoder_2):
        found = encoder.state_dict()['layers.3.blocks.1.mlp.fc2.weight']
        assert torch.equal(found, published['layers.3.blocks.1.mlp.fc2.weight'])


def test_weights_that_do_not_go_together():
    with torch.device('meta'), pytest.raises(BadParameter, match='vmamba_small, not of'):
        changemamba_bcd_tiny(backbone_weights=VMamba_Weights.IMAGENET_SMALL)
    with pytest.raises(ValueError, match='backbone_weights'):
        changemamba_scd_tiny(
            ChangeMamba_Weights.SECOND_SCD_TINY, backbone_weights=VMamba_Weights.IMAGENET_TINY
        )


def test_weights_are_for_eight_bits():
    weights = ChangeMamba_Weights.SECOND_SCD_TINY
    assert weights_of(changemamba_scd_tiny) is ChangeMamba_Weights
    assert weights.transforms(torch.full((2, 3, 4, 4), 255.0)).amax() < 3
