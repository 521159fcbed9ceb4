"""Maps of what a network sees: one vector for each square of pixels.

Axes: b batch, c bands, d features, h height, w width, n vectors.
"""

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from sklearn.decomposition import PCA
from torch import Tensor, nn

from torchgeo_ext.errors import BadInput
from torchgeo_ext.inference.device import pick_device
from torchgeo_ext.inference.grid import Grid
from torchgeo_ext.inference.mask import MaskSource
from torchgeo_ext.inference.pipeline import Stage
from torchgeo_ext.inference.reader import RasterSource
from torchgeo_ext.inference.runner import ModelRunner
from torchgeo_ext.inference.tiles import TileReader
from torchgeo_ext.preprocessing import Preprocessing
from torchgeo_ext.progress import Progress

if TYPE_CHECKING:
    from torchgeo_ext.models.features import Backbone

#: Tiles and vectors that components are found from.
_TILES = 48
_VECTORS = 50_000
#: Red, green and blue.
_COLORS = 3
#: Share of the values of a component that a picture shows darkest, and brightest.
_STRETCH = 0.02


class RandomFeatures(nn.Module):
    """Random convolutional features (MOSAIKS): textures of every kind, none of them learnt.

    Rolf, E. et al. (2021). A generalizable and accessible approach to machine learning with global
    satellite imagery. https://doi.org/10.1038/s41467-021-24638-z

    Args:
        mean: Of each band (c); pixel values are standardised first.
        std: Likewise.
        reduction: Pixels, along one side, that one vector is the mean of.
        features: Number d, half of them for either sign of a filter's response.
        seed: Of the filters.

    Attributes:
        dimensions: d.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        reduction: int,
        features: int = 64,
        seed: int = 0,
    ) -> None:
        # importing TorchGeo's models takes seconds
        from torchgeo.models import RCF

        super().__init__()
        self.register_buffer('mean', torch.tensor(mean)[:, None, None])
        self.register_buffer('std', torch.tensor(std)[:, None, None])
        self.filters = RCF(len(mean), features, kernel_size=3, bias=0.0, seed=seed)
        self._reduction = reduction
        self.dimensions = 2 * len(self.filters.weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map stored pixel values (b, c, h, w) to vectors."""
        x = F.pad((x - self.mean) / self.std, (1, 1, 1, 1), mode='replicate')
        response = F.conv2d(x, self.filters.weights, self.filters.biases)
        both = torch.cat([response.clamp(min=0), -response.clamp(max=0)], dim=1)
        return F.avg_pool2d(both, self._reduction)


class StageFeatures(nn.Module):
    """One map of a backbone, or the mean of its last.

    Args:
        backbone: The network.
        stage: Number of the map; ``None`` for one vector for each image.
        seen: What is done to stored pixel values before; images stay as large as they are.
    """

    def __init__(self, backbone: 'Backbone', stage: int | None, seen: Preprocessing) -> None:
        super().__init__()
        self.backbone = backbone
        self._stage = stage
        self.prepare = seen.transform(resized=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map stored pixel values (b, c, h, w) to vectors."""
        x = self.prepare(x)
        if self._stage is None:
            vectors: Tensor = self.backbone.embed(x)
            return vectors[..., None, None]
        features: Tensor = self.backbone.feature_maps(x)[self._stage]
        return features


class Components(nn.Module):
    """An embedding turned to its principal components, and a picture of the first three.

    Args:
        embedding: Gives vectors.
        sample: Some of its vectors (n, d).
        count: Components to give, or as many as there are; 0 leaves the vectors as they are.

    Attributes:
        count: Components that are given.
        explained_variance: Share of the variance that they keep.
    """

    mean: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, embedding: nn.Module, sample: Tensor, count: int) -> None:
        super().__init__()
        self.embedding = embedding
        most = min(sample.shape)
        self.count = min(count, most)
        found = PCA(min(max(count, _COLORS), most), random_state=0).fit(sample.numpy())
        self.register_buffer('mean', torch.from_numpy(found.mean_).float())
        self.register_buffer('axes', torch.from_numpy(found.components_).float())
        shown = (sample - self.mean) @ self.axes[:_COLORS].T
        ends = torch.quantile(shown, torch.tensor([_STRETCH, 1 - _STRETCH]), dim=0)
        self.register_buffer('low', ends[0][:, None, None])
        self.register_buffer('high', ends[1][:, None, None])
        self.explained_variance = float(found.explained_variance_ratio_[: self.count].sum())

    def forward(self, x: Tensor) -> Tensor:
        """Map pixel values to vectors and, behind them, a picture of values 1 to 255."""
        vectors = self.embedding(x)
        turned = torch.einsum('kd,bdhw->bkhw', self.axes, vectors - self.mean[:, None, None])
        last = len(self.low) - 1
        shown = (turned[:, : len(self.low)] - self.low) / (self.high - self.low).clamp(min=1e-12)
        # of fewer than three components the last is shown again
        picture = 1 + 254 * shown.clamp(0, 1)[:, [0, min(1, last), min(2, last)]]
        return torch.cat([turned[:, : self.count] if self.count else vectors, picture], dim=1)


def sample_vectors(
    embedding: nn.Module,
    source: RasterSource,
    grid: Grid,
    *,
    tile_size: int,
    reduction: int,
    device: str,
    mask: MaskSource | None,
    progress: Progress,
) -> Tensor:
    """Compute the vectors of some tiles all over a raster.

    Args:
        embedding: From pixel values to vectors.
        source: The raster.
        grid: Its pixels.
        tile_size: Height and width of tiles in pixels.
        reduction: Pixels along one side for each vector.
        device: Where to compute.
        mask: Where vectors are of interest.
        progress: Told how far the work is.

    Returns:
        Vectors (n, d), on the CPU.

    Raises:
        BadInput: If no pixel is valid.
    """
    tiling = grid.coarser(reduction).tiles(tile_size // reduction, 0)
    tiles = list(tiling)
    most = _VECTORS // min(_TILES, len(tiles))
    chosen = np.random.default_rng(0).permutation(len(tiles))
    runner = ModelRunner(embedding, pick_device(device), 0, tile_size, reduction)
    vectors: list[Tensor] = []
    with (
        TileReader(
            [source], mask, grid, tiling, runner.channels_last, reduction=reduction
        ) as reader,
        runner.evaluating(),
        Stage(1, lambda: progress(len(vectors) / _TILES, 'Sampling')) as stage,
        closing(stage.map(reader.read, (tiles[number] for number in chosen), ahead=2)) as pixels,
    ):
        for tile in pixels:
            if tile.values is None:
                continue
            features = rearrange(runner([tile.values])[0].cpu(), 'd h w -> h w d')
            height, width = tile.valid.shape
            found = features[:height, :width][torch.from_numpy(tile.valid)]
            vectors.append(found[:: -(-len(found) // most)])
            if len(vectors) == _TILES:
                break
    if not vectors:
        raise BadInput(
            f'{source.argument}: {source.path} has no valid pixel in the area.',
            'Check nodata value, area and bands: a pixel has to be valid in all of them.',
        )
    return torch.cat(vectors)
