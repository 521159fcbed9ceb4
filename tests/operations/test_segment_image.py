"""From a raster and a bundle to a class raster, and everything that can be wrong with them."""

import json
import logging
import shutil

import numpy as np
import pyogrio
import pytest
import rasterio
import torch
from affine import Affine

from tests.rasters import gradient, write_raster
from tests.trained import COLORS, tiny_bundle
from torchgeo_ext.bundles import Bundle, read_bundle
from torchgeo_ext.cli import main
from torchgeo_ext.errors import BadInput, BadParameter, Canceled, MissingWeights
from torchgeo_ext.operations import segment_image

NAMES = ('red', 'green', 'blue')


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp('bundles') / 'tiny')


@pytest.fixture(scope='module')
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp('images') / 'image.tif'
    values = np.random.default_rng(0).integers(0, 60_000, (3, 64, 64))
    smooth = np.kron(values[:, ::8, ::8], np.ones((8, 8))).astype('uint16')
    return write_raster(path, smooth, names=NAMES)


def scores(bundle, image, order=(1, 2, 3)):
    """What the model says of the whole image at once."""
    with rasterio.open(image) as dataset:
        values = torch.from_numpy(dataset.read(list(order)).astype('float32'))
    with torch.inference_mode():
        return read_bundle(bundle).build()(values[None])[0].numpy()


def assert_classes(path, expected):
    """Compare a class raster with scores (k, h, w), but not where two are as good as equal."""
    best, second = np.sort(expected, axis=0)[[-1, -2]]
    clear = best - second > 1e-4
    np.testing.assert_array_equal(read(path)[0][clear], expected.argmax(0)[clear] + 1)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def test_classes_are_those_of_the_model(bundle, image, tmp_path):
    result = segment_image(image, tmp_path / 'o.tif', bundle=bundle)
    expected = scores(bundle, image)
    assert len(np.unique(expected.argmax(0))) == 3, 'the model of this test must tell them apart'
    assert_classes(tmp_path / 'o.tif', expected)
    assert result.valid_fraction == 1
    assert (result.tiles, result.tiles_skipped) == (1, 0)
    areas = json.loads(result.class_areas)
    # UTM stretches by less than a thousandth
    assert sum(areas.values()) == pytest.approx(64 * 64 * 100, rel=1e-3)


def test_the_grid_colours_and_names(bundle, image, tmp_path):
    result = segment_image(image, tmp_path / 'o.tif', bundle=bundle)
    with rasterio.open(image) as source, rasterio.open(tmp_path / 'o.tif') as made:
        assert (made.transform, made.crs, made.shape) == (
            source.transform,
            source.crs,
            source.shape,
        )
        assert made.nodata == 255
        assert made.colormap(1)[1][:3] == (0x1F, 0x78, 0xB4)
        assert made.tags()['model'] == 'tiny'
        assert made.tags()['software'].startswith('torchgeo_ext')
    shown = result.styles['output']
    assert [c['name'] for c in shown['classes']] == ['water', 'land', 'city']
    assert [c['color'] for c in shown['classes']] == list(COLORS[:3])
    assert (tmp_path / 'o.qml').exists()


def test_probabilities_and_confidence(bundle, image, tmp_path):
    segment_image(
        image, tmp_path / 'o.tif', bundle=bundle, probabilities=tmp_path / 'p.tif',
        confidence=tmp_path / 'c.tif',
    )  # fmt: skip
    expected = scores(bundle, image)
    np.testing.assert_allclose(read(tmp_path / 'p.tif'), expected, atol=1e-4)
    np.testing.assert_allclose(read(tmp_path / 'c.tif')[0], expected.max(0), atol=1e-4)
    with rasterio.open(tmp_path / 'p.tif') as made:
        assert made.descriptions == ('water', 'land', 'city')


def test_polygons_have_classes_and_areas(bundle, image, tmp_path):
    segment_image(image, tmp_path / 'o.tif', bundle=bundle, polygons=tmp_path / 'p.gpkg')
    frame = pyogrio.read_dataframe(tmp_path / 'p.gpkg', layer='p')
    assert set(frame['class']) <= {'water', 'land', 'city'}
    assert frame.area_m2.sum() == pytest.approx(64 * 64 * 100, rel=1e-3)
    np.testing.assert_allclose(frame.area_m2, frame.area, rtol=1e-3)


@pytest.mark.parametrize('order', [(3, 1, 2), (2, 3, 1)])
def test_bands_are_found_by_name_in_any_order(bundle, image, tmp_path, order):
    shuffled = write_raster(
        tmp_path / 'i.tif', read(image)[[n - 1 for n in order]], names=[NAMES[n - 1] for n in order]
    )
    segment_image(shuffled, tmp_path / 'o.tif', bundle=bundle)
    assert_classes(tmp_path / 'o.tif', scores(bundle, image))


