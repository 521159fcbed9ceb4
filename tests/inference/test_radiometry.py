"""Known relations between two images are found."""

import numpy as np
import pytest

from tests.inference.pairs import simulate
from tests.rasters import write_raster
from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.pairs import PixelPairs
from torchgeo_ext.inference.radiometry import match
from torchgeo_ext.inference.reader import RasterSource


def pairs_of(tmp_path, reference, image, **profile):
    sources = []
    for name, values in (('reference', reference), ('image', image)):
        path = write_raster(tmp_path / f'{name}.tif', values, **profile)
        sources.append(RasterSource(str(path), argument=name))
    return PixelPairs(*sources, sources[0].open().grid)


def test_invariant_pixels_give_the_line_in_spite_of_change(tmp_path):
    pair = simulate()
    image = 0.5 * pair.before + 40
    image[:, pair.changed] = 5000  # strong change would pull every other method
    image += np.random.default_rng(0).normal(0, 0.5, image.shape)
    with pairs_of(tmp_path, pair.before.astype('float32'), image.astype('float32')) as pairs:
        found = match(pairs, 'invariant')
        naive = match(pairs, 'mean_std')
    for gain, offset in found.mapping.lines:
        assert gain == pytest.approx(2, rel=0.02)
        assert offset == pytest.approx(-80, abs=8)
    assert found.remaining < 0.05 * found.difference
    assert abs(naive.mapping.lines[0][0] - 2) > 0.5
    assert found.pixels < (~pair.changed).sum()


def test_equal_spread(tmp_path):
    random = np.random.default_rng(0)
    reference = random.normal(100, 20, (2, 60, 60)).astype('float32')
    with pairs_of(tmp_path, reference, reference * 4 - 7) as pairs:
        found = match(pairs, 'mean_std')
    np.testing.assert_allclose(found.mapping.lines, [(0.25, 1.75)] * 2, rtol=1e-4)
    assert found.remaining < 1e-3


def test_histograms_follow_curves(tmp_path):
    random = np.random.default_rng(0)
    reference = random.gamma(2, 50, (1, 200, 200)).astype('float32')
    with pairs_of(tmp_path, reference, np.sqrt(reference)) as pairs:
        found = match(pairs, 'histogram')
        line = match(pairs, 'mean_std')
    assert found.remaining < 0.02 * found.difference
    assert found.remaining < 0.2 * line.remaining
    # beyond what was seen it goes on rising
    ends = found.mapping(np.array([[0.0, 100.0]]))[0]
    assert ends[0] < reference.min() + 1
    assert ends[1] > reference.max()


def test_invalid_pixels_do_not_count(tmp_path):
    random = np.random.default_rng(0)
    reference = random.normal(100, 20, (1, 60, 60)).astype('float32')
    image = reference * 2
    image[:, :20] = -9999
    with pairs_of(tmp_path, reference, image, nodata=-9999) as pairs:
        found = match(pairs, 'mean_std')
    assert found.mapping.lines[0] == pytest.approx((0.5, 0), abs=1e-3)
    assert found.pixels == 40 * 60


def test_bands_that_have_nothing_in_common(tmp_path):
    values = simulate(bands=2).before[:1].astype('float32')
    with (
        pairs_of(tmp_path, values, -values) as pairs,
        pytest.raises(BadInput, match='Band 1 of image and reference have nothing in common'),
    ):
        match(pairs, 'invariant')


def test_bands_that_are_hardly_related_are_warned_about(tmp_path, caplog):
    random = np.random.default_rng(0)
    reference = random.normal(size=(2, 80, 80))
    image = random.normal(size=reference.shape)
    image = reference * [[[1]], [[0.5]]] + image * [[[0.1]], [[1]]]
    with pairs_of(tmp_path, reference.astype('float32'), image.astype('float32')) as pairs:
        found = match(pairs, 'invariant', confidence=0.1)
    assert found.correlations[0] > 0.95
    warnings = [r.getMessage() for r in caplog.records if r.levelname == 'WARNING']
    assert len(warnings) == 1
    assert (
        f'band 2 of image and reference have a correlation of only {found.correlations[1]:.2f}'
        in (warnings[0])
    )
