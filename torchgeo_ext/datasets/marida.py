"""MARIDA: debris, algae, ships and water on the sea, seen by Sentinel-2."""

from collections.abc import Iterator
from typing import Any

from torchgeo_ext.datasets._classes import IGNORE
from torchgeo_ext.datasets._maps import Files
from torchgeo_ext.datasets._pair_figure import Color
from torchgeo_ext.datasets._spectral_patches import SpectralPatches, listed, there

#: Classes with the colours of the authors' tools. They count the last ones as marine water.
_COLORS = {
    'Marine Debris': 'red', 'Dense Sargassum': 'green', 'Sparse Sargassum': 'limegreen',
    'Natural Organic Material': 'brown', 'Ship': 'orange', 'Clouds': 'silver',
    'Marine Water': 'navy', 'Sediment-Laden Water': 'gold', 'Foam': 'purple',
    'Turbid Water': 'darkkhaki', 'Shallow Water': 'darkturquoise', 'Waves': 'seashell',
    'Cloud Shadows': 'gray', 'Wakes': 'yellow', 'Mixed Water': 'rosybrown',
}  # fmt: skip
_KINDS_OF_WATER = 4
_WATER = tuple(_COLORS).index('Marine Water')


class MARIDA(SpectralPatches):
    """`MARIDA, the Marine Debris Archive <https://marine-debris.github.io>`_.

    * 1,381 patches of 256 x 256 pixels, 10 m, of 11 places, by date and tile of Sentinel-2
    * 11 bands, atmospherically corrected reflectance (0 to 1, NaN where there is none); B09 and B10
      are left out
    * few labelled pixels, of 15 classes; 11 if the four kinds of disturbed water count as marine
      water, as in the published scores
    * the published split: 694 patches for training, 328 for validation, 359 for testing
    * statistics: those of the authors' loader

    GFM-Bench (https://arxiv.org/abs/2503.12843) cuts each patch into nine
    (``tile_size=96, overlap=16``).

    Data: https://doi.org/10.5281/zenodo.5151941. Licence: see its page; the authors' code, with
    the facts above, is MIT (https://github.com/marine-debris/marine-debris.github.io).

    Kikaki, K. et al. (2022). MARIDA: a benchmark for marine debris detection from Sentinel-2 remote
    sensing data. PLoS ONE 17(1). https://doi.org/10.1371/journal.pone.0262247

    Args:
        merge_water: Count waves, cloud shadows, wakes and mixed water as marine water.
        **kwargs: Those of all patches: ``root``, ``split``, ``bands``, ``transforms``,
            ``tile_size`` and ``overlap``.

    Raises:
        BadParameter: If split, bands, tile size or overlap cannot be.
        DatasetNotFoundError: If the data is not there.
        BadInput: If a patch that is listed is missing.
    """

    page = 'https://doi.org/10.5281/zenodo.5151941'
    layout = (
        'splits/{train,val,test}_X.txt with lines DATE_TILE_CROP, and '
        'patches/S2_DATE_TILE/S2_DATE_TILE_CROP.tif and S2_DATE_TILE_CROP_cl.tif'
    )
    all_bands = (
        'B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12',
    )  # fmt: skip
    centres = (
        0.4427, 0.4924, 0.5598, 0.6646, 0.7041, 0.7405, 0.7828, 0.8328, 0.8647, 1.6137, 2.2024,
    )  # fmt: skip
    mean = (
        0.05197577, 0.04783991, 0.04056812, 0.03163572, 0.02972606, 0.03457443, 0.03875053,
        0.03436435, 0.0392113, 0.02358126, 0.01588816,
    )  # fmt: skip
    std = (
        0.04725893, 0.04743808, 0.04699043, 0.04967381, 0.04946782, 0.06458357, 0.07594915,
        0.07120246, 0.08251058, 0.05111466, 0.03524419,
    )  # fmt: skip
    classes: tuple[str, ...] = tuple(_COLORS)
    colors: tuple[Color, ...] = tuple(_COLORS.values())

    def __init__(self, *args: Any, merge_water: bool = True, **kwargs: Any) -> None:
        self.codes = {0: IGNORE, **{number + 1: number for number in range(len(_COLORS))}}
        if merge_water:
            kept = len(_COLORS) - _KINDS_OF_WATER
            self.classes, self.colors = self.classes[:kept], self.colors[:kept]
            self.codes |= dict.fromkeys(range(kept + 1, len(_COLORS) + 1), _WATER)
        super().__init__(*args, **kwargs)

    def _find(self) -> Iterator[Files]:
        for line in listed(self.root / 'splits' / f'{self.split}_X.txt'):
            name = f'S2_{line}'
            folder = self.root / 'patches' / name.rpartition('_')[0]
            yield there(folder / f'{name}.tif', folder / f'{name}_cl.tif')
