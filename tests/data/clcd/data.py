"""Fake CLCD, as CFNet packs it."""

from tests.data.pairs import write_binary_pairs


def make(root):
    """Write it; gives the number of samples of each split."""
    write_binary_pairs(root / '_CLCD', ('image1', 'image2', 'label'), size=64)
    return {'train': 2, 'val': 2, 'test': 2}
