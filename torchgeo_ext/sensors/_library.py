"""Spectral libraries: spectra of known things, from the field, a laboratory or an image."""

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchgeo_ext.errors import BadInput, BadParameter
from torchgeo_ext.sensors._units import factor
from torchgeo_ext.sensors._wavelengths import BandWavelengths

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

#: NumPy's names of ENVI's data types, https://www.nv5geospatialsoftware.com/docs/enviheaderfiles.html
_ENVI_TYPES = {
    '1': 'u1', '2': 'i2', '3': 'i4', '4': 'f4', '5': 'f8', '12': 'u2', '13': 'u4', '14': 'i8',
    '15': 'u8',
}  # fmt: skip
_VECTORS = ('.gpkg', '.geojson', '.json')
#: Heads of the columns of a table of spectra: wavelengths, or numbers of bands.
_COLUMN = re.compile(r'(?:band\s*\d+|(\d+(?:\.\d+)?)\s*(nm|um|µm|\w*met(?:er|re)s?)?)$', re.I)
_NAMES = ('name', 'spectrum', 'label', 'id')
_WAVES = ('wavelength', 'wl', 'wvl', 'lambda', 'nm', 'um')


@dataclass(frozen=True, eq=False)
class SpectralLibrary:
    """Spectra of known things, all of the same bands.

    Args:
        names: Name of each spectrum.
        spectra: Values (n, c); NaN where one is missing.
        bands: Where the bands lie in the spectrum; NaN where nothing tells.
        fields: What else is known of each spectrum, such as its class, by the name of the field.
        source: The file, for messages.
    """

    names: tuple[str, ...]
    spectra: 'NDArray[np.float64]'
    bands: BandWavelengths
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ''

    def __post_init__(self) -> None:
        if self.spectra.shape != (len(self.names), len(self.bands)):
            raise BadParameter(
                f'spectra have the shape {self.spectra.shape}, but there are {len(self.names)} '
                f'names and {len(self.bands)} bands.'
            )

    def __len__(self) -> int:
        return len(self.names)

    def select(self, names: Sequence[str], argument: str = 'names') -> 'SpectralLibrary':
        """Give some of the spectra.

        Args:
            names: Their names.
            argument: The argument they came from, for messages.

        Raises:
            BadParameter: If there is no spectrum of such a name.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            shown = ', '.join(self.names[:20]) + (' ...' if len(self) > 20 else '')
            raise BadParameter(
                f'{argument}: {self.source} has no spectrum {", ".join(map(repr, missing))}; it '
                f'has {shown}.',
                'Choose from these names.',
            )
        chosen = [self.names.index(name) for name in names]
        return SpectralLibrary(
            tuple(names),
            self.spectra[chosen],
            self.bands,
            {key: tuple(values[i] for i in chosen) for key, values in self.fields.items()},
            self.source,
        )

    def classes(self, name: str, argument: str = 'class_field') -> tuple[str, ...]:
        """Give what a field says of each spectrum.

        Args:
            name: Name of the field; ``name`` are the names themselves.
            argument: The argument it came from, for messages.

        Raises:
            BadParameter: If there is no such field.
        """
        if name in self.fields:
            return self.fields[name]
        if name == 'name':
            return self.names
        raise BadParameter(
            f'{argument}: {self.source} has no field {name!r}, but '
            f'{", ".join(self.fields) or "none"}.',
            'Choose one of these, or name.',
        )


def read_library(
    path: 'str | os.PathLike[str]', *, profiles: str | None = None, argument: str = 'library'
) -> SpectralLibrary:
    """Read a spectral library.

    Args:
        path: One of

            - ENVI: the ``.sli`` file or its header;
            - EnMAP-Box: a GeoPackage or GeoJSON whose features have a profile, which is JSON with
              the values ``y``, wavelengths ``x``, their unit ``xUnit`` and a bad-band list ``bbl``;
            - CSV with a row for each spectrum: its name, other fields, and columns that are headed
              by wavelengths (``418.2`` or ``418.2 nm``);
            - CSV with a row for each wavelength: wavelengths in the first column, whose head begins
              with ``wavelength``, and a column for each spectrum.
        profiles: Field with the profiles of EnMAP-Box; the one with most of them if not given.
        argument: The argument the path came from, for messages.

    Raises:
        BadInput: If it is no spectral library, or its spectra have different bands.
    """
    file = Path(path)
    if not file.is_file():
        raise BadInput(f'{argument}: {path} does not exist.', 'Check the path.')
    suffix = file.suffix.lower()
    if suffix in _VECTORS:
        return _read_features(file, profiles, argument)
    if suffix == '.csv':
        return _read_csv(file, argument)
    return _read_envi(file, argument)


def write_library(path: Path, library: SpectralLibrary) -> None:
    """Write a CSV with a row for each spectrum, which :func:`read_library` reads.

    Args:
        path: The file.
        library: The spectra; columns are headed by wavelengths in nanometres.
    """
    heads = [
        f'band {number}' if math.isnan(centre) else f'{centre * 1000:.6g} nm'
        for number, centre in enumerate(library.bands.centre, 1)
    ]
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['name', *library.fields, *heads])
        for row, name in enumerate(library.names):
            own = [values[row] for values in library.fields.values()]
            numbers = ['' if math.isnan(v) else f'{v:.9g}' for v in library.spectra[row]]
            writer.writerow([name, *own, *numbers])


def _no_library(path: Path, argument: str, reason: str) -> BadInput:
    return BadInput(
        f'{argument}: {path} is no spectral library ({reason}).',
        'Give an ENVI library (.sli with its .hdr), a GeoPackage or GeoJSON of EnMAP-Box, or a CSV '
        'with a row for each spectrum and columns headed by wavelengths.',
    )


def _bands(
    centres: Sequence[float], unit: str, good: Sequence[Any], widths: Sequence[float], source: str
) -> BandWavelengths:
    """Make sense of wavelengths of one unit, which the largest of them tells if need be."""
    longest = max((c for c in centres if not math.isnan(c)), default=math.nan)
    times = 1.0 if math.isnan(longest) else factor(longest, unit)
    return BandWavelengths(
        centre=tuple(c * times for c in centres),
        fwhm=tuple(w * times for w in widths),
        good=tuple(flag is not None and float(flag) != 0 for flag in good),
        source=source,
    )


# ENVI


def _read_envi(path: Path, argument: str) -> SpectralLibrary:
    import numpy as np

    header, data = _envi_files(path, argument)
    entries = _envi_header(header, argument)
    try:
        count, bands = int(entries['lines']), int(entries['samples'])
        kind = _ENVI_TYPES[entries['data type']]
        order = '>' if entries.get('byte order', '0') == '1' else '<'
        offset = int(entries.get('header offset', '0'))
        scale = float(entries.get('reflectance scale factor', '1'))
        centres, widths, good = (
            [float(word) for word in _envi_list(entries.get(key, ''))]
            for key in ('wavelength', 'fwhm', 'bbl')
        )
    except (KeyError, ValueError) as error:
        raise _no_library(header, argument, f'its header lacks or misspells {error}') from error
    needed = offset + count * bands * np.dtype(kind).itemsize
    if data.stat().st_size < needed:
        raise BadInput(
            f'{argument}: {data} has {data.stat().st_size} bytes, but {count} spectra of {bands} '
            f'bands take {needed}.',
            'The file seems to be cut short; copy it again.',
        )
    values = np.fromfile(data, np.dtype(order + kind), count * bands, offset=offset)
    spectra = values.reshape(count, bands).astype(np.float64) / scale
    names = _envi_list(entries.get('spectra names', ''))
    if centres and len(centres) != bands:
        raise _no_library(header, argument, f'{len(centres)} wavelengths for {bands} bands')
    return SpectralLibrary(
        tuple(names) if len(names) == count else tuple(f'spectrum {i + 1}' for i in range(count)),
        spectra,
        _bands(
            centres or [math.nan] * bands,
            entries.get('wavelength units', ''),
            good if len(good) == bands else (),
            widths if len(widths) == bands else (),
            path.name,
        ),
        source=path.name,
    )


def _envi_files(path: Path, argument: str) -> tuple[Path, Path]:
    """Find header and data of an ENVI library from either of them."""
    if path.suffix.lower() == '.hdr':
        stem = path.with_suffix('')
        found = [p for p in (stem, path.with_suffix('.sli')) if p.is_file()]
        if not found:
            raise _no_library(path, argument, f'{stem} and {path.with_suffix(".sli")} are missing')
        return path, found[0]
    headers = [path.with_suffix('.hdr'), path.with_name(f'{path.name}.hdr')]
    there = [header for header in headers if header.is_file()]
    if not there:
        raise _no_library(path, argument, f'its header {headers[0].name} is missing')
    return there[0], path


def _envi_header(path: Path, argument: str) -> dict[str, str]:
    text = path.read_text(encoding='utf-8', errors='replace')
    if not text.startswith('ENVI'):
        raise _no_library(path, argument, 'its header does not begin with ENVI')
    entries = re.findall(r'^[ \t]*([^=\n{}]+?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n]*)', text, re.M)
    return {key.strip().lower(): value.strip() for key, value in entries}


def _envi_list(text: str) -> list[str]:
    inner = text.strip().removeprefix('{').removesuffix('}')
    return [word.strip() for word in inner.split(',') if word.strip()]


# EnMAP-Box


def _read_features(path: Path, profiles: str | None, argument: str) -> SpectralLibrary:
    import numpy as np
    import pyogrio
    from pyogrio.errors import DataSourceError

    try:
        frames = [
            pyogrio.read_dataframe(path, layer=layer, read_geometry=False)
            for layer, geometry in pyogrio.list_layers(path)
            if layer != 'layer_styles'
        ]
    except (DataSourceError, ValueError) as error:
        raise _no_library(path, argument, str(error)) from error
    columns = {
        str(name): [_profile(cell) for cell in frame[name]]
        for frame in frames
        for name in frame.columns
    }
    found = {name: sum(p is not None for p in cells) for name, cells in columns.items()}
    chosen = profiles or max(found, key=found.__getitem__, default='')
    if not found.get(chosen):
        raise _no_library(
            path, argument, f'no field has profiles, but {", ".join(found) or "none"}'
        )
    frame = next(frame for frame in frames if chosen in frame.columns)
    rows = [i for i, profile in enumerate(columns[chosen]) if profile is not None]
    read = [columns[chosen][i] or {} for i in rows]
    _check_alike(read, path, argument)
    first = read[0]
    size = len(first['y'])
    try:
        spectra = [[math.nan if v is None else float(v) for v in p['y']] for p in read]
        centres = [float(x) for x in first.get('x') or [math.nan] * size]
    except (TypeError, ValueError) as error:
        raise _no_library(path, argument, f'a profile is not of numbers: {error}') from error
    fields = {
        str(name): tuple('' if frame[name].isna()[i] else str(frame[name][i]) for i in rows)
        for name in frame.columns
        if not found[str(name)]
    }
    return SpectralLibrary(
        fields.get('name') or tuple(f'spectrum {i + 1}' for i in range(len(rows))),
        np.array(spectra),
        _bands(centres, str(first.get('xUnit') or ''), first.get('bbl') or (), (), path.name),
        fields,
        path.name,
    )


def _profile(cell: Any) -> dict[str, Any] | None:
    """Read a profile; None if it is none."""
    if isinstance(cell, bytes):
        cell = cell.decode('utf-8', errors='replace')
    if isinstance(cell, str) and cell.lstrip().startswith('{'):
        try:
            cell = json.loads(cell)
        except ValueError:
            return None
    return cell if isinstance(cell, dict) and isinstance(cell.get('y'), list) else None


def _check_alike(profiles: Sequence[Mapping[str, Any]], path: Path, argument: str) -> None:
    kinds = {(len(p['y']), tuple(p.get('x') or ()), p.get('xUnit')) for p in profiles}
    if len(kinds) > 1:
        sizes = ', '.join(str(size) for size in sorted({size for size, _, _ in kinds}))
        raise BadInput(
            f'{argument}: the profiles of {path} have {len(kinds)} different sets of bands '
            f'({sizes} bands).',
            'Save those of one instrument to a library of their own.',
        )


# CSV


def _read_csv(path: Path, argument: str) -> SpectralLibrary:
    try:
        text = path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise _no_library(path, argument, str(error)) from error
    separator = max(',;\t', key=text.partition('\n')[0].count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(row)]
    if len(rows) < 2:
        raise _no_library(path, argument, 'it has no rows')
    heads = [head.strip() for head in rows[0]]
    values = [place for place, head in enumerate(heads) if _COLUMN.match(head)]
    try:
        if len(values) > 1:
            return _spectra_in_rows(heads, rows[1:], values, path)
        if heads[0].lower().startswith(_WAVES):
            return _spectra_in_columns(heads, rows[1:], path)
    except (ValueError, IndexError) as error:
        raise _no_library(path, argument, str(error)) from error
    raise _no_library(path, argument, f'its columns are {", ".join(heads[:10])}')


def _spectra_in_rows(
    heads: Sequence[str], rows: Sequence[Sequence[str]], values: Sequence[int], path: Path
) -> SpectralLibrary:
    import numpy as np

    matched = [_COLUMN.match(heads[place]) for place in values]
    centres = [float(m[1]) if m and m[1] else math.nan for m in matched]
    unit = next((m[2] for m in matched if m and m[2]), '')
    others = [place for place in range(len(heads)) if place not in values]
    fields = {heads[place]: tuple(row[place] for row in rows) for place in others}
    named = next((key for key in fields if key.lower() in _NAMES), None)
    names = fields.pop(named) if named else tuple(f'spectrum {i + 1}' for i in range(len(rows)))
    spectra = np.array([[_number(row[place]) for place in values] for row in rows])
    return SpectralLibrary(
        names, spectra, _bands(centres, unit, (), (), path.name), fields, path.name
    )


def _spectra_in_columns(
    heads: Sequence[str], rows: Sequence[Sequence[str]], path: Path
) -> SpectralLibrary:
    import numpy as np

    table = np.array([[_number(cell) for cell in row] for row in rows])
    unit = re.search(r'(nm|um|µm|\w*met(?:er|re)s?)\W*$', heads[0], re.I)
    return SpectralLibrary(
        tuple(heads[1:]),
        np.ascontiguousarray(table[:, 1:].T),
        _bands(table[:, 0].tolist(), unit[1] if unit else '', (), (), path.name),
        source=path.name,
    )


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan
