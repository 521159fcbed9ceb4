"""Resampling from one sensor to another, against numerical integration."""

import dataclasses
import itertools
import logging
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import WATER_VAPOUR, BandWavelengths
from torchgeo_ext.transforms import SelectByWavelength, SpectralResample

SIGMA = 1 / math.sqrt(8 * math.log(2))
ENMAP = BandWavelengths.of_sensor('enmap')


def response(wavelength, centre, width):
    return np.exp(-0.5 * ((wavelength - centre) / (width * SIGMA)) ** 2)


def reflectance(wavelength):
    """A smooth spectrum with a red edge and absorptions."""
    edge = 0.35 / (1 + np.exp(-(wavelength - 0.715) / 0.02))
    dips = sum(0.1 * response(wavelength, c, 0.06) for c in (0.67, 1.2, 2.2))
    return 0.15 + edge - dips + 0.03 * np.sin(9 * wavelength)


def as_image(values):
    return torch.tensor(values, dtype=torch.float64)[:, None, None]


def test_weights_are_those_of_numerical_integration():
    centres = np.sort(np.random.default_rng(0).uniform(0.4, 1.0, 40))
    values = np.random.default_rng(1).uniform(0, 1, 40)
    source = BandWavelengths(tuple(centres), (0.005,) * 40)
    target = BandWavelengths((0.45, 0.7, 0.93), (0.02, 0.065, 0.1))
    resample = SpectralResample(target, source, fill=None)
    found = resample(as_image(values))[:, 0, 0]
    assert resample.matrix.sum(1).tolist() == pytest.approx([1, 1, 1])
    for centre, width, value in zip(target.centre, target.fwhm, found, strict=True):
        added = math.sqrt(width**2 - 0.005**2)

        def integrate(shown, centre=centre, added=added):
            ends = [-0.5, *centres, 2.0]
            parts = (
                quad(lambda x: shown(x) * response(x, centre, added), a, b, epsabs=1e-12)[0]
                for a, b in itertools.pairwise(ends)
            )
            return sum(parts)

        expected = integrate(lambda x: np.interp(x, centres, values)) / integrate(lambda x: 1.0)
        assert value.item() == pytest.approx(expected, abs=1e-6)


def measured(bands):
    """What bands with Gaussian responses see of the smooth spectrum."""
    fine = np.linspace(0.2, 3, 28_001)
    shown = reflectance(fine)
    weights = (response(fine, c, w) for c, w in zip(bands.centre, bands.widths, strict=True))
    return np.array([(w * shown).sum() / w.sum() for w in weights])


@pytest.mark.parametrize('name', ['sentinel2a_l2a', 'landsat8_l2_sr', 'emit', 'prisma'])
def test_other_sensors_see_nearly_what_they_would(name):
    target = BandWavelengths.of_sensor(name)
    # within the detectors of EnMAP, whose ends are at 418 and 2445 nm
    target = target.select(i for i, c in enumerate(target.centre) if 0.44 < c < 2.4)
    resample = SpectralResample(target, ENMAP)
    found = resample(as_image(measured(ENMAP)))[:, 0, 0].numpy()
    covered = resample.coverage.numpy() > 0.99
    assert covered.mean() > 0.85
    assert np.abs(found - measured(target))[covered].max() < 0.004


def test_order_overlap_and_equal_centres_of_detectors():
    sorted_bands = ENMAP.select(ENMAP.order)
    assert sorted_bands.centre != ENMAP.centre  # VNIR and SWIR overlap
    values = measured(ENMAP)
    expected = SpectralResample('sentinel2a', sorted_bands)(as_image(values[list(ENMAP.order)]))
    torch.testing.assert_close(SpectralResample('sentinel2a', ENMAP)(as_image(values)), expected)
    twice = BandWavelengths((0.6, 0.5, 0.6, 0.7), (0.1,) * 4)
    result = SpectralResample([0.6], twice)(as_image([1.0, 0.0, 3.0, 0.0]))
    once = SpectralResample([0.6], twice.select([0, 1, 3]))(as_image([2.0, 0.0, 0.0]))
    torch.testing.assert_close(result, once)


