"""Networks that go by wavelengths are told those of each batch."""

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from torchgeo_ext.errors import BadInput
from torchgeo_ext.models import lessvit
from torchgeo_ext.models._less import LESSSize
from torchgeo_ext.tasks import MaskedSegmentation, SceneClassification

FIRST, SECOND = (0.49, 0.56, 0.66), (0.84, 1.6, 2.2)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(lessvit.SIZES, 'base', LESSSize(32, 2, 2))


def samples(centres, number=2):
    generator = torch.Generator().manual_seed(0)
    return [
        {
            'image': torch.rand(len(centres), 32, 32, generator=generator),
            'mask': torch.arange(32 * 32).reshape(32, 32) % 2,
            'wavelengths': torch.tensor(centres),
        }
        for _ in range(number)
    ]


def segmentation(**arguments):
    return MaskedSegmentation(
        'fpn', 'lessvit_base', in_channels=3, num_classes=2, model_args=arguments or None
    )


def classification():
    return SceneClassification('lessvit_base', in_channels=3, num_classes=2)


def trainer_in(folder):
    return Trainer(
        max_epochs=1, accelerator='cpu', default_root_dir=folder, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ('build', 'part'), [(segmentation, 'encoder'), (classification, 'backbone')]
)
def test_every_stage_tells_them(tmp_path, build, part):
    task, trainer = build(), trainer_in(tmp_path)
    network, told = getattr(task.model, part), []
    task.model.register_forward_pre_hook(lambda *_: told.append(network.wavelengths[0]))
    first, second = (DataLoader(samples(centres), 2) for centres in (FIRST, SECOND))
    trainer.fit(task, first, second)
    trainer.test(task, first, verbose=False)
    trainer.predict(task, second)
    assert told == pytest.approx([FIRST[0], SECOND[0], FIRST[0], SECOND[0]])


def test_checkpoints_say_what_was_told(tmp_path):
    task, trainer = segmentation(resolution=30.0), trainer_in(tmp_path)
    trainer.fit(task, DataLoader(samples(FIRST), 2), DataLoader(samples(FIRST), 2))
    trainer.save_checkpoint(tmp_path / 'task.ckpt')
    assert task.hparams['model_args'] == {'resolution': 30.0}
    again = MaskedSegmentation.load_from_checkpoint(tmp_path / 'task.ckpt')
    assert again.model.encoder.wavelengths == pytest.approx(FIRST)
    assert again.model.encoder.layout.resolution == 30
    image = samples(FIRST)[0]['image'][None]
    with torch.no_grad():
        assert torch.equal(again.eval()(image), task.eval()(image))


def test_those_that_are_given_stay():
    task = segmentation(wavelengths=list(FIRST))
    task.on_train_batch_start({'wavelengths': torch.tensor([SECOND])}, 0)
    assert task.model.encoder.wavelengths == pytest.approx(FIRST)


def test_networks_and_batches_without_them():
    task = segmentation()
    before = task.model.encoder.wavelengths
    task.on_train_batch_start({'image': torch.zeros(1, 3, 32, 32)}, 0)
    assert task.model.encoder.wavelengths == before
    plain = SceneClassification('tu-resnet10t', in_channels=3, num_classes=2)
    plain.on_test_batch_start({'wavelengths': torch.tensor([FIRST])}, 0)
    assert not hasattr(plain.model.backbone, 'wavelengths')


def test_one_sensor_in_a_batch():
    with pytest.raises(BadInput, match='of 2 sensors'):
        segmentation().on_train_batch_start({'wavelengths': torch.tensor([FIRST, SECOND])}, 0)
