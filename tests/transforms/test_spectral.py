import math

import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.transforms import (
    BandDropout,
    Haze,
    MissingLines,
    SensorNoise,
    SpectralJitter,
    Striping,
)

BANDS = [0.49, 0.56, 0.665, 0.705, 0.842, 1.61]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def dropped(result):
    """Which bands of images of ones became 0."""
    return (result == 0).all(dim=(-1, -2))


def test_bands_drop_at_the_rate_asked_for():
    gone = dropped(BandDropout(rate=0.3, p=1)(torch.ones(3000, 6, 2, 2)))
    assert gone.float().mean() == pytest.approx(0.3, abs=0.02)
    assert not gone.all(dim=1).any()


def test_one_band_is_always_left():
    gone = dropped(BandDropout(rate=1, p=1)(torch.ones(50, 6, 2, 2)))
    assert (gone.sum(dim=1) == 5).all()
    gone = dropped(BandDropout(rate=1, reach=9, bands=BANDS, p=1)(torch.ones(50, 6, 2, 2)))
    assert (gone.sum(dim=1) == 5).all()


def test_neighbours_drop_together():
    gone = dropped(BandDropout(rate=0.1, reach=0.06, bands=BANDS, p=1)(torch.ones(500, 6, 2, 2)))
    assert (gone[:, 2] == gone[:, 3]).all()  # only these two are so near
    assert gone[:, 2].any()
    assert not (gone[:, 0] == gone[:, 1]).all()


def test_fillings_of_dropped_bands():
    image = torch.rand(1, 2, 3, 4)
    valid = torch.rand(1, 3, 4) > 0.4
    result = BandDropout(rate=1, fill='mean', p=1)({'image': image, 'mask_valid': valid})['image']
    (band,) = (result != image).any(dim=(0, 2, 3)).nonzero()[0].tolist()
    mean = image[0, band][valid[0]].mean()
    torch.testing.assert_close(result[0, band], torch.where(valid[0], mean, image[0, band]))
    filled = BandDropout(rate=1, fill=[5.0, 7.0], p=1)(image)
    assert set(filled.amax(dim=(0, 2, 3)).tolist()) & {5.0, 7.0}
    with pytest.raises(BadInput, match='fill has 3 numbers'):
        BandDropout(fill=[1.0, 2.0, 3.0], p=1)(image)


def test_wavelengths_must_be_known():
    image = torch.ones(2, 4, 4)
    with pytest.raises(BadInput, match='Haze needs wavelengths, and the sample has none'):
        Haze(p=1)(image)
    with pytest.raises(BadInput, match='of channel 1'):
        Haze(p=1)({'image': image, 'wavelengths': torch.tensor([0.5, math.nan])})
    with pytest.raises(BadInput, match='given 6 bands, but the image has 2'):
        SpectralJitter(bands=BANDS, p=1)(image)
    with pytest.raises(BadInput, match='of channel 0'):
        Haze(bands=('red', 0.8), p=1)(image)
    with pytest.raises(BadParameter, match='length'):
        SpectralJitter(length=-1)


def test_jitter_is_as_large_and_as_smooth_as_asked():
    image = torch.ones(20000, 6, 1, 1)
    gains = SpectralJitter(gain=0.1, offset=0, length=0.1, bands=BANDS, p=1)(image)[..., 0, 0] - 1
    assert gains.mean(dim=0).abs().max() < 0.004
    torch.testing.assert_close(gains.std(dim=0), torch.full((6,), 0.1), rtol=0.03, atol=0)
    distance = torch.tensor(BANDS)[:, None] - torch.tensor(BANDS)
    expected = torch.exp(-0.5 * (distance / 0.1) ** 2)
    torch.testing.assert_close(gains.T.corrcoef(), expected, atol=0.04, rtol=0)
    free = SpectralJitter(gain=0, offset=0.2, length=0, p=1)(image)[..., 0, 0] - 1
    torch.testing.assert_close(free.std(dim=0), torch.full((6,), 0.2), rtol=0.03, atol=0)
    torch.testing.assert_close(free.T.corrcoef(), torch.eye(6), atol=0.04, rtol=0)


