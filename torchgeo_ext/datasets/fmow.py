"""fMoW-rgb: the use of buildings and land in images of very high resolution."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from numpy.typing import NDArray
from rasterio.windows import Window

from torchgeo_ext.datasets._fmow import FMoWScenes, known_class
from torchgeo_ext.datasets._pair_files import read_pixels
from torchgeo_ext.errors import BadInput

#: What images that show nothing of interest are called.
_NOTHING = 'false_detection'
#: Boxes that are not wider or higher are left out, as in the baseline of the authors.
_SMALLEST = 2


class Place(NamedTuple):
    """A place in an image.

    Attributes:
        path: The image.
        box: Left, top, width and height of the place in pixels.
        use: Name of its class.
    """

    path: Path
    box: tuple[int, int, int, int]
    use: str


class FMoW(FMoWScenes):
    """`Functional Map of the World <https://github.com/fMoW/dataset>`_, fMoW-rgb.

    * places of 62 uses all over the world, at several times, in RGB images (JPEG) whose pixels
      are about half a metre wide; a scene is what the box of a place shows, so sizes differ
    * folders ``train`` and ``val``; those of the test images have no classes
    * beside each image a JSON file with its ``bounding_boxes``, each of ``category`` and ``box``,
      which are left, top, width and height in pixels; false detections and boxes of up to two
      pixels are left out

    If there is a list like those of SatMAE++ (https://github.com/techmn/satmae_pp),
    ``train_62classes.json`` and ``val_62classes.json``, of entries with ``img_path`` in the folder
    of the split, ``box`` and ``label``, it is read instead of hundreds of thousands of files.

    Licence: Functional Map of the World Challenge Public License.

    Christie, G. et al. (2018). Functional Map of the World. CVPR. https://arxiv.org/abs/1711.07846
    """

    page = 'https://github.com/fMoW/dataset'
    layout = (
        '{train,val}/<class>/<place>/*_rgb.{jpg,json}, or {train,val}_62classes.json and images'
    )
    splits: ClassVar[tuple[str, ...]] = ('train', 'val')
    all_bands: tuple[str, ...] = ('red', 'green', 'blue')
    rgb_bands: tuple[str, ...] = ('red', 'green', 'blue')

    def _find(self) -> Sequence[Place]:
        listing = self.root / f'{self.split}_62classes.json'
        if listing.is_file():
            return list(_listed(listing, self.root / self.split))
        files = sorted((self.root / self.split).glob('*/*/*_rgb.json'))
        return [place for file in files for place in _beside(file)]

    def _read(self, scene: Any) -> NDArray[Any]:
        left, top, width, height = scene.box
        if not scene.path.is_file():
            raise BadInput(f'{scene.path} is missing.', 'Fetch the images again.')
        values = read_pixels(scene.path, Window(left, top, width, height), 'RGB')
        if 0 in values.shape:
            raise BadInput(
                f'{scene.path} has no pixel in the box {scene.box}.',
                'Check that boxes and images are those of one dataset: fMoW-full is larger.',
            )
        return values


def _listed(listing: Path, folder: Path) -> Iterator[Place]:
    """Read a list as SatMAE++ has it."""
    entries = _load(listing)
    for entry in entries.values() if isinstance(entries, dict) else entries:
        yield _place(entry, ('img_path', 'box', 'label'), listing, folder)


def _beside(file: Path) -> Iterator[Place]:
    """Read the places of an image."""
    boxes = _load(file).get('bounding_boxes', [])
    # images with a single place have no list
    for entry in boxes if isinstance(boxes, list) else [boxes]:
        if entry.get('category') == _NOTHING:
            continue
        named = {'image': f'{file.stem}.jpg', **entry}
        place = _place(named, ('image', 'box', 'category'), file, file.parent)
        if min(place.box[2:]) > _SMALLEST:
            yield place


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise BadInput(f'{path} is no JSON file: {error}.', 'Fetch it again.') from error


def _place(entry: Any, names: Sequence[str], source: Path, folder: Path) -> Place:
    try:
        image, box, use = (entry[name] for name in names)
        left, top, width, height = (int(value) for value in box)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f'{source} has an entry without {", ".join(names)}: {str(entry)[:200]}.',
            'Check that the file is that of this dataset.',
        ) from error
    # some boxes begin before the image
    start, first = max(left, 0), max(top, 0)
    box = start, first, width - (start - left), height - (first - top)
    return Place(folder / image, box, known_class(use, source))
