"""How much the scores of frozen networks depend on how their input is resized and normalised.

python recipes/classification/normalisation/run.py --dataset EuroSAT --root data/eurosat
python recipes/classification/normalisation/run.py --dataset tiles  [--networks statistics rcf ...]

Images go through a network that is not trained; what it makes of them is classified by the nearest
neighbours and by a linear model. Every network sees them in the size they have and enlarged, and
normalised in several ways. See README.md.
"""

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torchgeo import datasets
from torchgeo.models import RCF, get_weight

from torchgeo_ext.datamodules import SceneDataModule
from torchgeo_ext.errors import BadParameter, MissingWeights
from torchgeo_ext.hub import weights_file
from torchgeo_ext.models.features import backbone_features
from torchgeo_ext.models.inputs import preprocessing_of
from torchgeo_ext.sensors import find_bands

log = logging.getLogger(__name__)

DEMO = Path(__file__).parents[2] / 'demo' / 'data'
#: Sentinel-2 stores reflectance times this, and a byte holds up to the other.
DIGITAL, BYTE = 10_000.0, 255.0
#: Pixels along a side that images are enlarged to.
LARGE = 224
NEIGHBOURS = 5
FILTERS = 512
BATCH = 32
NORMALISATIONS = ('divided', 'standardised', 'between extremes', 'as in pre-training')

SENTINEL2 = (
    'B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B10', 'B11', 'B12',
)  # fmt: skip
RGB = ('red', 'green', 'blue')


@dataclass(frozen=True)
class Part:
    """Images (n, c, h, w), stored values, and their labels: numbers (n,) or memberships (n, k)."""

    images: Tensor
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """What is learned from and what is judged by.

    Args:
        name: Of the dataset.
        bands: Names of the bands.
        divisor: What stored values are divided by to come near 0 to 1.
        train: Examples.
        test: What is classified.
    """

    name: str
    bands: tuple[str, ...]
    divisor: float
    train: Part
    test: Part


@dataclass(frozen=True)
class Published:
    """A dataset of TorchGeo.

    Args:
        bands: Names of the bands of a sample.
        divisor: See :class:`Data`.
        splits: What to learn from and what to judge by.
        arguments: Further arguments of its class.
    """

    bands: tuple[str, ...]
    divisor: float
    splits: tuple[str, str]
    arguments: dict[str, Any]


