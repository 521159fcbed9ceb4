"""Fake S2Looking."""

from tests.data.pairs import write_binary_pairs


def make(root):
    """Write it; gives the number of samples of each split."""
    write_binary_pairs(root / 'S2Looking', ('Image1', 'Image2', 'label'))
    return {'train': 2, 'val': 2, 'test': 2}
