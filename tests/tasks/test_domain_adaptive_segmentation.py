import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from tests.tasks.pairs import Samples, trainer
from torchgeo_ext.datamodules import DomainDataModule
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.tasks import DomainAdaptiveSegmentation
from torchgeo_ext.transforms.mixing import random_classes

BANDS, SIZE, CLASSES = 2, 16, 3


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make(**options):
    known = {'backbone': 'resnet18', 'in_channels': BANDS, 'num_classes': CLASSES}
    task = DomainAdaptiveSegmentation(**known | options)
    # looks at single pixels
    task.model = nn.Sequential(nn.Conv2d(BANDS, 16, 1), nn.ReLU(), nn.Conv2d(16, CLASSES, 1))
    return task


def scene(number=4, shift=0.0):
    """The class is in the first band, the other one is noise."""
    mask = torch.randint(0, CLASSES, (number, 4, 4)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    image = torch.randn(number, BANDS, SIZE, SIZE) * 0.12
    image[:, 0] += mask + shift
    return {'image': image, 'mask': mask}


def test_trains_on_both_and_is_judged_on_the_target():
    task = make(threshold=0.0)
    before = task.model[0].weight.clone()
    both = {'source': scene(), 'target': scene(2, shift=0.5)}
    steps = DataLoader(Samples([both]), batch_size=None)
    judged = DataLoader(Samples([scene(2)]), batch_size=None)
    fitting = trainer(fast_dev_run=True)
    fitting.fit(task, steps, judged)
    logged = fitting.callback_metrics
    assert logged['train_loss'] > 0
    assert {'train_mIoU', 'val_mIoU', 'val_loss'} <= logged.keys()
    assert not torch.equal(task.model[0].weight, before)
    assert not any('teacher' in key for key in task.state_dict())


def test_loss_is_that_of_the_source_and_of_both_mixtures():
    task = make(threshold=0.4, mix_weight=0.5, distort=False)
    source, target = scene(), scene(shift=1.0)
    target['mask_valid'] = torch.rand(4, SIZE, SIZE) > 0.1
    guess, sure = task.guess(target)
    assert 0 < sure.float().mean() < 1
    assert (guess == -1).equal(~target['mask_valid'])
    torch.manual_seed(1)
    loss = task.learn({'source': source, 'target': target})
    torch.manual_seed(1)
    expected = F.cross_entropy(task(source['image']), source['mask'])
    drawn = random_classes(source['mask'], -1, task._rarity(source['mask']))
    back = random_classes(guess.where(sure, -1), -1, task._rarity(guess))
    trust = sure.float().mean(dim=(1, 2))[:, None, None]
    for taken in (drawn, ~back):
        image = source['image'] * taken[:, None] + target['image'] * ~taken[:, None]
        mask = source['mask'] * taken + guess * ~taken
        entropy = F.cross_entropy(task(image), mask, reduction='none', ignore_index=-1)
        weighted = (entropy * (taken + trust * ~taken)).sum() / (mask != -1).sum()
        expected = expected + 0.5 * weighted / 2
    torch.testing.assert_close(loss, expected)


def test_labels_of_the_target_are_not_looked_at():
    losses = []
    for value in (0, 2):
        torch.manual_seed(0)
        task, source, target = make(threshold=0.0), scene(), scene(shift=0.5)
        target['mask'] = torch.full_like(target['mask'], value)
        losses.append(task.learn({'source': source, 'target': target}))
    assert torch.equal(*losses)


def test_the_teacher_follows():
    task = make(momentum=0.75)
    start = task.teacher[0].weight.clone()
    with torch.no_grad():
        task.model[0].weight.add_(1)
    task.follow(step=100)
    torch.testing.assert_close(task.teacher[0].weight, start + 0.25)
    task.follow(step=0)
    torch.testing.assert_close(task.teacher[0].weight, task.model[0].weight)
    assert not any(value.requires_grad for value in task.teacher.parameters())


def accuracy(**options):
    """Of the target, after a training."""
    torch.manual_seed(0)
    task = make(**options)
    optimizer = torch.optim.Adam(task.parameters(), 1e-2)
    for step in range(150):
        optimizer.zero_grad()
        batch = {'source': scene(), 'target': scene(shift=0.35)}
        task.learn(batch).backward()
        optimizer.step()
        task.follow(step)
    target = scene(20, shift=0.35)
    return (task(target['image']).argmax(1) == target['mask']).float().mean()


def test_it_helps_where_scenes_differ():
    mixed = accuracy(threshold=0.7, momentum=0.9, distort=False)
    assert mixed > accuracy(mix_weight=0.0) + 0.05


def test_rare_classes_are_drawn_more_often():
    mask = torch.tensor([[0, 0, 0, 1]]).repeat(2000, 1)
    drawn = random_classes(mask, -1, torch.tensor([1.0, 3.0]))
    assert (drawn.any(dim=1)).all()
    assert drawn[:, 3].float().mean() == pytest.approx(0.75, abs=0.04)


class Module:
    """Notes what it is asked for."""

    def __init__(self, samples, name):
        self.samples, self.name, self.stages = samples, name, []
        self.dataset_class, self.batch_size, self.num_workers = Samples, 2, 0
        self.mean = self.std = torch.ones(1)

    def prepare_data(self):
        self.stages.append('prepare')

    def setup(self, stage):
        self.stages.append(stage)

    def loader(self):
        return DataLoader(Samples(self.samples), batch_size=2)

    train_dataloader = val_dataloader = loader

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        return batch

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch | {'prepared': self.name}


def test_data_modules_side_by_side():
    samples = [{'image': torch.full((1,), float(i))} for i in range(6)]
    source, target = Module(samples, 'source'), Module(samples[:3], 'target')
    both = DomainDataModule(source, target)
    both.prepare_data()
    both.setup('fit')
    assert source.stages == target.stages == ['prepare', 'fit']
    batches = [batch for batch, *_ in both.train_dataloader()]
    assert [batch['source']['image'].tolist()[0][0] for batch in batches] == [0, 2, 4]
    assert len(batches) == 3
    ready = both.on_after_batch_transfer(
        both.transfer_batch_to_device(batches[0], torch.device('cpu'), 0), 0
    )
    assert {name: part['prepared'] for name, part in ready.items()} == {
        'source': 'source', 'target': 'target',
    }  # fmt: skip
    (batch, *_) = both.val_dataloader()
    assert both.on_after_batch_transfer(batch, 0)['prepared'] == 'target'
    both.setup('test')
    assert source.stages[-1] == 'fit'
    assert target.stages[-1] == 'test'


def test_what_cannot_be_is_refused():
    with pytest.raises(BadParameter, match='threshold is 2'):
        make(threshold=2)
    with pytest.raises(BadParameter, match="task is 'binary'"):
        make(task='binary', num_classes=None)
    with pytest.raises(BadInput, match='has image, mask, but neither source'):
        make().learn(scene())
