"""The dialog that says what of the library is missing, makes the environment, or takes another Python."""

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
    """Does something beside the window, and tells it."""

    said = pyqtSignal(str)
    progressed = pyqtSignal(float)
    succeeded = pyqtSignal(object)
    failed = pyqtSignal(str)

    def __init__(self, do: Callable[[Work], Any], parent: QWidget) -> None:
        """Wait to be started."""
        super().__init__(parent)
        self._do = do

    def run(self) -> None:
        """Do it; in a thread of its own."""
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

    def tell(self, text: str) -> None:
        """Pass a line on."""
        self.said.emit(text)

    def progress(self, share: float) -> None:
        """Pass a share on, 0..1."""
        self.progressed.emit(share)


class EnvironmentDialog(QDialog):
    """What is missing, and two ways to have it."""

    def __init__(self, parent: QWidget | None = None, then: str | None = None) -> None:
        """Show what there is. then: the algorithm to open once the library is there."""
        super().__init__(parent)
        self.setWindowTitle(tr("MMSR: set up the library"))
        self.setMinimumWidth(640)
        self._then = then
        self._parameters: Mapping[str, Any] = {}
        self._work: Work | None = None
        self._download: Download | None = None
        self._ready = False
        self._closed = False
        self._take: Callable[[Any], None] = lambda _: None
        self._folder = settings.new_environment_folder()
        self._is_half_made = False

        self.status = QLabel(wordWrap=True)
        self.package = QLineEdit(settings.value(settings.PACKAGE))
        self.index = QLineEdit(settings.value(settings.INDEX))
        self.index.setPlaceholderText(tr("pip's own"))
        self.size_label = QLabel(tr("The size is shown before anything is downloaded."), wordWrap=True)
        self.start = QPushButton(tr("Make an environment…"))
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
        """Keep what the algorithm is to be opened with; Processing calls this of any dialog that it opens."""
        self._parameters = dict(parameters)

    def _lay_out(self) -> None:
        made = QGroupBox(tr("Make a Python environment of the plugin's own"))
        form = QFormLayout(made)
        form.addRow(tr("What to install"), self.package)
        form.addRow(tr("Package index"), self.index)
        form.addRow(tr("Where"), QLabel(str(self._folder.parent), wordWrap=True))
        form.addRow(self.size_label)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start)
        buttons.addWidget(self.stop)
        buttons.addStretch()
        form.addRow(buttons)
        form.addRow(self.bar)
        form.addRow(self.log)
        own = QGroupBox(tr("Or use a Python that has mmsr_geo"))
        row = QHBoxLayout(own)
        row.addWidget(self.python)
        row.addWidget(self.test)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for part in (self.status, made, own, close):
            layout.addWidget(part)

    def _show_status(self) -> None:
        try:
            chosen = settings.chosen_interpreter()
            found = interpreter.checked(chosen.path)
        except NoLibrary as error:
            self.status.setText(
                tr("<b>{}.</b> The work is done outside of QGIS, in a Python that has the mmsr_geo library.").format(
                    error
                )
            )
        else:
            self.status.setText(tr("mmsr_geo {} is ready, in {}.").format(found.version, chosen.path))

    def _begin(self) -> None:
        """Look the download's size up; once that is shown, install."""
        settings.store(settings.PACKAGE, self.package.text().strip())
        settings.store(settings.INDEX, self.index.text().strip())
        folder = self._folder
        what = environment.wanted(self.package.text().strip(), self.index.text().strip())
        download = self._download
        if download is None:

            def look(work: Work) -> Download:
                base = interpreter.base_python(work.isInterruptionRequested)
                environment.make(folder, base, work.tell, work.isInterruptionRequested)
                return environment.download_of(folder, what, work.tell, work.isInterruptionRequested)

            self._is_half_made = True
            self._do(look, self._show_size)
        else:

            def install(work: Work) -> Path:
                environment.install(folder, what, download, work.tell, work.progress, work.isInterruptionRequested)
                path = interpreter.environment_python(folder)
                work.tell(tr("Testing it"))
                interpreter.tested(path, work.isInterruptionRequested)
                return path

            self._do(install, self._use_made)

    def _test(self) -> None:
        """Test the Python that is named, and use it if it has the library."""
        path = Path(self.python.filePath().strip())

        def test(work: Work) -> Path:
            work.tell(tr("Testing {}").format(path))
            if not path.is_file():
                raise NoLibrary(tr("There is no file {}: name the program, as in /usr/bin/python3").format(path))
            interpreter.tested(path, work.isInterruptionRequested)
            return path

        self._do(test, self._use)

    def _do(self, do: Callable[[Work], Any], then: Callable[[Any], None]) -> None:
        """Start work."""
        self._take = then
        work = Work(do, self)
        work.said.connect(self.log.appendPlainText)
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
        """Take what the work gave, unless the dialog was closed before that arrived and has cleared up."""
        if not self._closed:
            self._take(result)

    def _idle(self) -> None:
        for widget in (self.start, self.test):
            widget.setEnabled(True)
        for widget in (self.package, self.index):  # what is to be installed is what the size was told of
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
        self._remove_half_made()
        self._folder = settings.new_environment_folder()
        self._ready = True
        self._show_status()
        self.log.appendPlainText(self.status.text())

    def _use_made(self, path: Path) -> None:
        made, self._is_half_made = self._folder, False
        self._use(path)
        for folder in settings.environment_folders():  # only now: what is set is there all the time
            if folder != made:
                environment.remove(folder)

    def _fail(self, message: str) -> None:
        self._remove_half_made()
        self.status.setText(f"<b>{message}</b>")
        self.log.appendPlainText(message)

    def _remove_half_made(self) -> None:
        if self._is_half_made:
            environment.remove(self._folder)
            self._is_half_made = False
        self._download = None
        self.start.setText(tr("Make an environment…"))

    def _stop(self) -> None:
        if self._work is not None:
            self._work.requestInterruption()

    def done(self, result: int) -> None:
        """Close; what is being done is stopped first, and an environment that is not whole removed."""
        self._closed = True
        if self._work is not None and self._work.isRunning():
            self._work.requestInterruption()
            self._work.wait()
        self._remove_half_made()
        super().done(result)
        if self._ready and self._then is not None:
            QTimer.singleShot(0, lambda: _open(self._then, self._parameters))


def _open(algorithm: str, parameters: Mapping[str, Any]) -> None:
    import processing  # noqa: PLC0415  (there only where the desktop is)

    processing.execAlgorithmDialog(algorithm, parameters)
