import numpy as np
import pytest

from tests.samplers.makers import Land, counted, grid_of
from torchgeo_ext.samplers import (
    PairSampler,
    SeededRandomSampler,
    TiledSampler,
    coverage,
    plot_coverage,
)


@pytest.fixture
def land():
    return Land(grid_of(64, 80), grid_of(10, 12, row=70))


@pytest.mark.parametrize('sampler_class', [SeededRandomSampler, PairSampler])
def test_counts_every_pixel(land, sampler_class):
    sampler = sampler_class(land, size=16, length=50, seed=0)
    sampler.set_epoch(7)
    found = coverage(sampler, epochs=3)
    expected = [np.zeros(grid.shape) for grid in land.grids]
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for total, count in zip(expected, counted(sampler), strict=True):
            total += count
    for (grid, count), total, own in zip(found, expected, land.grids, strict=True):
        assert grid == own
        np.testing.assert_allclose(count, total)


def test_leaves_the_epoch_as_it_was(land):
    sampler = SeededRandomSampler(land, size=16, length=5, seed=0)
    sampler.set_epoch(7)
    coverage(sampler, epochs=2)
    assert sampler.epoch == 7


def test_large_rasters_are_binned():
    land = Land(grid_of(1000, 2000))
    ((grid, count),) = coverage(TiledSampler(land, size=100, overlap=50))
    assert grid.shape == count.shape == (512, 512)
    assert grid.bounds == pytest.approx(land.grids[0].bounds)
    # four tiles share the middle; the corners belong to one
    assert count[200, 200] == pytest.approx(4)
    assert count[0, 0] == pytest.approx(1)
    tiles = len(TiledSampler(land, size=100, overlap=50))
    assert count.mean() * 1000 * 2000 == pytest.approx(tiles * 100 * 100)


def test_is_drawn(land):
    foreign = grid_of(20, 20, crs='EPSG:4326', corner=(15.0, 47.85), resolution=1e-4)
    sampler = TiledSampler(Land(*land.grids, foreign), size=8)
    figure = plot_coverage(sampler)
    axes = figure.axes[0]
    assert len(axes.collections) == 3
    assert (axes.collections[0].get_array() == 1).all()
    assert axes.get_title().startswith('TiledSampler')


def test_rasters_of_one_place_are_drawn_together():
    sampler = TiledSampler(Land(grid_of(64, 80), grid_of(64, 80)), size=16)
    axes = plot_coverage(sampler).axes[0]
    assert [drawn.get_array().min() for drawn in axes.collections] == [2]
