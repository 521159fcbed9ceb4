"""Images with upright boxes in YOLO's text files: the base of their datasets."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchgeo_ext.datasets._missing import PublishedNotFoundError
from torchgeo_ext.datasets._objects import (
    NO_RELATIONS,
    ObjectImage,
    ObjectImages,
    by_stem,
    outlines_of,
)
from torchgeo_ext.datasets._pair_files import SUFFIXES
from torchgeo_ext.errors import BadInput

#: What folders and lists of a split are called.
_NAMES = {'train': ('train',), 'val': ('val', 'valid', 'validation'), 'test': ('test',)}


class YOLOImages(ObjectImages):
    """Images, each with a text file that has a line ``class x y width height`` for every object.

    Places are those of the centre; all are shares of the width and height of the image.
    """

    layout: ClassVar[str] = (
        '{split}/{images,labels}/*.{jpg,txt}, {images,labels}/{split}/*, {split}/*.{jpg,txt}, or '
        'images and texts together with lists {split}.txt'
    )

    def _verify(self) -> tuple[list[Path], Path | None]:
        """Find the images of the split, and the folder of their texts if it is another one."""
        for name in _NAMES[self.split]:
            for images, texts in (
                (self.root / name / 'images', self.root / name / 'labels'),
                (self.root / 'images' / name, self.root / 'labels' / name),
                (self.root / name, self.root / name),
            ):
                if images.is_dir() and texts.is_dir():
                    return list(by_stem(images, SUFFIXES).values()), texts
            if (self.root / f'{name}.txt').is_file():
                return self._listed(self.root / f'{name}.txt'), None
        raise PublishedNotFoundError(self)

    def _listed(self, path: Path) -> list[Path]:
        """Find the images that a list names, whatever folders stand before the names."""
        names = [Path(line.strip()).name for line in path.read_text().splitlines() if line.strip()]
        there = {
            file.name: file
            for file in sorted(self.root.rglob('*'))
            if file.suffix.lower() in SUFFIXES
        }
        for name in names:
            if name not in there:
                raise BadInput(
                    f'{path} names {name}, which is not in {self.root}.', 'Unpack it again.'
                )
        return [there[name] for name in names]

    def _load_files(self, found: tuple[list[Path], Path | None]) -> list[ObjectImage]:
        images, texts = found
        return [self._load_objects(path, texts or path.parent) for path in images]

    def _load_objects(self, path: Path, texts: Path) -> ObjectImage:
        text = texts / f'{path.stem}.txt'
        if not text.is_file():
            raise BadInput(f'{path} has no partner {text}.', 'Unpack the dataset again.')
        rows = self._read_rows(text)
        with Image.open(path) as image:
            size = np.array(image.size)
        middle, half = rows[:, 1:3] * size, rows[:, 3:5] * size / 2
        turns = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        corners = middle[:, None] + turns * half[:, None]
        labels = rows[:, 0].astype(np.int64)
        return ObjectImage(path, outlines_of(corners), labels, NO_RELATIONS)

    def _read_rows(self, path: Path) -> NDArray[np.float64]:
        rows = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                row = [float(part) for part in line.split()]
            except ValueError:
                row = [np.nan]
            if not row:
                continue
            known = len(row) == 5 and row[0] in range(len(self.classes))
            if not known or not all(0 <= share <= 1 for share in row[1:]):
                raise BadInput(
                    f'{path}, line {number}: {line!r} is not a class from 0 to '
                    f'{len(self.classes) - 1} and four shares of the image from 0 to 1.',
                    'Check that it is a label file of this dataset.',
                )
            rows.append(row)
        return np.array(rows, dtype=np.float64).reshape(-1, 5)
