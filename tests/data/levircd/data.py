"""Fake LEVIR-CD: in folders of splits, and as TorchGeo's classes of LEVIR-CD+ read it."""

from tests.data.pairs import write_binary_pairs


def make(root):
    """Write it; gives the number of samples of each split."""
    write_binary_pairs(root / 'LEVIR-CD')
    return {'train': 2, 'val': 2, 'test': 2}


def make_plus(root):
    """Write LEVIR-CD+, which has no validation split."""
    write_binary_pairs(root / 'LEVIR-CD+', splits=('train', 'test'), size=64)
