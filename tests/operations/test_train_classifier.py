"""train_classifier: from examples of scenes to a model that classify_tiles takes."""

import json

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch

from tests.datasets.makers import boxes, class_map, image_of, write_polygons
from tests.rasters import UTM, write_raster
from torchgeo_ext.bundles import read_bundle
from torchgeo_ext.datamodules import SceneDataModule
from torchgeo_ext.datasets import ScenePatches, TiledRaster
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.operations import classify_tiles, train_classifier
from torchgeo_ext.samplers._roles import TRAINING, VALIDATION

TILE = 16
#: Ten by ten scenes of three classes.
CLASSES = class_map(160, 160, side=TILE)
TINY = {
    'backbone': 'tu-test_resnet', 'epochs': 1, 'batch_size': 8, 'tile_size': TILE,
    'learning_rate': 0.01,
}  # fmt: skip


@pytest.fixture(scope='module')
def layers(tmp_path_factory):
    folder = tmp_path_factory.mktemp('layers')
    image = write_raster(folder / 'image.tif', image_of(CLASSES), names=('B02', 'B03'))
    return str(image), str(write_raster(folder / 'labels.tif', CLASSES))


def cells():
    return [(c, r, c + TILE, r + TILE) for r in range(0, 160, TILE) for c in range(0, 160, TILE)]


def names_of_cells():
    return [f'kind {CLASSES[row, column]}' for column, row, *_ in cells()]


def truth():
    return CLASSES[::TILE, ::TILE]


def test_tiles_of_a_class_raster(layers, tmp_path):
    image, labels = layers
    result = train_classifier(
        tmp_path / 'm', image=image, labels=labels, report=tmp_path / 'r.html', license='MIT',
        **TINY | {'epochs': 6},
    )  # fmt: skip
    assert result.overall_accuracy > 0.8
    assert result.training_examples + result.held_out_examples <= 100
    assert result.held_out_examples >= 10
    assert result.classes == '1 class 1, 2 class 2, 3 class 3'
    card = read_bundle(tmp_path / 'm').card
    assert (card.task, card.tile_size, card.license) == ('classification', TILE, 'MIT')
    assert [band.name for band in card.bands] == ['B02', 'B03']
    assert card.training['hold_out']['overall_accuracy'] == result.overall_accuracy
    page = (tmp_path / 'r.html').read_text(encoding='utf-8')
    assert page == (tmp_path / 'm' / 'report.html').read_text(encoding='utf-8')
    for words in ('hold-out examples', 'Examples, and their share', 'tu-test_resnet', 'Confusion'):
        assert words in page
    classify_tiles(image, tmp_path / 'm', tmp_path / 'o.gpkg', raster=tmp_path / 'o.tif')
    with rasterio.open(tmp_path / 'o.tif') as dataset:
        assert (dataset.read(1) == truth()).mean() > 0.8


def test_no_ground_of_the_hold_out_is_learned_from(layers):
    later = SceneDataModule(images=layers[0], labels=layers[1], tile_size=24)
    later.setup('fit')
    examples, counts = later.examples, [len(later.training), len(later.held_out)]
    assert min(counts) > 3
    shapes = np.array([shapely.box(*patch.grid.bounds).buffer(-1) for patch in examples.patches])
    assert not shapely.intersects(
        shapely.union_all(shapes[later.roles == TRAINING]),
        shapely.union_all(shapes[later.roles == VALIDATION]),
    )


