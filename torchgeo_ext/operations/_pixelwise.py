"""Maps of classifiers that look at each pixel by itself."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torchgeo_ext.operations._operation import ClassEntry, Styles
from torchgeo_ext.progress import Progress, portion

if TYPE_CHECKING:
    from torch import nn

    from torchgeo_ext.inference import Grid, MaskSource, RasterSource

#: Height and width of what is classified at once.
TILE = 512


def map_classes(
    classifier: 'nn.Module',
    source: 'RasterSource',
    grid: 'Grid',
    classes: Sequence[ClassEntry],
    *,
    model: str,
    mask: 'MaskSource | None',
    device: str,
    output: Any,
    confidence: Any = None,
    polygons: Any,
    minimum_area: float,
    tile_size: int = TILE,
    progress: Progress,
) -> tuple[Styles, dict[str, float]]:
    """Write a map of classes, and confidence and polygons if they are wanted.

    Args:
        classifier: From the bands of the source to one score for each class.
        source: What it reads.
        grid: Pixels to write.
        classes: The classes, in the order of the scores.
        model: What the map came from, for its metadata.
        mask: Where to classify.
        device: Where to compute.
        output: The map to write.
        confidence: Raster of the highest score to write, or None.
        polygons: The GeoPackage to write, or None.
        minimum_area: Leave out smaller polygons, in square metres.
        tile_size: Height and width of what is classified at once.
        progress: Told how far the work is.

    Returns:
        A style per output, and square metres by name of the class.
    """
    from torchgeo_ext.inference import RasterClass, RasterOutput, predict_raster
    from torchgeo_ext.inference.style import write_style
    from torchgeo_ext.operations._change import ground_by_value, outline_values
    from torchgeo_ext.operations._predict import probability_style

    tags = {'model': model, 'classes': json.dumps([*classes])}
    legend = [RasterClass(**entry) for entry in classes]
    outputs = [RasterOutput(str(output), 'classes', legend, tags=tags)]
    styles: Styles = {'output': {'type': 'classes', 'classes': [*classes]}}
    if confidence is not None:
        outputs.append(
            RasterOutput(str(confidence), 'confidence', tags=tags, argument='confidence')
        )
        styles['confidence'] = probability_style()
    share = 0.85 if polygons else 0.99
    predict_raster(
        classifier,
        source,
        grid,
        outputs,
        tile_size=tile_size,
        merge='crop',
        device=device,
        mask=mask,
        progress=portion(progress, 0, share),
    )
    for written, style in zip(outputs, styles.values(), strict=True):
        write_style(written.path, style)
    if polygons is not None:
        styles['polygons'] = outline_values(
            output, polygons, classes, minimum_area, portion(progress, share, 1)
        )
    ground = ground_by_value(output)
    areas = {entry['name']: ground.get(entry['value'], (0, 0.0))[1] for entry in classes}
    return styles, areas
