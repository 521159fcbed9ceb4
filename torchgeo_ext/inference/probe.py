"""What vectors of places tell of a target, at places beside and far from those learned from.

Axes: n samples, d features.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.inference.globe import blocks
from torchgeo_ext.samplers.blocked_split import choose_folds

#: ``linear``: ridge or logistic regression. ``network``: two hidden layers. ``neighbours``: the
#: samples with the nearest vectors.
Method = Literal['linear', 'network', 'neighbours']

#: Strengths of regularisation a ridge regression chooses from.
_ALPHAS = np.logspace(-2, 5, 15)
_HIDDEN = (64, 64)
#: Samples, and samples of the rarest class, from which on a network holds some out to know when
#: to end.
_ENOUGH, _ENOUGH_OF_CLASS = 200, 10
#: Blocks are as large as leaves this many with samples, or this many per fold, between these sides
#: in metres.
_WANTED, _WANTED_PER_FOLD = 24, 4
_LARGEST, _SMALLEST = 2_048_000.0, 125.0


@dataclass(frozen=True)
class Probe:
    """A small model from vectors to a target.

    Args:
        method: How, see :data:`Method`.
        classify: Whether the target is a class.
        neighbours: For ``neighbours``: how many.
        seed: Of the first weights of a network.
    """

    method: Method
    classify: bool
    neighbours: int = 5
    seed: int = 0

    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> Any:
        """Fit it.

        Args:
            features: (n, d).
            target: (n,) numbers, or numbers of classes.

        Returns:
            A model of scikit-learn.

        Raises:
            BadInput: If all samples are of one class.
        """
        if self.classify and len(np.unique(target)) < 2:
            raise BadInput(
                'target: what is left to learn from has only one class when a part of the places '
                'is held out.',
                'Choose fewer folds or smaller blocks, or add samples.',
            )
        model = make_pipeline(StandardScaler(), self._model(target))
        with warnings.catch_warnings():
            # that a network could go on learning is no fault
            warnings.simplefilter('ignore', ConvergenceWarning)
            return model.fit(features, target)

    def predict_held_out(
        self,
        features: NDArray[Any],
        target: NDArray[Any],
        folds: NDArray[np.int64],
        report: Callable[[float], None] = lambda fraction: None,
    ) -> NDArray[Any]:
        """Predict each sample from those of the other folds.

        Args:
            features: (n, d).
            target: (n,).
            folds: Fold of each sample (n,).
            report: Told the share that is done.
        """
        predicted = np.empty_like(target)
        numbers = np.unique(folds)
        for done, number in enumerate(numbers):
            report(done / len(numbers))
            held = folds == number
            predicted[held] = self.fit(features[~held], target[~held]).predict(features[held])
        return predicted

    def _model(self, target: NDArray[Any]) -> Any:
        if self.method == 'linear':
            return LogisticRegression(max_iter=1000) if self.classify else RidgeCV(_ALPHAS)
        if self.method == 'neighbours':
            kind = KNeighborsClassifier if self.classify else KNeighborsRegressor
            return kind(min(self.neighbours, len(target)), weights='distance')
        enough = len(target) >= _ENOUGH
        options = {'hidden_layer_sizes': _HIDDEN, 'max_iter': 500, 'random_state': self.seed}
        if self.classify:
            rarest = np.unique(target, return_counts=True)[1].min()
            return MLPClassifier(early_stopping=enough and rarest >= _ENOUGH_OF_CLASS, **options)
        # a network learns targets of any unit once they are standardised
        network = MLPRegressor(early_stopping=enough, **options)
        return TransformedTargetRegressor(network, transformer=StandardScaler())


class Scores(NamedTuple):
    """How well a target was predicted, all folds pooled.

    Attributes:
        main: R2, which is 1 for a perfect prediction and 0 for the mean; of classes F1, as the
            mean of the classes.
        error: Root of the mean squared error; of classes the share that is wrong.
        absolute_error: Mean absolute error; of classes nothing.
    """

    main: float
    error: float
    absolute_error: float | None


def scores(target: NDArray[Any], predicted: NDArray[Any], *, classify: bool) -> Scores:
    """Compare predictions (n,) with a target (n,)."""
    if classify:
        f1 = f1_score(target, predicted, average='macro')
        return Scores(float(f1), 1 - float(accuracy_score(target, predicted)), None)
    squared = float(np.mean((target - predicted) ** 2))
    return Scores(
        float(r2_score(target, predicted)),
        squared**0.5,
        float(mean_absolute_error(target, predicted)),
    )


class SpatialFolds(NamedTuple):
    """Folds of whole blocks of land.

    Attributes:
        folds: Fold of each sample (n,).
        side: Height and width of a block in metres.
        number: Blocks that have samples.
    """

    folds: NDArray[np.int64]
    side: float
    number: int


def spatial_folds(
    places: NDArray[np.float64],
    classes: NDArray[np.int64] | None,
    count: int,
    side: float | None,
    seed: int,
) -> SpatialFolds:
    """Deal blocks of land out to folds, so that neighbours are not asked about each other.

    Roberts, D. R. et al. (2017). Cross-validation strategies for data with temporal, spatial,
    hierarchical, or phylogenetic structure. https://doi.org/10.1111/ecog.02881

    Args:
        places: Longitude and latitude (n, 2).
        classes: Class of each sample (n,), of which each fold gets its share; None without.
        count: Number of folds.
        side: Height and width of a block in metres; None for the largest that leaves some for
            every fold.
        seed: Another seed, other folds.

    Raises:
        BadInput: If there are fewer samples than folds, or all lie together.
        BadParameter: If blocks of the wanted size are fewer than folds.
    """
    if len(places) < count:
        raise BadInput(
            f'points: {len(places)} have a place and a target, fewer than {count} folds.',
            'Give more points, or ask for fewer folds.',
        )
    chosen = _side(places, count) if side is None else side
    keys, block = np.unique(blocks(places, chosen), return_inverse=True)
    if len(keys) < count and side is not None:
        raise BadParameter(
            f'block_size: all points lie in {len(keys)} blocks of {side:g} m, fewer than {count} '
            'folds.',
            'Choose smaller blocks or fewer folds, or leave it out.',
        )
    if len(keys) < count:
        raise BadInput(
            f'points: all lie at {len(keys)} places, fewer than {count} folds.',
            'Give points of more places, or ask for fewer folds.',
        )
    group = np.zeros(len(places), np.int64) if classes is None else classes
    histograms = np.zeros((len(keys), group.max() + 1), np.int64)
    np.add.at(histograms, (block, group), 1)
    return SpatialFolds(choose_folds(histograms, count, seed)[block], chosen, len(keys))


def random_folds(
    number: int, classes: NDArray[np.int64] | None, count: int, seed: int
) -> NDArray[np.int64]:
    """Deal samples out to folds wherever they lie, as most published scores do.

    Args:
        number: Number of samples n.
        classes: Class of each sample (n,); None without.
        count: Number of folds.
        seed: Another seed, other folds.
    """
    folds = np.zeros(number, np.int64)
    common = classes is not None and np.bincount(classes).min() >= count
    kind = StratifiedKFold if common else KFold
    parts = kind(count, shuffle=True, random_state=seed).split(np.zeros(number), classes)
    for fold, (_, held) in enumerate(parts):
        folds[held] = fold
    return folds


def _side(places: NDArray[np.float64], count: int) -> float:
    wanted = max(_WANTED, _WANTED_PER_FOLD * count)
    side = _LARGEST
    while side > _SMALLEST and len(np.unique(blocks(places, side))) < wanted:
        side /= 2
    return side
