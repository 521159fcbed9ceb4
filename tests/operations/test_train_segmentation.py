"""From images and labels to a model that maps them, and everything that can be wrong with them."""

import json
import logging
import re
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import Resampling
from rasterio.warp import calculate_default_transform, reproject
from safetensors.torch import load_file

from tests.datasets.makers import boxes, class_map, image_of, write_pair_of_layers, write_polygons
from tests.rasters import write_raster
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.errors import BadInput, BadParameter, Canceled, MissingWeights
from torchgeo_ext.models import _weights, lessvit
from torchgeo_ext.models._less import LESSSize
from torchgeo_ext.models.vmamba import SIZES, VMambaClassifier, VMambaSize
from torchgeo_ext.operations import segment_image, train_segmentation
from torchgeo_ext.operations._network import build_task, choose_patch_size

#: A network of some hundred parameters, so that a test takes a second.
TINY = {'architecture': 'fcn', 'epochs': 1, 'batch_size': 4, 'patch_size': 32}
CLASSES = class_map(96, 96, side=12)


@pytest.fixture(scope='module')
def layers(tmp_path_factory):
    return write_pair_of_layers(tmp_path_factory.mktemp('layers'), CLASSES)


@pytest.fixture(scope='module')
def trained(layers, tmp_path_factory):
    """A model that has really learnt, and what the operation returned."""
    folder = tmp_path_factory.mktemp('models')
    result = train_segmentation(
        *layers, folder / 'fields', **TINY | {'epochs': 12}, learning_rate=0.03, license='MIT',
        report=folder / 'report.html', model_name='Fields of Tinyland',
    )  # fmt: skip
    return folder, result


def test_the_model_maps_what_it_was_shown(trained, layers, tmp_path):
    folder, result = trained
    assert result.overall_accuracy > 0.8
    assert result.mean_iou > 0.6
    assert 0 < result.epochs_run <= 12
    assert result.classes == '1 class 1, 2 class 2, 3 class 3'
    segment_image(layers[0], tmp_path / 'map.tif', bundle=folder / 'fields')
    with rasterio.open(tmp_path / 'map.tif') as dataset:
        assert (dataset.read(1) == CLASSES).mean() > 0.8


def test_the_bundle_knows_what_it_needs(trained):
    card = read_bundle(trained[0] / 'fields').card
    assert card.name == 'Fields of Tinyland'
    assert card.license == 'MIT'
    assert [band.name for band in card.bands] == ['B02', 'B03']
    assert [entry.value for entry in card.classes] == [1, 2, 3]
    values = image_of(CLASSES)
    for band, pixels in zip(card.bands, values, strict=True):
        assert pixels.min() <= band.minimum < band.mean < band.maximum <= pixels.max()
        assert band.std == pytest.approx(pixels.std(), rel=0.1)
    # areas are true to the ellipsoid, so pixels are not quite 10 m wide
    assert card.resolution_minimum == pytest.approx(7.5, rel=0.01)
    assert card.resolution_maximum == pytest.approx(15, rel=0.01)
    assert card.architecture['class'] == 'SemanticSegmentation'
    assert card.extent[0] == pytest.approx(15.0, abs=0.01)
    facts = card.training
    assert facts['images'] == [['image.tif']]
    assert facts['hold_out']['overall_accuracy'] == trained[1].overall_accuracy
    assert facts['settings']['patch_size'] == 32
    assert facts['versions'].keys() >= {'torch', 'torchgeo', 'torchgeo_ext'}


def test_the_report_is_one_file_and_part_of_the_bundle(trained):
    folder, result = trained
    page = (folder / 'report.html').read_text(encoding='utf-8')
    assert page == (folder / 'fields' / 'report.html').read_text(encoding='utf-8')
    assert result.report == str(folder / 'report.html')
    item = json.loads((folder / 'fields' / 'model.json').read_text())
    assert 'report.html' in [asset['href'].removeprefix('./') for asset in item['assets'].values()]
    for word in ('Fields of Tinyland', 'image.tif', 'Confusion', 'random weights', 'learning_rate'):
        assert word in page
    assert page.count('data:image/png;base64,') >= 4
    assert '<script' not in page
    assert '<link' not in page
    loaded = re.findall(r'(?:src|(?<!:)href)="([^"]*)"|url\(([^)]*)\)', page)
    outside = [a or b for a, b in loaded if not (a or b).startswith(('data:', '#'))]
    assert outside == []


