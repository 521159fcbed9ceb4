"""IR-MAD against a plain implementation, its invariances, and what it does when it cannot work."""

import logging
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import integrate, linalg, stats

from tests.inference.pairs import simulate
from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput, Canceled
from torchgeo_ext.inference.irmad import consistency, fit_irmad
from torchgeo_ext.inference.moments import Moments
from torchgeo_ext.inference.pairs import PixelPairs
from torchgeo_ext.inference.reader import RasterSource


def reference(x, y, iterations, ridge=0.0, kept=1.0):
    """IR-MAD as in the paper, on whole images (c, n) and through the generalised eigenproblem.

    ``kept`` is the share of the variance that weighing leaves.
    """
    c, n = x.shape
    weights, statistic = np.ones(n), None
    for iteration in range(iterations):
        covariance = np.cov(np.vstack((x, y)), aweights=weights, ddof=0)
        xx, yy, xy = covariance[:c, :c], covariance[c:, c:], covariance[:c, c:]
        xx = xx + ridge * np.diag(np.diag(xx))
        yy = yy + ridge * np.diag(np.diag(yy))
        squared, a = linalg.eigh(xy @ np.linalg.inv(yy) @ xy.T, xx)
        rho = np.sqrt(squared[::-1])
        a = a[:, ::-1]
        b = np.linalg.inv(yy) @ xy.T @ a / rho
        xc = x - np.average(x, axis=1, weights=weights)[:, None]
        yc = y - np.average(y, axis=1, weights=weights)[:, None]
        mad = a.T @ xc - b.T @ yc
        # the weighted variance of each variate, which is 2 (1 - rho) without the ridge
        variance = np.average(mad**2, axis=1, weights=weights)
        statistic = (mad**2 / variance[:, None]).sum(0) * (kept if iteration else 1)
        weights = stats.chi2.sf(statistic, c)
    return rho, mad, statistic


def fit(pixels, names=None, **settings):
    names = names or [f'band {i}' for i in range(len(pixels))]
    return fit_irmad([pixels], names, **settings)


@pytest.mark.parametrize('iterations', [1, 2, 6])
@pytest.mark.parametrize('bands', [1, 2, 5])
@pytest.mark.parametrize('consistent', [False, True])
def test_equals_a_plain_implementation(bands, iterations, consistent):
    pair = simulate(bands, 48, noise=6)
    kept = share_of_variance_kept(bands) if consistent else 1.0
    fitted = fit(pair.pixels, iterations=iterations, tolerance=0, consistent=consistent)
    rho, mad, statistic = reference(*np.split(pair.pixels, 2), iterations, kept=kept)
    np.testing.assert_allclose(fitted.correlations, rho, rtol=1e-9)
    variance = 2 * (1 - rho) / (kept if iterations > 1 else 1)
    np.testing.assert_allclose(fitted.variance, variance, rtol=1e-8)
    np.testing.assert_allclose(np.abs(fitted.variates(pair.pixels)), np.abs(mad), atol=1e-8)
    np.testing.assert_allclose(fitted.statistic(pair.pixels), statistic, rtol=1e-7)
    assert fitted.iterations == iterations


def share_of_variance_kept(bands):
    """Integrate the weighted mean of a chi-square variable over its plain mean."""
    chi2 = stats.chi2(bands)
    weighted, _ = integrate.quad(lambda x: chi2.sf(x) * x * chi2.pdf(x), 0, 5 * bands + 50)
    total, _ = integrate.quad(lambda x: chi2.sf(x) * chi2.pdf(x), 0, 5 * bands + 50)
    return weighted / total / bands


@pytest.mark.parametrize('bands', [1, 2, 3, 13, 200])
def test_consistency_is_the_share_of_variance_kept(bands):
    assert consistency(bands) == pytest.approx(share_of_variance_kept(bands), rel=1e-6)


def test_regularisation_equals_a_plain_implementation():
    pair = simulate(size=48, noise=6)
    fitted = fit(pair.pixels, iterations=3, tolerance=0, regularisation=0.1, consistent=False)
    rho, _, statistic = reference(*np.split(pair.pixels, 2), 3, ridge=0.1)
    np.testing.assert_allclose(fitted.correlations, rho, rtol=1e-10)
    np.testing.assert_allclose(fitted.statistic(pair.pixels), statistic, rtol=1e-7)


@pytest.mark.parametrize('regularisation', [0.0, 0.01])
def test_gains_and_offsets_do_not_matter(regularisation):
    pair = simulate()
    gain = np.array([1e-4, -3, 700, 0.2, 5, -1e3, 0.01, 1])[:, None]
    offset = np.array([5, -1e4, 0, 1e5, 3, 1e6, -1, 9])[:, None]
    settings = {'iterations': 20, 'regularisation': regularisation}
    plain = fit(pair.pixels, **settings)
    altered = fit(gain * pair.pixels + offset, **settings)
    np.testing.assert_allclose(altered.correlations, plain.correlations, rtol=1e-9)
    np.testing.assert_allclose(
        altered.statistic(gain * pair.pixels + offset), plain.statistic(pair.pixels), rtol=1e-5
    )


