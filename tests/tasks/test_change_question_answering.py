import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.data.bright import data as bright
from tests.tasks.pairs import batch_of, overfit, register, save_and_load, trainer
from torchgeo_ext.datamodules import ChangePairDataModule
from torchgeo_ext.datasets import BRIGHTQuestions
from torchgeo_ext.errors import BadInput, MissingDependency, MissingWeights
from torchgeo_ext.metrics import AnswerAccuracy
from torchgeo_ext.tasks import ChangeQuestionAnswering
from torchgeo_ext.tasks._text import HashedWords

QUESTIONS = ['Did the mean rise?', 'Is it the first event?']


class MeanNetwork(nn.Module):
    """Sees the difference of the means, and both texts."""

    def __init__(self, num_classes, text_features):
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(1 + 2 * text_features, 32), nn.ReLU())
        self.answer = nn.Linear(32, num_classes)

    def forward(self, x, text, questions):
        means = x.mean(dim=(2, 3, 4))
        told = torch.cat([means.diff(dim=1), text], dim=1)[:, None].expand(
            -1, questions.shape[1], -1
        )
        return self.answer(self.mix(torch.cat([told, questions], dim=-1)))


def tiny_answers(in_chans=3, num_classes=2, text_features=4):
    return MeanNetwork(num_classes, text_features)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    register(monkeypatch, tiny_answers)
    torch.manual_seed(0)


def make(**options):
    return ChangeQuestionAnswering(
        **{'model': 'tiny_answers', 'num_answers': 2, 'num_questions': 2} | options
    )


def batch(number=8):
    rises = torch.arange(number) % 3 == 0
    first = torch.arange(number) % 2 == 0
    image = torch.zeros(number, 2, 3, 4, 4)
    image[:, 1] = torch.where(rises, 1.0, -1.0)[:, None, None, None]
    return {
        'image': image,
        'description': [('Flood in A', 'Storm in B')[number % 2] for number in range(number)],
        'questions': [QUESTIONS] * number,
        'label': torch.stack([rises.long(), first.long()], dim=1),
    }


def test_learns_from_images_and_texts():
    task, data = make(), batch()
    losses = overfit(task, data, steps=80)
    assert losses[-1] < losses[0] / 5
    metrics = task.make_metrics()
    task.assess(data, metrics)
    assert metrics['answers'].compute() == {'oa': 1, 'aa': 1}
    probabilities = task.predict_step(data, 0)
    assert probabilities.shape == (8, 2, 2)
    assert torch.equal(probabilities.argmax(dim=-1), data['label'])
    # told the other event, it answers otherwise
    data['description'] = data['description'][::-1]
    swapped = task.predict_step(data, 0).argmax(dim=-1)
    assert torch.equal(swapped[:, 1], 1 - batch()['label'][:, 1])


def test_unknown_answers_are_not_learned_from():
    task, data = make(), batch()
    data['label'][:, 1] = -1
    loss, _ = task.assess(data, task.make_metrics())
    first = data | {'questions': [QUESTIONS[:1]] * 8, 'label': data['label'][:, :1]}
    alone = make(num_questions=1)
    alone.load_state_dict(task.state_dict())
    torch.testing.assert_close(alone.assess(first, alone.make_metrics())[0], loss)
    data['label'][:] = -1
    assert task.assess(data, task.make_metrics())[0] == 0


def test_accuracies():
    metric = AnswerAccuracy(3)
    metric.update(torch.tensor([[0, 1, 2], [1, 1, 0]]), torch.tensor([[0, 1, -1], [0, 1, -1]]))
    metric.update(torch.tensor([[2, 2, 2]]), torch.tensor([[2, -1, -1]]))
    assert metric.compute()['oa'] == pytest.approx(4 / 5)
    assert metric.compute()['aa'] == pytest.approx((2 / 3 + 1) / 2)
    with pytest.raises(BadInput, match=r'both must be \(batch, 3\)'):
        metric.update(torch.zeros(1, 2), torch.zeros(1, 2))


