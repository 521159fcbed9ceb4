"""Tables for people: CSV, or HTML with the colours of classes."""

import csv
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from torchgeo_ext.operations._operation import StrPath
from torchgeo_ext.staging import staged

_SQUARE_METRES = 10_000
_STYLE = 'body { font-family: sans-serif } th, td { padding: 0.3em 0.8em; text-align: right }'


class Table(NamedTuple):
    """A table.

    Args:
        title: What it shows.
        header: Names of the columns.
        rows: Name and values of each row.
        column_colors: Colour below the name of each column, if any.
        row_colors: Colour beside the name of each row, if any.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    column_colors: Sequence[str | None] = ()
    row_colors: Sequence[str | None] = ()


def hectares(square_metres: float) -> str:
    """Write an area in hectares, to the square metre."""
    return f'{square_metres / _SQUARE_METRES:.4f}'


def write_table(path: StrPath, table: Table, argument: str) -> None:
    """Write a table as CSV or, by the name of the file, HTML.

    Args:
        path: The file.
        table: The table.
        argument: The argument it came from, for messages.
    """
    with staged(path, argument) as part:
        if Path(path).suffix.lower() == '.html':
            part.write_text(_page(table), encoding='utf-8')
            return
        with part.open('w', newline='', encoding='utf-8') as file:
            csv.writer(file).writerows([table.header, *table.rows])


def _page(table: Table) -> str:
    columns = table.column_colors or [None] * len(table.header)
    rows = table.row_colors or [None] * len(table.rows)
    cells = [
        f'<th style="border-bottom: 4px solid {color or "transparent"}">{escape(text)}</th>'
        for text, color in zip(table.header, columns, strict=True)
    ]
    lines = [f'<tr>{"".join(cells)}</tr>']
    for (name, *values), color in zip(table.rows, rows, strict=True):
        side = f' style="border-right: 4px solid {color}"' if color else ''
        numbers = ''.join(f'<td>{escape(value)}</td>' for value in values)
        lines.append(f'<tr><th{side}>{escape(name)}</th>{numbers}</tr>')
    return (
        f'<!DOCTYPE html>\n<meta charset="utf-8">\n<title>{escape(table.title)}</title>\n'
        f'<style>{_STYLE}</style>\n<table>\n' + '\n'.join(lines) + '\n</table>\n'
    )
