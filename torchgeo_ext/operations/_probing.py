"""Judges how well a target follows from vectors of places, beside ways without an encoder."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.cells import unit_vectors
from torchgeo_ext.inference.probe import (
    Probe,
    Scores,
    SpatialFolds,
    random_folds,
    scores,
    spatial_folds,
)
from torchgeo_ext.operations._location import Vectors
from torchgeo_ext.operations._targets import Targets
from torchgeo_ext.progress import Progress


class Way(NamedTuple):
    """A way to predict, and how well it does.

    Attributes:
        name: What it does, for people.
        spatial: Scores with whole blocks held out.
        random: Scores with points held out wherever they lie.
    """

    name: str
    spatial: Scores
    random: Scores


@dataclass(frozen=True)
class Judged:
    """What came of a cross-validation.

    Args:
        ways: The encoder first, then ways without one.
        spatial: The blocks.
        predicted: Predictions by the encoder while the block was held out, of points that are
            known (n,).
        classify: Whether the target is a class.
    """

    ways: list[Way]
    spatial: SpatialFolds
    predicted: NDArray[Any]
    classify: bool

    @property
    def headings(self) -> tuple[str, ...]:
        """What the scores are called."""
        return ('f1', 'error_rate') if self.classify else ('r2', 'rmse', 'mae')

    def describe(self) -> list[dict[str, Any]]:
        """Give the scores of all ways as JSON has them."""
        return [
            {'way': way.name}
            | {
                f'{heading}_{held}': value
                for held, found in (('spatial', way.spatial), ('random', way.random))
                for heading, value in zip(self.headings, found, strict=False)
            }
            for way in self.ways
        ]


def evaluate(
    probe: Probe,
    targets: Targets,
    vectors: Vectors,
    folds: int,
    block_size: float | None,
    progress: Progress,
) -> Judged:
    """Cross-validate, with blocks of land and with points held out.

    Args:
        probe: The model.
        targets: The points.
        vectors: Vector of each point (n, d).
        folds: In how many parts.
        block_size: Side of a block in metres; None to choose.
        progress: Told how far the work is.
    """
    places, values = targets.places[targets.known], targets.values[targets.known]
    spatial = spatial_folds(places, targets.classes, folds, block_size, probe.seed)
    random = random_folds(len(values), targets.classes, folds, probe.seed)
    ways, first = [], None
    candidates = list(_ways(probe, places, vectors[targets.known]))
    for number, (name, model, features) in enumerate(candidates):
        found = []
        for part, held in enumerate((spatial.folds, random)):
            done = number + part / 2

            def report(fraction: float, done: float = done) -> None:
                progress((done + fraction / 2) / len(candidates), 'Cross-validating')

            predicted = model.predict_held_out(features, values, held, report)
            first = predicted if first is None else first
            found.append(scores(values, predicted, classify=targets.classify))
        ways.append(Way(name, *found))
    assert first is not None
    return Judged(ways, spatial, first, targets.classify)


def _ways(
    probe: Probe, places: NDArray[np.float64], vectors: Vectors
) -> Iterator[tuple[str, Probe, NDArray[Any]]]:
    yield f'encoder, {probe.method}', probe, vectors
    yield f'longitude and latitude, {probe.method}', probe, places
    nearest = replace(probe, method='neighbours')
    # on the globe, where straight lines and great circles have the same order
    yield f'the {probe.neighbours} nearest points', nearest, unit_vectors(places)