def test_any_linear_mixture_of_bands_does_not_matter():
    pair = simulate()
    before, after = np.split(pair.pixels, 2)
    mixture = np.random.default_rng(3).normal(size=(4, 4))
    plain = fit(pair.pixels)
    mixed_pixels = np.vstack((mixture @ before, after[::-1]))
    mixed = fit(mixed_pixels)
    np.testing.assert_allclose(
        mixed.statistic(mixed_pixels), plain.statistic(pair.pixels), rtol=1e-6
    )


@pytest.mark.parametrize('bands', [3, 4, 8])
def test_finds_what_changed_and_as_much_else_as_asked_for(bands):
    pair = simulate(bands, size=192)
    fitted = fit(pair.pixels)
    magnitude, probability = fitted.scores(pair.pixels).reshape(2, *pair.changed.shape)
    found = magnitude > fitted.threshold(0.01)
    assert found[pair.changed].mean() > 0.99
    assert found[~pair.changed].mean() == pytest.approx(0.01, abs=0.005)
    assert probability[pair.changed].mean() > 0.99
    assert probability[~pair.changed].mean() == pytest.approx(0.5, abs=0.03)


def test_published_form_calls_far_more_changed_than_asked_for():
    pair = simulate(4, size=192)
    fitted = fit(pair.pixels, consistent=False)
    found = fitted.scores(pair.pixels)[0] > fitted.threshold(0.01)
    assert found[~pair.changed.ravel()].mean() > 0.1


def test_threshold_is_that_of_the_chi_square_distribution():
    fitted = fit(simulate(3).pixels)
    assert fitted.threshold(0.01) ** 2 == pytest.approx(stats.chi2.isf(0.01, 3))


def test_reweighting_sharpens_the_no_change_model():
    pair = simulate()
    plain, reweighted = fit(pair.pixels, iterations=1), fit(pair.pixels)
    assert reweighted.iterations > 2
    assert (reweighted.correlations > plain.correlations).all()


def test_variates_correlate_positively_with_the_bands():
    pair = simulate()
    before = np.split(pair.pixels, 2)[0]
    canonical = fit(pair.pixels, iterations=1).projection[:4].T @ before
    sums = np.corrcoef(canonical, before)[:4, 4:].sum(1)
    assert (sums > 0).all()


@pytest.mark.parametrize('sizes', [[1] * 50 + [9166], [100, 9116], [4608, 4608]])
def test_the_way_pixels_are_cut_does_not_matter(sizes):
    pair = simulate()
    blocks = np.split(pair.pixels, np.cumsum(sizes)[:-1], axis=1)
    whole = fit(pair.pixels)
    cut = fit_irmad([*blocks, pair.pixels[:, :0]], pair.names)
    np.testing.assert_allclose(cut.correlations, whole.correlations, rtol=1e-10)
    np.testing.assert_allclose(
        cut.statistic(pair.pixels), whole.statistic(pair.pixels), rtol=1e-10, atol=1e-10
    )


def test_float32_tiles_give_the_scores_of_float64():
    pair = simulate()
    pixels = pair.pixels.astype(np.float32)
    fitted = fit(pixels)
    tiles = torch.from_numpy(pixels.reshape(1, 2, 4, 96, 96)).expand(2, -1, -1, -1, -1)
    scores = fitted(tiles)
    assert scores.shape == (2, 2, 96, 96)
    assert scores.dtype == torch.float32
    expected = fitted.scores(pixels.astype(np.float64)).reshape(2, 96, 96)
    np.testing.assert_allclose(scores[1], expected, rtol=1e-6)


def test_copies_show_no_change():
    before = simulate().before.reshape(4, -1)
    fitted = fit(np.vstack((before, before)))
    np.testing.assert_allclose(fitted.correlations, 1)
    assert fitted.scores(np.vstack((before, before))).max() < 1e-6


def test_copy_with_a_changed_patch():
    pair = simulate(noise=0)
    fitted = fit(np.vstack((pair.before.reshape(4, -1), pair.after.reshape(4, -1))))
    found = fitted.scores(pair.pixels)[0] > fitted.threshold(1e-4)
    assert (found == pair.changed.ravel()).mean() > 0.999


def test_says_when_unchanged_pixels_stop_varying(caplog):
    random = np.random.default_rng(0)
    ground = random.normal(size=(2, 4000))
    saturated = np.full((2, 6000), 5.0)
    before = np.hstack((ground, saturated))
    after = np.hstack((random.normal(size=(2, 4000)), saturated))
    fitted = fit(np.vstack((before, after)), iterations=200, tolerance=0)
    assert 'varies too little' in caplog.text
    assert fitted.iterations < 200
    assert np.isfinite(fitted.statistic(np.vstack((before, after)))).all()


def test_stops_before_too_few_pixels_are_left_for_many_bands(caplog):
    pair = simulate(60, 40)
    fitted = fit(pair.pixels, regularisation=1e-3)
    assert 'too many bands for so few pixels' in caplog.text
    found = fitted.scores(pair.pixels)[0] > fitted.threshold(1e-4)
    assert found[pair.changed.ravel()].mean() > found[~pair.changed.ravel()].mean()


