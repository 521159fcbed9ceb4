"""FUSU: fine land use of Chinese cities at two dates, with months of Sentinel data."""

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from rasterio.windows import Window

from torchgeo_ext.datasets._change_pairs import SemanticPairs
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput


class FUSU(SemanticPairs):
    """`FUSU <https://github.com/yuanshuai0914/FUSU>`_.

    * 62,752 pairs of 512 x 512 pixels, RGB, 0.2 to 0.5 m, about two years apart, of five urban
      areas in China
    * land use of both dates everywhere, 17 classes; change is where they differ. The published
      value 0, background, is no label
    * for each pair a monthly series of 128 x 128 pixels, twelve bands of Sentinel-2 and VV, VH of
      Sentinel-1

    Folders may be those of the paper's code (``{split}/{im1,im2,label1,label2,Times}``) or those of
    its README (``im1, im1_label, im2, im2_label, A, B, C``), which needs lists. The published
    colour of inland water cannot be (514), so it has another one here.

    Licence: not stated. To be downloaded by hand.

    Yuan, S. et al. (2024). FUSU: a multi-temporal-source land use change segmentation dataset for
    fine-grained urban semantic understanding. https://arxiv.org/abs/2405.19055

    Args:
        *args: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
        series: Give the monthly series of the patch as well: ``series`` float32 (t, 14, 128, 128)
            and ``series_days`` int64 (t,), the first of each month in days since that of the first
            January. Tiles and augmentations of a pair do not cut or turn it.
        **kwargs: See :class:`~torchgeo_ext.datasets._change_pairs.ChangePairs`.
    """

    page = 'https://github.com/yuanshuai0914/FUSU'
    layout = '{train,val,test}/{im1,im2,label1,label2}/*.png'
    directories = ('FUSU',)
    archives = ('FUSU*.zip',)
    # A and B are years of the series
    before_folders = ('im1',)
    after_folders = ('im2',)
    classes = (
        'unchanged', 'traffic land', 'inland water', 'residential', 'cropland',
        'agriculture construction', 'blank', 'industrial', 'orchard', 'park',
        'public management and service', 'commercial', 'public construction', 'special', 'forest',
        'storage', 'wetland', 'grass',
    )  # fmt: skip
    colors = (
        (255, 255, 255), (233, 133, 133), (8, 54, 230), (255, 0, 30), (126, 211, 33),
        (135, 126, 20), (94, 47, 4), (10, 82, 77), (184, 233, 134), (219, 170, 230), (255, 199, 2),
        (252, 232, 5), (245, 107, 0), (243, 229, 176), (3, 100, 0), (127, 123, 127),
        (52, 205, 249), (18, 227, 180),
    )  # fmt: skip
    table: ClassVar[dict[int, int]] = {0: -1} | {number: number for number in range(1, 18)}

    def __init__(self, *args: Any, series: bool = False, **kwargs: Any) -> None:
        self.series = series
        super().__init__(*args, **kwargs)

    def _targets(self, number: int, window: Window | None) -> dict[str, Any]:
        sample = super()._targets(number, window)
        if self.series:
            months = self._months(self.pairs[number].images[0])
            images = np.stack([read_pixels(month) for month in months])
            sample['series'] = torch.from_numpy(images.astype(np.float32))
            sample['series_days'] = torch.tensor([_day(month) for month in months])
        return sample

    def _months(self, before: Path) -> list[Path]:
        """Find the images of the months that belong to a patch, in order."""
        folder, name = before.parent.parent, before.stem
        months = sorted((folder / 'Times').glob(f'{name}_*.tif'), key=_numbers)
        for year in 'ABC':
            months += sorted((folder / year).glob(f'*/{name}_{year}_*'), key=_numbers)
        if not months:
            raise BadInput(
                f'{before} has no series in {folder / "Times"} or {folder / "A"}.',
                'Download the Sentinel part, or leave series out.',
            )
        return months


def _day(month: Path) -> int:
    """Tell when a month began, by its number and the letter of its year, if there is one."""
    *_, number = _numbers(month)
    year = re.search('_([ABC])_', month.stem)
    return round(365.25 * ('ABC'.index(year[1]) if year else 0) + 365.25 / 12 * (number - 1))


def _numbers(path: Path) -> list[int]:
    """Sort months by number, not by digit."""
    return [int(digits) for digits in re.findall(r'\d+', path.stem)]
