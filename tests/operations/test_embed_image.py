"""embed_image: vectors for places, with and without published weights."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import rasterio
import timm
import torch
from affine import Affine

from tests.cubes import simulate, write_cube
from tests.rasters import write_raster
from torchgeo_ext import hub
from torchgeo_ext.errors import BadInput, BadParameter, MissingWeights
from torchgeo_ext.inference.embedding import RandomFeatures
from torchgeo_ext.models import SatMAEPP_Weights
from torchgeo_ext.models.inputs import preprocessing_of
from torchgeo_ext.operations import embed_image


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset


@pytest.fixture
def image(tmp_path):
    """Smooth on the left, striped on the right, with the same mean; a corner has no data."""
    values = np.full((2, 96, 128), 100, 'uint8')
    values[:, :, 64::2], values[:, :, 65::2] = 60, 140
    values += np.random.default_rng(0).integers(0, 8, values.shape, dtype='uint8')
    values[:, :20, :20] = 0
    return write_raster(tmp_path / 'image.tif', values, nodata=0)


def test_texture_tells_places_apart(image, tmp_path):
    result = embed_image(
        image, tmp_path / 'o.tif', reduction=8, components=2, picture=tmp_path / 'p.tif'
    )
    vectors, dataset = read(tmp_path / 'o.tif')
    assert result.dimensions == 2
    assert vectors.shape == (2, 12, 16)
    assert dataset.res == (80, 80)
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        assert dataset.descriptions == ('component 1', 'component 2')
    assert np.isnan(vectors[:, :2, :2]).all()
    assert result.explained_variance > 0.8
    left, right = vectors[0, 4:, :7], vectors[0, :, 9:]
    assert max(left.std(), right.std()) < 0.1 * abs(left.mean() - right.mean())
    picture, dataset = read(tmp_path / 'p.tif')
    assert picture.dtype == np.uint8
    assert (dataset.nodata, picture.shape) == (0, (3, 12, 16))
    assert (picture[:, :2, :2] == 0).all()
    assert (picture[:, 4:] > 0).all()


def test_vectors_are_those_of_the_whole_image_whatever_the_tiles(image, tmp_path):
    found = []
    for size in (32, 64):
        embed_image(image, tmp_path / f'{size}.tif', tile_size=size, overlap=16, merge='crop')
        found.append(read(tmp_path / f'{size}.tif')[0])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert found[0].shape[0] == 64


def test_one_vector_for_each_tile(image, tmp_path):
    result = embed_image(image, tmp_path / 'o.tif', reduction=0, tile_size=32)
    vectors, dataset = read(tmp_path / 'o.tif')
    assert result.pixel_size == 32
    assert vectors.shape == (64, 3, 4)
    assert dataset.res == (320, 320)
    pixels, _ = read(image)
    statistics = pixels[:, pixels[0] > 0].astype(float)
    network = RandomFeatures(statistics.mean(1).tolist(), statistics.std(1).tolist(), 32)
    expected = network(torch.from_numpy(pixels[None, :, 64:, 96:]).float())[0, :, 0, 0]
    np.testing.assert_allclose(vectors[:, 2, 3], expected, rtol=1e-4, atol=1e-5)


def test_another_seed_gives_other_vectors(image, tmp_path):
    for seed in (0, 1):
        embed_image(image, tmp_path / f'{seed}.tif', seed=seed, bands=[2])
    assert not np.allclose(read(tmp_path / '0.tif')[0], read(tmp_path / '1.tif')[0], equal_nan=True)


@pytest.fixture
def sentinel2(tmp_path, monkeypatch):
    """An image in another order than the weights', and weights of our own in their place."""
    from torchgeo.models import ResNet18_Weights, resnet18

    from torchgeo_ext import hub

    torch.manual_seed(0)
    network = resnet18(in_chans=3).eval()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(hub, 'known_hash', lambda weights: '')
    # the builder would compare the file with the published hash
    monkeypatch.setattr(
        ResNet18_Weights.SENTINEL2_RGB_MOCO.__class__,
        'get_state_dict',
        lambda weights, **more: torch.load(hub.weights_file(weights), weights_only=True),
    )
    hub.weights_folder().mkdir(parents=True)
    file = hub.weights_folder() / Path(ResNet18_Weights.SENTINEL2_RGB_MOCO.url).name
    torch.save(network.state_dict(), file)
    values = np.random.default_rng(0).integers(300, 3000, (3, 128, 160), dtype='uint16')
    path = write_raster(
        tmp_path / 'image.tif', values, names=['B02', 'B03', 'B04'],
        transform=Affine(10, 0, 500_000, 0, -10, 5_300_000),
    )  # fmt: skip
    return path, values[::-1].copy(), network


NAME = 'ResNet18_Weights.SENTINEL2_RGB_MOCO'


def test_a_published_network_on_the_right_bands(sentinel2, tmp_path):
    path, values, network = sentinel2
    embed_image(path, tmp_path / 'o.tif', model=NAME, reduction=8, tile_size=256)
    vectors, _ = read(tmp_path / 'o.tif')
    padded = np.pad(values, ((0, 0), (0, 128), (0, 96)), mode='reflect')
    with torch.inference_mode():
        x = torch.from_numpy(padded[None].astype('float32')) / 10_000
        expected = network.forward_intermediates(x, indices=[2], intermediates_only=True)[0][0]
    np.testing.assert_allclose(vectors, expected[:, :16, :20], rtol=1e-3, atol=1e-4)


