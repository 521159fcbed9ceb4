"""Published images of two dates in folders, with label images: the base of their datasets.

A subclass says in class attributes what its folders are called and what is in them. Different
tools rename the folders of one dataset; any of the usual names is taken.

Axes: t date (2), c channel, h height, w width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample, check_integrity, download_url, extract_archive

from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._pair_figure import Color, draw_pair
from torchgeo_ext.datasets._pair_files import (
    IGNORE,
    SUFFIXES,
    image_size,
    read_binary,
    read_classes,
    read_pixels,
)
from torchgeo_ext.datasets._rgb import rgb_places
from torchgeo_ext.errors import BadInput, BadParameter

BEFORE = ('A', 'T1', 'time1', 'im1', 'image1', 'Image1', 't1_images')
AFTER = ('B', 'T2', 'time2', 'im2', 'image2', 'Image2', 't2_images')
CHANGE = ('label', 'GT', 'GT_CD', 'OUT', 'labels_change')

#: Files that name the samples of a split.
_LISTS = ('list/{}.txt', '{}.txt', '{}_list.txt', '{}_info.txt', 'splits/{}*.txt')

#: Folders of pseudo-labels: of change, of the first date and of the second.
PSEUDO_LABELS = ('change', 'A', 'B')

#: What one row of :attr:`ChangePairs.mean` looks like.
type Bands = tuple[float, ...]

#: ImageNet's figures for values from 0 to 255, which most published systems use for any RGB image.
IMAGENET_MEAN: tuple[Bands, ...] = ((123.675, 116.28, 103.53),)
IMAGENET_STD: tuple[Bands, ...] = ((58.395, 57.12, 57.375),)


@dataclass(frozen=True)
class Pair:
    """The files of a pair.

    Attributes:
        images: The image before and the one after; a single one where there is no other.
        labels: One file for each name in ``label_folders``.
    """

    images: tuple[Path, ...]
    labels: tuple[Path, ...]


class ChangePairs(NonGeoDataset):
    """Pairs of images with a mask of what changed.

    Args:
        root: Folder with the data, or with its archive as published.
        split: One of ``splits``.
        bands: Names of the bands to give, in this order; all if not given.
        transforms: Called with each sample.
        download: Fetch the data if it is not there; only if the class has a ``url``.
        checksum: Compare the SHA-256 of the archive, if the class has one.
        tile_size: Cut images into squares of so many pixels, each a sample of its own; what is
            left over at the right and the lower edge is not used. Whole images if not given.
        pseudo_labels: Folder that :func:`~torchgeo_ext.datasets.write_pseudo_labels` has written,
            or the authors of SemiCD-VL: ``{change,A,B}/*.png``. Samples of the split ``train`` then
            have ``mask_pseudo`` (1, h, w) and ``mask_pseudo_dates`` (2, h, w), -1 where unknown.

    Raises:
        BadParameter: If split, bands or tile size cannot be.
        DatasetNotFoundError: If the data is not there and shall not or cannot be downloaded.
        BadInput: If images lack their partner.
    """

    #: Where the data is to be had, and what the folders look like.
    page: ClassVar[str]
    layout: ClassVar[str] = '{split}/{A,B,label}/*.png'
    splits: ClassVar[tuple[str, ...]] = ('train', 'val', 'test')
    #: Folders that archives unpack to; ``root`` itself is looked into first.
    directories: ClassVar[tuple[str, ...]] = ()
    archives: ClassVar[tuple[str, ...]] = ()
    url: ClassVar[str | None] = None
    sha256: ClassVar[str | None] = None
    #: Names that folders of each kind have.
    before_folders: ClassVar[tuple[str, ...]] = BEFORE
    after_folders: ClassVar[tuple[str, ...]] = AFTER
    label_folders: ClassVar[tuple[tuple[str, ...], ...]] = (CHANGE,)

    all_bands: tuple[str, ...] = ('red', 'green', 'blue')
    rgb_bands: tuple[str, ...] = ('red', 'green', 'blue')
    classes: tuple[str, ...] = ('unchanged', 'changed')
    #: One for each class.
    colors: tuple[Color, ...] = ('black', 'white')
    #: Published mean and standard deviation in the order of ``all_bands``: a row for each date or
    #: one for both.
    mean: ClassVar[tuple[Bands, ...]] = IMAGENET_MEAN
    std: ClassVar[tuple[Bands, ...]] = IMAGENET_STD

    def __init__(
        self,
        root: AnyPath = 'data',
        split: str = 'train',
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        download: bool = False,
        checksum: bool = True,
        *,
        tile_size: int | None = None,
        pseudo_labels: AnyPath | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        self.split = one_of('split', split, self.splits)
        self.bands = tuple(one_of('bands', b, self.all_bands) for b in bands or self.all_bands)
        if tile_size is not None and tile_size < 1:
            raise BadParameter(f'tile_size is {tile_size}; it must be positive.')
        self.transforms = transforms
        self.checksum = checksum
        self.pseudo_labels = pseudo_labels if split == 'train' else None
        if self.url is not None:
            self.download = download
        self.pairs = self._load_files(self._verify())
        if not self.pairs:
            raise PublishedNotFoundError(self)
        self.tiles = list(self._cut(tile_size))
        if not self.tiles:
            raise BadParameter(f'tile_size is {tile_size}, which is larger than every image.')

    def __len__(self) -> int:
        """Count the samples of the split."""
        return len(self.tiles)

    def __getitem__(self, index: int) -> Sample:
        """Read a pair.

        Args:
            index: Number of the sample.

        Returns:
            ``image`` float32 (2, c, h, w) with values as stored, and what the labels tell.

        Raises:
            BadInput: If the images of a pair differ in size, or labels have unknown values.
        """
        number, window = self.tiles[index]
        pair = self.pairs[number]
        sample: Sample = {'image': self.load_images(pair, window), **self._targets(number, window)}
        if self.pseudo_labels is not None:
            sample |= _load_pseudo_labels(Path(self.pseudo_labels), pair.images[0].stem, window)
        _check_sizes(sample, pair)
        return sample if self.transforms is None else self.transforms(sample)

    def _targets(self, number: int, window: Window | None) -> dict[str, Any]:
        """Give what is to be learned of a pair besides its images."""
        return self._load_labels(self.pairs[number], window)

    def _load_labels(self, pair: Pair, window: Window | None) -> Sample:
        """Give ``mask`` int64 (1, h, w): 1 where something changed."""
        return {'mask': torch.from_numpy(read_binary(pair.labels[0], window))[None]}

    def load_images(self, pair: Pair, window: Window | None = None) -> Tensor:
        """Read the images (t, c, h, w) of a pair, or a part of them."""
        images = [self._load_image(path, window) for path in pair.images]
        _check_same(images, pair.images)
        return torch.from_numpy(np.stack(images))

    def _load_image(self, path: Path, window: Window | None) -> NDArray[np.float32]:
        values = read_pixels(path, window, 'RGB')
        places = [self.all_bands.index(band) for band in self.bands]
        if max(places) >= len(values):
            raise BadInput(f'{path} has {len(values)} bands instead of {len(self.all_bands)}.')
        return values[places].astype(np.float32)

    def _cut(self, size: int | None) -> Iterator[tuple[int, Window | None]]:
        """Yield number and part of a pair for each sample."""
        for number, pair in enumerate(self.pairs):
            if size is None:
                yield number, None
                continue
            height, width = image_size(pair.images[0])
            for row in range(0, height - size + 1, size):
                for column in range(0, width - size + 1, size):
                    yield number, Window(column, row, size, size)

    def _verify(self) -> Path:
        """Find the data, unpack its archives, or fetch them; give the folder that holds it."""
        base = self._find()
        if base is None:
            self._unpack()
            base = self._find()
        if base is None:
            raise PublishedNotFoundError(self)
        return base

    def _find(self) -> Path | None:
        bases = [self.root, *(self.root / directory for directory in self.directories)]
        return next((base for base in bases if self._holds(base)), None)

    def _unpack(self) -> None:
        """Unpack the archives in the folder, or that which is downloaded."""
        archives = sorted(path for name in self.archives for path in self.root.glob(name))
        if not archives and self.url is not None and self.download:
            name = Path(self.url.partition('?')[0]).name
            download_url(self.url, self.root, name, sha256=self.sha256 if self.checksum else None)
            archives = [self.root / name]
        for archive in archives:
            if self.checksum and not check_integrity(archive, sha256=self.sha256):
                raise BadInput(f'{archive} is not what was published.', f'See {self.page}.')
            extract_archive(archive, self.root)

    def _holds(self, base: Path) -> bool:
        """Tell whether a folder holds the split."""
        return self._folders(base) is not None

    def _folders(self, base: Path) -> list[Path] | None:
        """Find the folder of each kind of file of the split."""
        return self._search(base, (self.before_folders, self.after_folders, *self.label_folders))

    def _search(self, base: Path, kinds: Sequence[Sequence[str]]) -> list[Path] | None:
        # pairs of several splits lie together only if a list tells them apart
        together = [base / 'train', base] if self._list_of(base) else []
        for place in [base / self.split, *together]:
            folders = [_first(place / name for name in names) for names in kinds]
            if all(folders):
                return [folder for folder in folders if folder]
        return None

    def _list_of(self, base: Path) -> Path | None:
        """Find the file that lists the samples of the split."""
        return _first(path for name in _LISTS for path in base.glob(name.format(self.split)))

    def _load_files(self, base: Path) -> list[Pair]:
        """Find the files of each pair of the split, sorted by name or as listed."""
        folders, listed = self._folders(base), self._list_of(base)
        assert folders is not None
        kinds = [by_stem(folder) for folder in folders]
        names = sorted(kinds[0]) if listed is None else _read_list(listed)
        return [
            _pair([_partner(name, folders, kinds, place, listed) for place in range(len(kinds))])
            for name in names
        ]

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw a pair, its labels and, if there is one, the ``prediction``.

        Args:
            sample: A sample as this dataset gives it.
            show_titles: Write what is what above.
            suptitle: Title of the figure.

        Raises:
            RGBBandsMissingError: If red, green or blue is not among the bands.
        """
        rgb = rgb_places(self.bands, self.rgb_bands)
        return draw_pair(sample, rgb, self.colors, show_titles=show_titles, suptitle=suptitle)


class SemanticPairs(ChangePairs):
    """Pairs of images with the land cover of both dates.

    A sample has ``mask`` int64 (2, h, w), the class of each date numbered from 1, and
    ``mask_change`` int64 (1, h, w), 1 where something changed. In both -1 means no label. Some
    datasets tell land cover everywhere, others only where something changed and 0 elsewhere;
    :func:`changed_classes` brings both to the latter form, which is that of
    :mod:`torchgeo_ext.metrics.semantic_change`.
    """

    label_folders: ClassVar[tuple[tuple[str, ...], ...]] = (
        ('labelA', 'label1', 'GT_T1', 'im1_label'),
        ('labelB', 'label2', 'GT_T2', 'im2_label'),
    )
    #: Class of each stored value.
    table: ClassVar[Mapping[int, int]]

    def _load_labels(self, pair: Pair, window: Window | None) -> Sample:
        maps = [self._load_classes(path, window) for path in pair.labels]
        _check_same(maps, pair.labels)
        mask = torch.from_numpy(np.stack(maps))
        return {'mask': mask, 'mask_change': self._change(mask)[None]}

    def _load_classes(self, path: Path, window: Window | None) -> NDArray[np.int64]:
        """Read the classes (h, w) of one date."""
        return read_classes(path, self.table, window)

    def _change(self, mask: Tensor) -> Tensor:
        """Tell from the classes (2, h, w) where something changed."""
        differs = mask[0].ne(mask[1]).long()
        return differs.where(mask.ge(0).all(dim=0), -1)


def changed_classes(mask: Tensor, change: Tensor) -> Tensor:
    """Give the classes of both dates where something changed, 0 elsewhere.

    Args:
        mask: (..., 2, h, w) classes, -1 = no label.
        change: (..., 1, h, w): 0 unchanged, 1 changed, -1 = no label.

    Returns:
        (..., 2, h, w) what :mod:`torchgeo_ext.metrics.semantic_change` compares.
    """
    return mask.where(change != 0, 0).where(change >= 0, -1)


def one_of(argument: str, value: str, known: Sequence[str]) -> str:
    """Refuse what is not known."""
    if value not in known:
        raise BadParameter(f'{argument}: {value!r} is not one of {", ".join(known)}.')
    return value


def _first(paths: Iterator[Path]) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def by_stem(folder: Path) -> dict[str, Path]:
    """Images of a folder by their names without suffix."""
    return {p.stem: p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES}


def _read_list(path: Path) -> list[str]:
    """Names of samples, one per line, without folders and suffixes."""
    names = [Path(line.split()[0]) for line in path.read_text().splitlines() if line.strip()]
    return [name.stem if name.suffix.lower() in SUFFIXES else name.name for name in names]


def _partner(
    name: str,
    folders: Sequence[Path],
    kinds: Sequence[Mapping[str, Path]],
    place: int,
    listed: Path | None,
) -> Path:
    """Give the file of one kind that a sample has."""
    path = kinds[place].get(name)
    if path is None:
        source = listed if listed and name not in kinds[0] else kinds[0][name]
        raise BadInput(
            f'{source} has no partner {folders[place] / name}.*.',
            'Unpack the dataset again, or take the name off the list.',
        )
    return path


def _pair(files: Sequence[Path]) -> Pair:
    return Pair((files[0], files[1]), tuple(files[2:]))


def _check_sizes(sample: Sample, pair: Pair) -> None:
    for key in ('mask', 'mask_change', 'mask_pseudo', 'mask_pseudo_dates'):
        if key in sample and sample[key].shape[-2:] != sample['image'].shape[-2:]:
            raise BadInput(
                f'{pair.labels[0]} has {_size(sample[key])} pixels, {pair.images[0]} '
                f'{_size(sample["image"])}.',
                'Labels must have the size of the images.',
            )


def _load_pseudo_labels(folder: Path, name: str, window: Window | None) -> Sample:
    """Read what another source than labels says of change and of both dates."""
    maps = []
    for kind in PSEUDO_LABELS:
        path = folder / kind / f'{name}.png'
        if not path.is_file():
            raise BadInput(
                f'pseudo_labels: {path} is missing.',
                'Write the folder with write_pseudo_labels, or leave pseudo_labels out.',
            )
        maps.append(torch.from_numpy(read_classes(path, {0: 0, 1: 1, 255: IGNORE}, window)))
    change, *dates = maps
    return {'mask_pseudo': change[None], 'mask_pseudo_dates': torch.stack(dates)}


def _check_same(values: Sequence[NDArray[Any]], paths: Sequence[Path]) -> None:
    for other, path in zip(values, paths, strict=True):
        if other.shape != values[0].shape:
            raise BadInput(
                f'{paths[0]} has {_size(values[0])} pixels, {path} {_size(other)}.',
                'Both dates must be of one size.',
            )


def _size(values: NDArray[Any] | Tensor) -> str:
    return f'{values.shape[-2]} x {values.shape[-1]}'
