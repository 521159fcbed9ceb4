import warnings
from types import SimpleNamespace

import pytest
import torch
from matplotlib.figure import Figure
from torchgeo.datamodules import BaseDataModule

from tests.data.fusu import data as fusu
from tests.tasks.pairs import (
    PixelNetwork,
    batch_of,
    overfit,
    register,
    run_once,
    save_and_load,
    trainer,
)
from torchgeo_ext.datamodules import ChangePairDataModule
from torchgeo_ext.datasets import FUSU
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.losses import SeKLoss, UnchangedSimilarityLoss
from torchgeo_ext.metrics import BinaryChange, SemanticChangeByDate, SemanticChangeByPair
from torchgeo_ext.models._pairs import SemanticChange, SeriesChange
from torchgeo_ext.tasks import SemanticChangeDetection
from torchgeo_ext.tasks._semantic_change_loss import SYSTEMS, SemanticChangeLoss

BANDS, CLASSES, SIZE = 2, 4, 16


def tiny_semantic(in_chans=3, num_classes=7, change_channels=2):
    return PixelNetwork(in_chans, (change_channels, num_classes, num_classes))


class PixelSeries(PixelNetwork):
    """Tells the land cover of the mean of a series, too."""

    def forward(self, x, series, days=None):
        self.days = days
        mean = series.mean(dim=(1, 3, 4))[:, None, :, None, None].expand_as(x)
        *pair, _ = super().forward(x)
        return SeriesChange(*pair, super().forward(mean)[-1])


def tiny_series(in_chans=3, num_classes=7):
    return PixelSeries(in_chans, (1, *[num_classes] * 3))


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, tiny_semantic)
    register(monkeypatch, tiny_series)
    torch.manual_seed(0)


def make(**options):
    return SemanticChangeDetection(
        **{'model': 'tiny_semantic', 'in_channels': BANDS, 'num_classes': CLASSES} | options
    )


def samples(number=2):
    """Land cover is the first band's sign, change where it differs between dates."""
    made = []
    for _ in range(number):
        image = torch.randn(2, BANDS, SIZE, SIZE)
        classes = 1 + (image[:, 0] > 0).long()
        made.append({'image': image, 'mask': classes * (classes[0] != classes[1])})
    return made


@pytest.mark.parametrize('loss', SYSTEMS)
def test_trains_validates_and_tests(loss):
    logged = run_once(make(loss=loss), samples())
    assert logged['train_loss'] > 0
    for stage in ('train', 'val', 'test'):
        for figure in ('by_date_f_scd', 'by_date_sek', 'by_pair_f_scd', 'by_pair_sek', 'change_f1'):
            assert -1 <= logged[f'{stage}_{figure}'] <= 1
    assert SemanticChangeDetection.monitor in logged


@pytest.mark.parametrize('loss', SYSTEMS)
def test_learns(loss):
    task, batch = make(loss=loss), batch_of(samples())
    losses = overfit(task, batch)
    assert losses[-1] < losses[0] / 2
    metrics = task.make_metrics()
    task.assess(batch, metrics)
    assert metrics['by_date'].compute()['f_scd'] > 0.8
    assert metrics['change'].compute()['f1'] > 0.8


@pytest.mark.parametrize('loss', SYSTEMS)
def test_pixels_without_label_are_not_learned_from(loss):
    task, batch = make(loss=loss), batch_of(samples())
    batch['mask'][:, :, :4] = -1
    batch['mask_valid'] = torch.ones(2, 2, SIZE, SIZE, dtype=torch.bool)
    batch['mask_valid'][:, 1, 4:6] = False
    batch['image'].requires_grad_()
    task.assess(batch, task.make_metrics())[0].backward()
    gradient = batch['image'].grad
    assert gradient[..., :6, :].count_nonzero() == 0
    assert gradient[..., 6:, :].count_nonzero() > 0


@pytest.mark.parametrize('loss', SYSTEMS)
def test_a_batch_without_labels_is_a_step_of_nothing(loss):
    task, batch = make(loss=loss), batch_of(samples())
    batch['mask'][:] = -1
    assert task.assess(batch, task.make_metrics())[0] == 0


