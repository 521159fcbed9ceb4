"""A checkpoint becomes a bundle with what the user and an image know of it."""

import json
import logging

import numpy as np
import pytest
import rasterio
import torch
from torchgeo.tasks import ChangeDetection

from tests.bundles.makers import checkpoint, task
from tests.bundles.validation import problems
from tests.rasters import write_raster
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.operations import compute_statistics, create_bundle

CLASSES = [[1, 'water', '#1f78b4'], [5, 'land', '#33a02c'], [9, 'snow', '#ffffff']]


@pytest.fixture
def ckpt(tmp_path):
    return checkpoint(tmp_path / 'last.ckpt', task())


@pytest.fixture
def image(tmp_path):
    """Three bands of 70 x 80 pixels of 10 m; the left half of the first has no data."""
    values = np.random.default_rng(0).integers(1, 3000, (3, 70, 80)).astype('uint16')
    values[0, :, :40] = 0
    path = write_raster(tmp_path / 'image.tif', values, nodata=0, names=['B2', 'B3', 'B4'])
    with rasterio.open(path, 'r+') as dataset:
        for index, wavelength in enumerate((492, 560, 665), start=1):
            dataset.update_tags(index, wavelength=wavelength, wavelength_units='nm')
    return path


def test_everything_said_by_hand(ckpt, tmp_path):
    result = create_bundle(
        ckpt,
        tmp_path / 'bundle',
        mean='10,20,30',
        std='4',
        classes=CLASSES,
        name='My land cover',
        description='Lakes and hills.',
        license='CC-BY-4.0',
        citation='Me (2026).',
        resolution_minimum=5,
        resolution_maximum=20,
        tile_size=64,
        halo=8,
    )
    card = read_bundle(tmp_path / 'bundle').card
    assert [(b.name, b.mean, b.std) for b in card.bands] == [
        ('band 1', 10, 4),
        ('band 2', 20, 4),
        ('band 3', 30, 4),
    ]
    assert [[c.value, c.name, c.color] for c in card.classes] == CLASSES
    assert (card.name, card.description) == ('My land cover', 'Lakes and hills.')
    assert (card.license, card.citation) == ('CC-BY-4.0', 'Me (2026).')
    assert (card.resolution_minimum, card.resolution_maximum) == (5, 20)
    assert (card.tile_size, card.halo) == (64, 8)
    assert result[:4] == (
        str(tmp_path / 'bundle'),
        'My land cover',
        'segmentation',
        'band 1, band 2, band 3',
    )
    assert json.loads(result.classes)[1] == {'value': 5, 'name': 'land', 'color': '#33a02c'}
    assert result.parameters == 432
    assert result.size == sum(file.stat().st_size for file in (tmp_path / 'bundle').iterdir())
    assert problems(json.loads((tmp_path / 'bundle' / 'model.json').read_text())) == []


def test_bands_and_statistics_of_an_image(ckpt, image, tmp_path):
    create_bundle(ckpt, tmp_path / 'bundle', image=image, tile_size=64)
    card = read_bundle(tmp_path / 'bundle').card
    with rasterio.open(image) as dataset:
        valid = dataset.read()[:, :, 40:].astype('float64')
    for band, values, wavelength in zip(card.bands, valid, (0.492, 0.56, 0.665), strict=True):
        assert band.mean == pytest.approx(values.mean(), rel=1e-9)
        assert band.std == pytest.approx(values.std(), rel=1e-9)
        assert (band.minimum, band.maximum) == (values.min(), values.max())
        assert band.center_wavelength == pytest.approx(wavelength)
        assert band.nodata == 0
    assert [band.name for band in card.bands] == ['B2', 'B3', 'B4']
    assert card.resolution_minimum == pytest.approx(7.5, rel=0.01)
    assert card.resolution_maximum == pytest.approx(15, rel=0.01)


def test_statistics_by_hand_win_over_the_image(ckpt, image, tmp_path):
    create_bundle(
        ckpt, tmp_path / 'bundle', image=image, bands=[3, 1, 2], mean='0', std='10000', tile_size=64
    )
    bands = read_bundle(tmp_path / 'bundle').card.bands
    assert [(band.name, band.std) for band in bands] == [('B4', 1e4), ('B2', 1e4), ('B3', 1e4)]