def test_the_same_seed_writes_the_same_weights(layers, tmp_path):
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        train_segmentation(*layers, tmp_path / name, **TINY, seed=seed)
    first, same, other = (load_file(tmp_path / n / 'model.safetensors') for n in 'abc')
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_several_images_and_chosen_bands(layers, tmp_path):
    later = write_raster(tmp_path / 'later.tif', image_of(CLASSES, seed=8), names=('B02', 'B03'))
    train_segmentation([layers[0], later], layers[1], tmp_path / 'm', bands=[2], **TINY)
    card = read_bundle(tmp_path / 'm').card
    assert [band.name for band in card.bands] == ['B03']
    assert card.training['images'] == [['image.tif'], ['later.tif']]


def test_images_in_several_reference_systems(layers, tmp_path):
    # the same place in degrees: about 10 m on the ground
    with rasterio.open(layers[0]) as dataset:
        transform, width, height = calculate_default_transform(
            dataset.crs, 'EPSG:4326', dataset.width, dataset.height, *dataset.bounds
        )
        values = np.zeros((2, height, width), 'uint16')
        reproject(
            rasterio.band(dataset, [1, 2]), values, dst_transform=transform, dst_crs='EPSG:4326',
            resampling=Resampling.nearest,
        )  # fmt: skip
    degrees = write_raster(
        tmp_path / 'degrees.tif', values, crs='EPSG:4326', transform=transform, nodata=0,
        names=('B02', 'B03'),
    )  # fmt: skip
    options = TINY | {'epochs': 8, 'learning_rate': 0.03}
    result = train_segmentation([layers[0], degrees], layers[1], tmp_path / 'm', **options)
    assert result.overall_accuracy > 0.6
    counted = np.sum(read_bundle(tmp_path / 'm').card.training['hold_out']['confusion'])
    alone = CLASSES.size * 0.2
    assert 1.5 * alone < counted < 2.5 * alone


def test_polygons_with_text_classes(layers, tmp_path):
    random = np.random.default_rng(0)
    corners = [(c * 12, r * 12) for c in range(8) for r in range(8)]
    words = random.choice(['wood', 'water'], len(corners))
    labels = write_polygons(
        tmp_path / 'l.gpkg', boxes([(c, r, c + 11, r + 11) for c, r in corners]), cover=words
    )
    result = train_segmentation(layers[0], labels, tmp_path / 'm', class_field='cover', **TINY)
    assert result.classes == '1 water, 2 wood'


@pytest.mark.parametrize('loss', ['focal', 'jaccard', 'dice'])
def test_other_losses(layers, tmp_path, loss):
    result = train_segmentation(*layers, tmp_path / 'm', loss=loss, **TINY)
    assert 0 <= result.mean_iou <= 1


def test_a_decoder_torchgeo_does_not_offer(layers, tmp_path):
    options = TINY | {'architecture': 'fpn', 'patch_size': 64, 'batch_size': 2}
    train_segmentation(*layers, tmp_path / 'm', backbone='mobilenet_v2', **options)
    bundle = read_bundle(tmp_path / 'm')
    assert bundle.card.architecture['class'] == 'MaskedSegmentation'
    with torch.inference_mode():
        assert bundle.build()(torch.zeros(1, 2, 64, 64)).shape == (1, 3, 64, 64)


def test_a_backbone_segmentation_models_pytorch_does_not_have(layers, tmp_path):
    options = TINY | {'architecture': 'upernet', 'batch_size': 2}
    donor = build_task(
        'segmentation',
        {'model': 'upernet', 'backbone': 'eurosat_baseline3', 'in_channels': 3, 'num_classes': 2},
        None,
        ('B04', 'B03', 'B02'),
    )[0]
    torch.save(donor.model.encoder.state_dict(), tmp_path / 'encoder.pth')
    train_segmentation(
        *layers, tmp_path / 'm', backbone='eurosat_baseline3',
        weights=str(tmp_path / 'encoder.pth'), **options,
    )  # fmt: skip
    bundle = read_bundle(tmp_path / 'm')
    assert bundle.card.architecture['class'] == 'MaskedSegmentation'
    assert 'made for 3 bands' in bundle.card.training['start']
    segment_image(layers[0], tmp_path / 'map.tif', bundle=tmp_path / 'm')
    with rasterio.open(tmp_path / 'map.tif') as dataset:
        assert dataset.shape == CLASSES.shape


