"""WHU-CD: change of buildings between two aerial images."""

from torchgeo_ext.datasets._change_pairs import ChangePairs


class WHUCD(ChangePairs):
    """`WHU building change <http://gpcv.whu.edu.cn/data/building_dataset.html>`_.

    * one pair of aerial images of 32,507 x 15,354 pixels, RGB, 0.2 m, usually cut into squares of
      256 pixels
    * change of buildings, in one mask
    * no split of its own: with lists in the folder (``list/train.txt`` ...) these tell splits, else
      folders. What is downloaded are the crops and lists of SemiCD-VL
      (https://github.com/likyoo/SemiCD-VL): 5,947 for training, 743 for validation, 744 for testing

    Licence: not stated.

    Ji, S., Wei, S., Lu, M. (2019). Fully convolutional networks for multisource building extraction
    from an open aerial and satellite imagery data set. IEEE TGRS 57(1).
    """

    page = 'http://gpcv.whu.edu.cn/data/building_dataset.html'
    layout = '{A,B,label}/*.png with list/{train,val,test}.txt, or {train,val,test}/{A,B,label}'
    directories = ('WHU-CD-256', 'WHU-CD')
    archives = ('WHU-CD*.zip',)
    url = 'https://www.dropbox.com/s/r76a00jcxp5d3hl/WHU-CD-256.zip?dl=1'
