"""Fake ISPRS Vaihingen."""

from tests.data.isprs import write_area
from torchgeo_ext.datasets import ISPRSVaihingen


def make(root):
    """Write all areas; gives the number of images of each split."""
    areas = [area for split in ISPRSVaihingen.areas.values() for area in split]
    for seed, area in enumerate(areas):
        name = f'top_mosaic_09cm_area{area}'
        names = (
            f'top/{name}.tif', f'dsm/dsm_09cm_matching_area{area}.tif',
            f'gts_for_participants/{name}.tif',
            f'gts_eroded_for_participants/{name}_noBoundary.tif',
        )  # fmt: skip
        write_area(root, seed, 3, names)
    return {'train': 12, 'test': 4}
