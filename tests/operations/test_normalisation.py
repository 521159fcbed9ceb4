"""Training on images prepared as in the pre-training of the weights, down to the bundle."""

import numpy as np
import pytest
import rasterio
import timm
import torch

from tests.bundles.makers import bundle
from tests.datasets.makers import boxes, class_map, image_of, write_pair_of_layers, write_polygons
from tests.rasters import write_raster
from torchgeo_ext import hub
from torchgeo_ext.bundles import Band, read_bundle
from torchgeo_ext.datamodules import GeoObjectDataModule, GeoTIFFDataModule, SceneDataModule
from torchgeo_ext.datamodules._pretrained import seen_by_weights
from torchgeo_ext.datasets import TiledRaster
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models import SatMAEPP_Weights
from torchgeo_ext.models.inputs import preprocessing_of
from torchgeo_ext.operations import train_classifier
from torchgeo_ext.operations._pretrained import choose_preprocessing
from torchgeo_ext.sensors import SensorBand

WEIGHTS = 'SatMAEPP_Weights.SENTINEL2_FMOW_MAE'
#: What is done to B02 and B03 for them: clipped, cut into 256 steps, resized and cropped.
SEEN = preprocessing_of(SatMAEPP_Weights.SENTINEL2_FMOW_MAE).for_bands(['B02', 'B03'])
CLASSES = class_map(96, 96, side=16)


@pytest.fixture
def layers(tmp_path):
    return write_pair_of_layers(tmp_path, CLASSES)


