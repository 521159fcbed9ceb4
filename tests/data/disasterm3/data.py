"""Fake DisasterM3: a file of records for each task, pairs and single images."""

import json

import numpy as np

from tests.data.pairs import image, write

PAIRS = ('bearing_body', 'building_damage_counting', 'disaster_type', 'road_damage_counting')
SINGLE = ('landuse', 'relational_reasoning_qa')
FREE = ('caption', 'recovery')


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    folder = root / 'data'
    for task in (*PAIRS, *SINGLE, *FREE):
        names = ['image_path'] if task in SINGLE else ['pre_image_path', 'post_image_path']
        record = {name: f'{task}_{name}.png' for name in names}
        record |= {'prompts': f'What about {task}?', 'answer_given': 'A'}
        if task == 'bearing_body':
            record['post_image_path'] = 'sar.tif'
            write(folder / 'images' / 'sar.tif', image(random, 1))
        for name in names:
            if record[name].endswith('.png'):
                write(folder / 'images' / record[name], image(random))
        if task not in FREE:
            record['option_str' if task in SINGLE else 'options_str'] = 'A. yes B. no'
        (folder / f'{task}.json').write_text(json.dumps([record]))
    return dict.fromkeys((*PAIRS, *SINGLE, *FREE), 1)
