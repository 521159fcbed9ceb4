"""Pavia: two urban images, of the centre and the university."""

from torchgeo_ext.datasets._cube_scene import CubeScene


class PaviaUniversity(CubeScene):
    """Pavia University, from files of one's own.

    * one image of 610 x 340 pixels, 1.3 m, ROSIS, 2002, Italy
    * 103 bands from 0.43 to 0.86 µm
    * 9 classes, 42,776 labelled pixels; by their values they are those of
      https://github.com/nshaud/DeepHyperX
    * centres of single bands are not published with the files

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
    * 9 classes, 148,152 labelled pixels
    * centres of single bands are not published with the files

    The page of the files, and many loaders after it, list the classes in another order: water,
    trees, asphalt, self-blocking bricks, bitumen, tiles, shadows, meadows, bare soil. Here they
    stand as in the publications that give the number of pixels of each class, where the 42,826
    pixels of value 8, by far the most on land, are tiles - of a city centre - and not meadows:

    Fauvel, M., Benediktsson, J. A., Chanussot, J., Sveinsson, J. R. (2008). Spectral and spatial
    classification of hyperspectral data using SVMs and morphological profiles. IEEE Transactions on
    Geoscience and Remote Sensing 46(11).

    Files: ``Pavia.mat`` and ``Pavia_gt.mat``.

    Licence: not stated. Provided by P. Gamba, University of Pavia.
    """

    bands = (102,)
    size = (1096, 715)
    classes = (
        'water', 'trees', 'meadows', 'self-blocking bricks', 'bare soil', 'asphalt', 'bitumen',
        'tiles', 'shadows',
    )  # fmt: skip
    page = 'https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes'
