"""Images of one's own of which it is known where they were taken.

Axes: t images of one place, c channel, h height, w width.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path as AnyPath
from torchgeo.datasets.utils import Sample

from torchgeo_ext.cells import check_places, degrees_of, unit_vectors, within_180
from torchgeo_ext.datasets._files import expand
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.points import PointLayer
from torchgeo_ext.inference.reader import RasterSource, open_raster

#: What columns of a table are called, in small letters.
_FILE = ('file', 'filename', 'file_name', 'fn', 'path', 'image')
_LONGITUDE = ('longitude', 'lon', 'lng', 'long', 'x')
_LATITUDE = ('latitude', 'lat', 'y')

#: Shares of the values of a band that a figure shows darkest, and brightest.
_STRETCH = (0.02, 0.98)


@dataclass(frozen=True)
class Place:
    """A place, and the images of it.

    Attributes:
        files: One, or several of an album.
        longitude: In degrees.
        latitude: In degrees.
    """

    files: tuple[str, ...]
    longitude: float
    latitude: float


class PlacedImages(NonGeoDataset):
    """Images with their places, for learning to tell where an image was taken.

    Places are those of a table, or the middles of georeferenced rasters. A sample has ``image``
    (c, h, w), stored pixel values of a square in the middle of the image, and ``point`` (2),
    longitude and latitude in double precision. Images that are smaller than the square are
    enlarged.

    With ``album_field`` a sample is a place of which there are several images: ``image`` is
    (t, c, h, w), a random choice in random order; images are repeated where there are too few.

    Args:
        root: Folder of the images; with a table, that its file names begin in.
        table: CSV file with columns of files, longitudes and latitudes (WGS 84), or layer of points
            with a field of files. By default all rasters in ``root`` are taken.
        file_field: Name of the column with files; by default one called ``file``, ``filename``,
            ``fn``, ``path`` or ``image``.
        longitude_field: Name of the column with longitudes in a CSV file; by default ``longitude``,
            ``lon``, ``lng`` or ``x``.
        latitude_field: Likewise ``latitude``, ``lat`` or ``y``.
        album_field: Name of the column that images of one place share.
        album_size: Images of an album in a sample.
        bands: Numbers of the bands, from 1; all but alpha if not given.
        size: Height and width of samples in pixels.
        random_crop: Take the square anywhere in the image instead of its middle.
        fill: Given to pixels without a value, one for each band or one for all.
        transforms: Called with each sample.

    Raises:
        BadInput: If there are no images, files are missing, the table cannot be read, an image has
            no place or one out of range.
        BadParameter: If the table has no such column, or a number cannot be used.
    """

    def __init__(
        self,
        root: AnyPath = 'data',
        table: str | None = None,
        *,
        file_field: str | None = None,
        longitude_field: str | None = None,
        latitude_field: str | None = None,
        album_field: str | None = None,
        album_size: int = 1,
        bands: Sequence[int] | None = None,
        size: int = 256,
        random_crop: bool = False,
        fill: Sequence[float] = (0.0,),
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        if size < 1 or album_size < 1:
            raise BadParameter(
                f'size is {size} and album_size {album_size}; both must be 1 or more.'
            )
        self.root = Path(root)
        self.albums = album_field is not None
        if table is None and self.albums:
            raise BadParameter(
                f'album_field is {album_field!r}, but there is no table.',
                'Give the table that has it, or leave it out.',
            )
        if table is None:
            self.places = list(_places_of_rasters(str(self.root)))
        else:
            fields = (file_field, longitude_field, latitude_field, album_field)
            self.places = list(_places_of_table(self.root, table, *fields))
        check_places(self.points, 'root')
        self.album_size, self.size, self.random_crop = album_size, size, random_crop
        self.bands = None if bands is None else tuple(bands)
        self.fill = tuple(fill)
        self.transforms = transforms

    @property
    def points(self) -> NDArray[np.float64]:
        """Longitudes and latitudes (n, 2) of all samples."""
        return np.array([(place.longitude, place.latitude) for place in self.places])

    @property
    def first_file(self) -> str:
        """One of the images."""
        return self.places[0].files[0]

    def select(self, numbers: Sequence[int] | NDArray[np.int64], **changes: Any) -> Self:
        """Take some of the samples.

        Args:
            numbers: Their positions.
            changes: Other attributes than these samples have so far, such as ``random_crop``.
        """
        chosen = copy.copy(self)
        chosen.places = [self.places[number] for number in numbers]
        vars(chosen).update(changes)
        return chosen

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        """Read a sample.

        Raises:
            BadInput: If an image cannot be read, or has other bands than the first one.
        """
        place = self.places[index]
        images = [self._read(file) for file in self._chosen(place)]
        image = torch.stack(images) if self.albums else images[0]
        point = torch.tensor([place.longitude, place.latitude], dtype=torch.float64)
        sample: Sample = {'image': image, 'point': point}
        return sample if self.transforms is None else self.transforms(sample)

    def _chosen(self, place: Place) -> list[str]:
        """Choose images of a place: each once before one comes again."""
        wanted = self.album_size if self.albums else 1
        rounds = -(-wanted // len(place.files))
        order = [n for _ in range(rounds) for n in torch.randperm(len(place.files)).tolist()]
        return [place.files[number] for number in order[:wanted]]

    def pixels(self, file: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read the square of an image that a sample shows.

        Args:
            file: The image.

        Returns:
            Values (c, h, w), and which of them are valid (h, w).

        Raises:
            BadInput: If it cannot be read, or has other bands than the first image.
        """
        with RasterSource(file, self.bands, argument='root').open() as reader:
            self._check_bands(file, len(reader.bands))
            side = min(self.size, reader.grid.height, reader.grid.width)
            row, column = (self._start(length - side) for length in reader.grid.shape)
            return reader.read(Window(column, row, side, side))

    def _read(self, file: str) -> Tensor:
        """Read an image (c, size, size) without gaps."""
        values, valid = self.pixels(file)
        values[:, ~valid] = np.array(self.fill, np.float32)[:, None]
        image = torch.from_numpy(values)
        if image.shape[-1] < self.size:
            image = F.interpolate(
                image[None], (self.size, self.size), mode='bilinear', antialias=True
            )[0]
        return image

    def _start(self, free: int) -> int:
        return int(torch.randint(free + 1, ())) if self.random_crop else free // 2

    def _check_bands(self, file: str, number: int) -> None:
        if not hasattr(self, '_number'):
            with RasterSource(self.first_file, self.bands, argument='root').open() as reader:
                self._number = len(reader.bands)
        if number != self._number:
            raise BadInput(
                f'root: {file} has {number} bands, but {self.first_file} has {self._number}.',
                'Give the numbers of those that all images have with bands.',
            )

    def plot(self, sample: Sample, suptitle: str | None = None) -> Figure:
        """Draw the first bands of a sample, and say where it is.

        Args:
            sample: One of this dataset.
            suptitle: Title of the figure.
        """
        images = sample['image'] if sample['image'].ndim == 4 else sample['image'][None]
        figure, axes = plt.subplots(1, len(images), squeeze=False)
        for axis, image in zip(axes[0], images, strict=True):
            shown = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
            low, high = torch.quantile(shown.flatten(1), torch.tensor(_STRETCH), dim=1)[..., None]
            scaled = (shown - low[..., None]) / (high - low).clamp(min=1e-6)[..., None]
            axis.imshow(scaled.clamp(0, 1).movedim(0, -1))
            axis.axis('off')
        longitude, latitude = sample['point'].tolist()
        axes[0, 0].set_title(f'{longitude:.4f}, {latitude:.4f}')
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure


