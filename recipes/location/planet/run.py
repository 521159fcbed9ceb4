"""Trains a small geolocator on patches of thirteen places, and tells how well it does.

python recipes/location/planet/run.py [--data FOLDER] [--output planet] [--epochs 40]

First the western half of each patch is learned from, and the eastern halves are asked for: places
that are known. Then each place in turn is held out, and the network has learned from the others
alone: places that are not known. Guessing is to take one of the places that were learned, each as
often.
"""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
import torch
from lightning.pytorch import Trainer, seed_everything
from rasterio.windows import Window
from torch import Tensor

from torchgeo_ext.datamodules import PlaceDataModule
from torchgeo_ext.datasets import PlacedImages
from torchgeo_ext.metrics import GreatCircleAccuracy
from torchgeo_ext.operations import create_bundle
from torchgeo_ext.tasks import Geolocation

DATA = Path(__file__).with_name('data')
#: Height and width of what is shown of a patch.
TILE = 64


class Halves(PlaceDataModule):
    """Learns from the western halves that :func:`write_halves` wrote, and asks the eastern ones."""

    def split(self, places: PlacedImages) -> Sequence[np.ndarray]:
        """See :class:`PlaceDataModule`."""
        west = np.array(['west' in Path(place.files[0]).stem for place in places.places])
        return np.flatnonzero(west), np.flatnonzero(~west), np.arange(0)


class OneHeldOut(PlaceDataModule):
    """Learns from all patches but one, which it asks."""

    held_out = 0

    def split(self, places: PlacedImages) -> Sequence[np.ndarray]:
        """See :class:`PlaceDataModule`."""
        every = np.arange(len(places))
        return np.delete(every, self.held_out), every[[self.held_out]], every[:0]


def main() -> None:
    """Print the scores, and write the bundle of what has learned the western halves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, default=DATA)
    parser.add_argument('--output', type=Path, default=Path('planet'))
    parser.add_argument('--epochs', type=int, default=40)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    compare(given.data, given.output, given.epochs)


def compare(folder: Path, output: Path, epochs: int) -> dict[str, dict[str, float]]:
    """Ask for known and for unknown places.

    Args:
        folder: Georeferenced patches.
        output: Gets the halves of patches, a checkpoint and a bundle.
        epochs: Of each training; every place is seen once in each.

    Returns:
        The scores of both ways, and of guessing, by name.
    """
    patches = sorted(folder.glob('*.tif'))
    known = data(Halves, write_halves(patches, output / 'halves'), len(patches))
    asked = [(*train(known, epochs, output / 'planet.ckpt'), known)]
    create_bundle(output / 'planet.ckpt', output / 'bundle', name='Thirteen places')
    unknown = []
    for number in range(len(patches)):
        held = data(OneHeldOut, folder, len(patches) - 1)
        held.held_out = number
        unknown.append((*train(held, epochs), held))
    scores = {}
    for name, answers in (('known places', asked), ('unknown places', unknown)):
        scores[name] = judged([(found, true) for found, true, _ in answers])
        scores[f'{name}, guessing'] = judged(
            [every_pair(module.training_points, true) for _, true, module in answers]
        )
    for name, figures in scores.items():
        print(f'{name}: {", ".join(f"{key} {value:.3g}" for key, value in figures.items())}')
    return scores


def data(kind: type[PlaceDataModule], folder: Path, places: int) -> PlaceDataModule:
    """Make a data module that shows every place once in each epoch."""
    return kind(str(folder), batch_size=places, size=TILE)


def train(
    module: PlaceDataModule, epochs: int, checkpoint: Path | None = None
) -> tuple[Tensor, Tensor]:
    """Train a small network, and ask it for the places held out.

    Args:
        module: The patches.
        epochs: Length of the training.
        checkpoint: Where to keep the network.

    Returns:
        Longitudes and latitudes (n, 2) that it answers, and the true ones.
    """
    seed_everything(0, verbose=False)
    warnings.filterwarnings('ignore', '.*does not have many workers')
    warnings.filterwarnings('ignore', '.*smaller than the logging interval')
    # each place is a cell of its own, within cells of up to four; what is held out decides nothing
    task = Geolocation(
        'tu-resnet10t', in_channels=4, maximum=[4, 1], minimum=1, lr=2e-3, patience=epochs
    )
    trainer = Trainer(
        accelerator='cpu',
        max_epochs=epochs,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, datamodule=module)
    if checkpoint is not None:
        trainer.save_checkpoint(checkpoint)
    task.eval()
    found, true = [], []
    with torch.inference_mode():
        for batch in module.test_dataloader():
            found.append(task.places(task(module.aug(batch)['image'])))
            true.append(batch['point'])
    return torch.cat(found), torch.cat(true)


def judged(answers: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Score answers (n, 2) against the truth (n, 2)."""
    metric = GreatCircleAccuracy()
    for found, true in answers:
        metric.update(found, true)
    return {name: float(value) for name, value in metric.compute().items()}


def every_pair(learned: np.ndarray, true: Tensor) -> tuple[Tensor, Tensor]:
    """Answer each of the true places (n, 2) with each of those that were learned (m, 2)."""
    guesses = torch.from_numpy(learned).repeat(len(true), 1)
    return guesses, true.repeat_interleave(len(learned), dim=0)


def write_halves(patches: Sequence[Path], folder: Path) -> Path:
    """Cut patches into a western and an eastern half."""
    folder.mkdir(parents=True, exist_ok=True)
    for patch in patches:
        with rasterio.open(patch) as dataset:
            width = dataset.width // 2
            for side, column in (('west', 0), ('east', width)):
                window = Window(column, 0, width, dataset.height)
                profile = dataset.profile | {
                    'width': width,
                    'transform': dataset.window_transform(window),
                }
                with rasterio.open(folder / f'{patch.stem}_{side}.tif', 'w', **profile) as half:
                    half.write(dataset.read(window=window))
                    half.descriptions = dataset.descriptions
    return folder


if __name__ == '__main__':
    main()
