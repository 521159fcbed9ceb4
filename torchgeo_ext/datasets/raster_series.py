"""One's own time series of rasters, at whatever dates there are."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._clouds import CloudRule
from torchgeo_ext.datasets._dates import parse_time
from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._header import OnError
from torchgeo_ext.datasets._image import Image, ImageOptions, check_bands, open_images
from torchgeo_ext.datasets._labels import LabelOptions
from torchgeo_ext.datasets._places import covering_grid, date_number, dates_of
from torchgeo_ext.datasets._scene import Scene
from torchgeo_ext.datasets._scene_dataset import CACHE, SceneDataset
from torchgeo_ext.datasets.vector_labels import VectorLabels, labels_for
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.progress import Progress, silent


class RasterSeries(SceneDataset):
    """Rasters of one or more places at irregular dates.

    All dates of a place are brought onto the grid of its first image, extended until it covers
    all of them. No date is dropped: all places have the dates of all of them, and where a place
    has no image of a date, that is a gap. A slice with a time gives the dates in it.

    A sample has ``image`` (t, c, h, w), ``mask_valid`` (t, h, w), ``doy`` float32 (t,) the day of
    the year (1 to 366), ``seconds`` float64 (t,) since 1970 in UTC, ``gap`` bool (t,) and, with
    labels, ``mask`` (h, w) with positions in ``classes``, -1 where there is no label or no date has
    a measurement.

    Args:
        images: The rasters of one place: files, folders, patterns or STAC items. A list of such
            lists is one of several places.
        labels: See :class:`TiledRaster`.
        clouds: Cloud masks (on any grid) with dates as ``images`` have them, given likewise; dates
            without one are taken as free of clouds.
        cloud_values: Values of these that mean cloud; all but 0 if neither these nor bits are
            given. Sentinel-2's SCL: 3, 8, 9, 10.
        cloud_bits: Bits of these, from 0, that mean cloud. Landsat's QA_PIXEL: 1, 2, 3, 4.
        days: Days (ISO 8601) to have as dates also if no place has an image of them.
        overpass: Minutes; images of a place that begin at most so much after the first of them
            are one date, and where they overlap the first counts.
        bands: Which bands to use at all dates, see :class:`TiledRaster`.
        assets: Keys or roles of the assets of STAC items, whose bands follow each other.
        nodata: Value that means "no measurement", in place of what files say; see
            :class:`TiledRaster`.
        class_field: See :class:`TiledRaster`.
        ignore_value: See :class:`TiledRaster`.
        classes: See :class:`TiledRaster`.
        resampling: How images are brought onto the common grid.
        date_pattern: See :class:`TiledRaster`.
        index_cache: See :class:`TiledRaster`.
        on_error: See :class:`TiledRaster`.
        transforms: Called with each sample.
        cache: Bytes of memory up to which the rasters are kept in it once :meth:`keep` is called.
        progress: Told how far the look for classes is.

    Raises:
        BadInput: If files cannot be read, have no date, or do not fit each other.
        BadParameter: If a band, asset, field or day does not exist.
    """

    row_per_date = True

    def __init__(
        self,
        images: Paths | Sequence[Paths],
        labels: Paths | VectorLabels | None = None,
        *,
        clouds: Paths | Sequence[Paths] = (),
        cloud_values: Sequence[int] = (),
        cloud_bits: Sequence[int] = (),
        days: Sequence[str] = (),
        overpass: float = 10.0,
        bands: Sequence[int | float | str] | None = None,
        assets: Sequence[str] | None = None,
        nodata: float | Sequence[float | None] | None = None,
        class_field: str | None = None,
        ignore_value: int | None = None,
        classes: Mapping[int, str] | None = None,
        resampling: str = 'bilinear',
        date_pattern: str | None = None,
        index_cache: Path | None = None,
        on_error: OnError = 'raise',
        transforms: Callable[[Sample], Sample] | None = None,
        cache: int = CACHE,
        progress: Progress = silent,
    ) -> None:
        options = ImageOptions(
            bands, assets, nodata, resampling, date_pattern, index_cache, on_error
        )
        places = _open_places(images, options, 'images')
        check_bands([image for place in places for image in place], chosen=bands is not None)
        masks = ImageOptions(
            resampling='nearest',
            date_pattern=date_pattern,
            index_cache=index_cache,
            on_error=on_error,
        )
        cloudy = _open_places(clouds, masks, 'clouds') if clouds else [()] * len(places)
        if len(cloudy) != len(places):
            raise BadParameter(
                f'clouds has {len(cloudy)} places, but images has {len(places)}.',
                'Give the cloud masks of every place, in the same order.',
            )
        times = [_time(image) for place in places for image in place] + [_day(day) for day in days]
        apart = pd.Timedelta(minutes=overpass)
        dates = dates_of(times, apart)
        grids = [covering_grid(place) for place in places]
        options_of_labels = LabelOptions(class_field, ignore_value, classes, index_cache)
        label_layer = labels_for(labels, grids, options_of_labels, progress=progress)
        scenes = [
            Scene(
                grid,
                _on_dates(place, dates, apart),
                tuple(dates),
                label_layer,
                _on_dates(masks_there, dates, apart) if masks_there else (),
                CloudRule(cloud_values, cloud_bits),
                every=False,
            )
            for grid, place, masks_there in zip(grids, places, cloudy, strict=True)
        ]
        super().__init__(scenes, transforms, cache)

    def _shape(
        self, image: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor | None
    ) -> Sample:
        labels = {} if mask is None else {'mask': mask}
        return {'image': image, 'mask_valid': measured} | labels

    def _moments(self, scene: Scene, dates: NDArray[np.intp] | None) -> Sample:
        numbers = range(self.dates) if dates is None else dates.tolist()
        times = [scene.times[number] for number in numbers]
        starts = [time.left for time in times if time is not None]
        return {
            'doy': torch.tensor([start.day_of_year for start in starts], dtype=torch.float32),
            'seconds': torch.tensor([start.timestamp() for start in starts], dtype=torch.float64),
            'gap': torch.tensor([not scene.dates[number] for number in numbers]),
        }


def _open_places(
    images: Paths | Sequence[Paths], options: ImageOptions, argument: str
) -> list[tuple[Image, ...]]:
    if isinstance(images, str | os.PathLike) or all(
        isinstance(entry, str | os.PathLike) for entry in images
    ):
        places: Sequence[Any] = [images]
    else:
        places = images
    return [tuple(open_images(place, options, argument)) for place in places]


def _time(image: Image) -> pd.Interval:
    if image.time is None:
        raise BadInput(
            f'{image.argument}: {image.path} has no date in its metadata or name.',
            'Say with date_pattern how dates are written in the names, for example %Y%j.',
        )
    return image.time


def _day(text: str) -> pd.Interval:
    day = parse_time(text)
    if day is None:
        raise BadParameter(f'days: {text!r} is no date.', 'Write dates like 2020-05-01.')
    return day


def _on_dates(
    images: Iterable[Image], dates: Sequence[pd.Interval], apart: pd.Timedelta
) -> tuple[tuple[Image, ...], ...]:
    """Put each image, or cloud mask, to its date."""
    found: list[list[Image]] = [[] for _ in dates]
    for image in images:
        time = _time(image)
        number = date_number(time, dates)
        if number < 0 or time.left - dates[number].left > apart:
            raise BadInput(
                f'{image.argument}: {image.path} is of {time.left}, when no image is.',
                'Leave it out, or raise overpass if it belongs to an image of a little earlier.',
            )
        found[number].append(image)
    return tuple(tuple(there) for there in found)