def test_effective_pixels():
    moments = Moments(1)
    moments.add(np.arange(4.0)[None])
    assert moments.effective == 4
    moments.add(np.arange(6.0)[None], np.array([1.0, 1, 0, 0, 0, 0]))
    assert moments.effective == 6
    moments.add(np.ones((1, 1)), np.array([3.0]))
    assert moments.effective == pytest.approx(81 / 15)


def test_says_when_it_did_not_converge(caplog):
    fit(simulate().pixels, iterations=2)
    assert 'did not converge in 2 iterations' in caplog.text


def test_constant_band_is_named():
    pair = simulate()
    pixels = pair.pixels
    pixels[6] = 3
    with pytest.raises(BadInput, match='one value in band 3 of after') as caught:
        fit(pixels, pair.names)
    assert 'after_bands' in caught.value.hint


def test_dependent_bands_are_named_and_regularisation_helps():
    pair = simulate()
    pixels = pair.pixels
    pixels[3] = pixels[0] + 2 * pixels[1]
    with pytest.raises(BadInput, match='band 1 of before, band 2 of before, band 4 of') as caught:
        fit(pixels, pair.names)
    assert 'regularisation' in caught.value.hint
    fitted = fit(pixels, pair.names, regularisation=1e-3)
    found = fitted.scores(pixels)[0] > fitted.threshold(1e-4)
    assert found[pair.changed.ravel()].mean() > 0.95


def test_too_few_pixels():
    pair = simulate()
    with pytest.raises(BadInput, match='only 79 valid pixels in common; at least 80'):
        fit(pair.pixels[:, :79])
    with pytest.raises(BadInput, match='no valid pixel in common'):
        fit(pair.pixels[:, :0])


def test_cancel_ends_at_once():
    calls = []

    def cancel(fraction, text='', *, tile=None, tiles=None):
        calls.append(fraction)
        if len(calls) == 3:
            raise Canceled

    pixels = simulate().pixels
    with pytest.raises(Canceled):
        fit_irmad([pixels] * 2, [''] * 8, progress=cancel)
    assert calls == sorted(calls)


def test_moments_keep_their_digits_far_from_zero():
    values = 1e9 + np.random.default_rng(0).normal(size=(3, 5000))
    weights = np.random.default_rng(1).uniform(size=5000)
    moments = Moments(3)
    for start in range(0, 5000, 70):
        moments.add(values[:, start : start + 70], weights[start : start + 70])
    expected = np.cov(values - 1e9, aweights=weights, ddof=0)
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-5)
    moments.add(values, np.zeros(5000))
    np.testing.assert_allclose(moments.covariance, expected, rtol=1e-5)


@pytest.fixture
def rasters(tmp_path):
    pair = simulate(2, 300)
    before, after = pair.before.astype('float32'), pair.after.astype('float32')
    before[0, :40, :50] = np.nan
    after[1, 200:, 290:] = -1
    return (
        pair,
        RasterSource(str(write_raster(tmp_path / 'before.tif', before)), argument='before'),
        RasterSource(str(write_raster(tmp_path / 'after.tif', after, nodata=-1)), argument='after'),
    )


def test_invalid_pixels_are_left_out(rasters):
    _, before, after = rasters
    with PixelPairs(before, after, before.open().grid) as pairs:
        blocks = list(pairs)
    assert sum(block.shape[1] for block in blocks) == 300 * 300 - 40 * 50 - 100 * 10
    assert all(np.isfinite(block).all() and (block[3] != -1).all() for block in blocks)


def test_remembered_pixels_are_the_same(rasters):
    _, before, after = rasters
    grid = before.open().grid
    with PixelPairs(before, after, grid) as kept, PixelPairs(before, after, grid, remember=0) as no:
        assert len(kept) == len(no)
        for _ in range(2):
            for one, two in zip(kept, no, strict=True):
                np.testing.assert_array_equal(one, two)
        assert next(iter(kept)) is next(iter(kept))
        assert next(iter(no)) is not next(iter(no))
        assert kept.names == (
            'band 1 of before', 'band 2 of before', 'band 1 of after', 'band 2 of after',
        )  # fmt: skip


def test_numbers_of_bands_must_agree(rasters):
    _, before, after = rasters
    with pytest.raises(BadInput, match='before has 2 bands, but after has 1') as caught:
        PixelPairs(
            before, RasterSource(after.path, bands=(1,), argument='after'), before.open().grid
        )
    assert 'before_bands' in caught.value.hint


def test_memory_does_not_grow_with_the_raster(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    peaks = []
    for height in (2048, 8192):
        values = np.random.default_rng(0).integers(0, 255, (2, height, 512), dtype='uint8')
        path = str(write_raster(tmp_path / f'{height}.tif', values, tiled=True))
        source = RasterSource(path)
        with PixelPairs(source, source, source.open().grid, remember=2**20) as pairs:
            tracemalloc.start()
            fit_irmad(pairs, pairs.names, iterations=2)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
