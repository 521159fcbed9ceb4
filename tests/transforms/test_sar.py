import pytest
import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.transforms import FromDecibel, LogScale, Speckle, ToDecibel


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('looks', [1.0, 4.9])
def test_speckle_has_mean_1_and_variance_1_by_looks(looks):
    image = torch.full((1, 400, 400), 0.2)
    factor = Speckle((looks, looks), p=1)(image) / image
    assert factor.mean() == pytest.approx(1, abs=0.01)
    assert factor.var() == pytest.approx(1 / looks, rel=0.03)
    # pixels are independent
    assert (
        torch.stack((factor[0, :, :-1].ravel(), factor[0, :, 1:].ravel())).corrcoef()[0, 1] < 0.01
    )


def test_speckle_of_amplitude_and_decibel_is_that_of_their_power():
    image = torch.full((1, 400, 400), 0.2)
    power = Speckle((3, 3), 'amplitude', p=1)(image.sqrt()) ** 2 / image
    assert power.mean() == pytest.approx(1, abs=0.01)
    assert power.var() == pytest.approx(1 / 3, rel=0.03)
    power = FromDecibel()(Speckle((3, 3), 'decibel', p=1)(ToDecibel()(image))) / image
    assert power.mean() == pytest.approx(1, abs=0.01)
    assert power.var() == pytest.approx(1 / 3, rel=0.03)


def test_looks_differ_from_image_to_image():
    image = torch.ones(40, 1, 100, 100)
    looks = 1 / Speckle((1, 8), p=1)(image).var(dim=(1, 2, 3))
    assert looks.min() < 2.5
    assert looks.max() > 6.5
    with pytest.raises(BadParameter, match='looks'):
        Speckle((0, 1))


def test_few_looks_stay_finite_in_decibel():
    result = Speckle((0.05, 0.05), 'decibel', p=1)(torch.zeros(1, 200, 200))
    assert result.isfinite().all()


def test_half_precision():
    image = torch.ones(1, 8, 8, dtype=torch.float16)
    assert Speckle(p=1)(image).dtype == torch.float16


def test_decibels():
    image = torch.tensor([1.0, 0.1, 100.0, 0.0, -1.0]).reshape(1, 1, 5)
    decibel = ToDecibel(floor=1e-4)(image)
    assert decibel.flatten().tolist() == pytest.approx([0, -10, 20, -40, -40], abs=1e-5)
    assert FromDecibel()(decibel).flatten().tolist() == pytest.approx([1, 0.1, 100, 1e-4, 1e-4])
    with pytest.raises(BadParameter, match='floor'):
        ToDecibel(floor=0)


def test_log_scale():
    image = torch.tensor([-1.0, 0.0, 1e-4, 0.1 * (torch.e - 1)]).reshape(1, 1, 4)
    result = LogScale(knee=0.1)(image).flatten().tolist()
    assert result == pytest.approx([0, 0, 1e-3, 1], rel=1e-3)
    with pytest.raises(BadParameter, match='knee'):
        LogScale(knee=-1)
