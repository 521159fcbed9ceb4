"""Vectors of many places and of grids: the same in any batches, by rows or point by point."""

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadInput, Canceled
from torchgeo_ext.inference.location import embed_coordinates, embed_grid_rows, stream_coordinates
from torchgeo_ext.models.location import location_encoder


@pytest.fixture
def places():
    return np.random.default_rng(0).uniform((-180, -90), (180, 90), (103, 2))


@pytest.fixture(params=['location_fourier', 'satclip_vit16_l10'])
def encoder(request):
    torch.manual_seed(0)
    return location_encoder(request.param)


def test_batches_do_not_matter(encoder, places):
    encoder.train()
    whole = embed_coordinates(encoder, places, device='cpu')
    assert encoder.training  # as it was, but nothing was left out
    assert whole.dtype == np.float32
    assert whole.shape == (103, encoder.embed_dim)
    told = []
    parts = embed_coordinates(
        encoder, places, batch_size=10, on_progress=lambda done, text: told.append(done)
    )
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert told == sorted(told)
    assert told[-1] == 1
    streamed = stream_coordinates(encoder, (places[i : i + 40] for i in range(0, 103, 40)))
    np.testing.assert_allclose(np.concatenate([*streamed]), whole, atol=1e-5)
    assert embed_coordinates(encoder, np.empty((0, 2))).shape == (0, encoder.embed_dim)


def test_wrong_places_are_found_before_any_work(encoder, places):
    places[-1] = np.nan
    with pytest.raises(BadInput, match='row 102 is'):
        embed_coordinates(encoder, places, on_progress=pytest.fail)


def test_grids(encoder):
    across, down = np.linspace(-179.5, 179.5, 21), np.linspace(89.5, -89.5, 7)
    vectors = np.empty((7, 21, encoder.embed_dim), np.float32)
    for rows, block in embed_grid_rows(encoder.train(), across, down):
        vectors[rows] = block
    assert encoder.training
    points = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    expected = embed_coordinates(encoder, points).reshape(vectors.shape)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_grids_in_blocks_of_rows(encoder, monkeypatch):
    monkeypatch.setattr('torchgeo_ext.inference.location._CELLS', 25)
    told = []
    blocks = embed_grid_rows(
        encoder, [0, 90, 270] * 4, [10, 0, -90], on_progress=lambda done, _: told.append(done)
    )
    rows, vectors = zip(*blocks, strict=True)
    assert rows == (slice(0, 2), slice(2, 3))
    assert vectors[0].shape == (2, 12, encoder.embed_dim)
    np.testing.assert_allclose(
        vectors[1][0], np.broadcast_to(vectors[1][0, :1], vectors[1][0].shape), atol=2e-6
    )
    assert told == [2 / 3, 1]


def test_grids_beyond_the_poles(encoder):
    with pytest.raises(BadInput, match='from -90 to 90 degrees'):
        next(embed_grid_rows(encoder, [0], [90.5]))


def test_canceling(encoder, places):
    def cancel(done, text):
        raise Canceled

    with pytest.raises(Canceled):
        embed_coordinates(encoder, places, on_progress=cancel)
