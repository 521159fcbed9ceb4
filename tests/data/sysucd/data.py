"""Fake SYSU-CD."""

from tests.data.pairs import write_binary_pairs


def make(root):
    """Write it; gives the number of samples of each split."""
    write_binary_pairs(root, ('time1', 'time2', 'label'))
    return {'train': 2, 'val': 2, 'test': 2}
