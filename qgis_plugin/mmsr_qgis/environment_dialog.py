"""The dialog that sets up the library: it creates an environment, or takes another Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QThread, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from . import environment, interpreter, settings
from .environment import Download, SetUpError
from .interpreter import NoLibrary
from .runner import CommandStopped
from .translation import tr


class Work(QThread):
    """Runs a function in a separate thread and reports to the dialog by signals."""

    logged = pyqtSignal(str)
    progressed = pyqtSignal(float)
    succeeded = pyqtSignal(object)
    failed = pyqtSignal(str)

    def __init__(self, do: Callable[[Work], Any], parent: QWidget) -> None:
        """Keep the function until `start` is called."""
        super().__init__(parent)
        self._do = do

    def run(self) -> None:
        """Call the function; QThread calls this in the new thread."""
        try:
            result = self._do(self)
        except CommandStopped:
            self.failed.emit(tr("Stopped."))
        except (SetUpError, NoLibrary) as error:
            self.failed.emit(str(error))
        except OSError as error:
            self.failed.emit(tr("{} cannot be written ({})").format(error.filename, error.strerror))
        else:
            self.succeeded.emit(result)

    def log(self, text: str) -> None:
        """Add a line to the log."""
        self.logged.emit(text)

    def progress(self, share: float) -> None:
        """Set the progress bar, 0 to 1."""
        self.progressed.emit(share)


class EnvironmentDialog(QDialog):
    """Shows the state of the library and two ways to set it up."""

    def __init__(self, parent: QWidget | None = None, then: str | None = None) -> None:
        """Show the present state.

        Args:
            parent: the window that the dialog belongs to.
            then: id of the algorithm to open once the library is set up.
        """
        super().__init__(parent)
        self.setWindowTitle(tr("MMSR: set up the library"))
        self.setMinimumWidth(640)
        self._then = then
        self._parameters: Mapping[str, Any] = {}
        self._work: Work | None = None
        self._download: Download | None = None
        self._ready = False
        self._closed = False
        self._on_success: Callable[[Any], None] = lambda _: None
        self._folder = settings.new_environment_folder()
        self._is_unfinished = False

        self.status = QLabel(wordWrap=True)
        self.package = QLineEdit(settings.value(settings.PACKAGE))
        self.index = QLineEdit(settings.value(settings.INDEX))
        self.index.setPlaceholderText(tr("pip's default"))
        self.size_label = QLabel(tr("The size is shown before the download starts."), wordWrap=True)
        self.start = QPushButton(tr("Create an environment…"))
        self.start.clicked.connect(self._begin)
        self.stop = QPushButton(tr("Stop"), enabled=False)
        self.stop.clicked.connect(self._stop)
        self.bar = QProgressBar()
        self.log = QPlainTextEdit(readOnly=True)
        self.python = QgsFileWidget()
        self.python.setFilePath(settings.value(settings.PYTHON))
        self.test = QPushButton(tr("Test and use"))
        self.test.clicked.connect(self._test)
        self._lay_out()
        self._show_status()

    def setParameters(self, parameters: Mapping[str, Any]) -> None:  # noqa: N802  (QGIS's name)
        """Keep the parameters of the algorithm to open; Processing calls this on every dialog that it opens."""
        self._parameters = dict(parameters)

    def _lay_out(self) -> None:
        create = QGroupBox(tr("Create a Python environment for the plugin"))
        form = QFormLayout(create)
        form.addRow(tr("Package"), self.package)
        form.addRow(tr("Package index"), self.index)
        form.addRow(tr("Folder"), QLabel(str(self._folder.parent), wordWrap=True))
        form.addRow(self.size_label)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start)
        buttons.addWidget(self.stop)
        buttons.addStretch()
        form.addRow(buttons)
        form.addRow(self.bar)
        form.addRow(self.log)
        existing = QGroupBox(tr("Or use a Python that has mmsr_geo"))
        row = QHBoxLayout(existing)
        row.addWidget(self.python)
        row.addWidget(self.test)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for part in (self.status, create, existing, close):
            layout.addWidget(part)

    def _show_status(self) -> None:
        try:
            chosen = settings.chosen_interpreter()
            info = interpreter.require_library(chosen.path)
        except NoLibrary as error:
            self.status.setText(
                tr("<b>{}.</b> The plugin runs the mmsr_geo library in a Python outside QGIS.").format(error)
            )
        else:
            self.status.setText(tr("mmsr_geo {} is ready in {}.").format(info.version, chosen.path))

    def _begin(self) -> None:
        """Look up the size of the download; on the second call, with the size shown, install."""
        settings.store(settings.PACKAGE, self.package.text().strip())
        settings.store(settings.INDEX, self.index.text().strip())
        folder = self._folder
        packages = environment.pip_arguments(self.package.text().strip(), self.index.text().strip())
        download = self._download
        if download is None:

            def look_up(work: Work) -> Download:
                base = interpreter.base_python(work.isInterruptionRequested)
                environment.create(folder, base, work.log, work.isInterruptionRequested)
                return environment.look_up(folder, packages, work.log, work.isInterruptionRequested)

            self._is_unfinished = True
            self._do(look_up, self._show_size)
        else:

            def install(work: Work) -> Path:
                environment.install(folder, packages, download, work.log, work.progress, work.isInterruptionRequested)
                path = interpreter.environment_python(folder)
                work.log(tr("Testing the environment"))
                interpreter.load_library(path, work.isInterruptionRequested)
                return path

            self._do(install, self._use_created)

    def _test(self) -> None:
        """Test the chosen Python, and use it if it has the library."""
        path = Path(self.python.filePath().strip())

        def test(work: Work) -> Path:
            work.log(tr("Testing {}").format(path))
            if not path.is_file():
                raise NoLibrary(tr("There is no file {}: choose a Python, such as /usr/bin/python3").format(path))
            interpreter.load_library(path, work.isInterruptionRequested)
            return path

        self._do(test, self._use)

    def _do(self, do: Callable[[Work], Any], on_success: Callable[[Any], None]) -> None:
        """Start work in a thread."""
        self._on_success = on_success
        work = Work(do, self)
        work.logged.connect(self.log.appendPlainText)
        work.progressed.connect(self._show_progress)
        work.succeeded.connect(self._succeed)
        work.failed.connect(self._fail)
        work.finished.connect(self._idle)
        self._work = work
        self.bar.setRange(0, 0)
        for widget in (self.start, self.test, self.package, self.index):
            widget.setEnabled(False)
        self.stop.setEnabled(True)
        work.start()

    def _succeed(self, result: object) -> None:
        """Use the result of the work, unless the dialog was closed and cleaned up before the result arrived."""
        if not self._closed:
            self._on_success(result)

    def _idle(self) -> None:
        for widget in (self.start, self.test):
            widget.setEnabled(True)
        for widget in (self.package, self.index):  # the size that is shown belongs to these two
            widget.setEnabled(self._download is None)
        self.stop.setEnabled(False)
        if self.bar.maximum() == 0:
            self.bar.setRange(0, 100)
            self.bar.setValue(0)

    def _show_progress(self, share: float) -> None:
        self.bar.setRange(0, 100)
        self.bar.setValue(int(100 * share))

    def _show_size(self, download: Download) -> None:
        self._download = download
        self.size_label.setText(download.sentence(self._folder))
        self.log.appendPlainText(self.size_label.text())
        self.start.setText(tr("Download and install ({})").format(environment.size_text(download.size_bytes)))

    def _use(self, path: Path) -> None:
        settings.store(settings.PYTHON, str(path))
        self.python.setFilePath(str(path))
        self._remove_unfinished()
        self._folder = settings.new_environment_folder()
        self._ready = True
        self._show_status()
        self.log.appendPlainText(self.status.text())

    def _use_created(self, path: Path) -> None:
        created, self._is_unfinished = self._folder, False
        self._use(path)
        for folder in settings.environment_folders():  # the old one goes only now: until now it was in use
            if folder != created:
                environment.remove(folder)

    def _fail(self, message: str) -> None:
        self._remove_unfinished()
        self.status.setText(f"<b>{message}</b>")
        self.log.appendPlainText(message)

    def _remove_unfinished(self) -> None:
        if self._is_unfinished:
            environment.remove(self._folder)
            self._is_unfinished = False
        self._download = None
        self.start.setText(tr("Create an environment…"))

    def _stop(self) -> None:
        if self._work is not None:
            self._work.requestInterruption()

    def done(self, result: int) -> None:
        """Stop the work, remove an unfinished environment and close."""
        self._closed = True
        if self._work is not None and self._work.isRunning():
            self._work.requestInterruption()
            self._work.wait()
        self._remove_unfinished()
        super().done(result)
        if self._ready and self._then is not None:
            QTimer.singleShot(0, lambda: _open(self._then, self._parameters))


def _open(algorithm: str, parameters: Mapping[str, Any]) -> None:
    import processing  # noqa: PLC0415  (exists only in the desktop)

    processing.execAlgorithmDialog(algorithm, parameters)
