import kornia.augmentation as kornia
import numpy as np
import pytest
import shapely
import torch
from lightning.pytorch import Trainer

from tests.datasets.makers import (
    CORNER,
    class_map,
    grid_transform,
    image_of,
    write_pair_of_layers,
    write_polygons,
)
from tests.rasters import write_raster
from torchgeo_ext.datamodules import GeoTIFFDataModule
from torchgeo_ext.datamodules._parts import TEST, TRAINING, VALIDATION
from torchgeo_ext.datasets import VectorLabels
from torchgeo_ext.errors import BadInput, BadParameter, Canceled
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.statistics import band_statistics
from torchgeo_ext.samplers import BlockedSplit, RasterWeight


def module_of(images, labels, **options):
    options = {'patch_size': 16, 'batch_size': 4} | options
    module = GeoTIFFDataModule(images=images, labels=labels, **options)
    module.setup('fit')
    return module


@pytest.fixture
def layers(tmp_path):
    return write_pair_of_layers(tmp_path, class_map(120, 140))


def roles_of(module, scene=0):
    grid = module.labelled.grids[scene]
    return module.parts.roles(grid, grid.window)


def test_each_pixel_of_the_hold_out_is_judged_once(layers, tmp_path):
    image, labels = layers
    shifted = write_raster(
        tmp_path / 's.tif', image_of(class_map(50, 60)), transform=grid_transform(column=37, row=11)
    )
    module = module_of([image, str(shifted)], labels)
    counted = torch.zeros(3, dtype=torch.long)
    for batch in module.val_dataloader():
        mask = batch['mask']
        counted += torch.bincount(mask[mask >= 0], minlength=3)
    expected = np.zeros(3, int)
    for scene, grid in enumerate(module.labelled.grids):
        mask = module.labelled.pixels(scene, grid.window).mask
        held = mask[roles_of(module, scene) == VALIDATION]
        expected += np.bincount(held[held >= 0], minlength=3)
    assert counted.tolist() == expected.tolist() == module.survey.counts(VALIDATION).tolist()
    assert expected.min() > 0


def test_invalid_pixels_look_the_same_in_training_and_validation(tmp_path):
    """Augmentation fills them on its way; the network has to see the mean in both."""
    image = image_of(class_map(120, 140)).astype('float32')
    image[:, ::7, ::5] = -9999
    _, labels = write_pair_of_layers(tmp_path, class_map(120, 140))
    path = write_raster(tmp_path / 'i.tif', image, transform=grid_transform(), nodata=-9999)
    module = module_of(str(path), labels, transforms=[kornia.RandomRotation(30.0, p=1.0)])
    for loader, augment in (
        (module.train_dataloader(), module.train_aug),
        (module.val_dataloader(), module.aug),
    ):
        batch = augment(next(iter(loader)))
        invalid = ~batch['mask_valid']
        assert 0.01 < invalid.float().mean() < 0.6
        assert (batch['image'].movedim(1, -1)[invalid] == 0).all()


def test_nothing_held_out_is_learned_from(layers):
    module = module_of(*layers, length=400)
    learned = np.zeros((120, 140), bool)
    for patch in module.train_sampler:
        mask = module.train_dataset[patch]['mask'].numpy()
        assert (mask >= 0).any()
        rows, columns = patch.window.toslices()
        learned[rows, columns] |= mask >= 0
    roles = roles_of(module)
    assert not learned[roles != TRAINING].any()
    assert learned[roles == TRAINING].mean() > 0.98


def test_the_same_blocks_are_held_out_in_all_dates(layers, tmp_path):
    image, labels = layers
    later = write_raster(tmp_path / 'later.tif', image_of(class_map(120, 140), seed=9))
    module = module_of([image, str(later)], labels)
    np.testing.assert_array_equal(roles_of(module, 0), roles_of(module, 1))
    assert module.survey.counts(VALIDATION).sum() % 2 == 0


def test_statistics_are_those_of_the_training_blocks(tmp_path):
    classes = class_map(120, 140)
    values = image_of(classes).astype('float32')
    values[:, 10:14, 20:60] = np.nan
    values[1, 50, 50] = -9999
    image = write_raster(tmp_path / 'i.tif', values, nodata=-9999)
    module = module_of(str(image), write_raster(tmp_path / 'l.tif', classes))
    valid = np.isfinite(values).all(0) & (values != -9999).all(0)
    used = values[:, valid & (roles_of(module) == TRAINING)].astype('float64')
    values_of = module.survey.values
    np.testing.assert_allclose(values_of.mean, used.mean(1), rtol=1e-12)
    np.testing.assert_allclose(values_of.std, used.std(1), rtol=1e-12)
    np.testing.assert_array_equal(values_of.minimum, used.min(1))
    np.testing.assert_array_equal(values_of.maximum, used.max(1))


