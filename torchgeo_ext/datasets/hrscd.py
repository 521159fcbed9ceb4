"""HRSCD: land cover of two French departments in 2005/2006 and 2012."""

import re
from pathlib import Path
from typing import ClassVar

from torchgeo_ext.datasets._change_pairs import Pair, SemanticPairs
from torchgeo_ext.errors import BadInput

#: Kilometres east and north, which the images of one place share.
_PLACE = re.compile(r'-(\d+)-(\d+)-LA93')


class HRSCD(SemanticPairs):
    """`HRSCD <https://rcdaudt.github.io/hrscd/>`_.

    * 291 pairs of aerial images of 10,000 x 10,000 pixels, RGB, 0.5 m, departments D14 and D35;
      ``tile_size`` cuts them (MapFormer: 500 for training, 2,000 for testing), and only what is
      needed is read
    * land cover of both dates everywhere: artificial surfaces, agriculture, forest, wetland, water;
      change is where they differ
    * no split of its own: lists in ``root`` tell, one image name a line; those of MapFormer
      (https://github.com/mxbh/mapformer) have 191, 50 and 50 places

    Licence: not stated here; see the page. To be downloaded by hand.

    Daudt, R. C. et al. (2019). Multitask learning for large-scale semantic change detection.
    https://arxiv.org/abs/1810.08452
    """

    page = (
        'https://ieee-dataport.org/open-access/'
        'hrscd-high-resolution-semantic-change-detection-dataset'
    )
    layout = (
        'images/{2006,2012}/{D14,D35}/*.tif, labels/{2006,2012}/{D14,D35}/*.tif, '
        '{train,val,test}.txt or splits/{train,val,test}*.txt'
    )
    directories = ('HRSCD',)
    archives = ('images*.zip', 'labels*.zip', 'HRSCD*.zip')
    classes = ('unchanged', 'artificial surfaces', 'agriculture', 'forest', 'wetland', 'water')
    colors = ('white', '#cc6677', '#ddcc77', '#117733', '#44aa99', '#4477aa')
    table: ClassVar[dict[int, int]] = {0: -1, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5}

    def _holds(self, base: Path) -> bool:
        return (base / 'images' / '2006').is_dir() and self._list_of(base) is not None

    def _load_files(self, base: Path) -> list[Pair]:
        listed = self._list_of(base)
        assert listed is not None
        # labels of 2006 are called after the image of 2012, so places are told by coordinates
        folders = ('images/2006', 'images/2012', 'labels/2006', 'labels/2012')
        kinds = [_by_place(base / folder) for folder in folders]
        pairs = []
        for place in _places(listed):
            missing = [f for f, kind in zip(folders, kinds, strict=True) if place not in kind]
            if missing:
                raise BadInput(
                    f'{listed} names the place {"-".join(place)}, which is not in '
                    f'{", ".join(str(base / folder) for folder in missing)}.'
                )
            before, after, *labels = (kind[place] for kind in kinds)
            pairs.append(Pair((before, after), tuple(labels)))
        return pairs


def _places(listed: Path) -> list[tuple[str, ...]]:
    """Coordinates of the places of a list, each once."""
    return [*dict.fromkeys(match.groups() for match in _PLACE.finditer(listed.read_text()))]


def _by_place(folder: Path) -> dict[tuple[str, ...], Path]:
    found = ((_PLACE.search(path.name), path) for path in sorted(folder.rglob('*.tif')))
    return {match.groups(): path for match, path in found if match}
