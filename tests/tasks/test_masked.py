import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn
from torchgeo.models import ResNet18_Weights
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import VMamba_Weights, _weights
from torchgeo_ext.models.vmamba import SIZES, VMambaClassifier, VMambaSize
from torchgeo_ext.tasks import MaskedChangeDetection, MaskedSegmentation, _further
from torchgeo_ext.tasks._further import FURTHER_DECODERS
from torchgeo_ext.tasks._masked import LabelledPixels, PixelConfusion, Scores


def segmentation(**options):
    return MaskedSegmentation(
        **{'model': 'fcn', 'in_channels': 2, 'num_classes': 3, 'ignore_index': -1} | options
    )


def change(**options):
    return MaskedChangeDetection(in_channels=2, ignore_index=-1, **options)


@pytest.mark.parametrize('loss', ['ce', 'focal', 'jaccard', 'dice'])
def test_unlabelled_pixels_change_no_loss(loss):
    task = segmentation(loss=loss)
    scores, mask = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    mask[:, :5] = -1
    mask[1] = -1
    only = task.criterion.criterion(scores[:1, :, 5:], mask[:1, 5:])
    scores[:, :, :5] = 1e3 * torch.randn(2, 3, 5, 8)
    torch.testing.assert_close(task.criterion(scores, mask), only)


@pytest.mark.parametrize('loss', ['bce', 'focal', 'jaccard', 'dice'])
def test_unlabelled_pixels_change_no_loss_of_change(loss):
    task = MaskedChangeDetection(model='fcn', in_channels=2, loss=loss, ignore_index=-1)
    scores, mask = torch.randn(2, 1, 8, 8), torch.randint(0, 2, (2, 1, 8, 8)).float()
    mask[:, :, :5] = -1
    only = task.criterion.criterion(scores[:, :, 5:], mask[:, :, 5:])
    scores[:, :, :5] = 1e3
    torch.testing.assert_close(task.criterion(scores, mask), only)


def test_a_batch_without_labels_is_a_step_of_nothing():
    loss = LabelledPixels(nn.CrossEntropyLoss(), -1)
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    value = loss(scores, torch.full((1, 4, 4), -1))
    value.backward()
    assert value == 0
    assert not scores.grad.any()


@pytest.mark.parametrize('value', [3, -2])
def test_labels_outside_of_the_classes_are_named(value):
    mask = torch.zeros(1, 4, 4, dtype=torch.long)
    mask[0, 0] = value
    with pytest.raises(BadInput, match=rf'mask has the values .*{value}.*the classes 0 to 2'):
        segmentation().criterion(torch.randn(1, 3, 4, 4), mask)


def test_other_than_two_dates_are_refused():
    task = MaskedChangeDetection(model='fcn', in_channels=2, ignore_index=-1)
    with pytest.raises(BadInput, match='3 dates instead of two'):
        task(torch.randn(1, 3, 2, 8, 8))


def test_logits_between_0_and_1_are_no_probabilities():
    # torchmetrics takes these for probabilities and counts them as "unchanged"
    counted = PixelConfusion(2, ignore_index=-1)
    counted.update(torch.full((1, 1, 2, 2), 0.3), torch.tensor([[[[1, 1], [0, -1]]]]))
    assert counted.compute().tolist() == [[0, 1], [0, 2]]


def test_scores_are_those_of_torchmetrics():
    torch.manual_seed(0)
    label, predicted = torch.randint(0, 4, (5000,)), torch.randint(0, 4, (5000,))
    predicted = torch.where(torch.rand(5000) < 0.6, label, predicted)
    counted = PixelConfusion(4, ignore_index=-1)
    logits = nn.functional.one_hot(predicted, 4).T.reshape(1, 4, 50, 100).float()
    counted.update(logits, label.reshape(1, 50, 100))
    scores = Scores(counted.compute().numpy())
    for ours, theirs in ((scores.iou, multiclass_jaccard_index), (scores.f1, multiclass_f1_score)):
        np.testing.assert_allclose(ours, theirs(predicted, label, 4, average=None), rtol=1e-5)
    assert scores.overall_accuracy == pytest.approx((predicted == label).float().mean().item())
    assert scores.matrix.sum() == 5000


def test_classes_that_are_not_labelled_are_left_out_of_means():
    scores = Scores(np.array([[8, 0, 2], [0, 0, 0], [0, 0, 10]]))
    assert np.isnan(scores.iou[1])
    assert scores.mean_iou == pytest.approx((8 / 10 + 10 / 12) / 2)
    assert np.isnan(scores.precision[1])
    assert scores.recall[0] == 0.8


def test_no_labels_at_all_have_no_score():
    scores = Scores(np.zeros((2, 2)))
    assert np.isnan(scores.mean_iou)
    assert np.isnan(scores.overall_accuracy)


@pytest.mark.parametrize('model', ['unet', *FURTHER_DECODERS])
def test_every_decoder_predicts(model):
    task = segmentation(model=model, backbone='mobilenet_v2').eval()
    with torch.inference_mode():
        assert task(torch.zeros(1, 2, 128, 128)).shape == (1, 3, 128, 128)


