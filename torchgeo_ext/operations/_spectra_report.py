"""A page about some spectra: their profiles, and what was found of each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from torchgeo_ext.datasets._classes import LabelClass
from torchgeo_ext.inference.spectral.cube import Cube
from torchgeo_ext.operations._operation import StrPath
from torchgeo_ext.operations._profiles import profiles
from torchgeo_ext.staging import staged
from torchgeo_ext.tasks._page import page, table

#: The colour of what the spectra are compared with.
_BACKGROUND = '#999999'


def write_spectra(
    path: StrPath,
    title: str,
    lead: str,
    cube: Cube,
    spectra: NDArray[np.floating],
    legend: Sequence[LabelClass],
    rows: Sequence[Sequence[str]],
    *,
    background: NDArray[np.floating] | None = None,
) -> None:
    """Write a page with a plot and a table.

    Args:
        path: The page.
        title: Its title.
        lead: One sentence below it.
        cube: The bands.
        spectra: Values (c, k) in the units of the image.
        legend: Name and colour of each.
        rows: The table, whose first row has the headings.
        background: Mean spectrum (c) of the image, to be drawn too.
    """
    shown = [*spectra.T]
    if background is not None:
        shown.append(background)
        legend = [*legend, LabelClass(0, 'mean of the image', _BACKGROUND)]
    names, colors = [entry.name for entry in legend], [entry.color for entry in legend]
    sections = {
        'Spectral profiles': profiles(cube, np.stack(shown), names, colors),
        'Found': table(rows),
    }
    with staged(path, 'report') as part:
        part.write_text(page(title, lead, sections), encoding='utf-8')