def test_widths_a_network_does_not_have(sentinel2, tmp_path):
    with pytest.raises(BadParameter, match=r'reduction: .*every 3 pixels.*Choose 2, 4, 8, 16, 32'):
        embed_image(sentinel2[0], tmp_path / 'o.tif', model=NAME, reduction=3)


def test_values_the_weights_do_not_know_are_said(sentinel2, tmp_path, caplog):
    with rasterio.open(sentinel2[0]) as dataset:
        values = (dataset.read() / 10_000).astype('float32')
    reflectance = write_raster(tmp_path / 'r.tif', values, names=['B02', 'B03', 'B04'])
    embed_image(reflectance, tmp_path / 'o.tif', model=NAME)
    assert 'may be reflectance from 0 to 1, but the weights expect digital numbers' in caplog.text


def test_one_band_is_not_enough_for_a_network_of_three(image, tmp_path, sentinel2):
    one = write_raster(tmp_path / 'one.tif', np.ones((1, 64, 64), 'uint16'), names=['B02'])
    with pytest.raises(BadInput, match=r'image: .*one\.tif'):
        embed_image(one, tmp_path / 'o.tif', model=NAME)
    assert not (tmp_path / 'o.tif').exists()


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'reduction': 0, 'overlap': 8}, 'tiles with a single vector cannot overlap'),
        ({'reduction': 24, 'tile_size': 100}, r'tile_size: 100 .*for instance 96'),
    ],
)
def test_sizes_that_do_not_fit(image, tmp_path, settings, said):
    with pytest.raises(BadParameter, match=said):
        embed_image(image, tmp_path / 'o.tif', **settings)


def test_bands_of_a_cube_that_are_of_no_use_are_left_out(tmp_path):
    values = np.repeat(simulate(24, 32).values, 2, axis=0)
    values[3] = -32768
    cube = write_cube(tmp_path / 'cube.tif', values, centres=np.linspace(0.45, 2.35, 60))
    embed_image(cube, tmp_path / 'o.tif', reduction=2)
    assert np.isfinite(read(tmp_path / 'o.tif')[0]).all()
    with pytest.raises(BadInput, match='no valid pixel'):
        embed_image(cube, tmp_path / 'o.tif', reduction=2, bands=[*range(1, 61)])
    nothing = write_cube(tmp_path / 'nothing.tif', np.full_like(values, -32768))
    with pytest.raises(BadInput, match=r'no band of .* is of use: 1-60 \(no data\).* name them'):
        embed_image(nothing, tmp_path / 'o.tif', reduction=2)


@pytest.mark.parametrize('scaled', [False, True], ids=['stored', 'scaled'])
def test_any_backbone_sees_what_its_weights_saw(tmp_path, monkeypatch, scaled):
    torch.manual_seed(0)
    network = timm.create_model('test_resnet', in_chans=10, num_classes=0).eval()
    torch.save(network.state_dict(), tmp_path / 'published.pth')
    monkeypatch.setattr(hub, 'weights_file', lambda weights: tmp_path / 'published.pth')
    seen = preprocessing_of(SatMAEPP_Weights.SENTINEL2_FMOW_MAE)
    values = np.random.default_rng(0).integers(300, 3000, (10, 64, 64), dtype='uint16')
    # in another order than that of the weights
    path = write_raster(tmp_path / 'i.tif', values[::-1], names=seen.bands[::-1])
    if scaled:
        with rasterio.open(path, 'r+') as dataset:
            dataset.scales, dataset.offsets = (1e-4,) * 10, (-0.1,) * 10
    embed_image(
        path, tmp_path / 'o.tif', backbone='tu-test_resnet', reduction=8, tile_size=64, overlap=0,
        weights='SatMAEPP_Weights.SENTINEL2_FMOW_MAE',
    )  # fmt: skip
    vectors, _ = read(tmp_path / 'o.tif')
    with torch.inference_mode():
        x = seen.apply(torch.from_numpy(values[None].astype('float32')))
        maps = network.forward_intermediates(x, intermediates_only=True)
    [expected] = [found[0] for found in maps if found.shape[-1] == 8][-1:]
    # what was scaled may come to the next of 256 steps
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=0.02 if scaled else 1e-4)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({}, 'backbone is tu-test_resnet, but there are no weights'),
        ({'model': NAME, 'weights': 'imagenet'}, 'Choose one of both'),
        ({'weights': 'ResNet1_Weights.X'}, 'neither a file nor the name of weights'),
        ({'weights': 'imagenet', 'backbone': 'resnet18'}, 'none by the name of imagenet'),
    ],
)
def test_backbones_that_cannot_be_meant(image, tmp_path, options, message):
    options = {'backbone': 'tu-test_resnet'} | options
    with pytest.raises(BadParameter, match=message):
        embed_image(image, tmp_path / 'o.tif', **options)


def test_weights_that_cannot_be_had(image, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise URLError('no network')

    monkeypatch.setattr('torch.hub.download_url_to_file', refuse)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(MissingWeights, match='resnet18_sentinel2_rgb_moco'):
        embed_image(image, tmp_path / 'o.tif', backbone='resnet18', weights=NAME)
