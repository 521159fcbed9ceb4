"""GDIT aerial airport: aircraft in small aerial images."""

from typing import ClassVar

from torchgeo_ext.datasets._yolo import YOLOImages


class GDIT(YOLOImages):
    """`GDIT aerial airport <https://universe.roboflow.com/gdit/aerial-airport>`_.

    * 338 aerial images, RGB, with aircraft in upright boxes, parted into training, validation and
      test
    * one class

    FlightScope (https://github.com/toelt-llc/FlightScope_Bench) tests its detectors on it.

    Licence: see its page. To be downloaded by hand, in one of YOLO's formats.
    """

    page: ClassVar[str] = 'https://universe.roboflow.com/gdit/aerial-airport'
    classes: tuple[str, ...] = ('airplane',)
