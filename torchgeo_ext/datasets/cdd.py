"""CDD: change between images of different seasons."""

from torchgeo_ext.datasets._change_pairs import ChangePairs


class CDD(ChangePairs):
    """CDD, also known as SVCD: the real images, cut to squares.

    * pairs of 256 x 256 pixels, RGB of Google Earth, 0.03 to 1 m; usually 10,000 for training,
      3,000 for validation and 3,000 for testing
    * everything that appeared or vanished but for the season's doing, in one mask (JPEG)

    Licence: not stated. To be downloaded by hand.

    Lebedev, M. A. et al. (2018). Change detection in remote sensing images using conditional
    adversarial networks. ISPRS Archives XLII-2.
    """

    page = 'https://pan.baidu.com/s/1vh1Ztk8zLqCrtERh7xJt3Q?pwd=rscd'
    layout = 'ChangeDetectionDataset/Real/subset/{train,val,test}/{A,B,OUT}/*.jpg'
    directories = ('ChangeDetectionDataset/Real/subset', 'Real/subset', 'subset')
    archives = ('ChangeDetectionDataset*.zip', 'ChangeDetectionDataset*.tar.gz')
