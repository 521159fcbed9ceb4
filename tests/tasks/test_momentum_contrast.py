"""Learning to tell two views of a place from those of others."""

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.models.features import backbone_features
from torchgeo_ext.tasks import MomentumContrast


@pytest.fixture
def task():
    torch.manual_seed(0)
    return MomentumContrast(
        'tu-resnet10t', in_channels=3, hidden_dim=16, output_dim=8, size=32, memory_bank_size=16
    )


def images(bands, number=8):
    generator = torch.Generator().manual_seed(0)
    return [{'image': torch.rand(bands, 40, 40, generator=generator)} for _ in range(number)]


@pytest.mark.parametrize('bands', [3, 6])
def test_it_learns_and_the_copy_follows(task, tmp_path, bands):
    before = {name: value.clone() for name, value in task.state_dict().items()}
    trainer = Trainer(
        max_epochs=1, accelerator='cpu', default_root_dir=tmp_path, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(images(bands), 4)
    trainer.fit(task, loader, loader)
    assert torch.isfinite(trainer.callback_metrics['train_loss'])
    moved = {
        part: max(
            (value - before[f'{part}.{name}']).abs().max().item()
            for name, value in task.get_submodule(part).named_parameters()
        )
        for part in ('backbone', 'backbone_momentum')
    }
    assert moved['backbone'] > 10 * moved['backbone_momentum'] > 0


def test_the_copy_starts_as_the_backbone_and_is_not_trained(task):
    for part in ('backbone', 'projection_head'):
        own, copy = (task.get_submodule(name).state_dict() for name in (part, f'{part}_momentum'))
        assert all(value.equal(copy[name]) for name, value in own.items())
    assert not any(p.requires_grad for p in task.backbone_momentum.parameters())


def test_views_keep_the_spectrum(task):
    # every pixel has the same spectrum: it stays, wherever a view is cut out
    flat = torch.tensor([0.1, 0.5, 0.9])[None, :, None, None].expand(2, 3, 40, 40)
    view = task.augmentation1(flat)
    assert view.shape == (2, 3, 32, 32)
    torch.testing.assert_close(view, flat[:, :, :32, :32], rtol=0, atol=1e-5)


def test_the_weights_fit_the_backbone(task):
    backbone = backbone_features('tu-resnet10t', None, 3)
    backbone.load_state_dict(task.backbone.backbone.state_dict())
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        vector = task.eval().backbone(image)
        assert torch.equal(backbone.eval().embed(image), vector)


def test_unknown_weights():
    with pytest.raises(BadParameter, match='is not the name of weights'):
        MomentumContrast('tu-resnet10t', 'nothing', in_channels=3)
