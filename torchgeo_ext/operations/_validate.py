"""Checks the values of a job against the description of its operation."""

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.operations._operation import SOURCES, Operation, Parameter
from torchgeo_ext.staging import check_destination

#: ``/vsizip/...``, ``NETCDF:...``, ``https://...``: GDAL finds these, the file system does not.
_NOT_A_PATH = re.compile(r'^(/vsi\w+/|[A-Za-z][A-Za-z0-9_]+:)')


def validate(operation: Operation, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the values of a job into the arguments of the function.

    Args:
        operation: What is to be run.
        parameters: Values by name; None counts as not given.

    Returns:
        Keyword arguments, defaults filled in.

    Raises:
        BadParameter: If a name is unknown, a value is missing, of the wrong type or out of range,
            or a destination cannot be written.
        BadInput: If a file to read does not exist.
    """
    known = {parameter.name: parameter for parameter in operation.parameters}
    for name in parameters:
        if name not in known:
            raise BadParameter(
                f'{operation.name} has no parameter {name!r}.', near_matches(name, known)
            )
    values = {
        name: _value(parameter, parameters.get(name), operation.name)
        for name, parameter in known.items()
    }
    _no_overwriting_of_inputs(operation, values)
    for check in operation.checks:
        check(values)
    return values


def near_matches(word: str, words: Sequence[str] | Mapping[str, Any]) -> str:
    """Say which known words come close to one that is not known."""
    near = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    if near:
        return f'Did you mean {" or ".join(near)}?'
    return f'Known are: {", ".join(sorted(words))}.'


def _value(parameter: Parameter, value: Any, operation: str) -> Any:
    if value is None or value == '':
        if parameter.required:
            raise BadParameter(f'{operation} needs a value for {parameter.name}.', parameter.help)
        return parameter.default
    if value == parameter.default and not isinstance(value, bool):
        return value  # what the function's author chose is right
    return _CONVERTERS[parameter.kind](parameter, value)


def _wrong(parameter: Parameter, value: Any, expected: str) -> BadParameter:
    return BadParameter(f'{parameter.name} is {value!r}, but must be {expected}.', parameter.help)


def _number(parameter: Parameter, value: Any) -> int | float:
    integer = parameter.kind == 'integer'
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(parameter, value, 'a whole number' if integer else 'a number')
    if integer and value != int(value):
        raise _wrong(parameter, value, 'a whole number')
    low, high = parameter.detail.minimum, parameter.detail.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        unit = f' {parameter.detail.unit}' if parameter.detail.unit else ''
        expected = ' and '.join(
            f'{words} {limit:g}{unit}'
            for words, limit in (('at least', low), ('at most', high))
            if limit is not None
        )
        raise _wrong(parameter, value, expected)
    return int(value) if integer else float(value)


def _boolean(parameter: Parameter, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(parameter, value, 'true or false')
    return value


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(parameter, value, 'a text')
    return value


def _choice(parameter: Parameter, value: Any) -> Any:
    allowed = parameter.all_choices()
    for word in value if parameter.multiple else [value]:
        if word not in allowed:
            raise BadParameter(
                f'{parameter.name} is {word!r}, which is not known.',
                near_matches(str(word), allowed),
            )
    return value


def _bands(parameter: Parameter, value: Any) -> list[int]:
    numbers = [value] if isinstance(value, int) else value
    usable = isinstance(numbers, Sequence) and not isinstance(numbers, str)
    if not usable or not all(type(n) is int and n > 0 for n in numbers):
        raise _wrong(parameter, value, 'a list of band numbers, counted from 1')
    return list(numbers)


def _extent(parameter: Parameter, value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ','.join(f'{float(v)!r}' for v in value)
    match = re.fullmatch(r'\s*([^\[\]]+?)\s*(\[.+\])?\s*', str(value), re.DOTALL)
    try:
        numbers = [float(v) for v in match.group(1).split(',')] if match else []
    except ValueError:
        numbers = []
    ordered = len(numbers) == 4 and numbers[0] < numbers[2] and numbers[1] < numbers[3]
    if not ordered:
        raise _wrong(
            parameter, value, 'xmin,ymin,xmax,ymax, if need be followed by a CRS in brackets'
        )
    return str(value)


def _table(parameter: Parameter, value: Any) -> list[list[Any]]:
    width = len(parameter.detail.columns)
    try:
        rows = json.loads(value) if isinstance(value, str) else [list(row) for row in value]
    except (TypeError, ValueError) as error:
        raise _wrong(parameter, value, 'a list of rows') from error
    if not all(isinstance(row, list) and len(row) == width for row in rows):
        columns = ', '.join(parameter.detail.columns)
        raise _wrong(parameter, value, f'rows of {width} values ({columns})')
    return rows


def _source(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise _wrong(parameter, value, 'a path')
    path = os.fspath(value)
    file = path.split('|', 1)[0]
    if not _NOT_A_PATH.match(file) and not Path(file).expanduser().exists():
        raise BadInput(f'{parameter.name}: {file} does not exist.', 'Check the path.')
    return path


def _sources(parameter: Parameter, value: Any) -> list[str]:
    paths = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(paths, Sequence) or not paths:
        raise _wrong(parameter, value, 'one or more paths')
    return [_source(parameter, path) for path in paths]


def _destination(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise _wrong(parameter, value, 'a path')
    path = check_destination(value, parameter.name)
    allowed = parameter.detail.extensions
    if allowed and path.suffix.lower().lstrip('.') not in allowed:
        raise BadParameter(
            f'{parameter.name} is {path.name!r}, but its name must end in '
            f'{" or ".join("." + extension for extension in allowed)}.',
            f'Write to {path.with_suffix("." + allowed[0]).name} instead.',
        )
    if parameter.kind != 'folder_out' and path.is_dir():
        raise BadParameter(
            f'{parameter.name}: {path} is a folder.', 'Give the name of a file in it.'
        )
    if parameter.kind == 'folder_out' and path.is_file():
        raise BadParameter(f'{parameter.name}: {path} is a file.', 'Give the name of a folder.')
    return str(path)


_CONVERTERS: dict[str, Callable[[Parameter, Any], Any]] = {
    'raster': _source,
    'rasters': _sources,
    'features': _source,
    'layer': _source,
    'file': _source,
    'folder': _source,
    'bands': _bands,
    'field': _text,
    'choice': _choice,
    'model': _choice,
    'integer': _number,
    'number': _number,
    'boolean': _boolean,
    'text': _text,
    'extent': _extent,
    'crs': _text,
    'table': _table,
    'raster_out': _destination,
    'vector_out': _destination,
    'file_out': _destination,
    'folder_out': _destination,
}


def _no_overwriting_of_inputs(operation: Operation, values: Mapping[str, Any]) -> None:
    """Refuse two destinations, or a source and a destination, that are one file."""
    seen: dict[str, str] = {}
    for parameter in sorted(operation.parameters, key=lambda p: p.is_destination):
        value = values[parameter.name]
        if value is None or not (parameter.kind in SOURCES or parameter.is_destination):
            continue
        for path in value if isinstance(value, list) else [value]:
            real = os.path.realpath(str(path).split('|', 1)[0])
            if parameter.is_destination and real in seen:
                raise BadParameter(
                    f'{parameter.name} is the same file as {seen[real]}: {path}.',
                    'Write to another file.',
                )
            seen[real] = parameter.name
