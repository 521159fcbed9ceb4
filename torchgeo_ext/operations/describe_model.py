"""Tell what a model is, without loading it."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from torchgeo_ext.operations._checks import one_of
from torchgeo_ext.operations._operation import Bundle, StrPath, file_out, model_for, operation
from torchgeo_ext.staging import staged

if TYPE_CHECKING:
    from torchgeo_ext.bundles import BundleInfo
    from torchgeo_ext.ready import ReadyModel


class DescribeModelResult(NamedTuple):
    """Result of :func:`describe_model`.

    Attributes:
        name: Name of the model.
        description: What it was made for.
        task: What it does: segmentation, change, regression, semantic_change, building_damage,
            map_update or geolocation.
        dates: How many images of one place it reads at once.
        band_count: How many bands it reads of each image; 0 if any number will do.
        bands: Their names, separated by commas.
        class_count: How many classes it tells apart.
        classes: Value, name and colour of each class, as JSON.
        resolution_minimum: Finest ground resolution it should be used with, in metres, if known.
        resolution_maximum: Coarsest ground resolution it should be used with, in metres, if known.
        tile_size: Side of the square tiles it reads, in pixels.
        license: Licence of the weights.
        citation: How to cite it, or where it is described.
        parameters: How many numbers the network has learnt, if known.
        size: Size of all files together, in bytes, if known.
        details: Everything known of it, as JSON.
    """

    output: str | None
    name: str
    description: str
    task: str
    dates: int
    band_count: int
    bands: str
    class_count: int
    classes: str
    resolution_minimum: float | None
    resolution_maximum: float | None
    tile_size: int
    license: str
    citation: str
    parameters: int | None
    size: int | None
    details: str


@operation(
    label='Describe model',
    group='Models',
    tags=('bundle', 'bands', 'classes', 'licence', 'resolution', 'weights', 'information'),
    checks=(one_of('bundle', 'model'),),
)
def describe_model(
    *,
    bundle: Bundle | None = None,
    model: Annotated[str, model_for('')] | None = None,
    output: Annotated[StrPath, file_out('json')] | None = None,
) -> DescribeModelResult:
    """Tell what a model does, which bands it needs, which classes it knows and who may use it.

    Args:
        bundle: Your own trained model: the model.json of its folder, a .zip of that folder, or a
            Lightning checkpoint (.ckpt).
        model: A published model or a method by name, instead of a bundle.
        output: Where to write everything known of it as JSON.
    """
    from torchgeo_ext.bundles import describe_bundle
    from torchgeo_ext.ready import ready_model

    if bundle is not None:
        result = _of_bundle(describe_bundle(bundle))
    else:
        result = _of_published(ready_model(str(model)))
    if output is None:
        return result
    with staged(output) as part:
        part.write_text(result.details + '\n', encoding='utf-8')
    return result._replace(output=str(Path(output)))


def _of_bundle(info: 'BundleInfo') -> DescribeModelResult:
    card = info.card
    return DescribeModelResult(
        output=None,
        name=card.name,
        description=card.description,
        task=card.task,
        dates=card.dates,
        band_count=len(card.bands),
        bands=', '.join(band.name for band in card.bands),
        class_count=len(card.classes),
        classes=json.dumps([dataclasses.asdict(entry) for entry in card.classes]),
        resolution_minimum=card.resolution_minimum,
        resolution_maximum=card.resolution_maximum,
        tile_size=card.tile_size,
        license=card.license,
        citation=card.citation,
        parameters=info.parameters,
        size=info.size,
        details=_json({**dataclasses.asdict(card), 'files': info.files}),
    )


def _of_published(ready: 'ReadyModel') -> DescribeModelResult:
    classes = [
        {'value': value, 'name': name, 'color': color}
        for value, (name, color) in enumerate(ready.classes, ready.first_value)
    ]
    return DescribeModelResult(
        output=None,
        name=ready.name,
        description=ready.title,
        task=ready.task,
        dates=ready.dates,
        band_count=len(ready.bands),
        bands=', '.join(band.name for band in ready.bands),
        class_count=len(classes),
        classes=json.dumps(classes),
        resolution_minimum=ready.resolution[0] or None,
        resolution_maximum=ready.resolution[1] or None,
        tile_size=ready.tile_size,
        license=ready.license,
        citation=ready.source,
        parameters=None,
        size=None,
        details=_json(dataclasses.asdict(ready)),
    )


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(_spelled(facts), indent=1, ensure_ascii=False, allow_nan=False)


def _spelled(value: Any) -> Any:
    """Spell NaN and infinity, which nodata may be and JSON does not have."""
    if isinstance(value, Mapping):
        return {str(key): _spelled(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