def random_logits():
    sizes = (2, CLASSES, CLASSES)
    return SemanticChange(*(torch.randn(2, k, SIZE, SIZE) for k in sizes))


def test_losses_are_those_of_the_publications():
    logits, batch = random_logits(), batch_of(samples())
    change, classes = batch['mask'][:, 0].gt(0).long(), batch['mask']
    entropy = torch.nn.functional.cross_entropy
    dates = [(logits.before, classes[:, 0]), (logits.after, classes[:, 1])]
    of_classes = sum(entropy(date, target, ignore_index=0) for date, target in dates)
    similarity = UnchangedSimilarityLoss()(logits.before, logits.after, change == 0)
    sek = SeKLoss()(logits.before, logits.after, *classes.unbind(1))
    lovasz = SemanticChangeLoss('changemamba').lovasz
    lovasz_change = lovasz(logits.change, change)
    lovasz_classes = sum(lovasz(date, target.where(target > 0, -1)) for date, target in dates)

    plain = entropy(logits.change, change) + of_classes
    half = entropy(logits.change, change) + of_classes / 2
    wanted = {
        'hyscdg': plain,
        'changemamba': half + 0.25 * similarity + 0.75 * (lovasz_change + 0.5 * lovasz_classes),
        'fusu': half
        + entropy(logits.change, change, reduction='none')[change == 1].sum() / change.numel(),
        'mambafcs': half + 0.05 * similarity + 0.5 * (lovasz_change + lovasz_classes) + 0.5 * sek,
    }
    for system, value in wanted.items():
        torch.testing.assert_close(SemanticChangeLoss(system)(logits, change, classes), value)


def test_metrics_are_those_of_the_metric_classes():
    task, batch = make(), batch_of(samples())
    batch['mask'][:, :, :3] = -1
    metrics = task.make_metrics()
    _, maps = task.assess(batch, metrics)
    for name, kind in (('by_date', SemanticChangeByDate), ('by_pair', SemanticChangeByPair)):
        direct = kind(CLASSES - 1)
        direct.update(maps, batch['mask'])
        assert metrics[name].compute() == direct.compute()
    assert metrics['by_date'].compute()['sek'] != metrics['by_pair'].compute()['sek']
    change = BinaryChange()
    target = batch['mask'].gt(0).any(dim=1).long()
    target[:, :3] = -1
    change.update((maps[:, 0] > 0).long(), target)
    assert metrics['change'].compute() == change.compute()


def test_labels_of_change_go_before_those_of_land_cover():
    """Datasets that tell the land cover everywhere say what changed in ``mask_change``."""
    task, batch = make(), batch_of(samples())
    everywhere = 1 + (batch['image'][:, :, 0] > 0).long()
    change = (everywhere[:, :1] != everywhere[:, 1:]).long()
    metrics, same = task.make_metrics(), task.make_metrics()
    task.assess({'image': batch['image'], 'mask': everywhere, 'mask_change': change}, metrics)
    task.assess(batch, same)
    assert metrics['by_date'].compute() == same['by_date'].compute()


def test_predicts_change_and_both_dates():
    task = make().eval()
    image = torch.randn(2, 2, BANDS, SIZE, SIZE)
    predicted = task.predict_step({'image': image}, 0)
    assert predicted['change'].shape == predicted['before'].shape == (2, SIZE, SIZE)
    logits = task(image)
    torch.testing.assert_close(predicted['change'], logits.change.softmax(dim=1)[:, 1])
    assert set(predicted['after'].unique().tolist()) <= {1, 2, 3}


def test_one_channel_of_change_is_as_good_as_two():
    task = make(model_args={'change_channels': 1})
    image = torch.randn(1, 2, BANDS, SIZE, SIZE)
    single = task.model(image)[0]
    torch.testing.assert_close(task(image).change.softmax(dim=1)[:, 1], single[:, 0].sigmoid())


