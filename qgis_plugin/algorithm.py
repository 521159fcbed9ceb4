"""The one algorithm class: an operation as QGIS sees it, built from its description."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsMessageLog,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
)
from qgis.PyQt.QtCore import QCoreApplication, QThread
from qgis.PyQt.QtGui import QIcon

from . import compat, outputs
from .checks import Values, run_checks
from .engine.locate import find_python
from .engine.pool import EnginePool
from .engine.problems import EngineCanceled, EngineProblem, EngineUnusable
from .inputs import LAYERS, Reader
from .layers import Unusable
from .parameters import DESTINATIONS, Description, make_output, make_parameters, qgis_name
from .settings import read_settings

LOG = 'TorchGeo'
HELP = Path(__file__).resolve().parent / 'help'


class OperationAlgorithm(QgsProcessingAlgorithm):
    """An operation of the engine.

    Args:
        described: The description of the operation.
        pool: Where engines come from.
        icon: Shown in the toolbox.
    """

    def __init__(self, described: Description, pool: EnginePool, icon: QIcon) -> None:
        super().__init__()
        self._described = described
        self._pool = pool
        self._icon = icon
        self._inputs: dict[str, Any] = {}

    def createInstance(self) -> OperationAlgorithm:
        """Give QGIS a fresh one for each run."""
        return OperationAlgorithm(self._described, self._pool, self._icon)

    def name(self) -> str:
        """The id; saved models and scripts hold it, so it never changes."""
        return self._described['id']

    def displayName(self) -> str:
        """Name in the toolbox."""
        return self._described['label']

    def group(self) -> str:
        """Group in the toolbox."""
        return self._described['group']

    def groupId(self) -> str:
        """Id of the group."""
        return self._described['group_id']

    def tags(self) -> list[str]:
        """Further words to find it by."""
        return self._described.get('tags', [])

    def shortDescription(self) -> str:
        """One sentence, shown as tooltip."""
        return self._described['summary']

    def shortHelpString(self) -> str:
        """The text beside the dialog, or what ``qgis_process`` prints above the parameters."""
        return help_text(self._described, rich=QgsApplication.platform() == 'desktop')

    def helpUrl(self) -> str:
        """The page with all details; operations of third parties have none."""
        page = HELP / f'{self._described["name"]}.html'
        return page.as_uri() if page.is_file() else ''

    def icon(self) -> QIcon:
        """The icon of the provider."""
        return self._icon

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        """Declare parameters and outputs."""
        described = self._described['parameters']
        for parameter in make_parameters(described):
            self.addParameter(parameter)
        destinations = {entry['name'] for entry in described if entry['kind'] in DESTINATIONS}
        for output in self._described['outputs']:
            if output['name'] not in destinations:
                self.addOutput(make_output(output))

    def checkParameterValues(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Refuse what cannot work before anything is started."""
        reader = Reader(self, parameters, context)
        described = self._described['parameters']
        try:
            self._check_values(parameters, context)
            reader.check(described)
            run_checks(self._described['checks'], Values(reader, described))
            find_python(read_settings().python)
        except (Unusable, EngineUnusable) as problem:
            return False, str(problem)
        return super().checkParameterValues(parameters, context)

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> bool:
        """Read all inputs while on the main thread."""
        reader = Reader(self, parameters, context)
        try:
            self._inputs = reader.inputs(self._described['parameters'])
        except Unusable as problem:
            raise QgsProcessingException(str(problem)) from problem
        for note in reader.notes:
            feedback.pushWarning(note)
        return True

    def processAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """Let the engine do the work."""
        try:
            destinations = Reader(self, parameters, context).destinations(
                self._described['parameters']
            )
        except Unusable as problem:
            raise QgsProcessingException(str(problem)) from problem
        result = self._run({**self._inputs, **destinations}, destinations.values(), feedback)
        made = result['outputs']
        outputs.style_layers(self.id(), result.get('styles') or {}, made, context)
        return outputs.results(self._described['outputs'], made)

    def _check_values(self, parameters: dict[str, Any], context: QgsProcessingContext) -> None:
        """Say what is expected where QGIS would only say that a value is incorrect."""
        for described in self._described['parameters']:
            name = qgis_name(described['name'])
            value = parameters.get(name)
            if self.parameterDefinition(name).checkValueIsAcceptable(value, context):
                continue
            if value in (None, ''):
                raise Unusable(f'{described["label"]} is missing.', described['help'])
            if described['kind'] in LAYERS:
                continue  # the reader knows more about layers
            raise Unusable(
                f'{described["label"]} is {value!r}, but must be {_expected(described)}.',
                described['help'],
            )

    def _run(
        self, job: dict[str, Any], destinations: Iterable[str], feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        settings = read_settings()
        try:
            return self._pool.run(
                find_python(settings.python),
                self._described['name'],
                job,
                feedback,
                handle_events,
                settings.idle_seconds,
            )
        except EngineProblem as problem:
            outputs.remove_unfinished(destinations)
            self._report(problem, feedback)
            raise QgsProcessingException(str(problem)) from problem

    def _report(self, problem: EngineProblem, feedback: QgsProcessingFeedback) -> None:
        """Put into the log what would only frighten in a dialog."""
        if isinstance(problem, EngineCanceled):
            for name, path in problem.kept.items():
                feedback.pushInfo(f'{name} was kept: {path}')
        elif problem.details:
            QgsMessageLog.logMessage(f'{problem}\n{problem.details}', LOG, compat.WARNING, False)
            if problem.kind == 'internal':
                feedback.pushDebugInfo(problem.details)


def handle_events() -> None:
    """Keep the program responsive, and Ctrl-C heard, when the main thread has to wait."""
    application = QCoreApplication.instance()
    if application is not None and QThread.currentThread() == application.thread():
        QCoreApplication.processEvents()


def help_text(described: Description, rich: bool) -> str:
    """Build the help of an operation from its description.

    Args:
        described: The description.
        rich: HTML with parameters and outputs, else plain text of what the operation does.

    Returns:
        The help.
    """
    # lines of a paragraph are joined: QGIS makes a paragraph of each line
    blocks = [described['summary'], *described['help'].split('\n\n')]
    paragraphs = [' '.join(block.split()) for block in blocks if block.strip()]
    if not rich:
        return '\n'.join(paragraphs)
    names = {parameter['name'] for parameter in described['parameters']}
    others = [output for output in described['outputs'] if output['name'] not in names]
    text = ''.join(f'<p>{html.escape(paragraph)}</p>' for paragraph in paragraphs)
    for title, entries in (('Parameters', described['parameters']), ('Outputs', others)):
        if entries:
            text += f'<h3>{title}</h3>' + ''.join(map(_help_entry, entries))
    return text


def _help_entry(entry: Description) -> str:
    return f'<p><b>{html.escape(entry["label"])}</b><br>{html.escape(entry["help"])}</p>'


def _expected(described: Description) -> str:
    """Words for the values a parameter takes."""
    kind = described['kind']
    if kind in ('choice', 'model') and described.get('choices'):
        return 'one of ' + ', '.join(described['choices'])
    if kind in ('integer', 'number'):
        text = 'a whole number' if kind == 'integer' else 'a number'
        for word, limit in (('from', 'minimum'), ('to', 'maximum')):
            if described.get(limit) is not None:
                text += f' {word} {described[limit]:g}'
        return f'{text} {described.get("unit", "")}'.rstrip()
    return _EXPECTED.get(kind, 'something else')


_EXPECTED = {
    'bands': 'a list of band numbers, counted from 1',
    'boolean': 'true or false',
    'crs': 'a coordinate reference system',
    'extent': 'an extent (xmin,xmax,ymin,ymax [CRS])',
    'field': 'the name of a field',
    'file': 'a file',
    'file_out': 'the name of a file',
    'folder': 'a folder',
    'folder_out': 'a folder',
    'raster_out': 'the name of a raster file',
    'table': 'a list of values',
    'text': 'a text',
    'vector_out': 'the name of a vector file',
}