@pytest.mark.parametrize('around', [True, False])
def test_each_polygon_is_an_example(layers, tmp_path, around):
    # a narrow field in the middle of each cell
    shapes = [shape.buffer(-50) for shape in boxes(cells())]
    fields = write_polygons(tmp_path / 'f.gpkg', shapes, crop=names_of_cells())
    result = train_classifier(
        tmp_path / 'm', image=layers[0], labels=fields, class_field='crop', around=around, **TINY
    )
    assert result.classes == '1 kind 1, 2 kind 2, 3 kind 3'
    assert result.training_examples + result.held_out_examples <= 100
    card = read_bundle(tmp_path / 'm').card
    # six pixels of ten metres became sixteen
    assert card.resolution_minimum == pytest.approx(0.75 * (3.75 if around else 10), rel=0.01)
    output = tmp_path / 'o.gpkg'
    classify_tiles(layers[0], tmp_path / 'm', output, polygons=fields)
    found = pyogrio.read_dataframe(output, layer='o')
    assert len(found) == 100
    assert {*found['class']} <= {'kind 1', 'kind 2', 'kind 3'}


def test_points_in_two_images_and_chosen_bands(layers, tmp_path):
    places = [shape.centroid for shape in boxes(cells())]
    points = tmp_path / 'p.gpkg'
    geopandas.GeoDataFrame(
        {'kind': CLASSES[8::16, 8::16].ravel()}, geometry=places, crs=UTM
    ).to_crs('EPSG:4326').to_file(points)
    later = write_raster(tmp_path / 'later.tif', image_of(CLASSES, seed=9), names=('B02', 'B03'))
    module = SceneDataModule(
        images=[layers[0], str(later)], labels=str(points), class_field='kind', bands=[2],
        tile_size=TILE,
    )  # fmt: skip
    module.setup('fit')
    assert len(module.examples) == 200
    # both dates of a place have one role
    assert (module.roles[:100] == module.roles[100:]).all()
    sample = module.examples[0]
    assert sample['image'].shape == (1, TILE, TILE)
    assert sample['label'] == CLASSES[0, 0] - 1
    expected = image_of(CLASSES)[1, :TILE, :TILE]
    np.testing.assert_array_equal(sample['image'][0], expected)


def test_tiles_under_polygons(layers, tmp_path):
    # two thirds of each tile of the left half
    half = [(c, r, c + 11, r + TILE) for c, r, *_ in cells() if c < 80]
    kinds = [f'kind {CLASSES[r, c]}' for c, r, *_ in half]
    fields = write_polygons(tmp_path / 'f.gpkg', boxes(half), crop=kinds)
    options = {'images': layers[0], 'labels': fields, 'class_field': 'crop', 'tile_size': TILE}
    module = SceneDataModule(**options, tiles=True)
    assert len(module.examples) == 50
    numbers = module.examples.members.argmax(1)
    assert numbers.tolist() == (truth()[:, :5].ravel() - 1).tolist()
    with pytest.raises(BadInput, match='there is no example'):
        _ = SceneDataModule(**options, tiles=True, share=0.8).examples


def test_several_classes_at_once(layers, tmp_path):
    labels = write_polygons(
        tmp_path / 'f.gpkg', boxes(cells()),
        kinds=[('low' if v == 1 else 'low, high' if v == 2 else ' high') for v in truth().ravel()],
    )  # fmt: skip
    result = train_classifier(
        tmp_path / 'm', image=layers[0], labels=labels, class_field='kinds', multilabel=True,
        report=tmp_path / 'r.html', **TINY,
    )  # fmt: skip
    assert result.classes == '1 high, 2 low'
    assert 0 <= result.overall_accuracy <= 1
    card = read_bundle(tmp_path / 'm').card
    assert card.multilabel
    confusion = np.array(card.training['hold_out']['confusion'])
    assert confusion.shape == (2, 2, 2)
    assert confusion.sum() == 2 * result.held_out_examples
    assert 'Confusion' not in (tmp_path / 'r.html').read_text(encoding='utf-8')
    output = tmp_path / 'o.gpkg'
    found = classify_tiles(layers[0], tmp_path / 'm', output)
    assert {*json.loads(found.class_counts)} == {'high', 'low'}


