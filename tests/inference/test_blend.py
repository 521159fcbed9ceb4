"""Merging tiles: exact for every size, stride and strip."""

import numpy as np
import pytest
import torch
from affine import Affine

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.blend import Blend, check_merge, make_merger, needed_columns
from torchgeo_ext.inference.grid import Grid

TILE = 8


def merge(merge, image, overlap, predict=lambda tile: tile, strip=None, skip=None):
    """Cut an image (k, h, w) into tiles, predict and merge them."""
    _, height, width = image.shape
    tiling = Grid(None, Affine.identity(), width, height).tiles(TILE, overlap)
    strip = strip or range(width)
    columns = needed_columns(merge, tiling.x, strip.start, strip.stop)
    merger = make_merger(merge, tiling, columns)
    result, times = torch.full_like(image, torch.nan), np.zeros((height, width), int)
    for tile in tiling:
        if tile.column not in columns:
            continue
        rows, cols = tile.window.toslices()
        padded = torch.zeros(len(image), TILE, TILE)
        padded[:, : tile.window.height, : tile.window.width] = image[:, rows, cols]
        live = skip is None or not skip[rows, cols].all()
        piece = merger.add(tile, predict(padded) if live else None)
        there = piece.window.toslices()
        times[there] += 1
        result[(slice(None), *there)] = torch.nan if piece.scores is None else piece.scores
    inside = slice(strip.start, strip.stop)
    assert (times[:, inside] == 1).all()
    return result[..., inside]


SIZES = [(n, (5 * n) % 32 + 1) for n in range(1, 4 * TILE + 1)]


@pytest.mark.parametrize('overlap', range(TILE))
def test_cropped_identity_is_identical(overlap):
    for height, width in [*SIZES, *((w, h) for h, w in SIZES)]:
        image = torch.rand(2, height, width)
        assert torch.equal(merge('crop', image, overlap), image), (height, width)


@pytest.mark.parametrize('overlap', range(TILE))
def test_blended_identity_is_identical_but_for_rounding(overlap):
    # torchgeo.md section 2: peers lose the outermost ring or raise at some sizes
    for height, width in [*SIZES, *((w, h) for h, w in SIZES)]:
        image = torch.rand(2, height, width)
        torch.testing.assert_close(
            merge('blend', image, overlap), image, rtol=3e-7, atol=0, msg=f'{height} x {width}'
        )


@pytest.mark.parametrize('overlap', range(TILE))
def test_blended_powers_of_two_are_exact(overlap):
    for height, width in SIZES:
        for constant in (1.0, 0.5, -1024.0):
            image = torch.full((1, height, width), constant)
            assert torch.equal(merge('blend', image, overlap), image), (height, width)


def test_blending_is_the_weighted_mean_of_all_tiles():
    torch.manual_seed(0)
    height, width, overlap = 21, 30, 5
    tiling = Grid(None, Affine.identity(), width, height).tiles(TILE, overlap)
    scores = {(t.row, t.column): torch.rand(3, TILE, TILE) for t in tiling}
    expected = torch.zeros(3, height, width)
    for tile in tiling:
        weights = np.outer(tiling.y.weights[tile.row], tiling.x.weights[tile.column])
        rows, columns = tile.window.toslices()
        expected[:, rows, columns] += scores[tile.row, tile.column] * torch.from_numpy(weights)
    each = iter(scores.values())
    found = merge('blend', torch.zeros(3, height, width), overlap, lambda _: next(each))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('mode', ['crop', 'blend'])
@pytest.mark.parametrize('overlap', [0, 3, 6])
def test_strips_of_columns_are_parts_of_the_whole(mode, overlap):
    image = torch.rand(2, 19, 45)

    def edges_differ(tile):
        return tile + torch.linspace(0, 1, TILE)

    whole = merge(mode, image, overlap, edges_differ)
    for strip in (range(16), range(16, 32), range(32, 45)):
        part = merge(mode, image, overlap, edges_differ, strip)
        assert torch.equal(part, whole[..., strip.start : strip.stop]), strip


@pytest.mark.parametrize('overlap', [0, 3, 6])
def test_skipped_tiles_leave_valid_pixels_untouched(overlap):
    image = torch.rand(2, 40, 45)
    skip = np.ones((40, 45), bool)
    skip[:6, 30:] = skip[20:, :20] = skip[39, 44] = False
    found = merge('blend', image, overlap, skip=skip)
    torch.testing.assert_close(found[:, ~skip], image[:, ~skip], rtol=3e-7, atol=0)


def test_only_open_rows_are_kept():
    tiling = Grid(None, Affine.identity(), 64, 64).tiles(TILE, 2)
    blend = Blend(tiling, range(len(tiling.x.starts)))
    for tile in tiling:
        blend.add(tile, torch.rand(3, TILE, TILE))
    # 64 = 8 + 9 * 6 + 2: the last tile is shifted back and shares more
    assert blend._open_rows.shape == (3, 6, 64)


def test_unknown_way_to_merge():
    with pytest.raises(BadParameter, match="merge: 'mean'"):
        check_merge('mean')
