"""How a typed, documented function becomes an operation.

The signature and the docstring are the only description; the command line, the engine's checks,
the QGIS dialog, help pages and README tables are derived from what :func:`operation` reads here.
Parameters say what they are with the aliases below, for example::

    @operation(label='Segment image', group='Segmentation')
    def segment_image(
        image: Raster,
        output: RasterOut,
        *,
        bands: Annotated[list[int], bands_of('image')] | None = None,
        overlap: Annotated[int, within(0, 4096, unit='pixels'), ADVANCED] = 64,
        progress: Progress = silent,
    ) -> SegmentImageResult: ...
"""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, TypedDict

import docstring_parser

from torchgeo_ext.operations._checks import Check

#: Raised whenever a reader of the descriptions has to be changed.
FORMAT = 1


StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Kind:
    """What a parameter is, beyond its Python type.

    Args:
        kind: One of the kinds known to all readers of a description.
        unit: Unit of a number, as shown behind it.
        minimum: Smallest allowed number.
        maximum: Largest allowed number.
        of: Name of the raster a band list belongs to, or of the layer a field belongs to.
        task: Which models may be chosen.
        columns: Column names of a table.
        extensions: Allowed file name extensions, without the dot.
        geometry: ``polygon`` or ``any``, for features.
    """

    kind: str
    unit: str = ''
    minimum: float | None = None
    maximum: float | None = None
    of: str = ''
    task: str = ''
    columns: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    geometry: str = ''


class _Advanced:
    """Marks a parameter most users leave alone."""


ADVANCED = _Advanced()


class Label(str):
    """What a parameter is called in a dialog, where its name alone would say too little."""

    __slots__ = ()


Raster = Annotated[StrPath, Kind('raster')]
Rasters = Annotated[StrPath | Sequence[StrPath], Kind('rasters')]
Features = Annotated[StrPath, Kind('features', geometry='any')]
Polygons = Annotated[StrPath, Kind('features', geometry='polygon')]
Layer = Annotated[StrPath, Kind('layer')]
Extent = Annotated[str | tuple[float, float, float, float], Kind('extent')]
Crs = Annotated[str, Kind('crs')]
File = Annotated[StrPath, Kind('file')]
Folder = Annotated[StrPath, Kind('folder')]
RasterOut = Annotated[StrPath, Kind('raster_out', extensions=('tif', 'tiff'))]
VectorOut = Annotated[StrPath, Kind('vector_out', geometry='polygon', extensions=('gpkg',))]
FeaturesOut = Annotated[StrPath, Kind('vector_out', geometry='any', extensions=('gpkg', 'parquet'))]
FolderOut = Annotated[StrPath, Kind('folder_out')]
Fraction = Annotated[float, Kind('number', minimum=0.0, maximum=1.0)]
Bundle = Annotated[StrPath, Kind('file', extensions=('json', 'zip', 'ckpt'))]
Device = Annotated[Literal['auto', 'cpu', 'cuda', 'mps'], ADVANCED]

#: Kinds whose value is a place to write to, and the kind of the output they become.
DESTINATIONS = {
    'raster_out': 'raster',
    'vector_out': 'vector',
    'file_out': 'file',
    'folder_out': 'folder',
}
#: Kinds whose value names something to read.
SOURCES = ('raster', 'rasters', 'features', 'layer', 'file', 'folder')

_PLAIN = {bool: 'boolean', int: 'integer', float: 'number', str: 'text'}


def within(minimum: float | None = None, maximum: float | None = None, unit: str = '') -> Kind:
    """A number of a limited range (both ends included)."""
    return Kind('', minimum=minimum, maximum=maximum, unit=unit)


def bands_of(raster: str) -> Kind:
    """Numbers of bands (from 1) of the raster given by another parameter."""
    return Kind('bands', of=raster)


def field_of(layer: str) -> Kind:
    """The name of a field of the layer given by another parameter."""
    return Kind('field', of=layer)


def model_for(task: str) -> Kind:
    """The name of a registered model for a task such as ``change`` or ``segmentation``."""
    return Kind('model', task=task)


def file_out(*extensions: str) -> Kind:
    """A file to write, with one of these extensions."""
    return Kind('file_out', extensions=extensions)


def table_of(*columns: str) -> Kind:
    """Rows of values under these columns."""
    return Kind('table', columns=columns)


class ClassEntry(TypedDict):
    """One class of a map: its pixel value, name and colour (``#rrggbb``)."""

    value: int
    name: str
    color: str


class Style(TypedDict, total=False):
    """How an output wants to be drawn."""

    type: Literal['classes', 'range']
    field: str
    classes: list[ClassEntry]
    minimum: float
    maximum: float
    unit: str
    ramp: str


