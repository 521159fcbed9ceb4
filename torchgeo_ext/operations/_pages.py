"""Writes what is derived from the descriptions: tables of the README, help pages for QGIS."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from torchgeo_ext.operations._catalog import catalog
from torchgeo_ext.ready import ready_models
from torchgeo_ext.registry import operations

HELP = Path('qgis_plugin', 'help')


def write_pages(root: Path) -> list[str]:
    """Bring README tables and help pages up to date and delete pages of operations that are gone.

    Args:
        root: Folder with ``README.md`` and ``qgis_plugin``.

    Returns:
        Names of the files that changed.
    """
    files = pages((root / 'README.md').read_text(encoding='utf-8'))
    gone = {path.relative_to(root) for path in (root / HELP).glob('*.html')} - set(files)
    changed = [str(path) for path in gone]
    for path in gone:
        (root / path).unlink()
    for name, text in files.items():
        path = root / name
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding='utf-8')
            changed.append(str(name))
    return sorted(changed)


def pages(readme: str) -> dict[Path, str]:
    """Give path and text of everything generated.

    Args:
        readme: The README as it is; what stands between its markers is replaced.
    """
    own = [entry for entry in catalog() if operations.origin(entry['name']).name == 'torchgeo_ext']
    tables = {'operations': _operations_table(own), 'models': _models_table()}
    for name, table in tables.items():
        begin, end = f'<!-- {name}: made by "make docs" -->\n', f'<!-- end of {name} -->'
        pattern = re.compile(f'({re.escape(begin)}).*?({re.escape(end)})', re.DOTALL)
        readme = pattern.sub(lambda match, table=table: match[1] + table + match[2], readme)  # type: ignore[misc]
    help_pages = {HELP / f'{entry["name"]}.html': _help_page(entry) for entry in own}
    return {Path('README.md'): readme} | help_pages


def _row(cells: Iterable[str]) -> str:
    return '| ' + ' | '.join(cells) + ' |\n'


def _operations_table(described: list[dict[str, Any]]) -> str:
    table = _row(['In the toolbox', 'Command', 'What it does']) + _row(['---'] * 3)
    for entry in sorted(described, key=lambda e: (e['group'], e['label'])):
        page = f'[{entry["label"]}]({HELP.as_posix()}/{entry["name"]}.html)'
        command = f'`torchgeo-ext {entry["name"].replace("_", "-")}`'
        table += _row([f'{entry["group"]}: {page}', command, entry['summary']])
    return table


def _models_table() -> str:
    table = _row(['Name', 'Task', 'What it is', 'Licence']) + _row(['---'] * 4)
    for model in ready_models():
        title = f'[{model.title}]({model.source})' if '://' in model.source else model.title
        table += _row([f'`{model.name}`', model.task, title, model.license])
    return table


def _help_page(entry: dict[str, Any]) -> str:
    parts = [f'<h1>{escape(entry["label"])}</h1>', f'<p>{escape(entry["summary"])}</p>']
    parts += [f'<p>{escape(" ".join(p.split()))}</p>' for p in entry['help'].split('\n\n') if p]
    parts += ['<h2>Parameters</h2>', '<dl>']
    for parameter in entry['parameters']:
        words = f'<b>{escape(parameter["label"])}</b> <code>{parameter["name"].upper()}</code>'
        parts += [f'<dt>{words}</dt>', f'<dd>{_detail(parameter)}</dd>']
    parts += ['</dl>', '<h2>Outputs</h2>', '<dl>']
    for output in entry['outputs']:
        words = f'<b>{escape(output["label"])}</b> <code>{output["name"].upper()}</code>'
        parts += [f'<dt>{words}</dt>', f'<dd>{escape(output["help"])}</dd>']
    command = entry['name'].replace('_', '-')
    needed = ''.join(f' --{p["name"]} …' for p in entry['parameters'] if _is_needed(p))
    parts += [
        '</dl>',
        '<h2>From a command line</h2>',
        f'<pre>torchgeo-ext {command}{needed}</pre>',
        f'<pre>qgis_process run torchgeoext:{entry["id"]} -- …</pre>',
    ]
    head = f'<!DOCTYPE html>\n<meta charset="utf-8">\n<title>{escape(entry["label"])}</title>\n'
    return head + '\n'.join(parts) + '\n'


def _is_needed(parameter: dict[str, Any]) -> bool:
    return 'default' not in parameter and not parameter['optional']


def _detail(parameter: dict[str, Any]) -> str:
    text = escape(parameter['help'])
    if parameter.get('choices'):
        text += f' One of: {", ".join(f"<code>{escape(c)}</code>" for c in parameter["choices"])}.'
    limits = [
        f'{word} {parameter[key]:g}'
        for key, word in (('minimum', 'at least'), ('maximum', 'at most'))
        if key in parameter
    ]
    if limits:
        text += f' {" and ".join(limits).capitalize()} {parameter.get("unit", "")}'.rstrip() + '.'
    if 'default' in parameter:
        text += f' Default: <code>{escape(str(parameter["default"]))}</code>.'
    return text + (' Optional.' if parameter['optional'] else '')
