from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.tasks.pairs import PixelNetwork, batch_of, overfit, register, run_once, save_and_load
from torchgeo_ext.errors import BadParameter
from torchgeo_ext.metrics import BinaryChange
from torchgeo_ext.models._pairs import GuidedChange
from torchgeo_ext.tasks import SemiSupervisedChangeDetection

BANDS, SIZE = 2, 16


class PixelChange(PixelNetwork):
    def forward(self, x):
        return super().forward(x)[0]


def tiny_change(in_chans=3, channels=2):
    return PixelChange(in_chans, [channels])


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, tiny_change)
    torch.manual_seed(0)


def make(**options):
    return SemiSupervisedChangeDetection(**{'model': 'tiny_change', 'in_channels': BANDS} | options)


def samples(number=4, labelled=2):
    """Change is where the first band's sign differs between dates."""
    made = []
    for index in range(number):
        image = torch.randn(2, BANDS, SIZE, SIZE)
        change = ((image[0, 0] > 0) != (image[1, 0] > 0)).long()[None]
        unknown = torch.full_like(change, -1)
        mask = change if index < labelled else unknown
        made.append({'image': image, 'mask': mask, 'mask_pseudo': change})
    return made


def plain(task):
    """Make the strong view the weak one."""
    task.distort = nn.Identity()
    return task


@pytest.mark.parametrize('channels', [1, 2])
def test_trains_validates_and_tests(channels):
    task = make(model_args={'channels': channels})
    logged = run_once(task, samples())
    assert logged['train_loss'] > 0
    for stage in ('train', 'val', 'test'):
        assert 0 <= logged[f'{stage}_change_iou'] <= 1
    assert SemiSupervisedChangeDetection.monitor in logged


def test_learns():
    task, batch = make(threshold=0.7), batch_of(samples())
    losses = overfit(task, batch, steps=80)
    assert sum(losses[-5:]) / 5 < losses[0] * 0.7
    metrics = task.eval().make_metrics()
    task.assess(batch_of(samples(4, labelled=4)), metrics)
    assert metrics['change'].compute()['iou'] > 0.7


def test_loss_is_the_published_one():
    task, batch = plain(make(threshold=0.55)), batch_of(samples())
    logits = task(batch['image'])
    entropy = F.cross_entropy(logits[:2], batch['mask'][:2, 0])
    confidence, guess = logits[2:].softmax(dim=1).max(dim=1)
    sure = confidence >= 0.55
    assert 0 < sure.float().mean() < 1
    guessed = (F.cross_entropy(logits[2:], guess, reduction='none') * sure).sum() / sure.numel()
    target = batch['mask_pseudo'][:, 0]
    # of what is labelled, and of what is not in both views, which are equal here
    pseudo = F.cross_entropy(logits[:2], target[:2]) + 2 * F.cross_entropy(logits[2:], target[2:])
    for progress, weight in ((0.0, 0.1 / 6), (0.5, 0.05 / 6), (1.0, 0.0)):
        task.progress = progress
        loss, _ = task.assess(batch, task.make_metrics())
        torch.testing.assert_close(loss, entropy / 2 + guessed / 2 + weight * pseudo)


class PixelGuided(PixelChange):
    """Has all outputs of SemiCD-VL's network, and tells the first band's difference."""

    def guided(self, x):
        change, pseudo, before, after = PixelNetwork.forward(self, x)
        return GuidedChange(change, pseudo, before, after, (x[:, 0, 0] - x[:, 1, 0]).abs())


def tiny_guided(in_chans=3):
    return PixelGuided(in_chans, [2] * 4)


def with_dates(batch):
    dates = (batch['image'][:, :, 0] > 0).long()
    dates[:, :, :3] = -1
    return batch | {'mask_pseudo_dates': dates}


def test_loss_of_a_guided_network(monkeypatch):
    """As the published training has it: each term from the network's own outputs."""
    register(monkeypatch, tiny_guided)
    task = plain(make(model='tiny_guided', threshold=0.5))
    batch = with_dates(batch_of(samples()))
    told = task.model.guided(batch['image'])
    change, pseudo, dates = (batch[k] for k in ('mask', 'mask_pseudo', 'mask_pseudo_dates'))
    guess = told.change[2:].argmax(dim=1)

    def contrast(distance, label):
        return torch.where(label == 1, (2 - distance).clamp(min=0), distance) ** 2

    wrong, label = contrast(told.distance[:2], change[:2, 0]), change[:2, 0]
    supervised = F.cross_entropy(told.change[:2], label) + 0.1 * (
        wrong[label == 0].mean() + wrong[label == 1].mean()
    )
    strong = F.cross_entropy(told.change[2:], guess)
    strong = strong + 0.1 * contrast(told.distance[2:], guess).mean()

    def entropy(logits, target):
        known = F.cross_entropy(logits[:2], target[:2], ignore_index=-1)
        unknown = F.cross_entropy(logits[2:], target[2:], ignore_index=-1, reduction='sum')
        return known + 2 * unknown / target[2:].numel()

    guided = entropy(told.pseudo, pseudo[:, 0]) + 0.5 * (
        entropy(told.before, dates[:, 0]) + entropy(told.after, dates[:, 1])
    )
    loss, _ = task.assess(batch, task.make_metrics())
    torch.testing.assert_close(loss, supervised / 2 + strong / 2 + 0.1 / 6 * guided)


