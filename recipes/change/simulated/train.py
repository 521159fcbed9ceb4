"""Trains SiamLite on simulated change.

    python recipes/change/simulated/train.py --data FOLDER --checkpoint siamlite.pt

Every crop is a pair of one date with itself, or of two dates of a place that did not change.
Events of change are put in, and then everything that is no change: other light, haze, seasons,
noise, dates that do not quite lie on each other.
"""

import argparse
import logging
import time
from pathlib import Path
from typing import Any

import kornia.augmentation as K
import numpy as np
import torch
import torch.nn.functional as F
from scenes import SCENES, Scene, read_scene, scenes
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from torchgeo_ext.models import siamlite
from torchgeo_ext.transforms import (
    Haze,
    KorniaSequential,
    Misregister,
    SensorNoise,
    SimulateChange,
    SimulateSeason,
    SpectralJitter,
)

log = logging.getLogger('train')

WAVELENGTHS = [0.66, 0.56, 0.48, 0.85]
#: Brightest pixels of a scene become this reflectance, in which the transforms count.
BRIGHTEST = 0.5
#: Steps between two checkpoints.
EVERY = 100
#: So many batches have seeds of their own before those of the next seed begin.
MOST_BATCHES = 1_000_000


class Batches(Dataset[dict[str, Tensor]]):
    """Batches of crops with events, each drawn by its number alone.

    So a run that was interrupted goes on with what would have come.

    Args:
        found: Scenes to crop.
        size: Side of the crops in pixels.
        crops: Crops in a batch.
        seed: Another one gives other batches.
    """

    def __init__(self, found: list[Scene], size: int, crops: int, seed: int) -> None:
        self.scenes, self.size, self.crops, self.seed = found, size, crops, seed
        self.weights = torch.tensor([scene.weight for scene in found], dtype=torch.float)
        self.scales = [BRIGHTEST / np.quantile(s.images[..., s.valid], 0.995) for s in found]
        self.augment = augmentation()

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Draw a batch."""
        torch.manual_seed(self.seed * MOST_BATCHES + number)
        batch: dict[str, Tensor] = default_collate([self._crop() for _ in range(self.crops)])
        augmented: dict[str, Tensor] = self.augment(batch)
        return augmented

    def _crop(self) -> dict[str, Tensor]:
        """Draw a crop; half of them are shrunk."""
        number = int(torch.multinomial(self.weights, 1))
        scene = self.scenes[number]
        height, width = scene.valid.shape
        shrink = min(1.0 + max(0.0, float(torch.rand(()) * 2 - 1)), min(height, width) / self.size)
        side = int(self.size * shrink)
        row = int(torch.randint(height - side + 1, ()))
        column = int(torch.randint(width - side + 1, ()))
        window = (..., slice(row, row + side), slice(column, column + side))
        image = torch.from_numpy(scene.images[window] * np.float32(self.scales[number]))
        valid, unlabelled = (
            torch.from_numpy(mask[window]).expand(2, -1, -1) for mask in (scene.valid, scene.water)
        )
        size = (self.size, self.size)
        image = F.interpolate(image, size, mode='bilinear', antialias=True)
        valid = F.interpolate(valid[:, None].float(), size)[:, 0] > 0
        unlabelled = F.interpolate(unlabelled[:1, None].float(), size)[0] > 0
        return {'image': image, 'mask_valid': valid, 'mask': -unlabelled.long()}


def augmentation() -> nn.Module:
    """Events first, then what is no change."""
    return nn.Sequential(
        SimulateChange(events=(1, 5), area=(0.002, 0.12), p=0.85),
        SimulateSeason(strength=0.25, p=0.4),
        Misregister(shift=1.0, rotation=0.3, p=0.7),
        SpectralJitter(gain=0.2, offset=0.03, length=0.15, bands=WAVELENGTHS, p=0.9),
        Haze(depth=(0.05, 0.5), bands=WAVELENGTHS, p=0.3),
        SensorNoise(snr=(15, 150), reference=0.2, p=0.7),
        KorniaSequential(K.RandomHorizontalFlip(), K.RandomVerticalFlip()),
    )


def loss_of(logits: Tensor, sample: dict[str, Tensor]) -> Tensor:
    """Cross entropy plus Dice over the pixels that have a label and two values."""
    known = (sample['mask'] >= 0) & sample['mask_valid'].all(dim=1, keepdim=True)
    truth = sample['mask'][known].float()
    scores = logits[known]
    chance = scores.sigmoid()
    dice = 1 - (2 * (chance * truth).sum() + 1) / (chance.sum() + truth.sum() + 1)
    return F.binary_cross_entropy_with_logits(scores, truth) + dice


def save(path: Path, parts: dict[str, Any], step: int) -> None:
    """Write all that it takes to go on, whole or not at all."""
    unfinished = path.with_suffix('.part')
    torch.save(
        {name: part.state_dict() for name, part in parts.items()} | {'step': step}, unfinished
    )
    unfinished.replace(path)


def resume(path: Path, parts: dict[str, Any]) -> int:
    """Take up what was saved, if anything was, and tell after how many steps."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    log.info('goes on after step %d of %s', state['step'], path)
    return int(state['step'])


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='folder of the files')
    parser.add_argument('--scenes', type=Path, default=SCENES, help='list of scenes')
    parser.add_argument(
        '--checkpoint', type=Path, required=True, help='file to write, and to go on from'
    )
    parser.add_argument('--steps', type=int, default=750)
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--size', type=int, default=128, help='side of the crops in pixels')
    parser.add_argument('--lr', type=float, default=3e-3)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=0, help='processes that draw crops')
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    torch.manual_seed(options.seed)

    found = [read_scene(options.data, entry) for entry in scenes(options.scenes, 'train')]
    model = siamlite().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), options.lr, weight_decay=1e-3)
    parts = {'model': model, 'optimizer': optimizer}
    first = resume(options.checkpoint, parts)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.lr, total_steps=options.steps, pct_start=0.1, last_epoch=first - 1
    )
    batches = Batches(found, options.size, options.batch_size, options.seed)
    loader = DataLoader(
        batches, None, sampler=range(first, options.steps), num_workers=options.workers
    )
    began, mean = time.monotonic(), 0.0
    for step, sample in enumerate(loader, first + 1):
        loss = loss_of(model(sample['image']), sample)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        mean += (loss.item() - mean) * max(0.02, 1 / (step - first))
        if step % 25 == 0:
            log.info('step %d  loss %.3f  %.0f s', step, mean, time.monotonic() - began)
        if step % EVERY == 0 or step == options.steps:
            save(options.checkpoint, parts, step)


if __name__ == '__main__':
    main()
