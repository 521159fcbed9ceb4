"""The task that trains masked autoencoders."""

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from torchgeo_ext.datasets import collate_samples
from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.models import lessvit
from torchgeo_ext.models._less import LESSSize
from torchgeo_ext.tasks import MaskedAutoencoding

TINY = LESSSize(32, 2, 2)
CENTRES = (0.49, 0.56, 0.66, 0.84)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for size in lessvit.SIZES:
        monkeypatch.setitem(lessvit.SIZES, size, TINY)


def sample(centres=CENTRES, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(len(centres), size, size, generator=generator)
    return {
        'image': image,
        'mask_valid': torch.ones(size, size, dtype=torch.bool),
        'wavelengths': torch.tensor(centres),
    }


def batch(*samples):
    return collate_samples(samples)


def test_it_trains_and_validates(tmp_path):
    torch.manual_seed(0)
    task = MaskedAutoencoding(in_channels=4, lr=1e-3)
    loader = DataLoader([sample(seed=n) for n in range(4)], 2, collate_fn=collate_samples)
    trainer = Trainer(
        max_epochs=2, accelerator='cpu', default_root_dir=tmp_path, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    before = {key: value.clone() for key, value in task.state_dict().items()}
    trainer.fit(task, loader, loader)
    assert {'train_loss', 'val_loss'} <= trainer.callback_metrics.keys()
    changed = [key for key, value in task.state_dict().items() if not value.equal(before[key])]
    assert any(key.startswith('model.encoder.blocks.1') for key in changed)
    first, second = (trainer.test(task, loader, verbose=False)[0]['test_loss'] for _ in range(2))
    assert first == second


def test_the_network_is_told_the_wavelengths_of_each_batch():
    task = MaskedAutoencoding(in_channels=4).eval()
    task(batch(sample()))
    assert task.model.encoder.wavelengths == pytest.approx(CENTRES)
    found = task(batch(sample((0.5, 1.6, 2.2))))
    assert task.model.encoder.wavelengths == pytest.approx((0.5, 1.6, 2.2))
    assert found.target.shape[1] == 3
    with pytest.raises(BadInput, match='of 2 sensors'):
        task(batch(sample(), sample((0.5, 0.6, 0.7, 0.8))))


def test_wavelengths_that_are_given_stay():
    task = MaskedAutoencoding(in_channels=4, model_args={'wavelengths': [0.4, 0.5, 0.6, 0.7]})
    task.eval()(batch(sample()))
    assert task.model.encoder.wavelengths == (0.4, 0.5, 0.6, 0.7)


def test_pixels_without_measurement_do_not_count():
    task = MaskedAutoencoding(in_channels=4).eval()
    one, other = sample(), sample()
    for each in (one, other):
        each['mask_valid'][:16] = False
    # what is seen there may change the rest; hidden pixels may not
    hidden = task(batch(one)).hidden[0]
    hidden[:, 16:] = False
    other['image'] = torch.where(hidden, 5, other['image'])
    assert task(batch(one)).loss == task(batch(other)).loss
    every = task(batch(one | {'mask_valid': torch.ones(32, 32, dtype=torch.bool)})).loss
    assert task(batch(one)).loss != every


def test_the_picture_shows_image_and_reconstruction():
    task = MaskedAutoencoding(in_channels=4).eval()
    figure = task.plot({'filename': 'a.tif'}, task.predict_step(batch(sample()), 0))
    assert [axis.get_title() for axis in figure.axes] == ['image', 'seen', 'reconstructed']
    assert figure.get_suptitle() == 'a.tif'


def test_a_network_that_reconstructs_nothing():
    with pytest.raises(BadParameter, match='rsmamba_b does not reconstruct'):
        MaskedAutoencoding('rsmamba_b', in_channels=3)
