import math

import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import Degrade, degrade
from torchgeo_ext.transforms.resolution import MTF


def wave(ratio, period, pixels=240):
    """A cosine along x of the given period in fine pixels, with a crest at a coarse centre."""
    x = torch.arange(pixels, dtype=torch.float64) - (ratio - 1) / 2
    return torch.cos(2 * math.pi * x / period).expand(1, ratio * 2, -1)


@pytest.mark.parametrize('ratio', [2, 3, 4, 6])
@pytest.mark.parametrize('gain', [0.11, 0.3, 0.7])
def test_response_at_nyquist_is_what_was_asked_for(ratio, gain):
    coarse = degrade(wave(ratio, 2 * ratio), ratio, gain)[0, 0, 10:-10]
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(len(coarse) // 2)
    torch.testing.assert_close(coarse, gain * signs, atol=1e-6, rtol=0)
    along_y = degrade(wave(ratio, 2 * ratio).mT, ratio, gain)[0, 10:-10, 0]
    torch.testing.assert_close(along_y, gain * signs, atol=1e-6, rtol=0)


def test_response_is_gaussian_below_nyquist():
    coarse = degrade(wave(4, 32), 4, 0.3)[0, 0, 10:-10]
    assert coarse.max() == pytest.approx(0.3 ** ((8 / 32) ** 2), rel=1e-3)


def test_each_band_has_its_own_response():
    image = wave(4, 8).expand(3, -1, -1)
    peaks = degrade(image, 4, (0.2, 0.3, 0.4))[:, 0, 10:-10].amax(dim=1)
    assert peaks.tolist() == pytest.approx([0.2, 0.3, 0.4], abs=1e-6)
    with pytest.raises(BadInput, match='mtf has 2 gains, but the image has 3'):
        degrade(image, 4, (0.2, 0.3))


@pytest.mark.parametrize('ratio', [2, 3, 4])
def test_coarse_pixels_cover_whole_fine_ones(ratio):
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(36.0), indexing='ij')
    image = (3 * x - 2 * y)[None]
    blocks = torch.nn.functional.avg_pool2d(image, ratio)
    inside = slice(24 // ratio // 3, -(24 // ratio // 3))
    result = degrade(image, ratio, 0.5)
    assert result.shape == blocks.shape
    torch.testing.assert_close(result[:, inside, inside], blocks[:, inside, inside])


def test_what_is_flat_stays_flat_up_to_rims_and_gaps():
    image = torch.full((2, 3, 16, 16), 0.7)
    valid = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5
    image = torch.where(valid, image, math.nan)
    torch.testing.assert_close(degrade(image, 4, 0.3, valid), torch.full((2, 3, 4, 4), 0.7))


def test_masks_and_georeference_follow():
    labels = torch.tensor([[1, 1, 2, -1], [0, 1, -1, -1], [3, 3, 4, 4], [4, 4, 3, 3]])
    sample = {
        'image': labels[None].expand(2, 1, 4, 4).float(),
        'mask': labels[None],
        'mask_valid': torch.tensor([[[1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]]] * 2)
        > 0,
        'mask_height': labels.double(),
        'transform': torch.tensor([10.0, 0, 500, 0, -10, 700, 0, 0, 1]),
        'bounds': torch.tensor([500.0, 540, 10, 660, 700, 10, 0, 1, 1]),
    }
    result = Degrade(2)(sample)
    assert result['image'].shape == (2, 1, 2, 2)
    assert result['mask'].tolist() == [[[1, -1], [3, 3]]]
    assert result['mask_valid'].tolist() == [[[True, False], [True, True]]] * 2
    assert result['mask_height'].tolist() == [[0.75, -0.25], [3.5, 3.5]]
    assert result['transform'].tolist() == [20, 0, 500, 0, -20, 700, 0, 0, 1]
    assert result['bounds'].tolist() == [500, 540, 20, 660, 700, 20, 0, 1, 1]


def test_invalid_pixels_do_not_bleed_and_keep_their_number():
    image = torch.full((1, 8, 8), 0.5)
    valid = torch.ones(8, 8, dtype=torch.bool)
    valid[:4, :4] = False
    for nodata in (-9999.0, math.nan):
        sample = {'image': torch.where(valid, image, nodata), 'mask_valid': valid}
        result = Degrade(4)(sample)
        assert result['mask_valid'].tolist() == [[False, True], [True, True]]
        expected = torch.tensor([[nodata, 0.5], [0.5, 0.5]])
        torch.testing.assert_close(result['image'][0], expected, equal_nan=True)


def test_gains_of_sensors():
    assert Degrade(4, 'quickbird').mtf == (0.34, 0.32, 0.30, 0.22)
    for name, (multispectral, panchromatic) in MTF.items():
        assert panchromatic < min(multispectral), name
    with pytest.raises(BadParameter, match=r"mtf is 'landsat'; sensors are quickbird"):
        Degrade(4, 'landsat')


def test_what_cannot_be_degraded():
    with pytest.raises(BadParameter, match='ratio is 1'):
        Degrade(1)
    with pytest.raises(BadParameter, match='mtf is 1'):
        Degrade(3, 1.0)
    with pytest.raises(BadParameter, match=r'mtf is 0\.8; for the ratio 2 .* 0 and 0\.707'):
        Degrade(2, 0.8)
    with pytest.raises(BadInput, match=r'Crop it to 8 x 8'):
        degrade(torch.zeros(1, 10, 9), 4)


def test_slope_is_that_of_the_filter():
    image = torch.rand(1, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: degrade(image, 2, 0.3), image)
