"""Features as operations on places write them: vectors as attributes, and their style.

A vector is a field for each of its numbers, or all in one.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from torchgeo_ext.errors import BadParameter
from torchgeo_ext.inference._geoparquet import is_geoparquet
from torchgeo_ext.inference.points import PointLayer
from torchgeo_ext.inference.style import write_style
from torchgeo_ext.operations._operation import Style, Styles

#: Columns of a table in SQLite, which a GeoPackage is (https://www.sqlite.org/limits.html), less
#: geometry and identifier.
_MOST_FIELDS = 1998


def check_columns(path: Any, layer: PointLayer, form: str, dimensions: int) -> None:
    """See that a file has room for so many fields.

    Args:
        path: The file to write.
        layer: Features to which the fields are added.
        form: ``fields`` or ``array``.
        dimensions: Numbers of a vector.

    Raises:
        BadParameter: If it has not.
    """
    number = len(layer.fields) + dimensions
    if form == 'fields' and not is_geoparquet(Path(path)) and number > _MOST_FIELDS:
        raise BadParameter(
            f'form: {len(layer.fields)} fields of the layer and {dimensions} of the vectors are '
            f'more than the {_MOST_FIELDS} of a GeoPackage.',
            'Choose array, or write GeoParquet.',
        )


def vector_columns(
    path: Any, vectors: NDArray[np.float32], form: str, prefix: str
) -> dict[str, pa.Array]:
    """Write vectors as columns.

    Args:
        path: The file they are for.
        vectors: (n, d), NaN where there is none.
        form: ``fields`` or ``array``.
        prefix: Beginning of the names of the columns, or the name of the only one.

    Returns:
        Columns by name, null where there is no vector.
    """
    missing = np.isnan(vectors[:, 0])
    if form == 'fields':
        digits = max(3, len(str(vectors.shape[1] - 1)))
        return {
            f'{prefix}_{number:0{digits}d}': pa.array(values, mask=missing)
            for number, values in enumerate(np.ascontiguousarray(vectors.T))
        }
    if is_geoparquet(Path(path)):
        return {prefix: _lists(vectors, missing)}
    blobs = [
        None if empty else row.tobytes()
        for empty, row in zip(missing, vectors.astype('<f4'), strict=True)
    ]
    return {prefix: pa.array(blobs, pa.binary())}


def style_features(path: Any, output: str, style: Style) -> Styles:
    """Give features a style, if their format has room for any.

    Args:
        path: The layer; its name tells the format.
        output: What the operation calls it.
        style: How to draw it.

    Returns:
        The style by the name of the output; nothing without.
    """
    if is_geoparquet(Path(path)):
        return {}
    write_style(path, style)
    return {output: style}


def _lists(vectors: NDArray[np.float32], missing: NDArray[np.bool_]) -> pa.Array:
    """Give lists of one length; they share the memory of the vectors."""
    numbers = pa.array(vectors.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(
        numbers, vectors.shape[1], mask=pa.array(missing, pa.bool_())
    )
