"""The TorchGeo page in Settings ‣ Options: which engine, and how long it stays."""

from __future__ import annotations

import html

from qgis.core import QgsProcessingFeedback
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressDialog,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ..algorithm import handle_events
from ..engine.locate import find_python
from ..engine.problems import EngineProblem
from ..provider import TorchGeoProvider
from ..settings import EngineSettings, read_settings, write_settings


class EngineOptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page each time the options are opened.

    Args:
        provider: Runs the test, and shows other operations when the engine was changed.
    """

    def __init__(self, provider: TorchGeoProvider) -> None:
        super().__init__('TorchGeo', provider.icon())
        self._provider = provider

    def createWidget(self, parent: QWidget | None = None) -> EngineOptionsPage:
        """Called by QGIS."""
        return EngineOptionsPage(self._provider, parent)


class EngineOptionsPage(QgsOptionsPageWidget):
    """The page.

    Args:
        provider: See the factory.
        parent: The options window.
    """

    def __init__(self, provider: TorchGeoProvider, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._provider = provider
        settings = read_settings()
        self.python = QgsFileWidget()
        self.python.setFilePath(settings.python)
        self.python.setDialogTitle('Python of the engine')
        self.python.lineEdit().setPlaceholderText('Look for it')
        self.test = QPushButton('Test')
        self.test.clicked.connect(self.show_status)
        self.status = QLabel('')
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.keep = QCheckBox('Keep the engine ready after a run (it holds its memory meanwhile)')
        self.keep.setChecked(settings.keep)
        self.minutes = QSpinBox()
        self.minutes.setRange(1, 240)
        self.minutes.setValue(settings.idle_minutes)
        self.minutes.setSuffix(' min')
        self.minutes.setEnabled(settings.keep)
        self.keep.toggled.connect(self.minutes.setEnabled)
        self._arrange()

    def apply(self) -> None:
        """Called by QGIS when the user accepts the options."""
        before, after = read_settings(), self.settings()
        if before == after:
            return
        write_settings(after)
        self._provider.pool.close()
        if before.python != after.python:
            self._provider.refreshAlgorithms()

    def settings(self) -> EngineSettings:
        """What the page shows now."""
        return EngineSettings(
            python=self.python.filePath().strip(),
            keep=self.keep.isChecked(),
            idle_minutes=self.minutes.value(),
        )

    def show_status(self) -> None:
        """Start the engine that is shown and say what it says about itself."""
        self.status.setText(status_text(self._provider, self.settings(), self._ask_to_wait()))

    def _arrange(self) -> None:
        engine, life = QGroupBox('Engine'), QGroupBox('Between two runs')
        form = QFormLayout(engine)
        form.addRow('Python', self.python)
        line = QHBoxLayout()
        line.addWidget(self.test)
        line.addStretch()
        form.addRow('', line)
        form.addRow('', self.status)
        form = QFormLayout(life)
        form.addRow(self.keep)
        line = QHBoxLayout()
        line.addWidget(self.minutes)
        line.addStretch()
        form.addRow('End it when unused for', line)
        layout = QVBoxLayout(self)
        layout.addWidget(engine)
        layout.addWidget(life)
        layout.addStretch()

    def _ask_to_wait(self) -> QProgressDialog:
        dialog = QProgressDialog('Starting the engine ...', 'Cancel', 0, 0, self)
        # modal, so that the page cannot be closed while its engine is being talked to
        dialog.setWindowModality(Qt.WindowModality.ApplicationModal)
        dialog.setMinimumDuration(500)
        return dialog


class _DialogFeedback(QgsProcessingFeedback):
    """Cancels with a dialog."""

    def __init__(self, dialog: QProgressDialog) -> None:
        super().__init__(False)
        dialog.canceled.connect(self.cancel)


def status_text(
    provider: TorchGeoProvider, settings: EngineSettings, dialog: QProgressDialog
) -> str:
    """Ask an engine about itself.

    Args:
        provider: Runs the question.
        settings: Which engine, and how long it may stay.
        dialog: Shown meanwhile, closed afterwards.

    Returns:
        The answer, or what went wrong, as HTML.
    """
    try:
        python = find_python(settings.python)
        result = provider.pool.run(
            python,
            'engine_status',
            {'load_torch': True},
            _DialogFeedback(dialog),
            handle_events,
            settings.idle_seconds,
        )
    except EngineProblem as problem:
        return f'<b>Not ready.</b> {_html(str(problem))}'
    finally:
        dialog.close()
    status = result['outputs']
    head = 'Ready.' if status['ready'] else 'Not ready.'
    facts = [
        str(python),
        status['state'],
        f'Devices: {status["device"]}',
        status['action_required'],
    ]
    return f'<b>{head}</b> ' + '<br>'.join(_html(fact) for fact in facts if fact)


def _html(text: str) -> str:
    return html.escape(text).replace('\n', '<br>')