def _places_of_rasters(root: str) -> Iterator[Place]:
    """Take the middle of each raster for its place."""
    for file in expand(root, 'root'):
        with open_raster(file, 'root') as dataset:
            middle = Grid.of(dataset, 'root').middle('root')
        if middle is None:
            raise BadInput(
                f'root: {file} has no coordinate reference system, so nobody knows where it is.',
                'Assign the right one, or give a table of places.',
            )
        yield Place((file,), *middle)


def _places_of_table(
    root: Path,
    table: str,
    file_field: str | None,
    longitude_field: str | None,
    latitude_field: str | None,
    album_field: str | None,
) -> Iterator[Place]:
    frame, points = _read_table(table, longitude_field, latitude_field)
    names = frame[_field(frame, file_field, 'file_field', _FILE, table)]
    files = [str(root / str(name)) for name in names]
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise BadInput(
            f'table: {len(missing)} of the {len(files)} files that {table} names are not there, '
            f'for instance {missing[0]}.',
            'Give the folder that the names begin in as root.',
        )
    owners = range(len(files)) if album_field is None else frame[
        _field(frame, album_field, 'album_field', (), table)
    ]  # fmt: skip
    albums: dict[Any, list[int]] = {}
    for number, owner in enumerate(owners):
        albums.setdefault(owner, []).append(number)
    for numbers in albums.values():
        middle = degrees_of(unit_vectors(points[numbers]).sum(axis=0)).tolist()
        yield Place(tuple(files[number] for number in numbers), *middle)


def _read_table(
    table: str, longitude_field: str | None, latitude_field: str | None
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Read a table and the places in it (n, 2)."""
    if Path(table).suffix.lower() != '.csv':
        batches = list(PointLayer.open(table, 'table').batches())
        frames = [b.features.table.drop_columns(b.features.geometry).to_pandas() for b in batches]
        places = within_180(np.concatenate([batch.places for batch in batches]))
        return pd.concat(frames, ignore_index=True), check_places(places, f'table: {table}')
    try:
        frame = pd.read_csv(table)
    except (OSError, ValueError) as error:
        raise BadInput(
            f'table: {table} cannot be read ({error}).', 'Choose a CSV file or a layer of points.'
        ) from error
    fields = [
        _field(frame, longitude_field, 'longitude_field', _LONGITUDE, table),
        _field(frame, latitude_field, 'latitude_field', _LATITUDE, table),
    ]
    return frame, check_places(frame[fields].to_numpy(np.float64), f'table: {table}')


def _field(
    frame: pd.DataFrame, given: str | None, argument: str, usual: Sequence[str], table: str
) -> str:
    """Find a column by its name, or by those that are usual."""
    names = [str(name) for name in frame.columns]
    if given is not None:
        found = [given] if given in names else []
    else:
        found = [name for word in usual for name in names if name.lower() == word]
    if not found:
        wanted = repr(given) if given is not None else f'called {", ".join(usual)}'
        raise BadParameter(
            f'{argument}: {table} has no column {wanted}, but {", ".join(names)}.',
            'Name the right one.',
        )
    return found[0]
