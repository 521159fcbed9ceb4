"""Polygons of a user's, of which an operation says something."""

import logging

import numpy as np

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference import Grid
from torchgeo_ext.inference.features import FeatureTable
from torchgeo_ext.inference.zonal import Zones, are_polygons
from torchgeo_ext.operations._operation import ClassEntry, StrPath

log = logging.getLogger(__name__)

#: Of a polygon of which nothing is known.
UNKNOWN: ClassEntry = {'value': 0, 'name': 'unknown', 'color': '#9e9e9e'}


def read_polygons(
    path: StrPath, grid: Grid, argument: str, images: str
) -> tuple[FeatureTable, Zones]:
    """Read polygons and see where they lie.

    Args:
        path: A layer of polygons.
        grid: The pixels of the images.
        argument: The argument it came from, for messages.
        images: What shows them, for messages, such as "the image".

    Returns:
        All features of the layer, and the pixels of those that lie on the grid.

    Raises:
        BadInput: If the layer holds no polygon, or none where the images are.
    """
    features = FeatureTable.read(str(path), argument)
    count = len(features.shapes)
    if not count:
        raise BadInput(f'{argument}: {path} has no features.', 'Choose another layer.')
    if not are_polygons(features.shapes).any():
        raise BadInput(
            f'{argument}: {path} holds {features.geometry_type}, but polygons are needed.',
            'Choose a layer of polygons.',
        )
    _check_reference_systems(path, features.crs, grid, argument)
    zones = Zones(features.shapes, features.crs, grid)
    there = int(np.count_nonzero(zones.covered))
    if not there:
        raise BadInput(
            f'{argument}: none of the {count} features of {path} lies on {images}: '
            f'{tuple(grid.bounds)} ({grid.crs}).',
            f'Choose {argument} of the same place and check all reference systems.',
        )
    if there < count:
        log.warning(
            '%d of %d features of %s lie on %s; the others stay unknown.',
            there, count, argument, images,
        )  # fmt: skip
    return features, zones


def _check_reference_systems(path: StrPath, crs: str | None, grid: Grid, argument: str) -> None:
    if (crs is None) == (grid.crs is None):
        return
    without, other = ('it', 'the images have') if crs is None else ('the image', f'it has {crs}')
    raise BadInput(
        f'{argument}: {path} cannot be put on the images: {without} has no coordinate reference '
        f'system, but {other}.',
        'Assign the right one to both.',
    )
