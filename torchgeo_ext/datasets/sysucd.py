"""SYSU-CD: six kinds of change in aerial images of Hong Kong."""

from typing import ClassVar

from torchgeo_ext.datasets._change_pairs import Bands, ChangePairs


class SYSUCD(ChangePairs):
    """`SYSU-CD <https://github.com/liumency/SYSU-CD>`_.

    * 20,000 pairs of 256 x 256 pixels, RGB, 0.5 m, Hong Kong, 2007 to 2014; 12,000 for training,
      4,000 for validation, 4,000 for testing
    * new urban buildings, suburban dilation, groundwork before construction, change of vegetation,
      expansion of roads, construction at sea - in one mask of change
    * statistics: CFNet, https://github.com/wifiBlack/CFNet

    Licence: not stated. To be downloaded by hand.

    Shi, Q. et al. (2022). A deeply supervised attention metric-based network and an open aerial
    image dataset for remote sensing change detection. IEEE TGRS 60.
    """

    page = 'https://github.com/liumency/SYSU-CD'
    layout = '{train,val,test}/{time1,time2,label}/*.png'
    directories = ('SYSU-CD',)
    archives = ('SYSU-CD*.zip', 'SYSU-CD*.tar.gz')
    # published from 0 to 1, blue first
    mean: ClassVar[tuple[Bands, ...]] = (
        (118.6771, 134.7578, 101.1319),
        (101.7340, 124.3536, 102.5160),
    )
    std: ClassVar[tuple[Bands, ...]] = ((39.0066, 40.3185, 51.5445), (39.3647, 39.9911, 46.5000))
