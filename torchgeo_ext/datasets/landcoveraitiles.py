"""LandCover.ai: the published tiles, with the classes of either version."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._maps import Files, MapImages
from torchgeo_ext.datasets._pair_figure import Color
from torchgeo_ext.datasets._pair_files import read_classes
from torchgeo_ext.errors import BadInput

_CLASSES = ('background', 'building', 'woodland', 'water', 'road')
_ROAD = _CLASSES.index('road')
_COLORS: tuple[Color, ...] = (
    'black', (97, 74, 74), (38, 115, 0), (0, 197, 255), (207, 207, 207),
)  # fmt: skip


class LandCoverAITiles(MapImages):
    """`LandCover.ai <https://landcover.ai.linuxpolska.com>`_ v1, the tiles of TorchGeo's copy.

    * 41 orthophotos of Poland, 216.27 km2: 33 of 25 cm and 8 of 50 cm, cut into tiles of 512 x 512
      pixels, RGB; lists of the splits
    * five classes, of which four are named: 0 background, 1 building (1.85 km2), 2 woodland (72.02
      km2), 3 water (13.15 km2), 4 road (3.5 km2); background is learned as the others are, so a
      network has five outputs
    * the first release had no roads, and so four classes with background (woodland of 72.22 km2,
      water of 13.25 km2): ``roads=False`` gives these, but for woodland and water that roads have
      been cut out of since

    TorchGeo's ``LandCoverAI`` fetches the files, ``output/<tile>.jpg``, ``output/<tile>_m.png``,
    ``train.txt``, ``val.txt`` and ``test.txt``; this class gives them to ``MapDataModule``, in
    crops of any size and with any figures.

    Licence: CC BY-NC-SA 4.0.

    Boguszewski, A. et al. (2021). LandCover.ai: dataset for automatic mapping of buildings,
    woodlands, water and roads from aerial imagery. CVPR workshops. https://arxiv.org/abs/2005.02264

    Args:
        root: Folder with the data.
        split: ``train``, ``val`` or ``test``.
        bands: Names of the bands to give, in this order; all if not given.
        transforms: Called with each sample.
        tile_size: Cut tiles further; whole ones if None.
        roads: Whether roads are a class of their own, or background as in the first release.

    Raises:
        BadParameter: If there is no such split or band, or the tile size is not positive.
        DatasetNotFoundError: If the data is not there.
        BadInput: If files that are listed are missing.
    """

    page = 'https://landcover.ai.linuxpolska.com'
    layout = 'output/<tile>.jpg, output/<tile>_m.png, {train,val,test}.txt'

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        *,
        tile_size: int | None = None,
        roads: bool = True,
    ) -> None:
        number = _ROAD + roads
        self.roads = roads
        self.classes = _CLASSES[:number]
        self.colors: tuple[Color, ...] = _COLORS[:number]
        super().__init__(root, split, bands, transforms, tile_size=tile_size)

    def _find(self) -> Iterator[Files]:
        listing = self.root / f'{self.split}.txt'
        if not listing.is_file():
            return
        for name in listing.read_text(encoding='utf-8').split():
            files = {
                'image': self.root / 'output' / f'{name}.jpg',
                'map': self.root / 'output' / f'{name}_m.png',
            }
            for path in files.values():
                if not path.is_file():
                    raise BadInput(
                        f'{listing} lists {name}, but {path} is missing.',
                        'Cut the orthophotos with split.py of the dataset, or unpack it again.',
                    )
            yield files

    def _load_map(self, files: Files, window: Window) -> NDArray[np.int64]:
        table = {number: number for number in range(_ROAD)} | {_ROAD: _ROAD if self.roads else 0}
        return read_classes(files['map'], table, window)
