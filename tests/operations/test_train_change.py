"""From pairs of images and change labels to a model that finds change."""

import numpy as np
import pytest
import rasterio
import torch

from tests.datasets.makers import boxes, class_map, grid_transform, image_of, write_polygons
from tests.rasters import write_raster
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.operations import detect_change, train_change

TINY = {'architecture': 'fcn', 'epochs': 1, 'batch_size': 4, 'patch_size': 32}
SHAPE = (96, 96)


@pytest.fixture(scope='module')
def dates(tmp_path_factory):
    """Two images, where they differ, and a folder."""
    folder = tmp_path_factory.mktemp('dates')
    first, second = (class_map(*SHAPE, classes=2, side=12, seed=s) for s in (1, 4))
    before = write_raster(folder / 'before_20200601.tif', image_of(first))
    after = write_raster(folder / 'after_20210601.tif', image_of(second, seed=6))
    labels = write_raster(folder / 'labels.tif', (first != second).astype('uint8'))
    return str(before), str(after), str(labels)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_the_model_finds_the_change_it_was_shown(dates, tmp_path):
    options = TINY | {'epochs': 25, 'learning_rate': 0.03, 'patience': 0}
    result = train_change(*dates, tmp_path / 'm', report=tmp_path / 'r.html', **options)
    assert result.change_f1 > 0.8
    assert result.classes == '0 unchanged, 1 change'
    detect_change(*dates[:2], tmp_path / 'c.tif', bundle=tmp_path / 'm' / 'model.json')
    found, true = read(tmp_path / 'c.tif') == 1, read(dates[2]) == 1
    assert (found & true).sum() / (found | true).sum() > 0.6
    card = read_bundle(tmp_path / 'm').card
    assert (card.task, card.dates, card.output_activation) == ('change', 2, 'sigmoid')
    assert [entry.value for entry in card.classes] == [0, 1]
    assert card.training['images'] == [['before_20200601.tif', 'after_20210601.tif']]
    page = (tmp_path / 'r.html').read_text(encoding='utf-8')
    for word in ('before', 'after', '2020-06-01', '2021-06-01', 'unchanged'):
        assert word in page


def test_siamese_network_of_two_dates_on_different_grids(dates, tmp_path):
    shifted = write_raster(
        tmp_path / 'shifted.tif', image_of(class_map(*SHAPE, classes=2, side=12, seed=4)),
        transform=grid_transform(10.0, column=0.3, row=-0.4),
    )  # fmt: skip
    options = TINY | {'architecture': 'fcsiamdiff', 'batch_size': 2}
    train_change(
        dates[0], str(shifted), dates[2], tmp_path / 'm', backbone='mobilenet_v2', **options
    )
    bundle = read_bundle(tmp_path / 'm')
    assert bundle.card.architecture['class'] == 'ChangeDetection'
    with torch.inference_mode():
        scores = bundle.build()(torch.rand(1, 2, 2, 64, 64) * 1000)
    assert scores.shape == (1, 1, 64, 64)
    assert 0 <= scores.min() <= scores.max() <= 1


def test_kinds_of_change(dates, tmp_path):
    kinds = read(dates[2]) * class_map(*SHAPE, classes=2, side=24, seed=3)
    labels = write_raster(tmp_path / 'l.tif', kinds)
    result = train_change(*dates[:2], labels, tmp_path / 'm', **TINY)
    assert result.classes == '0 unchanged, 1 class 1, 2 class 2'
    card = read_bundle(tmp_path / 'm').card
    assert card.output_activation == 'softmax'
    assert [entry.value for entry in card.classes] == [0, 1, 2]


def test_labels_of_0_and_255_become_0_and_1(dates, tmp_path):
    labels = write_raster(tmp_path / 'l.tif', read(dates[2]) * np.uint8(255))
    train_change(*dates[:2], labels, tmp_path / 'm', **TINY)
    assert [entry.value for entry in read_bundle(tmp_path / 'm').card.classes] == [0, 1]


