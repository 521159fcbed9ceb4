"""Searches an area or a layer for places like some references, and writes what it finds."""

from typing import Any

import numpy as np

from torchgeo_ext.inference.features import FeatureWriter
from torchgeo_ext.inference.points import PointLayer
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.inference.writer import RasterLayout
from torchgeo_ext.operations._location import PlaceEncoder, PlaceGrid
from torchgeo_ext.operations._location_rasters import each_window, optional_raster
from torchgeo_ext.operations._operation import Style, Styles
from torchgeo_ext.operations._similarity import Candidates, Likeness, Ranked
from torchgeo_ext.operations._vector_columns import style_features
from torchgeo_ext.progress import Progress

#: Share of the similarities that is drawn darkest, and brightest.
_STRETCH = 0.02


def search_cells(
    cells: PlaceGrid, encoder: PlaceEncoder, likeness: Likeness, output: Any, progress: Progress
) -> Candidates:
    """Compare the cells of a grid, and write their similarity if a raster is wanted.

    Args:
        cells: The grid.
        encoder: Gives vectors.
        likeness: Compares them.
        output: The raster, or None.
        progress: Told how far the work is.

    Raises:
        BadInput: If nothing is left to compare.
    """
    found = Candidates()
    layout = RasterLayout(
        1, np.dtype('float32'), np.nan, descriptions=['similarity'], tags=encoder.tags
    )
    with optional_raster(output, cells, layout) as write:
        for window, vectors in each_window(cells, encoder, progress, 'Comparing'):
            places = cells.places(window).reshape(-1, 2)
            similarity, distance = likeness(vectors.reshape(len(places), -1), places)
            found.add(cells.numbers(window).ravel(), similarity, places, distance)
            write(window, similarity.reshape(1, window.height, window.width))
        likeness.check(found)
    return found


def search_candidates(
    layer: PointLayer, encoder: PlaceEncoder, likeness: Likeness, progress: Progress
) -> Candidates:
    """Compare the points of a layer.

    Args:
        layer: The points.
        encoder: Gives vectors.
        likeness: Compares them.
        progress: Told how far the work is.

    Raises:
        BadInput: If nothing is left to compare.
    """
    found, done = Candidates(), 0
    for batch in layer.batches([]):
        progress(done / layer.number, 'Comparing')
        similarity, distance = likeness(encoder(batch.places), batch.places)
        numbers = np.arange(done, done + len(similarity))
        found.add(numbers, similarity, batch.places, distance)
        done += len(similarity)
    likeness.check(found)
    return found


def similarity_style(path: Any, found: Candidates) -> Style:
    """Give a raster of similarity a style that shows most of its range, and return it."""
    low, high = found.quantiles([_STRETCH, 1 - _STRETCH])
    style: Style = {'type': 'range', 'minimum': low, 'maximum': high, 'ramp': 'viridis'}
    write_style(path, style)
    return style


def write_best(path: Any, source: PointLayer | PlaceGrid, best: Ranked) -> Styles:
    """Write the most similar places with rank, similarity and distance, and give their style.

    Args:
        path: The layer to write.
        source: What they were chosen from.
        best: Which they are.
    """
    with FeatureWriter(path, 'places') as writer:
        called = writer.add(source.rows(best.numbers), best.columns())
    style: Style = {
        'type': 'range', 'field': called['similarity'], 'ramp': 'plasma',
        'minimum': float(best.similarity.min()), 'maximum': float(best.similarity.max()),
    }  # fmt: skip
    return style_features(path, 'places', style)
