"""The command ``torchgeo-ext``: one subcommand per operation, made from its description.

``fit``, ``validate``, ``test`` and ``predict`` are LightningCLI's, with everything plugins
registered; ``init`` writes a configuration for them. ``plugins``, ``catalog`` and ``docs`` look
after the package itself.
"""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from torchgeo_ext import __version__
from torchgeo_ext.cli._bar import Bar
from torchgeo_ext.cli._init import add_init
from torchgeo_ext.errors import BadInput, BadParameter, Canceled, TorchgeoExtError
from torchgeo_ext.threads import yield_when_idle

LIGHTNING = {
    'fit': 'Train a task on a data module, as a YAML file says.',
    'validate': 'Run the validation of a task.',
    'test': 'Run the test of a task.',
    'predict': 'Run the prediction of a task.',
}
#: Exit codes, as shells and schedulers expect them.
OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; by default those it was started with.

    Returns:
        0 when all went well, 2 for arguments and inputs that cannot be used, 130 when interrupted,
        1 for everything else.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    yield_when_idle()
    if words and words[0] in LIGHTNING:
        # None: LightningCLI takes those of the process itself, and complains of a copy
        given = None if arguments is None else words
        return _run(lambda: _lightning(given), verbose=False)
    options = _parser().parse_args(list(_joined(words)))
    return _run(lambda: options.run(options), options.verbose)


def _joined(words: Sequence[str]) -> Iterator[str]:
    """Join options and values such as ``-10,35,40,60``, which argparse takes for other options."""
    following = [*words[1:], '']
    pairs = zip(words, following, strict=False)
    for word, value in pairs:
        if word.startswith('--') and '=' not in word and re.match(r'-[\d.]+,', value):
            yield f'{word}={value}'
            next(pairs)
        else:
            yield word


def _run(command: Callable[[], None], verbose: bool) -> int:
    """Run a command, say in words what went wrong, and give the exit code."""
    logging.basicConfig(level=logging.INFO, format='%(levelname)s: %(message)s', stream=sys.stderr)
    logging.getLogger().setLevel(logging.WARNING)
    # libraries' warnings are for developers
    logging.captureWarnings(True)
    logging.getLogger('py.warnings').setLevel(logging.DEBUG if verbose else logging.ERROR)
    logging.getLogger('torchgeo_ext').setLevel(logging.DEBUG if verbose else logging.INFO)
    try:
        command()
    except (Canceled, KeyboardInterrupt):
        print('Canceled.', file=sys.stderr)
        return INTERRUPTED
    except TorchgeoExtError as error:
        if verbose:
            logging.getLogger(__name__).exception('Traceback')
        print(f'error: {error.message}', *filter(None, [error.hint]), sep='\n  ', file=sys.stderr)
        return USAGE if isinstance(error, BadParameter | BadInput) else FAILED
    return OK


def _lightning(words: list[str] | None) -> None:
    from torchgeo_ext.cli._fit import run

    run(words)


def _parser() -> argparse.ArgumentParser:
    from torchgeo_ext.registry import operations

    parser = argparse.ArgumentParser(prog='torchgeo-ext', description=__doc__.split('\n\n')[0])
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for name in operations:
        _add_operation(commands, operations[name].operation)
    for name, summary in LIGHTNING.items():
        commands.add_parser(name, help=summary, add_help=False)
    _add_housekeeping(commands)
    return parser


