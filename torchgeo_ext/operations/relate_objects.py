"""Tell what objects have to do with each other, as a table and as lines between them."""

import json
import logging
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations._operation import (
    ADVANCED,
    FeaturesOut,
    File,
    Fraction,
    Label,
    Polygons,
    StrPath,
    Styles,
    field_of,
    file_out,
    operation,
    within,
)
from torchgeo_ext.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from torchgeo_ext.inference.features import FeatureTable
    from torchgeo_ext.inference.relations import Pairs

log = logging.getLogger(__name__)

#: Columns of a table of known relations.
_COLUMNS = ('from', 'to', 'relation')
#: Class of all objects where there is no field with classes.
_NAMELESS = 'object'


class RelateObjectsResult(NamedTuple):
    """Result of :func:`relate_objects`.

    Attributes:
        relations_count: Relations written.
        counts: Number of relations by name, as JSON.
        pairs: Pairs of objects that were looked at.
        mean_recall: Share of known relations that is told where it was not learned from, mean over
            relations, 0 to 1; NaN if nothing was learned or all is in one place.
        recall: The same by name of the relation, as JSON.
    """

    output: str
    table: str | None
    model_output: str | None
    relations_count: int
    counts: str
    pairs: int
    mean_recall: float
    recall: str
    styles: Styles


@operation(
    label='Relate objects',
    group='Objects',
    tags=('scene graph', 'relations', 'neighbours', 'adjacency', 'STAR', 'triplets'),
)
def relate_objects(
    objects: Polygons,
    output: Annotated[FeaturesOut, Label('Relations')],
    *,
    class_field: Annotated[str, field_of('objects')] | None = None,
    id_field: Annotated[str, field_of('objects')] | None = None,
    distance: Annotated[float, within(0, None, 'metres')] = 50.0,
    neighbours: Annotated[int, within(0, 10_000)] = 0,
    known: File | None = None,
    model: Annotated[File, ADVANCED] | None = None,
    threshold: Fraction = 0.5,
    table: Annotated[StrPath, file_out('csv', 'html')] | None = None,
    model_output: Annotated[StrPath, file_out('json')] | None = None,
    progress: Progress = silent,
) -> RelateObjectsResult:
    """Tell what objects have to do with each other, such as ships and docks.

    Pairs of objects that are near each other are told by how they lie: inside, overlaps, adjacent
    to, parallel to, near. With known relations of some of them, a model learns to tell such
    relations from the classes of both, their distance, direction, sizes, overlap and alignment, and
    tells those of all pairs; pairs of known objects that are not in the table teach what is no
    relation. What was learned can be kept for other layers.

    The result is a line for each relation, from the middle of one object to that of the other, with
    both identifiers and classes, the relation, its probability if it was learned, the distance of
    the outlines (distance_m), the direction (degrees clockwise from north), the overlap
    (intersection over union), the shares of one object in the other, the ratio of areas and how the
    long sides lie.

    Args:
        objects: The objects, for instance those of "Detect objects".
        output: Lines to write (GeoPackage).
        class_field: Field with the class of an object; all are of one class if left out.
        id_field: Field that names an object, in results and in the table of known relations; the
            identifiers of the layer if left out.
        distance: Objects whose outlines are farther apart have nothing to do with each other. A
            model brings its own.
        neighbours: Only so many nearest ones of each object; 0 for all.
        known: Known relations to learn from: a CSV file with the columns from, to and relation.
        model: Tell relations with what was learned before, a file written as model_output.
        threshold: Lowest probability of a learned relation.
        table: Table of the relations to write as well (CSV or HTML).
        model_output: File to write what was learned to (JSON).
        progress: Told how far the work is.

    Raises:
        BadInput: If the layer is empty or has no reference system, or known relations do not
            belong to it.
        BadParameter: If known relations and a model are given, or a model is to be written without.
    """
    import numpy as np

    from torchgeo_ext.inference.relations import (
        NONE,
        RelationModel,
        find_pairs,
        judge,
        rule_relations,
    )

    if known is not None and model is not None:
        raise BadParameter(
            'known and model are both given.', 'Learn from known relations or use a model.'
        )
    if model_output is not None and known is None:
        raise BadParameter(
            f'model_output is {model_output}, but nothing is learned without known relations.',
            'Give known, or leave model_output out.',
        )
    learned = None if model is None else RelationModel.read(str(model))
    distance = distance if learned is None else learned.distance
    progress(0.0, 'Reading objects')
    features, outlines = _read(objects, class_field, id_field)
    classes = _texts(features, class_field) or [_NAMELESS] * len(outlines)
    names = _texts(features, id_field) or _identifiers(features)
    progress(0.1, 'Looking for pairs')
    pairs = find_pairs(outlines, distance, neighbours)
    looked_at, judged = len(pairs.first), None
    if known is not None:
        progress(0.4, 'Learning relations')
        relations, taught = _known(known, names, pairs)
        learned = RelationModel.fit(pairs.select(taught), classes, relations, distance)
        middles = _middles(outlines)
        judged = judge(pairs.select(taught), middles, classes, relations, distance)
    probabilities: NDArray[Any] | None = None
    if learned is None:
        pairs, told = rule_relations(outlines, pairs)
    else:
        _check_classes(learned.classes, classes)
        shares = learned.predict(pairs, classes)
        best = shares.argmax(axis=1)
        found = np.array(learned.relations, dtype=object)[best]
        probabilities = shares[np.arange(len(best)), best]
        keep = (found != NONE) & (probabilities >= threshold)
        pairs, told, probabilities = pairs.select(keep), found[keep].tolist(), probabilities[keep]
    progress(0.8, 'Writing relations')
    styles = _write(output, table, features, pairs, (names, classes, told), probabilities)
    if model_output is not None and learned is not None:
        from torchgeo_ext.staging import staged

        with staged(model_output, 'model_output') as part:
            part.write_text(learned.to_json(), encoding='utf-8')
    kinds = sorted(set(told))
    return RelateObjectsResult(
        output=str(output),
        table=None if table is None else str(table),
        model_output=None if model_output is None else str(model_output),
        relations_count=len(told),
        counts=json.dumps({kind: told.count(kind) for kind in kinds}),
        pairs=looked_at,
        mean_recall=float('nan') if judged is None else judged.mean_recall,
        recall=json.dumps({} if judged is None else dict(judged.recall)),
        styles=styles,
    )


