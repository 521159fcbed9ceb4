import pytest
import torch
from torch import nn

from tests.tasks.pairs import PixelNetwork, batch_of, overfit, register, run_once, save_and_load
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.losses import MapContrastiveLoss
from torchgeo_ext.metrics import BinaryChange, SemanticChangeSegmentation
from torchgeo_ext.models import MapFormer
from torchgeo_ext.tasks import ConditionalChangeDetection

BANDS, CLASSES, SIZE = 2, 4, 16


class PixelsAndMap(nn.Module):
    """Looks at single pixels of both dates and of the map."""

    def __init__(self, in_chans, map_classes, num_classes):
        super().__init__()
        self.classes = map_classes + 1
        self.pixels = PixelNetwork(in_chans + self.classes, [num_classes])

    def forward(self, x, land_cover):
        known = land_cover.where(land_cover >= 0, self.classes - 1)
        layers = nn.functional.one_hot(known, self.classes).movedim(-1, 1).to(x.dtype)
        return self.pixels(torch.cat([x, layers[:, None].expand(-1, 2, -1, -1, -1)], dim=2))[0]


def tiny_map(in_chans=3, map_classes=6, num_classes=2):
    return PixelsAndMap(in_chans, map_classes, num_classes)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, tiny_map)
    torch.manual_seed(0)


def make(**options):
    chosen = {'model': 'tiny_map', 'in_channels': BANDS, 'map_classes': CLASSES, 'loss': 'ce'}
    return ConditionalChangeDetection(**chosen | options)


def samples(number=2):
    """Land cover is the first band's sign; the map is right."""
    made = []
    for _ in range(number):
        image = torch.randn(2, BANDS, SIZE, SIZE)
        classes = 1 + (image[:, 0] > 0).long()
        change = (classes[0] != classes[1]).long()[None]
        made.append({'image': image, 'mask': classes, 'mask_change': change})
    return made


def with_map(batch):
    """The same, as change and a map."""
    return {
        'image': batch['image'],
        'mask': batch['mask_change'],
        'mask_before': batch['mask'][..., :1, :, :],
    }


@pytest.mark.parametrize('semantic', [False, True])
def test_trains_validates_and_tests(semantic):
    logged = run_once(make(semantic=semantic), samples())
    assert logged['train_loss'] > 0
    figures = ['change_iou', 'change_f1']
    figures += ['land_cover_sc', 'land_cover_scs', 'land_cover_bc'] * semantic
    for stage in ('train', 'val', 'test'):
        for figure in figures:
            assert 0 <= logged[f'{stage}_{figure}'] <= 1
    assert ConditionalChangeDetection.monitor in logged


@pytest.mark.parametrize('semantic', [False, True])
def test_learns(semantic):
    task, batch = make(semantic=semantic), batch_of(samples())
    losses = overfit(task, batch)
    assert losses[-1] < losses[0] / 2
    metrics = task.make_metrics()
    task.assess(batch, metrics)
    assert metrics['change'].compute()['iou'] > 0.8
    if semantic:
        assert metrics['land_cover'].compute()['sc'] > 0.8


@pytest.mark.parametrize('semantic', [False, True])
def test_pixels_without_label_are_not_learned_from(semantic):
    task, batch = make(semantic=semantic), batch_of(samples())
    batch['mask_change'][..., :4, :] = -1
    batch['mask_valid'] = torch.ones(2, 2, SIZE, SIZE, dtype=torch.bool)
    batch['mask_valid'][:, 1, 4:6] = False
    batch['image'].requires_grad_()
    task.assess(batch, task.make_metrics())[0].backward()
    gradient = batch['image'].grad
    assert gradient[..., :6, :].count_nonzero() == 0
    assert gradient[..., 6:, :].count_nonzero() > 0


def test_change_to_an_unknown_class_teaches_no_class():
    task, batch = make(semantic=True), batch_of(samples())
    changed = batch['mask_change'][:, 0] == 1
    batch['mask'][:, 1][changed] = 0
    batch['image'].requires_grad_()
    task.assess(batch, task.make_metrics())[0].backward()
    assert batch['image'].grad.abs().sum(dim=(1, 2))[changed].count_nonzero() == 0


def test_the_map_may_come_from_either_label():
    task, batch = make(), batch_of(samples())
    as_labels, as_map = (
        task.assess(given, task.make_metrics())[0] for given in (batch, with_map(batch))
    )
    assert torch.equal(as_labels, as_map)


