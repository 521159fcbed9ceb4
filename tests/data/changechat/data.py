"""Fake ChangeChat-105k: records of each task on images of LEVIR-CC."""

import json

import numpy as np

from tests.data.pairs import image, write


def make(root):
    """Write it; gives the number of samples of each split."""
    random = np.random.default_rng(0)
    for split in ('train', 'test'):
        for folder in 'AB':
            write(root / 'images' / split / folder / f'{split}_0.png', image(random))
    for task in ('train', 'train_loc'):
        _write_json(root, task, [_talk('train', 2), _talk('train', 3)])
    for task in ('test_binary', 'test_count', 'test_loc', 'test_dialog', 'test_open'):
        _write_json(root, task, [_talk('test', 6 if task == 'test_dialog' else 1)])
    captions = [f'sentence {number}' for number in range(5)]
    images = {'image_A': 'test/A/test_0.png', 'image_B': 'test/B/test_0.png'}
    _write_json(root, 'test', [{**images, 'captions': captions, 'changeflag': 0}])
    return {'train': 2, 'test': 1}


def _talk(split, turns):
    said = [
        turn
        for number in range(turns)
        for turn in (
            {'from': 'human', 'value': f'<image>\nquestion {number}'},
            {'from': 'gpt', 'value': f'answer {number}'},
        )
    ]
    images = [f'{split}/A/{split}_0.png', f'{split}/B/{split}_0.png']
    return {'id': 1, 'image': images, 'changeflag': 1, 'conversations': said}


def _write_json(root, task, records):
    (root / f'changechat_105k_{task}.json').write_text(json.dumps(records))
