import pytest
import torch
import torch.nn.functional as F

from tests.tasks.pairs import PixelNetwork, batch_of, overfit, register, run_once, save_and_load
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics import XView2Score
from torchgeo_ext.models._pairs import SemanticChange
from torchgeo_ext.models.changemamba import BuildingDamage as DamageLogits
from torchgeo_ext.models.vmamba import SIZES
from torchgeo_ext.tasks import BuildingDamage
from torchgeo_ext.tasks.building_damage import BuildingDamageLoss

BANDS, SIZE = 2, 16


def tiny_damage(in_chans=3, num_classes=5):
    return PixelNetwork(in_chans, (2, num_classes))


class LikeChangeStar(PixelNetwork):
    def forward(self, x):
        return SemanticChange(*super().forward(x))


def tiny_star(in_chans=3, num_classes=1):
    return LikeChangeStar(in_chans, (num_classes, 1, 1))


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    register(monkeypatch, tiny_damage)
    register(monkeypatch, tiny_star)
    torch.manual_seed(0)


def make(**options):
    return BuildingDamage(**{'model': 'tiny_damage', 'in_channels': BANDS} | options)


def samples(number=2):
    """A building where the first band is positive before; two levels by the sign after."""
    made = []
    for _ in range(number):
        image = torch.randn(2, BANDS, SIZE, SIZE)
        level = torch.where(image[1, 1] > 0, 4, 1)
        made.append({'image': image, 'mask': (level * (image[0, 0] > 0))[None]})
    return made


@pytest.mark.parametrize('model', ['tiny_damage', 'tiny_star'])
def test_trains_validates_and_tests(model):
    logged = run_once(make(model=model), samples())
    assert logged['train_loss'] > 0
    for stage in ('train', 'val', 'test'):
        for figure in ('score', 'building_f1', 'damage_f1', 'destroyed_f1'):
            assert 0 <= logged[f'{stage}_xview2_{figure}'] <= 1
    assert BuildingDamage.monitor in logged


@pytest.mark.parametrize('model', ['tiny_damage', 'tiny_star'])
def test_learns(model):
    task, batch = make(model=model), batch_of(samples())
    losses = overfit(task, batch)
    assert losses[-1] < losses[0] / 2
    metrics = task.make_metrics()
    task.assess(batch, metrics)
    figures = metrics['xview2'].compute()
    assert min(figures[key] for key in ('building_f1', 'no_damage_f1', 'destroyed_f1')) > 0.8


def test_levels_of_bright():
    made = samples()
    for sample in made:
        sample['mask'] = sample['mask'].clamp(max=3)
    logged = run_once(make(levels=3), made)
    for figure in ('score', 'intact_f1', 'damaged_f1', 'destroyed_f1'):
        assert 0 <= logged[f'val_xview2_{figure}'] <= 1


def test_pixels_without_label_are_not_learned_from():
    task, batch = make(), batch_of(samples())
    batch['mask'][..., :4, :] = -1
    batch['mask_valid'] = torch.ones(2, 2, SIZE, SIZE, dtype=torch.bool)
    batch['mask_valid'][:, 1, 4:6] = False
    batch['image'].requires_grad_()
    task.assess(batch, task.make_metrics())[0].backward()
    gradient = batch['image'].grad
    assert gradient[..., :6, :].count_nonzero() == 0
    assert gradient[..., 6:, :].count_nonzero() > 0


def test_loss_is_that_of_the_publication():
    torch.manual_seed(1)
    logits = DamageLogits(torch.randn(2, 2, SIZE, SIZE), torch.randn(2, 5, SIZE, SIZE))
    damage = torch.randint(-1, 5, (2, SIZE, SIZE))
    building = damage.gt(0).long().where(damage >= 0, -1)
    level = damage.where(damage > 0, -1)
    loss = BuildingDamageLoss()
    wanted = (
        F.cross_entropy(logits.building, building, ignore_index=-1)
        + F.cross_entropy(logits.damage, level, ignore_index=-1)
        + 0.5 * loss.lovasz(logits.building, building)
        + 0.75 * loss.lovasz(logits.damage, level)
    )
    torch.testing.assert_close(loss(logits, damage), wanted)


def test_no_building_at_all_teaches_where_none_are():
    task, batch = make(), batch_of(samples())
    batch['mask'][:] = 0
    losses = overfit(task, batch, steps=20)
    assert 0 < losses[-1] < losses[0]


@pytest.mark.parametrize('mask_damage', [True, False])
def test_metrics_are_those_of_the_metric_class(mask_damage):
    task, batch = make(mask_damage=mask_damage), batch_of(samples())
    batch['mask'][..., :3] = -1
    metrics = task.make_metrics()
    task.assess(batch, metrics)
    predicted = task.predict_step(batch, 0)
    direct = XView2Score(mask_damage)
    direct.update(predicted['building'], predicted['damage'], batch['mask'][:, 0])
    assert metrics['xview2'].compute() == direct.compute()


def test_takes_the_labels_of_torchgeos_xview2():
    task, batch = make(), batch_of(samples())
    both = batch | {'mask': torch.cat([batch['mask'].clamp(max=1), batch['mask']], dim=1)}
    assert torch.equal(task.assess(both, task.make_metrics())[0],
                       task.assess(batch, task.make_metrics())[0])  # fmt: skip


def test_comes_back_from_a_checkpoint(tmp_path):
    task = make(mask_damage=False, lr=0.01)
    again, content = save_and_load(task, tmp_path / 'task.ckpt')
    assert dict(again.hparams) == dict(task.hparams)
    assert 'weights' not in content['hyper_parameters']
    for key, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_takes_the_published_network(monkeypatch):
    monkeypatch.setitem(SIZES, 'tiny', SIZES['tiny']._replace(width=8, depths=(1, 1, 1, 1)))
    task = BuildingDamage(in_channels=BANDS).eval()
    with torch.inference_mode():
        building, damage = task(torch.zeros(1, 2, BANDS, 33, 40))
    assert (building.shape, damage.shape) == ((1, 2, 33, 40), (1, 5, 33, 40))


def test_networks_and_labels_of_another_kind():
    with pytest.raises(BadParameter, match='does not tell buildings'):
        make(model='tinycd')(torch.zeros(1, 2, BANDS, 64, 64))
    with pytest.raises(BadInput, match='mask has the shape'):
        make().assess({'image': torch.zeros(1, 2, BANDS, 4, 4), 'mask': torch.zeros(1, 4, 4)}, {})