def test_statistics_are_exact_far_from_zero(tmp_path):
    # a naive sum of squares loses all digits here
    classes = class_map(64, 64)
    values = (1e6 + classes[None] / 8).astype('float32')
    image = write_raster(tmp_path / 'i.tif', values)
    module = module_of(str(image), write_raster(tmp_path / 'l.tif', classes))
    used = values[:, roles_of(module) == TRAINING].astype('float64')
    np.testing.assert_allclose(module.survey.values.std, used.std(1), rtol=1e-9)


def test_a_constant_band_is_no_division_by_zero(tmp_path):
    classes = class_map(64, 64)
    values = image_of(classes)
    values[0] = 7
    image = write_raster(tmp_path / 'i.tif', values)
    module = module_of(str(image), write_raster(tmp_path / 'l.tif', classes))
    batch = next(iter(module.train_dataloader()))
    standard = module.aug(batch)['image']
    assert (standard[:, 0] == 0).all()
    assert standard.isfinite().all()


def augmented(module, batch):
    """Run a batch through what a Trainer in training does to it."""
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator='cpu')
    trainer.training = True
    module.trainer = trainer
    return module.on_after_batch_transfer(batch, 0)


def agrees(image, mask, module):
    """Whether each labelled pixel still has the value of its class, in the first band."""
    values_of = module.survey.values
    values = image * values_of.std[0] + values_of.mean[0]
    shown = torch.round(values / 1000 - 0.05).long() - 1
    return bool((shown == mask)[mask >= 0].all())


def test_images_are_standardised_and_turned_with_their_masks(layers):
    module = module_of(*layers, batch_size=32)
    batch = next(iter(module.train_dataloader()))
    before = {key: value.clone() for key, value in batch.items()}
    torch.manual_seed(0)
    after = augmented(module, batch)
    assert after['mask'].dtype == torch.int64
    assert not torch.equal(after['mask'], before['mask'])
    assert agrees(after['image'][:, 0], after['mask'], module)
    assert after['image'].mean().abs() < 0.3
    for number in range(32):
        turned = [torch.rot90(before['mask'][number], k) for k in range(4)]
        assert any(torch.equal(after['mask'][number], m) for t in turned for m in (t, t.flip(1)))


def test_without_augmentation_patches_stay_as_they_are(layers):
    module = module_of(*layers, turn=False)
    batch = next(iter(module.train_dataloader()))
    mask = batch['mask'].clone()
    assert torch.equal(augmented(module, batch)['mask'], mask)


def test_both_dates_are_turned_with_their_mask(tmp_path):
    # torchgeo.md, trap 1: kornia's way for videos fails or leaves the mask behind
    classes = class_map(100, 100, classes=2)
    values = image_of(classes)
    before = write_raster(tmp_path / 'b.tif', values)
    after = write_raster(tmp_path / 'a.tif', values[:, :, ::1] + 0)
    labels = write_raster(tmp_path / 'l.tif', classes - 1)
    module = GeoTIFFDataModule(
        before=str(before), after=str(after), labels=str(labels), patch_size=16, batch_size=16
    )
    module.setup('fit')
    batch = next(iter(module.train_dataloader()))
    mask = batch['mask'].clone()
    torch.manual_seed(0)
    out = augmented(module, batch)
    assert out['image'].shape == (16, 2, 2, 16, 16)
    assert out['mask'].shape == (16, 1, 16, 16)
    assert not torch.equal(out['mask'], mask)
    for date in range(2):
        assert agrees(out['image'][:, date, 0], out['mask'][:, 0], module)


def test_blocks_are_laid_out_in_metres(layers):
    module = module_of(*layers, split=BlockedSplit(folds=4, block_size=370))
    split = module.parts.split
    assert module.block_side == 370
    assert len(split.training) + len(split.validation) == 4 * 4


def test_fewer_blocks_than_folds(layers):
    with pytest.raises(BadParameter, match='block_size: all labels lie in 4 blocks of 1000 m'):
        module_of(*layers, split=BlockedSplit(folds=5, block_size=1000))


def test_a_fold_is_kept_for_testing(layers):
    module = module_of(*layers, test_fold=1)
    roles = roles_of(module)
    counted = torch.zeros(3, dtype=torch.long)
    for batch in module.test_dataloader():
        mask = batch['mask']
        counted += torch.bincount(mask[mask >= 0], minlength=3)
    assert counted.sum() == (roles == TEST).sum() > 0
    assert counted.tolist() == module.survey.counts(TEST).tolist()
    tested = module_of(*layers, split=BlockedSplit(fold=1)).parts.split.validation
    whole = module_of(*layers).parts.split
    assert set(tested) <= set(whole.training)