def test_trains_the_network_of_semicdvl():
    task = make(model='semicdvl', threshold=0.0)
    made = [with_dates(batch_of([sample])) for sample in samples()]
    made = [{key: value[0] for key, value in sample.items()} for sample in made]
    logged = run_once(task, made)
    assert logged['train_loss'] > 0
    assert 0 <= logged['val_change_iou'] <= 1
    # pseudo-labels reach every part of it
    batch = batch_of(made)
    task.train().assess(batch, task.make_metrics())[0].backward()
    assert all(value.grad is not None for value in task.model.parameters())


def test_only_what_is_sure_is_learned_from():
    task, batch = plain(make(threshold=0.55, pseudo_weight=0.0)), batch_of(samples())
    confidence = task(batch['image']).softmax(dim=1).amax(dim=1)
    batch['image'].requires_grad_()
    task.assess(batch, task.make_metrics())[0].backward()
    moved = batch['image'].grad.abs().sum(dim=(1, 2)) > 0
    assert not moved[2:][confidence[2:] < 0.55].any()
    assert moved[2:][confidence[2:] >= 0.55].any()
    assert moved[:2].any()


def test_what_was_not_measured_is_not_learned_from():
    task, batch = make(threshold=0.0), batch_of(samples())
    batch['mask_valid'] = torch.ones(4, 2, SIZE, SIZE, dtype=torch.bool)
    batch['mask_valid'][:, 1, :6] = False
    task.distort = task.distort[::2]  # a blur carries values into neighbours
    task.distort[-1].p = 0.0
    batch['image'].requires_grad_()
    task.assess(batch, task.make_metrics())[0].backward()
    gradient = batch['image'].grad
    assert gradient[..., :6, :].count_nonzero() == 0
    assert gradient[..., 6:, :].count_nonzero() > 0


def test_no_label_at_all_is_a_step_of_nothing():
    task, batch = make(threshold=1.0), batch_of(samples(labelled=0))
    del batch['mask_pseudo']
    assert task.assess(batch, task.make_metrics())[0] == 0


def test_pseudo_labels_fade_out():
    task, progress = make(), []
    for step in (0, 2, 8, 9):
        task._trainer = SimpleNamespace(global_step=step, estimated_stepping_batches=8)
        task.on_train_batch_start({}, 0)
        progress.append(task.progress)
    assert progress == [0, 0.25, 1, 1]


def test_views_are_those_of_the_same_pairs():
    task, batch = make(threshold=0.0), batch_of(samples(labelled=0))
    seen = []
    task.distort.register_forward_hook(lambda module, given, result: seen.append(result))
    task.assess(batch, task.make_metrics())
    (strong,) = seen
    assert strong['image'].shape == batch['image'].shape
    assert not torch.equal(strong['image'], batch['image'])
    assert strong['mask_pseudo'].dtype == torch.int64
    # boxes are exchanged with everything that belongs to them
    assert not torch.equal(strong['mask_pseudo'], batch['mask_pseudo'])


def test_validation_sees_the_weak_view_alone():
    task, batch = make().eval(), batch_of(samples())
    metrics, direct = task.make_metrics(), BinaryChange()
    loss, found = task.assess(batch, metrics)
    labelled = F.cross_entropy(task(batch['image']), batch['mask'][:, 0], ignore_index=-1)
    torch.testing.assert_close(loss, labelled)
    direct.update(found[:, 0], batch['mask'][:, 0])
    assert metrics['change'].compute() == direct.compute()


def test_comes_back_from_a_checkpoint(tmp_path):
    task = make(threshold=0.8, pseudo_weight=0.1, lr=0.01)
    again, content = save_and_load(task, tmp_path / 'task.ckpt')
    assert dict(again.hparams) == dict(task.hparams)
    assert all(key.startswith('model.') for key in content['state_dict'])
    for key, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_what_does_not_fit():
    with pytest.raises(BadParameter, match='threshold'):
        make(threshold=95)
    with pytest.raises(BadParameter, match='does not tell change alone'):
        make(model_args={'channels': 3})(torch.zeros(1, 2, BANDS, 4, 4))
