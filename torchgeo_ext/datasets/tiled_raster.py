"""One's own rasters with labels, for semantic segmentation."""

from collections.abc import Callable, Sequence

import torch
from torchgeo.datasets.utils import Path, Sample

from torchgeo_ext.datasets._build import CACHE, labelled_scenes, paths_of
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.progress import Progress, silent


class TiledRaster(SceneDataset):
    """Rasters of the same bands with one layer of labels.

    Rasters may be several dates of one place, neighbouring scenes or both, in any reference
    systems: each is read on its own grid and the labels are brought onto that. Pixels are physical
    values (the file's scale and offset applied).

    A sample has ``image`` (c, h, w) and ``mask`` (h, w) with positions in ``classes``, -1 where
    there is no label or no measurement.

    Args:
        images: One or more rasters.
        labels: A raster of class numbers on any grid (brought over by nearest neighbour), or
            polygons (``path|layername=name`` picks a layer); what no polygon covers has no label.
        bands: Numbers of the bands to use, from 1; all but alpha if not given.
        class_field: Field with the class of a polygon, text or whole numbers.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        transforms: Called with each sample.
        cache: Bytes of memory up to which the rasters are kept in it once :meth:`keep` is called.
        progress: Told how far the look for classes is.

    Raises:
        BadInput: If the layers do not fit each other.
    """

    def __init__(
        self,
        images: Path | Sequence[Path],
        labels: Path,
        *,
        bands: Sequence[int] | None = None,
        class_field: str | None = None,
        ignore_value: int | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        cache: int = CACHE,
        progress: Progress = silent,
    ) -> None:
        scenes, self.bands = labelled_scenes(
            [(path,) for path in paths_of(images)],
            str(labels),
            arguments=('image',),
            bands=bands,
            class_field=class_field,
            ignore_value=ignore_value,
            progress=progress,
        )
        super().__init__(scenes, transforms, cache)

    def _shape(self, image: torch.Tensor, mask: torch.Tensor) -> Sample:
        return {'image': image[0], 'mask': mask}
