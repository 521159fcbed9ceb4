"""RANGE: what a memory tells of a place."""

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.location import embed_coordinates
from torchgeo_ext.models.location import location_encoder
from torchgeo_ext.models.range import RANGE, read_memory

PLACES = np.array([(7, 47), (8, 47), (-70, -33), (151, -34), (0, 90)], float)


@pytest.fixture
def encoder():
    return location_encoder('location_harmonics', legendre_polys=3)


@pytest.fixture
def path(encoder, tmp_path):
    keys = encoder(torch.from_numpy(PLACES)).numpy()
    path = tmp_path / 'memory.npz'
    arrays = {'locs': PLACES, 'satclip_embeddings': 5 * keys, 'image_embeddings': np.eye(5, 4)}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize('near', [0, 0.5, 1])
def test_what_is_looked_up(encoder, path, near):
    model = RANGE(encoder, read_memory(path), near)
    query = np.array([(7.2, 46.5), (-60, 20)])
    found = embed_coordinates(model, query)
    assert found.shape == (2, 4 + 9)
    own, keys = (encoder(torch.from_numpy(places)).double().numpy() for places in (query, PLACES))
    own, keys = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (own, keys))
    np.testing.assert_allclose(found[:, 4:], own, atol=1e-6)
    alike = np.exp((12 if near else 15) * own @ keys.T)
    (east, north), (to_east, to_north) = np.radians(query).T, np.radians(PLACES).T
    step = np.cos(east[:, None] - to_east)
    cosine = np.sin(north)[:, None] * np.sin(to_north)
    cosine += np.cos(north)[:, None] * np.cos(to_north) * step
    close = np.exp(40 * cosine)
    shares = [weights / weights.sum(axis=1, keepdims=True) for weights in (alike, close)]
    expected = ((1 - near) * shares[0] + near * shares[1]) @ np.eye(5, 4)
    np.testing.assert_allclose(found[:, :4], expected, atol=1e-5)


def test_what_is_no_memory(encoder, path, tmp_path):
    memory = read_memory(path)
    with pytest.raises(BadParameter, match='near is 2'):
        RANGE(encoder, memory, 2)
    with pytest.raises(BadParameter, match='keys have 9 numbers, but vectors of the encoder 4'):
        RANGE(location_encoder('location_wrap'), memory)
    with pytest.raises(BadInput, match='swap the columns'):
        RANGE(encoder, memory._replace(places=memory.places.flip(1)))
    wrong = tmp_path / 'wrong.npz'
    wrong.write_bytes(b'nothing')
    with pytest.raises(BadInput, match='is no memory of places'):
        read_memory(wrong)
    np.savez(wrong, locs=PLACES)
    with pytest.raises(BadInput, match='satclip_embeddings'):
        read_memory(wrong)
    objects = np.array([{'any': 'object'}], dtype=object)
    np.savez(wrong, locs=objects, satclip_embeddings=PLACES, image_embeddings=PLACES)
    with pytest.raises(BadInput, match='allow_pickle=False'):
        read_memory(wrong)
    np.savez(wrong, locs=PLACES[:4], satclip_embeddings=PLACES, image_embeddings=PLACES)
    with pytest.raises(BadInput, match='has 4 places, 5 vectors of them and 5 of images'):
        read_memory(wrong)
