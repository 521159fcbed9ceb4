"""Fake GDIT, in two folders of each split."""

from tests.data import yolo


def make(root):
    """Write it; gives the number of images of each split."""
    sizes = yolo.make(root, ('{}/images', '{}/labels'))
    (root / 'val').rename(root / 'valid')
    return sizes
