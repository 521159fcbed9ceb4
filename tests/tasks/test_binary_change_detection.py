import pytest
import torch
import torch.nn.functional as F

from tests.tasks.pairs import PixelNetwork, batch_of, overfit, register, run_once, save_and_load
from torchgeo_ext.bundles.checkpoint import read_checkpoint
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics import BinaryChange
from torchgeo_ext.models import CFNet
from torchgeo_ext.models._pairs import SemanticChange
from torchgeo_ext.tasks import BinaryChangeDetection
from torchgeo_ext.tasks._change_loss import LOSSES, SYSTEMS, ChangeLoss

BANDS, SIZE = 2, 16


class PixelChange(PixelNetwork):
    def forward(self, x):
        return super().forward(x)[0]


def tiny_change(in_chans=3, channels=2):
    return PixelChange(in_chans, [channels])


def tiny_classes(in_chans=3):
    return PixelNetwork(in_chans, [2, 4, 4])


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    register(monkeypatch, tiny_change)
    register(monkeypatch, tiny_classes)
    torch.manual_seed(0)


def make(**options):
    return BinaryChangeDetection(**{'model': 'tiny_change', 'in_channels': BANDS} | options)


def samples(number=4):
    """Change is where the first band's sign differs between dates."""
    made = []
    for _ in range(number):
        image = torch.randn(2, BANDS, SIZE, SIZE)
        change = ((image[0, 0] > 0) != (image[1, 0] > 0)).long()[None]
        made.append({'image': image, 'mask': change})
    return made


@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('loss', [loss for loss in LOSSES if loss not in SYSTEMS])
def test_trains_validates_and_tests(channels, loss):
    logged = run_once(make(model_args={'channels': channels}, loss=loss), samples())
    assert logged['train_loss'] > 0
    for stage in ('train', 'val', 'test'):
        assert 0 <= logged[f'{stage}_change_f1'] <= 1
    assert BinaryChangeDetection.monitor in logged


@pytest.mark.parametrize('loss', ['ce', 'ce+dice', 'ce+lovasz'])
def test_learns(loss):
    task, batch = make(loss=loss), batch_of(samples())
    losses = overfit(task, batch)
    assert sum(losses[-5:]) / 5 < losses[0] * 0.7
    metrics = task.eval().make_metrics()
    task.assess(batch_of(samples()), metrics)
    assert metrics['change'].compute()['f1'] > 0.7


def test_metrics_are_those_of_the_predictions():
    task, batch = make().eval(), batch_of(samples())
    metrics, expected = task.make_metrics(), BinaryChange()
    task.assess(batch, metrics)
    expected.update((task.predict_step(batch, 0)[:, 0] > 0.5).long(), batch['mask'][:, 0])
    assert metrics['change'].compute() == expected.compute()


@pytest.mark.parametrize('channels', [1, 2])
def test_losses_of_one_and_two_channels(channels):
    logits, change = torch.randn(2, channels, 8, 8), torch.randint(0, 2, (2, 8, 8))
    single = logits if channels == 1 else logits[:, 1:] - logits[:, :1]
    entropy = F.binary_cross_entropy_with_logits(single[:, 0], change.float())
    found, loss = ChangeLoss('ce')(lambda images: logits, torch.zeros(2, 2, 3, 8, 8), change)
    torch.testing.assert_close(loss, entropy)
    assert torch.equal(found, single)
    probability = single[:, 0].sigmoid()
    common = 2 * (probability * change).sum() / (probability.sum() + change.sum())
    _, loss = ChangeLoss('ce+dice')(lambda images: logits, torch.zeros(2, 2, 3, 8, 8), change)
    torch.testing.assert_close(loss, entropy + 1 - common)


@pytest.mark.parametrize('loss', [loss for loss in LOSSES if loss not in SYSTEMS])
def test_pixels_without_label_do_not_count(loss):
    task, batch = make(loss=loss).eval(), batch_of(samples())
    batch['mask'][:, :, :8] = -1
    expected, _ = task.assess(batch, task.make_metrics())
    batch['image'][:, :, :, :8] = 9.0
    metrics = task.make_metrics()
    torch.testing.assert_close(task.assess(batch, metrics)[0], expected)
    assert metrics['change'].confmat.sum() == 4 * 8 * SIZE