def _read(
    path: StrPath, class_field: str | None, id_field: str | None
) -> 'tuple[FeatureTable, NDArray[Any]]':
    """Read polygons, and their outlines in metres."""
    import geopandas
    import shapely

    from torchgeo_ext.inference.features import FeatureTable
    from torchgeo_ext.inference.zonal import are_polygons

    features = FeatureTable.read(str(path), 'objects')
    if not len(features.shapes):
        raise BadInput(f'objects: {path} has no features.', 'Choose another layer.')
    if not are_polygons(features.shapes).all():
        raise BadInput(
            f'objects: {path} has features that are no polygons, or have no geometry.',
            'Choose a layer of polygons, and delete features without geometry.',
        )
    if features.crs is None:
        raise BadInput(
            f'objects: {path} has no coordinate reference system, so distances have no metres.',
            'Assign the right one (in QGIS: Vector > Data Management > Define projection).',
        )
    fields = [n for n in features.table.column_names if n != features.geometry]
    for argument, field in (('class_field', class_field), ('id_field', id_field)):
        if field is not None and field not in fields:
            raise BadParameter(
                f'{argument}: {path} has no field {field!r}.',
                f'Its fields are: {", ".join(fields)}.',
            )
    layer = geopandas.GeoSeries(features.shapes, crs=features.crs)
    if layer.crs.geodetic_crs is None:  # a local one, which no other one can be made of
        unit = layer.crs.axis_info[0].unit_conversion_factor
        placed = layer.scale(unit, unit, origin=(0, 0))
    else:
        placed = layer.to_crs(layer.estimate_utm_crs())
    return features, shapely.make_valid(placed.values)


def _texts(features: 'FeatureTable', field: str | None) -> list[str]:
    """Give the values of a field as text; nothing without one."""
    if field is None:
        return []
    return ['' if value is None else str(value) for value in features.table[field].to_pylist()]


def _identifiers(features: 'FeatureTable') -> list[str]:
    """Give the identifiers of the layer, or the positions of its features from 1."""
    return _texts(features, features.identifier or None) or [
        str(number) for number in range(1, len(features.shapes) + 1)
    ]


def _middles(outlines: 'NDArray[Any]') -> 'NDArray[Any]':
    import shapely

    middles: NDArray[Any] = shapely.get_coordinates(shapely.centroid(outlines))
    return middles


