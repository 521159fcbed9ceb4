import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from torchgeo_ext.datamodules._pictures import paint, quicklook, rgb_bands
from torchgeo_ext.tasks._fit import Epoch, Fitted
from torchgeo_ext.tasks._masked import Scores
from torchgeo_ext.tasks._pictures import curves
from torchgeo_ext.tasks._report import Report, ReportClass, Sample, SplitMap

EPOCHS = (
    Epoch(1, 1.5, 1.4, {'mIoU': 0.2, 'accuracy': 0.5}),
    Epoch(2, 0.9, 1.1, {'mIoU': 0.4, 'accuracy': 0.7}),
)


def report(**changes):
    gray = np.full((8, 8, 3), 0.5)
    mask = np.arange(64).reshape(8, 8) % 3 - 1
    made = {
        'title': 'Tinyland',
        'lead': 'For tests.',
        'files': [('file', 'size'), ('a.tif', '8 x 8')],
        'classes': [
            ReportClass(1, 'water', '#1f78b4', 1234, 10),
            ReportClass(2, 'forest', '#33a02c', 5, 0),
        ],
        'fitted': Fitted(EPOCHS, EPOCHS[1], Scores(np.array([[8, 2], [0, 0]])), 'finished', 3.0),
        'maps': [SplitMap('a.tif', gray, np.arange(64).reshape(8, 8) % 4)],
        'samples': [Sample({'image': gray}, mask, np.zeros((8, 8), int))],
        'facts': {'seed': 0},
        'notes': ['Nothing to add.'],
    }
    return Report(**made | changes)


def test_tells_the_scores():
    page = report().html()
    for text in ('80.0 %', '0.800', '2 of 2', '1,234', 'Nothing to add.'):
        assert text in page
    # a class that is not in the hold-out has no score, not 0
    assert page.count('<td>\N{EN DASH}</td>') >= 3


def test_names_cannot_break_the_page():
    classes = [ReportClass(1, '<script>alert(1)</script>', '#1f78b4', 1, 1)] * 2
    page = report(classes=classes, title='<b>', notes=['<i>'], facts={'<u>': '<s>'}).html()
    for tag in ('<script', '<b>0', '<i>', '<u>', '<s>'):
        assert tag not in page.replace('<b>80', '').replace('<b>0.', '').replace('<b>2 of', '')


def test_the_same_training_gives_the_same_page():
    assert report().html() == report().html()


def test_curves_are_a_picture_of_their_own():
    root = ElementTree.fromstring(curves(EPOCHS, EPOCHS[1]))
    assert root.tag.endswith('svg')


@pytest.mark.parametrize(
    ('names', 'bands'),
    [
        (('B02', 'B03', 'B04', 'B08'), (2, 1, 0)),
        (('nir', 'Red', 'green', 'blue'), (1, 2, 3)),
        (('a', 'b', 'c', 'd'), (0, 1, 2)),
        (('VV', 'VH'), (0,)),
    ],
)
def test_visible_bands_are_found(names, bands):
    assert rgb_bands(names) == bands


def test_pictures():
    image = np.arange(2 * 4).reshape(2, 2, 2).astype(float)
    gray = quicklook(image, image.mean((1, 2)), np.ones(2), (1,))
    assert gray.shape == (2, 2, 3)
    assert 0 <= gray.min() < gray.max() <= 1
    colors = paint(np.array([[0, 1, -1]]), ('#ff0000', '#0000ff'))
    assert colors.tolist() == [[[1, 0, 0], [0, 0, 1], [1, 1, 1]]]
