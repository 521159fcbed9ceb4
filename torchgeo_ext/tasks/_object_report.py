"""Writes what a training to find objects was and how good its result is, as one HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.tasks._fit import Fitted
from torchgeo_ext.tasks._objects import ObjectScores
from torchgeo_ext.tasks._page import facts, page, sentences, table
from torchgeo_ext.tasks._pictures import curves, outlined, png
from torchgeo_ext.tasks._report import ReportClass, SplitMap, chip, number, numbers_of, split_maps

#: Colour of labelled objects in pictures.
_LABELLED = '#ffffff'

#: Below the table of scores.
_ON_SCORES = (
    '<p class="small">AP: average precision, mean over overlaps (intersection over union) from 0.5 '
    'to 0.95; AP at 0.5: for the overlap 0.5 alone. Precision and recall: of objects with a score '
    'of 0.5 and more, for the overlap 0.5.</p>'
)


class ObjectSample(NamedTuple):
    """A tile of the hold-out: image (h, w, 3), and the corners (k, 2) of objects.

    Those that were found have the number of a class each.
    """

    image: NDArray[Any]
    labelled: Sequence[NDArray[Any]]
    found: Sequence[NDArray[Any]]
    classes: Sequence[int]


@dataclass(frozen=True)
class ObjectReport:
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
    """

    title: str
    lead: str
    files: Sequence[Sequence[str]]
    classes: Sequence[ReportClass]
    fitted: Fitted[ObjectScores]
    maps: Sequence[SplitMap]
    samples: Sequence[ObjectSample]
    facts: Mapping[str, Any]
    notes: Sequence[str]

    def html(self) -> str:
        """Give the page."""
        sections = {
            '': self._numbers(),
            'Data': table(self.files) + self._class_table(),
            'Hold-out': split_maps(self.maps),
            'Training': curves(self.fitted.epochs, self.fitted.best),
            'Classes on the hold-out': self._scores(),
            'Samples of the hold-out': self._samples(),
            'Parameters': facts(self.facts),
            'What to know': sentences(self.notes),
        }
        return page(self.title, self.lead, sections)

    def _numbers(self) -> str:
        scores, best = self.fitted.scores, self.fitted.best
        return numbers_of(
            {
                'mAP': number(scores.map),
                'mAP at 0.5': number(scores.map_50),
                'objects': f'{int(scores.labelled.sum()):,}',
                'best epoch': f'{best.number} of {len(self.fitted.epochs)}',
            }
        )

    def _class_table(self) -> str:
        heads = ('class', 'value', 'training objects', 'hold-out objects')
        rows = [
            (chip(c), str(c.value), f'{c.training:,}', f'{c.validation:,}') for c in self.classes
        ]
        return table([heads, *rows], escaped=True)

    def _scores(self) -> str:
        scores = self.fitted.scores
        heads = ('class', 'AP', 'AP at 0.5', 'precision', 'recall', 'objects')
        columns = (scores.ap, scores.ap_50, scores.precision, scores.recall)
        rows = [
            (chip(entry), *(number(c[i]) for c in columns), f'{int(scores.labelled[i]):,}')
            for i, entry in enumerate(self.classes)
        ]
        return table([heads, *rows], escaped=True) + _ON_SCORES

    def _samples(self) -> str:
        colors = [entry.color for entry in self.classes]
        pictures = []
        for sample in self.samples:
            labelled = outlined(sample.image, sample.labelled, [_LABELLED] * len(sample.labelled))
            shown = [colors[number] for number in sample.classes]
            found = outlined(sample.image, sample.found, shown)
            for title, picture in (('labels', labelled), ('found', found)):
                pictures.append(f'<img src="{png(np.asarray(picture))}" alt="{title}">')
        heads = '<span class="small">labels</span><span class="small">found</span>'
        return (
            '<div class="pictures" style="grid-template-columns: repeat(2, minmax(0, 20rem))">'
            f'{heads}{"".join(pictures)}</div><p class="small">Objects of the hold-out; '
            'found ones with a score of 0.5 and more.</p>'
        )
