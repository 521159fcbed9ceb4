"""The command ``torchgeo-ext``."""

from torchgeo_ext.cli._main import main

__all__ = ('main',)
