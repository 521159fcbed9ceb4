"""ISPRS Potsdam: a city from the air, with heights."""

import itertools
from collections.abc import Iterable
from typing import ClassVar

from torchgeo_ext.datasets._isprs import HEIGHT, ISPRSImages

_MAPS = ('5_Labels_for_participants/', '5_Labels_all/', '')
_ERODED = ('5_Labels_for_participants_no_Boundary/', '5_Labels_all_noBoundary/', '')


class ISPRSPotsdam(ISPRSImages):
    """`ISPRS Potsdam <https://www.isprs.org/resources/datasets/benchmarks/UrbanSemLab>`_.

    * true orthophotos of 5 cm, red, green, blue and near infrared, 6000 x 6000 pixels each, with
      heights above ground
    * maps of impervious surfaces, buildings, low vegetation, trees, cars and clutter
    * the 24 areas whose maps were given to participants, 18 for training and six (2_11, 3_10, 4_10,
      5_11, 6_11, 7_12) for testing, as MFNet and others have it; the split of the contest is that
      of TorchGeo's ``Potsdam2D``, which has no heights and another order of the classes

    ``height`` is 0 at the lowest and 1 at the highest pixel of each area. It is published as JPEG,
    which is decoded as a whole for each tile; a TIFF of the same name is quicker.

    Licence: for research; see its page.

    Rottensteiner, F. et al. (2012). The ISPRS benchmark on urban object classification and 3D
    building reconstruction. ISPRS Annals I-3.
    """

    page = 'https://www.isprs.org/resources/datasets/benchmarks/UrbanSemLab'
    layout = (
        '4_Ortho_RGBIR/top_potsdam_*_RGBIR.tif, 5_Labels_for_participants/top_potsdam_*_label.tif, '
        '1_DSM_normalisation/dsm_potsdam_*_normalized_lastools.jpg'
    )
    all_bands: tuple[str, ...] = ('red', 'green', 'blue', 'near infrared', HEIGHT)
    mean: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0, 0.0, 0.0)
    std: ClassVar[tuple[float, ...]] = (255.0, 255.0, 255.0, 255.0, 1.0)
    areas: ClassVar[dict[str, tuple[str, ...]]] = {
        'train': (
            '2_10', '2_12', '3_11', '3_12', '4_11', '4_12', '5_10', '5_12', '6_7', '6_8', '6_9',
            '6_10', '6_12', '7_7', '7_8', '7_9', '7_10', '7_11',
        ),
        'test': ('2_11', '3_10', '4_10', '5_11', '6_11', '7_12'),
    }  # fmt: skip

    def _places(self, area: str) -> dict[str, Iterable[str]]:
        name = f'top_potsdam_{area}'
        end, folders = ('_label_noBoundary', _ERODED) if self.eroded else ('_label', _MAPS)
        # numbers of heights have two digits, which some copies are without
        padded = '_'.join(number.zfill(2) for number in area.split('_'))
        names = itertools.product(('tif', 'jpg'), (padded, area))
        return {
            'image': [f'4_Ortho_RGBIR/{name}_RGBIR.tif'],
            'map': [f'{folder}{name}{end}.tif' for folder in folders],
            HEIGHT: [
                f'1_DSM_normalisation/dsm_potsdam_{number}_normalized_lastools.{suffix}'
                for suffix, number in names
            ],
        }
