"""Fake CDD: images and masks are JPEG files."""

from tests.data.pairs import write_binary_pairs


def make(root):
    """Write it; gives the number of samples of each split."""
    write_binary_pairs(
        root / 'ChangeDetectionDataset' / 'Real' / 'subset', ('A', 'B', 'OUT'), '.jpg'
    )
    return {'train': 2, 'val': 2, 'test': 2}