def test_bands_can_be_given(bundle, image, tmp_path):
    segment_image(image, tmp_path / 'o.tif', bundle=bundle, bands=[3, 2, 1])
    assert_classes(tmp_path / 'o.tif', scores(bundle, image, (3, 2, 1)))


def test_one_score_and_its_threshold(image, tmp_path):
    bundle = tiny_bundle(tmp_path / 'binary', classes=('no', 'yes'))
    expected = scores(bundle, image)[0]
    for threshold in (0.5, float(np.quantile(expected, 0.7))):
        segment_image(image, tmp_path / 'o.tif', bundle=bundle, threshold=threshold)
        clear = np.abs(expected - threshold) > 1e-4
        yes = np.where(expected >= threshold, 2, 1)
        np.testing.assert_array_equal(read(tmp_path / 'o.tif')[0][clear], yes[clear])


def test_an_extent_gives_the_same_pixels_as_the_whole(bundle, image, tmp_path):
    extent = (500_095, 5_299_705, 500_395, 5_299_905)
    segment_image(image, tmp_path / 'part.tif', bundle=bundle, extent=extent)
    with rasterio.open(tmp_path / 'part.tif') as part, rasterio.open(image) as whole:
        assert part.shape == (21, 31)
        offset = ~whole.transform @ (part.transform.c, part.transform.f)
        assert offset == pytest.approx((9, 9))
    degrees = '15.0012,47.8505,15.0050,47.8520 [EPSG:4326]'
    segment_image(image, tmp_path / 'part.tif', bundle=bundle, extent=degrees)
    assert read(tmp_path / 'part.tif').size


def test_the_mask_keeps_the_rest_out(bundle, image, tmp_path):
    inside = np.zeros((64, 64), 'uint8')
    inside[10:20, 5:50] = 1
    mask = write_raster(tmp_path / 'mask.tif', inside)
    result = segment_image(image, tmp_path / 'o.tif', bundle=bundle, mask=mask)
    np.testing.assert_array_equal(read(tmp_path / 'o.tif')[0] != 255, inside == 1)
    assert result.valid_fraction == pytest.approx(450 / 4096)


def test_nodata_stays_nodata(bundle, image, tmp_path):
    values = read(image)
    values[:, 30:40, 30:40] = 65_535
    holed = write_raster(tmp_path / 'i.tif', values, names=NAMES, nodata=65_535)
    segment_image(holed, tmp_path / 'o.tif', bundle=bundle)
    hole = read(tmp_path / 'o.tif')[0] == 255
    assert hole.sum() == 100
    assert hole[30:40, 30:40].all()


@pytest.mark.parametrize('augmentation', ['flip', 'd4'])
def test_augmentation_averages_views(bundle, image, tmp_path, augmentation):
    segment_image(
        image, tmp_path / 'o.tif', bundle=bundle, probabilities=tmp_path / 'p.tif',
        augmentation=augmentation,
    )  # fmt: skip
    mirrored = write_raster(tmp_path / 'm.tif', read(image)[:, :, ::-1], names=NAMES)
    segment_image(
        mirrored, tmp_path / 'o.tif', bundle=bundle, probabilities=tmp_path / 'q.tif',
        augmentation=augmentation,
    )  # fmt: skip
    np.testing.assert_allclose(
        read(tmp_path / 'p.tif'), read(tmp_path / 'q.tif')[:, :, ::-1], atol=1e-4
    )


def test_the_command_line_makes_the_same_pixels(bundle, image, tmp_path, capsys):
    segment_image(image, tmp_path / 'a.tif', bundle=bundle, overlap=16)
    words = ['segment-image', '--image', image, '--bundle', bundle / 'model.json', '--json']
    words += ['--overlap', 16, '--output', tmp_path / 'b.tif']
    assert main([str(word) for word in words]) == 0
    np.testing.assert_array_equal(read(tmp_path / 'a.tif'), read(tmp_path / 'b.tif'))
    assert json.loads(capsys.readouterr().out)['output'] == str(tmp_path / 'b.tif')


def test_rows_of_a_batch_share_the_model(bundle, image, tmp_path, monkeypatch):
    built = []
    build = Bundle.build
    monkeypatch.setattr(
        Bundle, 'build', lambda self, *a: built.append(self.path) or build(self, *a)
    )
    shutil.copytree(bundle, tmp_path / 'model')
    for row in range(3):
        segment_image(image, tmp_path / f'{row}.tif', bundle=tmp_path / 'model')
    assert len(built) == 1
    np.testing.assert_array_equal(read(tmp_path / '0.tif'), read(tmp_path / '2.tif'))
    shutil.rmtree(tmp_path / 'model')
    tiny_bundle(tmp_path / 'model', classes=('no', 'yes'))
    segment_image(image, tmp_path / 'new.tif', bundle=tmp_path / 'model')
    assert len(built) == 2