DATASETS = {
    'EuroSAT': Published(
        SENTINEL2, DIGITAL, ('train', 'test'), {'bands': SENTINEL2}
    ),
    'So2Sat': Published(
        ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12'), 1.0,
        ('train', 'test'), {'version': '3_random', 'bands': datasets.So2Sat.BAND_SETS['s2']},
    ),
    'UCMerced': Published(RGB, BYTE, ('train', 'test'), {}),
    'RESISC45': Published(RGB, BYTE, ('train', 'test'), {}),
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """Something that makes vectors of images.

    Args:
        bands: Names of the bands it wants; all there are if empty.
        build: Makes it, for a number of bands, from examples (n, c, h, w).
        prepare: What was done to images in its pre-training, if there was one.
    """

    bands: tuple[str, ...]
    build: Callable[[int, Tensor], Callable[[Tensor], Tensor]]
    prepare: Callable[[Tensor], Tensor] | None = None


def main() -> None:
    """Print the scores of all networks on a dataset, and keep them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--dataset', choices=['tiles', 'folder', *DATASETS], default='tiles')
    parser.add_argument('--root', type=Path, default=Path('data'))
    parser.add_argument('--networks', nargs='+', choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument('--sizes', nargs='+', type=int, default=[0, LARGE])
    parser.add_argument('--most', type=int, default=0, help='examples of each part; 0 for all')
    parser.add_argument('--output', type=Path, default=Path('normalisation.json'))
    given = parser.parse_args()
    logging.basicConfig(format='%(message)s')
    data = load(given.dataset, given.root, given.most)
    rows = list(benchmark(data, given.networks, given.sizes))
    print(table(rows))
    given.output.write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')


def load(name: str, root: Path, most: int = 0) -> Data:
    """Read a dataset.

    Args:
        name: ``tiles`` of the demo's scene, a ``folder`` of one's own with a folder for each class,
            or one of :data:`DATASETS`.
        root: Where it is.
        most: Examples of each part to read at most, drawn at random; 0 for all.
    """
    if name not in DATASETS:
        return _own(name, root)
    known = DATASETS[name]
    parts = []
    for split in known.splits:
        dataset = getattr(datasets, name)(root=root, split=split, **known.arguments)
        numbers = np.random.default_rng(0).permutation(len(dataset))[: most or None]
        samples = [dataset[int(number)] for number in numbers]
        images = torch.stack([sample['image'].float() for sample in samples])
        parts.append(Part(images, np.array([sample['label'].numpy() for sample in samples])))
    return Data(name, known.bands, known.divisor, *parts)


def _own(name: str, root: Path) -> Data:
    """Cut the scene of the demo into tiles, or take a folder; blocks of land are held out."""
    if name == 'tiles':
        module = SceneDataModule(
            images=str(DEMO / 'sentinel2_*.tif'), labels=str(DEMO / 'land_use.gpkg'),
            class_field='LULC_ID', ignore_value=0, tiles=True, tile_size=8,
        )  # fmt: skip
    else:
        module = SceneDataModule(folder=str(root))
    module.setup('fit')
    parts = []
    for numbers in (module.training, module.held_out):
        samples = [module.examples[number] for number in numbers]
        images = torch.stack([sample['image'] for sample in samples])
        parts.append(Part(images, np.array([int(sample['label']) for sample in samples])))
    divisor = DIGITAL if float(parts[0].images.max()) > BYTE else BYTE
    return Data(name, tuple(band.name for band in module.described), divisor, *parts)


def benchmark(
    data: Data, networks: Sequence[str], sizes: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield a row of scores for each network, size and normalisation.

    Args:
        data: The dataset.
        networks: Names in :data:`NETWORKS`; those whose weights or bands are not there are left
            out with a warning.
        sizes: Pixels along a side; 0 is the size that images have.
    """
    for name in networks:
        try:
            network = NETWORKS[name]()
            chosen = list(find_bands(network.bands, data.bands)) if network.bands else ...
        except (BadParameter, MissingWeights) as error:
            log.warning('%s is left out: %s', name, error)
            continue
        train, test = data.train.images[:, chosen], data.test.images[:, chosen]
        for size in sizes:
            for normalisation, normalise in _normalisations(train, data.divisor, network):
                seen, judged = (_prepared(images, size, normalise) for images in (train, test))
                embed = network.build(seen.shape[1], seen)
                vectors = [_embed(embed, images) for images in (seen, judged)]
                yield {
                    'dataset': data.name, 'network': name, 'size': size or train.shape[-1],
                    'normalisation': normalisation, 'dimensions': vectors[0].shape[1],
                } | _scores(*vectors, data.train.labels, data.test.labels)  # fmt: skip


def _normalisations(
    train: Tensor, divisor: float, network: Network
) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    """Yield ways to normalise, by the figures of the examples."""
    axes = (0, 2, 3)
    mean, std = (
        value[:, None, None] for value in (train.mean(axes), train.std(axes).clamp_min(1e-6))
    )
    low, high = train.amin(axes)[:, None, None], train.amax(axes)[:, None, None]
    yield NORMALISATIONS[0], lambda images: images / divisor
    yield NORMALISATIONS[1], lambda images: (images - mean) / std
    yield NORMALISATIONS[2], lambda images: (images - low) / (high - low).clamp_min(1e-6)
    if network.prepare is not None:
        yield NORMALISATIONS[3], network.prepare


def _prepared(images: Tensor, size: int, normalise: Callable[[Tensor], Tensor]) -> Tensor:
    """Resize images first, as the publication does, then normalise them."""
    if size and size != images.shape[-1]:
        images = F.interpolate(images, (size, size), mode='bilinear', antialias=True)
    return normalise(images)


def _embed(network: Callable[[Tensor], Tensor], images: Tensor) -> NDArray[Any]:
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in images.split(BATCH)]).numpy()


def _scores(
    seen: NDArray[Any], judged: NDArray[Any], labels: NDArray[Any], truth: NDArray[Any]
) -> dict[str, float]:
    """Classify vectors (n, d): overall accuracy, of several labels micro average precision."""
    found = {}
    linear: Any = LogisticRegression(max_iter=1000)
    if labels.ndim == 2:
        linear = OneVsRestClassifier(linear)
    for name, probe in (
        ('neighbours', KNeighborsClassifier(NEIGHBOURS)),
        ('neighbours, scaled', make_pipeline(StandardScaler(), KNeighborsClassifier(NEIGHBOURS))),
        ('linear', make_pipeline(StandardScaler(), linear)),
    ):
        probe.fit(seen, labels)
        if labels.ndim == 1:
            found[name] = float(probe.score(judged, truth))
        else:
            chances = probe.predict_proba(judged)
            if isinstance(chances, list):  # of neighbours, one for each label
                chances = np.stack([each[:, -1] for each in chances], axis=1)
            found[name] = float(average_precision_score(truth, chances, average='micro'))
    return found