def test_a_map_goes_before_the_labels_of_the_first_date():
    task, batch = make(), batch_of(samples())
    other = batch | {'mask_before': batch['mask'][:, :1] * 0}
    results = (task.predict_step(given, 0)['change'] for given in (batch, other))
    assert not torch.equal(*results)


def test_metrics_are_those_of_the_metric_classes():
    task, batch = make(semantic=True), batch_of(samples())
    batch['mask_change'][..., :3] = -1
    metrics = task.make_metrics()
    _, updated = task.assess(batch, metrics)
    found = task(batch['image'], batch['mask'][:, 0]).softmax(dim=1)[:, 0].lt(0.5).long()
    target = batch['mask_change'][:, 0]
    direct, change = SemanticChangeSegmentation(CLASSES), BinaryChange()
    direct.update(found, updated[:, 0], target, batch['mask'][:, 1])
    change.update(found, target)
    assert metrics['land_cover'].compute() == direct.compute()
    assert metrics['change'].compute() == change.compute()
    assert change.compute()['iou'] == direct.compute()['bc']


def test_the_map_stays_where_nothing_changed():
    task, batch = make(semantic=True), batch_of(samples())
    batch['mask_before'] = torch.full_like(batch['mask'][:, :1], 3)
    # so that about half of the pixels change
    logits = task(batch['image'], batch['mask_before'][:, 0])
    lack = (logits[:, 1:].logsumexp(dim=1) - logits[:, 0]).median().detach()
    task.model.pixels.heads[0].bias.data[0] += lack
    predicted = task.predict_step(batch, 0)
    changed = predicted['change'] > 0.5
    assert 0.4 < changed.float().mean() < 0.6
    new = (logits[:, 1:].argmax(dim=1) + 1).where(changed, 3)
    assert torch.equal(predicted['after'], new)


def test_comes_back_from_a_checkpoint(tmp_path):
    task = make(semantic=True, balance=False, lr=0.01)
    again, content = save_and_load(task, tmp_path / 'task.ckpt')
    assert dict(again.hparams) == dict(task.hparams)
    assert 'weights' not in content['hyper_parameters']
    for key, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def mapformer():
    return ConditionalChangeDetection(
        in_channels=BANDS, map_classes=CLASSES, model_args={'backbone': 'b1'}
    )


def test_mapformer_learns_with_contrast(monkeypatch):
    task = mapformer()
    image = torch.randn(1, 2, BANDS, 40, 36)
    change = torch.zeros(1, 1, 40, 36, dtype=torch.long)
    change[..., :20, :] = 1
    batch = {'image': image, 'mask': change, 'mask_before': change + 1}
    seen = []

    def watch(module, arguments, output):
        seen.append((arguments, output))

    task.contrast.register_forward_hook(watch)
    with torch.no_grad():
        training, _ = task.assess(batch, task.make_metrics())
        (((before, after, land_cover, padded), contrast),) = seen
        direct = MapContrastiveLoss(balance=True)(before, after, land_cover, padded)
        # labels cover as much of the ground as features do
        assert padded.shape[-2:] == tuple(4 * size for size in before.shape[-2:]) == (64, 64)
        assert (padded[:, 40:] == -1).all()
        assert torch.equal(contrast, direct)
        assert training > contrast
        task.eval()
        task.assess(batch, task.make_metrics())
    assert len(seen) == 1


def test_mapformer_in_training_gives_the_logits_of_its_forward():
    task = mapformer()
    for module in task.modules():
        module.training = False  # no dropout, no batch statistics
    image, land_cover = torch.randn(1, 2, BANDS, 40, 36), torch.ones(1, 40, 36, dtype=torch.long)
    assert isinstance(task.model, MapFormer)
    with torch.inference_mode():
        wanted = task(image, land_cover)
        task.training = True
        logits, _ = task._predict(image, land_cover, land_cover * 0)
    torch.testing.assert_close(logits, wanted)


def test_what_does_not_fit():
    batch = batch_of(samples())
    with pytest.raises(BadInput, match='no land cover before'):
        make().assess({'image': batch['image'], 'mask': batch['mask_change']}, {})
    with pytest.raises(BadInput, match='no mask_change'):
        make().assess({'image': batch['image'], 'mask': batch['mask']}, {})
    with pytest.raises(BadInput, match='mask has the shape'):
        make(semantic=True).assess(with_map(batch), {})
    with pytest.raises(BadParameter, match='could compare'):
        run_once(make(loss='ce+contrast'), samples())
    with pytest.raises(BadParameter, match='neither ce nor'):
        make(loss='focal')
    with pytest.raises(BadParameter, match='does not take map_classes'):
        make(model='tinycd')
