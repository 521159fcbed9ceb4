"""Noise and correlation of bands."""

import numpy as np
import pytest

from tests.cubes import cube_of, simulate, write_cube
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.spectral.quality import assess, unexplained


def test_what_a_regression_on_all_other_bands_leaves():
    random = np.random.default_rng(0)
    pixels = random.normal(size=(6, 3)) @ random.normal(size=(3, 4000))
    pixels += 0.3 * random.normal(size=pixels.shape)
    found = unexplained(np.corrcoef(pixels)) * pixels.std(1)
    centred = pixels - pixels.mean(1, keepdims=True)
    for band in range(6):
        others = np.delete(centred, band, axis=0).T
        weights, *_ = np.linalg.lstsq(others, centred[band])
        rest = centred[band] - others @ weights
        assert found[band] == pytest.approx(rest.std(), rel=1e-4)


def test_bands_of_a_scene_are_judged(tmp_path):
    scene = simulate(64, 64)
    values = np.rint(scene.values)
    values[2] = -32768
    values[5] = 7
    values[8, 20:] = -32768
    values[11] = np.random.default_rng(5).normal(3000, 500, (64, 64))
    values[14] = np.random.default_rng(6).normal(3000, 50, (64, 64))
    cube = cube_of(write_cube(tmp_path / 'cube.tif', values))
    found = assess(cube, {20: 'water vapour'})
    verdicts = {band.number: band.verdict for band in found.bands if band.verdict != 'good'}
    assert verdicts == {
        3: 'no data',
        6: 'one value',
        9: 'little data',
        12: 'low SNR',
        15: 'unlike neighbours',
        21: 'water vapour',
    }
    noise = np.array([band.noise for band in found.bands])
    usual = [i for i in range(30) if i not in (2, 5, 8, 11, 14)]
    np.testing.assert_allclose(noise[usual], scene.noise[usual], rtol=0.25)
    assert found.bands[0].snr == pytest.approx(values[0].mean() / noise[0])
    assert found.bands[8].valid == pytest.approx(20 / 64)
    assert np.isnan(found.bands[2].snr)
    expected = np.corrcoef(values[0].ravel(), values[29].ravel())[0, 1]
    assert found.correlation[0, 29] == pytest.approx(expected)
    assert np.isnan(found.correlation[8]).all()


def test_few_pixels_tell_no_noise_but_correlation(tmp_path):
    cube = cube_of(write_cube(tmp_path / 'cube.tif', np.rint(simulate(12, 12).values)))
    found = assess(cube, {})
    assert all(np.isnan(band.noise) for band in found.bands)
    assert {band.verdict for band in found.bands} == {'good'}
    assert found.bands[3].correlation > 0.9


def test_a_cube_without_any_data(tmp_path):
    cube = cube_of(write_cube(tmp_path / 'cube.tif', np.full((30, 8, 8), -32768)))
    with pytest.raises(BadInput, match=r'image: no pixel of \w+\.tif is valid'):
        assess(cube, {})
