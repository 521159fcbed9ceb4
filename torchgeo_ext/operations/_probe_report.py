"""The report of a prediction from places, as HTML or JSON."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from torchgeo_ext.operations._probing import Judged
from torchgeo_ext.operations._targets import Targets
from torchgeo_ext.staging import staged
from torchgeo_ext.tasks._page import facts, page, sentences, table

_TITLES = {
    'r2': 'R2', 'rmse': 'RMSE', 'mae': 'mean absolute error', 'f1': 'F1 (mean of classes)',
    'error_rate': 'share that is wrong',
}  # fmt: skip


def write_report(path: Any, settings: Mapping[str, Any], judged: Judged, targets: Targets) -> None:
    """Write a report.

    Args:
        path: The file; its name tells the format.
        settings: What was done, by name.
        judged: The cross-validation.
        targets: The points.
    """
    known = {
        'points learned from': int(targets.known.sum()),
        'points without place or value': int((~targets.known).sum()),
        'parts': int(judged.spatial.folds.max()) + 1,
        'blocks with points': judged.spatial.number,
        'side of a block (m)': judged.spatial.side,
    } | _about(targets)
    notes = list(_notes(judged))
    with staged(path, 'report') as part:
        if Path(path).suffix.lower() == '.json':
            told = {'settings': settings, 'data': known, 'scores': judged.describe()}
            part.write_text(json.dumps(told | {'notes': notes}, indent=2), encoding='utf-8')
            return
        shown = {
            '': _scores(judged),
            'Data': facts(known),
            'Settings': facts(settings),
            'What to know': sentences(notes),
        }
        lead = f'{settings["target"]}, from the places of {known["points learned from"]:,} points.'
        part.write_text(page('Prediction from location', lead, shown), encoding='utf-8')


def _about(targets: Targets) -> dict[str, Any]:
    values = targets.values[targets.known]
    if targets.classify:
        counts = np.bincount(values, minlength=len(targets.legend)).tolist()
        return {f'points of {e.name}': n for e, n in zip(targets.legend, counts, strict=True) if n}
    return {
        'mean of the target': float(values.mean()),
        'standard deviation of the target': float(values.std()),
    }


def _scores(judged: Judged) -> str:
    titles = [_TITLES[heading] for heading in judged.headings]
    heads = [f'{title}, {held}' for held in ('blocks', 'random') for title in titles]
    rows = [
        [way.name, *(f'{value:.3f}' for value in (*way.spatial, *way.random) if value is not None)]
        for way in judged.ways
    ]
    return table([['way', *heads], *rows])


def _notes(judged: Judged) -> Iterator[str]:
    yield (
        f'Blocks: whole blocks of {judged.spatial.side:,.0f} m were held out, one part of them '
        'after the other. This is what counts for places that have no points near by.'
    )
    yield (
        'Random: single points were held out, most of which have a neighbour that was learned '
        'from. Such scores are too high for maps of places without points.'
    )
    yield (
        'Predictions of all parts are pooled before a score is computed. Points just beyond the '
        'edge of a block were learned from.'
    )
    own, best = judged.ways[0], max(judged.ways[1:], key=lambda way: way.spatial.main)
    if own.spatial.main <= best.spatial.main:
        yield (
            f'With blocks held out the encoder is no better than "{best.name}", which needs none: '
            'it is of no use for this target and these points.'
        )
