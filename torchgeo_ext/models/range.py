"""RANGE: what images show at places like this one, looked up in a memory.

Dhakal, A. et al. (2025). RANGE: retrieval augmented neural fields for multi-resolution
geo-embeddings. CVPR. https://arxiv.org/abs/2502.19781

The published code (https://github.com/mvrl/RANGE) has no licence. Its memory, 100,000 vectors of
SatCLIP with those of the images there, is published on
https://huggingface.co/datasets/mvrl/RANGE-database (``range_db_large.npz``, ``range_db_med.npz``)
and read from a file of the user's own.

Axes: n places, m entries of the memory, d features.
"""

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models._location import LocationEncoder, canonical, check_coordinates

#: How sharply alike vectors count, alone and beside near places, and near places.
_ALONE, _BESIDE, _NEAR = 15.0, 12.0, 40.0
_ARRAYS = ('locs', 'satclip_embeddings', 'image_embeddings')


class Memory(NamedTuple):
    """Places with what is known of them.

    Attributes:
        places: Longitude and latitude (m, 2) in degrees, float64.
        keys: Vectors of the places (m, d).
        values: Vectors of the images there (m, e).
    """

    places: Tensor
    keys: Tensor
    values: Tensor


def read_memory(path: str | Path) -> Memory:
    """Read a memory as it is published.

    Args:
        path: A file of NumPy's (npz) with ``locs``, ``satclip_embeddings`` and
            ``image_embeddings``.

    Returns:
        The memory.

    Raises:
        BadInput: If the file is no such file, or its arrays do not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            places, keys, values = (np.asarray(arrays[name]) for name in _ARRAYS)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise BadInput(
            f'{path} is no memory of places ({error}).',
            f'Give an npz file with plain arrays {", ".join(_ARRAYS)}.',
        ) from error
    if not len(places) == len(keys) == len(values) > 0:
        raise BadInput(
            f'{path} has {len(places)} places, {len(keys)} vectors of them and {len(values)} of '
            'images.',
            'Each place needs one of either.',
        )
    return Memory(*(torch.from_numpy(a) for a in (places.astype(np.float64), keys, values)))


class RANGE(LocationEncoder):
    """An encoder of places, and before its vectors those of images at places alike.

    Args:
        encoder: What made the keys of the memory: SatCLIP with 40 degrees and a ViT in the
            published one.
        memory: See :func:`read_memory`.
        near: How much near places count beside alike ones, 0 to 1; 0.5 is called RANGE+, and 0 is
            RANGE.

    Raises:
        BadParameter: If ``near`` is no share, or the keys are not of the encoder's length.
        BadCoordinates: If a place of the memory is none.
    """

    #: Similarities to 100,000 entries.
    batch_size = 512
    keys: Tensor
    values: Tensor
    directions: Tensor

    def __init__(self, encoder: LocationEncoder, memory: Memory, near: float = 0.5) -> None:
        if not 0 <= near <= 1:
            raise BadParameter(f'near is {near}.', 'Give a share from 0 to 1.')
        if memory.keys.shape[1] != encoder.embed_dim:
            raise BadParameter(
                f'memory: its keys have {memory.keys.shape[1]} numbers, but vectors of the encoder '
                f'{encoder.embed_dim}.',
                'Give the encoder that the memory was made with.',
            )
        check_coordinates(memory.places)
        super().__init__(memory.values.shape[1] + encoder.embed_dim)
        self.encoder, self.near = encoder, near
        like = encoder.like
        directions = _directions(*canonical(memory.places))
        # not part of the weights
        self.register_buffer('keys', F.normalize(memory.keys.to(like), dim=1), persistent=False)
        self.register_buffer('values', memory.values.to(like), persistent=False)
        self.register_buffer('directions', directions.to(like), persistent=False)

    def encode(self, longitude: Tensor, latitude: Tensor) -> Tensor:
        """See :class:`LocationEncoder`; vectors of images first, then those of length 1."""
        vectors = F.normalize(self.encoder.encode(longitude, latitude), dim=1)
        sharpness = _BESIDE if self.near else _ALONE
        weights = (sharpness * vectors @ self.keys.T).softmax(dim=1)
        if self.near:
            there = _directions(longitude, latitude).to(vectors) @ self.directions.T
            weights = torch.lerp(weights, (_NEAR * there).softmax(dim=1), self.near)
        return torch.cat([weights @ self.values, vectors], dim=1)


def _directions(longitude: Tensor, latitude: Tensor) -> Tensor:
    """Give the unit vectors (n, 3) of places, whose products are cosines of distances."""
    east, north = torch.deg2rad(longitude), torch.deg2rad(latitude)
    return torch.stack([north.cos() * east.cos(), north.cos() * east.sin(), north.sin()], dim=1)
