"""Fake LandCover.ai, in the layout of TorchGeo's copy."""

from tests.data.landcoverai import data as landcoverai
from tests.data.pairs import SPLITS


def make(root):
    """Write it; gives the number of tiles of each split."""
    landcoverai.make(root)
    return dict.fromkeys(SPLITS, 2)
