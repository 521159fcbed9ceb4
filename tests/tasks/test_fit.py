import logging
import os
import random

import pytest
import torch

from tests.datasets.makers import class_map, write_pair_of_layers
from torchgeo_ext.datamodules import GeoTIFFDataModule
from torchgeo_ext.datamodules._parts import VALIDATION
from torchgeo_ext.errors import BadParameter, Canceled
from torchgeo_ext.progress import silent
from torchgeo_ext.tasks import MaskedSegmentation
from torchgeo_ext.tasks._fit import fit, seeded


@pytest.fixture
def module(tmp_path):
    image, labels = write_pair_of_layers(tmp_path, class_map(96, 96))
    module = GeoTIFFDataModule(images=image, labels=labels, patch_size=16, batch_size=4, length=16)
    module.setup('fit')
    return module


def train(module, epochs=3, seed=0, lr=0.01, patience=0, progress=silent):
    with seeded(seed):
        task = MaskedSegmentation(
            model='fcn', in_channels=2, num_classes=3, num_filters=8, ignore_index=-1, lr=lr
        )
        fitted = fit(
            task, module, epochs=epochs, patience=patience, device=torch.device('cpu'),
            progress=progress,
        )  # fmt: skip
    return task, fitted


def judge(task, module):
    """Overall accuracy on the hold-out, counted by hand."""
    right = total = 0
    for batch in module.val_dataloader():
        with torch.inference_mode():
            predicted = task(module.aug(batch)['image']).argmax(1)
        used = batch['mask'] >= 0
        right += (predicted == batch['mask'])[used].sum().item()
        total += used.sum().item()
    return right / total


def test_learns_and_keeps_the_best_epoch(module):
    task, fitted = train(module, epochs=8)
    assert fitted.ending == 'finished'
    assert fitted.best.score == max(epoch.score for epoch in fitted.epochs) > 0.5
    assert fitted.epochs[-1].train_loss < fitted.epochs[0].train_loss
    assert [epoch.number for epoch in fitted.epochs] == list(range(1, 9))
    # the state is that of the best epoch, the scores are those of that state
    assert judge(task, module) == pytest.approx(fitted.scores.overall_accuracy)
    assert fitted.scores.matrix.sum() == module.survey.counts(VALIDATION).sum()
    assert not task.training


def test_the_best_epoch_need_not_be_the_last(module):
    def spoil(fraction, text='', **_):
        if fraction > 0.5:
            for parameter in holder[0].parameters():
                parameter.data.zero_()

    holder = []
    with seeded(0):
        task = MaskedSegmentation(model='fcn', in_channels=2, num_classes=3, ignore_index=-1)
        holder.append(task)
        fitted = fit(task, module, epochs=4, patience=0, device=torch.device('cpu'), progress=spoil)
    assert fitted.best.number <= 2
    assert judge(task, module) == pytest.approx(fitted.scores.overall_accuracy)


def test_the_same_seed_gives_the_same_model(module):
    first, second, other = (train(module, seed=seed)[0] for seed in (3, 3, 4))
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key])
    assert not torch.equal(first.model.last.weight, other.model.last.weight)


def test_the_callers_random_numbers_are_left_alone(module):
    torch.manual_seed(5)
    random.seed(5)
    expected = torch.rand(3), random.random()
    torch.manual_seed(5)
    random.seed(5)
    train(module, epochs=1)
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]


def test_stops_when_nothing_gets_better(module):
    _, fitted = train(module, epochs=50, lr=1e-7, patience=2)
    assert fitted.ending == 'no better'
    assert len(fitted.epochs) < 50


def test_progress_says_where_it_stands(module):
    told = []
    train(module, epochs=2, progress=lambda fraction, text='', **_: told.append((fraction, text)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(told) >= 2 * 4
    assert told[0][1].startswith('epoch 1/2, loss ')
    assert 'validation mIoU 0.' in told[-1][1]


def stop_after(fraction_wanted):
    def progress(fraction, text='', **_):
        if fraction > fraction_wanted:
            raise Canceled

    return progress


def test_stopping_keeps_the_best_so_far(module, caplog):
    task, fitted = train(module, epochs=10, progress=stop_after(0.35))
    assert fitted.ending == 'canceled'
    assert len(fitted.epochs) == 3
    assert judge(task, module) == pytest.approx(fitted.scores.overall_accuracy)
    assert 'Stopped early by the user after 3 epochs' in caplog.text


def test_stopping_before_there_is_anything_to_keep(module):
    with pytest.raises(Canceled):
        train(module, epochs=10, progress=stop_after(0.02))


def test_divergence_in_the_first_epoch_is_explained(module):
    with pytest.raises(BadParameter, match='learning_rate') as caught:
        train(module, lr=float('inf'))
    assert 'lower' in caught.value.hint


def test_later_divergence_keeps_the_best_so_far(module, caplog):
    def poison(fraction, text='', **_):
        if fraction > 0.5:
            next(holder[0].parameters()).data.fill_(float('nan'))

    holder = []
    with seeded(0):
        task = MaskedSegmentation(model='fcn', in_channels=2, num_classes=3, ignore_index=-1)
        holder.append(task)
        fitted = fit(
            task, module, epochs=6, patience=0, device=torch.device('cpu'), progress=poison
        )
    assert fitted.ending == 'diverged'
    assert all(value.isfinite().all() for value in task.parameters())
    assert 'diverged' in caplog.text


def test_leaves_no_trace(module, tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.chdir(tmp_path)
    before = set(os.listdir(tmp_path))
    with caplog.at_level(logging.INFO):
        train(module, epochs=1)
    assert set(os.listdir(tmp_path)) == before
    captured = capfd.readouterr()
    assert captured.out == captured.err == ''
    assert {record.name.split('.')[0] for record in caplog.records} == {'torchgeo_ext'}
