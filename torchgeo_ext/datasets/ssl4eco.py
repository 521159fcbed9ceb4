"""SSL4Eco: images of all land at the seasons that plants have there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample, quantile_normalization

from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._rgb import rgb_places
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.reader import READ_ERRORS, open_raster

#: Names of files begin with the first characters of what Earth Engine calls an image and end with
#: its last ones.
_FIRST, _LAST = 8, 7


class SSL4Eco(NonGeoDataset):
    """`SSL4Eco <https://github.com/PlekhanovaElena/ssl4eco>`_.

    * about a million images of 254,403 places, 23 km apart all over the land, of the years 2017 to
      2024
    * up to four images of each place, one for each of its seasons by the MODIS phenology: green-up,
      maturity, senescence and dormancy
    * Sentinel-2 level 2A, 12 bands and NDVI times 10,000 (negative ones are 0), all with pixels of
      10 m; 256 x 256 pixels

    The images are fetched from Earth Engine by a script of the authors, into ``imgs``, a folder for
    each place. There is no split.

    Licence: not stated; contains modified Copernicus Sentinel data.

    Plekhanova, E. et al. (2025). SSL4Eco: a global seasonal dataset for geospatial foundation
    models in ecology. CVPR workshops. https://arxiv.org/abs/2504.18256

    A sample has ``image`` float32 (t, c, h, w), stored values, 0 for a season without image;
    ``gap`` bool (t,), True for these; ``doy`` float32 (t,), the day of the year, 0 for these; and
    ``center`` float64 (2,), longitude and latitude.

    Args:
        root: Folder with ``imgs``.
        bands: Names of the bands to give; all if not given.
        seasons: Number of images of each sample.
        index: The authors' table of places (``image_id_1`` to ``image_id_4``), to put images to
            their seasons; without it they come by their date.
        transforms: Called with each sample.

    Raises:
        DatasetNotFoundError: If there is no place.
        BadInput: If the table has not these columns.
        BadParameter: If there is no such band.
    """

    page: ClassVar[str] = 'https://github.com/PlekhanovaElena/ssl4eco'
    layout: ClassVar[str] = 'imgs/<6 digits>/<YYYYMMDD>_<tile>.tif'
    split: ClassVar[str] = 'all'
    all_bands: tuple[str, ...] = (
        'B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B11', 'B12', 'NDVI',
    )  # fmt: skip
    rgb_bands: tuple[str, ...] = ('B4', 'B3', 'B2')

    def __init__(
        self,
        root: AnyPath = 'data',
        bands: Sequence[str] | None = None,
        *,
        seasons: int = 4,
        index: AnyPath | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        self.bands = tuple(bands or self.all_bands)
        for band in self.bands:
            if band not in self.all_bands:
                raise BadParameter(f'bands: {band!r} is not one of {", ".join(self.all_bands)}.')
        self.seasons, self.transforms = seasons, transforms
        folders = sorted(path for path in Path(root, 'imgs').glob('*') if path.is_dir())
        files = {folder: sorted(folder.glob('*.tif')) for folder in folders}
        self.places = [folder for folder in folders if files[folder]]
        if not self.places:
            raise PublishedNotFoundError(self)
        named = None if index is None else _read_index(index)
        self.files = [_by_season(folder, files[folder], named, seasons) for folder in self.places]

    def __len__(self) -> int:
        """Count the places."""
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        """Read the images of a place."""
        places = [self.all_bands.index(band) + 1 for band in self.bands]
        images: list[NDArray[np.float32] | None] = [None] * self.seasons
        days, center = [0.0] * self.seasons, (0.0, 0.0)
        for season, file in enumerate(self.files[index]):
            if file is not None:
                images[season], center = _read(file, places, len(self.all_bands))
                days[season] = float(pd.Timestamp(file.name[:_FIRST]).day_of_year)
        shapes = {image.shape for image in images if image is not None}
        if len(shapes) > 1:
            raise BadInput(
                f'{self.places[index]} has images of different sizes: {sorted(shapes)}.',
                'Fetch it again.',
            )
        nothing = np.zeros(shapes.pop(), np.float32)
        sample = {
            'image': torch.from_numpy(np.stack([nothing if i is None else i for i in images])),
            'gap': torch.tensor([image is None for image in images]),
            'doy': torch.tensor(days),
            'center': torch.tensor(center, dtype=torch.float64),
        }
        return sample if self.transforms is None else self.transforms(sample)

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw the images of a place side by side.

        Args:
            sample: A sample as this dataset gives it.
            show_titles: Write the day of the year above each.
            suptitle: Title of the figure.

        Raises:
            RGBBandsMissingError: If red, green and blue are not among the bands.
        """
        colors = rgb_places(self.bands, self.rgb_bands)
        figure, axes = plt.subplots(1, len(sample['image']), squeeze=False, figsize=(12, 3.5))
        for axis, image, gap, day in zip(
            axes[0], sample['image'], sample['gap'], sample['doy'], strict=True
        ):
            axis.axis('off')
            if not gap:
                axis.imshow(quantile_normalization(image[colors]).movedim(0, -1))
            if show_titles:
                axis.set_title('no image' if gap else f'day {int(day)}')
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure


def _read_index(path: AnyPath) -> dict[str, list[str]]:
    """Give the files of each place by its folder, season by season; empty for those it lacks."""
    table = pd.read_csv(path, dtype=str).fillna('')
    columns = [name for name in table.columns if name.startswith('image_id_')]
    if 'index' not in table.columns or not columns:
        raise BadInput(
            f'index: {path} has the columns {", ".join(table.columns)}.',
            'Give the table of the authors, with index and image_id_1 to image_id_4.',
        )
    names = table[columns].map(lambda text: text and f'{text[:_FIRST]}{text[-_LAST:]}.tif')
    folders = table['index'].str.zfill(6)
    return dict(zip(folders, names.to_numpy().tolist(), strict=True))


def _by_season(
    folder: Path, files: Sequence[Path], named: dict[str, list[str]] | None, seasons: int
) -> list[Path | None]:
    """Put the images of a place to seasons, None where there is none."""
    if named is None:
        found: list[Path | None] = [*files]
    elif folder.name in named:
        here = {file.name: file for file in files}
        found = [here.get(name) for name in named[folder.name]]
    else:
        raise BadInput(
            f'index: there is no place {folder.name}, but a folder of it in {folder.parent}.',
            'Give the table that the images were fetched with.',
        )
    found = found[:seasons]
    if not any(found):
        raise BadInput(
            f'{folder} has none of the images that the index tells of its first {seasons} seasons.',
            'Give the table that the images were fetched with.',
        )
    return found + [None] * (seasons - len(found))


def _read(
    path: Path, bands: Sequence[int], count: int
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Read bands (c, h, w) and the longitude and latitude of the middle."""
    with open_raster(str(path), 'root') as dataset:
        if dataset.count != count:
            raise BadInput(
                f'{path} has {dataset.count} bands instead of {count}.', 'Fetch it again.'
            )
        try:
            image = dataset.read(bands, out_dtype='float32')
        except READ_ERRORS as error:
            raise BadInput(f'{path} cannot be read ({error}).', 'Fetch it again.') from error
        left, bottom, right, top = Grid.of(dataset).bounds
    return image, ((left + right) / 2, (bottom + top) / 2)
