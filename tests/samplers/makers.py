"""Makes small datasets without files, for samplers that only look at where pixels are."""

from types import SimpleNamespace

import geopandas
import numpy as np
import pandas as pd
import shapely
import torch
from affine import Affine
from rasterio.crs import CRS
from torchgeo.datasets import GeoDataset

from tests.datasets.makers import CORNER
from tests.rasters import UTM
from torchgeo_ext.inference.grid import Grid

#: An acquisition as long as a day.
DAY = pd.Timedelta(hours=23)


def grid_of(height, width, row=0, column=0, resolution=10.0, crs=UTM, corner=CORNER):
    x, y = corner
    transform = Affine(resolution, 0, x + column * resolution, 0, -resolution, y - row * resolution)
    return Grid(CRS.from_string(crs), transform, width, height)


class Plain(GeoDataset):
    """Knows where its rasters are; a sample holds nothing but ones."""

    def __init__(self, *grids, dates=None, crs=None):
        first = crs or grids[0].crs
        outlines = [
            geopandas.GeoSeries([shapely.box(*grid.bounds)], crs=grid.crs).to_crs(first).iloc[0]
            for grid in grids
        ]
        starts = pd.to_datetime(dates or ['2020-01-01'] * len(grids))
        index = pd.IntervalIndex.from_arrays(starts, starts + DAY, closed='both', name='datetime')
        self.index = geopandas.GeoDataFrame(index=index, geometry=outlines, crs=first)
        self._res = grids[0].resolution
        self._grids = grids

    def __getitem__(self, index):
        x, y, _ = self._disambiguate_slice(index)
        height = round((y.stop - y.start) / self.res[1])
        width = round((x.stop - x.start) / self.res[0])
        return {'image': torch.ones(1, height, width)}


class Land(Plain):
    """Rasters that are read one by one; the bands of a sample are raster, row and column."""

    def __init__(self, *grids, valid=None, mask=None, **kwargs):
        super().__init__(*grids, **kwargs)
        self._valid = valid or [np.ones(grid.shape, bool) for grid in grids]
        self._mask = mask or [np.zeros(grid.shape, np.int64) for grid in grids]

    @property
    def grids(self):
        return self._grids

    def pixels(self, scene, window):
        slices = window.toslices()
        return SimpleNamespace(valid=self._valid[scene][slices], mask=self._mask[scene][slices])

    def __getitem__(self, index):
        rows, columns = np.mgrid[index.window.toslices()]
        return {'image': torch.tensor(np.stack([np.full_like(rows, index.scene), rows, columns]))}


def cuts(sampler):
    """Raster, first column, first row, width and height of what a sampler yields."""
    return [(cut.scene, *cut.window.flatten()) for cut in sampler.cuts()]


def counted(sampler, part='window'):
    """How often each pixel of each raster is in a patch."""
    counts = [np.zeros(grid.shape, int) for grid in sampler.place.grids]
    for cut in sampler.cuts():
        window = getattr(cut, part)
        rows, columns = window.toslices()
        counts[cut.scene][
            max(0, rows.start) : max(0, rows.stop), max(0, columns.start) : max(0, columns.stop)
        ] += 1
    return counts
