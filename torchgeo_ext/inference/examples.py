"""Classifiers that are fitted in moments to the pixels of a few examples.

Axes: b batch, d features, h height, w width, k classes, n example pixels.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

#: ``linear``: multinomial logistic regression. ``prototypes``: the nearest mean of a class.
#: ``neighbours``: the classes of the nearest examples.
Method = Literal['linear', 'prototypes', 'neighbours']

#: Example pixels that neighbours are searched among; more of them make no better map, but cost time
#: at every pixel.
_MOST_NEIGHBOURS = 2048
#: Distances held at once.
_DISTANCES = 2**22
#: Parts of the image that are held out one after the other.
_PARTS = 5


class ExampleClassifier(nn.Module):
    """From features to the probabilities of classes.

    Args:
        mean: Mean (d) of the features.
        std: Standard deviation (d) of the features.
        head: From standardised features (b, d, h, w) to probabilities (b, k, h, w).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, head: nn.Module) -> None:
        super().__init__()
        self.register_buffer('mean', mean[:, None, None])
        self.register_buffer('std', std[:, None, None])
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map features (b, d, h, w) to probabilities (b, k, h, w)."""
        probabilities: Tensor = self.head((x - self.mean) / self.std)
        return probabilities


class _Linear(nn.Module):
    """Softmax of a linear map."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer('weight', weight[..., None, None])
        self.register_buffer('bias', bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias).softmax(dim=1)


class _Neighbours(nn.Module):
    """Shares of the votes of the nearest examples; a vote weighs less the more a class has."""

    examples: Tensor
    votes: Tensor

    def __init__(self, examples: Tensor, classes: Tensor, count: int, neighbours: int) -> None:
        super().__init__()
        self._neighbours = min(neighbours, len(examples))
        chosen = F.one_hot(classes, count).to(examples)
        self.register_buffer('examples', examples)
        self.register_buffer('votes', chosen / chosen.sum(0).clamp(min=1))

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        pixels = x.movedim(1, -1).flatten(0, 2)
        step = max(1, _DISTANCES // len(self.examples))
        votes = torch.cat([self._vote(part) for part in pixels.split(step)])
        return votes.view(batch, height, width, -1).movedim(-1, 1)

    def _vote(self, pixels: Tensor) -> Tensor:
        # the length of a pixel's own vector does not change which examples are nearest
        near = torch.addmm(self.examples.square().sum(1), pixels, self.examples.T, alpha=-2)
        nearest = near.topk(self._neighbours, largest=False, sorted=False).indices
        votes = F.embedding_bag(nearest, self.votes, mode='sum')
        return votes / votes.sum(1, keepdim=True)


def fit_classifier(
    method: Method,
    features: NDArray[np.float32],
    classes: NDArray[np.intp],
    count: int,
    neighbours: int = 5,
) -> ExampleClassifier:
    """Fit a classifier to example pixels. Classes weigh alike, however many examples they have.

    Args:
        method: How, see :data:`Method`.
        features: Of the examples (n, d).
        classes: Class of each (n), from 0; each of the ``count`` classes should occur.
        count: Number of classes k.
        neighbours: For ``neighbours``, how many vote.
    """
    examples = torch.from_numpy(features)
    mean, std = _moments(examples)
    scaled = (examples - mean) / std
    if method == 'neighbours':
        chosen = _thinned(classes, count)
        head: nn.Module = _Neighbours(
            scaled[chosen], torch.from_numpy(classes[chosen]), count, neighbours
        )
    elif method == 'prototypes':
        head = _prototypes(scaled, torch.from_numpy(classes), count)
    else:
        head = _logistic(scaled, classes, count)
    return ExampleClassifier(mean, std, head).eval()


def fit_clusters(sample: Tensor, count: int, seed: int = 0) -> ExampleClassifier:
    """Find groups of alike pixels without knowing any class (k-means).

    Args:
        sample: Features of some pixels (n, d).
        count: Number of groups k; no more than n.
        seed: Of the first guess.

    Returns:
        Tells the nearest group of each pixel. Neighbouring numbers stand for alike groups.
    """
    mean, std = _moments(sample)
    scaled = (sample - mean) / std
    fitted = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=seed).fit(
        scaled.numpy()
    )
    centres = torch.from_numpy(fitted.cluster_centers_).to(scaled)
    # along the direction in which they differ most
    direction = torch.linalg.svd(centres - centres.mean(0), full_matrices=False).Vh[0]
    direction = direction * direction.sum().sign()
    centres = centres[(centres @ direction).argsort()]
    head = _Linear(centres, -centres.square().sum(1) / 2)
    return ExampleClassifier(mean, std, head).eval()


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Give mean and standard deviation (d) of features (n, d); 1 where they never change."""
    std = features.std(0, correction=0)
    return features.mean(0), std.where(std > 0, 1.0)


def _thinned(classes: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Choose examples evenly from each class."""
    most = max(1, _MOST_NEIGHBOURS // count)
    kept = []
    for number in range(count):
        (places,) = np.nonzero(classes == number)
        kept.append(places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)])
    return np.concatenate(kept)