Styles = dict[str, Style]


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operation, as all readers see it."""

    name: str
    label: str
    help: str
    kind: str
    required: bool
    default: Any = None
    optional: bool = False
    advanced: bool = False
    choices: tuple[str, ...] = ()
    multiple: bool = False
    detail: Kind = field(default_factory=lambda: Kind(''))

    @property
    def is_destination(self) -> bool:
        """Whether the value is a place to write to."""
        return self.kind in DESTINATIONS

    def describe(self) -> dict[str, Any]:
        """Give the JSON form; what does not apply is left out."""
        described: dict[str, Any] = {
            'name': self.name,
            'label': self.label,
            'help': self.help,
            'kind': self.kind,
        }
        if not self.required and self.default is not None:
            described['default'] = self.default
        described['optional'] = self.optional
        described['advanced'] = self.advanced
        if self.kind in ('choice', 'model'):
            described['choices'] = list(self.all_choices())
        if self.multiple:
            described['multiple'] = True
        for name in (
            'unit',
            'minimum',
            'maximum',
            'of',
            'task',
            'columns',
            'extensions',
            'geometry',
        ):
            value = getattr(self.detail, name)
            if value not in ('', None, ()):
                described[name] = list(value) if isinstance(value, tuple) else value
        return described

    def all_choices(self) -> tuple[str, ...]:
        """Give the words allowed; for models those known to the registry now."""
        if self.kind == 'model':
            from torchgeo_ext.registry import model_names

            return model_names(self.detail.task)
        return self.choices


@dataclass(frozen=True)
class Output:
    """One named result of an operation."""

    name: str
    label: str
    help: str
    kind: str

    def describe(self) -> dict[str, str]:
        """Give the JSON form."""
        return {'name': self.name, 'label': self.label, 'help': self.help, 'kind': self.kind}


@dataclass(frozen=True)
class Operation:
    """Everything that can be known of an operation without running it."""

    name: str
    label: str
    group: str
    tags: tuple[str, ...]
    summary: str
    help: str
    since: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    checks: tuple[Check, ...]
    keeps: str
    function: Callable[..., Any]

    @property
    def id(self) -> str:
        """The QGIS id: letters only."""
        return self.name.replace('_', '')

    @property
    def command(self) -> str:
        """The word on the command line."""
        return self.name.replace('_', '-')

    @property
    def takes_progress(self) -> bool:
        """Whether the function reports progress."""
        return 'progress' in inspect.signature(self.function).parameters

    def describe(self) -> dict[str, Any]:
        """Give the JSON form read by QGIS, the documentation and other programs."""
        return {
            'format': FORMAT,
            'name': self.name,
            'id': self.id,
            'label': self.label,
            'group': self.group,
            'group_id': ''.join(c for c in self.group.lower() if c.isalnum()),
            'tags': list(self.tags),
            'summary': self.summary,
            'help': self.help,
            'since': self.since,
            'parameters': [parameter.describe() for parameter in self.parameters],
            'outputs': [output.describe() for output in self.outputs],
            'checks': [check.describe() for check in self.checks],
        }

    def __call__(self, parameters: Mapping[str, Any], progress: Any = None) -> Any:
        """Validate a job's values and run the function.

        Args:
            parameters: Values by name, as they come from JSON.
            progress: Told how far the work is; may cancel it.

        Returns:
            What the function returns: a named tuple of outputs.
        """
        from torchgeo_ext.operations._validate import validate

        values = validate(self, parameters)
        if self.takes_progress and progress is not None:
            values['progress'] = progress
        return self.function(**values)


class OperationFunction[**P, R]:
    """The function a Python user calls, with its :class:`Operation` beside it."""

    operation: Operation

    def __init__(self, function: Callable[P, R], described: Operation) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self.operation = described

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Check the arguments as every other caller's are, then run."""
        given = dict(inspect.signature(self._function).bind(*args, **kwargs).arguments)
        return self.operation(given, given.pop('progress', None))

    def __repr__(self) -> str:
        return f'<operation {self.operation.name}>'


class _Decorator(Protocol):
    def __call__[**P, R](self, function: Callable[P, R], /) -> OperationFunction[P, R]: ...


