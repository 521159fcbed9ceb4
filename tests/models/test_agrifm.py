"""AgriFM against the numbers of its published code, and what we added."""

import pytest
import torch
from einops import rearrange

from tests.models.parity import Reference
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import agrifm_base, agrifm_encoder_base
from torchgeo_ext.models.agrifm import (
    SIZES,
    AgriFM,
    AgriFM_Weights,
    AgriFMEncoder,
    AgriFMSensor,
    VideoSwinSize,
)

TINY = VideoSwinSize(8, (2, 2, 2, 2), (1, 2, 2, 4))


def published_names(state, prefix):
    """Weights of an encoder by the names of the published code."""
    names = {'.mlp.0.': '.mlp.fc1.', '.mlp.3.': '.mlp.fc2.'}
    published = {}
    for key, value in state.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        first = key.startswith('patch_embed.')
        published[prefix + (key if first else f'backbone.{key}')] = value
    return published


@torch.no_grad()
def test_as_the_published_code():
    reference = Reference('agrifm_s2_t8')
    model = reference.build(AgriFM, sensors={'S2': AgriFMSensor(10, 8)}, size=SIZES['base'])
    (series,) = reference.inputs()
    encoder = model.encoders['S2']
    maps = encoder.maps(series)
    first, second = encoder.layers[0].blocks
    reference.check('patch_embed', rearrange(maps[0], 'b t h w c -> b c t h w'))
    reference.check('stage0_block0', first(maps[0]))
    reference.check('stage0_block1_shifted', second(first(maps[0])))
    for name, each in {
        **{f'features_list_{level}': maps[level] for level in range(4)},
        'encoder_features': encoder.norm(maps[-1]),
    }.items():
        reference.check(name, rearrange(each, 'b t h w c -> b (c t) h w'))
    reference.check('logits', model(series))


@torch.no_grad()
@pytest.mark.parametrize(('height', 'width'), [(37, 50), (64, 64)])
def test_any_dates_bands_and_size(height, width):
    torch.manual_seed(0)
    model = AgriFM({'S2': AgriFMSensor(2, 9)}, TINY, 3).eval()
    series = torch.rand(2, 9, 2, height, width)
    assert model(series).shape == (2, 3, height, width)
    encoder = AgriFMEncoder(TINY, 2).eval()
    for x in (series, series[:, 0], series[:, :5]):
        for features, stage in zip(encoder.feature_maps(x), encoder.feature_info, strict=True):
            rows, columns = (-(-side // stage.reduction) for side in (height, width))
            assert features.shape == (2, stage.channels, rows, columns)
    assert not torch.allclose(encoder(series), encoder(series.flip(1)))


@torch.no_grad()
def test_sensors_are_joined():
    torch.manual_seed(0)
    sensors = {'S2': AgriFMSensor(4, 8), 'radar': AgriFMSensor(2, 3, (1, 2, 2))}
    model = AgriFM(sensors, TINY, 3).eval()
    series = {'S2': torch.rand(1, 8, 4, 20, 33), 'radar': torch.rand(1, 3, 2, 20, 33)}
    logits = model(series)
    assert logits.shape == (1, 3, 20, 33)
    for name in series:
        other = series | {name: series[name] + torch.rand_like(series[name])}
        assert not torch.allclose(model(other), logits)
    with pytest.raises(BadInput, match='no series of radar'):
        model(series['S2'])
    with pytest.raises(BadInput, match='Bring them onto one grid'):
        model(series | {'radar': series['radar'][..., :10]})


def test_it_learns_to_tell_what_differs_in_time_alone():
    torch.manual_seed(0)
    model = AgriFM({'S2': AgriFMSensor(1, 4, (1, 2, 2))}, TINY)
    labels = torch.zeros(4, 16, 16, dtype=torch.long)
    labels[:, :, 8:] = 1
    rising = torch.linspace(0, 1, 4)[None, :, None, None, None]
    series = torch.where(labels[:, None, None] > 0, rising, 1 - rising)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(series), labels).backward()
        optimizer.step()
    right = model.eval()(series).argmax(1) == labels
    assert right.float().mean() > 0.9
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.head.parameters())


def test_what_does_not_fit_is_refused():
    model = AgriFM({'S2': AgriFMSensor(2, 8)}, TINY)
    with pytest.raises(BadInput, match=r'\(1, 6, 2, 16, 16\), not \(batch, 8, 2'):
        model(torch.zeros(1, 6, 2, 16, 16))
    with pytest.raises(BadParameter, match='patches must have as many rows'):
        AgriFM({'S2': AgriFMSensor(), 'L': AgriFMSensor(6, 8, (4, 4, 4))}, TINY)
    with pytest.raises(BadParameter, match=r'patch is \(4, 2, 4\)'):
        AgriFMEncoder(TINY, 2, (4, 2, 4))


def test_released_weights_for_other_bands_and_patches(publish, monkeypatch):
    monkeypatch.setitem(SIZES, 'base', TINY)
    trained = AgriFMEncoder(TINY).state_dict()
    published = published_names(trained, 'encoder.')
    first = published.pop('encoder.patch_embed.weight')
    published['encoder.S2_patch_emd.weights'] = first
    published['encoder.S2_patch_emd.bias'] = published.pop('encoder.patch_embed.bias')
    published['encoder.HLSL30_patch_emd.weights'] = torch.rand(8, 6, 4, 4, 4)
    published['decoder.0.weight'] = torch.rand(3)
    publish(AgriFM_Weights.SENTINEL2, published)
    same = agrifm_encoder_base(AgriFM_Weights.SENTINEL2)
    for key, value in same.state_dict().items():
        assert torch.equal(value, trained[key]), key
    other = agrifm_encoder_base(AgriFM_Weights.SENTINEL2, in_chans=4)
    torch.testing.assert_close(other.patch_embed.weight[:, 2], first.mean(1) * 10 / 4)
    model = agrifm_base(AgriFM_Weights.SENTINEL2, dates=8, further_sensors={'S1': [2, 8]})
    # what is the same in all pixels is embedded as before
    image = torch.rand(1, 10, 4, 1, 1)
    torch.testing.assert_close(
        model.encoders['S2'].patch_embed(image.expand(-1, -1, -1, 2, 2)),
        same.patch_embed(image.expand(-1, -1, -1, 4, 4)),
    )
    assert model.encoders['S1'].patch_embed.in_channels == 2


def test_weights_know_their_preprocessing():
    weights = AgriFM_Weights.SENTINEL2
    series = torch.full((3, 10, 8, 8), 4000.0)
    assert weights.transforms(series).shape == series.shape
    assert weights.transforms(series).abs().max() < 1
