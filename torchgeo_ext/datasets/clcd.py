"""CLCD: change of cropland in satellite images of Guangdong."""

from typing import ClassVar

from torchgeo_ext.datasets._change_pairs import Bands, ChangePairs


class CLCD(ChangePairs):
    """`CropLand-CD <https://github.com/liumency/CropLand-CD>`_.

    * 600 pairs of 512 x 512 pixels, RGB of Gaofen-2, 0.5 to 2 m, Guangdong, 2017 and 2019; 360 for
      training, 120 for validation, 120 for testing
    * change of cropland, in one mask

    ``tile_size=256`` gives CFNet's crops, which it trains on; CDMaskFormer takes whole images. The
    statistics are CFNet's, who takes those of LEVIR-CD for both
    (https://github.com/wifiBlack/CFNet). The copy that is downloaded is CFNet's.

    Licence: not stated.

    Liu, M. et al. (2022). A CNN-transformer network with multiscale context aggregation for
    fine-grained cropland change detection. IEEE JSTARS 15.
    """

    page = 'https://github.com/liumency/CropLand-CD'
    layout = '{train,val,test}/{image1,image2,label}/*.png'
    directories = ('_CLCD', 'CLCD')
    archives = ('CLCD*.tar.gz', 'CLCD*.zip')
    url = 'https://huggingface.co/datasets/wifibk/CFNet_Datasets/resolve/main/CLCD.tar.gz'
    # published from 0 to 1, blue first
    mean: ClassVar[tuple[Bands, ...]] = ((97.2420, 113.9178, 114.8236), (73.7009, 86.2950, 88.1758))
    std: ClassVar[tuple[Bands, ...]] = ((39.0525, 42.0384, 44.4985), (30.2695, 32.1114, 32.9696))
