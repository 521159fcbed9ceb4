"""One's own image pairs with change labels, for change detection."""

from collections.abc import Callable, Sequence

import torch
from torchgeo.datasets.utils import Path, Sample

from torchgeo_ext.datasets._build import CACHE, labelled_scenes, paths_of
from torchgeo_ext.datasets._scene_dataset import SceneDataset
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.progress import Progress, silent


class GeoPair(SceneDataset):
    """Pairs of rasters, before and after, with one layer of change labels.

    The later image is brought onto the grid of the earlier one, the labels likewise. A pixel
    counts only where both images hold a measurement.

    A sample has ``image`` (2, c, h, w) and ``mask`` (1, h, w) with positions in ``classes``, -1
    where there is no label or no measurement: TorchGeo's form of a pair.

    Args:
        before: One or more earlier rasters.
        after: As many later ones, in the same order.
        labels: A raster whose value 0 means unchanged (on any grid), or polygons. Without
            ``class_field`` the inside of polygons is change. With it, what no polygon covers is
            unchanged, unless there are polygons of an unchanged class (0, or a word such as
            "unchanged"): then it has no label.
        bands: Numbers of the bands to use, from 1, in both; all but alpha if not given.
        class_field: Field with the kind of change, text or whole numbers.
        ignore_value: Label value that means "not labelled", besides the nodata value.
        resampling: How the later image is brought onto the grid of the earlier one.
        transforms: Called with each sample.
        cache: Bytes of memory up to which the rasters are kept in it once :meth:`keep` is called.
        progress: Told how far the look for classes is.

    Raises:
        BadInput: If the layers do not fit each other.
        BadParameter: If there are not as many later as earlier rasters.
    """

    def __init__(
        self,
        before: Path | Sequence[Path],
        after: Path | Sequence[Path],
        labels: Path,
        *,
        bands: Sequence[int] | None = None,
        class_field: str | None = None,
        ignore_value: int | None = None,
        resampling: str = 'bilinear',
        transforms: Callable[[Sample], Sample] | None = None,
        cache: int = CACHE,
        progress: Progress = silent,
    ) -> None:
        earlier, later = paths_of(before), paths_of(after)
        if len(earlier) != len(later):
            raise BadParameter(
                f'before has {len(earlier)} images, but after has {len(later)}.',
                'Give the same number in the same order.',
            )
        scenes, self.bands = labelled_scenes(
            list(zip(earlier, later, strict=True)),
            str(labels),
            arguments=('before', 'after'),
            bands=bands,
            class_field=class_field,
            ignore_value=ignore_value,
            resampling=resampling,
            progress=progress,
        )
        super().__init__(scenes, transforms, cache)

    def _shape(self, image: torch.Tensor, mask: torch.Tensor) -> Sample:
        return {'image': image, 'mask': mask[None]}