def test_polygons_and_several_pairs(dates, tmp_path):
    cells = [(c * 24, r * 24, c * 24 + 12, r * 24 + 12) for c in range(4) for r in range(4)]
    labels = write_polygons(tmp_path / 'l.gpkg', boxes(cells))
    before, after = [dates[0], dates[1]], [dates[1], dates[0]]
    result = train_change(before, after, labels, tmp_path / 'm', **TINY)
    assert result.classes == '0 unchanged, 1 change'
    counts = read_bundle(tmp_path / 'm').card.training['training_pixels']
    assert counts['unchanged'] > counts['change'] > 0


def test_a_decoder_torchgeo_does_not_offer(dates, tmp_path):
    options = TINY | {'architecture': 'fpn', 'patch_size': 64, 'batch_size': 2}
    train_change(*dates, tmp_path / 'm', backbone='mobilenet_v2', **options)
    bundle = read_bundle(tmp_path / 'm')
    assert bundle.card.architecture['class'] == 'MaskedChangeDetection'
    with torch.inference_mode():
        assert bundle.build()(torch.zeros(1, 2, 2, 64, 64)).shape == (1, 1, 64, 64)


def test_a_published_network_trained_on_own_pairs_runs_as_a_bundle(dates, tmp_path):
    train_change(*dates, tmp_path / 'm', **TINY | {'architecture': 'tinycd'})
    bundle = read_bundle(tmp_path / 'm')
    assert bundle.card.architecture['class'] == 'MaskedChangeDetection'
    with torch.inference_mode():
        assert bundle.build()(torch.zeros(1, 2, 2, 64, 64)).shape == (1, 1, 64, 64)
    with pytest.raises(BadParameter, match='there are none for the architecture tinycd'):
        train_change(
            *dates, tmp_path / 'n', **TINY | {'architecture': 'tinycd'}, weights='imagenet'
        )


def test_stopping_the_training_keeps_the_best_so_far(dates, tmp_path, caplog):
    def stop(fraction, text='', **_):
        if 'epoch 2/' in text or stop.stopped:
            stop.stopped = True
            raise Canceled

    stop.stopped = False
    result = train_change(*dates, tmp_path / 'm', **TINY | {'epochs': 9}, progress=stop)
    assert result.epochs_run == 1
    assert 'Stopped early by the user after 1 epoch;' in caplog.text
    assert read_bundle(tmp_path / 'm').card.task == 'change'


class TestBadInput:
    def fails(self, arguments, folder, error, match, **options):
        with pytest.raises(error, match=match) as caught:
            train_change(*arguments, folder / 'm', **TINY | options)
        assert not (folder / 'm').exists()
        assert caught.value.hint

    def test_lists_of_different_length(self, dates, tmp_path):
        before, after, labels = dates
        self.fails(([before] * 2, [after], labels), tmp_path, BadParameter, '2 entries')

    def test_dates_that_do_not_overlap(self, dates, tmp_path):
        far = write_raster(
            tmp_path / 'far.tif', image_of(class_map(*SHAPE)), transform=grid_transform(column=900)
        )
        self.fails((dates[0], str(far), dates[2]), tmp_path, BadInput, 'do not overlap')

    def test_nothing_but_unchanged(self, dates, tmp_path):
        labels = write_raster(tmp_path / 'l.tif', np.zeros(SHAPE, 'uint8'))
        self.fails((*dates[:2], str(labels)), tmp_path, BadInput, 'a single class')

    def test_backbone_of_another_architecture(self, dates, tmp_path):
        self.fails(
            dates, tmp_path, BadParameter, "backbone: 'resnet18' is not known for",
            backbone='resnet18', architecture='changevit',
        )  # fmt: skip

    def test_a_network_for_three_bands(self, dates, tmp_path):
        self.fails(dates, tmp_path, BadParameter, 'btc', backbone='swin_tiny', architecture='btc')
