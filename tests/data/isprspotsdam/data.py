"""Fake ISPRS Potsdam."""

from tests.data.isprs import write_area
from torchgeo_ext.datasets import ISPRSPotsdam


def make(root):
    """Write all areas; gives the number of images of each split."""
    areas = [area for split in ISPRSPotsdam.areas.values() for area in split]
    for seed, area in enumerate(areas):
        row, column = (number.zfill(2) for number in area.split('_'))
        name = f'top_potsdam_{area}'
        names = (
            f'4_Ortho_RGBIR/{name}_RGBIR.tif',
            f'1_DSM_normalisation/dsm_potsdam_{row}_{column}_normalized_lastools.jpg',
            f'5_Labels_for_participants/{name}_label.tif',
            f'5_Labels_for_participants_no_Boundary/{name}_label_noBoundary.tif',
        )
        write_area(root, seed, 4, names)
    return {'train': 18, 'test': 6}
