r"""Fewer bands that say nearly as much: principal components, minimum noise fraction.

Principal components (PCA) are uncorrelated combinations of the bands, each with as much variance as
possible. Of the minimum noise fraction (MNF) each has as much signal for its noise as possible:
with the covariances :math:`\Sigma` of the bands and :math:`\Sigma_n` of their noise, the axes solve
:math:`\Sigma w = \lambda \Sigma_n w`, the noise of each component has variance 1, and
:math:`\lambda - 1` is its signal-to-noise ratio (of variances).

An autoencoder finds curved combinations. Ours is the principal components plus what two small
networks, at first silent, add to them on the way there and on the way back; so it cannot rebuild
held-out spectra worse than they do.

References:
    Green, A. A., Berman, M., Switzer, P. & Craig, M. D. (1988). A transformation for ordering
    multispectral data in terms of image quality with implications for noise removal. IEEE
    Transactions on Geoscience and Remote Sensing 26(1), 65-74. https://doi.org/10.1109/36.3001

Axis letters: b batch, c bands, k components, h height, w width, n pixels.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy import linalg
from numpy.typing import NDArray
from scipy import linalg as scipy_linalg
from torch import Tensor, nn

from torchgeo_ext.inference.moments import Floats, Moments
from torchgeo_ext.inference.spectral.cube import (
    Cube,
    check_pixels,
    noise_moments,
    regularised,
    sample_pixels,
    signal_moments,
)
from torchgeo_ext.progress import Progress, portion, silent

logger = logging.getLogger(__name__)

Method = Literal['pca', 'mnf', 'autoencoder']

# training of autoencoders
_SPECTRA = 50_000
_HELD_OUT = 0.1
_HIDDEN = 64
_STEPS = 2000
_BATCH = 1024
_LEARNING_RATE = 2e-3
_LOOK_EVERY = 100
#: Principal components that an autoencoder's networks see; what is beyond them is noise.
_SEEN = 32


@dataclass(frozen=True)
class Reduction:
    """Linear combinations of bands, made by :func:`fit_pca` or :func:`fit_mnf`.

    Args:
        mean: Mean (c) of each band.
        axes: From centred bands to all components (c, c), strongest first.
        inverse: From all components to centred bands (c, c).
        strengths: Variance (c) of each component; for MNF in variances of its noise.
        covariance: Covariance (c, c) of the bands.
    """

    mean: Floats
    axes: Floats
    inverse: Floats
    strengths: Floats
    covariance: Floats

    def components(self, pixels: NDArray[np.floating], count: int) -> Floats:
        """Compute the first components (k, n) of pixels (c, n)."""
        return self.axes[:count] @ (pixels - self.mean[:, None])

    def restored(self, components: Floats) -> Floats:
        """Compute the bands (c, n) that the first components (k, n) alone give."""
        return self.inverse[:, : len(components)] @ components + self.mean[:, None]

    def kept(self, count: int) -> float:
        """Tell which share of the variance of the bands the first components give back."""
        lost = np.eye(len(self.mean)) - self.inverse[:, :count] @ self.axes[:count]
        return 1 - float(np.trace(lost @ self.covariance @ lost.T) / np.trace(self.covariance))

    def network(self, count: int) -> nn.Module:
        """Give the module that computes the first components of tiles."""
        return LinearComponents(self.mean, self.axes[:count])


class LinearComponents(nn.Module):
    """From bands (b, c, h, w) to linear combinations of them (b, k, h, w).

    Args:
        mean: Subtracted from each band (c).
        axes: The combinations (k, c).
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, mean: Floats, axes: Floats) -> None:
        super().__init__()
        self.register_buffer('mean', torch.from_numpy(mean).float()[:, None, None])
        self.register_buffer('axes', torch.from_numpy(axes.copy()).float())

    def forward(self, x: Tensor) -> Tensor:
        """Combine bands."""
        combined = self.axes @ (x - self.mean).flatten(2)
        return combined.unflatten(2, x.shape[2:])


def fit_pca(cube: Cube, *, standardise: bool = False, progress: Progress = silent) -> Reduction:
    """Find the principal components in one pass.

    Args:
        cube: The bands.
        standardise: Let all bands count alike, whatever their variance.
        progress: Told how far it is.

    Raises:
        BadInput: If there are too few pixels, or bands are constant.
    """
    moments = signal_moments(cube, progress)
    check_pixels(moments, cube)
    scale = np.sqrt(moments.variance) if standardise else np.ones(len(moments.mean))
    values, vectors = linalg.eigh(moments.covariance / np.outer(scale, scale))
    strengths, axes = values[::-1].clip(min=0), _facing(vectors.T[::-1])
    return Reduction(
        moments.mean, axes / scale, scale[:, None] * axes.T, strengths, moments.covariance
    )


def fit_mnf(cube: Cube, *, regularisation: float = 0.0, progress: Progress = silent) -> Reduction:
    """Find the components of minimum noise fraction in one pass.

    Args:
        cube: The bands.
        regularisation: Share of its variance that is added to the noise of each band; needed when
            the noise of bands depends on each other.
        progress: Told how far it is.

    Raises:
        BadInput: If there are too few pixels, or bands are constant or their noise depends on each
            other.
    """
    signal, noise = noise_moments(cube, progress)
    check_pixels(signal, cube)
    check_pixels(noise, cube)
    return solve_mnf(signal, regularised(noise.covariance, cube, regularisation))


