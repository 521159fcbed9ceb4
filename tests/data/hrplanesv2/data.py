"""Fake HRPlanesV2: images and texts of each split beside each other."""

from tests.data import yolo


def make(root):
    """Write it; gives the number of images of each split."""
    return yolo.make(root, ('{}', '{}'))
