"""Scores become pixels."""

import numpy as np
import pytest
import torch

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference.outputs import Encoder, RasterClass, RasterOutput, Scores

THREE = tuple(RasterClass(v, f'c{v}', '#102030') for v in (2, 40, 7))
VALID = np.array([[True, True], [True, False]])


def encode(kind, scores, valid=VALID, **options):
    encoder = Encoder(RasterOutput('a.tif', kind, **options), len(scores))
    return encoder, encoder.encode(Scores(scores), valid)


@pytest.mark.parametrize('bands', [1, 2, 5, 256, 300])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_ranking_is_that_of_argmax(bands, layout):
    scores = torch.randint(0, 50, (1, bands, 150, 33)).float().contiguous(memory_format=layout)[0]
    ranked = Scores(scores)
    np.testing.assert_array_equal(ranked.best, scores.numpy().argmax(0))
    np.testing.assert_array_equal(ranked.maximum, scores.amax(0))
    assert ranked.undefined is None


@pytest.mark.parametrize('bands', [5, 65])
def test_undefined_wherever_one_score_is(bands):
    scores = torch.rand(bands, 4, 5)
    scores[0, 1, 2] = scores[2, 3, 4] = torch.nan
    np.testing.assert_array_equal(Scores(scores).undefined, np.isnan(scores.numpy()).any(0))


def test_classes():
    scores = torch.tensor([[[3, 0], [0, 9]], [[1, 5], [1, 0]], [[2, 1], [5, 0]]]).float()
    encoder, pixels = encode('classes', scores, classes=THREE)
    np.testing.assert_array_equal(pixels, [[[2, 40], [7, 255]]])
    assert pixels.dtype == np.uint8
    assert encoder.pixels == {2: 1, 40: 1, 7: 1}


def test_pixels_add_up_over_pieces():
    encoder, _ = encode('classes', torch.rand(3, 2, 2), classes=THREE)
    encoder.encode(Scores(torch.rand(3, 2, 2)), VALID)
    encoder.encode(None, np.zeros((2, 2), bool))
    assert sum(encoder.pixels.values()) == 6


@pytest.mark.parametrize(
    ('values', 'dtype', 'nodata'),
    [((0, 1), 'uint8', 255), ((1, 255), 'uint8', 0), ((0, 255), 'uint8', 1),
     ((0, 256), 'uint16', 65535), (range(256), 'uint16', 65535)],
)  # fmt: skip
def test_nodata_is_no_class(values, dtype, nodata):
    classes = tuple(RasterClass(v, '', '#000000') for v in values)
    encoder, pixels = encode('classes', torch.rand(len(classes), 2, 2), classes=classes)
    assert (encoder.dtype, encoder.nodata) == (dtype, nodata)
    assert pixels[0, 1, 1] == nodata


@pytest.mark.parametrize(
    ('band', 'expected'), [(None, [[0, 1], [1, 255]]), (1, [[1, 0], [0, 255]])]
)
def test_threshold(band, expected):
    scores = torch.tensor([[[0.9, 0.2], [0.1, 0]], [[0.1, 0.5], [0.7, 1]]])
    encoder, pixels = encode('threshold', scores, band=band)
    np.testing.assert_array_equal(pixels[0], expected)
    assert sum(encoder.pixels.values()) == 3


def test_threshold_with_class_values():
    scores = torch.tensor([[[0.9, 0.2], [0.1, 0]]])
    _, pixels = encode('threshold', scores, threshold=0.15, classes=THREE[:2])
    np.testing.assert_array_equal(pixels[0], [[40, 40], [2, 255]])


def test_confidence_is_the_score_of_the_class_chosen():
    _, several = encode('confidence', torch.tensor([[[0.9, 0.4]], [[0.1, 0.6]]]), VALID[:1])
    np.testing.assert_allclose(several, [[[0.9, 0.6]]])
    _, one = encode('confidence', torch.tensor([[[0.9, 0.2]]]), VALID[:1])
    np.testing.assert_allclose(one, [[[0.9, 0.8]]])


@pytest.mark.parametrize('kind', ['probabilities', 'values'])
def test_scores_as_they_are(kind):
    scores = torch.rand(3, 2, 2)
    encoder, pixels = encode(kind, scores)
    np.testing.assert_array_equal(pixels[:, VALID], scores[:, VALID])
    assert np.isnan(pixels[:, ~VALID]).all()
    assert np.isnan(encoder.nodata)


@pytest.mark.parametrize(
    ('dtype', 'expected'),
    [('uint8', [0, 3, 254, 254, 255]), ('int16', [-5, 3, 255, 32767, -32768]),
     ('uint16', [0, 3, 255, 65534, 65535])],
)  # fmt: skip
def test_integers_are_rounded_kept_in_range_and_never_nodata(dtype, expected):
    scores = torch.tensor([[[-5.2, 2.6, 254.9, 1e9, 1]]])
    valid = np.array([[True, True, True, True, False]])
    _, pixels = encode('values', scores, valid, dtype=dtype)
    assert pixels.tolist() == [[expected]]


def test_value_that_equals_a_chosen_nodata_is_moved():
    scores = torch.tensor([[[0.0, 7.0]]])
    for nodata, expected in ((0, [1, 7]), (7, [0, 6])):
        _, pixels = encode('values', scores, VALID[:1], dtype='uint8', nodata=nodata)
        assert pixels.tolist() == [[expected]]


@pytest.mark.parametrize(
    ('output', 'words'),
    [
        ({'kind': 'pictures'}, "'pictures' is not a kind"),
        ({'kind': 'values', 'dtype': 'int8'}, "'int8' is not a data type"),
        ({'kind': 'values', 'dtype': 'uint8', 'nodata': -1}, 'cannot hold nodata -1'),
        ({'kind': 'classes', 'classes': THREE[:2]}, '2 classes do not fit the 3 scores'),
        ({'kind': 'classes', 'classes': THREE, 'nodata': 40}, 'nodata 40 is a class value'),
        ({'kind': 'classes', 'classes': [RasterClass(65535, '', '#000000')]}, 'class value 65535'),
        ({'kind': 'threshold', 'classes': THREE}, 'two classes, not 3'),
        ({'kind': 'threshold', 'band': 4}, 'score band 4 does not exist'),
    ],
)
def test_outputs_that_make_no_sense(output, words):
    with pytest.raises(BadParameter, match=f'probabilities: .*{words}'):
        Encoder(RasterOutput('a.tif', argument='probabilities', **output), 3)
