"""SpectralEarth: hyperspectral patches for pre-training, and the tasks its backbones are judged by.

Axes: s bands, h and w rows and columns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import rasterio
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchgeo.datasets import EnMAP, NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.datasets._classes import IGNORE
from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors import sensor

_PAGE = 'https://geoservice.dlr.de/web/datasets/enmap_spectralearth'

#: Names of the codes of the Cropland Data Layer (USDA) that the tasks use.
_CDL = {
    1: 'corn', 2: 'cotton', 3: 'rice', 4: 'sorghum', 5: 'soybeans', 6: 'sunflower',
    41: 'sugar beets', 42: 'dry beans', 43: 'potatoes', 45: 'sugar cane', 49: 'onions',
    54: 'tomatoes', 56: 'hops', 68: 'apples', 69: 'grapes', 72: 'citrus', 75: 'almonds',
    76: 'walnuts', 204: 'pistachios', 210: 'prunes',
}  # fmt: skip
#: Those of the National Land Cover Database (USGS).
_NLCD = {
    11: 'open water', 21: 'developed, open space', 22: 'developed, low intensity',
    23: 'developed, medium intensity', 24: 'developed, high intensity', 31: 'barren land',
    41: 'deciduous forest', 42: 'evergreen forest', 43: 'mixed forest', 52: 'shrub',
    71: 'grassland', 81: 'pasture and hay', 82: 'cultivated crops', 90: 'woody wetlands',
    95: 'herbaceous wetlands',
}  # fmt: skip
#: Codes of CORINE Land Cover in each of the 19 classes of BigEarthNet.
_CORINE: Mapping[str, tuple[int, ...]] = {
    'Urban fabric': (111, 112),
    'Industrial or commercial units': (121,),
    'Arable land': (211, 212, 213),
    'Permanent crops': (221, 222, 223, 241),
    'Pastures': (231,),
    'Complex cultivation patterns': (242,),
    'Land principally occupied by agriculture, with significant areas of natural vegetation': (
        243,
    ),
    'Agro-forestry areas': (244,),
    'Broad-leaved forest': (311,),
    'Coniferous forest': (312,),
    'Mixed forest': (313,),
    'Natural grassland and sparsely vegetated areas': (321, 333),
    'Moors, heathland and sclerophyllous vegetation': (322, 323),
    'Transitional woodland, shrub': (324,),
    'Beaches, dunes, sands': (331,),
    'Inland wetlands': (411, 412),
    'Coastal wetlands': (421, 422),
    'Inland waters': (511, 512),
    'Marine waters': (521, 522, 523),
}


@dataclass(frozen=True)
class _Task:
    """What a set is about.

    Args:
        images: Folder of the images, called as their sensor.
        masks: Folder of the maps.
        codes: Codes of the classes, in their order; all others have no label.
        names: Names of the codes, where they are known.
    """

    images: str
    masks: str
    codes: tuple[int, ...] = ()
    names: Mapping[int, str] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        known = self.names or {}
        return tuple(known.get(code, f'class {code}') for code in self.codes)


_TASKS = {
    'enmap_bdforet': _Task('enmap', 'bdforet', (1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 14, 16)),
    'enmap_bnetd': _Task('enmap', 'bnetd', (1, 2, 3, 6, 9, 10, 13, 15, 16, 21)),
    'enmap_cdl': _Task(
        'enmap', 'cdl', (1, 2, 3, 4, 5, 6, 45, 54, 69, 72, 75, 76, 204, 210), _CDL
    ),
    'enmap_corine': _Task('enmap', 'corine'),
    'enmap_eurocrops': _Task(
        'enmap', 'eurocrops',
        (
            3301090205, 3301010600, 3301090303, 3301010800, 3301090301, 3303060000, 3303030600,
            3303050000, 3303030100, 3301060500, 3301060300, 3303010000, 3301020000, 3301160000,
            3301029900,
        ),
    ),
    'enmap_nlcd': _Task('enmap', 'nlcd', tuple(_NLCD), _NLCD),
    'enmap_treemap': _Task(
        'enmap', 'treemap',
        (
            184, 185, 221, 924, 105, 503, 520, 706, 801, 201, 264, 266, 281, 301, 901, 406, 923,
            142, 161, 602, 607, 608, 267, 371,
        ),
    ),
    'desis_cdl': _Task(
        'desis', 'cdl', (1, 2, 3, 5, 42, 43, 49, 54, 56, 68, 69, 75, 76, 204), _CDL
    ),
    'eo1_cdl': _Task('eo1', 'cdl', (1, 2, 3, 4, 5, 6, 41, 42, 43, 54, 69, 75, 76, 204), _CDL),
}  # fmt: skip

TaskName = Literal[
    'enmap_bdforet', 'enmap_bnetd', 'enmap_cdl', 'enmap_corine', 'enmap_eurocrops', 'enmap_nlcd',
    'enmap_treemap', 'desis_cdl', 'eo1_cdl',
]  # fmt: skip

#: Sensors by the folder of their images.
_SENSORS = {'enmap': 'enmap', 'desis': 'desis', 'eo1': 'hyperion'}
_HYPERION = tuple(f'B{number}' for number in (*range(8, 58), *range(77, 225)))


class SpectralEarthTask(NonGeoDataset):
    """One of the tasks of `SpectralEarth <https://arxiv.org/abs/2408.08447>`_.

    * patches of 128 x 128 pixels of 30 m, int16 digital numbers
    * 202 bands of EnMAP ordered by wavelength, 235 of DESIS or 198 of Hyperion (EO-1)
    * maps of classes; for ``enmap_corine`` the 19 classes of BigEarthNet that a patch has

    Which bands of Hyperion the 198 are (B8 to B57 and B77 to B224, in this order) is what the code
    of LESS ViT (https://github.com/uiuctml/LESSViT) takes them for.

    Data: https://geoservice.dlr.de/web/datasets/enmap_spectralearth, after creating an account;
    its licence is not stated there. Lists of the splits:
    https://github.com/AABNassim/spectral_earth (``data/splits``), to be put beside the data.

    Args:
        root: Folder with ``enmap`` (or ``desis``, ``eo1``), the folder of the maps (such as
            ``cdl``) and ``splits``.
        task: What to read.
        split: ``train``, ``val`` or ``test``.
        transforms: Called with each sample.
        bands: Places of the bands to give, from 0, in this order; all if not given.

    Attributes:
        classes: Names of the classes, ``class 7`` where the code alone is known.
        wavelengths: Centre of each band in micrometres (s,).

    Raises:
        BadParameter: If there is no such task, split or band.
        DatasetNotFoundError: If data or lists are not there.
    """

    page: ClassVar[str] = _PAGE
    splits: ClassVar[tuple[str, ...]] = ('train', 'val', 'test')

    def __init__(
        self,
        root: AnyPath = 'data',
        task: TaskName = 'enmap_cdl',
        split: str = 'train',
        transforms: Callable[[Sample], Sample] | None = None,
        bands: Sequence[int] | None = None,
    ) -> None:
        for argument, value, known in (
            ('task', task, tuple(_TASKS)), ('split', split, self.splits),
        ):  # fmt: skip
            if value not in known:
                raise BadParameter(f'{argument}: {value!r} is not one of {", ".join(known)}.')
        self.root, self.split, self.transforms = Path(root).expanduser(), split, transforms
        self._task = _TASKS[task]
        self.multilabel = task == 'enmap_corine'
        self.classes = tuple(_CORINE) if self.multilabel else self._task.classes
        listed = self.root / 'splits' / task / f'{split}.txt'
        self.layout = (
            f'{self._task.images}/PATCH/N.tif, {self._task.masks}/PATCH/N.tif and '
            f'splits/{task}/{split}.txt with lines PATCH/N.tif'
        )
        folders = (self.root / self._task.images, self.root / self._task.masks)
        if not listed.is_file() or not all(folder.is_dir() for folder in folders):
            raise PublishedNotFoundError(self)
        lines = listed.read_text(encoding='utf-8').split()
        self.files = [tuple(folder / line for folder in folders) for line in lines]
        codes = _CORINE.values() if self.multilabel else [(code,) for code in self._task.codes]
        pairs = sorted((code, place) for place, group in enumerate(codes) for code in group)
        self._codes, self._places = (np.array(column) for column in zip(*pairs, strict=True))
        self._bands = _Bands.of(self._task.images, bands)
        self.wavelengths = self._bands.wavelengths

    def __len__(self) -> int:
        """Count the patches of the split."""
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Read a patch.

        Args:
            index: Number of the patch.

        Returns:
            ``image`` float32 (s, h, w), digital numbers; ``mask`` int64 (h, w), -1 where there is
            no label, or ``label`` int64 (19,) of ones and zeros; ``wavelengths`` float32 (s,) in
            micrometres.

        Raises:
            BadInput: If a file is missing, or has another number of bands than the sensor's.
        """
        image_path, mask_path = self.files[index]
        classes = self._classes_of(_read(mask_path)[0])
        sample: Sample = {
            'image': self._bands.read(image_path),
            'wavelengths': self.wavelengths.clone(),
        }
        if self.multilabel:
            label = torch.zeros(len(self.classes), dtype=torch.int64)
            label[torch.from_numpy(np.unique(classes[classes != IGNORE]))] = 1
            sample['label'] = label
        else:
            sample['mask'] = torch.from_numpy(classes)
        return sample if self.transforms is None else self.transforms(sample)

    def _classes_of(self, codes: NDArray[np.generic]) -> NDArray[np.int64]:
        """Number codes (h, w) by classes."""
        # codes of crops do not fit into 32 bits with sign
        wide = codes.astype('uint32' if codes.dtype == 'int32' else 'int64').astype('int64')
        places = np.searchsorted(self._codes, wide).clip(max=len(self._codes) - 1)
        found = self._codes[places] == wide
        return np.where(found, self._places[places], IGNORE).astype('int64')

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw a patch and its map.

        Args:
            sample: Of this dataset; with ``prediction`` that is drawn as well.
            show_titles: Whether to write titles.
            suptitle: Written above all.
        """
        from matplotlib import pyplot

        shown = [band for band in (43, 28, 10) if band < len(sample['image'])]
        image = sample['image'][shown if len(shown) == 3 else [0]].float()
        low, high = image.quantile(torch.tensor([0.02, 0.98])).tolist()
        parts = {'image': ((image - low) / max(high - low, 1e-6)).clamp(0, 1).movedim(0, -1)}
        parts |= {key: sample[key] for key in ('mask', 'prediction') if key in sample}
        figure, axes = pyplot.subplots(
            1, len(parts), figsize=(3 * len(parts), 3.2), layout='constrained', squeeze=False
        )
        for axis, (title, values) in zip(axes[0], parts.items(), strict=True):
            axis.imshow(values, vmin=0, vmax=max(1, len(self.classes) - 1), cmap='tab20')
            axis.axis('off')
            if show_titles:
                axis.set_title(title)
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure


class SpectralEarth(NonGeoDataset):
    """Patches of `SpectralEarth <https://arxiv.org/abs/2408.08447>`_ for pre-training.

    * 538,974 patches of 128 x 128 pixels of 30 m at 415,153 places, 202 bands of EnMAP ordered by
      wavelength, int16 digital numbers (as the paper says)
    * where there are several dates of a place, two are drawn for contrastive learning

    Data: https://geoservice.dlr.de/web/datasets/enmap_spectralearth, after creating an account,
    some 3.3 TB; its licence is not stated there.

    Args:
        root: Folder with ``enmap/PATCH/N.tif``.
        pairs: Give two dates of each place, ``image1`` and ``image2``, the same one twice where
            there is no other; else a single one, ``image``.
        transforms: Called with each sample.
        seed: Decides which dates are drawn.
        bands: Places of the bands to give, from 0, in this order; all if not given.

    Raises:
        BadParameter: If there is no such band.
        DatasetNotFoundError: If there are no patches.
    """

    page: ClassVar[str] = _PAGE
    layout: ClassVar[str] = 'enmap/PATCH/N.tif'
    split: ClassVar[str] = 'all'

    def __init__(
        self,
        root: AnyPath = 'data',
        pairs: bool = False,
        transforms: Callable[[Sample], Sample] | None = None,
        seed: int = 0,
        bands: Sequence[int] | None = None,
    ) -> None:
        self.root, self.pairs, self.transforms = Path(root).expanduser(), pairs, transforms
        self._random = np.random.default_rng(seed)
        folder = self.root / 'enmap'
        patches = sorted(path for path in folder.glob('*') if path.is_dir())
        self.places = [dates for path in patches if (dates := sorted(path.glob('*.tif')))]
        if not self.places:
            raise PublishedNotFoundError(self)
        self._bands = _Bands.of('enmap', bands)
        self.wavelengths = self._bands.wavelengths

    def __len__(self) -> int:
        """Count the places."""
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        """Read a place.

        Args:
            index: Its number.

        Returns:
            ``image`` float32 (s, h, w), digital numbers, or ``image1`` and ``image2``; and
            ``wavelengths`` float32 (s,) in micrometres.

        Raises:
            BadInput: If a file has another number of bands.
        """
        dates = self.places[index]
        count = 2 if self.pairs else 1
        chosen = self._random.choice(len(dates), count, replace=len(dates) < count)
        keys = ('image1', 'image2') if self.pairs else ('image',)
        sample: Sample = {
            key: self._bands.read(dates[number]) for key, number in zip(keys, chosen, strict=True)
        }
        sample['wavelengths'] = self.wavelengths.clone()
        return sample if self.transforms is None else self.transforms(sample)


def _read(path: Path) -> NDArray[np.generic]:
    if not path.is_file():
        raise BadInput(f'{path} is listed but not there.', 'Download the data again.')
    with rasterio.open(path) as dataset:
        values: NDArray[np.generic] = dataset.read()
    return values


class _Bands(NamedTuple):
    """Bands of patches, and which of them to give.

    Attributes:
        total: How many there are in a file.
        places: Which ones to give.
        wavelengths: Their centres in micrometres (s,).
    """

    total: int
    places: list[int]
    wavelengths: torch.Tensor

    @classmethod
    def of(cls, images: str, places: Sequence[int] | None) -> '_Bands':
        """Choose bands of a sensor.

        Raises:
            BadParameter: If there is no such band.
        """
        centres = _wavelengths(images)
        chosen = list(range(len(centres)) if places is None else places)
        strange = [place for place in chosen if not 0 <= place < len(centres)]
        if strange or not chosen:
            raise BadParameter(
                f'bands: {strange or "there are none"}.',
                f'Give places from 0 to {len(centres) - 1}.',
            )
        return cls(len(centres), chosen, centres[chosen])

    def read(self, path: Path) -> torch.Tensor:
        """Read them (s, h, w).

        Raises:
            BadInput: If the file is missing or has other bands.
        """
        image = _read(path)
        if len(image) != self.total:
            raise BadInput(
                f'{path} has {len(image)} bands, but patches of its sensor have {self.total} here.',
                'Check that it is a file of SpectralEarth.',
            )
        return torch.from_numpy(image[self.places].astype('float32'))


def _wavelengths(images: str) -> torch.Tensor:
    """Give the centres of the bands that SpectralEarth kept of a sensor, in its order."""
    name = _SENSORS[images]
    centres = {band.name: band.wavelength or 0 for band in sensor(name).bands}
    if images == 'enmap':
        return torch.tensor(sorted(centres[band] for band in EnMAP.default_bands))
    kept = _HYPERION if images == 'eo1' else centres
    return torch.tensor([centres[band] for band in kept])
