"""What the two datasets of ISPRS's benchmark of city scenes share.

Axes: c channel, h height, w width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._maps import Files, MapImages
from torchgeo_ext.datasets._pair_figure import Color
from torchgeo_ext.datasets._pair_files import IGNORE, read_pixels
from torchgeo_ext.errors import BadInput

HEIGHT = 'height'
#: Colours of maps, in the order of the classes, and black.
_COLORS = (
    (255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0), (0, 0, 0),
)  # fmt: skip
#: A channel of a colour counts from here: some published maps are a little off.
_BRIGHT = 128


class ISPRSImages(MapImages):
    """Aerial images of a city, heights and a map of six classes.

    Args:
        root: Folder with the unpacked archives.
        split: ``train`` or ``test``.
        bands: Names of the bands to give, in this order; all if not given. Heights have to be there
            only if they are wanted.
        transforms: Called with each sample.
        tile_size: Cut images into squares of so many pixels, each a sample of its own; what is left
            over at the right and the lower edge makes smaller ones. Whole images if None.
        eroded: Take the maps without label at the borders of objects, which scores are computed
            with.

    Raises:
        BadParameter: If there is no such split or band, or the tile size is not positive.
        DatasetNotFoundError: If the data is not there.
        BadInput: If some of the files are not there.
    """

    splits: ClassVar[tuple[str, ...]] = ('train', 'test')
    classes: tuple[str, ...] = (
        'impervious surface', 'building', 'low vegetation', 'tree', 'car', 'clutter',
    )  # fmt: skip
    colors: tuple[Color, ...] = _COLORS[:-1]
    #: Areas of each split.
    areas: ClassVar[dict[str, tuple[str, ...]]]

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        *,
        tile_size: int | None = None,
        eroded: bool = False,
    ) -> None:
        self.eroded = eroded
        self._ranges: dict[Path, tuple[float, float]] = {}
        super().__init__(root, split, bands, transforms, tile_size=tile_size)

    def _places(self, area: str) -> dict[str, Iterable[str]]:
        """Tell where the files of an area may be: ``image``, ``map`` and ``height``."""
        raise NotImplementedError

    def _find(self) -> Iterator[Files]:
        found = {area: self._look_for(area) for area in self.areas[self.split]}
        if not any('image' in files for files in found.values()):
            return
        for area, files in found.items():
            for kind in ('image', 'map', *([HEIGHT] if HEIGHT in self.bands else [])):
                if kind not in files:
                    expected = ' or '.join(self._places(area)[kind])
                    raise BadInput(
                        f'{self.root} has no {kind} of area {area}: {expected}.',
                        f'Unpack all of the archives of {self.page}.',
                    )
            yield files

    def _look_for(self, area: str) -> dict[str, Path]:
        found = {}
        for kind, names in self._places(area).items():
            paths = (self.root / name for name in names)
            path = next((path for path in paths if path.is_file()), None)
            if path is not None:
                found[kind] = path
        return found

    def _load_image(self, files: Files, window: Window) -> NDArray[np.float32]:
        """Read the bands, heights among them as a share of the range of the whole area."""
        values = read_pixels(files['image'], window)
        colours = len(self.all_bands) - 1
        if len(values) != colours:
            raise BadInput(f'{files["image"]} has {len(values)} bands instead of {colours}.')
        if HEIGHT in self.bands:
            low, high = self._range(files[HEIGHT])
            heights = (read_pixels(files[HEIGHT], window)[:1] - low) / (high - low)
            if heights.shape[-2:] != values.shape[-2:]:
                raise BadInput(
                    f'{files[HEIGHT]} is smaller than {files["image"]}.', 'Unpack it again.'
                )
            values = np.concatenate([values, heights])
        places = [self.all_bands.index(band) for band in self.bands]
        return values[places].astype(np.float32)

    def _range(self, path: Path) -> tuple[float, float]:
        """Lowest and highest value of a file, which is read once for it."""
        if path not in self._ranges:
            values = read_pixels(path)[0].astype(np.float32)
            low, high = float(values.min()), float(values.max())
            if not low < high:
                raise BadInput(f'{path} has the same height everywhere.', 'Unpack it again.')
            self._ranges[path] = low, high
        return self._ranges[path]

    def _load_map(self, files: Files, window: Window) -> NDArray[np.int64]:
        pixels = read_pixels(files['map'], window)[:3] >= _BRIGHT
        # a number of three bits for each colour
        weights = np.array([4, 2, 1])[:, None, None]
        table = np.full(8, len(_COLORS))
        for number, color in enumerate(_COLORS):
            table[sum(w for w, value in zip((4, 2, 1), color, strict=True) if value)] = number
        mask: NDArray[np.int64] = table[(pixels * weights).sum(0)]
        if (mask == len(_COLORS)).any():
            raise BadInput(
                f'{files["map"]} has colours that stand for no class.',
                'Check that it is a map of this dataset.',
            )
        return np.where(mask == len(_COLORS) - 1, IGNORE, mask)
