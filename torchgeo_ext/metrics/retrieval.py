"""How well two kinds of things find each other by their embeddings: images, places, texts.

Axes: n pairs, m answers, q questions at once, d features.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.metrics._sphere import great_circle

#: Likenesses that are looked at at once.
_MOST = 2**24


class RetrievalEvaluator(Metric):
    """Recall, rank, precision and gain of retrieval in both directions, by cosine.

    Each first member of a pair asks for the second one among those of all pairs, then the other
    way round. With groups, all answers of the same group are right. Of equal likenesses those of
    wrong answers count as larger, so that a network that gives everything one embedding scores
    worst, not best.

    Args:
        ks: How many answers are looked at.
        radii: Kilometres; with coordinates, how often the first answer lies within them.
        names: Of the first and the second members, for the names of scores.
        kwargs: Further arguments of :class:`torchmetrics.Metric`.

    Raises:
        BadParameter: If a number of answers or a radius is not positive.
    """

    full_state_update = False
    first: list[Tensor]
    second: list[Tensor]
    groups: list[Tensor]
    coordinates: list[Tensor]

    def __init__(
        self,
        ks: Sequence[int] = (1, 5, 10),
        radii: Sequence[float] = (),
        names: tuple[str, str] = ('first', 'second'),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, values in (('ks', ks), ('radii', radii)):
            if any(value <= 0 for value in values):
                raise BadParameter(f'{name} is {list(values)}; all must be above 0.')
        self.ks = tuple(ks)
        self.radii = tuple(radii)
        self.names = names
        for state in ('first', 'second', 'groups', 'coordinates'):
            self.add_state(state, [], dist_reduce_fx='cat')

    def update(
        self,
        first: Tensor,
        second: Tensor,
        groups: Tensor | None = None,
        coordinates: Tensor | None = None,
    ) -> None:
        """Add pairs.

        Args:
            first: Embeddings (n, d) of any length.
            second: Of the other members, in the same order.
            groups: A whole number (n,) for each pair; in all updates or in none.
            coordinates: Longitude and latitude (n, 2) in degrees; in all updates or in none.

        Raises:
            BadInput: If the shapes do not go together.
        """
        if first.shape != second.shape or first.ndim != 2:
            raise BadInput(
                f'first has the shape {tuple(first.shape)} and second {tuple(second.shape)}; both '
                'must be (pairs, features).'
            )
        for name, given in (('groups', groups), ('coordinates', coordinates)):
            known: list[Tensor] = getattr(self, name)
            if (given is not None) != bool(known) and self.first:
                raise BadInput(f'{name} are given with some pairs only.', 'Give all or none.')
            if given is not None:
                if len(given) != len(first):
                    raise BadInput(f'There are {len(given)} {name}, but {len(first)} pairs.')
                known.append(given.detach())
        self.first.append(F.normalize(first.detach().float(), dim=1))
        self.second.append(F.normalize(second.detach().float(), dim=1))

    def compute(self) -> dict[str, Tensor]:
        """Compute the scores.

        Returns:
            For both directions, such as ``image_to_point_recall@1``: ``recall@k``, the share of
            right answers that are among the first k; ``ndcg@k``, which counts earlier ones more;
            ``map``, the mean average precision; ``median_rank`` of the first right answer, from 1.
            With coordinates also ``median_km`` between the place asked for and that of the first
            answer, and ``within_<radius>km``, the share of those that are near. ``candidates`` is
            how many answers there are: recall@k of guessing is k of them, the median rank about
            half of them.

        Raises:
            BadInput: If there are no pairs.
        """
        if not self.first:
            raise BadInput('There are no pairs to evaluate.', 'Give data to validate or test with.')
        first, second = dim_zero_cat(self.first), dim_zero_cat(self.second)
        groups = dim_zero_cat(self.groups) if self.groups else None
        scores = {'candidates': torch.tensor(float(len(first)), device=first.device)}
        for (name, questions), (other, answers) in (
            ((self.names[0], first), (self.names[1], second)),
            ((self.names[1], second), (self.names[0], first)),
        ):
            found = self._direction(questions, answers, groups)
            scores |= {f'{name}_to_{other}_{score}': value for score, value in found.items()}
        return scores

    def _direction(
        self, questions: Tensor, answers: Tensor, groups: Tensor | None
    ) -> dict[str, Tensor]:
        parts: list[Tensor] = []
        best: list[Tensor] = []
        for rows, likeness in _likenesses(questions, answers):
            if groups is None:
                parts.append(self._of_ranks(_ranks(likeness, rows)))
            else:
                parts.append(self._of_answers(_sorted(likeness, groups[rows, None] == groups)))
            best.append(likeness.argmax(dim=1))
        recall, gain, others = torch.cat(parts).split([len(self.ks), len(self.ks), 2], dim=1)
        scores = {f'recall@{k}': values.mean() for k, values in zip(self.ks, recall.T, strict=True)}
        scores |= {f'ndcg@{k}': values.mean() for k, values in zip(self.ks, gain.T, strict=True)}
        scores |= {'map': others[:, 0].mean(), 'median_rank': others[:, 1].quantile(0.5)}
        if self.coordinates:
            places = dim_zero_cat(self.coordinates).double()
            distance = great_circle(places, places[torch.cat(best)])
            scores['median_km'] = distance.quantile(0.5)
            scores |= {f'within_{r:g}km': (distance <= r).double().mean() for r in self.radii}
        return scores

    def _of_ranks(self, rank: Tensor) -> Tensor:
        """Score questions with a single right answer, whose rank (q,) is known.

        Returns:
            Recall and gain for each k, average precision and rank (q, 2 * ks + 2).
        """
        rank = rank.double()[:, None]
        reached = torch.tensor(self.ks, device=rank.device) >= rank
        return torch.cat([reached, reached / (1 + rank).log2(), 1 / rank, rank], dim=1)

    def _of_answers(self, right: Tensor) -> Tensor:
        """Score questions whose answers are right or not (q, m), best first, as ``_of_ranks``."""
        place = torch.arange(1, right.shape[1] + 1, device=right.device).double()
        number = right.sum(dim=1)
        seen = right.cumsum(dim=1)
        gains = 1 / (1 + place).log2()
        gain, ideal = (right * gains).cumsum(dim=1), gains.cumsum(dim=0)
        columns = []
        for k in self.ks:
            columns.append(seen[:, min(k, len(place)) - 1] / number)
        for k in self.ks:
            reachable = ideal[number.clamp(max=k) - 1]
            columns.append(gain[:, min(k, len(place)) - 1] / reachable)
        columns.append((seen / place * right).sum(dim=1) / number)
        columns.append(1.0 + right.int().argmax(dim=1).double())
        return torch.stack(columns, dim=1)


def _likenesses(questions: Tensor, answers: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the numbers (q,) of some questions and how alike all answers are to them (q, m)."""
    at_once = max(1, _MOST // len(answers))
    for rows in torch.arange(len(questions), device=questions.device).split(at_once):
        yield rows, questions[rows] @ answers.T


def _ranks(likeness: Tensor, right: Tensor) -> Tensor:
    """Give the ranks (q,), from 1, of single right answers (q,)."""
    return (likeness >= likeness.gather(1, right[:, None])).sum(dim=1)


def _sorted(likeness: Tensor, right: Tensor) -> Tensor:
    """Sort what is right (q, m) by likeness, wrong answers before equal right ones."""
    wrong_first = right.int().argsort(dim=1, stable=True)
    order = likeness.gather(1, wrong_first).argsort(dim=1, descending=True, stable=True)
    return right.gather(1, wrong_first).gather(1, order)
