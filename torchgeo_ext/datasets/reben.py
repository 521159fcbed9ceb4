"""reBEN (BigEarthNet v2): bands by name, in the units and the order of its published networks.

Axes: c channel, h height, w width, k classes.
"""

import shutil
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torchgeo.datasets import BigEarthNetV2, NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import (
    Sample,
    check_integrity,
    download_url,
    extract_archive,
    quantile_normalization,
)

from torchgeo_ext.datasets._change_pairs import one_of
from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._pair_figure import colormap
from torchgeo_ext.datasets._pair_files import IGNORE, read_pixels
from torchgeo_ext.datasets._rgb import rgb_places
from torchgeo_ext.datasets._safetensors_store import SafetensorsStore
from torchgeo_ext.errors import BadInput

_S1 = ('VV', 'VH')
_S2 = ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
#: What the metadata call the splits.
_SPLITS = {'train': 'train', 'val': 'validation', 'test': 'test'}
#: Fields of a patch's name that do not belong to its scene.
_FIELDS = {'s1': 3, 's2': 2, 'maps': 2}
_MD5_DIGITS = 32
_MAP = 'reference_map'


class ReBEN(NonGeoDataset):
    """`reBEN, BigEarthNet v2 <https://bigearth.net>`_, as its authors' networks read it.

    * 549,488 pairs of Sentinel-1 and Sentinel-2 patches of 120 x 120 pixels, 10 m, of Europe;
      coarser bands are repeated to 120 x 120
    * ``label`` for 19 classes of land cover, and a map of them
    * the published split, which keeps places apart: ``metadata.parquet`` has it
    * statistics: those of the authors' loader, of the training split at 120 x 120 pixels

    TorchGeo's ``BigEarthNetV2`` gives Sentinel-1 as VH, VV in whole decibels, interpolates coarse
    bands, leaves codes of land cover that belong to no class in its masks, and compares the MD5 of
    two of its files as if it were a SHA-256. Here bands come as they are named, with values as
    stored, pixels without class are -1, and each file is compared with the right one.

    The heads of the published networks have the classes sorted by name, TorchGeo has them in the
    order of CORINE: ``order`` chooses, :meth:`reorder` goes from one to the other.

    Licence: see its page. The original archives, ``*.tar.zst``, are to be unpacked by hand;
    ``download`` fetches TorchGeo's copy.

    Clasen, K. et al. (2024). reBEN: refined BigEarthNet dataset for remote sensing image analysis.
    https://arxiv.org/abs/2407.03653

    Args:
        root: Folder with the data, or with TorchGeo's archives.
        split: ``train``, ``val`` or ``test``.
        bands: Names of the bands to give, in this order, or ``s1`` (VV, VH), ``s2`` (the ten bands
            of 10 and 20 m) or ``all`` (both), which the published networks read. Only what they
            need has to be there.
        transforms: Called with each sample.
        download: Fetch the data if it is not there.
        checksum: Compare the digests of archives.
        order: ``corine`` or ``sorted``.
        maps: Give the map of each patch as ``mask`` too.
        lmdb: Folder of the LMDB that rico-hdl (https://github.com/kai-tub/rico-hdl) made of the
            patches, to be read instead of their files; needs the package lmdb. ``root`` then
            has the metadata alone.

    Raises:
        BadParameter: If split, bands or order cannot be.
        DatasetNotFoundError: If the data is not there and shall not be downloaded.
        BadInput: If an archive is not what was published, or there is no LMDB.
        MissingDependency: If lmdb is not installed, but needed.
    """

    page: ClassVar[str] = 'https://bigearth.net'
    layout: ClassVar[str] = (
        'metadata.parquet, {BigEarthNet-S1,BigEarthNet-S2,Reference_Maps}/*/*/*.tif'
    )
    splits: ClassVar[tuple[str, ...]] = tuple(_SPLITS)
    size: ClassVar[int] = 120
    all_bands: tuple[str, ...] = (
        *_S1, 'B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B11', 'B12',
    )  # fmt: skip
    rgb_bands: tuple[str, ...] = ('B04', 'B03', 'B02')
    band_sets: ClassVar[dict[str, tuple[str, ...]]] = {'s1': _S1, 's2': _S2, 'all': (*_S1, *_S2)}
    #: Mean and standard deviation in the order of ``all_bands``.
    mean: ClassVar[tuple[float, ...]] = (
        -12.6439, -19.3526, 361.0768, 438.3721, 614.0557, 588.4096, 942.8433, 1769.9316, 2049.5515,
        2193.2920, 2235.5566, 2241.4553, 1568.2268, 997.7325,
    )  # fmt: skip
    std: ClassVar[tuple[float, ...]] = (
        5.1335, 5.5905, 575.0687, 607.0270, 603.2968, 684.5688, 738.4327, 1100.4561, 1275.8054,
        1369.3717, 1356.5441, 1316.3933, 1070.1613, 813.5276,
    )  # fmt: skip

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        bands: Sequence[str] | str = 'all',
        transforms: Callable[[Sample], Sample] | None = None,
        download: bool = False,
        checksum: bool = True,
        *,
        order: Literal['corine', 'sorted'] = 'corine',
        maps: bool = False,
        lmdb: AnyPath | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.split = one_of('split', split, self.splits)
        self.bands = self.choose(bands)
        self.classes = self.class_order(order)
        self.colors = tuple(BigEarthNetV2.clc_colors[name] for name in self.classes)
        self.transforms = transforms
        self.download = download
        self.checksum = checksum
        self.maps = maps
        self.store = None if lmdb is None else SafetensorsStore(Path(lmdb).expanduser())
        self._verify()
        table = pd.read_parquet(
            self.root / BigEarthNetV2.dir_file_names['metadata'],
            columns=['patch_id', 's1_name', 'labels', 'split'],
        )
        self.patches = table[table['split'] == _SPLITS[split]].reset_index(drop=True)
        if self.patches.empty:
            raise PublishedNotFoundError(self)

    @classmethod
    def choose(cls, bands: Sequence[str] | str) -> tuple[str, ...]:
        """Give the names of bands, or of those of a set.

        Args:
            bands: Names, or ``s1``, ``s2`` or ``all``.

        Raises:
            BadParameter: If there is no such band or set.
        """
        if isinstance(bands, str):
            return cls.band_sets[one_of('bands', bands, tuple(cls.band_sets))]
        return tuple(one_of('bands', band, cls.all_bands) for band in bands)

    @staticmethod
    def class_order(order: str) -> tuple[str, ...]:
        """Give the names of the classes.

        Args:
            order: ``corine``, as in TorchGeo, or ``sorted``, as in the published networks.

        Raises:
            BadParameter: If it is neither.
        """
        names = tuple(BigEarthNetV2.class_set)
        return {'corine': names, 'sorted': tuple(sorted(names))}[
            one_of('order', order, ('corine', 'sorted'))
        ]

    @classmethod
    def reorder(cls, values: Tensor, order: Literal['corine', 'sorted']) -> Tensor:
        """Bring labels or logits (..., 19) from the other order to this one.

        Args:
            values: One for each class.
            order: Order of the result.
        """
        other = cls.class_order('sorted' if order == 'corine' else 'corine')
        return values[..., [other.index(name) for name in cls.class_order(order)]]

    def __len__(self) -> int:
        """Count the patches of the split."""
        return len(self.patches)

    def __getitem__(self, index: int) -> Sample:
        """Read a patch.

        Args:
            index: Number of the patch.

        Returns:
            ``image`` float32 (c, 120, 120) with values as stored (reflectance times 10,000, and
            decibels), ``label`` int64 (19,) of 0 and 1, and with ``maps`` ``mask`` int64
            (120, 120), -1 = no class.

        Raises:
            BadInput: If a file is missing, or a label is not known.
        """
        sample: Sample = {'image': self._load_image(index), 'label': self._load_label(index)}
        if self.maps:
            sample['mask'] = self._load_map(index)
        return sample if self.transforms is None else self.transforms(sample)

    def _load_image(self, index: int) -> Tensor:
        """Read the bands (c, h, w), brought to one size."""
        s1 = [band for band in self.bands if band in _S1]
        s2 = [band for band in self.bands if band not in _S1]
        values = self._read(index, 's1', s1) | self._read(index, 's2', s2)
        return torch.stack([self._resize(values[band]) for band in self.bands])

    def _resize(self, values: NDArray[Any]) -> Tensor:
        band = torch.from_numpy(values.astype(np.float32))
        size = (self.size, self.size)
        if band.shape == size:
            return band
        return nn.functional.interpolate(band[None, None], size, mode='nearest')[0, 0]

    def _read(self, index: int, kind: str, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Read bands (h, w) of a sensor, or the map, of a patch."""
        if self.store is None or not names:
            return {name: read_pixels(self._path(index, kind, name))[0] for name in names}
        patch = self._patch(index, kind)
        # of the map, the name belongs to the patch
        keys = {_MAP: 'Data'} if kind == 'maps' else {name: name for name in names}
        stored = self.store.read(f'{patch}_{_MAP}' if kind == 'maps' else patch)
        missing = [key for key in keys.values() if key not in stored]
        if missing:
            raise BadInput(f'{self.store.path}: {patch} has no {missing[0]}, but {sorted(stored)}.')
        return {name: stored[key] for name, key in keys.items()}

    def _load_map(self, index: int) -> Tensor:
        codes = self._read(index, 'maps', (_MAP,))[_MAP]
        mask = np.full(codes.shape, IGNORE, np.int64)
        for code, number in BigEarthNetV2.clc_codes.items():
            mask[codes == code] = self.classes.index(BigEarthNetV2.class_set[number])
        return torch.from_numpy(mask)

    def _load_label(self, index: int) -> Tensor:
        names = self.patches.at[index, 'labels']
        strange = [name for name in names if name not in self.classes]
        if strange:
            raise BadInput(
                f'{self.patches.at[index, "patch_id"]} has the label {strange[0]!r}, which is not '
                'one of the 19 classes.',
                'Download metadata.parquet of BigEarthNet v2 again.',
            )
        return torch.tensor([int(name in names) for name in self.classes])

    def _patch(self, index: int, kind: str) -> str:
        return str(self.patches.at[index, 's1_name' if kind == 's1' else 'patch_id'])

    def _path(self, index: int, kind: str, name: str) -> Path:
        patch = self._patch(index, kind)
        scene = '_'.join(patch.split('_')[: -_FIELDS[kind]])
        place = self.root / BigEarthNetV2.dir_file_names[kind] / scene / patch
        path = place / f'{patch}_{name}.tif'
        if not path.is_file():
            raise BadInput(f'{path} is missing.', 'Unpack the dataset again.')
        return path

    def _verify(self) -> None:
        """Find what is needed, unpack it or fetch it."""
        needed = {'metadata': True}
        if self.store is None:
            needed |= self._needed()
        for kind, wanted in needed.items():
            if wanted and not (self.root / BigEarthNetV2.dir_file_names[kind]).exists():
                self._fetch(kind)

    def _needed(self) -> dict[str, bool]:
        bands = set(self.bands)
        return {'maps': self.maps, 's1': bool(bands & set(_S1)), 's2': bool(bands - set(_S1))}

    def _fetch(self, kind: str) -> None:
        files = BigEarthNetV2.metadata_locs[kind]['files']
        if not self.download and not all((self.root / name).is_file() for name in files):
            raise PublishedNotFoundError(self)
        for name, digest in files.items():
            of_md5 = len(digest) == _MD5_DIGITS
            md5 = digest if of_md5 and self.checksum else None
            sha256 = digest if not of_md5 and self.checksum else None
            if not (self.root / name).is_file():
                url = BigEarthNetV2.url.format(name)
                download_url(url, self.root, name, md5=md5, sha256=sha256)
            elif not check_integrity(self.root / name, md5=md5, sha256=sha256):
                raise BadInput(f'{self.root / name} is not what was published.', 'Fetch it again.')
        if kind != 'metadata':
            self._unpack(kind, [self.root / name for name in files])

    def _unpack(self, kind: str, parts: Sequence[Path]) -> None:
        """Join the parts of an archive and unpack it."""
        whole = self.root / f'{BigEarthNetV2.dir_file_names[kind]}.tar.gz'
        with whole.open('wb') as target:
            for part in parts:
                with part.open('rb') as source:
                    shutil.copyfileobj(source, target)
        extract_archive(whole, self.root)
        whole.unlink()

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw a patch and, if they are there, its ``mask`` and what ``label`` names.

        Args:
            sample: A sample as this dataset gives it; ``prediction`` (19,) of 0 and 1 is named too.
            show_titles: Write what is what above.
            suptitle: Title of the figure.

        Raises:
            RGBBandsMissingError: If red, green or blue is not among the bands.
        """
        rgb = rgb_places(self.bands, self.rgb_bands)
        maps = [sample['mask']] if 'mask' in sample else []
        number = 1 + len(maps)
        figure, axes = plt.subplots(ncols=number, figsize=(4 * number, 5), squeeze=False)
        axes[0, 0].imshow(quantile_normalization(sample['image'][rgb]).movedim(0, -1))
        for axis, mask in zip(axes[0, 1:], maps, strict=True):
            shown = {'cmap': colormap(self.colors), 'vmin': -1, 'vmax': len(self.colors) - 1}
            axis.imshow(mask, interpolation='none', **shown)
        for axis, title in zip(axes[0], [self._names(sample), 'Map'], strict=False):
            axis.axis('off')
            if show_titles:
                axis.set_title(title, fontsize='small')
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _names(self, sample: Sample) -> str:
        lines = [
            f'{key.capitalize()}: '
            + ', '.join(self.classes[k] for k in sample[key].nonzero()[:, 0])
            for key in ('label', 'prediction')
            if key in sample
        ]
        return '\n'.join(textwrap.fill(line, 50) for line in lines)
