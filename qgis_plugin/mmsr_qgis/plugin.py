"""The plugin: the provider in the toolbox, and the library's dialog in the menu."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication, QgsSettings
from qgis.gui import QgisInterface
from qgis.PyQt.QtCore import QCoreApplication, QLocale, QTranslator
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from .provider import ICON, MmsrProvider
from .translation import tr

TRANSLATIONS = Path(__file__).parent / "i18n"


class MmsrPlugin:
    """What QGIS loads."""

    def __init__(self, iface: QgisInterface) -> None:
        """Load the translation, if there is one. iface is None in qgis_process, which asks for the provider only."""
        self._iface = iface
        self._provider = MmsrProvider()
        self._action: QAction | None = None
        self._translator = _translator()

    def initProcessing(self) -> None:  # noqa: N802  (QGIS's name)
        """Add the provider; all that qgis_process asks for."""
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:  # noqa: N802  (QGIS's name)
        """Add the provider, and the library's dialog to the menu."""
        self.initProcessing()
        self._action = QAction(QIcon(str(ICON)), tr("Set up the library…"), self._iface.mainWindow())
        self._action.setObjectName("mmsrSetUp")
        self._action.triggered.connect(self._set_up)
        self._iface.addPluginToMenu(self._provider.name(), self._action)

    def unload(self) -> None:
        """Remove both."""
        if self._action is not None:
            self._iface.removePluginMenu(self._provider.name(), self._action)
            self._action.deleteLater()
        QgsApplication.processingRegistry().removeProvider(self._provider)
        if self._translator is not None:
            QCoreApplication.removeTranslator(self._translator)

    def _set_up(self) -> None:
        from .environment_dialog import EnvironmentDialog  # noqa: PLC0415  (windows, only when asked for)

        EnvironmentDialog(self._iface.mainWindow()).exec()


def _translator() -> QTranslator | None:
    """Install the translation into QGIS's language; None where there is none."""
    locale = QLocale(str(QgsSettings().value("locale/userLocale", QLocale().name())))
    translator = QTranslator()
    if not translator.load(locale, "mmsr_qgis", "_", str(TRANSLATIONS)):
        return None
    QCoreApplication.installTranslator(translator)
    return translator