def operation(
    *,
    label: str,
    group: str,
    tags: Iterable[str] = (),
    checks: Iterable[Check] = (),
    keeps: str = '',
    since: str = '0.1.0',
) -> _Decorator:
    """Mark a function as an operation.

    Args:
        label: Name in the toolbox.
        group: Group in the toolbox.
        tags: Further words to find it by.
        checks: Conditions between parameters, from :mod:`torchgeo_ext.operations._checks`.
        keeps: For operations that return what they have reached when they are canceled: what
            they say meanwhile.
        since: Version that brought it.

    Returns:
        A decorator. The function stays callable; its arguments are checked first.

    Raises:
        TypeError: If a parameter has no help, no known type, or the result is no named tuple.
    """

    def decorate[**P, R](function: Callable[P, R]) -> OperationFunction[P, R]:
        docstring = docstring_parser.parse(inspect.getdoc(function) or '')
        helps = {entry.arg_name: _one_line(entry.description) for entry in docstring.params}
        parameters = tuple(_parameters(function, helps))
        described = Operation(
            name=function.__name__,
            label=label,
            group=group,
            tags=tuple(tags),
            summary=_one_line(docstring.short_description),
            help=(docstring.long_description or '').strip(),
            since=since,
            parameters=parameters,
            outputs=tuple(_outputs(function, parameters)),
            checks=tuple(checks),
            keeps=keeps,
            function=function,
        )
        return OperationFunction(function, described)

    return decorate


def _one_line(text: str | None) -> str:
    return ' '.join((text or '').split())


def _label(name: str) -> str:
    return name.replace('_', ' ').capitalize()


def _parameters(function: Callable[..., Any], helps: Mapping[str, str]) -> Iterable[Parameter]:
    hints = typing.get_type_hints(function, include_extras=True)
    for name, signature in inspect.signature(function).parameters.items():
        if name == 'progress':
            continue
        where = f'{function.__name__}({name})'
        if not helps.get(name):
            raise TypeError(f'{where} has no entry in the Args section of the docstring')
        required = signature.default is inspect.Parameter.empty
        yield _parameter(where, name, hints[name], helps[name], required, signature.default)


def _parameter(
    where: str, name: str, hint: Any, help_text: str, required: bool, default: Any
) -> Parameter:
    base, metadata, optional = _unwrap(hint)
    kinds = [entry for entry in metadata if isinstance(entry, Kind)]
    labels = [str(entry) for entry in metadata if isinstance(entry, Label)]
    detail = kinds[0] if kinds else Kind('')
    multiple = (
        typing.get_origin(base) is list and typing.get_origin(typing.get_args(base)[0]) is Literal
    )
    literal = typing.get_args(base)[0] if multiple else base
    choices = typing.get_args(literal) if typing.get_origin(literal) is Literal else ()
    kind = detail.kind or ('choice' if choices else _PLAIN.get(base, ''))
    if not kind:
        raise TypeError(f'{where} has type {hint}, which is no kind of parameter')
    return Parameter(
        name=name,
        label=labels[0] if labels else _label(name),
        help=help_text,
        kind=kind,
        required=required,
        default=None if required else default,
        optional=optional,
        advanced=any(isinstance(entry, _Advanced) for entry in metadata),
        choices=choices,
        multiple=multiple,
        detail=detail,
    )


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """Split ``Annotated[X, ...] | None`` into X, its metadata and whether None is allowed."""
    optional = False
    metadata: tuple[Any, ...] = ()
    while True:
        origin = typing.get_origin(hint)
        arguments = typing.get_args(hint)
        if origin is Annotated:
            hint, metadata = arguments[0], metadata + tuple(hint.__metadata__)
        elif origin in (typing.Union, types.UnionType) and type(None) in arguments:
            optional = True
            rest = tuple(a for a in arguments if a is not type(None))
            # several alternatives carry their kind in metadata, so any one stands for all
            hint = rest[0] if len(rest) == 1 else typing.Union[rest]  # noqa: UP007
        else:
            return hint, metadata, optional


def _outputs(function: Callable[..., Any], parameters: Iterable[Parameter]) -> Iterable[Output]:
    result = typing.get_type_hints(function, include_extras=True).get('return')
    if not (isinstance(result, type) and issubclass(result, tuple) and hasattr(result, '_fields')):
        raise TypeError(f'{function.__name__} must return a NamedTuple of its outputs')
    docstring = docstring_parser.parse(inspect.getdoc(result) or '')
    helps = {entry.arg_name: _one_line(entry.description) for entry in docstring.params}
    hints = typing.get_type_hints(result, include_extras=True)
    destinations = {p.name: p for p in parameters if p.is_destination}
    missing = destinations.keys() - set(hints)
    if missing:
        raise TypeError(f'{function.__name__} does not return its destinations {sorted(missing)}')
    for name, hint in hints.items():
        if name == 'styles':
            continue
        if name in destinations:
            parameter = destinations[name]
            yield Output(name, parameter.label, parameter.help, DESTINATIONS[parameter.kind])
            continue
        base, _, _ = _unwrap(hint)
        if base not in _PLAIN or not helps.get(name):
            raise TypeError(f'{result.__name__}.{name} needs a plain type and an Attributes entry')
        yield Output(name, _label(name), helps[name], _PLAIN[base])
