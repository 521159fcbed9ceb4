from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchgeo.models import ResNet18_Weights, Unet_Weights
from torchvision.models import ResNet18_Weights as VisionWeights

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import MinMaxScale, PercentileScale, Standardise
from torchgeo_ext.transforms.normalisation import quantiles


def test_standardise():
    image = torch.tensor([10.0, 40.0]).reshape(2, 1, 1).expand(2, 2, 2)
    result = Standardise([10, 20], [5, 10])(image)
    assert torch.equal(result[:, 0, 0], torch.tensor([0.0, 2.0]))
    with pytest.raises(BadParameter, match='std is'):
        Standardise([0, 0], [1, 0])
    with pytest.raises(BadInput, match='mean has 3 numbers, but the image has 2'):
        Standardise([0, 0, 0], [1, 1, 1])(image)


@pytest.mark.parametrize('shape', [(2, 4, 4), (3, 2, 4, 4), (5, 3, 2, 4, 4)])
def test_invalid_pixels_become_the_mean_where_asked(shape):
    image = torch.full(shape, 30.0)
    valid = torch.ones(*shape[:-3], *shape[-2:], dtype=torch.bool)
    valid[..., 0, 0] = False
    image[..., 0, 0] = -9999.0
    sample = {'image': image, 'mask_valid': valid}
    result = Standardise([10], [5], fill=0.0)(sample)['image']
    assert (result[..., 0, 0] == 0).all()
    assert (result[..., 1:, :] == 4).all()
    assert (Standardise([10], [5])(sample)['image'][..., 0, 0] == -9999).all()


def test_statistics():
    bands = [
        SimpleNamespace(mean=10.0, std=2.0, quantiles={0.02: 6.0, 0.5: 10.0, 0.98: 14.0}),
        SimpleNamespace(mean=30.0, std=5.0, quantiles={0.02: 20.0, 0.5: 30.0, 0.98: 40.0}),
    ]
    image = torch.tensor([14.0, 25.0]).reshape(2, 1, 1)
    assert Standardise.from_statistics(bands)(image).flatten().tolist() == [2.0, -1.0]
    assert MinMaxScale.from_statistics(bands)(image).flatten().tolist() == [1.0, 0.25]
    with pytest.raises(BadParameter, match=r'low is 0\.01; the statistics hold 0\.02, 0\.5, 0\.98'):
        MinMaxScale.from_statistics(bands, low=0.01)


def test_standardise_as_weights_do():
    weights = ResNet18_Weights.SENTINEL2_RGB_SECO  # three steps of Normalize
    image = 100 * torch.rand(2, 3, 224, 224)
    expected = image
    for step in weights.transforms:
        if hasattr(step, 'mean'):
            expected = step(expected.clone())
    torch.testing.assert_close(Standardise.from_weights(weights)(image), expected)


def test_statistics_of_weights_follow_the_bands_of_the_image():
    weights = ResNet18_Weights.SENTINEL2_RGB_SECO
    assert weights.meta['bands'] == ['B4', 'B3', 'B2']
    usual, turned = (
        Standardise.from_weights(weights, bands) for bands in (None, ('B02', 'B03', 'B04'))
    )
    assert turned.mean == usual.mean[::-1]
    assert turned.std == usual.std[::-1]
    one_for_all = Standardise.from_weights(ResNet18_Weights.SENTINEL2_ALL_MOCO, ('B4', 'B8'))
    assert (one_for_all.mean, one_for_all.std) == ((0.0,), (10000.0,))


def test_torchvisions_weights_too():
    result = Standardise.from_weights(VisionWeights.IMAGENET1K_V1)
    assert result.mean == pytest.approx((0.485, 0.456, 0.406))


def test_weights_that_do_more_are_refused(monkeypatch):
    monkeypatch.setattr(Unet_Weights.OAM_RGB_RESNET34_TCD.value, 'transforms', torch.nn.Sigmoid())
    with pytest.raises(BadParameter, match='Sigmoid'):
        Standardise.from_weights(Unet_Weights.OAM_RGB_RESNET34_TCD)


def test_min_max():
    image = torch.tensor([0.0, 10.0, 20.0, 40.0]).reshape(1, 2, 2)
    assert MinMaxScale([10], [30])(image).flatten().tolist() == [0.0, 0.0, 0.5, 1.0]
    assert MinMaxScale([10], [30], clip=False)(image).flatten().tolist() == [-0.5, 0.0, 0.5, 1.5]
    with pytest.raises(BadParameter, match='each low must be below'):
        MinMaxScale([1, 5], [2, 5])
    with pytest.raises(BadParameter, match='each low must be below'):
        MinMaxScale([1, 2, 3], [4, 5])


def sample(*leading):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(*leading, 3, 9, 11, generator=generator)
    valid = torch.rand(*leading, 9, 11, generator=generator) > 0.4
    return {'image': image, 'mask_valid': valid}


def scaled(values, valid, low, high):
    ends = np.percentile(values[valid], (low, high))
    return np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1)


def test_percentiles_are_those_of_the_valid_pixels_of_each_band():
    given = sample(4)
    result = PercentileScale((5, 90))(given)['image'].numpy()
    for image, out, valid in zip(given['image'].numpy(), result, given['mask_valid'], strict=True):
        for band in range(3):
            expected = scaled(image[band], valid.numpy(), 5, 90)
            np.testing.assert_allclose(out[band][valid], expected[valid], atol=1e-6)


def test_percentiles_of_all_bands_or_dates_together():
    given = sample(2, 4)
    valid = given['mask_valid'].numpy()
    together = PercentileScale((5, 90), per_band=False)(given)['image'].numpy()
    every = np.broadcast_to(valid[1, 2], (3, 9, 11))
    expected = scaled(given['image'][1, 2].numpy(), every, 5, 90)
    np.testing.assert_allclose(together[1, 2][every], expected[every], atol=1e-6)
    series = PercentileScale((5, 90), same_on_time=True)(given)['image'].numpy()
    expected = scaled(given['image'][1, :, 2].numpy(), valid[1], 5, 90)
    np.testing.assert_allclose(series[1, :, 2][valid[1]], expected[valid[1]], atol=1e-6)


def test_a_flat_band_and_an_image_without_data():
    assert (PercentileScale()(torch.full((2, 4, 4), 7.0)) == 0).all()
    given = sample(2)
    given['mask_valid'][0] = False
    result = PercentileScale()(given)['image']
    assert torch.equal(result[0], given['image'][0])
    assert not torch.equal(result[1], given['image'][1])
    with pytest.raises(BadParameter, match='percentiles is'):
        PercentileScale((2, 101))


@pytest.mark.parametrize('count', [1, 2, 7, 100])
def test_quantiles(count):
    values = torch.rand(3, count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fractions = torch.tensor([0.0, 0.1, 0.5, 1.0])
    expected = np.quantile(values.numpy(), fractions.double().numpy(), axis=1)
    np.testing.assert_allclose(quantiles(values, fractions), expected, rtol=1e-6)
    gap = torch.full((3, 5), torch.inf, dtype=torch.float64)
    np.testing.assert_allclose(quantiles(torch.cat((values, gap), 1), fractions), expected, 1e-6)