def test_comes_back_from_a_checkpoint(tmp_path):
    task = make(loss='mambafcs', iou_weight=0.5, model_args={'change_channels': 1}, lr=0.01)
    again, content = save_and_load(task, tmp_path / 'task.ckpt')
    assert dict(again.hparams) == dict(task.hparams)
    assert 'weights' not in content['hyper_parameters']
    for key, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_takes_a_published_network():
    task = SemanticChangeDetection(
        model='hyscdg', num_classes=5, in_channels=4, model_args={'backbone': 'mobilenet_v2'}
    )
    shapes = [logits.shape for logits in task.eval()(torch.zeros(1, 2, 4, 40, 33))]
    assert shapes == [(1, 2, 40, 33), (1, 5, 40, 33), (1, 5, 40, 33)]


def series_batch():
    batch = batch_of(samples())
    return batch | {'series': [torch.randn(dates, BANDS, 5, 5) for dates in (3, 2)]}


def test_series_are_learned_from():
    task, batch = make(model='tiny_series', loss='fusu', iou_weight=0.5), series_batch()
    loss, maps = task.assess(batch, task.make_metrics())
    logits = task(*task._inputs(batch))
    alone = SemanticChange(*logits[:3])
    before = batch['mask'][:, 0]
    of_series = torch.nn.functional.cross_entropy(logits.series, before, ignore_index=0)
    rest = SemanticChangeLoss('fusu')(alone, before.gt(0).long(), batch['mask'])
    torch.testing.assert_close(loss, rest + of_series)
    assert maps.shape == (2, 2, SIZE, SIZE)
    assert task.model.days is None
    task.predict_step(batch | {'series_days': [torch.tensor([1, 2, 3]), torch.tensor([4, 5])]}, 0)
    assert task.model.days.tolist() == [[1, 2, 3], [4, 5, 0]]


def test_series_must_be_there():
    with pytest.raises(BadInput, match='has no series, which tiny_series needs'):
        make(model='tiny_series').assess(batch_of(samples()), make().make_metrics())


def test_trains_the_model_of_fusu(tmp_path):
    fusu.make(tmp_path)
    module = ChangePairDataModule(FUSU, str(tmp_path), 2, None, turn=False, series=True)
    task = SemanticChangeDetection(
        'fusu', num_classes=18, loss='fusu', iou_weight=0.5,
        model_args={'backbone': 'hrnet_w18_small'},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*does not have many workers')
        fitting = trainer(fast_dev_run=True)
        fitting.fit(task, datamodule=module)
    assert fitting.callback_metrics['train_loss'] > 0
    assert 0 <= fitting.callback_metrics['val_by_date_score'] <= 1


def test_draws_pair_labels_and_prediction(monkeypatch):
    task, batch, drawn, added = make(), batch_of(samples()), [], []
    datamodule = BaseDataModule(object, 1, 0)
    datamodule.mean, datamodule.std = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    monkeypatch.setattr(datamodule, 'plot', lambda sample: drawn.append(sample) or Figure())
    experiment = SimpleNamespace(add_figure=lambda name, *_, **__: added.append(name))
    # one that takes figures behind one that does not
    loggers = [SimpleNamespace(experiment=None), SimpleNamespace(experiment=experiment)]
    task._trainer = SimpleNamespace(datamodule=datamodule, loggers=loggers, global_step=3)
    monkeypatch.setattr(task, 'log', lambda *_, **__: None)
    for number in (0, 10):
        task.validation_step(batch, number)
    assert added == ['image/0']
    (sample,) = drawn
    assert sample['prediction'].shape == sample['mask'].shape == (2, SIZE, SIZE)
    torch.testing.assert_close(sample['image'][:, 1], batch['image'][0, :, 1] * 4 + 2)


def test_networks_and_arguments_that_do_not_fit():
    with pytest.raises(BadParameter, match='hyscgd'):
        make(model='hyscgd')
    with pytest.raises(BadParameter, match='does not take depth'):
        make(model_args={'depth': 3})
    with pytest.raises(BadParameter, match='weights'):
        make(model_args={'backbone_weights': 'imagenet'})
    with pytest.raises(BadParameter, match='loss'):
        make(loss='dice')
    with pytest.raises(BadParameter, match='does not tell change and land cover'):
        make(model='tinycd')(torch.zeros(1, 2, BANDS, 64, 64))


def test_labels_of_another_kind():
    batch = batch_of(samples())
    batch['mask'] = batch['mask'][:, :1]
    with pytest.raises(BadInput, match='mask has the shape'):
        make().assess(batch, {})
