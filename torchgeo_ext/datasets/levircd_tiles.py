"""LEVIR-CD in squares: change of buildings, as most published systems are trained on it."""

from torchgeo_ext.datasets._change_pairs import ChangePairs


class LEVIRCDTiles(ChangePairs):
    """`LEVIR-CD <https://justchenhao.github.io/LEVIR/>`_ in squares.

    * 637 pairs of aerial images of 1024 x 1024 pixels, RGB, 0.5 m, Texas, 2002 to 2018
    * change of buildings, in one mask
    * usually cut into squares of 256 pixels: 7,120 for training, 1,024 for validation, 2,048 for
      testing

    TorchGeo's ``LEVIRCD`` gives the images whole. This class cuts them (``tile_size=256``), so that
    an epoch is as long as in the publications, or reads the squares as BIT's authors give them,
    with lists. What is downloaded are those of SemiCD-VL (https://github.com/likyoo/SemiCD-VL).

    Licence: not stated.

    Chen, H., Shi, Z. (2020). A spatial-temporal attention-based method and a new dataset for remote
    sensing image change detection. Remote Sensing 12. https://doi.org/10.3390/rs12101662
    """

    page = 'https://justchenhao.github.io/LEVIR/'
    layout = '{train,val,test}/{A,B,label}/*.png, or {A,B,label}/*.png with list/{train,val}.txt'
    directories = ('LEVIR-CD256', 'LEVIR-CD-256', 'LEVIR-CD', '_LEVIR-CD')
    archives = ('LEVIR-CD*.zip', 'LEVIR-CD*.tar.gz')
    url = 'https://www.dropbox.com/s/18fb5jo0npu5evm/LEVIR-CD256.zip?dl=1'
