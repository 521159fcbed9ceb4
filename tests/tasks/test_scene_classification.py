import pytest
import torch
from sklearn.metrics import average_precision_score

from tests.tasks.pairs import Samples, batch_of, run_once, save_and_load
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import SatMAEPP_Weights
from torchgeo_ext.tasks import SceneClassification

BANDS, SIZE = 2, 16


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make(**options):
    known = {'model': 'eurosat_baseline3', 'in_channels': BANDS, 'num_classes': 3}
    return SceneClassification(**known | options)


def samples(number=4):
    """The class is the brightness."""
    classes = torch.arange(number) % 3
    images = torch.randn(number, BANDS, SIZE, SIZE) * 0.1 + classes[:, None, None, None]
    return [{'image': i, 'label': k} for i, k in zip(images, classes, strict=True)]


@pytest.mark.parametrize('model', ['eurosat_baseline3', 'resnet18', 'tu-mobilenetv3_small_050'])
def test_trains_validates_and_tests_with_any_backbone(model):
    logged = run_once(make(model=model), samples())
    assert logged['train_loss'] > 0
    for stage in ('val', 'test'):
        assert 0 <= logged[f'{stage}_OverallAccuracy'] <= 1
    assert SceneClassification.monitor in logged


def test_learns_from_masks_as_from_labels():
    batch = batch_of(samples(6))
    label = batch.pop('label')
    task = make()
    optimizer = torch.optim.Adam(task.parameters(), 1e-3)
    batch['mask'] = label[:, None, None].expand(-1, SIZE, SIZE).clone()
    batch['mask'][:, :, :9] = -1
    for _ in range(30):
        optimizer.zero_grad()
        logits = task(batch['image'])
        labelled = task._labelled(batch)
        assert torch.equal(labelled['label'], label)
        task.criterion(logits, labelled['label']).backward()
        optimizer.step()
    assert torch.equal(task.eval()(batch['image']).argmax(1), label)


def test_labels_of_tiles():
    mask = torch.tensor([[[0, 0, 1, -1]], [[1, 1, 2, 2]], [[2, 1, 0, 0]], [[-1, -1, -1, -1]]])
    assert make(share=0.6)._label_of(mask).tolist() == [0, -1, -1, -1]
    assert make()._label_of(mask).tolist() == [0, 1, 0, -1]
    several = make(task='multilabel', num_classes=None, num_labels=3, loss='bce', share=0.25)
    assert several._label_of(mask).tolist() == [[1, 1, 0], [0, 1, 1], [1, 1, 1], [-1, -1, -1]]
    one = make(task='binary', num_classes=None, loss='bce')
    assert one._label_of(mask).tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize(
    'options',
    [
        {'task': 'multilabel', 'num_classes': None, 'num_labels': 3, 'loss': 'bce'},
        {'task': 'binary', 'num_classes': None, 'loss': 'bce'},
        {},
    ],
    ids=['multilabel', 'binary', 'multiclass'],
)
def test_tiles_without_label_do_not_count(options):
    task = make(**options)
    mask = torch.randint(0, 2, (4, SIZE, SIZE))
    mask[2:] = -1
    made = [{'image': torch.randn(BANDS, SIZE, SIZE), 'mask': each} for each in mask]
    assert len(task._labelled(batch_of(made))['image']) == 2
    assert run_once(task, made)['train_loss'] > 0
    loss = task.training_step(batch_of(made[2:]), 1)
    assert loss == 0
    loss.backward()
    with pytest.raises(BadInput, match='neither label nor mask, but image'):
        task.training_step({'image': torch.zeros(1, BANDS, SIZE, SIZE)}, 1)