def test_tiles_of_several_classes(tmp_path):
    values = np.repeat([[1] * 8 + [2] * 8 + [2] * 16 + [1] * 3 + [3] * 13 + [0] * 16], 16, 0)
    image = write_raster(tmp_path / 'i.tif', image_of(values))
    labels = write_raster(tmp_path / 'l.tif', values.astype('uint8'), nodata=0)
    raster = TiledRaster(image, labels)
    several = ScenePatches.of_tiles(raster, TILE, share=0.25, multilabel=True)
    assert several.members.astype(int).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert several[0]['label'].tolist() == [1, 1, 0]
    one = ScenePatches.of_tiles(raster, TILE, share=0.6)
    assert [int(sample['label']) for sample in one] == [1, 2]


def test_a_folder_of_images_for_each_class(tmp_path):
    random = np.random.default_rng(0)
    for number, name in enumerate(('dark', 'bright', 'middling')):
        (tmp_path / 'data' / name).mkdir(parents=True)
        for image in range(10):
            values = random.integers(0, 20, (3, 20, 24)) + 100 * number
            write_raster(
                tmp_path / 'data' / name / f'{image}.tif', values.astype('uint8'), crs=None
            )
    result = train_classifier(
        tmp_path / 'm', folder=tmp_path / 'data', **TINY | {'tile_size': 0, 'epochs': 5}
    )
    assert (result.training_examples, result.held_out_examples) == (24, 6)
    assert result.overall_accuracy > 0.6
    card = read_bundle(tmp_path / 'm').card
    assert card.tile_size == 20
    assert [entry.name for entry in card.classes] == ['bright', 'dark', 'middling']
    assert 'single examples were held out' in (tmp_path / 'm' / 'report.html').read_text()


def test_weights_of_another_model_and_its_last_layer_alone(layers, tmp_path):
    image, labels = layers
    train_classifier(tmp_path / 'a', image=image, labels=labels, **TINY)
    train_classifier(
        tmp_path / 'b', image=image, labels=labels, weights=str(tmp_path / 'a'),
        freeze_backbone=True, **TINY,
    )  # fmt: skip
    first, second = (read_bundle(tmp_path / name) for name in 'ab')
    assert 'starts from the bundle "a"' in second.card.training['start']
    before, after = first.load(), second.load()
    assert torch.equal(
        *(state['model.backbone.network.conv1.0.weight'] for state in (before, after))
    )
    assert not torch.equal(*(state['model.head.weight'] for state in (before, after)))


def test_what_does_not_fit(layers, tmp_path):
    image, labels = layers
    given = {'image': image, 'labels': labels}
    for options, error, message in (
        ({}, BadParameter, 'images is None, labels is None and folder is None'),
        ({'folder': tmp_path, **given}, BadParameter, 'folder is'),
        ({'folder': tmp_path}, BadInput, 'has 0 folders with images'),
        ({**given, 'backbone': 'tu-nothing'}, BadParameter, "backbone: 'tu-nothing'"),
        ({**given, 'backbone': 'tinycd'}, BadParameter, "backbone: 'tinycd' is not known"),
        ({**given, 'freeze_backbone': True}, BadParameter, 'freeze_backbone is true'),
        ({**given, 'band_adaptation': 'zero'}, BadParameter, 'band_adaptation is zero'),
        ({**given, 'tile_size': 160}, BadInput, 'there is no example'),
        ({**given, 'tile_size': 48, 'share': 0.1}, BadInput, '9 examples lie in'),
    ):
        with pytest.raises(error, match=message):
            train_classifier(tmp_path / 'm', **TINY | options)
        assert not (tmp_path / 'm').exists()


def test_canceling_before_there_is_a_model_leaves_nothing(layers, tmp_path):
    def cancel(fraction, text='', **_):
        if 'epoch' in text:
            raise Canceled

    with pytest.raises(Canceled):
        train_classifier(tmp_path / 'm', image=layers[0], labels=layers[1], progress=cancel, **TINY)
    assert not (tmp_path / 'm').exists()
