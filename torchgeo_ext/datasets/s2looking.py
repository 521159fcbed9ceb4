"""S2Looking: change of buildings in satellite images taken from the side."""

from typing import ClassVar

from torchgeo_ext.datasets._change_pairs import Bands, ChangePairs


class S2Looking(ChangePairs):
    """`S2Looking <https://github.com/S2Looking/Dataset>`_.

    * 5,000 pairs of 1024 x 1024 pixels, RGB, 0.5 to 0.8 m, rural areas all over the world, from
      varied angles off nadir
    * more than 65,920 changed buildings, in one mask; the published masks of new and of demolished
      buildings are not read
    * statistics: HySCDG, https://github.com/yb23/HySCDG

    Licence: not stated. To be downloaded by hand.

    Shen, L. et al. (2021). S2Looking: a satellite side-looking dataset for building change
    detection. Remote Sensing 13(24). https://arxiv.org/abs/2107.09244
    """

    page = 'https://github.com/S2Looking/Dataset'
    layout = '{train,val,test}/{Image1,Image2,label}/*.png'
    directories = ('S2Looking',)
    archives = ('S2Looking*.zip', 'S2Looking*.tar.gz')
    mean: ClassVar[tuple[Bands, ...]] = (
        (44.792358, 53.015604, 52.016244),
        (52.518009, 56.162529, 54.177058),
    )
    std: ClassVar[tuple[Bands, ...]] = (
        (20.02624, 20.554073, 19.831728),
        (18.663814, 16.367386, 15.324433),
    )
