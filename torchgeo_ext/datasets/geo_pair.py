"""One's own images of two or more dates with change labels, for change detection."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rasterio.windows import Window
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._classes import IGNORE, LabelClass
from torchgeo_ext.datasets._clouds import CloudRule
from torchgeo_ext.datasets._dates import ALWAYS, period
from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._geometry import window_of
from torchgeo_ext.datasets._header import OnError
from torchgeo_ext.datasets._image import Image, ImageOptions, check_bands, open_images
from torchgeo_ext.datasets._labels import LabelOptions
from torchgeo_ext.datasets._pair_labels import (
    AFTER,
    BEFORE,
    CHANGE,
    MAP,
    PSEUDO,
    Layer,
    PairLayers,
    differing,
)
from torchgeo_ext.datasets._places import Places, covering_grid, list_places
from torchgeo_ext.datasets._scene import Scene
from torchgeo_ext.datasets._scene_dataset import CACHE, SceneDataset
from torchgeo_ext.datasets._series_beside import SeriesBeside
from torchgeo_ext.datasets.raster_series import RasterSeries
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.progress import Progress, silent

log = logging.getLogger(__name__)


class GeoPair(SceneDataset):
    """Images of one place before and after, of one or more places, with change labels or without.

    Later images are brought onto the grid of the first, labels likewise. The grid is cut to what
    the boxes of all dates share. A pixel counts only where every date holds a measurement.

    A sample has ``image`` (t, c, h, w), ``mask_valid`` (t, h, w) and, with labels, ``mask``
    (1, h, w) with positions in ``classes``, -1 where there is no label or a date has no
    measurement: TorchGeo's form of a pair. What else can be given:

    * the land cover of both dates: ``mask`` is (2, h, w) with numbers from 1, and ``mask_change``
      (1, h, w) tells what changed (1) and what did not (0). Where no ``labels`` tell, change is
      where the classes differ;
    * an existing map of the earlier date, to predict from: ``mask_before`` (1, h, w) with numbers
      from 1, 0 where it has no class, -1 where it has no data;
    * the damage to buildings: ``mask`` (1, h, w) is 0 where there is none, 1 where one is not
      damaged, and so on.

    Land cover has the same classes in all layers: in rasters and fields of numbers by value, 0
    being no class, in fields of text by name. Layers may have any grid and reference system.

    Args:
        before: The earlier image: a raster, a folder or a pattern. A list is one of several
            places; a list within the list makes a mosaic of rasters of one place. Where they
            overlap the earliest counts, of these the first.
        after: The later image, likewise and in the same order.
        labels: Rasters whose value 0 means unchanged (on any grid), polygons, or
            :class:`VectorLabels`. Without ``class_field`` the inside of polygons is change. With
            it, what no polygon covers is unchanged, unless there are polygons of an unchanged
            class (0, or a word such as "unchanged"): then it has no label.
        labels_before: Land cover of the earlier date: rasters, polygons with ``class_field``, or
            :class:`VectorLabels`. What is outside of polygons has no label.
        labels_after: That of the later date.
        map_before: Existing map of the land cover, given likewise. It stands for ``labels_before``
            where only that is missing.
        damage: Polygons of buildings with their level of damage in ``class_field``, a number or a
            name, or rasters of such numbers. Levels are xBD's (1 no damage, 2 minor damage, 3 major
            damage, 4 destroyed) unless ``classes`` has others.
        pseudo_labels: Change as something else sees it, such as another model, given as
            ``labels`` are: ``mask_pseudo`` (1, h, w), 0, 1, and -1 where unknown.
        series: Images of many dates, such as monthly ones of a coarser sensor, given as those of
            :class:`RasterSeries` are. Samples then have ``series`` and ``series_days``, as those of
            :class:`FUSU`, around their middle. No augmentation turns it along.
        series_size: Height and width of that in pixels of the series.
        between: Images of further dates between the two, each given as ``before`` is.
        clouds: Cloud masks of each date in time order (on any grid), each given as ``before`` is.
        cloud_values: Values of these that mean cloud; all but 0 if neither these nor bits are
            given. Sentinel-2's SCL: 3, 8, 9, 10.
        cloud_bits: Bits of these, from 0, that mean cloud. Landsat's QA_PIXEL: 1, 2, 3, 4.
        bands: Which bands to use at all dates, see :class:`TiledRaster`.
        nodata: Value that means "no measurement", in place of what files say; see
            :class:`TiledRaster`.
        class_field: Field with the kind of change, text or whole numbers; with land cover or damage
            given, the field of that.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        classes: Names of classes by value, if label rasters shall not be looked through. Of land
            cover and damage, all the classes there may be.
        resampling: How the later images are brought onto the grid of the first.
        index_cache: See :class:`TiledRaster`.
        on_error: See :class:`TiledRaster`.
        transforms: Called with each sample.
        cache: Bytes of memory up to which the rasters are kept in it once :meth:`keep` is called.
        progress: Told how far the look for classes is.

    Raises:
        BadInput: If the layers do not fit each other, or have other classes than they may.
        BadParameter: If there are not as many places at each date, or layers do not go together.
    """

    def __init__(
        self,
        before: Places,
        after: Places,
        labels: Layer | None = None,
        *,
        labels_before: Layer | None = None,
        labels_after: Layer | None = None,
        map_before: Layer | None = None,
        damage: Layer | None = None,
        pseudo_labels: Layer | None = None,
        series: Paths | Sequence[Paths] | None = None,
        series_size: int = 128,
        between: Sequence[Places] = (),
        clouds: Sequence[Places] = (),
        cloud_values: Sequence[int] = (),
        cloud_bits: Sequence[int] = (),
        bands: Sequence[int | float | str] | None = None,
        nodata: float | Sequence[float | None] | None = None,
        class_field: str | None = None,
        ignore_value: int | None = None,
        classes: Mapping[int, str] | None = None,
        resampling: str = 'bilinear',
        index_cache: Path | None = None,
        on_error: OnError = 'raise',
        transforms: Callable[[Sample], Sample] | None = None,
        cache: int = CACHE,
        progress: Progress = silent,
    ) -> None:
        layers = PairLayers(labels, labels_before, labels_after, map_before, damage, pseudo_labels)
        self._levels = damage is not None
        options = ImageOptions(
            bands=bands,
            nodata=nodata,
            resampling=resampling,
            index_cache=index_cache,
            on_error=on_error,
        )
        names = ('before', *(f'between[{n}]' for n in range(len(between))), 'after')
        dates = _by_date((before, *between, after), names, options)
        masks = ImageOptions(resampling='nearest', index_cache=index_cache, on_error=on_error)
        if clouds and len(clouds) != len(names):
            raise BadParameter(
                f'clouds has {len(clouds)} dates, but there are {len(names)}.',
                'Give the cloud masks of every date, in time order.',
            )
        cloudy = _by_date(clouds, [f'clouds[{n}]' for n in range(len(clouds))], masks)
        check_bands(
            [image for date in dates for place in date for image in place], chosen=bands is not None
        )
        places = list(zip(*dates, strict=True))
        grids = [_common_grid(images) for images in places]
        counted, maps = layers.open(
            grids, LabelOptions(class_field, ignore_value, classes, index_cache), progress
        )
        scenes = [
            Scene(
                grid,
                images,
                tuple(period([image.time for image in date]) for date in images),
                counted,
                tuple(date[number] for date in cloudy),
                CloudRule(cloud_values, cloud_bits),
                maps=maps,
                inputs=frozenset({MAP, PSEUDO}),
            )
            for number, (grid, images) in enumerate(zip(grids, places, strict=True))
        ]
        _warn_of_order(scenes)
        self.series: SeriesBeside | None = None
        if series is not None:
            images_beside = RasterSeries(series, index_cache=index_cache, on_error=on_error)
            self.series = SeriesBeside(images_beside, series_size)
            self.series.check(tuple(grids))
        super().__init__(scenes, transforms, cache)

    def _shape(
        self, image: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor | None
    ) -> Sample:
        labels = {} if mask is None else {'mask': mask[None]}
        return {'image': image, 'mask_valid': measured} | labels

    def _layers(self, maps: Mapping[str, torch.Tensor]) -> Sample:
        sample: Sample = {'mask_before': maps[MAP][None]} if MAP in maps else {}
        if PSEUDO in maps:
            sample['mask_pseudo'] = maps[PSEUDO].clamp(max=1)[None]
        if AFTER in maps:
            dates = torch.stack([maps[BEFORE], maps[AFTER]])
            if CHANGE in maps:
                change = maps[CHANGE].clamp(max=1)
            else:
                change = torch.from_numpy(differing(*dates.numpy()))
            sample |= {'mask': dates.where(dates > 0, IGNORE), 'mask_change': change[None]}
        return sample

    def _beside(self, scene: Scene, window: Window) -> Sample:
        return {} if self.series is None else self.series.sample(scene.grid, window)

    def keep(self, progress: Progress = silent) -> None:
        """Keep all rasters in memory from now on, those of the series if they fit as well."""
        super().keep(progress)
        if self.series is not None and self.series.series.fits_in_cache:
            self.series.series.keep()

    @property
    def mask_layers(self) -> int:
        """Number of label layers of a sample's mask: 2 with the land cover of both dates."""
        return 2 if AFTER in self.scenes[0].maps else 1

    @property
    def map_classes(self) -> tuple[LabelClass, ...]:
        """Classes of a map to predict from, the first being none; empty without one."""
        maps = self.scenes[0].maps
        return maps[MAP].classes if MAP in maps else ()

    @property
    def told_classes(self) -> tuple[LabelClass, ...]:
        """What a bundle of a model of it lists as classes: land cover and damage without none."""
        if self.mask_layers == 2 or self._levels:
            return self.classes[1:]
        return self.map_classes[1:] or self.classes


