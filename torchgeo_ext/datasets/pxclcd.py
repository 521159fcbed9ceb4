"""PX-CLCD: change of cropland in Peixian."""

from torchgeo_ext.datasets._change_pairs import ChangePairs


class PXCLCD(ChangePairs):
    """PX-CLCD, as `LENet <https://github.com/dyzy41/lenet>`_ takes it.

    * pairs of 256 x 256 pixels, RGB, Peixian
    * change of cropland, in one mask

    Licence, ground sampling and number of pairs: not stated. To be downloaded by hand.
    """

    page = 'https://pan.baidu.com/s/1IGYmsGfWGlOTsPR3P-WwHw?pwd=rscd'
    layout = '{train,val,test}/{A,B,label}/*.png'
    directories = ('PX-CLCD',)
    archives = ('PX-CLCD*.zip', 'PX-CLCD*.tar.gz')
