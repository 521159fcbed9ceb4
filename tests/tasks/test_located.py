"""Classes and numbers that an image alone does not tell, but its place does."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch.utils.data import default_collate

from tests.datasets.makers import class_map, image_of
from tests.rasters import write_raster
from tests.tasks.pairs import batch_of, run_once, save_and_load, trainer
from torchgeo_ext.bundles import read_checkpoint
from torchgeo_ext.cli import main
from torchgeo_ext.datamodules import GeoTIFFDataModule
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models.location import location_encoder
from torchgeo_ext.tasks import LocatedClassification, LocatedRegression

BANDS, SIZE, NUMBER = 2, 16, 16

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def samples():
    """The same image everywhere: north of the equator it is called 1, south of it 0."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(BANDS, SIZE, SIZE, generator=random).expand(NUMBER, -1, -1, -1)
    points = torch.rand(NUMBER, 2, generator=random, dtype=torch.float64) * 100 - 50
    return [
        {'image': i, 'point': p, 'label': (p[1] > 0).long()}
        for i, p in zip(images, points, strict=True)
    ]


def make(**options):
    known = {'model': 'eurosat_baseline3', 'in_channels': BANDS, 'num_classes': 2}
    known['freeze_backbone'] = True
    return LocatedClassification(**known | options)


def learn(task, batch, label, steps=100):
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        task.criterion(task.model(batch['image'], batch['point']), label).backward()
        optimizer.step()
    return task.eval()


def test_the_place_decides():
    batch = batch_of(samples())
    task = learn(make(location_args={'legendre_polys': 2}), batch, batch['label'])
    elsewhere = batch | {'point': batch['point'] * torch.tensor([1, -1])}
    assert torch.equal(task.predict_step(batch, 0).argmax(1), batch['label'])
    assert (task.predict_step(elsewhere, 0).argmax(1) == 1 - batch['label']).float().mean() > 0.8
    same = task(task.inputs(batch)).softmax(dim=1)
    torch.testing.assert_close(task.predict_step(batch, 0), same)


def test_numbers_follow_the_place():
    batch = batch_of(samples())
    label = (batch['point'][:, 1:] / 50).float()
    task = LocatedRegression('eurosat_baseline3', in_channels=BANDS, freeze_backbone=True)
    learn(task, batch, label)
    found = task.predict_step(batch, 0)
    assert torch.nn.functional.mse_loss(found, label) < 0.1 * label.var()
    made = [s | {'label': s['point'][1].float()} for s in samples()]
    logged = run_once(LocatedRegression('eurosat_baseline3', in_channels=BANDS), made)
    assert {'train_loss', 'val_loss', 'test_RMSE', 'val_MAE'} <= logged.keys()
    several = LocatedRegression('eurosat_baseline3', in_channels=BANDS, num_outputs=2)
    assert several.predict_step(batch, 0).shape == (NUMBER, 2)


def test_trains_validates_and_leaves_out_what_is_not_labelled():
    made = samples()
    made[0]['label'] = torch.tensor(-1)
    logged = run_once(make(), made)
    assert logged['train_loss'] > 0
    assert 0 <= logged['val_OverallAccuracy'] <= 1
    nothing = batch_of(made[:1] * 2)
    loss = make().training_step(nothing, 1)
    assert loss == 0


def test_encoders_learn_or_stay_as_they_are(tmp_path):
    name = 'satclip_resnet18_l10'
    donor = location_encoder(name)
    save_file({key: value.contiguous() for key, value in donor.state_dict().items()},
              tmp_path / 'places.safetensors')  # fmt: skip
    task = make(location=name, location_weights=str(tmp_path / 'places.safetensors'))
    for key, value in task.model.location.state_dict().items():
        assert torch.equal(value, donor.state_dict()[key])
    task.train()(task.inputs(batch_of(samples())))
    assert not task.model.location.training  # else numbers are left out by chance there
    assert not any(value.requires_grad for value in task.model.location.parameters())
    learning = make(location=name, learn_places=True).train()
    learning(learning.inputs(batch_of(samples())))
    assert learning.model.location.training
    assert all(value.requires_grad for value in learning.model.location.parameters())


def test_checkpoints_come_back_and_become_models_of_places(tmp_path):
    task = make(location_args={'legendre_polys': 3}).eval()
    again, _ = save_and_load(task, tmp_path / 'located.ckpt')
    x = task.inputs(batch_of(samples()))
    assert torch.equal(again.eval()(x), task(x))
    card = read_checkpoint(tmp_path / 'located.ckpt').card
    assert card.located
    assert [band.name for band in card.bands] == ['band 1', 'band 2', 'longitude', 'latitude']
    assert len(card.image_bands) == BANDS
    assert card.input_shape[0] == BANDS + 2


def test_learns_from_tiles_of_rasters(tmp_path):
    classes = class_map(96, 96, side=12)
    image = write_raster(tmp_path / 'image.tif', image_of(classes, BANDS))
    labels = write_raster(tmp_path / 'labels.tif', (classes + 1).astype('uint8'), nodata=0)
    number = len(set(classes.ravel().tolist()))
    module = GeoTIFFDataModule(
        images=[str(image)], labels=str(labels), patch_size=SIZE, batch_size=4, length=4
    )
    task = make(num_classes=number)
    trainer(fast_dev_run=True).fit(task, datamodule=module)
    sample = next(module.typical(1))
    assert sample['point'].shape == (2,)
    assert module.predict(task, sample).unique().numel() == 1


def test_a_recipe_of_scenes_may_read_places(tmp_path, monkeypatch):
    monkeypatch.setattr('sys.argv', ['torchgeo-ext'])
    monkeypatch.chdir(ROOT)
    recipe = ROOT / 'recipes' / 'classification' / 'own_tiles.yaml'
    config = yaml.safe_load(recipe.read_text(encoding='utf-8'))
    config['model']['class_path'] = 'LocatedClassification'
    config['model']['init_args'] |= {'model': 'eurosat_baseline3', 'location': 'location_wrap'}
    config['trainer'] = {
        'default_root_dir': str(tmp_path / 'run'), 'accelerator': 'cpu', 'max_epochs': 1,
        'limit_train_batches': 1, 'limit_val_batches': 1, 'enable_progress_bar': False,
    }  # fmt: skip
    path = tmp_path / 'config.yaml'
    path.write_text(yaml.safe_dump(config), encoding='utf-8')
    assert main(['fit', '--config', str(path)]) == 0
    # what is told of the data stays, and the bands of the place come last
    card = read_checkpoint(tmp_path / 'run' / 'checkpoints' / 'best.ckpt').card
    assert [entry.name for entry in card.classes] == config['model']['init_args']['labels']
    assert card.image_bands[0].name == 'B01'
    assert (len(card.bands), card.located) == (15, True)


def test_batches_without_places_are_refused():
    task, batch = make(), default_collate(samples())
    with pytest.raises(BadInput, match='needs point, longitude and latitude'):
        task.training_step({key: batch[key] for key in ('image', 'label')}, 1)
    with pytest.raises(BadInput, match=r'has point of the shape \(2, 2\)'):
        task.training_step(batch | {'point': batch['point'][:2]}, 1)
    with pytest.raises(BadInput, match='needs where'):
        make(places='where').training_step(batch, 1)
    with pytest.raises(BadParameter, match="no encoder of places is called 'nowhere'"):
        make(location='nowhere')