def test_without_a_test_fold_tests_use_the_validation_blocks(layers):
    module = module_of(*layers)
    assert [b['mask'].tolist() for b in module.test_dataloader()] == [
        b['mask'].tolist() for b in module.val_dataloader()
    ]


def test_the_test_fold_is_another_one(layers):
    with pytest.raises(BadParameter, match='test_fold is 0'):
        GeoTIFFDataModule(images=layers[0], labels=layers[1], test_fold=0)


def test_labels_in_one_spot_cannot_be_split(tmp_path):
    classes = np.zeros((64, 64), 'uint8')
    classes[3:6, 3:9] = [1, 1, 1, 2, 2, 2]
    image = write_raster(tmp_path / 'i.tif', image_of(classes))
    labels = write_raster(tmp_path / 'l.tif', classes, nodata=0)
    with pytest.raises(BadInput, match='all labels lie in 1 block'):
        module_of(str(image), str(labels))


def test_labels_only_where_images_have_no_data(tmp_path):
    classes = class_map(64, 64)
    image = write_raster(tmp_path / 'i.tif', np.full((2, 64, 64), 7, 'uint16'), nodata=7)
    with pytest.raises(BadInput, match='both a label and a measurement'):
        module_of(str(image), str(write_raster(tmp_path / 'l.tif', classes)))


def test_a_class_missing_on_one_side_is_told(tmp_path, caplog):
    classes = class_map(96, 96, classes=2)
    classes[2:4, 2:4] = 9
    image = write_raster(tmp_path / 'i.tif', image_of(classes))
    module_of(str(image), str(write_raster(tmp_path / 'l.tif', classes)))
    assert 'Class class 9 (9) has no label in the hold-out' in caplog.text


def test_epochs_are_whole_batches(layers):
    module = module_of(*layers, length=9, batch_size=4)
    assert len(module.train_sampler) == 12
    assert len(module.train_dataloader()) == 3


def test_rasters_smaller_than_a_patch(tmp_path):
    module = module_of(*write_pair_of_layers(tmp_path, class_map(40, 30)), patch_size=64)
    batch = next(iter(module.train_dataloader()))
    assert batch['image'].shape == (4, 2, 64, 64)
    held = sum(int((batch['mask'] >= 0).sum()) for batch in module.val_dataloader())
    assert held == module.survey.counts(VALIDATION).sum() > 0


def test_rare_classes_can_be_drawn_more_often(tmp_path):
    classes = np.ones((160, 160), 'uint8')
    classes[:32, :16] = classes[80:96, 100:116] = 2
    image = write_raster(tmp_path / 'i.tif', image_of(classes))
    labels = write_raster(tmp_path / 'l.tif', classes)
    shares = []
    for balance in ('none', 'square_root', 'inverse'):
        module = module_of(str(image), str(labels), balance=balance, length=600)
        masks = torch.stack([module.train_dataset[patch]['mask'] for patch in module.train_sampler])
        shares.append(((masks == 1).sum() / (masks >= 0).sum()).item())
    assert shares[0] < shares[1] < shares[2]


def test_the_user_can_stop_the_preparations(layers):
    def stop(*_arguments, **_options):
        raise Canceled

    module = GeoTIFFDataModule(images=layers[0], labels=layers[1])
    module.progress = stop
    with pytest.raises(Canceled):
        module.setup('fit')


def test_places_can_deserve_more(layers, tmp_path):
    deserved = np.zeros((120, 140), 'uint8')
    deserved[:, 100:] = 1
    weights = RasterWeight(str(write_raster(tmp_path / 'w.tif', deserved)))
    module = module_of(*layers, weights=weights, length=200)
    assert all(patch.window.col_off + 16 > 100 for patch in module.train_sampler)


def test_predicting_needs_no_labels_but_the_statistics_of_the_training(layers):
    trained = module_of(*layers)
    module = GeoTIFFDataModule(images=layers[0], patch_size=32, batch_size=4)
    module.setup('predict')
    module.load_state_dict(trained.state_dict())
    covered = np.zeros((120, 140), bool)
    for patch in module.predict_sampler:
        covered[patch.core.toslices()] = True
    assert covered.all()
    batch = next(iter(module.predict_dataloader()))
    assert 'mask' not in batch
    assert torch.equal(module.aug(batch)['image'], trained.aug(batch)['image'])


def test_statistics_of_a_file(layers, tmp_path):
    file = tmp_path / 'statistics.json'
    band_statistics([RasterSource(layers[0])]).save(file)
    module = module_of(*layers, statistics=str(file))
    values = image_of(class_map(120, 140)).astype('float64')
    np.testing.assert_allclose(module.survey.values.mean, values.mean((1, 2)))
    np.testing.assert_allclose(module.survey.values.std, values.std((1, 2)))
    other = GeoTIFFDataModule(
        images=layers[0], labels=layers[1], bands=[2], statistics=str(file), patch_size=16
    )
    other.setup('fit')
    np.testing.assert_allclose(other.survey.values.mean, values.mean((1, 2))[1:])


