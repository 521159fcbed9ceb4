"""A small network of pairs, registered for a test, and ways to train it."""

import warnings

import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from torchgeo_ext import registry

WIDTH = 8


class Samples(Dataset):
    """Samples from a list."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class PixelNetwork(nn.Module):
    """Looks at single pixels of both dates."""

    def __init__(self, in_chans, outputs):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2 * in_chans, WIDTH, 1), nn.ReLU())
        self.heads = nn.ModuleList(nn.Conv2d(WIDTH, number, 1) for number in outputs)

    def forward(self, x):
        features = self.first(x.flatten(1, 2))
        return tuple(head(features) for head in self.heads)


def register(monkeypatch, builder):
    """Make a builder known for the time of a test."""
    origin = registry.models.origin('tinycd')
    monkeypatch.setitem(registry.models._entries, builder.__name__, (origin, builder))


def trainer(**options):
    return Trainer(
        accelerator='cpu',
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def run_once(task, samples):
    """Train, validate and test with one batch each; give what was logged."""
    loader = DataLoader(Samples(samples), batch_size=len(samples))
    with warnings.catch_warnings():
        # workers for a batch that is in memory
        warnings.filterwarnings('ignore', '.*does not have many workers')
        fitting = trainer(fast_dev_run=True)
        fitting.fit(task, loader, loader)
        testing = trainer(fast_dev_run=True)
        testing.test(task, loader, verbose=False)
    return fitting.callback_metrics | testing.callback_metrics


def batch_of(samples):
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


def overfit(task, batch, steps=60, lr=0.05):
    """Train on one batch; give the loss of each step."""
    optimizer = torch.optim.Adam(task.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss, _ = task.assess(batch, task._metrics('train'))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def save_and_load(task, path):
    """Write a checkpoint and read it without unpickling objects."""
    saving = trainer(max_epochs=0)
    saving.strategy.connect(task)
    saving.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    return type(task).load_from_checkpoint(path, weights_only=True), content
