"""Fake SSL4Eco: a folder of small images for each place, and the table of their seasons."""

import numpy as np
from affine import Affine

from tests.rasters import write_raster

SIZE = 16
#: What Earth Engine calls the images of each place, season by season.
PLACES = {
    7: ('20200410T101559_20200410T101600_T32TNS', '20190701T101559_20190701T101600_T32TNS', '', ''),
    12: ('', '20210620T101559_20210620T101600_T33UUP', '', ''),
}


def make(root):
    """Write it; gives the number of places."""
    lines = ['index,lon,lat,image_id_1,image_id_2,image_id_3,image_id_4']
    for number, images in PLACES.items():
        folder = root / 'imgs' / f'{number:06}'
        folder.mkdir(parents=True)
        for season, image in enumerate(images):
            if image:
                values = np.full((13, SIZE, SIZE), 1000 * (season + 1), 'uint16')
                values += np.arange(13, dtype='uint16')[:, None, None]
                write_raster(
                    folder / f'{image[:8]}{image[-7:]}.tif', values, crs='EPSG:4326',
                    transform=Affine(1e-4, 0, number, 0, -1e-4, 47),
                )  # fmt: skip
        lines.append(f'{number},{number},47,{",".join(images)}')
    (root / 'index.csv').write_text('\n'.join(lines) + '\n')
    return len(PLACES)