@pytest.mark.parametrize('loss', ['cdmaskformer', 'cfnet', 'changeformer'])
def test_losses_of_systems(loss):
    """Sizes that networks must pad, a pair without change, and pixels without label."""
    network = SYSTEMS[loss]().eval()
    images, change = torch.randn(2, 2, 3, 50, 70), torch.zeros(2, 50, 70, dtype=torch.long)
    change[0, 10:30, 10:40], change[1, :5] = 1, -1
    torch.manual_seed(0)
    criterion = ChangeLoss(loss)
    logits, value = criterion(network, images, change)
    assert logits.shape == (2, 1, 50, 70)
    with torch.inference_mode():
        expected = network(images)
    single = expected if expected.shape[1] == 1 else expected[:, 1:] - expected[:, :1]
    torch.testing.assert_close(logits, single)
    value.backward()
    trained = [p.grad is not None for p in network.parameters() if p.requires_grad]
    assert sum(trained) > 0.8 * len(trained)


def test_cfnet_compares_its_score():
    network = CFNet().eval()
    images, change = torch.randn(1, 2, 3, 32, 32), torch.randint(0, 2, (1, 32, 32))
    torch.manual_seed(0)
    _, loss = ChangeLoss('cfnet')(network, images, change)
    torch.manual_seed(0)
    outputs = network.outputs(images)
    content = ChangeLoss('cfnet').content(*outputs.contents)
    distance = F.mse_loss(outputs.score[:, 0], change.float())
    torch.testing.assert_close(loss, distance + 0.1 * content)
    torch.testing.assert_close(outputs.change > 0, outputs.score > 0.5)


def test_scales_are_weighed():
    """As published: labels are brought to the size of each map."""

    class Scales(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = [torch.randn(1, 2, size, size) for size in (2, 4, 8, 16, 64)]

        def scales(self, images):
            return self.maps

    network, change = Scales(), torch.randint(0, 2, (1, 64, 64))
    _, loss = ChangeLoss('changeformer')(network, torch.zeros(1, 2, 3, 64, 64), change)
    expected = sum(
        weight * F.cross_entropy(logits, change[:, :: 64 // size, :: 64 // size])
        for logits, weight, size in zip(
            network.maps, (0.5, 0.5, 0.5, 0.8, 1.0), (2, 4, 8, 16, 64), strict=True
        )
    )
    torch.testing.assert_close(loss, expected)


def test_lenet_learns_with_all_heads():
    class Heads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.coarse = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4)

        def scales(self, images):
            return self.main, (self.coarse, self.main)

    network, change = Heads(), torch.randint(0, 2, (1, 32, 32))
    logits, loss = ChangeLoss('lenet')(network, torch.zeros(1, 2, 3, 32, 32), change)
    assert logits.shape == (1, 1, 32, 32)
    main, coarse = (
        F.cross_entropy(F.interpolate(logits, (32, 32), mode='bilinear'), change)
        for logits in (network.main, network.coarse)
    )
    torch.testing.assert_close(loss, 1.3 * main + 0.3 * coarse)


def test_change_of_a_semantic_network():
    logits = torch.randn(1, 2, 8, 8)
    outputs = SemanticChange(logits, torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8))
    change = torch.randint(0, 2, (1, 8, 8))
    images = torch.zeros(1, 2, 3, 8, 8)
    _, loss = ChangeLoss('ce')(lambda images: outputs, images, change)
    torch.testing.assert_close(loss, F.cross_entropy(logits, change))


def test_checkpoint_becomes_a_bundle(tmp_path):
    task = make(loss='ce+dice')
    loaded, content = save_and_load(task, tmp_path / 'x.ckpt')
    assert 'weights' not in content['hyper_parameters']
    bundle = read_checkpoint(tmp_path / 'x.ckpt')
    card = bundle.card
    assert (card.task, card.dates, card.outputs) == ('change', 2, 1)
    assert card.output_activation == 'sigmoid'
    assert card.architecture['class'] == 'BinaryChangeDetection'
    stored = torch.rand(1, 2, BANDS, 32, 32) * 255
    predicted = loaded.eval().predict_step({'image': stored / 255}, 0)
    with torch.inference_mode():
        torch.testing.assert_close(bundle.build()(stored), predicted)


@pytest.mark.parametrize('value', [2, 255, -2])
def test_labels_outside_of_the_classes_are_named(value):
    task, batch = make(), batch_of(samples())
    batch['mask'] = batch['mask'].clone()
    batch['mask'][0, 0, 0, 0] = value
    with pytest.raises(BadInput, match=rf'mask has the values .*{value}.*the classes 0 to 1'):
        task.assess(batch, task.make_metrics())


def test_what_cannot_be():
    with pytest.raises(BadParameter, match="loss: 'bce' is not one of ce, dice"):
        make(loss='bce')
    with pytest.raises(BadParameter, match='cfnet needs what only the model cfnet tells, not tiny'):
        make(loss='cfnet')
    with pytest.raises(BadParameter, match='does not tell change alone'):
        make(model='tiny_classes')(torch.zeros(1, 2, BANDS, 8, 8))
