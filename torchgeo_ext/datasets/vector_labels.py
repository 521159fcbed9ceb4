"""Labels from a vector layer, rasterised where and when they are asked for."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import geopandas
import pandas as pd
import pyproj
import shapely
import torch
from affine import Affine
from rasterio.crs import CRS
from torchgeo.datasets import GeoDataset
from torchgeo.datasets.utils import GeoSlice, Path, Sample

from torchgeo_ext.datasets._dates import ALWAYS
from torchgeo_ext.datasets._features import read_features
from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._labels import LabelOptions, Labels, make_labels, open_labels
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, silent


class VectorLabels(GeoDataset):
    """Polygons, lines or points as labels.

    The file is read once; what a patch needs is found through an R-tree and rasterised. By itself
    it gives masks at ``res``; as ``labels`` of :class:`TiledRaster`, or combined with one by
    ``&``, its masks lie on the pixels of the images.

    Where features overlap, the later one in the file counts.

    Args:
        path: The layer: a file, or ``path|layername=name``.
        class_field: Field with the class, text (numbered from 1 in alphabetical order) or whole
            numbers. Without one, what features cover is class 1 and the rest class 0.
        ignore_value: Class of features that mean "not labelled".
        background: Class value of what no feature covers; without one that has no label.
        buffer: Metres to widen features by, on both sides of lines and around points, which need
            it. It is measured in the UTM zone of each feature.
        all_touched: Whether a feature takes all pixels it touches, not only those whose centre
            it covers.
        res: Size of pixels in units of ``crs``, for use by itself.
        crs: Reference system of slices; that of the file if not given.
        transforms: Called with each sample.

    Raises:
        BadInput: If the layer has no features, no reference system, or features without class.
        BadParameter: If the field does not exist or ``buffer`` is negative.
    """

    #: Whether samples have a ``mask``.
    labelled = True

    def __init__(
        self,
        path: Path,
        *,
        class_field: str | None = None,
        ignore_value: int | str | None = None,
        background: int | None = None,
        buffer: float | None = None,
        all_touched: bool = False,
        res: float | tuple[float, float] = 1.0,
        crs: Any = None,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        if buffer is not None and buffer < 0:
            raise BadParameter(f'buffer: {buffer} m is negative.', 'Give metres to widen by.')
        features = read_features(str(path), class_field, buffer=buffer)
        options = LabelOptions(class_field=class_field, ignore_value=ignore_value)
        self.labels = make_labels(features, options, background=background, all_touched=all_touched)
        if self.labels.geometry.empty:
            raise BadInput(
                f'labels: no feature of {path} is left besides ignore_value {ignore_value}.',
                'Check ignore_value.',
            )
        self.classes = self.labels.classes
        self.transforms = transforms
        self.paths = [str(path)]
        self._res = (res, res) if isinstance(res, int | float) else res
        box = shapely.box(*self.labels.geometry.total_bounds)
        self.index = geopandas.GeoDataFrame(
            {'filepath': [str(path)]},
            index=pd.IntervalIndex([ALWAYS], closed='both', name='datetime'),
            geometry=[box],
            crs=features.frame.crs,
        )
        if crs is not None:
            self.index = self.index.to_crs(pyproj.CRS.from_user_input(crs))

    def __getitem__(self, index: GeoSlice) -> Sample:
        """Rasterise a patch.

        Args:
            index: ``[xmin:xmax:xres, ymin:ymax:yres, tmin:tmax]`` in ``crs``; time plays no role.

        Returns:
            ``mask`` int64 (h, w) with positions in ``classes`` (-1 = no label), and as float64
            ``bounds`` and ``transform`` (9 numbers each).

        Raises:
            IndexError: If the patch lies outside of the bounds of all features.
        """
        x, y, t = self._disambiguate_slice(index)
        if not self.index.intersects(shapely.box(x.start, y.start, x.stop, y.stop)).any():
            raise IndexError(f'index: {index} not found in dataset with bounds: {self.bounds}')
        width = max(1, round((x.stop - x.start) / x.step))
        height = max(1, round((y.stop - y.start) / y.step))
        crs = None if self.crs is None else CRS.from_user_input(self.crs)
        grid = Grid(crs, Affine(x.step, 0, x.start, 0, -y.step, y.stop), width, height)
        numbers = (x.start, x.stop, x.step, y.start, y.stop, y.step)
        times = (t.start.timestamp(), t.stop.timestamp(), t.step)
        sample: Sample = {
            'mask': torch.from_numpy(self.labels.on(grid)(grid.window)),
            'bounds': torch.tensor((*numbers, *times), dtype=torch.float64),
            'transform': torch.tensor(tuple(grid.transform), dtype=torch.float64),
        }
        return sample if self.transforms is None else self.transforms(sample)

    def __and__(self, other: GeoDataset) -> GeoDataset:  # type: ignore[override]
        """Give labels to the images of another dataset; its pixels count."""
        if isinstance(other, VectorLabels):
            raise BadParameter('Both datasets are labels.', 'Combine labels with images.')
        return other & self

    def __or__(self, other: GeoDataset) -> NoReturn:
        """Labels have no union: their classes are numbered by layer."""
        raise BadParameter(
            'Vector labels cannot be united.', 'Put the features into one layer instead.'
        )


def labels_for(
    labels: Paths | VectorLabels | None,
    grids: Sequence[Grid],
    options: LabelOptions,
    *,
    change: bool = False,
    progress: Progress = silent,
) -> Labels | None:
    """Open what a dataset is given as labels."""
    if labels is None:
        return None
    if isinstance(labels, VectorLabels):
        return labels.labels
    return open_labels(labels, grids, options, change=change, progress=progress)