@pytest.mark.parametrize('kind', [segmentation, change])
@pytest.mark.parametrize('way', ['file', 'name', 'member'])
def test_further_decoders_start_from_weights_of_other_bands(kind, way, tmp_path, monkeypatch):
    member = ResNet18_Weights.SENTINEL2_ALL_MOCO
    published = smp.encoders.get_encoder('resnet18', in_channels=13, weights=None).state_dict()
    torch.save(published, tmp_path / 'encoder.pth')
    monkeypatch.setattr(_further, 'weights_file', lambda weights: tmp_path / 'encoder.pth')
    weights = {'file': str(tmp_path / 'encoder.pth'), 'name': str(member), 'member': member}[way]
    encoder = kind(model='fpn', backbone='resnet18', weights=weights).model.encoder.state_dict()
    assert torch.equal(encoder['layer4.1.conv2.weight'], published['layer4.1.conv2.weight'])
    first = encoder['conv1.weight']
    assert first.shape[1] == (2 if kind is segmentation else 4)
    # nothing tells which of the bands the images have
    mean = published['conv1.weight'].mean(1, keepdim=True)
    torch.testing.assert_close(first, (mean * 13 / first.shape[1]).expand_as(first))


def test_weights_that_do_not_fit_a_further_decoder(tmp_path):
    with pytest.raises(BadParameter, match=r"'x\.pth' is not the name of weights of resnet18"):
        segmentation(model='fpn', backbone='resnet18', weights='x.pth')
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7)}, tmp_path / 'x.pth')
    with pytest.raises(BadParameter, match=r'x.pth does not fit the backbone'):
        segmentation(model='fpn', backbone='resnet18', weights=str(tmp_path / 'x.pth'))
    (tmp_path / 'y.pth').write_text('nothing')
    with pytest.raises(BadInput, match='does not hold plain weights'):
        change(model='fpn', backbone='resnet18', weights=str(tmp_path / 'y.pth'))


@pytest.mark.parametrize('model', ['fcsiamdiff', 'unet', 'fpn', 'tinycd', 'bit'])
def test_change_takes_pairs_whatever_the_network_wants(model):
    task = MaskedChangeDetection(model=model, backbone='mobilenet_v2', in_channels=2).eval()
    with torch.inference_mode():
        assert task(torch.zeros(1, 2, 2, 64, 64)).shape == (1, 1, 64, 64)


def test_a_registered_network_learns_change_from_pairs():
    torch.manual_seed(0)
    task = MaskedChangeDetection(
        model='tinycd', in_channels=2, task='binary', loss='bce', ignore_index=-1
    )
    task.log = lambda *_, **__: None
    before = torch.rand(2, 2, 32, 32)
    mask = torch.zeros(2, 1, 32, 32, dtype=torch.long)
    mask[..., 8:24, 8:24] = 1
    pair = torch.stack([before, before + mask], dim=1)
    optimizer = torch.optim.Adam(task.parameters(), 0.01)
    losses = []
    for _ in range(12):
        losses.append(task.training_step({'image': pair, 'mask': mask}, 0))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]


def test_a_registered_network_takes_no_weights_of_an_encoder():
    with pytest.raises(BadParameter, match='bit cannot start from True'):
        MaskedChangeDetection(model='bit', weights=True)


def test_class_weights_arrive():
    task = segmentation(class_weights=[1.0, 2.0, 3.0])
    assert task.criterion.criterion.weight.tolist() == [1, 2, 3]


@pytest.mark.parametrize('model', ['upernet', 'fpn'])
def test_decoders_go_onto_any_backbone(model):
    task = segmentation(model=model, backbone='eurosat_baseline3', freeze_backbone=True)
    assert task(torch.rand(2, 2, 40, 30)).shape == (2, 3, 40, 30)
    learning = {name for name, parameter in task.named_parameters() if parameter.requires_grad}
    assert learning
    assert not any(name.startswith('model.encoder.') for name in learning)
    # a name that segmentation_models_pytorch has too is its own
    assert hasattr(segmentation(model=model, backbone='mobilenet_v2').model, 'segmentation_head')


def test_a_backbone_starts_from_published_weights_by_name(tmp_path, monkeypatch):
    weights = VMamba_Weights.IMAGENET_TINY
    monkeypatch.setitem(SIZES, 'tiny', VMambaSize(8, (1, 1, 1, 1), 0.0))
    published = VMambaClassifier(SIZES['tiny']).state_dict()
    torch.save({'model': published}, tmp_path / 'vmamba.pth')
    monkeypatch.setattr(_weights, 'weights_file', lambda weights: tmp_path / 'vmamba.pth')
    task = segmentation(model='upernet', backbone='vmamba_tiny', weights=str(weights))
    key = 'layers.0.blocks.0.op.Ds'
    assert torch.equal(task.model.encoder.state_dict()[key], published[key])
    # so does a network that brings its own backbone
    monkeypatch.setitem(SIZES, 'tiny', VMambaSize(16, (2, 2, 2, 2), 0.0))
    published = VMambaClassifier(SIZES['tiny']).state_dict()
    torch.save({'model': published}, tmp_path / 'vmamba.pth')
    own = {'model_args': {'width': 16, 'diagonal': False}}
    task = segmentation(model='cvmhunet', weights=str(weights), **own)
    assert torch.equal(task.model.encoder.state_dict()[key], published[key])
    with pytest.raises(BadParameter, match="'imagenet' is not the name of weights of vmamba_tiny"):
        segmentation(model='upernet', backbone='vmamba_tiny', weights='imagenet')


def test_a_registered_network_segments():
    task = segmentation(model='cvmhunet')
    assert task(torch.rand(1, 2, 40, 30)).shape == (1, 3, 40, 30)
    with pytest.raises(BadParameter, match='cvmhunet has no decoder of its own'):
        segmentation(model='cvmhunet', freeze_decoder=True)
    with pytest.raises(BadParameter, match='weights: cvmhunet cannot start from True'):
        segmentation(model='cvmhunet', weights=True)