def test_other_resolutions_are_warned_about(image, tmp_path, caplog):
    fine = tiny_bundle(tmp_path / 'fine', resolution_minimum=0.5, resolution_maximum=1.0)
    with caplog.at_level(logging.WARNING, 'torchgeo_ext'):
        segment_image(image, tmp_path / 'o.tif', bundle=fine)
    assert 'The pixels of the image are 10 m wide' in caplog.text
    assert '0.5 to 1 m' in caplog.text


def test_canceling_leaves_what_was_there(bundle, image, tmp_path):
    def cancel(fraction, text='', *, tile=None, tiles=None):
        if tile:
            raise Canceled

    (tmp_path / 'o.tif').write_text('old')
    with pytest.raises(Canceled):
        segment_image(image, tmp_path / 'o.tif', bundle=bundle, progress=cancel)
    assert (tmp_path / 'o.tif').read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['o.tif']


@pytest.mark.parametrize(
    ('settings', 'error', 'said'),
    [
        ({'bundle': None}, BadParameter, 'Exactly one of bundle, model is needed'),
        ({'model': 'unet'}, BadParameter, 'unet'),
        ({'overlap': 64, 'tile_size': 64}, BadParameter, 'overlap is 64'),
        ({'bands': [1, 2]}, BadParameter, 'bands has 2 numbers'),
        ({'bands': [1, 2, 9]}, BadParameter, 'image has bands 1 to 3'),
        ({'extent': (0, 0, 10, 10)}, BadParameter, 'lies outside of the image'),
        ({'extent': '1,2,3,4 [EPSG:nowhere]'}, BadInput, 'is not known'),
        ({'device': 'cuda'}, BadParameter, 'cuda'),
    ],
)
def test_arguments_that_do_not_fit(bundle, image, tmp_path, settings, error, said):
    if settings.get('device') == 'cuda' and torch.cuda.is_available():
        pytest.skip('this machine has what is asked for')
    with pytest.raises(error, match=said):
        segment_image(image, tmp_path / 'o.tif', **{'bundle': bundle} | settings)
    assert list(tmp_path.iterdir()) == []


def test_images_that_do_not_fit(bundle, tmp_path):
    two = write_raster(tmp_path / 'two.tif', gradient(2, 8, 8), names=['red', 'green'])
    with pytest.raises(BadInput, match=r'(?s)red.*green.*blue'):
        segment_image(two, tmp_path / 'o.tif', bundle=bundle)
    (tmp_path / 'text.tif').write_text('no raster')
    with pytest.raises(BadInput, match=r'image: .*text\.tif cannot be opened as a raster'):
        segment_image(tmp_path / 'text.tif', tmp_path / 'o.tif', bundle=bundle)
    empty = write_raster(tmp_path / 'e.tif', np.zeros((3, 8, 8)), names=NAMES, nodata=0)
    with pytest.raises(BadInput, match='no valid pixel'):
        segment_image(empty, tmp_path / 'o.tif', bundle=bundle)
    assert not (tmp_path / 'o.tif').exists()


def test_a_bundle_for_two_dates_is_refused(image, tmp_path):
    pair = tiny_bundle(tmp_path / 'pair', dates=2)
    with pytest.raises(BadInput, match=r'does change with 2 image\(s\), but segmentation with 1'):
        segment_image(image, tmp_path / 'o.tif', bundle=pair)


def test_published_weights_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(
        'torch.hub.download_url_to_file',
        lambda url, *_, **__: (_ for _ in ()).throw(OSError('no network')),
    )
    image = write_raster(tmp_path / 'i.tif', gradient(4, 8, 8))
    with pytest.raises(MissingWeights, match='no network') as caught:
        segment_image(
            image, tmp_path / 'o.tif', model='Unet_Weights.NAIP_RGBN_RESNET18_CHESAPEAKERSC'
        )
    assert 'unet-resnet18-829a85c5.pth' in caught.value.hint


def test_published_weights_run_by_name(tmp_path, monkeypatch, fresh_registry):
    """With weights of our own in place of the published ones, which need a network."""
    import segmentation_models_pytorch as smp

    from torchgeo_ext import hub

    name = 'Unet_Weights.NAIP_RGBN_RESNET18_CHESAPEAKERSC'
    stand_in = tmp_path / 'unet-resnet18-829a85c5.pth'
    torch.save(
        smp.Unet('resnet18', encoder_weights=None, in_channels=4, classes=2).state_dict(), stand_in
    )
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    hub.weights_folder().mkdir(parents=True)
    stand_in.rename(hub.weights_folder() / stand_in.name)
    monkeypatch.setattr(hub, 'known_hash', lambda weights: '')
    image = write_raster(
        tmp_path / 'i.tif',
        gradient(4, 40, 40, 'uint8'),
        transform=Affine(1, 0, 500_000, 0, -1, 5_300_000),
    )
    result = segment_image(image, tmp_path / 'o.tif', model=name, tile_size=64)
    assert set(json.loads(result.class_areas)) == {'background', 'road'}
    assert set(np.unique(read(tmp_path / 'o.tif'))) <= {0, 1}