def test_a_backbone_that_goes_by_wavelengths(layers, tmp_path, monkeypatch):
    monkeypatch.setitem(lessvit.SIZES, 'base', LESSSize(32, 4, 2))
    options = TINY | {'architecture': 'fpn', 'batch_size': 2}
    train_segmentation(*layers, tmp_path / 'm', backbone='lessvit_base', **options)
    bundle = read_bundle(tmp_path / 'm')
    told = bundle.card.architecture['arguments']['model_args']['bands']
    assert told == pytest.approx([0.492, 0.560], abs=0.002)  # blue and green of Sentinel-2
    segment_image(layers[0], tmp_path / 'map.tif', bundle=tmp_path / 'm')
    with rasterio.open(tmp_path / 'map.tif') as dataset:
        assert dataset.shape == CLASSES.shape
    unknown = write_raster(tmp_path / 'unknown.tif', image_of(CLASSES), names=('one', 'two'))
    with pytest.raises(BadInput, match='lessvit_base goes by wavelengths, but those of one, two'):
        train_segmentation(unknown, layers[1], tmp_path / 'n', backbone='lessvit_base', **options)


def test_published_weights_of_a_registered_backbone(tmp_path, monkeypatch):
    monkeypatch.setitem(SIZES, 'tiny', VMambaSize(8, (1, 1, 1, 2), 0.0))
    published = VMambaClassifier(SIZES['tiny']).state_dict()
    torch.save({'model': published}, tmp_path / 'vmamba.pth')
    monkeypatch.setattr(_weights, 'weights_file', lambda weights: tmp_path / 'vmamba.pth')
    arguments = {'model': 'fpn', 'backbone': 'vmamba_tiny', 'in_channels': 2, 'num_classes': 3}
    task, start = build_task(
        'segmentation', arguments, 'VMamba_Weights.IMAGENET_TINY', ('blue', 'nir'), 'zero'
    )
    assert 'VMamba_Weights.IMAGENET_TINY; bands were found by name; nir got no effect' in start
    own = task.model.encoder.state_dict()
    first = own['patch_embed.0.weight']
    assert torch.equal(first[:, 0], published['patch_embed.0.weight'][:, 2])
    assert not first[:, 1].any()
    key = 'layers.3.blocks.1.mlp.fc2.weight'
    assert torch.equal(own[key], published[key])
    for weights, message in (
        ('VMamba_Weights.IMAGENET_BASE', 'those of vmamba_base, not of vmamba_tiny'),
        ('ResNet18_Weights.SENTINEL2_ALL_MOCO', 'does not fit the backbone vmamba_tiny'),
        ('imagenet', 'vmamba_tiny has none by the name of imagenet'),
    ):
        with pytest.raises(BadParameter, match=message):
            build_task('segmentation', arguments, weights, ('blue', 'nir'))


def test_weights_of_other_bands_are_adapted_and_the_report_says_so(layers, tmp_path):
    arguments = {'model': 'unet', 'backbone': 'mobilenet_v2', 'in_channels': 5, 'num_classes': 2}
    donor, _ = build_task('segmentation', arguments, None, tuple('abcde'))
    torch.save(donor.model.encoder.state_dict(), tmp_path / 'encoder.pth')
    options = TINY | {'architecture': 'unet', 'backbone': 'mobilenet_v2', 'batch_size': 2}
    train_segmentation(*layers, tmp_path / 'm', weights=str(tmp_path / 'encoder.pth'), **options)
    start = read_bundle(tmp_path / 'm').card.training['start']
    assert start.startswith('The encoder starts from encoder.pth')
    assert 'made for 5 bands, was averaged for these 2' in start
    assert start in (tmp_path / 'm' / 'report.html').read_text(encoding='utf-8')


