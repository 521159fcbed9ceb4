"""Fake WHU-CD: crops in one folder, with lists."""

from tests.data.pairs import write_listed_pairs


def make(root):
    """Write it; gives the number of samples of each split."""
    write_listed_pairs(root / 'WHU-CD-256')
    return {'train': 2, 'val': 2, 'test': 2}
