"""Wavelengths from a table of one's own, where a file has none."""

import csv
import re
from pathlib import Path

from torchgeo_ext.errors import BadInput
from torchgeo_ext.sensors._facts import BandFacts, facts

#: Names of columns, by their beginnings without signs; units may follow (``fwhm_nm``).
_COLUMNS = {
    'centre': ('wavelength', 'centre', 'center', 'central', 'wl', 'wvl', 'lambda', 'cw'),
    'width': ('fwhm', 'width', 'bandwidth'),
    'good': ('good', 'bbl', 'valid'),
    'scale': ('scale', 'gain'),
    'offset': ('offset',),
    'name': ('name', 'band', 'id'),
}
_UNIT = re.compile(r'(nm|nanomet\w*|um|µm|micromet\w*)\W*$', re.IGNORECASE)
_HINT = (
    'Give a CSV with a header such as "wavelength_nm,fwhm_nm,good" and a line for each band, in '
    'their order.'
)


def read_table(path: Path, argument: str) -> tuple[list[str], list[BandFacts]]:
    """Read names of bands and what is told of them.

    Args:
        path: CSV, separated by commas, semicolons or tabs: a column of centres (``wavelength``)
            and, if known, ``fwhm``, ``good`` (0 for bad bands; also ``bbl``), ``scale``, ``offset``
            and ``name``. A unit may follow the name of a column; without one the values tell.
            Without a header the first column is the centre, a second one the width.
        argument: The argument the path came from, for messages.

    Raises:
        BadInput: If there is no such table.
    """
    rows = _rows(path, argument)
    header = [] if _are_numbers(rows[0]) else rows.pop(0)
    places = _places(header) if header else {'centre': 0, 'width': 1}
    if 'centre' not in places:
        raise BadInput(
            f'{argument}: no column of {path} ({", ".join(header)}) is a wavelength.', _HINT
        )
    units = {key: _unit(header[at]) if header else '' for key, at in places.items()}
    names, told = [], []
    for number, row in enumerate(rows, 1):
        cells = {key: row[at].strip() for key, at in places.items() if at < len(row)}
        known = facts(
            cells.get('centre'),
            cells.get('width'),
            units['centre'],
            width_unit=units.get('width', ''),
            good=cells.get('good') or None,
            scale=cells.get('scale') or None,
            offset=cells.get('offset') or None,
        )
        if known.wavelength is None:
            raise BadInput(
                f'{argument}: {path} has no wavelength in row {number}: {cells.get("centre")!r}.',
                _HINT,
            )
        name = cells.get('name', '')
        names.append('' if name.isdigit() else name)
        told.append(known)
    return names, told


def _rows(path: Path, argument: str) -> list[list[str]]:
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f'{argument}: {path} cannot be read ({error}).', _HINT) from error
    first = text.partition('\n')[0]
    separator = max(',;\t', key=first.count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(row)]
    if not rows or (len(rows) == 1 and not _are_numbers(rows[0])):
        raise BadInput(f'{argument}: {path} has no rows.', _HINT)
    return rows


def _unit(head: str) -> str:
    found = _UNIT.search(head)
    return found[1] if found else ''


def _are_numbers(row: list[str]) -> bool:
    return all(re.fullmatch(r'\s*[-+.\deE]+\s*', cell) for cell in row)


def _places(header: list[str]) -> dict[str, int]:
    plain = [re.sub(r'[^a-z]', '', name.casefold()) for name in header]
    return {
        key: next(i for i, name in enumerate(plain) if name.startswith(starts))
        for key, starts in _COLUMNS.items()
        if any(name.startswith(starts) for name in plain)
    }