def _known(
    path: StrPath, names: 'Sequence[str]', pairs: 'Pairs'
) -> 'tuple[list[str], NDArray[Any]]':
    """Read known relations, and find their pairs.

    Returns:
        The relation of each pair to learn from, and the numbers of these pairs: all those between
        objects that the table names.
    """
    import csv
    from pathlib import Path

    import numpy as np

    from torchgeo_ext.inference.relations import NONE

    try:
        with Path(path).open(newline='', encoding='utf-8-sig') as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f'known: {path} cannot be read ({error}).', 'Give a CSV file.') from error
    lacking = [name for name in _COLUMNS if not rows or name not in rows[0]]
    if lacking:
        raise BadInput(
            f'known: {path} has no rows, or no column {" and ".join(lacking)}.',
            f'Give a CSV file with the columns {", ".join(_COLUMNS)}.',
        )
    numbers = {name: number for number, name in enumerate(names)}
    strange = [row[end] for row in rows for end in ('from', 'to') if row[end] not in numbers]
    if strange:
        raise BadInput(
            f'known: {path} names {strange[0]!r} and {len(strange) - 1} more that are no objects '
            'of the layer.',
            'Choose the id_field whose values the table holds.',
        )
    told = {(numbers[row['from']], numbers[row['to']]): row['relation'] for row in rows}
    among = np.isin(pairs.first, [a for pair in told for a in pair])
    among &= np.isin(pairs.second, [a for pair in told for a in pair])
    taught = np.flatnonzero(among)
    couples = zip(pairs.first[taught].tolist(), pairs.second[taught].tolist(), strict=True)
    relations = [told.get(couple, NONE) for couple in couples]
    far = len(told) - sum(name != NONE for name in relations)
    if far:
        log.warning('%d of %d known relations are beyond the distance.', far, len(told))
    if len(set(relations)) < 2:
        raise BadInput(
            f'known: the {len(told)} relations of {path} tell {len(set(relations))} kind of pairs '
            'within the distance, where two are needed to tell them apart.',
            'Give more relations, or raise distance or neighbours.',
        )
    return relations, taught


def _check_classes(known: 'Sequence[str]', classes: 'Sequence[str]') -> None:
    strange = sorted(set(classes) - set(known))
    if strange:
        log.warning(
            'The model does not know the classes %s; it goes by how their objects lie.',
            ', '.join(strange),
        )


def _write(
    output: StrPath,
    table: StrPath | None,
    features: 'FeatureTable',
    pairs: 'Pairs',
    words: 'tuple[Sequence[str], Sequence[str], Sequence[str]]',
    probabilities: 'NDArray[Any] | None',
) -> Styles:
    """Write lines and the table, and give the style of the former."""
    import numpy as np
    import pyarrow as pa
    import shapely

    from torchgeo_ext.colors import choose_colors
    from torchgeo_ext.inference.features import FeatureTable
    from torchgeo_ext.inference.style import write_style
    from torchgeo_ext.operations._tables import Table, write_table

    names, classes, told = words
    kinds = sorted(set(told))
    numbers = {kind: number for number, kind in enumerate(kinds, 1)}
    columns = _columns(pairs, names, classes, told, numbers, probabilities)
    middles = _middles(features.shapes)
    ends = np.stack([middles[pairs.first], middles[pairs.second]], axis=1)
    lines = shapely.linestrings(ends) if len(ends) else np.empty(0, dtype=object)
    layer = pa.table({'geom': pa.array(shapely.to_wkb(lines).tolist(), pa.binary())})
    FeatureTable(layer, 'geom', 'LineString', features.crs).write(output, columns, 'output')
    if table is not None:
        rows = zip(*(values.to_pylist() for values in columns.values()), strict=True)
        text = [[_cell(value) for value in row] for row in rows]
        write_table(table, Table('Relations', [*columns], text), 'table')
    shown = zip(kinds, choose_colors(kinds), strict=True)
    styles: Styles = {
        'output': {
            'type': 'classes',
            'field': 'relation',
            'classes': [
                {'value': numbers[kind], 'name': kind, 'color': color} for kind, color in shown
            ],
        }
    }
    write_style(output, styles['output'])
    return styles


def _columns(
    pairs: 'Pairs',
    names: 'Sequence[str]',
    classes: 'Sequence[str]',
    told: 'Sequence[str]',
    numbers: dict[str, int],
    probabilities: 'NDArray[Any] | None',
) -> 'dict[str, pa.Array]':
    import pyarrow as pa

    from torchgeo_ext.inference.relations import alignment

    first, second = pairs.first.tolist(), pairs.second.tolist()
    columns = {
        'from': pa.array([names[n] for n in first], pa.string()),
        'relation': pa.array([*told], pa.string()),
        'to': pa.array([names[n] for n in second], pa.string()),
        'from_class': pa.array([classes[n] for n in first], pa.string()),
        'to_class': pa.array([classes[n] for n in second], pa.string()),
        'value': pa.array([numbers[kind] for kind in told], pa.int32()),
        'distance_m': pa.array(pairs.gap),
        'direction': pa.array(pairs.direction),
        'overlap': pa.array(pairs.overlap),
        'share_inside': pa.array(pairs.inside),
        'share_holding': pa.array(pairs.holding),
        'size_ratio': pa.array(pairs.size_ratio),
        'alignment': pa.array(alignment(pairs), pa.string()),
    }
    if probabilities is not None:
        columns['probability'] = pa.array(probabilities)
    return columns


def _cell(value: Any) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)