def _add_operation(commands: Any, operation: Any) -> None:
    parser = commands.add_parser(
        operation.command, help=operation.summary, description=operation.summary,
        epilog=operation.help, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    needed = parser.add_argument_group('needed')
    usual = parser.add_argument_group('options')
    advanced = parser.add_argument_group('advanced')
    for parameter in operation.parameters:
        group = needed if parameter.required else advanced if parameter.advanced else usual
        group.add_argument(f'--{parameter.name.replace("_", "-")}', **_argument(parameter))
    _add_common(usual)
    usual.add_argument('--json', action='store_true', help='Print the outputs as one JSON object.')
    parser.set_defaults(run=_run_operation, operation=operation)


def _add_common(group: Any) -> None:
    group.add_argument('--verbose', action='store_true', help='Tell more, also where errors arose.')


def _argument(parameter: Any) -> dict[str, Any]:
    detail = parameter.detail
    text = parameter.help + (f' Unit: {detail.unit}.' if detail.unit else '')
    limits = [f'{value:.10g}' for value in (detail.minimum, detail.maximum) if value is not None]
    text += f' Range: {" to ".join(limits)}.' if len(limits) == 2 else ''
    if parameter.default not in (None, ''):
        text += f' Default: {parameter.default}.'
    settings: dict[str, Any] = {
        'dest': parameter.name,
        'required': parameter.required,
        'default': None,
        'help': text.replace('%', '%%'),
        'metavar': _METAVARS.get(parameter.kind, parameter.kind.upper()),
    }
    if parameter.kind == 'boolean':
        return {k: v for k, v in settings.items() if k != 'metavar'} | {
            'action': argparse.BooleanOptionalAction
        }
    if parameter.kind in ('choice', 'model'):
        settings |= {'choices': parameter.all_choices(), 'metavar': None}
    if parameter.kind in ('rasters', 'bands') or parameter.multiple:
        settings['nargs'] = '+'
    types = {'integer': int, 'number': float, 'bands': _bands}
    if parameter.kind in types:
        settings['type'] = types[parameter.kind]
    return settings


def _bands(text: str) -> list[int]:
    """Read numbers of bands as logs and results write them: ``7``, ``1,2,3`` or ``1-3``."""
    numbers: list[int] = []
    for word in text.strip(',').split(','):
        ends = re.fullmatch(r'\s*(\d+)(?:-(\d+))?\s*', word)
        found = range(int(ends[1]), int(ends[2] or ends[1]) + 1) if ends else range(0)
        if not found:
            raise argparse.ArgumentTypeError(f'{text!r} is no list of bands such as 1,2,5-9')
        numbers += found
    return numbers


_METAVARS = {
    'raster': 'FILE', 'rasters': 'FILE', 'features': 'FILE', 'layer': 'FILE', 'file': 'FILE',
    'raster_out': 'FILE', 'vector_out': 'FILE', 'file_out': 'FILE', 'folder_out': 'FOLDER',
    'bands': 'BAND', 'extent': 'XMIN,YMIN,XMAX,YMAX', 'table': 'JSON', 'integer': 'N',
    'number': 'X',
}  # fmt: skip


def _run_operation(options: argparse.Namespace) -> None:
    from torchgeo_ext.plugins import plugins

    parameters = {}
    for parameter in options.operation.parameters:
        value = getattr(options, parameter.name)
        if value is not None:
            lists = parameter.kind == 'bands'
            parameters[parameter.name] = list(chain.from_iterable(value)) if lists else value
    with Bar() as bar:
        result = plugins().hook.run_operation(
            operation=options.operation, parameters=parameters, progress=bar
        )
    outputs = {o.name: getattr(result, o.name) for o in options.operation.outputs}
    if options.json:
        print(json.dumps(outputs, default=os.fspath))
        return
    for name, value in outputs.items():
        if value is not None:
            print(f'{name}: {value}')


def _add_housekeeping(commands: Any) -> None:
    plugin = commands.add_parser('plugins', help='List plugins and what went wrong with them.')
    plugin.set_defaults(run=_plugins)
    catalog = commands.add_parser('catalog', help='Write the descriptions of all operations.')
    catalog.add_argument('--write', type=Path, metavar='FOLDER', help='Update the files in FOLDER.')
    catalog.set_defaults(run=_catalog)
    docs = commands.add_parser('docs', help='Update the generated tables and help pages.')
    docs.add_argument('folder', type=Path, help='Folder with README.md.')
    docs.set_defaults(run=_docs)
    for parser in (add_init(commands), plugin, catalog, docs):
        _add_common(parser)


def _plugins(options: argparse.Namespace) -> None:
    from torchgeo_ext import registry
    from torchgeo_ext.plugins import plugins

    for known in registry.ALL:
        len(known)
    for plugin in plugins().all:
        print(f'{plugin.name} {plugin.version}: {plugin.error or "ok"}')


def _catalog(options: argparse.Namespace) -> None:
    from torchgeo_ext.operations._catalog import catalog, write_catalog

    if options.write is None:
        print(json.dumps(catalog(), indent=1, ensure_ascii=False))
        return
    for name in write_catalog(options.write):
        print(f'changed: {name}')


def _docs(options: argparse.Namespace) -> None:
    from torchgeo_ext.operations._pages import write_pages

    for name in write_pages(options.folder):
        print(f'changed: {name}')