def _by_date(
    dates: Sequence[Places], arguments: Sequence[str], options: ImageOptions
) -> list[list[tuple[Image, ...]]]:
    """Open the images of each place (inner lists) at each date (outer list)."""
    opened = [
        [tuple(open_images(paths, options, argument)) for paths in list_places(date)]
        for date, argument in zip(dates, arguments, strict=True)
    ]
    for places, argument in zip(opened, arguments, strict=True):
        if len(places) != len(opened[0]):
            raise BadParameter(
                f'{arguments[0]} has {len(opened[0])} images, but {argument} has {len(places)}.',
                'Give the same number in the same order; put rasters of one mosaic into a list '
                'of their own.',
            )
    return opened


def _warn_of_order(scenes: Sequence[Scene]) -> None:
    for scene in scenes:
        starts = [time.left for time in scene.times if time not in (None, ALWAYS)]
        if starts != sorted(starts):
            log.warning('The dates of %s are not in time order.', scene.images[0].path)


def _common_grid(dates: Sequence[Sequence[Image]]) -> Grid:
    """Cut the grid of the first date to what all dates share."""
    first = dates[0]
    grid = covering_grid(first)
    for images in dates[1:]:
        _check_crs(first[0], images[0])
        window = window_of(grid, covering_grid(images))
        if window is None:
            raise BadInput(
                f'{first[0].argument} ({first[0].path}) and {images[0].argument} '
                f'({images[0].path}) do not overlap.',
                'Pair images of the same place, in the same order.',
            )
        grid = grid.part(window)
    return grid


def _check_crs(before: Image, after: Image) -> None:
    if (before.grid.crs is None) != (after.grid.crs is None):
        bare, other = (before, after) if before.grid.crs is None else (after, before)
        raise BadInput(
            f'{bare.argument}: {bare.path} has no coordinate reference system, but '
            f'{other.path} has.',
            'Assign the right one (in QGIS: Raster > Projections > Assign projection).',
        )