@pytest.fixture
def reflectance(tmp_path):
    values = (image_of(CLASSES) / 10_000).astype('float32')
    return str(write_raster(tmp_path / 'reflectance.tif', values, names=('B02', 'B03')))


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A tiny network in place of the file of the weights."""
    torch.manual_seed(0)
    network = timm.create_model('test_resnet', in_chans=10, num_classes=0)
    torch.save(network.state_dict(), tmp_path / 'published.pth')
    monkeypatch.setattr(hub, 'weights_file', lambda weights: tmp_path / 'published.pth')
    return network


def choose(image, way='auto', weights=WEIGHTS, names=('B02', 'B03')):
    described = tuple(map(SensorBand, names))
    return choose_preprocessing(way, weights, TiledRaster(image), described)


def test_a_classifier_sees_what_its_weights_saw(layers, published, tmp_path):
    image, labels = layers
    train_classifier(
        tmp_path / 'm', image=image, labels=labels, weights=WEIGHTS, backbone='tu-test_resnet',
        epochs=1, batch_size=8, tile_size=16, freeze_backbone=True,
    )  # fmt: skip
    bundle = read_bundle(tmp_path / 'm')
    start = bundle.card.training['start']
    assert start.endswith(f'Bands are prepared as in the training of {WEIGHTS}.')
    assert start in (tmp_path / 'm' / 'report.html').read_text(encoding='utf-8')
    assert [(b.clip, b.levels) for b in bundle.card.bands] == [
        ((low, high), 256) for low, high in zip(SEEN.low, SEEN.high, strict=True)
    ]
    predictor = bundle.build()
    stored = torch.randint(0, 6000, (3, 2, 16, 16)).float()
    logits = predictor.network.model(SEEN.transform()(stored))
    torch.testing.assert_close(predictor(stored), logits.softmax(1), atol=1e-5, rtol=1e-4)
    black = torch.tensor(bundle.fill())[None, :, None, None].expand(1, 2, 16, 16)
    assert predictor._normalised(black).abs().max() < 1 / 255


def test_a_model_is_trained_further_on_what_it_saw(tmp_path, caplog):
    known = tuple(
        Band(name, mean=mean, std=0.1, minimum=0.0, maximum=0.9, clip=(0.0, 0.8), levels=256)
        for name, mean in (('B02', 0.2), ('B03', 0.3), ('B04', 0.4))
    )
    folder = str(bundle(tmp_path / 'm', bands=known))
    values = np.random.default_rng(0).uniform(0, 0.9, (2, 64, 64)).astype('float32')
    reflectance = str(write_raster(tmp_path / 'r.tif', values))
    seen, _ = choose(reflectance, weights=folder, names=('B03', 'B04'))
    found = seen.apply(torch.tensor([0.35, 2.0])[:, None, None])[:, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.5, 4.0]), atol=0.04, rtol=0)
    numbers = str(write_raster(tmp_path / 'n.tif', 10_000 * values))
    assert choose(numbers, weights=folder, names=('B03', 'B04'))[0] is None
    assert 'B03 goes from' in caplog.text


@pytest.mark.parametrize('scaled', [False, True], ids=['stored', 'scaled'])
def test_batches_have_what_weights_saw(tmp_path, scaled):
    values = image_of(CLASSES)
    image = str(write_raster(tmp_path / 'i.tif', values, names=('B02', 'B03')))
    if scaled:
        with rasterio.open(image, 'r+') as dataset:
            dataset.scales, dataset.offsets = (1e-4, 1e-4), (-0.1, -0.1)
    labels = str(write_raster(tmp_path / 'l.tif', CLASSES))
    module = GeoTIFFDataModule(images=image, labels=labels, as_pretrained=WEIGHTS, patch_size=32)
    module.setup('fit')
    expected = SEEN.apply(torch.from_numpy(values[:, :32, :32].astype('float32')))
    physical = (values[:, :32, :32] * 1e-4 - 0.1) if scaled else values[:, :32, :32]
    sample = {
        'image': torch.from_numpy(physical.astype('float32')),
        'mask_valid': torch.ones(32, 32, dtype=torch.bool),
    }
    found = module.aug(sample)['image']
    # what was scaled may come to the next of 256 steps
    assert (found - expected).abs().max() < 1.01 / 255 if scaled else torch.equal(found, expected)
    sample['mask_valid'][:4] = False
    assert not module.aug(sample)['image'][:, :4].any()
    again = GeoTIFFDataModule(images=image, labels=labels, patch_size=32)
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again.aug(sample)['image'], module.aug(sample)['image'])


def test_other_data_modules_do_the_same(layers, tmp_path):
    image, labels = layers
    scenes = SceneDataModule(images=image, labels=labels, tile_size=16, as_pretrained=WEIGHTS)
    scenes.setup('fit')
    seen = seen_by_weights(WEIGHTS, scenes.examples.images, scenes.described)
    assert scenes.seen == seen
    assert scenes.card()['bands'][0]['clip'] == (SEEN.low[0], SEEN.high[0])
    corners = boxes([(c, r, c + 6, r + 6) for r in range(2, 90, 12) for c in range(2, 90, 12)])
    polygons = write_polygons(tmp_path / 'o.gpkg', corners)
    objects = GeoObjectDataModule(image, polygons, as_pretrained=WEIGHTS, patch_size=32)
    objects.setup('fit')
    assert objects.seen == seen
    assert objects.card()['bands'][1]['clip'] == (SEEN.low[1], SEEN.high[1])


def test_images_that_cannot_be_meant(layers, reflectance, caplog):
    seen, said = choose(layers[0])
    assert seen.low == SEEN.low
    assert 'as in the training' in said
    assert not caplog.text
    seen, said = choose(reflectance)
    assert seen is None
    assert said.startswith('Bands are standardised')
    assert 'may be reflectance from 0 to 1, but the weights expect digital numbers' in caplog.text
    assert choose(reflectance, 'weights')[0] is not None
    assert choose(layers[0], 'images')[0] is None


def test_bands_that_weights_do_not_know(layers, caplog):
    assert choose(layers[0], names=('B02', 'height'))[0] is None
    with pytest.raises(
        BadParameter, match=r'normalisation is weights, but for .* No band is height'
    ):
        choose(layers[0], 'weights', names=('B02', 'height'))


@pytest.mark.parametrize('weights', [None, 'CFNet_Weights.CLCD'])
def test_weights_that_say_nothing(layers, weights):
    assert choose(layers[0], weights=weights)[0] is None
    with pytest.raises(BadParameter, match='it is not known what was done in the training of'):
        choose(layers[0], 'weights', weights)


def test_photographs(tmp_path, caplog):
    values = np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype('uint8')
    photograph = write_raster(tmp_path / 'p.tif', values)
    names = ('red', 'green', 'blue')
    seen, _ = choose(str(photograph), weights='imagenet', names=names)
    assert seen.apply(torch.full((3, 1, 1), 255.0))[0].item() == pytest.approx(2.2489, abs=1e-4)
    numbers = write_raster(tmp_path / 'n.tif', values.astype('uint16') * 20)
    assert choose(str(numbers), weights='imagenet', names=names)[0] is None
    assert 'digital numbers of 16 bits, but the weights expect 8 bit' in caplog.text


def test_data_modules_refuse(layers, tmp_path):
    image, labels = layers
    with pytest.raises(BadParameter, match='Give one of both'):
        GeoTIFFDataModule(images=image, labels=labels, statistics='s.json', as_pretrained=WEIGHTS)
    for name, message in (
        ('Nothing', 'no weights of the name'),
        ('CFNet_Weights.CLCD', 'not known'),
    ):
        module = GeoTIFFDataModule(images=image, labels=labels, as_pretrained=name)
        with pytest.raises(BadParameter, match=message):
            module.setup('fit')
