"""Encoders of places: one vector for each place, however it is written, none for others."""

import math

import pytest
import torch
from scipy.special import sph_harm_y

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import CSP, Climplicit, GeoCLIPLocation
from torchgeo_ext.models.location import SphericalHarmonicsEncoder, location_encoder, location_names


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.fixture(params=location_names())
def encoder(request):
    torch.manual_seed(0)
    return location_encoder(request.param)


@torch.no_grad()
def test_one_place_has_one_vector(encoder):
    same = encoder(at((180, 10), (-180, 10), (540, 10), (-900, 10)))
    assert same.shape == (4, encoder.embed_dim)
    # products of matrices are not the same to the last digit in all rows
    torch.testing.assert_close(same, same[:1].expand_as(same), rtol=0, atol=1e-6)
    assert torch.equal(encoder(at((361.5, -5))), encoder(at((1.5, -5))))
    for latitude in (-90, 90):
        pole = encoder(at((0, latitude), (77, latitude), (-180, latitude)))
        torch.testing.assert_close(pole, pole[:1].expand_as(pole), rtol=0, atol=1e-6)
    # no jump at the antimeridian but those of networks of plane coordinates, as published
    if not isinstance(encoder, CSP | Climplicit | GeoCLIPLocation):
        east, west = encoder(at((179.9999999, 10), (-179.9999999, 10)))
        torch.testing.assert_close(east, west, atol=1e-4, rtol=0)


@torch.no_grad()
def test_longitude_comes_first(encoder):
    north, east = encoder(at((0, 60), (60, 0)))
    assert not torch.allclose(north, east)
    both = encoder(at((60, 0), (0, 60)))
    torch.testing.assert_close(both, torch.stack([east, north]), rtol=0, atol=1e-6)


@torch.no_grad()
def test_types_and_none_at_all(encoder):
    single = encoder(at((7, 47)).float())
    assert single.dtype == torch.float32
    precise = encoder.double()(at((7, 47)))
    assert precise.dtype == torch.float64
    torch.testing.assert_close(single.double(), precise, rtol=0, atol=1e-4)
    assert encoder(torch.empty(0, 2, dtype=torch.float64)).shape == (0, encoder.embed_dim)


@pytest.mark.parametrize(
    ('rows', 'message'),
    [
        ([(0, 0), (math.nan, 3)], r'row 1 is \[nan, 3.0\], which is no place; 1 of 2 rows'),
        ([(0, math.inf)], 'which is no place'),
        ([(0, 0), (8, 91), (8, 95)], r'row 1 is \[8.0, 91.0\].* swap the columns'),
        ([(500_000, 5_300_000)], 'latitudes, .* from -90 to 90 degrees.* reproject'),
        ([(0, 0, 0)], r'shape is \(1, 3\) instead of \(n, 2\)'),
    ],
)
def test_what_is_no_place(rows, message):
    encoder = location_encoder('location_wrap')
    with pytest.raises(BadInput, match=message):
        encoder(at(*rows))
    with pytest.raises(ValueError, match=message):
        encoder(at(*rows))


def test_harmonics_are_those_of_scipy():
    longitude, latitude = torch.rand(2, 50, dtype=torch.float64, generator=seeded())
    longitude, latitude = longitude * 360 - 180, latitude * 180 - 90
    encoder = SphericalHarmonicsEncoder(40).double()
    ours = encoder(torch.stack([longitude, latitude], dim=1))
    azimuth = torch.deg2rad(longitude + 180).numpy()
    polar = torch.deg2rad(latitude + 90).numpy()
    for degree, order in ((0, 0), (1, -1), (2, 1), (5, -3), (39, 0), (39, 39), (39, -20)):
        value = torch.from_numpy(sph_harm_y(degree, abs(order), polar, azimuth))
        part = value.imag if order < 0 else value.real
        # scipy has complex harmonics with the sign of Condon and Shortley
        expected = part * (math.sqrt(2) * (-1) ** order if order else 1)
        column = degree * degree + degree + order
        torch.testing.assert_close(ours[:, column], expected, rtol=0, atol=1e-11)


def seeded():
    return torch.Generator().manual_seed(0)


def test_cosines_of_harmonics_are_distances():
    encoder = location_encoder('location_harmonics', legendre_polys=12)
    vectors = encoder(at((0, 0), (30, 0), (100, 90), (100, 60), (-77, -90), (5, -60)))
    lengths = vectors.norm(dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 12 / math.sqrt(4 * math.pi)))
    pairs = (vectors[::2] * vectors[1::2]).sum(dim=1)
    torch.testing.assert_close(pairs, pairs[:1].expand(3), rtol=0, atol=1e-5)


def test_errors_of_names_and_options(tmp_path):
    with pytest.raises(BadParameter, match=r"called 'satclip'.*Choose one of .*satclip_vit16_l40"):
        location_encoder('satclip')
    with pytest.raises(BadParameter, match='location_wrap does not take'):
        location_encoder('location_wrap', frequencies=3)
    with pytest.raises(BadParameter, match='frequencies is 0'):
        location_encoder('location_fourier', frequencies=0)
    with pytest.raises(BadParameter, match='has no weights'):
        location_encoder('location_wrap', tmp_path / 'any.pt')
    with pytest.raises(BadInput, match='does not exist'):
        location_encoder('satclip_vit16_l10', tmp_path / 'none.ckpt')
    for name in ('broken.ckpt', 'broken.safetensors'):
        broken = tmp_path / name
        broken.write_bytes(b'no weights at all')
        with pytest.raises(BadInput, match=str(broken)):
            location_encoder('satclip_vit16_l10', broken)
