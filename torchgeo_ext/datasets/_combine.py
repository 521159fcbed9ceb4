"""Joins datasets of one place: more bands, labels, or more scenes.

TorchGeo concatenates all that two datasets give, their ``bounds`` and ``transform`` too, and
resamples both. Here the first dataset rules: its pixels, its windows, its dates.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.windows import Window
from torchgeo.datasets import GeoDataset

from torchgeo_ext.datasets._classes import IGNORE, LabelClass
from torchgeo_ext.datasets._dates import ALWAYS
from torchgeo_ext.datasets._features import project
from torchgeo_ext.datasets._geometry import project_box, window_in
from torchgeo_ext.datasets._scene import Layer, Pixels, Scene
from torchgeo_ext.datasets.vector_labels import VectorLabels
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid

if TYPE_CHECKING:
    from torchgeo_ext.datasets._scene_dataset import SceneDataset


def intersect[D: 'SceneDataset'](first: D, second: GeoDataset, *, spatial_only: bool = False) -> D:
    """Add the bands or the labels of another dataset to one's own, as ``first & second`` does.

    The result has the scenes of ``first`` where ``second`` is too, cut to what they share, on the
    grids of ``first``. Images of ``second`` are brought onto them and add their bands after those
    of ``first``; a dataset of one date adds them to every date. ``mask_valid`` holds where both
    have a measurement, ``bounds`` and ``transform`` are those of ``first``.

    Args:
        first: The dataset whose pixels count.
        second: A dataset of this package, or any GeoDataset whose samples have ``image`` or
            ``mask`` (then in the reference system of ``first``).
        spatial_only: Whether images of other times belong together too.

    Raises:
        BadInput: If they share no place or no time.
        BadParameter: If both have labels, or different numbers of dates.
    """
    layer: Layer | VectorLabels
    if isinstance(second, VectorLabels):
        layer = second
    elif isinstance(second, Layer):
        layer = _AnyTime(second) if spatial_only else second
    else:
        layer = _TorchGeoLayer(first, second)
    _check_labels(first, layer)
    crs = None if first.crs is None else CRS.from_user_input(first.crs)
    return first.with_scenes(
        [
            _with_layer(first.scenes[number], layer, place, crs)
            for number, place in _shared(first, second, crs, spatial_only).items()
        ]
    )


def unite[D: 'SceneDataset'](first: D, second: GeoDataset) -> D:
    """Put the scenes of two datasets beside each other, as ``first | second`` does.

    Where they overlap, nothing is mixed: a slice is answered as if all files had been given to one
    dataset, those of ``first`` before those of ``second``.

    Raises:
        BadParameter: If they differ in kind, bands, dates or classes.
    """
    if type(second) is not type(first):
        raise BadParameter(
            f'{type(first).__name__} and {type(second).__name__} cannot be united.',
            'Unite datasets of one kind; "&" adds the bands or labels of another kind.',
        )
    for what in ('bands', 'dates', 'classes', 'mask_layers', 'map_classes'):
        ours, theirs = getattr(first, what), getattr(second, what)
        if ours != theirs:
            raise BadParameter(
                f'The datasets have different {what}: {ours} and {theirs}.',
                'Give the same labels and classes to both, and choose common bands.',
            )
    return first.with_scenes([*first.scenes, *second.scenes])


def _check_labels(first: 'SceneDataset', layer: Layer | VectorLabels) -> None:
    if first.labelled and layer.labelled:
        raise BadParameter(
            'Both datasets have labels.', 'Leave them out of one of the two datasets.'
        )
    if not isinstance(layer, VectorLabels) and layer.dates not in (1, first.dates):
        raise BadParameter(
            f'One dataset has {first.dates} dates, the other {layer.dates}.',
            'Combine datasets of the same dates, or one of a single date as the second.',
        )


def _shared(
    first: 'SceneDataset', second: GeoDataset, crs: CRS | None, spatial_only: bool
) -> dict[int, shapely.Geometry]:
    """Give, by scene, the place that two datasets share."""
    left, _, right, _ = first.index.total_bounds
    outlines = project(second.index.geometry, crs, (left + right) / 2)
    times, tree = second.index.index, shapely.STRtree(outlines)
    found: dict[int, shapely.Geometry] = {}
    somewhere = False
    rows = zip(first.scene_numbers, first.index.geometry, first.index.index, strict=True)
    for number, place, time in rows:
        near = tree.query(place, predicate='intersects')
        near = near[shapely.area(shapely.intersection(outlines[near], place)) > 0]
        somewhere |= len(near) > 0
        if not spatial_only:
            near = near[times[near].overlaps(time)]
        if len(near):
            shared = place & shapely.union_all(outlines[near])
            found[int(number)] = found.get(int(number), shared) | shared
    if not found:
        what = 'time' if somewhere else 'place'
        hint = 'intersect(first, second, spatial_only=True) ignores time.' if somewhere else ''
        raise BadInput(f'The datasets share no {what}.', hint or 'Check both reference systems.')
    return found


def _with_layer(
    scene: Scene, layer: Layer | VectorLabels, place: shapely.Geometry, crs: CRS | None
) -> Scene:
    """Cut a scene to a place and add a layer."""
    grid = scene.grid
    window = window_in(grid, project_box(place.bounds, crs, grid.crs, grid.bounds.left))
    scene = scene.moved(grid if window is None else grid.part(window))
    if isinstance(layer, VectorLabels):
        return replace(scene, labels=layer.labels)
    return replace(scene, layers=(*scene.layers, layer))


class _AnyTime:
    """A layer that is there at all times."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.dates, self.labelled, self.classes = layer.dates, layer.labelled, layer.classes
        self.bands, self.wavelengths = layer.bands, layer.wavelengths

    def on(self, grid: Grid, time: pd.Interval) -> Callable[[Window], Pixels]:
        """Prepare reading windows of a grid."""
        return self.layer.on(grid, ALWAYS)


