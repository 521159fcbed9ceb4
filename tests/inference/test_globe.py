"""Distances and blocks on the globe."""

import numpy as np
import pytest

from tests.points import scattered
from torchgeo_ext.inference.globe import RADIUS, NearestPlace, blocks


def test_distances_along_great_circles():
    nearest = NearestPlace(np.array([[0.0, 0.0], [90.0, 0.0]]))
    quarter = np.pi / 2 * RADIUS
    found = nearest(np.array([[0.0, 90.0], [1.0, 0.0], [91.0, 0.0], [np.nan, np.nan]]))
    np.testing.assert_allclose(found[:3], [quarter, quarter / 90, quarter / 90])
    assert np.isnan(found[3])


def test_distances_across_the_antimeridian_and_the_pole():
    nearest = NearestPlace(np.array([[179.5, 0.0], [0.0, 89.5]]))
    degree = np.pi / 180 * RADIUS
    found = nearest(np.array([[-179.5, 0.0], [180.0, 89.5]]))
    np.testing.assert_allclose(found, degree, rtol=1e-6)


def test_blocks_are_of_one_size_everywhere():
    """Areas of the blocks of many places, drawn evenly from the sphere."""
    random = np.random.default_rng(0)
    places = np.column_stack(
        [random.uniform(-180, 180, 200_000), np.degrees(np.arcsin(random.uniform(-1, 1, 200_000)))]
    )
    _, counts = np.unique(blocks(places, 2e6), return_counts=True)
    earth = 4 * np.pi * RADIUS**2
    areas = counts / len(places) * earth
    assert len(counts) == pytest.approx(earth / 4e12, rel=0.05)
    middle = np.quantile(areas, [0.1, 0.9])
    assert (middle > 0.8 * 4e12).all()
    assert (middle < 1.2 * 4e12).all()


def test_a_block_holds_neighbours():
    assert len(np.unique(blocks(np.array([[10.0, 50.0], [10.001, 50.001]]), 1e5))) == 1
    # written in two ways
    assert len(np.unique(blocks(np.array([[200.0, 50.0], [-160.0, 50.0]]), 1e5))) == 1


def test_poles_are_in_blocks_too():
    places = np.array([[0.0, 90.0], [120.0, 90.0], [0.0, -90.0], *scattered(100)])
    keys = blocks(places, 5e5)
    assert len(np.unique(keys[:3])) >= 2
    assert (keys >= 0).all()