def test_how_weights_come_to_other_bands_can_be_chosen(layers, tmp_path):
    arguments = {'model': 'unet', 'backbone': 'mobilenet_v2', 'in_channels': 3, 'num_classes': 2}
    donor, _ = build_task('segmentation', arguments, None, tuple('abc'))
    torch.save(donor.model.encoder.state_dict(), tmp_path / 'encoder.pth')
    options = TINY | {'architecture': 'unet', 'backbone': 'mobilenet_v2', 'batch_size': 2}
    train_segmentation(
        *layers, tmp_path / 'm', weights=str(tmp_path / 'encoder.pth'), band_adaptation='repeat',
        **options,
    )  # fmt: skip
    start = read_bundle(tmp_path / 'm').card.training['start']
    assert 'its filters of 3 bands were repeated for these 2' in start


def test_a_bundle_can_be_trained_further(layers, tmp_path):
    options = TINY | {'architecture': 'unet', 'backbone': 'mobilenet_v2', 'batch_size': 2}
    train_segmentation(*layers, tmp_path / 'a', **options)
    train_segmentation(
        *layers, tmp_path / 'b', weights=str(tmp_path / 'a'), learning_rate=1e-7, **options
    )
    before, after = (load_file(tmp_path / n / 'model.safetensors') for n in 'ab')
    key = next(key for key in before if key.endswith('segmentation_head.0.weight'))
    assert torch.allclose(before[key], after[key], atol=1e-4)
    assert 'the bundle "a"' in read_bundle(tmp_path / 'b').card.training['start']


class Stopping:
    """A progress that the user cancels when a text appears, and that stays canceled."""

    def __init__(self, text):
        self.text = text
        self.stopped = False

    def __call__(self, fraction, text='', **_):
        self.stopped = self.stopped or self.text in text
        if self.stopped:
            raise Canceled


def test_stopping_the_training_keeps_the_best_so_far(layers, tmp_path, caplog):
    options = TINY | {'epochs': 50}
    result = train_segmentation(
        *layers, tmp_path / 'm', **options, progress=Stopping('epoch 3/50'),
        report=tmp_path / 'r.html',
    )  # fmt: skip
    assert result.epochs_run == 2
    assert 'Stopped early by the user after 2 epochs' in caplog.text
    assert read_bundle(tmp_path / 'm').card.training['ending'] == 'canceled'
    assert 'stopped by the user after 2 epochs' in (tmp_path / 'r.html').read_text()


@pytest.mark.parametrize('when', ['looking', 'counting', 'statistics', 'epoch 1/1'])
def test_stopping_before_there_is_a_model_leaves_nothing(layers, tmp_path, when):
    with pytest.raises(Canceled):
        train_segmentation(*layers, tmp_path / 'm', **TINY, progress=Stopping(when))
    assert list(tmp_path.iterdir()) == []


def test_an_old_model_survives_a_failure(layers, tmp_path):
    train_segmentation(*layers, tmp_path / 'm', **TINY)
    before = (tmp_path / 'm' / 'model.json').read_bytes()
    with pytest.raises(Canceled):
        train_segmentation(*layers, tmp_path / 'm', **TINY, progress=Stopping('epoch'))
    assert (tmp_path / 'm' / 'model.json').read_bytes() == before


