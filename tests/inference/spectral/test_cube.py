"""Going through a cube."""

import dataclasses

import numpy as np
import pytest

from tests.cubes import cube_of, simulate, write_cube
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.spectral import cube as module
from torchgeo_ext.inference.spectral.cube import (
    check_pixels,
    noise_moments,
    sample_pixels,
    signal_moments,
)


@pytest.fixture
def holed(tmp_path):
    """A scene with a hole, and its valid pixels (c, n)."""
    values = np.rint(simulate().values)
    values[:, 10:20, 30:50] = -32768
    values[3, 0, 0] = -32768
    path = write_cube(tmp_path / 'cube.tif', values)
    return cube_of(path), values[:, (values != -32768).all(0)]


@pytest.mark.parametrize('windowed', [False, True])
def test_moments_are_those_of_all_valid_pixels(holed, windowed, monkeypatch):
    cube, pixels = holed
    if windowed:
        monkeypatch.setattr(module, '_VALUES', 30 * 32**2)
        assert cube.tile_size == 32
    moments = signal_moments(cube)
    assert moments.weight == pixels.shape[1]
    np.testing.assert_allclose(moments.mean, pixels.mean(1), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(pixels, bias=True), rtol=1e-9)


def test_noise_is_what_neighbours_differ_by(tmp_path):
    random = np.random.default_rng(0)
    strength = np.linspace(5, 50, 30)
    # the ground slopes gently, which makes no noise
    slope = np.linspace(0, 300, 96)[None, :, None] + np.linspace(0, 300, 96)
    values = 1000 + slope + strength[:, None, None] * random.normal(size=(30, 96, 96))
    values[:, 40:60, 40:60] = -32768
    signal, noise = noise_moments(cube_of(write_cube(tmp_path / 'cube.tif', values)))
    np.testing.assert_allclose(np.sqrt(noise.variance), strength, rtol=0.1)
    across = noise.covariance - np.diag(noise.variance)
    assert np.abs(across / np.outer(strength, strength)).max() < 0.1
    assert (signal.variance > 10_000).all()


def test_drawn_pixels_are_drawn_from_all(holed, monkeypatch):
    cube, pixels = holed
    monkeypatch.setattr(module, '_VALUES', 30 * 32**2)
    drawn = sample_pixels(cube, 500, seed=1)
    assert drawn.shape == (30, 500)
    known = {tuple(pixel) for pixel in pixels.T.tolist()}
    assert all(tuple(pixel) in known for pixel in drawn.T.tolist())
    np.testing.assert_allclose(drawn.mean(1), pixels.mean(1), rtol=0.1)
    np.testing.assert_array_equal(drawn, sample_pixels(cube, 500, seed=1))
    assert sample_pixels(cube, 10**6).shape == pixels.shape


def test_too_few_pixels_and_constant_bands(tmp_path):
    values = np.rint(simulate(8, 8).values)
    few = cube_of(write_cube(tmp_path / 'few.tif', values))
    with pytest.raises(BadInput, match=r'has 64 pixels .* at least 300 are needed'):
        check_pixels(signal_moments(few), few)
    values = np.rint(simulate().values)
    values[7] = 5
    flat = cube_of(write_cube(tmp_path / 'flat.tif', values))
    with pytest.raises(BadInput, match=r'only one value in band 8 \(909 nm\)'):
        check_pixels(signal_moments(flat), flat)
    values[:] = -32768
    empty = cube_of(write_cube(tmp_path / 'empty.tif', values))
    with pytest.raises(BadInput, match='no pixel that is valid in all of the 30 bands'):
        sample_pixels(empty, 10)


def test_bands_are_selected_with_their_wavelengths(holed):
    cube, _ = holed
    some = cube.select([4, 0])
    assert some.source.bands == (5, 1)
    assert some.bands.centre == (cube.bands.centre[4], cube.bands.centre[0])
    assert some.names == ('band 5 (712 nm)', 'band 1 (450 nm)')
    assert dataclasses.replace(some).tile_size == 512
