"""Quantiles from counts: exact for small integers, bounded for other numbers."""

import numpy as np
import pytest

from torchgeo_ext.inference.histogram import ValueHistogram

SHARES = (0.0, 0.02, 0.1, 0.25, 0.5, 1 / 3, 0.9, 0.98, 1.0)


def counted(values, chunks=7):
    histogram = ValueHistogram(values.dtype)
    for part in np.array_split(values, chunks):
        histogram.add(part)
    return histogram


@pytest.mark.parametrize('dtype', ['uint8', 'int8', 'uint16', 'int16'])
def test_integers_are_exact(dtype):
    limits = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(limits.min, limits.max, 999, dtype, endpoint=True)
    histogram = counted(values)
    assert histogram.exact
    assert histogram.count == 999
    for share in SHARES:
        assert histogram.quantile(share) == pytest.approx(np.quantile(values, share), rel=1e-12)


def random_values(kind):
    normal = np.random.default_rng(1).normal(size=2000)
    return {
        'reflectance': (0.2 + 0.05 * normal).astype('float32'),
        'decibel': (-12 + 4 * normal).astype('float32'),
        'both signs': normal,
        'wide': np.exp(20 * normal),
        'tiny': (1e-42 * np.abs(normal)).astype('float32'),
        'long': (1e9 * np.abs(normal)).astype('int64'),
        'huge': normal * 1e300,
    }[kind]


@pytest.mark.parametrize('kind', ['reflectance', 'decibel', 'both signs', 'wide', 'long'])
def test_other_numbers_are_within_a_thousandth(kind):
    values = random_values(kind)
    histogram = counted(values)
    assert not histogram.exact
    for share in SHARES:
        # the order statistics on both sides are met to 1/1024 each
        near = (
            np.quantile(values, share, method='lower'),
            np.quantile(values, share, method='higher'),
        )
        allowed = max(abs(near[0]), abs(near[1])) / 1000
        assert abs(histogram.quantile(share) - np.quantile(values, share)) <= allowed


@pytest.mark.parametrize('kind', ['tiny', 'huge'])
def test_ends_of_the_range_do_no_harm(kind):
    histogram = counted(random_values(kind))
    assert np.isfinite(histogram.quantile(0.5))


def test_order_of_arrival_does_not_matter():
    values = random_values('both signs')
    assert counted(values).quantile(0.3) == counted(values[::-1], 3).quantile(0.3)


def test_a_constant_and_nothing():
    assert counted(np.full(5, 7, 'uint8')).quantile(0.5) == 7
    histogram = ValueHistogram('float32')
    histogram.add(np.zeros(0, 'float32'))
    assert histogram.count == 0
