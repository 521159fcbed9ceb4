"""Fake STAR: the first images of the published lists, with boxes and relations in HDF5."""

import json

import numpy as np

from tests.data.pairs import image, write

#: Of the first 13 images.
SPLITS = {'train': 3, 'val': 6, 'test': 4}
#: Corners in pixels of a ship that lies askew, of a dock and of a second ship.
CORNERS = (
    [[4, 10], [10, 4], [16, 10], [10, 16]],
    [[12, 6], [24, 6], [24, 18], [12, 18]],
    [[40, 30], [48, 30], [48, 42], [40, 42]],
)
#: The first is docked at the second, the second beside the third.
RELATIONS = ((0, 1, 1), (1, 2, 2))


def make(root):
    """Write it; gives the number of images of each split."""
    import h5py

    random = np.random.default_rng(0)
    for number in range(13):
        write(root / 'STAR_img' / f'{number:04}.png', image(random, size=64)[:, :48])
    listed = [{'image_id': number, 'width': 64, 'height': 48} for number in range(13)]
    (root / 'STAR_image_data_v1.json').write_text(json.dumps(listed))
    names = {
        'label_to_idx': {'dock': 2, 'ship': 1},
        'predicate_to_idx': {'parallelly docked at': 1, 'adjacent': 2},
    }
    (root / 'STAR-SGG-dicts-with-attri.json').write_text(json.dumps(names))
    # images 0 and 4 have all objects, 2 has one, the others none
    numbers = {0: 3, 4: 3, 2: 1}
    starts = {0: 0, 2: 3, 4: 4}
    corners = [CORNERS[place] for number in (0, 2, 4) for place in range(numbers[number])]
    with h5py.File(root / 'STAR-SGG-with-attri.h5', 'w') as file:
        file['labels'] = np.array([[1], [2], [1], [1], [1], [2], [1]])
        file['segmentation_2000'] = np.array(corners, float).reshape(-1, 1, 8) / 3
        file['relationships'] = np.array([[0, 1], [1, 2], [4, 5], [5, 6]])
        file['predicates'] = np.array([[1], [2], [1], [2]])
        file['img_to_first_box'] = [starts.get(number, -1) for number in range(13)]
        file['img_to_last_box'] = [starts.get(n, 0) + numbers.get(n, 0) - 1 for n in range(13)]
        file['img_to_first_rel'] = [{0: 0, 4: 2}.get(number, -1) for number in range(13)]
        file['img_to_last_rel'] = [{0: 1, 4: 3}.get(number, -1) for number in range(13)]
    return SPLITS
