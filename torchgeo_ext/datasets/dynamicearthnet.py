"""DynamicEarthNet: monthly land cover of 75 places over two years."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._change_pairs import Bands, Pair, SemanticPairs, one_of
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput

#: Name of a place.
_CUBE = re.compile(r'\d+_\d+_\d+')
_SNOW = 7


class DynamicEarthNet(SemanticPairs):
    """`DynamicEarthNet <https://mediatum.ub.tum.de/1650201>`_ as pairs of months.

    * 75 places of 1024 x 1024 pixels, blue, green, red and near infrared of Planet, 3 m; 24 months
      from January 2018 on have labels
    * land cover of both dates everywhere: impervious, agriculture, forest and other vegetation,
      wetland, soil, water; change is where they differ. Snow and ice, which evaluations leave out,
      have no label
    * lists in ``root`` tell splits, one place a line; MapFormer (https://github.com/mxbh/mapformer)
      takes 35, 10 and 10 places
    * statistics: MapFormer

    Licence: not stated here; see the page. To be downloaded by hand; images are those of the first
    of each month.

    Toker, A. et al. (2022). DynamicEarthNet: daily multi-spectral satellite dataset for semantic
    change segmentation. CVPR.

    Args:
        *args: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
        months: Which pairs to make of the months of a place: ``all``, as MapFormer for training, or
            ``consecutive``, as MapFormer for validation and testing.
        **kwargs: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
    """

    page = 'https://mediatum.ub.tum.de/1650201'
    layout = '{images,labels}/<place>/YYYY-MM-01.tif, {train,val,test}.txt or splits/'
    directories = ('DynamicEarthNet', 'dynamicearthnet')
    archives = ('dynamicearthnet*.zip', 'DynamicEarthNet*.zip')
    all_bands = ('blue', 'green', 'red', 'nir')
    classes = (
        'unchanged', 'impervious', 'agriculture', 'forest and other vegetation', 'wetland', 'soil',
        'water',
    )  # fmt: skip
    colors = ('white', '#cc6677', '#ddcc77', '#117733', '#44aa99', '#bbbbbb', '#4477aa')
    mean: ClassVar[tuple[Bands, ...]] = ((649.9822, 862.5364, 939.1118, 2521.4004),)
    std: ClassVar[tuple[Bands, ...]] = ((654.9196, 727.9036, 872.8431, 1035.1437),)

    def __init__(
        self, *args: Any, months: Literal['consecutive', 'all'] = 'consecutive', **kwargs: Any
    ) -> None:
        self.months = one_of('months', months, ('consecutive', 'all'))
        super().__init__(*args, **kwargs)

    def _holds(self, base: Path) -> bool:
        return (base / 'images').is_dir() and self._list_of(base) is not None

    def _load_files(self, base: Path) -> list[Pair]:
        listed = self._list_of(base)
        assert listed is not None
        places = dict.fromkeys(_CUBE.findall(listed.read_text()))
        return [pair for place in places for pair in self._pairs_of(base, place)]

    def _pairs_of(self, base: Path, place: str) -> Iterator[Pair]:
        labels = sorted((base / 'labels' / place).glob('*.tif'))
        images = [base / 'images' / place / label.name for label in labels]
        missing = [path for path in images if not path.exists()]
        if missing or not labels:
            absent = missing[0] if missing else base / 'labels' / place
            raise BadInput(f'{absent} is missing, which place {place} of the list needs.')
        months = list(zip(images, labels, strict=True))
        consecutive = self.months == 'consecutive'
        chosen = itertools.pairwise(months) if consecutive else itertools.combinations(months, 2)
        for one, two in chosen:
            yield Pair((one[0], two[0]), (one[1], two[1]))

    def _load_classes(self, path: Path, window: Window | None) -> NDArray[np.int64]:
        one_hot = read_pixels(path, window)
        number = one_hot.argmax(axis=0) + 1
        return np.where(one_hot.any(axis=0) & (number != _SNOW), number, -1)