def test_images_are_prepared_as_in_the_pretraining(monkeypatch, caplog):
    seen = []
    task = make(model='eurosat_baseline3', in_channels=10)
    monkeypatch.setattr(
        'torchgeo_ext.tasks.scene_classification.backbone_features', lambda *_: task.model.backbone
    )
    weights = SatMAEPP_Weights.SENTINEL2_FMOW_MAE
    prepared = make(weights=weights, in_channels=10, as_pretrained=True)
    prepared.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image = torch.rand(2, 10, 64, 64) * 3000
    prepared(image)
    torch.testing.assert_close(seen[0], weights.transforms(image))
    assert prepared.hparams['as_pretrained'] == str(weights)
    # as a bundle builds it
    bare = make(model='eurosat_baseline3', in_channels=10, as_pretrained=str(weights))
    torch.testing.assert_close(bare.prepare(image), weights.transforms(image))
    run_once(prepared, Samples([{'image': i / 1e4, 'label': torch.tensor(0)} for i in image]))
    assert 'does not suit the weights' in caplog.text


def test_the_last_layer_alone():
    task = make(freeze_backbone=True)
    trained = {name for name, value in task.named_parameters() if value.requires_grad}
    assert trained == {'model.head.weight', 'model.head.bias'}


def test_checkpoints_come_back(tmp_path):
    task = make().eval()
    again, _ = save_and_load(task, tmp_path / 'scene.ckpt')
    image = torch.randn(1, BANDS, SIZE, SIZE)
    assert torch.equal(again.eval()(image), task(image))


def test_what_cannot_be_is_refused():
    with pytest.raises(BadParameter, match='share is 0'):
        make(share=0)
    with pytest.raises(BadParameter, match='not known, or gives no maps'):
        make(model='tinycd')
    with pytest.raises(BadParameter, match='as_pretrained'):
        make(as_pretrained=True)


def test_reports_the_average_precision_of_labels():
    several = make(task='multilabel', num_classes=None, num_labels=3, loss='bce')
    images = torch.randn(6, BANDS, SIZE, SIZE)
    labels = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 1]])
    pairs = [{'image': i, 'label': k} for i, k in zip(images, labels, strict=True)]
    logged = run_once(several, pairs)
    several.eval()
    with torch.no_grad():
        scores = several(images).sigmoid().numpy()
    for average, name in (('macro', 'Average'), ('micro', 'Overall')):
        expected = average_precision_score(labels.numpy(), scores, average=average)
        assert logged[f'test_{name}AveragePrecision'] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize('options', [{'mixup': 0.8}, {'cutmix': 1.0}, {'mixup': 1, 'cutmix': 1}])
def test_images_and_labels_are_mixed_alike(options):
    seen = {}
    labels = torch.arange(6) % 3
    # an image of a class has its number in one band
    images = torch.nn.functional.one_hot(labels, 3)[..., None, None].expand(-1, -1, SIZE, SIZE)
    task = make(in_channels=3, **options)
    task.log = lambda *args, **kwargs: None
    task.criterion.register_forward_pre_hook(lambda _, given: seen.update(shares=given[1]))
    task.model.register_forward_pre_hook(lambda _, given: seen.update(image=given[0]))
    changed = []
    for _ in range(4):
        task.training_step({'image': images.float(), 'label': labels}, 0)
        assert torch.allclose(seen['image'].mean(dim=(2, 3)), seen['shares'], atol=1e-5)
        assert torch.allclose(seen['shares'].sum(dim=1), torch.ones(6))
        changed.append(not torch.equal(seen['shares'], images[..., 0, 0].float()))
    assert any(changed)


def test_labels_are_smoothed():
    batch = batch_of(samples(6))
    sharp, smooth = make(), make(label_smoothing=0.1)
    logits = torch.randn(6, 3)
    expected = torch.nn.functional.cross_entropy(logits, batch['label'], label_smoothing=0.1)
    assert torch.allclose(smooth.criterion(logits, batch['label']), expected)
    assert not torch.allclose(sharp.criterion(logits, batch['label']), expected)


@pytest.mark.parametrize(
    'options',
    [{'mixup': -1}, {'cutmix': 1, 'loss': 'focal'}, {'label_smoothing': 0.1, 'task': 'binary'}],
)
def test_other_labels_are_not_mixed(options):
    with pytest.raises(BadParameter, match=next(iter(options))):
        make(**options)


def test_images_are_mixed_in_training_alone():
    logged = run_once(make(mixup=0.8, cutmix=1.0, label_smoothing=0.1), samples())
    assert logged['train_loss'] > 0
    assert 0 <= logged['test_OverallAccuracy'] <= 1
