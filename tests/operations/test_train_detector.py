"""From images and polygons to a model that finds objects, and what can be wrong with them."""

import json
import math

import numpy as np
import pyogrio
import pytest
import shapely
import torch
import yaml
from rasterio.features import rasterize

from tests.datasets.makers import CORNER, write_polygons
from tests.rasters import write_raster
from torchgeo_ext.bundles import _detector, read_bundle
from torchgeo_ext.cli import main
from torchgeo_ext.datamodules import GeoObjectDataModule, geo_objects
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations import create_bundle, detect_objects, segment_instances, train_detector
from torchgeo_ext.operations._object_training import ObjectSettings, _build, make_data

#: A network of a few layers, so that a test takes seconds.
TINY = {
    'architecture': 'rotated-fcos', 'backbone': 'eurosat_baseline3', 'patch_size': 64, 'epochs': 1,
    'batch_size': 2,
}  # fmt: skip
SIZE, STEP = 192, 32


def bars():
    """Bars that lie in all directions, bright ones and dark ones, on a lattice of cells."""
    random = np.random.default_rng(0)
    shapes, kinds = [], []
    for row in range(SIZE // STEP):
        for column in range(SIZE // STEP):
            x, y = STEP * (column + 0.5), STEP * (row + 0.5)
            angle = random.uniform(0, math.pi)
            dx, dy = 11 * math.cos(angle), 11 * math.sin(angle)
            line = shapely.LineString([(x - dx, y - dy), (x + dx, y + dy)])
            shapes.append(line.buffer(4, cap_style='flat'))
            kinds.append(['bright', 'dark'][random.integers(0, 2)])
    return shapes, kinds


@pytest.fixture(scope='module')
def layers(tmp_path_factory):
    """An image of pixels of a metre, and the bars on it as polygons."""
    folder = tmp_path_factory.mktemp('layers')
    shapes, kinds = bars()
    random = np.random.default_rng(1)
    values = random.normal(1000, 20, (2, SIZE, SIZE))
    signs = zip(shapes, (1 + (kind == 'dark') for kind in kinds), strict=True)
    drawn = rasterize(signs, (SIZE, SIZE))
    values[:, drawn == 1] += 400
    values[:, drawn == 2] -= 400
    image = write_raster(
        folder / 'image.tif', values.astype('uint16'), resolution=1.0, names=('B02', 'B03')
    )
    x, y = CORNER
    placed = [shapely.transform(s, lambda p: np.column_stack([x + p[:, 0], y - p[:, 1]]))
              for s in shapes]  # fmt: skip
    return str(image), write_polygons(folder / 'bars.gpkg', placed, kind=kinds)


@pytest.fixture(scope='module')
def trained(layers, tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    result = train_detector(
        *layers, folder / 'bars', class_field='kind', **TINY, license='MIT',
        report=folder / 'report.html',
    )  # fmt: skip
    return folder, result


def test_what_is_returned_is_what_was_measured(trained):
    folder, result = trained
    hold_out = read_bundle(folder / 'bars').card.training['hold_out']
    assert (result.mean_ap, result.mean_ap_50) == (hold_out['map'], hold_out['map_50'])
    assert 0 <= result.mean_ap <= result.mean_ap_50 <= 1
    assert 2 < result.objects < 20
    assert result.epochs_run == 1
    assert result.classes == '1 bright, 2 dark'


def test_the_model_runs_where_objects_are_detected(trained, layers, tmp_path):
    folder, _ = trained
    # a network of a few steps is sure of nothing
    result = detect_objects(layers[0], folder / 'bars', tmp_path / 'o.gpkg', threshold=0.06)
    found = pyogrio.read_dataframe(tmp_path / 'o.gpkg', layer='o')
    assert result.objects == len(found) > 0
    assert set(found['class']) <= {'bright', 'dark'}
    assert set(json.loads(result.counts)) == {'bright', 'dark'}
    corners = shapely.get_coordinates(found.geometry.values).reshape(-1, 5, 2)
    assert (np.diff(corners, axis=1) != 0).all()  # none of them upright


def test_the_bundle_knows_what_it_needs(trained):
    folder, result = trained
    card = read_bundle(folder / 'bars').card
    assert card.task == 'detection'
    assert card.architecture['class'] == 'RotatedObjectDetection'
    assert [band.name for band in card.bands] == ['B02', 'B03']
    assert card.bands[0].mean == pytest.approx(1000, abs=30)
    # tiles overlap by what a bar takes
    assert 2 * card.halo >= 22
    facts = card.training
    assert facts['hold_out']['map_50'] == result.mean_ap_50
    assert facts['labels'] == 'bars.gpkg'
    assert sum(facts['training_objects'].values()) + result.objects <= 36
    page = (folder / 'report.html').read_text(encoding='utf-8')
    assert page == (folder / 'bars' / 'report.html').read_text(encoding='utf-8')
    for word in ('mAP at 0.5', 'image.tif', 'random weights', 'bright', 'learning_rate'):
        assert word in page
    assert page.count('data:image/png;base64,') >= 3
    assert '<script' not in page


def module_of(layers, **options):
    module = GeoObjectDataModule(*layers, patch_size=64, class_field='kind', **options)
    module.setup('fit')
    return module


def test_nothing_of_the_hold_out_is_seen_in_training(layers):
    torch.manual_seed(0)
    module = module_of(layers, turn=False, masks=True)
    grid = module.images.grids[0]
    held_out = module.roles.roles(grid, grid.window) == 2
    image = module.images.pixels(0, grid.window).image[0]
    seen = 0
    for sample in (module.train_dataset[n] for n in range(20)):
        patch, valid = sample['image'].numpy(), sample['mask_valid'].numpy()
        seen += (~valid).any()
        # where the patch lies, by its pixels
        windows = np.lib.stride_tricks.sliding_window_view(image[0], (64, 64))
        same = (windows[:, :, ::9, ::9] == patch[0, ::9, ::9]).all((2, 3))
        [(row, column)] = np.argwhere(same)
        assert not (valid & held_out[row : row + 64, column : column + 64]).any()
        middles = sample['bbox'].reshape(-1, 4, 2).mean(1).floor().long()
        inside = ((middles >= 0) & (middles < 64)).all(1)
        for x, y in middles[inside].tolist():
            assert not held_out[row + y, column + x]
    assert seen


def test_each_object_of_the_hold_out_counts_once(layers):
    module = module_of(layers)
    counted = sum(len(own) for own in module.val_dataset.objects)
    tiles = [module.val_dataset[n] for n in range(len(module.val_dataset))]
    assert sum(len(tile['label']) for tile in tiles) == counted > 2
    for tile in tiles:
        for corners in tile['bbox'].reshape(-1, 4, 2):
            x, y = corners.mean(0).long().tolist()
            assert tile['judged'][y, x]
    grid = module.images.grids[0]
    held_out = (module.roles.roles(grid, grid.window) == 2).sum()
    assert sum(tile['judged'].sum().item() for tile in tiles) == held_out


def test_objects_turn_with_their_images(layers):
    module = module_of(layers, masks=True)
    torch.manual_seed(3)
    for sample in (module.train_dataset[n] for n in range(8)):
        image = sample['image'][0].numpy()
        for mask, label in zip(sample['mask'].numpy(), sample['label'].tolist(), strict=True):
            inside = image[mask > 0].mean()
            assert inside > 1250 if label == 1 else inside < 750


@pytest.mark.parametrize(
    ('architecture', 'backbone', 'run', 'made'),
    [
        # TorchGeo alone can read it
        ('fcos', 'resnet18', detect_objects, 'ObjectDetection'),
        ('ssd', 'eurosat_baseline3', detect_objects, 'MaskedObjectDetection'),
        ('mask-rcnn', 'resnet18', segment_instances, 'MaskedInstanceSegmentation'),
    ],
)
def test_upright_boxes_and_outlines(
    layers, tmp_path, monkeypatch, architecture, backbone, run, made
):
    monkeypatch.setattr(geo_objects, '_FEWEST_STEPS', 1)
    monkeypatch.setattr(geo_objects, '_MOST_STEPS', 1)
    monkeypatch.setattr(_detector, '_MOST_MASKS', 5)
    train_detector(
        *layers, tmp_path / 'm', architecture=architecture, backbone=backbone, patch_size=192,
        epochs=1, batch_size=1,
    )  # fmt: skip
    card = read_bundle(tmp_path / 'm').card
    assert card.architecture['class'] == made
    assert [entry.name for entry in card.classes] == ['object']
    assert run(layers[0], tmp_path / 'm', tmp_path / 'o.gpkg').tiles == 1


def settings_for(**changes):
    made = {
        'architecture': 'fcos', 'backbone': 'resnet18', 'weights': None, 'band_adaptation': 'auto',
        'normalisation': 'auto', 'patch_size': 64, 'batch_size': 2, 'epochs': 1, 'patience': 1,
        'learning_rate': 1e-4, 'class_weights': 'none', 'validation_fraction': 0.2,
        'block_size': 0, 'augment': True, 'seed': 0, 'device': 'cpu', 'model_name': None,
        'license': '',
    }  # fmt: skip
    return ObjectSettings(**made | changes)


def test_weights_start_the_backbone_whatever_its_bands(layers, tmp_path):
    settings = settings_for()
    module = make_data(settings, images=layers[0], labels=layers[1])
    task, start = _build(module, settings)
    assert start == 'The network starts from random weights.'
    state = {k: torch.full_like(v, 0.5) for k, v in task.model.backbone.body.state_dict().items()}
    state['conv1.weight'] = torch.ones(64, 3, 7, 7)
    torch.save(state, tmp_path / 'w.pt')
    settings = settings_for(weights=str(tmp_path / 'w.pt'), band_adaptation='mean')
    task, start = _build(module, settings)
    assert 'w.pt' in start
    assert task.model.backbone.body.layer1[0].conv1.weight.unique().tolist() == [0.5]
    assert task.model.backbone.body.conv1.weight.shape[1] == 2


def test_what_cannot_be_learned_is_explained(layers, tmp_path, caplog):
    image, labels = layers
    output = tmp_path / 'm'
    x, y = CORNER
    far = write_polygons(tmp_path / 'far.gpkg', [shapely.box(x - 900, y, x - 890, y + 10)])
    with pytest.raises(BadInput, match='none of the 1 polygons'):
        train_detector(image, far, output, **TINY)
    few = write_polygons(tmp_path / 'few.gpkg', [shapely.box(x + 9, y - 20, x + 20, y - 9)] * 2)
    with pytest.raises(BadInput, match='fewer than 5 folds'):
        train_detector(image, few, output, **TINY)
    with pytest.raises(BadParameter, match='no field'):
        train_detector(image, labels, output, class_field='sort', **TINY)
    with pytest.raises(BadParameter, match="backbone: 'resnet19'"):
        train_detector(image, labels, output, architecture='fcos', backbone='resnet19')
    with pytest.raises(BadParameter, match='band_adaptation is mean'):
        train_detector(image, labels, output, band_adaptation='mean', **TINY)
    with pytest.raises(BadParameter, match='none by the name of imagenet'):
        train_detector(image, labels, output, weights='imagenet', **TINY)
    assert not output.exists()
    empty = write_polygons(tmp_path / 'empty.gpkg', [])
    with pytest.raises(BadInput, match='has no features'):
        train_detector(image, empty, output, **TINY)


def test_polygons_outside_are_left_out_and_told_of(layers, tmp_path, caplog):
    frame = pyogrio.read_dataframe(layers[1])
    frame.loc[0, 'geometry'] = shapely.box(0, 0, 1, 1)
    frame.to_file(tmp_path / 'l.gpkg')
    module = GeoObjectDataModule(layers[0], str(tmp_path / 'l.gpkg'), patch_size=64)
    assert sum(map(len, module.objects)) == 35
    assert '1 of 36 polygons of labels lie outside' in caplog.text


def test_a_training_from_yaml_becomes_a_bundle(layers, tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    config = {
        'trainer': {
            'max_epochs': 1, 'limit_train_batches': 1, 'limit_val_batches': 1, 'accelerator': 'cpu',
            'default_root_dir': str(tmp_path / 'run'),
        },
        'model': {
            'class_path': 'RotatedObjectDetection',
            'init_args': {
                'backbone': 'eurosat_baseline3', 'width': 32, 'in_channels': 2, 'num_classes': 3,
            },
        },
        'data': {
            'class_path': 'GeoObjectDataModule',
            'init_args': {
                'images': layers[0], 'labels': layers[1], 'class_field': 'kind', 'patch_size': 64,
                'batch_size': 2,
            },
        },
    }  # fmt: skip
    (tmp_path / 'c.yaml').write_text(yaml.safe_dump(config), encoding='utf-8')
    assert main(['fit', '--config', str(tmp_path / 'c.yaml')]) == 0
    create_bundle(tmp_path / 'run' / 'checkpoints' / 'best.ckpt', tmp_path / 'bundle')
    card = read_bundle(tmp_path / 'bundle').card
    assert card.task == 'detection'
    assert [entry.name for entry in card.classes] == ['bright', 'dark']
    assert [band.name for band in card.bands] == ['B02', 'B03']
    assert 2 * card.halo >= 22