def test_statistics_from_a_file(ckpt, image, tmp_path):
    compute_statistics(image, tmp_path / 's.json')
    create_bundle(ckpt, tmp_path / 'one', statistics=tmp_path / 's.json')
    card = read_bundle(tmp_path / 'one').card
    assert [(b.name, b.center_wavelength) for b in card.bands] == [
        ('B2', pytest.approx(0.492)),
        ('B3', pytest.approx(0.56)),
        ('B4', pytest.approx(0.665)),
    ]
    with rasterio.open(image) as dataset:
        green = dataset.read(2).astype(float)
    assert card.bands[1].mean == pytest.approx(green.mean())
    assert card.bands[1].std == pytest.approx(green.std())
    create_bundle(ckpt, tmp_path / 'two', statistics=tmp_path / 's.json', mean='1', std='2')
    assert [(b.mean, b.std) for b in read_bundle(tmp_path / 'two').card.bands] == [(1, 2)] * 3
    compute_statistics(image, tmp_path / 'less.json', bands=[1])
    with pytest.raises(BadInput, match='has 1 bands, but the model reads 3'):
        create_bundle(ckpt, tmp_path / 'no', statistics=tmp_path / 'less.json')


def test_predicts_as_the_task_did(ckpt, tmp_path):
    create_bundle(ckpt, tmp_path / 'bundle', mean='100', std='50', tile_size=64)
    values = torch.randint(0, 256, (1, 3, 64, 64)).float()
    with torch.inference_mode():
        torch.testing.assert_close(
            read_bundle(tmp_path / 'bundle').build()(values),
            task().eval()((values - 100) / 50).softmax(1),
            atol=1e-6,
            rtol=0,
        )


def test_without_image_and_statistics_torchgeos_default_is_told(ckpt, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        create_bundle(ckpt, tmp_path / 'bundle', tile_size=64)
    assert 'divided by 255' in caplog.text
    assert {band.std for band in read_bundle(tmp_path / 'bundle').card.bands} == {255}


def test_change_detection_with_all_four_bands_of_an_aerial_image(tmp_path):
    """GDAL takes the fourth of four 8-bit bands for alpha unless told otherwise."""
    module = ChangeDetection(model='fcn', in_channels=4)
    values = np.full((4, 8, 8), 7, 'uint8')
    path = write_raster(tmp_path / 'a.tif', values, photometric='RGB', alpha='YES')
    result = create_bundle(
        checkpoint(tmp_path / 'c.ckpt', module),
        tmp_path / 'bundle',
        image=path,
        exports=['pt2'],
        tile_size=64,
    )
    assert result.task == 'change'
    assert result.bands == 'red, green, blue, band 4'
    assert (tmp_path / 'bundle' / 'model.pt2').is_file()


def test_image_with_other_bands(ckpt, tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.ones((5, 8, 8), 'uint8'), names=['a', 'b'])
    with pytest.raises(BadInput, match=r'image: the model reads 3 bands, but .* has 5 \(1 a, 2 b'):
        create_bundle(ckpt, tmp_path / 'bundle', image=path)
    with pytest.raises(BadInput, match=r'bands is 1,2,9.*Give 3 band numbers with bands'):
        create_bundle(ckpt, tmp_path / 'bundle', image=path, bands=[1, 2, 9])
    create_bundle(ckpt, tmp_path / 'bundle', image=path, bands=[5, 2, 1], tile_size=64)


def test_image_without_valid_pixels(ckpt, tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.zeros((3, 8, 8), 'uint16'), nodata=0)
    with pytest.raises(BadInput, match=r'image: .*a\.tif has no valid pixel.*mean and std'):
        create_bundle(ckpt, tmp_path / 'bundle', image=path)


@pytest.mark.parametrize(
    ('arguments', 'told'),
    [
        ({'mean': '1,2', 'std': '1'}, "mean is '1,2', but must be 3 numbers"),
        ({'mean': '1', 'std': 'one'}, "std is 'one'"),
        ({'mean': '1'}, "std is ''.*together"),
        ({'mean': '1', 'std': '0'}, 'std is 0.0'),
        ({'classes': [['one', 'water', '#1f78b4']]}, 'classes has a value that is no whole'),
        ({'classes': [[1, 'water', 'blue']]}, "color is 'blue'"),
        ({'classes': CLASSES[:2]}, 'Name as many classes'),
        ({'halo': 200}, 'halo is 200'),
        ({'resolution_minimum': 9, 'resolution_maximum': 3}, 'resolution_minimum is 9'),
    ],
)
def test_values_that_do_not_fit(ckpt, tmp_path, arguments, told):
    with pytest.raises(BadParameter, match=told):
        create_bundle(ckpt, tmp_path / 'bundle', **arguments)
    assert not (tmp_path / 'bundle').exists()


def test_folder_with_other_files_is_refused_at_once(ckpt, tmp_path):
    with pytest.raises(BadParameter, match=r'output: the folder .* holds other things'):
        create_bundle(ckpt, tmp_path)


def test_canceling_leaves_nothing(ckpt, image, tmp_path):
    def cancel(fraction, text='', *, tile=None, tiles=None):
        raise Canceled

    with pytest.raises(Canceled):
        create_bundle(ckpt, tmp_path / 'bundle', image=image, progress=cancel)
    assert not (tmp_path / 'bundle').exists()