def test_statistics_of_other_bands(layers, tmp_path):
    file = tmp_path / 'statistics.json'
    other = write_raster(tmp_path / 'other.tif', image_of(class_map(), bands=3))
    band_statistics([RasterSource(str(other))]).save(file)
    with pytest.raises(BadInput, match='band 1, band 2, band 3, but the images have B02, B03'):
        module_of(*layers, statistics=str(file))


def test_sensors_name_the_bands(tmp_path):
    image = write_raster(tmp_path / 'i.tif', image_of(class_map(64, 64), bands=4))
    module = GeoTIFFDataModule(images=str(image), sensor='naip')
    assert [band.name for band in module.described] == ['red', 'green', 'blue', 'nir']


def test_lines_are_learned_from_by_their_width(layers, tmp_path):
    x, y = CORNER
    tracks = [shapely.LineString([(x, y - d), (x + 1400, y - d)]) for d in range(50, 1200, 80)]
    write_polygons(tmp_path / 'tracks.gpkg', tracks)
    labels = VectorLabels(tmp_path / 'tracks.gpkg', buffer=10)
    module = module_of(layers[0], labels)
    assert [entry.name for entry in module.labelled.classes] == ['background', 'feature']
    counts = module.survey.counts(TRAINING)
    assert counts[1] / counts.sum() == pytest.approx(0.25, abs=0.03)


def test_pairs_with_labels_of_their_own(tmp_path):
    scenes = []
    for number in range(2):
        classes = class_map(96, 96, classes=2, seed=number)
        before = write_raster(tmp_path / f'b{number}.tif', image_of(np.ones_like(classes)))
        after = write_raster(tmp_path / f'a{number}.tif', image_of(classes))
        labels = write_raster(tmp_path / f'l{number}.tif', classes - 1)
        scenes.append((str(before), str(after), str(labels)))
    before, after, labels = (list(paths) for paths in zip(*scenes, strict=True))
    module = GeoTIFFDataModule(before=before, after=after, labels=labels, patch_size=32)
    module.setup('fit')
    for number in range(2):
        mask = module.labelled.pixels(number, module.labelled.grids[number].window).mask
        np.testing.assert_array_equal(mask, class_map(96, 96, classes=2, seed=number) - 1)
    with pytest.raises(BadParameter, match='labels has 2 layers'):
        _ = GeoTIFFDataModule(before=before[:1], after=after[:1], labels=labels).labelled


@pytest.mark.parametrize(
    'given', [{}, {'images': 'a', 'before': 'b', 'after': 'c'}, {'after': 'c'}]
)
def test_images_or_both_dates(given):
    with pytest.raises(BadParameter, match='needs images, or before and after'):
        GeoTIFFDataModule(labels='l.tif', **given)


def test_transforms_see_physical_values_and_come_first(layers):
    class Remember(torch.nn.Module):
        def forward(self, batch):
            self.image = batch['image'].clone()
            return batch | {'image': batch['image'] + 1000}

    remember = Remember()
    module = module_of(
        *layers, transforms=[remember, kornia.RandomHorizontalFlip(p=1.0)], turn=False
    )
    batch = next(iter(module.train_dataloader()))
    out = augmented(module, batch)
    assert torch.equal(remember.image, batch['image'])
    expected = module.aug({'image': batch['image'].flip(-1) + 1000})['image']
    torch.testing.assert_close(out['image'], expected)
    assert torch.equal(out['mask'], batch['mask'].flip(-1))


def test_figures_show_images_split_and_coverage(layers):
    module = module_of(*layers, test_fold=1)
    split = module.plot_split()
    assert [text.get_text() for text in split.legends[0].get_texts()] == [
        'training', 'validation', 'used for nothing', 'test',
    ]  # fmt: skip
    coverage = module.plot_coverage().axes[0].images[-1].get_array()
    assert coverage.sum() == len(module.train_sampler) * module.patch_size**2
    sample = next(iter(module.typical(1)))
    figure = module.plot(sample, sample['mask'], title='a tile')
    assert [axes.get_title() for axes in figure.axes] == ['image', 'label', 'prediction']
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal(shown, figure.axes[2].images[0].get_array())


def test_the_state_is_plain(layers, tmp_path):
    state = module_of(*layers).state_dict()
    torch.save(state, tmp_path / 'state.pt')
    assert torch.load(tmp_path / 'state.pt', weights_only=True) == state
