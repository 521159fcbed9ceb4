"""HRPlanesV2: aircraft in very large images."""

from typing import ClassVar

from torchgeo_ext.datasets._yolo import YOLOImages


class HRPlanesV2(YOLOImages):
    """`HRPlanesV2 <https://zenodo.org/record/7331974>`_.

    * 2,120 images of Google Earth of 4800 x 2703 pixels, RGB, with 14,335 aircraft in upright boxes
    * 70 % for training, 20 % for validation, 10 % for test
    * one class

    The names of the folders in the archive are not known here; any of the usual ones of YOLO are
    taken, and lists as well.

    Licence: CC BY-NC-ND 4.0, and the terms of Google Earth: for academic use only. To be downloaded
    by hand.

    Its authors' page: https://github.com/dilsadunsal/HRPlanesv2-Data-Set. Used by FlightScope,
    https://github.com/toelt-llc/FlightScope_Bench.
    """

    page: ClassVar[str] = 'https://zenodo.org/record/7331974'
    classes: tuple[str, ...] = ('aircraft',)