def test_the_same_bands_stay_as_they_are():
    values = as_image(measured(ENMAP))
    torch.testing.assert_close(SpectralResample(ENMAP, ENMAP)(values), values)


def test_wavelengths_that_are_not_covered_are_named(caplog):
    visible = ENMAP.select(range(56))  # up to 721 nm
    with caplog.at_level(logging.WARNING):
        resample = SpectralResample('sentinel2a_l2a', visible, fill=-1.0)
    assert 'where EnMAP HSI has not measured: B06 740 nm, B07 783 nm, B08 833 nm' in caplog.text
    assert 'B04' not in caplog.text
    result = resample(torch.full((56, 1, 1), 0.25))[:, 0, 0]
    assert result[:5].tolist() == pytest.approx([0.25] * 5)
    assert (result[5:] == -1).all()
    guessed = SpectralResample('sentinel2a_l2a', visible, fill=None)(torch.full((56, 1, 1), 0.25))
    assert guessed[:, 0, 0].tolist() == pytest.approx([0.25] * 12)


def test_gaps_between_bands_are_not_covered(caplog):
    dry = ENMAP.without(WATER_VAPOUR)
    assert dry.good.count(False) == 6
    resample = SpectralResample('sentinel2a', dry)
    assert resample.coverage[10] < 0.2  # cirrus, 1374 nm
    assert resample.coverage[11] > 0.999
    assert 'B10 1374 nm' in caplog.text


def test_bad_bands_do_not_count():
    good = tuple(i != 47 for i in range(224))
    values = measured(ENMAP)
    values[47] = 1e6
    found = SpectralResample('sentinel2a', dataclasses.replace(ENMAP, good=good))(as_image(values))
    expected = SpectralResample('sentinel2a', ENMAP)(as_image(measured(ENMAP)))
    assert (found - expected).abs().max() < 0.003


def test_the_sample_tells_the_bands():
    centres = torch.tensor(ENMAP.centre, dtype=torch.float64)
    sample = {'image': as_image(measured(ENMAP)), 'wavelengths': centres}
    result = SpectralResample('sentinel2a_l2a')(sample)
    assert result['wavelengths'].tolist() == pytest.approx(
        BandWavelengths.of_sensor('sentinel2a_l2a').centre
    )
    given = SpectralResample('sentinel2a_l2a', ENMAP)(sample)['image']
    assert (result['image'] - given).abs().max() < 0.003  # widths are guessed
    with pytest.raises(BadInput, match='SpectralResample was not given bands'):
        SpectralResample('sentinel2a')(sample['image'])


def test_what_cannot_be():
    with pytest.raises(BadInput, match='224 source bands, but the image has 3'):
        SpectralResample('sentinel2a', 'enmap')(torch.rand(3, 2, 2))
    with pytest.raises(BadParameter, match='wavelengths of x are not known'):
        SpectralResample(['x', 'red'], 'enmap')
    with pytest.raises(BadParameter, match='no good band'):
        SpectralResample('sentinel2a', BandWavelengths((0.5,), good=(False,)))


def test_select_nearest_and_ranges():
    image = torch.arange(224.0)[:, None, None]
    nearest = SelectByWavelength([0.842, 0.665], source='enmap')(image)[:, 0, 0].long().tolist()
    assert [ENMAP.centre[i] for i in nearest] == pytest.approx([0.842, 0.665], abs=0.004)
    within = SelectByWavelength(ranges=[(1.2, 1.5)], without=WATER_VAPOUR, source='enmap')
    kept = [ENMAP.centre[i] for i in within(image)[:, 0, 0].long().tolist()]
    assert all(1.2 <= centre < 1.325 or 1.455 < centre <= 1.5 for centre in kept)
    assert len(kept) > 10
    with pytest.raises(BadInput, match='within 20 nm of 3000 nm'):
        SelectByWavelength([3.0], source='enmap')(image)
    with pytest.raises(BadInput, match='No good band of EnMAP HSI is within'):
        SelectByWavelength(ranges=[(3.0, 4.0)], source='enmap')(image)
    with pytest.raises(BadParameter, match='not both'):
        SelectByWavelength([0.5], [(0.4, 0.5)])
