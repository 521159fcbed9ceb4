"""Data module for one's own image series."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datamodules import _plots
from torchgeo_ext.datamodules.geotiff import GeoTIFFDataModule, Paths, under
from torchgeo_ext.datasets import RasterSeries


class SeriesDataModule(GeoTIFFDataModule):
    """Training patches and tiles of one's own rasters of many dates, for ``SeriesSegmentation``.

    It is :class:`GeoTIFFDataModule` for :class:`~torchgeo_ext.datasets.RasterSeries`: a sample has
    all dates of a place, and the same blocks of land are held out at all of them. Bands are
    standardised with the mean and standard deviation over all dates of the training blocks; pixels
    without measurement, behind clouds and dates without image become 0.

    In YAML::

        data:
          class_path: SeriesDataModule
          init_args: {images: scenes/*.tif, clouds: scl/*.tif, cloud_values: [3, 8, 9, 10]}
          dict_kwargs: {labels: crops.gpkg, class_field: crop, patch_size: 64}

    Args:
        images: Rasters of one place at many dates: files, folders, or names with * and ?. A list of
            such lists is one of several places.
        root: Folder that relative paths start from.
        clouds: Cloud masks with dates as ``images`` have them, given likewise.
        cloud_values: Values of these that mean cloud.
        cloud_bits: Bits of these, from 0, that mean cloud.
        overpass: Minutes; images of a place that begin at most so much after the first of them are
            one date.
        date_pattern: How the date is written in file names, if it is not found by itself.
        **kwargs: Further arguments of :class:`GeoTIFFDataModule`, such as ``labels``.
    """

    def __init__(
        self,
        *,
        images: Sequence[Paths] | Paths,
        root: str = '.',
        clouds: Sequence[Paths] | Paths = (),
        cloud_values: Sequence[int] = (),
        cloud_bits: Sequence[int] = (),
        overpass: float = 10.0,
        date_pattern: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(images=images, root=root, **kwargs)  # type: ignore[arg-type]  # of several places
        self._make = RasterSeries  # type: ignore[assignment]  # has the same arguments
        self.kwargs |= {
            'clouds': under(root, clouds),
            'cloud_values': cloud_values,
            'cloud_bits': cloud_bits,
            'overpass': overpass,
            'date_pattern': date_pattern,
        }

    def _row(self, sample: Sample, prediction: Tensor | None) -> _plots.Row:
        """Show the date that is measured best."""
        best = int(sample['mask_valid'].flatten(1).sum(dim=1).argmax())
        return super()._row(sample | {'image': sample['image'][best]}, prediction)
