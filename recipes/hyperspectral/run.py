"""Ways to classify a hyperspectral image, judged on blocks held out and, beside it, at random.

python recipes/hyperspectral/run.py IMAGE LABELS [--output hyperspectral] [--block 24]

LABELS is a raster on the pixels of IMAGE: 0 is not labelled, other values are classes. Each fold is
learned from all others. Held-out blocks are as far from what is learned from as a patch of the
widest network is wide, the same for all ways, so that no pixel is seen by both; the random split,
as most publications have it, shows what scores are worth without that. See README.md for figures.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedKFold
from torch import nn

from torchgeo_ext.inference.examples import fit_classifier
from torchgeo_ext.inference.spectral.classify import fit_spectra
from torchgeo_ext.operations import assess_bands, reduce_bands
from torchgeo_ext.registry import models
from torchgeo_ext.samplers import BlockedSplit, disjoint_patches

#: Side of the patches that networks see; no network here looks farther.
PATCH = 9
#: Sides for networks that look at single pixels, which saves them the rest.
SIDES = {'cnn1d': 1, 'spectralformer': 1}
#: Neighbouring bands averaged for a network that takes time with the square of their number.
MEANS = {'spectralformer': 4}
FOLDS, COMPONENTS, TREES = 5, 15, 100
# training of networks
BATCH, LEARNING_RATE = 64, 1e-3

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]
#: From positions to learn from and positions to judge to the classes of the latter.
Way = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.intp]]


class Scores(NamedTuple):
    """Of all folds together.

    Args:
        accuracy: Share of the pixels that get their class.
        recall: The same, averaged over classes.
        iou: Intersection over union, averaged over classes.
    """

    accuracy: float
    recall: float
    iou: float


class Scene(NamedTuple):
    """Labelled pixels.

    Args:
        spectra: Good bands of the image (c, h, w) as they are.
        bands: The same, standardised where something is measured.
        components: Its components of minimum noise fraction (k, h, w), likewise.
        places: Row and column (n, 2) of the labelled pixels.
        targets: Class (n) from 0.
        classes: Number of classes.
    """

    spectra: NDArray[np.float32]
    bands: NDArray[np.float32]
    components: NDArray[np.float32]
    places: NDArray[np.intp]
    targets: NDArray[np.intp]
    classes: int

    def features(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the values (n, c) of one of the images."""
        return np.ascontiguousarray(image[:, self.places[:, 0], self.places[:, 1]].T)

    def patches(self) -> torch.Tensor:
        """Cut a patch of the bands around each place (n, c, p, p)."""
        reach = PATCH // 2
        padded = np.pad(self.bands, ((0, 0), (reach, reach), (reach, reach)), mode='reflect')
        windows = np.lib.stride_tricks.sliding_window_view(padded, (PATCH, PATCH), (1, 2))
        return torch.from_numpy(
            windows[:, self.places[:, 0], self.places[:, 1]].swapaxes(0, 1).copy()
        )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('image', type=Path)
    parser.add_argument('labels', type=Path)
    parser.add_argument('--output', type=Path, default=Path('hyperspectral'))
    parser.add_argument('--block', type=float, default=24, help='width of blocks in pixels')
    parser.add_argument('--networks', nargs='*', default=[], help='registered networks for maps')
    parser.add_argument('--epochs', type=int, default=60, help='of the networks')
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    compare(given.image, given.labels, given.output, given.block, given.networks, given.epochs)


def compare(
    image: Path, labels: Path, output: Path, block: float, networks: list[str], epochs: int
) -> dict[str, tuple[Scores, Scores]]:
    """Judge all ways.

    Args:
        image: The image.
        labels: Its labels.
        output: Folder for what is made on the way.
        block: Width of blocks in pixels.
        networks: Names of networks, from bands (b, c, h, w) to scores (b, k, h, w).
        epochs: How long to train them.

    Returns:
        Scores on blocks held out and at random, by way.
    """
    scene = read_scene(image, labels, output)
    held = list(blocks(scene, block))
    shuffled = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    random = list(shuffled.split(scene.places, scene.targets))
    counts = [f'{len(learned)}/{len(judged)}' for learned, judged in held]
    print(f'{len(scene.bands)} bands, {len(scene.targets)} labelled pixels, learned/judged in '
          f'each fold: {", ".join(counts)}')  # fmt: skip
    print('way | blocks held out: accuracy, mean recall, mean IoU | at random: the same')
    found = {}
    for name, way in ways(scene, networks, epochs):
        found[name] = judged(scene, way, held), judged(scene, way, random)
        shown = (' '.join(f'{score:.3f}' for score in scores) for scores in found[name])
        print(f'{name} | {" | ".join(shown)}')
    return found


def read_scene(image: Path, labels: Path, output: Path) -> Scene:
    """Read the good bands and the labels of pixels that are valid in all of them."""
    good = assess_bands(image, output / 'bands.html').good_bands
    numbers = [int(number) for number in good.split(',')]
    mnf = output / 'mnf.tif'
    reduce_bands(image, mnf, components=COMPONENTS, bands=numbers)
    with rasterio.open(image) as dataset:
        bands = dataset.read(numbers, out_dtype='float32')
        valid = dataset.read_masks(numbers).all(0)
    with rasterio.open(mnf) as dataset:
        components = dataset.read()
    with rasterio.open(labels) as dataset:
        values = dataset.read(1).astype(np.intp)
        valid &= (dataset.read_masks(1) > 0) & (values > 0)
    known = np.unique(values[valid])
    return Scene(
        bands,
        standardised(bands),
        standardised(components),
        np.argwhere(valid),
        np.searchsorted(known, values[valid]),
        len(known),
    )


