"""Writes what a training was and how good its result is, as one HTML page without outside parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.datamodules._pictures import paint
from torchgeo_ext.tasks._fit import Fitted
from torchgeo_ext.tasks._masked import Scores
from torchgeo_ext.tasks._page import facts, page, sentences, table
from torchgeo_ext.tasks._pictures import curves, png

_NOTHING = '\N{EN DASH}'


#: Below the table of scores.
_ON_SCORES = (
    '<p class="small">Means are over the classes that occur in the hold-out. Precision: share of '
    'what was called a class that is it (user&#39;s accuracy). Recall: share of a class that was '
    'found (producer&#39;s accuracy).</p>'
)


class ReportClass(NamedTuple):
    """One row of the table of classes."""

    value: int
    name: str
    color: str
    training: int
    validation: int


class Sample(NamedTuple):
    """One tile of the hold-out: its images (h, w, 3) by title, label and prediction (h, w)."""

    images: Mapping[str, NDArray[Any]]
    label: NDArray[Any]
    prediction: NDArray[Any]


class SplitMap(NamedTuple):
    """Where the blocks are: an image (h, w, 3) and what each pixel is used for (h, w)."""

    title: str
    image: NDArray[Any]
    roles: NDArray[Any]


@dataclass(frozen=True)
class Report:
    """What a report tells.

    Args:
        title: Name of the model.
        lead: One sentence below it.
        files: Rows of the table of files; the first has the headings.
        classes: The classes.
        fitted: The training.
        maps: The hold-out on a map.
        samples: Tiles of the hold-out.
        facts: Parameters, sizes and versions by name.
        notes: Sentences a reader must know.
        counted: What is counted: pixels, or whole examples.
    """

    title: str
    lead: str
    files: Sequence[Sequence[str]]
    classes: Sequence[ReportClass]
    fitted: Fitted[Scores]
    maps: Sequence[SplitMap]
    samples: Sequence[Sample]
    facts: Mapping[str, Any]
    notes: Sequence[str]
    counted: str = 'pixels'

    def html(self) -> str:
        """Give the page."""
        sections = {
            '': self._numbers(),
            'Data': table(self.files) + self._class_table(),
            'Hold-out': split_maps(self.maps),
            'Training': curves(self.fitted.epochs, self.fitted.best),
            'Classes on the hold-out': self._scores(),
            # where several classes hold at once, none stands for another
            **({'Confusion': self._confusion()} if self.fitted.scores.matrix.ndim == 2 else {}),
            'Samples of the hold-out': self._samples(),
            'Parameters': facts(self.facts),
            'What to know': sentences(self.notes),
        }
        return page(self.title, self.lead, sections)

    def _numbers(self) -> str:
        scores, best = self.fitted.scores, self.fitted.best
        numbers = {
            'overall accuracy': _percent(scores.overall_accuracy),
            'mean IoU': f'{scores.mean_iou:.3f}',
            'mean F1': f'{scores.mean_f1:.3f}',
            'best epoch': f'{best.number} of {len(self.fitted.epochs)}',
        }
        return numbers_of(numbers)

    def _class_table(self) -> str:
        heads = ('class', 'value', f'training {self.counted}', f'hold-out {self.counted}')
        rows = [
            (chip(c), str(c.value), f'{c.training:,}', f'{c.validation:,}') for c in self.classes
        ]
        return table([heads, *rows], escaped=True)

    def _scores(self) -> str:
        scores = self.fitted.scores
        heads = ('class', 'IoU', 'F1', 'precision', 'recall', self.counted)
        columns = (scores.iou, scores.f1, scores.precision, scores.recall)
        rows = [
            (chip(entry), *(number(c[i]) for c in columns), f'{int(scores.labelled[i]):,}')
            for i, entry in enumerate(self.classes)
        ]
        means = (
            number(scores.mean_iou),
            number(scores.mean_f1),
            *(number(np.nanmean(c)) if not np.isnan(c).all() else _NOTHING for c in columns[2:]),
        )
        total = f'{int(scores.labelled.sum()):,}'
        return table([heads, *rows, ('mean', *means, total)], escaped=True) + _ON_SCORES

    def _confusion(self) -> str:
        scores = self.fitted.scores
        heads = ('label ↓ prediction →', *(escape(entry.name) for entry in self.classes), 'recall')
        rows = [
            ''.join(
                [
                    f'<td>{chip(entry)}</td>',
                    *(
                        _cell(scores.matrix[i, j], scores.labelled[i], scores.predicted[j], i == j)
                        for j in range(len(self.classes))
                    ),
                    f'<td>{_percent(scores.recall[i])}</td>',
                ]
            )
            for i, entry in enumerate(self.classes)
        ]
        precision = ''.join(f'<td>{_percent(value)}</td>' for value in scores.precision)
        overall = _percent(scores.overall_accuracy)
        head = ''.join(f'<th>{word}</th>' for word in heads)
        lines = ''.join(f'<tr>{row}</tr>' for row in rows)
        counted = self.counted.capitalize()
        return (
            f'<table><tr>{head}</tr>{lines}<tr><td>precision</td>{precision}<td>{overall}</td></tr>'
            f'</table><p class="small">{counted}, and their share of the row | of the column.</p>'
        )

    def _samples(self) -> str:
        colors = [entry.color for entry in self.classes]
        pictures, titles = [], []
        for sample in self.samples:
            row = dict(sample.images) | {
                'label': paint(sample.label, colors),
                'prediction': paint(sample.prediction, colors),
            }
            titles = list(row)
            pictures += [f'<img src="{png(picture)}" alt="{t}">' for t, picture in row.items()]
        columns = f'repeat({len(titles)}, minmax(0, 13rem))'
        heads = ''.join(f'<span class="small">{title}</span>' for title in titles)
        return (
            f'<div class="pictures" style="grid-template-columns: {columns}">{heads}'
            f'{"".join(pictures)}</div><p class="small">White: not labelled, or not held out.</p>'
        )


def numbers_of(numbers: Mapping[str, str]) -> str:
    """Show a few numbers of the hold-out by name, large."""
    cells = ''.join(f'<div><b>{number}</b>{name}</div>' for name, number in numbers.items())
    return f'<div class="numbers">{cells}</div><p class="small">On the hold-out.</p>'


def split_maps(maps: Sequence[SplitMap]) -> str:
    """Show what land was used for."""
    figures = ''.join(
        f'<figure><img src="{png(_overlay(entry))}" alt="Blocks">'
        f'<figcaption>{escape(entry.title)}</figcaption></figure>'
        for entry in maps
    )
    return (
        '<p class="small">Blue: to learn from. Red: held out. Dark: next to those, used for '
        'neither. Not coloured: no labels.</p>'
        f'<div class="map">{figures}</div>'
    )


def _overlay(entry: SplitMap) -> NDArray[Any]:
    """Tint an image by what its pixels are used for: UNUSED, TRAINING, VALIDATION, MARGIN."""
    tints = np.array([[1, 1, 1], [0.25, 0.5, 1], [1, 0.2, 0.2], [0, 0, 0]])
    strengths = np.array([0, 0.3, 0.45, 0.5])[entry.roles][..., None]
    tinted: NDArray[Any] = entry.image * (1 - strengths) + tints[entry.roles] * strengths
    return tinted


def chip(entry: ReportClass) -> str:
    """Name a class beside its colour."""
    return f'<span class="chip" style="background:{entry.color}"></span>{escape(entry.name)}'


def _cell(count: float, labelled: float, predicted: float, right: bool) -> str:
    share = count / labelled if labelled else 0.0
    shares = f'{_percent(share)} | {_percent(count / predicted if predicted else 0.0)}'
    color = '34, 136, 51' if right else '204, 51, 51'
    text = f'{int(count):,}<br><span class="small">{shares}</span>'
    return f'<td style="background: rgba({color}, {share * 0.6:.2f})">{text}</td>'


def _percent(value: float) -> str:
    return _NOTHING if np.isnan(value) else f'{100 * value:.1f} %'


def number(value: float) -> str:
    """Write a score; a dash if there is none."""
    return _NOTHING if np.isnan(value) else f'{value:.3f}'
