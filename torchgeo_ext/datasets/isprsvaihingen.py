"""ISPRS Vaihingen: a small town from the air, with heights."""

from collections.abc import Iterable
from typing import ClassVar

from torchgeo_ext.datasets._isprs import HEIGHT, ISPRSImages

_MAPS = ('gts_for_participants/', '', 'ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE/')
_ERODED = (
    'gts_eroded_for_participants/', '',
    'ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE/',
)  # fmt: skip


class ISPRSVaihingen(ISPRSImages):
    """`ISPRS Vaihingen <https://www.isprs.org/resources/datasets/benchmarks/UrbanSemLab>`_.

    * true orthophotos of 9 cm, near infrared, red and green, with a surface model of the same
      pixels; about 2500 x 2000 pixels each
    * maps of impervious surfaces, buildings, low vegetation, trees, cars and clutter
    * the sixteen areas whose maps were given to participants, twelve for training and four (5, 15,
      21, 30) for testing, as MFNet and others have it; the split of the contest is that of
      TorchGeo's ``Vaihingen2D``, which has no heights and another order of the classes

    ``height`` is 0 at the lowest and 1 at the highest pixel of each area.

    Licence: for research; see its page.

    Rottensteiner, F. et al. (2012). The ISPRS benchmark on urban object classification and 3D
    building reconstruction. ISPRS Annals I-3.
    """

    page = 'https://www.isprs.org/resources/datasets/benchmarks/UrbanSemLab'
    layout = (
        '{top,gts_for_participants,gts_eroded_for_participants}/top_mosaic_09cm_area*.tif, '
        'dsm/dsm_09cm_matching_area*.tif'
    )
    all_bands: tuple[str, ...] = ('near infrared', 'red', 'green', HEIGHT)
    rgb_bands: tuple[str, ...] = ('near infrared', 'red', 'green')
    mean: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0, 0.0)
    std: ClassVar[tuple[float, ...]] = (255.0, 255.0, 255.0, 1.0)
    areas: ClassVar[dict[str, tuple[str, ...]]] = {
        'train': ('1', '3', '7', '11', '13', '17', '23', '26', '28', '32', '34', '37'),
        'test': ('5', '15', '21', '30'),
    }

    def _places(self, area: str) -> dict[str, Iterable[str]]:
        name = f'top_mosaic_09cm_area{area}'
        maps = [f'{folder}{name}_noBoundary.tif' for folder in _ERODED]
        return {
            'image': [f'top/{name}.tif'],
            'map': maps if self.eroded else [f'{folder}{name}.tif' for folder in _MAPS],
            HEIGHT: [f'dsm/dsm_09cm_matching_area{area}.tif'],
        }