def test_the_text_condition_is_needed():
    task = make()
    for descriptions in (None, [], ['Flood in A'] * 7 + [' '], ['Flood in A'] * 7):
        data = batch() | {'description': descriptions}
        with pytest.raises(BadInput, match='text condition is missing: of 8 pairs'):
            task.assess(data, task.make_metrics())
    data = batch()
    del data['description']
    with pytest.raises(BadInput, match='0 have a description'):
        task.assess(data, task.make_metrics())
    with pytest.raises(BadInput, match=r'in the numbers \[1, 2\]'):
        task.assess(batch() | {'questions': [QUESTIONS] * 7 + [['?']]}, task.make_metrics())
    with pytest.raises(BadInput, match=r'label has the shape \(8, 2\).*\(8, 3\)'):
        make(num_questions=3).assess(batch(), {})


def test_words_are_places():
    encode = HashedWords(64)
    one, other, turned, same = encode(['Flood in A', 'Storm in B', 'A in flood', 'flood, in a!'])
    assert torch.equal(one, same)
    assert one.norm() == pytest.approx(1)
    assert (one - other).abs().sum() > 0
    assert (one - turned).abs().sum() > 0
    assert encode(['']).eq(0).all()


class _Published:
    """Stands in for what transformers would download."""

    @classmethod
    def from_pretrained(cls, name):
        if name == 'elsewhere':
            raise OSError('no connection')
        return cls()


class _Tokenizer(_Published):
    def __call__(self, texts, padding, truncation, return_tensors):
        lengths = torch.tensor([len(text.split()) for text in texts])
        place = torch.arange(int(lengths.max()))
        return {
            'input_ids': place.expand(len(texts), -1),
            'attention_mask': place < lengths[:, None],
        }


class _Model(_Published, nn.Module):
    config = SimpleNamespace(hidden_size=5)

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=input_ids[..., None].expand(-1, -1, 5).float())


def test_language_models_stay_as_they_are(monkeypatch, tmp_path):
    package = SimpleNamespace(AutoTokenizer=_Tokenizer, AutoModel=_Model)
    monkeypatch.setitem(sys.modules, 'transformers', package)
    task = make(text_encoder='bert')
    # the mean over words, not over what fills up shorter texts
    assert task.encode(['a b c', 'a'])[:, 0].tolist() == [1, 0]
    again, content = save_and_load(task, tmp_path / 'task.ckpt')
    assert all(key.startswith('model.') for key in content['state_dict'])
    assert again.encode.features == 5
    with pytest.raises(MissingWeights, match="'elsewhere' is not on this machine"):
        make(text_encoder='elsewhere')
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(MissingDependency, match=r'torchgeo_ext\[language\]'):
        make(text_encoder='bert')


def test_tcssm_is_trained_on_some_events_and_tested_on_others(tmp_path):
    bright.make(tmp_path)
    module = ChangePairDataModule(
        BRIGHTQuestions, str(tmp_path), 1, None, val_split='test', unseen=['holdout-event']
    )
    task = ChangeQuestionAnswering(num_answers=len(BRIGHTQuestions.answers))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', '.*does not have many workers')
        fitting, testing = trainer(fast_dev_run=True), trainer(fast_dev_run=True)
        fitting.fit(task, datamodule=module)
        testing.test(task, datamodule=module, verbose=False)
    assert fitting.callback_metrics['train_loss'] > 0
    for name in ('val_answers_oa', 'val_answers_aa'):
        assert 0 <= fitting.callback_metrics[name] <= 1
    assert 0 <= testing.callback_metrics['test_answers_oa'] <= 1


def test_batches_of_the_dataset_fit(tmp_path):
    bright.make(tmp_path)
    sample = BRIGHTQuestions(tmp_path)[0]
    pictures = batch_of([{key: sample[key] for key in ('image', 'label')}])
    texts = {key: [sample[key]] for key in ('description', 'questions')}
    task = make(num_answers=len(BRIGHTQuestions.answers), num_questions=4)
    _, found = task.assess(pictures | texts, task.make_metrics())
    assert found.shape == (1, 4)
