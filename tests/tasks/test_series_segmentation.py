import pytest
import torch

from tests.tasks.pairs import batch_of, run_once
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import utae
from torchgeo_ext.tasks import SeriesSegmentation
from torchgeo_ext.tasks._history import HistoryDecoder

BANDS, DATES, SIZE, DAY = 2, 4, 16, 86_400


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make(**options):
    return SeriesSegmentation(**{'in_channels': BANDS, 'num_classes': 2} | options)


def samples(number=2):
    """The class is whether the first band rises."""
    made = []
    for _ in range(number):
        mask = torch.randint(0, 2, (2, 2)).repeat_interleave(8, 0).repeat_interleave(8, 1)
        slope = torch.linspace(-1, 1, DATES)[:, None, None] * (2 * mask - 1)
        image = torch.randn(DATES, BANDS, SIZE, SIZE) * 0.1
        image[:, 0] += slope
        mask[:2] = -1
        seconds = 1.6e9 + DAY * torch.tensor([0.0, 10, 40, 90], dtype=torch.float64)
        made.append({'image': image, 'mask': mask, 'seconds': seconds})
    return made


@pytest.mark.parametrize('history_weight', [0.0, 0.5])
def test_trains_validates_and_tests(history_weight):
    task = make(history_weight=history_weight)
    logged = run_once(task, samples())
    assert logged['train_loss'] > 0
    for stage in ('val', 'test'):
        assert 0 <= logged[f'{stage}_mIoU'] <= 1


def test_learns_with_the_prediction_of_dates():
    task, batch = make(history_weight=0.5), batch_of(samples())
    task.log = lambda *_, **__: None
    optimizer = torch.optim.Adam(task.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        losses.append(task._shared_step(batch, 'train'))
        losses[-1].backward()
        optimizer.step()
    assert all(value.grad.abs().sum() > 0 for value in task.history.head.parameters())
    assert losses[-1] < 0.5 * losses[0]


def test_days_are_told():
    task, batch, told = make(), batch_of(samples()), []
    task.log = lambda *_, **__: None
    task.model.register_forward_pre_hook(
        lambda module, inputs, options: told.append(options['days']), with_kwargs=True
    )
    task._shared_step(batch, 'val')
    assert told[0].tolist() == [[0, 10, 40, 90]] * 2


def test_what_is_held_out_is_not_seen():
    decoder = HistoryDecoder(8, 3).eval()
    dates, days = torch.rand(2, 4, 8, 3, 5), torch.tensor([[0.0, 5, 9, 30]]).expand(2, -1)
    present = torch.tensor([[True, True, True, False]] * 2)
    held = torch.tensor([1, 0])
    found, logits = decoder(dates, days, present, held)
    assert found.shape == (2, 8, 3, 5)
    assert logits.shape == (2, 3, 3, 5)
    other = dates.clone()
    other[0, 1], other[1, 0], other[:, 3] = 7, 7, 7
    torch.testing.assert_close(decoder(other, days, present, held)[0], found)
    other[0, 0] = 7
    assert not torch.allclose(decoder(other, days, present, held)[0], found)
    # other days, other prediction
    assert not torch.allclose(decoder(dates, days * 2, present, held)[0], found)


def test_a_single_date_predicts_nothing():
    task, batch = make(history_weight=0.5), batch_of(samples())
    batch['image'][:, 1:] = 0
    seen = task.model.with_dates(batch['image'])
    assert task._history_loss(seen, None, batch['mask']) == 0
    batch['image'][0] = samples(1)[0]['image']
    seen = task.model.with_dates(batch['image'])
    assert task._history_loss(seen, None, batch['mask']) > 0


def test_what_cannot_be_is_refused(monkeypatch):
    with pytest.raises(BadParameter, match='does not tell what it sees of single dates'):
        make(model='eurosat_baseline3', history_weight=0.5)
    with pytest.raises(BadInput, match='batch, dates, bands'):
        utae(BANDS)(torch.zeros(1, BANDS, SIZE))