def test_equal_wavelengths_are_distorted_alike():
    image = torch.ones(4, 3, 1, 1)
    result = SpectralJitter(bands=[0.5, 0.5, 0.9], p=1)(image)
    torch.testing.assert_close(result[:, 0], result[:, 1])


def test_haze_follows_its_law():
    haze = Haze((0.2, 0.2), (1.3, 1.3), (0.4, 0.4), bands=BANDS, p=1)
    ground = torch.tensor([0.0, 0.3])
    result = haze(ground.expand(6, 1, 2))
    for band, wavelength in enumerate(BANDS):
        clear = math.exp(-0.2 * (wavelength / 0.55) ** -1.3)
        expected = ground * clear + 0.4 * (1 - clear)
        torch.testing.assert_close(result[band, 0], expected)
    assert (result[:, 0, 0].diff() < 0).all()  # bluer is hazier


def test_noise_has_the_ratio_asked_for():
    reference = torch.full((2, 300, 300), 0.2)
    noise = SensorNoise(snr=(40, 40), reference=0.2, read=0.25, p=1)(reference) - reference
    torch.testing.assert_close(noise.std(dim=(1, 2)), torch.full((2,), 0.005), rtol=0.02, atol=0)
    dark = SensorNoise(snr=(40, 40), reference=0.2, read=0.25, p=1)(torch.zeros(1, 300, 300))
    assert dark.std() == pytest.approx(0.0025, rel=0.02)
    bright = SensorNoise(snr=(40, 40), reference=0.2, read=0, p=1)(4 * reference) - 4 * reference
    assert bright.std() == pytest.approx(0.01, rel=0.02)
    with pytest.raises(BadParameter, match='both must be positive'):
        SensorNoise(snr=(0, 10))


def test_stripes_return_with_the_detectors():
    image = torch.ones(2, 40, 7)
    rows = Striping(gain=0.1, detectors=16, p=1)(image)
    assert (rows == rows[..., :1]).all()
    torch.testing.assert_close(rows[:, :24], rows[:, 16:])
    assert not torch.equal(rows[:, 0], rows[:, 1])
    columns = Striping(gain=0.1, detectors=None, lines='columns', p=1)(image)
    assert (columns == columns[:, :1]).all()
    assert len(columns[0, 0].unique()) == 7
    with pytest.raises(BadParameter, match='detectors is 0'):
        Striping(detectors=0)


def test_a_fifth_of_the_lines_is_missing():
    sample = {'image': torch.ones(400, 1, 64, 64), 'mask': torch.zeros(400, 64, 64).long()}
    result = MissingLines(fill=-5.0, p=1)(sample)
    missing = ~result['mask_valid']
    assert missing.float().mean() == pytest.approx(0.22, abs=0.02)
    assert torch.equal(result['image'][:, 0] == -5, missing)
    assert torch.equal(result['mask'], sample['mask'])
    whole = ~missing.any(dim=(1, 2))
    assert whole.float().mean() == pytest.approx(0.2, abs=0.06)


def test_missing_lines_keep_earlier_gaps():
    valid = torch.rand(8, 64, 64) > 0.5
    sample = {'image': torch.ones(8, 1, 64, 64), 'mask_valid': valid}
    result = MissingLines(fill=-5.0, p=1)(sample)
    assert not (result['mask_valid'] & ~valid).any()
    assert (result['image'][:, 0][~valid] == 1).all()
    assert (result['image'][:, 0][valid & ~result['mask_valid']] == -5).all()


def test_images_that_chance_spares_stay_valid():
    sample = {'image': torch.ones(200, 1, 32, 32)}
    result = MissingLines(p=0.5)(sample)
    spared = (result['image'] == 1).all(dim=(1, 2, 3))
    assert 0.3 < spared.float().mean() < 0.8
    assert result['mask_valid'][spared].all()


def test_gaps_are_tilted_lines():
    sample = {'image': torch.ones(1, 96, 96)}
    straight = MissingLines(tilt=(0, 0), swath=1e9, period=24, p=1)
    for _ in range(5):
        missing = ~straight(sample)['mask_valid']
        assert torch.equal(missing, missing[:, :1].expand(96, 96))
        torch.testing.assert_close(missing[:72], missing[24:])
