"""Other encoders of places: the files of their authors, and what they compute, step by step."""

import math

import pytest
import torch
import torch.nn.functional as F
from rasterio.warp import transform
from safetensors.torch import save_file

from tests.models.parity import fill
from torchgeo_ext.errors import BadInput, BadParameter, MissingWeights
from torchgeo_ext.models import (
    CSP,
    SINR,
    Climplicit,
    GeoCLIP_Weights,
    GeoCLIPLocation,
    SINR_Weights,
    climplicit,
    csp,
    geoclip_location,
    sinr,
)
from torchgeo_ext.models.geoclip import equal_earth
from torchgeo_ext.models.location import location_encoder

PLACES = torch.tensor([(0, 0), (8.55, 47.4), (-179.5, -89), (120.25, 12)], dtype=torch.float64)


def linear(x, state, name):
    return F.linear(x, state[f'{name}.weight'], state[f'{name}.bias'])


def test_equal_earth_is_that_of_proj():
    longitude, latitude = PLACES.T
    x, y = transform('+proj=longlat +R=1', '+proj=eqearth +R=1', longitude, latitude)
    expected = torch.tensor([x, y], dtype=torch.float64).T
    torch.testing.assert_close(equal_earth(longitude, latitude), expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_geoclip():
    encoder = fill(GeoCLIPLocation())
    state = {key: value.double() for key, value in encoder.state_dict().items()}
    plane = equal_earth(*PLACES.T) * 66.50336 / 180
    expected = torch.zeros(4, 512, dtype=torch.float64)
    for number in range(3):
        angles = 2 * math.pi * plane @ state[f'LocEnc{number}.capsule.0.b'].T
        x = torch.cat([angles.cos(), angles.sin()], dim=1)
        for layer in (1, 3, 5):
            x = F.relu(linear(x, state, f'LocEnc{number}.capsule.{layer}'))
        expected += linear(x, state, f'LocEnc{number}.head.0')
    torch.testing.assert_close(encoder(PLACES).double(), expected, rtol=0, atol=1e-5)
    # 9.45 million are published
    assert sum(value.numel() for value in state.values()) == 9_449_472


@torch.no_grad()
def test_sinr():
    encoder = fill(SINR())
    state = encoder.state_dict()
    x = PLACES[:, :1] / 180, PLACES[:, 1:] / 90
    angles = math.pi * torch.cat(x, dim=1)
    x = F.relu(linear(torch.cat([angles.sin(), angles.cos()], 1).float(), state, 'feats.0'))
    for number in range(2, 6):
        y = F.relu(linear(x, state, f'feats.{number}.w1'))
        x = x + F.relu(linear(y, state, f'feats.{number}.w2'))
    torch.testing.assert_close(encoder(PLACES), x, rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(('activation', 'norm'), [('gelu', True), ('leakyrelu', False)])
def test_csp(activation, norm):
    encoder = fill(CSP(activation, norm))
    state = encoder.state_dict()
    act = F.gelu if activation == 'gelu' else (lambda x: F.leaky_relu(x, 0.2))
    features = []
    for coordinate in PLACES.T:
        for number in range(32):
            angle = coordinate / (0.1 * 3600 ** (number / 31))
            features += [angle.sin(), angle.cos()]
    x = act(linear(torch.stack(features, dim=1).float(), state, 'layers.0.linear'))
    if norm:
        weight, bias = (state[f'layers.0.layernorm.{name}'] for name in ('weight', 'bias'))
        x = F.layer_norm(x, (512,), weight, bias)
    x = act(linear(x, state, 'layers.1.linear'))
    torch.testing.assert_close(encoder(PLACES), x, rtol=0, atol=1e-5)


@torch.no_grad()
def test_climplicit():
    encoder = fill(Climplicit((4, 10))).double()
    state = encoder.state_dict()
    months = []
    for month in (4, 10):
        season = torch.tensor([math.sin(math.pi * month / 6), math.cos(math.pi * month / 6)])
        places = PLACES / torch.tensor([180, 90])
        x = torch.cat([places, season.expand(4, 2)], dim=1)
        angle = linear(x, state, 'location_encoder.layers.0')
        x = torch.sin(30 * torch.sinh(2 * angle))
        for number in range(1, 16):
            angle = (linear(x, state, f'location_encoder.layers.{number}') + angle) / 2
            x = torch.sin(angle)
        months.append(linear(x, state, 'location_encoder.last_layer'))
    torch.testing.assert_close(encoder(PLACES), torch.cat(months, 1), rtol=0, atol=1e-4)


def published(name, state):
    """A file of the authors: other names, other parts, and what training scripts add."""
    match name:
        case 'csp':
            both = {f'loc_enc.spa_enc.ffn.{key}': value for key, value in state.items()}
            both |= {f'spa_enc.ffn.{key}': value for key, value in state.items()}
            parts = {'class_emb.weight': torch.ones(62, 256), 'img_dec.bias': torch.ones(256)}
            return {'epoch': 300, 'state_dict': both | parts, 'params': {'min_radius': 0.1}}
        case 'sinr':
            return {'state_dict': state | {'class_emb.weight': torch.ones(9, 256)}, 'params': {}}
        case 'climplicit':
            return state | {'chelsa_regressor.weight': torch.ones(11, 256)}
    return state


@pytest.mark.parametrize('name', ['climplicit', 'csp', 'geoclip_location', 'sinr'])
def test_files_of_the_authors(name, tmp_path):
    torch.manual_seed(0)
    state = location_encoder(name).state_dict()
    path = tmp_path / 'weights.pth.tar'
    torch.save(published(name, state), path)
    loaded = location_encoder(name, path).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    plain = tmp_path / 'weights.safetensors'
    save_file({key: value for key, value in state.items() if not key.endswith('.bias')}, plain)
    with pytest.raises(BadInput, match=r'weights\.safetensors do not fit \(missing: .*\.bias'):
        location_encoder(name, plain)


@pytest.mark.parametrize(
    ('build', 'weights'),
    [(geoclip_location, GeoCLIP_Weights.MP16_CLIP), (sinr, SINR_Weights.INATURALIST_AN_FULL)],
)
def test_published_weights(build, weights, publish):
    with pytest.raises(MissingWeights, match='Fetch it from https://'):
        build(weights)
    state = build().state_dict()
    publish(weights, published(build.__name__, state))
    for key, value in build(weights).state_dict().items():
        assert torch.equal(value, state[key])


def test_settings():
    assert csp('leakyrelu', norm=False).embed_dim == 256
    assert climplicit().embed_dim == 1024
    with pytest.raises(BadParameter, match='Choose gelu or leakyrelu'):
        csp('relu')
    for months in ((), (0,), (3, 13)):
        with pytest.raises(BadParameter, match='from 1 to 12'):
            climplicit(months)
