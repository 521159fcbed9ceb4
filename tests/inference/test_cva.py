"""Change vector analysis and its threshold."""

import numpy as np
import pytest
import torch

from tests.inference.pairs import simulate
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.cva import fit_cva
from torchgeo_ext.inference.otsu import Histogram


def otsu_of_sorted(values):
    """Otsu's threshold by trying every split."""
    ordered = np.sort(values)
    below = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)
    gap = (sums[-1] - sums[:-1]) / below[::-1] - sums[:-1] / below
    best = np.argmax(below * below[::-1] * gap**2)
    return (ordered[best] + ordered[best + 1]) / 2


def test_equals_the_definition():
    pair = simulate()
    cva = fit_cva([pair.pixels], pair.names)
    before, after = (
        (date - date.mean((1, 2), keepdims=True)) / date.std((1, 2), keepdims=True)
        for date in (pair.before, pair.after)
    )
    expected = np.linalg.norm(after - before, axis=0)
    np.testing.assert_allclose(cva.magnitude(pair.pixels), expected.ravel(), rtol=1e-10)
    tiles = torch.from_numpy(np.stack((pair.before, pair.after))[None].astype(np.float32))
    np.testing.assert_allclose(cva(tiles)[0, 0], expected, rtol=1e-4)


def test_gains_and_offsets_do_not_matter():
    pair = simulate()
    gain = np.array([1e-4, 3, 700, 0.2, 5, 1e3, 0.01, 1])[:, None]
    altered = gain * pair.pixels + 12
    plain, other = fit_cva([pair.pixels], pair.names), fit_cva([altered], pair.names)
    np.testing.assert_allclose(other.magnitude(altered), plain.magnitude(pair.pixels), rtol=1e-8)


def test_vectors_point_from_before_to_after():
    pixels = np.zeros((4, 400))
    pixels[:, ::2] = 1
    pixels[2, 0] = 5
    cva = fit_cva([pixels], [''] * 4)
    assert cva.vectors(pixels)[0, 0] > 5
    assert abs(cva.vectors(pixels)[1, 0]) < 1e-9


def test_otsu_finds_the_changed_patch():
    pair = simulate(size=128)
    cva, histogram = fit_cva([pair.pixels], pair.names), Histogram()
    histogram.add(cva.magnitude(pair.pixels))
    found = cva.magnitude(pair.pixels) >= histogram.otsu()
    assert found[pair.changed.ravel()].mean() > 0.8
    assert found[~pair.changed.ravel()].mean() < 0.01


def test_constant_band_is_named():
    pair = simulate()
    pixels = pair.pixels
    pixels[0] = 1
    with pytest.raises(BadInput, match='one value in band 1 of before'):
        fit_cva([pixels], pair.names)


@pytest.mark.parametrize('scale', [1e-3, 1.0, 37.0, 1e6])
def test_otsu_equals_trying_every_split(scale):
    random = np.random.default_rng(0)
    values = scale * np.abs(np.append(random.normal(1, 0.3, 3000), random.normal(5, 1, 500)))
    histogram = Histogram()
    histogram.add(values)
    resolution = histogram.limit / len(histogram.counts)
    assert histogram.otsu() == pytest.approx(otsu_of_sorted(values), abs=2 * resolution)


def test_histogram_does_not_depend_on_the_order():
    values = np.random.default_rng(0).exponential(30, 5000)
    once, pieces = Histogram(), Histogram()
    once.add(values)
    for piece in np.split(np.sort(values), [3, 3, 70, 4000]):
        pieces.add(piece)
    assert once.limit == pieces.limit
    np.testing.assert_array_equal(once.counts, pieces.counts)
    assert once.counts.sum() == 5000


def test_otsu_of_empty_middle_is_in_the_middle():
    histogram = Histogram()
    histogram.add(np.array([0.1] * 50 + [0.9] * 5))
    assert histogram.otsu() == pytest.approx(0.5, abs=0.001)


def test_nothing_exceeds_the_threshold_of_equal_values():
    histogram = Histogram()
    histogram.add(np.zeros(100))
    assert histogram.otsu() > 0
