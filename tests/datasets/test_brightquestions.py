"""Questions derived from the masks of BRIGHT."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from torchgeo.datasets import DatasetNotFoundError

from tests.data.bright import data as bright
from torchgeo_ext.datasets import BRIGHTQuestions
from torchgeo_ext.datasets.brightquestions import answer
from torchgeo_ext.errors import BadParameter


def test_samples(tmp_path):
    for (split, number), place in zip(
        bright.make(tmp_path).items(), ('Train', 'Holdout'), strict=True
    ):
        dataset = BRIGHTQuestions(tmp_path, split)
        assert len(dataset) == number
        sample = dataset[0]
        assert sample['image'].shape == (2, 3, 32, 32)
        assert len(sample['questions']) == len(sample['answers']) == 4
        assert [dataset.answers[place] for place in sample['label']] == sample['answers']
        assert sample['description'] == f'Event in {place}'
        assert len(dataset.plot(sample).axes) == 3
        plt.close('all')


def test_events_are_kept_apart(tmp_path):
    bright.make(tmp_path)
    seen = BRIGHTQuestions(
        tmp_path, unseen=['holdout-event'], descriptions={'train-event': 'Steep.'}
    )
    assert seen[0]['description'] == 'Steep.'
    unseen = BRIGHTQuestions(tmp_path, 'test', unseen=['holdout-event'])
    assert [unseen[number]['description'] for number in range(len(unseen))] == [
        'Event in Holdout'
    ] * 2
    assert unseen[0]['label'].equal(BRIGHTQuestions(tmp_path, 'val')[0]['label'])
    # pairs of every list with masks take part
    assert len(BRIGHTQuestions(tmp_path, 'test', unseen=['train-event', 'holdout-event'])) == 4
    with pytest.raises(BadParameter, match='leaves no pair for val'):
        BRIGHTQuestions(tmp_path, 'val', unseen=['holdout-event'])
    with pytest.raises(
        BadParameter, match='unseen: turkey is not among the events holdout-event, train-event'
    ):
        BRIGHTQuestions(tmp_path, unseen=['turkey'])


def test_what_cannot_be(tmp_path):
    with pytest.raises(BadParameter, match="'test' is not one of train, val"):
        BRIGHTQuestions(tmp_path, 'test')
    with pytest.raises(DatasetNotFoundError):
        BRIGHTQuestions(tmp_path)


def test_answers():
    mask = np.zeros((40, 40), int)
    assert answer(mask) == ['no', 'none', 'there are no buildings', 'there are no buildings']
    mask[:4, :10] = 1
    assert answer(mask) == ['no', 'none', 'none', 'intact']
    mask[10, :4] = 3
    mask[11, 4] = 3  # touches by a corner
    assert answer(mask) == ['yes', '1 to 10', 'up to a quarter', 'intact']
    mask[20:24] = 2
    assert answer(mask) == ['yes', '1 to 10', 'more than a half', 'damaged']
    mask[30::3, ::3] = 3
    assert answer(mask)[1] == 'more than 50'
