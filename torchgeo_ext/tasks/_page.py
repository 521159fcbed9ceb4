"""Parts of a report: one HTML page without outside parts."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any


def page(title: str, lead: str, sections: Mapping[str, str]) -> str:
    """Put a page together.

    Args:
        title: Its title.
        lead: One sentence below it.
        sections: HTML by heading; one without a heading is called "".
    """
    body = ''.join(
        f'<h2>{heading}</h2>{content}' if heading else content
        for heading, content in sections.items()
    )
    css = Path(__file__).with_name('_report.css').read_text(encoding='utf-8')
    title = escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<style>{css}</style></head><body><h1>{title}</h1>'
        f'<p class="lead">{escape(lead)}</p>{body}</body></html>'
    )


def table(rows: Iterable[Sequence[str]], *, escaped: bool = False) -> str:
    """Write a table, whose first row has the headings.

    Args:
        rows: Text of the cells.
        escaped: Whether that is HTML already.
    """
    lines = []
    for number, row in enumerate(rows):
        tag = 'td' if number else 'th'
        cells = (cell if escaped else escape(cell) for cell in row)
        lines.append(f'<tr>{"".join(f"<{tag}>{cell}</{tag}>" for cell in cells)}</tr>')
    return f'<table>{"".join(lines)}</table>'


def facts(named: Mapping[str, Any]) -> str:
    """Write values beside their names."""
    lines = ''.join(
        f'<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>'
        for name, value in named.items()
    )
    return f'<table class="facts">{lines}</table>'


def sentences(texts: Iterable[str]) -> str:
    """Write a list of sentences."""
    return f'<ul>{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>'
