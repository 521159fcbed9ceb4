"""One labelled hyperspectral image, as patches around its labelled pixels.

Axis letters: c bands, h height, w width, n labelled pixels, p patch.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchgeo.datasets import NonGeoDataset

from torchgeo_ext.datasets._classes import IGNORE, LabelClass, make_classes
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.reader import open_raster

Sample = dict[str, Any]


class CubeScene(NonGeoDataset):
    """A labelled image; subclasses say which.

    Each sample is a labelled pixel: ``image`` (c, p, p) float32 with what is around it, mirrored
    beyond the rim, ``label`` its class, ``place`` its row and column, and, where they are known,
    ``wavelengths`` (c,) float32 in micrometres.

    Patches of neighbouring pixels overlap, so a random split trains on the pixels it tests. Split
    with :func:`torchgeo_ext.samplers.disjoint_patches`.

    Args:
        image: MATLAB file (``.mat``, to version 7.2) with an array (h, w, c), or a raster that GDAL
            reads.
        labels: The same for an array (h, w) of class values; 0 is not labelled.
        patch_size: Height and width p of patches, an odd number.
        transforms: Applied to each sample.

    Attributes:
        cube: The image (c, h, w).
        labels: Class of each pixel (h, w) from 0, -1 where not labelled.
        places: Row and column of the labelled pixels (n, 2).
        targets: Class of each (n).
        wavelengths: Centre of each band in micrometres (c,); None where they are not known.

    Raises:
        BadInput: If files are missing, or are of another image.
        BadParameter: If the patch size is even.
    """

    #: Numbers of bands that published files have.
    bands: ClassVar[tuple[int, ...]]
    #: Height and width.
    size: ClassVar[tuple[int, int]]
    #: Names of the classes of the values 1, 2, ...
    classes: ClassVar[tuple[str, ...]]
    #: Where the files are published.
    page: ClassVar[str]

    def __init__(
        self,
        image: str | os.PathLike[str],
        labels: str | os.PathLike[str],
        patch_size: int = 9,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        if patch_size < 1 or patch_size % 2 == 0:
            raise BadParameter(
                f'patch_size is {patch_size}, but must be odd, so that it has a pixel in its '
                'middle.'
            )
        self.patch_size = patch_size
        self.transforms = transforms
        self.cube = self._read_cube(Path(image))
        self.wavelengths = self._find_wavelengths()
        self.labels = self._read_labels(Path(labels))
        self.places = np.argwhere(self.labels != IGNORE)
        self.targets = self.labels[self.labels != IGNORE]
        reach = patch_size // 2
        self._padded = np.pad(self.cube, ((0, 0), (reach, reach), (reach, reach)), mode='reflect')

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        row, column = self.places[index]
        side = self.patch_size
        patch = self._padded[:, row : row + side, column : column + side]
        sample: Sample = {
            'image': torch.from_numpy(patch.astype(np.float32)),
            'label': torch.tensor(int(self.targets[index])),
            'place': torch.tensor([int(row), int(column)]),
        }
        if self.wavelengths is not None:
            sample['wavelengths'] = self.wavelengths.clone()
        return sample if self.transforms is None else self.transforms(sample)

    def _find_wavelengths(self) -> torch.Tensor | None:
        """Give the centres of the bands of the cube, where they are known."""
        return None

    @property
    def legend(self) -> tuple[LabelClass, ...]:
        """The classes with the values of the file and colours."""
        return make_classes(range(1, len(self.classes) + 1), dict(enumerate(self.classes, 1)))

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw the spectrum of the pixel in the middle of a sample.

        Args:
            sample: As :meth:`__getitem__` gives it.
            show_titles: Whether to name the class.
            suptitle: A title for the figure.
        """
        figure = Figure(figsize=(6, 3), layout='constrained')
        axes = figure.subplots()
        middle = sample['image'].shape[-1] // 2
        axes.plot(sample['image'][:, middle, middle].numpy(), color='#4477aa')
        axes.set(xlabel='band', ylabel='value')
        if show_titles:
            names = [f'label: {self.classes[int(sample["label"])]}']
            if 'prediction' in sample:
                names.append(f'prediction: {self.classes[int(sample["prediction"])]}')
            axes.set_title(', '.join(names))
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _read_cube(self, path: Path) -> NDArray[Any]:
        values = self._read(path, 3, 'image')
        if values.shape[0] not in self.bands or values.shape[1:] != self.size:
            raise BadInput(
                f'image: {path} has {values.shape[0]} bands of {values.shape[1]} x '
                f'{values.shape[2]} pixels, but {type(self).__name__} has '
                f'{" or ".join(map(str, self.bands))} of {self.size[0]} x {self.size[1]}.',
                f'Get the file from {self.page}',
            )
        return values

    def _read_labels(self, path: Path) -> NDArray[np.int64]:
        values = self._read(path, 2, 'labels').astype(np.int64)
        if values.shape != self.size:
            raise BadInput(
                f'labels: {path} has {values.shape[0]} x {values.shape[1]} pixels, not '
                f'{self.size[0]} x {self.size[1]}.'
            )
        wrong = set(np.unique(values).tolist()) - set(range(len(self.classes) + 1))
        if wrong:
            raise BadInput(
                f'labels: {path} has the values {sorted(wrong)[:5]}, but the classes are 1 to '
                f'{len(self.classes)}, and 0 where there is none.'
            )
        return values - 1

    def _read(self, path: Path, axes: int, argument: str) -> NDArray[Any]:
        """Read bands (c, h, w) or, of two axes, one of them (h, w)."""
        if not path.is_file():
            raise BadInput(
                f'{argument}: {path} does not exist.', f'The files are published at {self.page}'
            )
        if path.suffix.lower() == '.mat':
            values = _from_matlab(path, axes, argument)
            return np.moveaxis(values, -1, 0) if axes == 3 else values
        with open_raster(str(path), argument) as dataset:
            return dataset.read() if axes == 3 else dataset.read(1)


def _from_matlab(path: Path, axes: int, argument: str) -> NDArray[Any]:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except (NotImplementedError, ValueError) as error:
        raise BadInput(
            f'{argument}: {path} cannot be read as a MATLAB file ({error}).',
            'Files of version 7.3 have to be saved as version 7 first.',
        ) from error
    arrays: Sequence[tuple[str, NDArray[Any]]] = [
        (name, value)
        for name, value in content.items()
        if isinstance(value, np.ndarray) and value.ndim == axes and value.dtype.kind in 'iuf'
    ]
    if len(arrays) != 1:
        found = ', '.join(name for name in content if not name.startswith('__'))
        raise BadInput(
            f'{argument}: {path} has {len(arrays)} arrays of {axes} axes, but must have one '
            f'(in it are {found}).'
        )
    return arrays[0][1]
