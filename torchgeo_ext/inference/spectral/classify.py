"""Classes from known spectra: spectral angle, support vector machine, random forest.

Axis letters: b batch, c bands, h height, w width, k classes, n known spectra.
"""

import math
from typing import Any, Literal

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

Method = Literal['angle', 'svm', 'forest']

#: Spectra of each class that a support vector machine learns from; its time grows with their
#: square.
_MOST = 2000


class AngleClassifier(nn.Module):
    """Tells the class of the known spectrum at the smallest angle; brightness does not matter.

    Args:
        spectra: Known spectra (n, c).
        classes: Class of each (n), from 0.
        count: Number of classes.
        maximum: Pixels at a larger angle (radians) to all known spectra are of the class behind
            the last; None if all pixels shall get one.
    """

    units: Tensor

    def __init__(
        self,
        spectra: NDArray[np.floating],
        classes: NDArray[np.intp],
        count: int,
        maximum: float | None = None,
    ) -> None:
        super().__init__()
        # a known spectrum of zeros is at right angles to all
        lengths = np.linalg.norm(spectra, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        self.register_buffer('units', torch.from_numpy(spectra / lengths).float())
        self._members = [np.flatnonzero(classes == number).tolist() for number in range(count)]
        self._maximum = maximum

    def forward(self, x: Tensor) -> Tensor:
        """Give the cosine of the angle to each class (b, k, h, w)."""
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        unit = (x / length.clamp(min=1e-30)).flatten(2)
        cosines = (self.units @ unit).unflatten(2, x.shape[2:]).clamp(-1, 1)
        best = torch.stack([cosines[:, members].amax(1) for members in self._members], 1)
        if self._maximum is None:
            return best
        return torch.cat([best, torch.full_like(best[:, :1], math.cos(self._maximum))], 1)


class LearnedClassifier(nn.Module):
    """Runs a classifier of scikit-learn pixel by pixel, on the CPU.

    Args:
        fitted: The classifier.
        count: Number of classes; those it does not know get no score.
        score: Its method that scores pixels (n, c).
    """

    def __init__(self, fitted: Any, count: int, score: str) -> None:
        super().__init__()
        self._fitted, self._count = fitted, count
        self._score = getattr(fitted, score)

    def forward(self, x: Tensor) -> Tensor:
        """Give a score for each class (b, k, h, w)."""
        pixels = rearrange(x.cpu().numpy(), 'b c h w -> (b h w) c')
        found = self._score(pixels)
        if found.ndim == 1:  # of two classes one score is given
            found = np.stack([-found, found], 1)
        scores = np.full((len(pixels), self._count), -np.inf, np.float32)
        scores[:, self._fitted.classes_] = found
        shaped = rearrange(scores, '(b h w) k -> b k h w', b=len(x), h=x.shape[2])
        return torch.from_numpy(np.ascontiguousarray(shaped)).to(x.device)


def fit_spectra(
    method: Method,
    spectra: NDArray[np.floating],
    classes: NDArray[np.intp],
    count: int,
    *,
    trees: int = 300,
    cost: float = 100.0,
    maximum_angle: float | None = None,
    seed: int = 0,
) -> nn.Module:
    """Fit a classifier to known spectra. Classes weigh alike, however many spectra they have.

    Args:
        method: How.
        spectra: Known spectra (n, c).
        classes: Class of each (n), from 0.
        count: Number of classes k.
        trees: Of a forest.
        cost: Of a known spectrum on the wrong side, for a support vector machine (C).
        maximum_angle: See :class:`AngleClassifier`.
        seed: Of a forest, and of what is drawn from many spectra.
    """
    if method == 'angle':
        return AngleClassifier(spectra, classes, count, maximum_angle).eval()
    if method == 'forest':
        forest = RandomForestClassifier(
            trees, class_weight='balanced_subsample', random_state=seed, n_jobs=1
        )
        return LearnedClassifier(forest.fit(spectra, classes), count, 'predict_proba').eval()
    chosen = _drawn(classes, seed)
    machine = make_pipeline(StandardScaler(), SVC(C=cost, class_weight='balanced'))
    machine.fit(spectra[chosen], classes[chosen])
    return LearnedClassifier(machine, count, 'decision_function').eval()


def _drawn(classes: NDArray[np.intp], seed: int) -> NDArray[np.intp]:
    """Draw spectra of each class at random, if there are many."""
    random = np.random.default_rng(seed)
    drawn = [
        random.permutation(np.flatnonzero(classes == number))[:_MOST]
        for number in np.unique(classes)
    ]
    return np.sort(np.concatenate(drawn))