def _prototypes(scaled: Tensor, classes: Tensor, count: int) -> _Linear:
    """Make normal distributions of equal, round shape around the mean of each class."""
    chosen = F.one_hot(classes, count).to(scaled)
    means = (chosen.T @ scaled) / chosen.sum(0).clamp(min=1)[:, None]
    variance = (scaled - means[classes]).square().mean().clamp(min=1e-6)
    bias = -means.square().sum(1) / (2 * variance)
    # a class without examples is nowhere the likeliest
    return _Linear(means / variance, bias.where(chosen.sum(0) > 0, -torch.inf))


def _logistic(scaled: Tensor, classes: NDArray[np.intp], count: int) -> _Linear:
    fitted = LogisticRegression(class_weight='balanced', max_iter=1000)
    fitted.fit(scaled.numpy(), classes)
    weight, bias = torch.from_numpy(fitted.coef_), torch.from_numpy(fitted.intercept_)
    if len(weight) == 1:  # of two classes only the difference is fitted
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    all_weights = scaled.new_zeros(count, scaled.shape[1])
    all_biases = scaled.new_full((count,), -torch.inf)
    all_weights[fitted.classes_], all_biases[fitted.classes_] = weight.to(scaled), bias.to(scaled)
    return _Linear(all_weights, all_biases)


def held_out_accuracy(
    method: Method,
    features: NDArray[np.float32],
    classes: NDArray[np.intp],
    places: NDArray[np.float64],
    count: int,
    neighbours: int = 5,
) -> float | None:
    """Tell how well examples are classified by those of other parts of the image.

    The image is cut into parts of neighbouring examples. The pixels of each are classified by what
    the rest teaches, as neighbours would be too easy.

    Args:
        method: As in :func:`fit_classifier`.
        features: Of the examples (n, d).
        classes: Class of each (n).
        places: Column and row (n, 2) of the middle of the example that a pixel belongs to.
        count: Number of classes.
        neighbours: As in :func:`fit_classifier`.

    Returns:
        Share of the pixels that get the right class, averaged over classes; ``None`` if there are
        too few examples.
    """

    def fit(known: NDArray[np.float32], theirs: NDArray[np.intp]) -> nn.Module:
        return fit_classifier(method, known, theirs, count, neighbours)

    return accuracy_elsewhere(fit, features, classes, places)


def accuracy_elsewhere(
    fit: Callable[[NDArray[np.float32], NDArray[np.intp]], nn.Module],
    features: NDArray[np.float32],
    classes: NDArray[np.intp],
    places: NDArray[np.float64],
) -> float | None:
    """Tell how well a classifier does in parts of the image that it has not seen.

    Args:
        fit: Makes a classifier, from features (b, d, h, w) to scores (b, k, h, w), of examples.
        features: Of the examples (n, d).
        classes: Class of each (n).
        places: Column and row (n, 2) of the middle of the example that a pixel belongs to.

    Returns:
        Share of the pixels that get the right class, averaged over classes; ``None`` if there are
        too few examples.
    """
    different = len(np.unique(places, axis=0))
    if different < 2:
        return None
    parts = KMeans(min(_PARTS, different), n_init=4, random_state=0).fit_predict(places)
    right = np.zeros(len(classes), bool)
    for part in np.unique(parts):
        held = parts == part
        if len(np.unique(classes[~held])) < 2:
            return None
        fitted = fit(features[~held], classes[~held])
        with torch.inference_mode():
            scores = fitted(torch.from_numpy(features[held]).T[None, :, :, None])
        right[held] = scores[0, :, :, 0].argmax(0).numpy() == classes[held]
    shares = [right[classes == number].mean() for number in np.unique(classes)]
    return float(np.mean(shares))
