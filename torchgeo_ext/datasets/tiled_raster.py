"""One's own rasters, with labels or without."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._files import Paths
from torchgeo_ext.datasets._header import OnError
from torchgeo_ext.datasets._image import Image, ImageOptions, open_images
from torchgeo_ext.datasets._labels import LabelOptions
from torchgeo_ext.datasets._scene import Scene
from torchgeo_ext.datasets._scene_dataset import CACHE, SceneDataset
from torchgeo_ext.datasets.vector_labels import VectorLabels, labels_for
from torchgeo_ext.progress import Progress, portion, silent

log = logging.getLogger(__name__)


class TiledRaster(SceneDataset):
    """Rasters of the same bands, with one layer of labels or without.

    Rasters may be several dates of one place, neighbouring scenes or both, in any reference
    systems: each is read on its own grid, and labels are brought onto that. Pixels are physical
    values (scale and offset applied). Files are opened when they are first read, by each worker
    for itself.

    A sample has ``image`` (c, h, w), ``mask_valid`` (h, w) and, with labels, ``mask`` (h, w) with
    positions in ``classes``, -1 where there is no label or no measurement.

    Args:
        images: One or more of: a raster or VRT, a folder, a pattern (``scenes/*_B04.tif``), a STAC
            item or item collection (``.json``).
        labels: Rasters of class numbers on any grid (brought over by nearest neighbour; files,
            folder or pattern), polygons (``path|layername=name`` picks a layer; what none covers
            has no label), or :class:`VectorLabels`.
        bands: Numbers (from 1), names, roles such as ``red`` or wavelengths (in micrometres) of the
            bands to use; all but alpha if not given.
        assets: Keys or roles of the assets of STAC items, whose bands follow each other.
        nodata: Value that means "no measurement", in place of what files say band by band; or one
            for each band used, None where files tell.
        class_field: Field with the class of a polygon, text or whole numbers.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        classes: Names of classes by value. Label rasters are then not looked through for classes,
            and other values have no label.
        resampling: How rasters are brought onto another grid where a slice needs that.
        date_pattern: How the date is written in file names, as ``strptime`` does: ``%Y%j``. By
            default metadata, then names like 20200501 or 2020-05-01 are looked at; what has no
            date is taken as always valid.
        index_cache: GeoParquet file that keeps headers of the files, so that they need not be
            opened at the next start; files that changed are looked at again.
        on_error: What to do with files that cannot be read: ``raise``, or ``skip`` with a warning.
        transforms: Called with each sample.
        cache: Bytes of memory up to which the rasters are kept in it once :meth:`keep` is called.
        progress: Told how far the look at headers and for classes is.

    Raises:
        BadInput: If files cannot be read or do not fit each other.
        BadParameter: If a band, asset or field does not exist.
    """

    def __init__(
        self,
        images: Paths,
        labels: Paths | VectorLabels | None = None,
        *,
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
        found = open_images(images, options, 'image', portion(progress, 0, 0.5))
        _warn_of_duplicates(found)
        label_layer = labels_for(
            labels,
            [image.grid for image in found],
            LabelOptions(class_field, ignore_value, classes, index_cache),
            progress=portion(progress, 0.5, 1),
        )
        scenes = [Scene(image.grid, ((image,),), (image.time,), label_layer) for image in found]
        super().__init__(scenes, transforms, cache)

    def _shape(
        self, image: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor | None
    ) -> Sample:
        labels = {} if mask is None else {'mask': mask}
        return {'image': image[0], 'mask_valid': measured[0]} | labels


def _warn_of_duplicates(images: Sequence[Image]) -> None:
    """Tell of images that would count twice; neighbours may overlap, and dates may be unknown."""
    seen: dict[object, Image] = {}
    doubles = []
    for image in images:
        if image.time is not None:
            first = seen.setdefault((image.time, image.grid), image)
            doubles += [(first.path, image.path)] if first is not image else []
    if doubles:
        log.warning(
            '%d of %d images are of the same time and pixels as another one and count twice, such '
            'as %s and %s.', len(doubles), len(images), *doubles[0],
        )  # fmt: skip