def standardised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring bands to mean 0 and deviation 1; what is not measured becomes 0."""
    missing = ~np.isfinite(image) | (image == -32768)
    shown = np.ma.masked_array(image, missing)
    mean, std = (f(axis=(1, 2), keepdims=True) for f in (shown.mean, shown.std))
    return ((shown - mean) / std).filled(0).astype(np.float32)


def blocks(scene: Scene, block: float) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield what is learned from and what is judged in each fold of blocks."""
    for fold in range(FOLDS):
        split = BlockedSplit(folds=FOLDS, fold=fold, block_size=block)
        found = disjoint_patches(scene.places, scene.targets, scene.bands.shape[1:], PATCH, split)
        yield found.training, found.validation


def ways(scene: Scene, networks: list[str], epochs: int) -> Iterator[tuple[str, Way]]:
    """Yield each way and its name."""
    bands, components = scene.features(scene.bands), scene.features(scene.components)

    def pixelwise(features: NDArray[np.float32], fit: Callable[..., nn.Module]) -> Way:
        def run(learned: NDArray[np.intp], judged: NDArray[np.intp]) -> NDArray[np.intp]:
            fitted = fit(features[learned], scene.targets[learned], scene.classes)
            pixels = torch.from_numpy(features[judged]).T[None, :, :, None]
            with torch.inference_mode():
                return fitted(pixels)[0, :, :, 0].argmax(0).numpy()

        return run

    # angles are between spectra as they are
    spectra = scene.features(scene.spectra)
    yield 'spectral angle, bands', pixelwise(spectra, lambda *a: fit_spectra('angle', *a))
    for method, name in (('forest', 'random forest'), ('svm', 'SVM')):
        for features, of in ((bands, 'bands'), (components, f'{COMPONENTS} MNF components')):
            yield (
                f'{name}, {of}',
                pixelwise(features, lambda *a, m=method: fit_spectra(m, *a, trees=TREES)),
            )
    yield (
        f'logistic regression, {COMPONENTS} MNF components',
        pixelwise(components, lambda *a: fit_classifier('linear', *a)),
    )
    patches = scene.patches() if networks else torch.empty(0)
    for name in networks:

        def train(
            learned: NDArray[np.intp], judged: NDArray[np.intp], name: str = name
        ) -> NDArray[np.intp]:
            torch.manual_seed(0)
            rim = (PATCH - SIDES.get(name, PATCH)) // 2
            inner = averaged(patches[..., rim : PATCH - rim, rim : PATCH - rim], MEANS.get(name, 1))
            network = models[name](in_chans=inner.shape[1], num_classes=scene.classes)
            return trained(network, inner, scene.targets, learned, judged, epochs)

        means = f'means of {MEANS[name]} bands' if name in MEANS else 'bands'
        yield f'{name}, {means}, {epochs} epochs', train


def averaged(patches: torch.Tensor, number: int) -> torch.Tensor:
    """Average so many neighbouring bands of patches (n, c, p, p); a rest at the end is left out."""
    kept = patches.shape[1] // number * number
    return patches[:, :kept].unflatten(1, (-1, number)).mean(2)


def trained(
    network: nn.Module, patches: torch.Tensor, targets: NDArray[np.intp],
    learned: NDArray[np.intp], judged: NDArray[np.intp], epochs: int,
) -> NDArray[np.intp]:  # fmt: skip
    """Train a network on the pixel in the middle of each patch, and tell classes of others."""
    known = torch.from_numpy(targets)
    weight = 1 / torch.bincount(known[learned]).clamp(min=1)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    middle = patches.shape[-1] // 2
    for _ in range(epochs):
        network.train()
        for batch in torch.from_numpy(learned)[torch.randperm(len(learned))].split(BATCH):
            if len(batch) < 2:
                continue  # cannot be normalised
            shown = patches[batch]
            if torch.rand(1) < 0.5:
                shown = shown.flip(-1)
            scores = network(shown)[:, :, middle, middle]
            loss = nn.functional.cross_entropy(scores, known[batch], weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    network.eval()
    with torch.inference_mode():
        parts = torch.from_numpy(judged).split(256)
        found = [network(patches[part])[:, :, middle, middle].argmax(1) for part in parts]
    return torch.cat(found).numpy()


def judged(scene: Scene, way: Way, folds: Folds) -> Scores:
    """Run a way on all folds and score what it says of all pixels held out."""
    said, true = [], []
    for learned, held in folds:
        said.append(way(learned, held))
        true.append(scene.targets[held])
    matrix = confusion_matrix(
        np.concatenate(true), np.concatenate(said), labels=range(scene.classes)
    )
    right, labelled, told = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    return Scores(
        float(right.sum() / matrix.sum()),
        float((right / labelled).mean()),
        float((right / (labelled + told - right)).mean()),
    )


if __name__ == '__main__':
    main()