def test_nothing_is_printed(layers, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_segmentation(*layers, tmp_path / 'm', **TINY)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ''
    assert [path.name for path in tmp_path.iterdir()] == ['m']


class TestPatchSize:
    def task(self, model='unet', backbone='mobilenet_v2'):
        arguments = {'model': model, 'backbone': backbone, 'in_channels': 2, 'num_classes': 2}
        return build_task('segmentation', arguments, None, ('a', 'b'))[0]

    @pytest.mark.parametrize(
        ('wanted', 'raster', 'chosen'),
        [(64, 500, 64), (50, 500, 64), (40, 500, 32), (8, 500, 32), (256, 100, 64), (64, 20, 32)],
    )
    def test_fits_network_and_rasters(self, wanted, raster, chosen, caplog):
        with caplog.at_level(logging.INFO):
            assert choose_patch_size(self.task(), wanted, raster, (2, 2)) == chosen
        assert (f'{chosen} instead of {wanted}' in caplog.text) == (wanted != chosen)

    def test_a_network_of_one_size_reaches_beyond_small_rasters(self):
        task = self.task('dpt', 'tu-vit_tiny_patch16_224')
        assert choose_patch_size(task, 224, 100, (1, 2)) == 224

    def test_a_size_the_network_does_not_take(self):
        task = self.task('dpt', 'tu-vit_tiny_patch16_224')
        with pytest.raises(BadParameter, match='patch_size: the network dpt') as caught:
            choose_patch_size(task, 64, 500, (1, 2))
        assert '224' in caught.value.hint

    def test_trying_out_leaves_no_trace_in_the_network(self):
        task = self.task()
        before = {key: value.clone() for key, value in task.state_dict().items()}
        choose_patch_size(task, 32, 500, (2, 2))
        assert all(torch.equal(value, before[key]) for key, value in task.state_dict().items())


class TestBadInput:
    def fails(self, layers, folder, error, **options):
        with pytest.raises(error) as caught:
            train_segmentation(*layers, folder / 'm', **TINY | options)
        assert not (folder / 'm').exists()
        assert caught.value.hint
        return caught.value

    def test_unknown_architecture(self, layers, tmp_path):
        error = self.fails(layers, tmp_path, BadParameter, architecture='unett')
        assert 'unet' in error.hint

    def test_unknown_backbone(self, layers, tmp_path):
        error = self.fails(layers, tmp_path, BadParameter, architecture='unet', backbone='resnet19')
        assert "backbone: 'resnet19'" in error.message
        assert 'resnet18' in error.hint

    def test_backbone_that_does_not_suit_the_architecture(self, layers, tmp_path):
        error = self.fails(layers, tmp_path, BadParameter, architecture='dpt', backbone='resnet18')
        assert 'dpt' in error.message

    def test_unknown_weights(self, layers, tmp_path):
        error = self.fails(
            layers, tmp_path, BadParameter, architecture='unet',
            weights='ResNet18_Weights.SENTINEL2_ALL_MOC',
        )  # fmt: skip
        assert 'ResNet18_Weights.SENTINEL2_ALL_MOCO' in error.hint

    def test_weights_for_a_network_without_encoder(self, layers, tmp_path):
        error = self.fails(layers, tmp_path, BadParameter, weights='imagenet')
        assert 'fcn' in error.message

    def test_an_adaptation_without_weights(self, layers, tmp_path):
        error = self.fails(
            layers, tmp_path, BadParameter, architecture='unet', band_adaptation='zero'
        )
        assert 'band_adaptation is zero' in error.message

    def test_weights_that_cannot_be_downloaded(self, layers, tmp_path, monkeypatch):
        def offline(*_arguments, **_options):
            raise URLError('no network')

        monkeypatch.setattr('torch.hub.download_url_to_file', offline)
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
        error = self.fails(
            layers, tmp_path, MissingWeights, architecture='unet',
            weights='ResNet18_Weights.SENTINEL2_ALL_MOCO',
        )  # fmt: skip
        assert 'no network' in error.message
        assert str(tmp_path / 'cache') in error.hint

    def test_imagenet_weights_that_cannot_be_downloaded(self, layers, tmp_path, monkeypatch):
        monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
        monkeypatch.setenv('HF_HOME', str(tmp_path / 'cache'))
        monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))
        error = self.fails(
            layers, tmp_path, MissingWeights, architecture='unet', weights='imagenet'
        )
        assert 'ImageNet' in error.message

    def test_labels_elsewhere(self, layers, tmp_path):
        labels = write_polygons(tmp_path / 'l.gpkg', boxes([(900, 0, 910, 9)]), kind=[1])
        self.fails((layers[0], labels), tmp_path, BadInput, class_field='kind')

    def test_truncated_image(self, layers, tmp_path):
        content = Path(layers[0]).read_bytes()
        (tmp_path / 'cut.tif').write_bytes(content[: len(content) // 2])
        error = self.fails((str(tmp_path / 'cut.tif'), layers[1]), tmp_path, BadInput)
        assert 'cut.tif' in error.message

    def test_a_folder_with_other_things(self, layers, tmp_path):
        (tmp_path / 'm').mkdir()
        (tmp_path / 'm' / 'thesis.docx').write_text('precious')
        with pytest.raises(BadParameter, match='holds other things'):
            train_segmentation(*layers, tmp_path / 'm', **TINY)
        assert (tmp_path / 'm' / 'thesis.docx').read_text() == 'precious'

    def test_an_unavailable_device(self, layers, tmp_path):
        if torch.backends.mps.is_available():
            pytest.skip('this machine has one')
        self.fails(layers, tmp_path, BadParameter, device='mps')
