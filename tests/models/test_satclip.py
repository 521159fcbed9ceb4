"""SatCLIP against the numbers of its published code, and what we added."""

import pytest
import torch
from torchgeo.models import SatCLIP

from tests.models.parity import Reference, fill
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import SatCLIPTowers, SatCLIPTowers_Weights, satclip_resnet18_l10
from torchgeo_ext.models.location import location_encoder
from torchgeo_ext.models.satclip import SatCLIPLocation

SIZES = {
    'satclip_resnet18_l10': ('resnet18', 10),
    'satclip_resnet50_l10': ('resnet50', 10),
    'satclip_vit16_l40': ('vit16', 40),
}


def places(reference):
    """The coordinates of a reference: fixed points, then some of a box."""
    image, drawn = reference.facts['inputs']
    fixed = torch.tensor(drawn['fixed_points'], dtype=torch.float64)
    facts = {'shape': [drawn['shape'][0] - len(fixed), 2], 'seed': 0, 'low': -1.0, 'high': 1.0}
    reference.facts['inputs'] = [image, facts]
    images, unit = reference.inputs()
    north = 49.9 if 'u[:, 1] * 49.9' in drawn['make'] else 30
    return images, torch.cat([fixed, unit.double() * torch.tensor([180, north])])


@torch.no_grad()
@pytest.mark.parametrize('name', SIZES)
def test_same_numbers_as_the_published_code(name):
    reference = Reference(name)
    image, coordinates = places(reference)
    model = reference.build(SatCLIPTowers, tower=SIZES[name][0], legendre_polys=SIZES[name][1])
    model.location.double()
    features = model.location.harmonics(*coordinates.T, torch.float64)
    reference.check('posenc', features)
    reference.check('location', model.location(coordinates))
    reference.check('image_features', model.visual.forward_features(image))
    reference.check('image', model.visual(image))
    reference.check('logits_per_image', model(image, coordinates[:2])[0])


@pytest.fixture
def random_places():
    numbers = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return (numbers - 0.5) * torch.tensor([360, 179.8])


@pytest.fixture
def torchgeo_double():
    """TorchGeo's constants are rounded to the default type when it is built."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@torch.no_grad()
@pytest.mark.parametrize('degrees', [1, 2, 10, 40])
def test_same_vectors_as_torchgeo(degrees, random_places, torchgeo_double):
    theirs = fill(SatCLIP(degrees))
    ours = SatCLIPLocation(degrees, precise=True).eval()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(random_places), theirs(random_places), rtol=0, atol=1e-10)
    single = ours.float()(random_places)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), theirs(random_places), rtol=0, atol=3e-5)


@torch.no_grad()
@pytest.mark.parametrize('north', [90, 5])
def test_many_places_share_parallels(north, monkeypatch):
    numbers = torch.rand(4000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    places = (numbers - 0.5) * torch.tensor([360, 2 * north])
    places[0, 1] = north
    encoder = fill(SatCLIPLocation(40, precise=True))
    expected = encoder.nnet(encoder.harmonics(*places.T, torch.float64))
    torch.testing.assert_close(encoder(places), expected, rtol=0, atol=1e-12)
    # and in float32, where no harmonics are computed
    monkeypatch.setattr(encoder.harmonics, 'places_at_once', None)
    found = encoder.float()(places).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5)


@torch.no_grad()
@pytest.mark.parametrize('degrees', [1, 2, 10, 40])
def test_rows_of_a_grid_are_the_same_places(degrees):
    longitude = torch.linspace(-180, 178, 30, dtype=torch.float64)
    latitude = torch.tensor([90.0, 61.3, 0.0, -7.0, -90.0], dtype=torch.float64)
    encoder = fill(SatCLIPLocation(degrees, precise=True))
    grid = torch.cartesian_prod(latitude, longitude).flip(1)
    rows = encoder.rows(longitude)(latitude)
    assert rows.shape == (5, 30, 256)
    torch.testing.assert_close(rows.flatten(0, 1), encoder(grid), rtol=0, atol=1e-11)


@pytest.fixture
def checkpoint():
    """A file as Lightning writes it, with each tensor of locations twice."""
    torch.manual_seed(0)
    model = SatCLIPTowers('resnet18', 10, precise=True)
    state = {f'model.{key}': value for key, value in model.state_dict().items()}
    twice = {key.replace('location.', ''): value for key, value in state.items()}
    hyper = {'legendre_polys': 10, 'eval_downstream': False, 'air_temp_data_path': None}
    return model, {'state_dict': twice | state, 'hyper_parameters': hyper, 'epoch': 499}


def test_published_files(publish, checkpoint, tmp_path):
    model, saved = checkpoint
    weights = SatCLIPTowers_Weights.S2_100K_RESNET18_L10
    path = publish(weights, saved)
    loaded = satclip_resnet18_l10(weights, precise=True)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    for source in (weights, path, str(path)):
        encoder = location_encoder('satclip_resnet18_l10', source, precise=True)
        assert not encoder.training
        for key, value in model.location.state_dict().items():
            assert torch.equal(encoder.state_dict()[key], value)
    with pytest.raises(BadInput, match=r'of another shape: nnet.layers.0.weight \(512, 100\)'):
        location_encoder('satclip_vit16_l40', path)
    with pytest.raises(BadParameter, match='of satclip_resnet18_l10, not of satclip_vit16_l10'):
        location_encoder('satclip_vit16_l10', weights)


def test_other_bands(publish, checkpoint):
    _, saved = checkpoint
    weights = SatCLIPTowers_Weights.S2_100K_RESNET18_L10
    publish(weights, saved)
    assert satclip_resnet18_l10(weights, in_chans=4).visual.conv1.weight.shape == (64, 4, 7, 7)


@pytest.mark.parametrize('weights', SatCLIPTowers_Weights)
def test_weights_are_found_where_they_are_published(weights):
    model = weights.meta['model'].replace('_', '-')
    assert weights.url.endswith(f'/{model}.ckpt')
    assert weights.meta['license'] == 'MIT'
    # without B10 there are 12 bands of level 2A
    assert weights.transforms(torch.full((13, 8, 8), 5000.0)).max() == 0.5
