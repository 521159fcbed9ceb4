"""Indian Pines: crops and forest in Indiana, the most used labelled hyperspectral image."""

from torchgeo_ext.datasets._cube_scene import CubeScene


class IndianPines(CubeScene):
    """Indian Pines, from files of one's own.

    * one image of 145 x 145 pixels, 20 m, AVIRIS, 1992, Indiana
    * 220 bands from 0.4 to 2.5 µm, or 200 without those of water vapour (104 to 108, 150 to 163,
      220)
    * 16 classes, 10,249 labelled pixels; seven classes have fewer than 250

    Files: ``Indian_pines.mat`` or ``Indian_pines_corrected.mat``, and ``Indian_pines_gt.mat``.

    Licence: not stated.

    Baumgardner, M. F., Biehl, L. L., Landgrebe, D. A. (2015). 220 band AVIRIS hyperspectral image
    data set: June 12, 1992 Indian Pine test site 3. https://doi.org/10.4231/R7RX991C
    """

    bands = (200, 220)
    size = (145, 145)
    classes = (
        'alfalfa', 'corn, no till', 'corn, minimum till', 'corn', 'grass, pasture', 'grass, trees',
        'grass, pasture, mowed', 'hay, windrowed', 'oats', 'soybeans, no till',
        'soybeans, minimum till', 'soybeans, clean', 'wheat', 'woods',
        'buildings, grass, trees, drives', 'stone, steel, towers',
    )  # fmt: skip
    page = 'https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes'