def solve_mnf(signal: Moments, noise: Floats) -> Reduction:
    """Find the components of minimum noise fraction.

    Args:
        signal: Moments of the bands.
        noise: Covariance (c, c) of their noise.
    """
    values, vectors = scipy_linalg.eigh(signal.covariance, noise)
    axes = _facing(vectors.T[::-1])
    # the axes whiten the noise, so their transpose times its covariance undoes them
    return Reduction(signal.mean, axes, noise @ axes.T, values[::-1], signal.covariance)


def _facing(axes: Floats) -> Floats:
    """Give axes, which have no sign by themselves, that of the sum of their loadings."""
    result: Floats = axes * np.where(axes.sum(1) < 0, -1.0, 1.0)[:, None]
    return result


class Autoencoder(nn.Module):
    """Principal components, and what networks add to them.

    Args:
        pca: The principal components.
        count: Components k to give.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def __init__(self, pca: Reduction, count: int) -> None:
        super().__init__()
        seen = min(len(pca.mean), max(_SEEN, count))
        self.count = count
        self.register_buffer('mean', torch.from_numpy(pca.mean).float())
        self.register_buffer('axes', torch.from_numpy(pca.axes[:seen].copy()).float())
        strongest = float(pca.strengths[0]) ** 0.5
        self.register_buffer('scale', torch.tensor(strongest))
        self.encoder = _network(seen, count)
        self.decoder = _network(count, seen)

    def project(self, spectra: Tensor) -> Tensor:
        """Compute scaled principal components (n, seen) of spectra (n, c)."""
        return ((spectra - self.mean) @ self.axes.T) / self.scale

    def encode(self, projected: Tensor) -> Tensor:
        """Compute components (n, k) of principal ones (n, seen)."""
        added: Tensor = self.encoder(projected)
        return projected[..., : self.count] + added

    def decode(self, components: Tensor) -> Tensor:
        """Give the principal components (n, seen) that components (n, k) stand for."""
        added: Tensor = self.decoder(components)
        return nn.functional.pad(components, (0, added.shape[-1] - self.count)) + added

    def forward(self, x: Tensor) -> Tensor:
        """Map bands (b, c, h, w) to components (b, k, h, w) in the units of the bands."""
        components = self.encode(self.project(x.movedim(1, -1))) * self.scale
        return components.movedim(-1, 1)


def _network(inputs: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(_HIDDEN, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(inputs, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _HIDDEN), nn.GELU(), last
    )


@dataclass(frozen=True)
class FittedAutoencoder:
    """An autoencoder and how well it rebuilds spectra that were held out.

    Args:
        network: From bands to components.
        kept: Share of the variance of held-out spectra that comes back.
        kept_linear: The same for as many principal components.
    """

    network: Autoencoder
    kept: float
    kept_linear: float


def fit_autoencoder(
    cube: Cube, count: int, *, seed: int = 0, progress: Progress = silent
) -> FittedAutoencoder:
    """Find principal components in one pass, draw spectra in another, and train on these.

    Args:
        cube: The bands.
        count: Components k to give.
        seed: Of the spectra drawn and of the networks.
        progress: Told how far it is.

    Raises:
        BadInput: If there are too few pixels, or bands are constant.
    """
    pca = fit_pca(cube, progress=portion(progress, 0, 0.3))
    drawn = sample_pixels(cube, _SPECTRA, seed, portion(progress, 0.3, 0.6))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder(pca, count)
        spectra = torch.from_numpy(drawn.T.copy())
        spectra = spectra[torch.randperm(len(spectra))]
        held = max(1, int(_HELD_OUT * len(spectra)))
        with torch.no_grad():
            projected = network.project(spectra)
        centred = (spectra[:held] - network.mean) / network.scale
        # what the networks never see is lost in any case
        beyond = float(centred.square().sum() - projected[:held].square().sum())
        losses = list(
            _train(network, projected[held:], projected[:held], portion(progress, 0.6, 1))
        )
    total = float(centred.square().sum())
    kept = [1 - (loss * projected[:held].numel() + beyond) / total for loss in losses]
    logger.info(
        'Autoencoder: %.4f of the variance of held-out spectra comes back, %.4f of principal '
        'components alone',
        max(kept),
        kept[0],
    )
    return FittedAutoencoder(network.eval(), max(kept), kept[0])


def _train(
    network: Autoencoder, learned: Tensor, held: Tensor, progress: Progress
) -> Iterator[float]:
    """Train, leave the network as it was when best, and yield the losses on what was held out."""
    optimizer = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    lowest, best = np.inf, network.state_dict()
    for step in range(_STEPS + 1):
        if step % _LOOK_EVERY == 0:
            progress(step / _STEPS, 'Training the autoencoder')
            loss = _loss(network, held)
            yield loss
            if loss < lowest:
                lowest = loss
                best = {key: value.clone() for key, value in network.state_dict().items()}
        batch = learned[torch.randint(len(learned), (_BATCH,))]
        optimizer.zero_grad()
        rebuilt = network.decode(network.encode(batch))
        nn.functional.mse_loss(rebuilt, batch).backward()
        optimizer.step()
        schedule.step()
    network.load_state_dict(best)


@torch.no_grad()
def _loss(network: Autoencoder, held: Tensor) -> float:
    return float(nn.functional.mse_loss(network.decode(network.encode(held)), held))
