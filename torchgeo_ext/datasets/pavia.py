"""Pavia: two urban images, of the centre and the university."""

from torchgeo_ext.datasets._cube_scene import CubeScene


class PaviaUniversity(CubeScene):
    """Pavia University, from files of one's own.

    * one image of 610 x 340 pixels, 1.3 m, ROSIS, 2002, Italy
    * 103 bands from 0.43 to 0.86 µm
    * 9 classes, 42,776 labelled pixels

    Files: ``PaviaU.mat`` and ``PaviaU_gt.mat``.

    Licence: not stated. Provided by P. Gamba, University of Pavia.
    """

    bands = (103,)
    size = (610, 340)
    classes = (
        'asphalt', 'meadows', 'gravel', 'trees', 'painted metal sheets', 'bare soil', 'bitumen',
        'self-blocking bricks', 'shadows',
    )  # fmt: skip
    page = 'https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes'


class PaviaCentre(CubeScene):
    """Pavia Centre, from files of one's own.

    * one image of 1,096 x 715 pixels, 1.3 m, ROSIS, 2002, Italy
    * 102 bands from 0.43 to 0.86 µm
    * 9 classes

    Files: ``Pavia.mat`` and ``Pavia_gt.mat``.

    Licence: not stated. Provided by P. Gamba, University of Pavia.
    """

    bands = (102,)
    size = (1096, 715)
    classes = (
        'water', 'trees', 'asphalt', 'self-blocking bricks', 'bitumen', 'tiles', 'shadows',
        'meadows', 'bare soil',
    )  # fmt: skip
    page = 'https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes'
