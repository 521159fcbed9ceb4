import math

import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms._cloud_layer import cloud_layer, co_albedo, direct_share
from torchgeo_ext.transforms.clouds import (
    CLEAR,
    CLOUD,
    SHADOW,
    SimulateClouds,
    shadow_shift,
    turbulent_fields,
)

BANDS = [0.49, 0.56, 0.665, 0.842, 1.61, 2.19]
WAVELENGTHS = torch.tensor(BANDS)


def ground(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 0.4


@pytest.mark.parametrize('phase', ['water', 'ice'])
def test_absorption_of_particles(phase):
    absorbed = co_albedo(WAVELENGTHS, phase)
    assert (absorbed[:3] < 1e-5).all()
    assert (absorbed[4:] > 3e-3).all()
    assert co_albedo(torch.tensor([2.0]), phase) > absorbed[-1] > absorbed[-3]


def test_absorption_is_that_of_the_tables():
    # 0.85 x 4 pi k / wavelength x radius, for k of water at 1.6 and of ice at 1.65 micrometres
    for phase, wavelength, index, radius in (
        ('water', 1.6, 8.55e-5, 10),
        ('ice', 1.65, 2.361e-4, 30),
    ):
        expected = 0.85 * 4 * math.pi * index / wavelength * radius
        value = co_albedo(torch.tensor([wavelength], dtype=torch.float64), phase).item()
        assert value == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize('phase', ['water', 'ice'])
def test_a_cloud_layer_keeps_the_energy(phase):
    thickness = torch.logspace(-2, 2, 20, dtype=torch.float64)[:, None]
    reflected, passed = cloud_layer(thickness, WAVELENGTHS.double(), phase)
    assert (reflected >= 0).all()
    assert (passed >= 0).all()
    assert (reflected + passed <= 1 + 1e-12).all()
    # hardly any absorption in green light: the conservative two-stream solution
    backward = math.sqrt(3) / 2 * (1 - {'water': 0.85, 'ice': 0.78}[phase]) * thickness[:, 0]
    torch.testing.assert_close(reflected[:, 1], backward / (1 + backward), rtol=0.02, atol=0)
    assert (reflected.diff(dim=0) > 0).all()
    assert (passed.diff(dim=0) < 0).all()


def test_no_cloud_is_nothing():
    reflected, passed = cloud_layer(torch.zeros(6), WAVELENGTHS, 'water')
    assert (reflected == 0).all()
    torch.testing.assert_close(passed, torch.ones(6))


def test_clouds_are_white_to_the_near_infrared_and_ice_is_dark_beyond():
    water, _ = cloud_layer(torch.tensor(30.0), WAVELENGTHS, 'water')
    ice, _ = cloud_layer(torch.tensor(30.0), WAVELENGTHS, 'ice')
    assert water[:4].min() > 0.75
    assert water[:4].max() - water[:4].min() < 0.02
    assert water[4] < water[3] - 0.1
    assert (ice[4:] < water[4:] - 0.05).all()


def test_the_sky_lights_blue_shadows():
    share = direct_share(WAVELENGTHS, torch.tensor(45.0))
    assert (share.diff() > 0).all()
    assert 0.7 < share[0] < 0.85
    assert share[-1] > 0.97
    assert direct_share(WAVELENGTHS, torch.tensor(75.0))[0] < share[0]


def test_shadows_fall_away_from_the_sun():
    args = torch.tensor(1000.0), torch.tensor(45.0)
    for azimuth, expected in ((180, (-100, 0)), (90, (0, -100)), (0, (100, 0)), (270, (0, 100))):
        down, right = shadow_shift(*args, torch.tensor(float(azimuth)), gsd=10)
        assert (down.item(), right.item()) == pytest.approx(expected, abs=1e-3)


def test_the_moved_field_is_the_field_moved():
    noise = torch.randn(2, 32, 48, generator=torch.Generator().manual_seed(0))
    down, right = torch.tensor([3.0, -5.0]), torch.tensor([-7.0, 60.0])
    field, moved = turbulent_fields(noise, 20, down, right)
    for row in range(2):
        expected = field[row].roll((int(down[row]), int(right[row])), dims=(0, 1))
        torch.testing.assert_close(moved[row], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(field.mean(dim=(1, 2)), torch.zeros(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize('coverage', [0.0, 0.25, 1.0])
def test_coverage_is_kept(coverage):
    torch.manual_seed(0)
    transform = SimulateClouds(
        coverage=(coverage, coverage), thickness=(1e4, 1e4), height=(0, 0), bands=BANDS, p=1
    )
    image = ground(2, 6, 40, 50)
    result = transform({'image': image})
    share = (result['mask_cloud'] == CLOUD).float().mean(dim=(1, 2))
    torch.testing.assert_close(share, torch.full((2,), coverage), atol=0.02, rtol=0)
    clear = (result['mask_cloud'] == CLEAR).unsqueeze(1).expand_as(image)
    if coverage == 0:
        torch.testing.assert_close(result['image'], image)
    else:
        assert (result['image'][~clear] - image[~clear]).abs().max() > 0.3


def test_shadows_darken_the_infrared_most():
    torch.manual_seed(0)
    transform = SimulateClouds(
        coverage=(0.3, 0.3),
        thickness=(50, 50),
        height=(1500, 1500),
        sun_zenith=(50, 50),
        bands=BANDS,
        p=1,
    )
    image = torch.full((8, 6, 64, 64), 0.3)
    result = transform({'image': image})
    shadow = (result['mask_cloud'] == SHADOW)[:, None]
    assert shadow.any()
    factor = (result['image'] / image).masked_fill(~shadow, math.nan).nanmean(dim=(0, 2, 3))
    assert (factor[:4].diff() < 0).all()
    assert (factor < 1).all()
    assert factor[0] > factor[3] + 0.05


def test_scale_and_values():
    image = ground(6, 32, 32)
    torch.manual_seed(3)
    one = SimulateClouds(bands=BANDS, p=1)({'image': image})
    torch.manual_seed(3)
    ten_thousand = SimulateClouds(bands=BANDS, scale=10000, p=1)({'image': image * 10000})
    torch.testing.assert_close(ten_thousand['image'], one['image'] * 10000, rtol=1e-4, atol=0.01)
    assert torch.equal(one['mask_cloud'], ten_thousand['mask_cloud'])
    assert one['image'].min() >= 0
    assert one['image'].max() <= 1


def test_invalid_pixels_stay_and_clouds_can_be_hidden():
    torch.manual_seed(0)
    image = ground(3, 6, 32, 32)
    valid = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1)) > 0.3
    image = torch.where(valid[:, None], image, torch.nan)
    sample = {'image': image, 'mask_valid': valid, 'wavelengths': WAVELENGTHS.expand(3, -1)}
    result = SimulateClouds(hide=True, p=1)(sample)
    assert result['image'].isnan().any(dim=1).equal(~valid)
    assert (result['mask_cloud'][~valid] == CLEAR).all()
    assert torch.equal(result['mask_valid'], valid & (result['mask_cloud'] == CLEAR))
    assert not torch.equal(result['mask_valid'], valid)


def test_every_sample_gets_the_mask_and_clouds_add_up():
    sample = {'image': ground(6, 16, 16)}
    nothing = SimulateClouds(bands=BANDS, p=0)(sample)
    assert torch.equal(nothing['image'], sample['image'])
    assert nothing['mask_cloud'].shape == (16, 16)
    assert not nothing['mask_cloud'].any()
    before = torch.zeros(16, 16, dtype=torch.int64)
    before[:4] = CLOUD
    torch.manual_seed(0)
    alone = SimulateClouds(bands=BANDS, p=1)(sample)['mask_cloud']
    torch.manual_seed(0)
    both = SimulateClouds(bands=BANDS, p=1)({**sample, 'mask_cloud': before})['mask_cloud']
    assert torch.equal(both, torch.where(alone == CLEAR, before, alone))


def test_dates_have_clouds_of_their_own():
    torch.manual_seed(0)
    result = SimulateClouds(bands=BANDS, p=1)({'image': torch.full((2, 3, 6, 32, 32), 0.2)})
    assert result['mask_cloud'].shape == (2, 3, 32, 32)
    assert len({tuple(date.flatten().tolist()) for date in result['mask_cloud'].flatten(0, 1)}) == 6


def test_gradients_reach_the_image():
    torch.manual_seed(0)
    image = ground(6, 16, 16).requires_grad_()
    SimulateClouds(bands=BANDS, p=1)({'image': image})['image'].sum().backward()
    assert image.grad.isfinite().all()
    assert (image.grad > 0).all()


def test_what_clouds_cannot_be_made_of():
    for arguments, message in (
        ({'phase': 'smoke'}, 'smoke'),
        ({'coverage': (0.5, 1.5)}, 'coverage'),
        ({'gsd': 0}, 'gsd'),
        ({'sun_zenith': (20, 90)}, 'sun_zenith'),
        ({'clear': 2}, 'clear'),
    ):
        with pytest.raises(BadParameter, match=message):
            SimulateClouds(**arguments)
    with pytest.raises(BadInput, match='wavelengths'):
        SimulateClouds(p=1)({'image': ground(6, 8, 8)})
    with pytest.raises(BadInput, match=r'10\.9'):
        SimulateClouds(bands=[0.49, 10.9], p=1)({'image': ground(2, 8, 8)})
    with pytest.raises(BadInput, match='whole sample'):
        SimulateClouds(bands=BANDS, p=1)(ground(6, 8, 8))