class _TorchGeoLayer:
    """A dataset of TorchGeo, or of anybody else, that is asked for exactly the pixels needed.

    Args:
        first: The dataset it shall fit.
        dataset: The dataset; it takes over the reference system and resolution of ``first``.
    """

    dates = 1
    classes: tuple[LabelClass, ...] = ()

    def __init__(self, first: 'SceneDataset', dataset: GeoDataset) -> None:
        dataset.crs, dataset.res = first.crs, first.res
        self.dataset = dataset
        x, y, t = dataset.bounds
        pixel = slice(x.start, x.start + x.step), slice(y.start, y.start + y.step)
        sample = self.dataset[(*pixel, t)]
        self._count = sample['image'].shape[0] if 'image' in sample else 0
        self.labelled = 'mask' in sample
        self.bands = tuple(f'{type(dataset).__name__} {n}' for n in range(1, self._count + 1))
        self.wavelengths = np.full(self._count, np.nan, dtype=np.float32)

    def on(self, grid: Grid, time: pd.Interval) -> Callable[[Window], Pixels]:
        """Prepare reading; TorchGeo knows no validity, so all of a patch found counts."""
        if (
            grid.crs != CRS.from_user_input(self.dataset.crs)
            or grid.transform.b
            or grid.transform.d
        ):
            raise BadInput(
                f'{type(self.dataset).__name__} cannot be read on a grid in {grid.crs}.',
                'Give rasters of one reference system, or read the files with TiledRaster.',
            )
        x_size, y_size = grid.resolution

        def read(window: Window) -> Pixels:
            left, bottom, right, top = grid.part(window).bounds
            shape = window.height, window.width
            image = np.zeros((1, self._count, *shape), dtype=np.float32)
            mask: NDArray[np.int64] = np.full(shape, IGNORE)
            try:
                sample = self.dataset[
                    slice(left, right, x_size),
                    slice(bottom, top, y_size),
                    slice(time.left, time.right),
                ]
            except IndexError:
                return Pixels(image, np.zeros((1, *shape), dtype=bool), mask)
            if self._count:
                image[0] = sample['image'].numpy()
            if self.labelled:
                mask[:] = sample['mask'].numpy().reshape(shape)
            return Pixels(image, np.ones((1, *shape), dtype=bool), mask)

        return read
