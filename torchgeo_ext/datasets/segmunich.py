"""SegMunich: land use in and around Munich, seen by Sentinel-2."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from torchgeo_ext.datasets._maps import Files
from torchgeo_ext.datasets._pair_figure import Color
from torchgeo_ext.datasets._spectral_patches import SpectralPatches, listed, there
from torchgeo_ext.errors import BadParameter

_COLORS = {
    'background': 'black', 'arable land': 'khaki', 'permanent crops': 'darkorange',
    'pastures': 'yellowgreen', 'forests': 'darkgreen', 'surface water': 'royalblue',
    'shrub': 'olive', 'open spaces': 'tan', 'wetlands': 'mediumpurple', 'mine, dump': 'dimgray',
    'artificial vegetation': 'palegreen', 'urban fabric': 'salmon', 'buildings': 'firebrick',
}  # fmt: skip
#: Values of the maps: most classes by codes of CORINE Land Cover, the others by their number.
_CODES = {number: number for number in range(len(_COLORS))} | {
    21: 1, 22: 2, 23: 3, 31: 4, 32: 6, 33: 7, 41: 8, 13: 9, 14: 10,
}  # fmt: skip


class SegMunich(SpectralPatches):
    """`SegMunich <https://github.com/danfenghong/IEEE_TPAMI_SpectralGPT>`_.

    * patches of 128 x 128 pixels, 10 m, of Munich and its surroundings over three years
    * 10 bands of Sentinel-2 times 10,000: those of 20 m, and B01
    * 13 classes of land use; background is one of them
    * two splits are published, ``train`` and ``test``: of ``train`` a share is held out as ``val``.
      GFM-Bench (https://arxiv.org/abs/2503.12843), which has 3,000 patches for training, 403 for
      validation and 403 for testing, does so as well; which ones is not known here
    * statistics: those of GFM-Bench's loader

    Data: ``TUM_128.zip`` of https://huggingface.co/datasets/Moonboy12138/SegMunich. Licence:
    GPL-3.0, as that page says. Folders, values and classes are those of the authors' loader, which
    scales each patch by its own range; bands are named as by GFM-Bench.

    Hong, D. et al. (2024). SpectralGPT: spectral remote sensing foundation model. IEEE
    Transactions on Pattern Analysis and Machine Intelligence 46(8). https://arxiv.org/abs/2311.07113

    Args:
        val_share: Share of the published training split that is held out, above 0 to below 1,
            always the same patches.
        **kwargs: Those of all patches: ``root``, ``split``, ``bands``, ``transforms``,
            ``tile_size`` and ``overlap``.

    Raises:
        BadParameter: If split, share, bands, tile size or overlap cannot be.
        DatasetNotFoundError: If the data is not there.
        BadInput: If a patch that is listed is missing.
    """

    page = 'https://huggingface.co/datasets/Moonboy12138/SegMunich'
    layout = 'dataset/{train,test}.txt with lines NAME, and {train,test}/{img,label}/NAME.tif'
    all_bands = ('B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B8A', 'B11', 'B12')
    centres = (
        0.4427, 0.4924, 0.5598, 0.6646, 0.7041, 0.7405, 0.7828, 0.8647, 1.6137, 2.2024,
    )  # fmt: skip
    mean = (
        752.40087, 884.29674, 1144.16203, 1297.47289, 1624.90992, 2194.64232, 2422.21248,
        2581.64687, 2368.51237, 1805.06846,
    )  # fmt: skip
    std = (
        1108.02887, 1155.15171, 1183.62925, 1368.11351, 1370.26504, 1355.55391, 1416.51487,
        1439.30861, 1455.52085, 1343.48380,
    )  # fmt: skip
    classes: tuple[str, ...] = tuple(_COLORS)
    colors: tuple[Color, ...] = tuple(_COLORS.values())
    codes = _CODES

    def __init__(self, *args: Any, val_share: float = 0.1, **kwargs: Any) -> None:
        if not 0 < val_share < 1:
            raise BadParameter(f'val_share is {val_share}; it must be above 0 and below 1.')
        self.val_share = val_share
        super().__init__(*args, **kwargs)

    def _find(self) -> Iterator[Files]:
        folder = 'test' if self.split == 'test' else 'train'
        names = np.array(listed(self.root / 'dataset' / f'{folder}.txt'), dtype=str)
        if folder == 'train':
            order = np.random.default_rng(0).permutation(len(names))
            held = round(self.val_share * len(names))
            names = names[np.sort(order[:held] if self.split == 'val' else order[held:])]
        for name in names:
            image, classes = (
                self.root / folder / kind / f'{name}.tif' for kind in ('img', 'label')
            )
            yield there(image, classes)
