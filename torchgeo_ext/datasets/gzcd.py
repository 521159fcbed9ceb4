"""GZ-CD: change of buildings in the suburbs of Guangzhou."""

from torchgeo_ext.datasets._change_pairs import ChangePairs


class GZCD(ChangePairs):
    """`GZ-CD <https://github.com/daifeng2016/Change-Detection-Dataset-for-High-Resolution-Satellite-Imagery>`_.

    * image pairs of 1,000 to 5,000 pixels a side, RGB of Google Earth, 0.55 m; ``tile_size`` cuts
      them
    * change of buildings, in one mask
    * no split of its own: make folders, or lists in one folder

    Licence: not stated. To be downloaded by hand.

    Peng, D. et al. (2020). SemiCDNet: a semisupervised convolutional neural network for change
    detection in high resolution remote-sensing images. IEEE TGRS.
    https://doi.org/10.1109/TGRS.2020.3011913
    """

    page = (
        'https://github.com/daifeng2016/'
        'Change-Detection-Dataset-for-High-Resolution-Satellite-Imagery'
    )
    layout = (
        'CD_Data_GZ/{T1,T2,labels_change} with CD_Data_GZ/{train,val,test}.txt, or '
        '{train,val,test}/{A,B,label}'
    )
    directories = ('CD_Data_GZ', 'cut_data')
    archives = ('CD_Data_GZ*.zip', 'CD_Data_GZ*.tar.gz')