def statistics(images: Tensor) -> Tensor:
    """Describe images (n, c, h, w) by mean, deviation, maximum and minimum of each band."""
    axes = (-2, -1)
    parts = images.mean(axes), images.std(axes), images.amax(axes), images.amin(axes)
    return torch.cat(parts, dim=1)


class _Examples(datasets.NonGeoDataset):
    """Images as TorchGeo's random features take them, to draw filters from."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {'image': self.images[index]}


def random_filters(mode: str) -> Network:
    """Convolve with random filters, or with whitened pieces of the examples (MOSAIKS)."""

    def build(bands: int, examples: Tensor) -> nn.Module:
        drawn = _Examples(examples) if mode == 'empirical' else None
        return RCF(bands, FILTERS, 3, seed=0, mode=mode, dataset=drawn).eval()

    return Network((), build)


def untrained(backbone: str, seed: int) -> Network:
    """Take a network with random weights."""

    def build(bands: int, examples: Tensor) -> Callable[[Tensor], Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return backbone_features(backbone, None, bands).eval().embed

    return Network((), build)


def imagenet(backbone: str) -> Network:
    """Take timm's weights; filters of three colours are repeated over other bands by timm."""
    network = backbone_features(f'tu-{backbone}', True, 3)
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))

    def build(bands: int, examples: Tensor) -> Callable[[Tensor], Tensor]:
        return network.eval().embed

    def prepare(images: Tensor) -> Tensor:
        # stretched to 8 bits between two deviations, as photographs are
        low, high = (images.mean((0, 2, 3)) + s * 2 * images.std((0, 2, 3)) for s in (-1, 1))
        share = (images - low[:, None, None]) / (high - low)[:, None, None]
        return (share.clamp(0, 1) - mean[:, None, None]) / std[:, None, None]

    return Network(RGB, build, prepare)


def pretrained(backbone: str, name: str) -> Network:
    """Take published weights, and what was done in their pre-training."""
    weights = get_weight(name)
    weights_file(weights)
    network, known = backbone_features(backbone, weights).eval(), preprocessing_of(weights)

    def build(bands: int, examples: Tensor) -> Callable[[Tensor], Tensor]:
        return network.embed

    # sizes are those of the benchmark
    steps = [
        step
        for step in (weights.transforms or ())
        if type(step).__name__ not in ('Resize', 'CenterCrop')
    ]
    values = nn.Sequential(*steps) if known is None else known.transform(resized=False)
    return Network(tuple(weights.meta['bands']), build, lambda images: values(images.clone()))


NETWORKS: dict[str, Callable[[], Network]] = {
    'statistics': lambda: Network((), lambda bands, examples: statistics),
    'rcf': lambda: random_filters('gaussian'),
    'rcf, whitened': lambda: random_filters('empirical'),
    'untrained ResNet-18': lambda: untrained('tu-resnet18', 0),
    'untrained ResNet-50': lambda: untrained('tu-resnet50', 0),
    'ImageNet ResNet-50': lambda: imagenet('resnet50'),
    'SeCo ResNet-50, RGB': lambda: pretrained('resnet50', 'ResNet50_Weights.SENTINEL2_RGB_SECO'),
    'MoCo ResNet-50, RGB': lambda: pretrained('resnet50', 'ResNet50_Weights.SENTINEL2_RGB_MOCO'),
    'MoCo ResNet-50': lambda: pretrained('resnet50', 'ResNet50_Weights.SENTINEL2_ALL_MOCO'),
    'SoftCon ResNet-50': lambda: pretrained('resnet50', 'ResNet50_Weights.SENTINEL2_ALL_SOFTCON'),
    'SatMAE++ ViT-L': lambda: pretrained(
        'satmaepp_sentinel2_vitl', 'SatMAEPP_Weights.SENTINEL2_FMOW_MAE'
    ),
}  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Put rows into a table of Markdown."""
    heads = list(rows[0])
    lines = [heads, ['---'] * len(heads)]
    lines += [
        [f'{v:.3f}' if isinstance(v, float) else str(v) for v in row.values()] for row in rows
    ]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


if __name__ == '__main__':
    main()
