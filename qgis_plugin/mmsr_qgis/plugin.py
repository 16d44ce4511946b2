"""The plugin: the provider in the toolbox, and the dialog that sets up the library in the menu."""

from __future__ import annotations

from qgis.core import QgsApplication
from qgis.gui import QgisInterface
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from . import translation
from .provider import ICON, MmsrProvider
from .translation import tr


class MmsrPlugin:
    """The object that QGIS loads."""

    def __init__(self, iface: QgisInterface) -> None:
        """Load the translation, if there is one.

        Args:
            iface: the main window's interface; None in qgis_process, which only loads the provider.
        """
        self._iface = iface
        self._provider = MmsrProvider()
        self._action: QAction | None = None
        self._translator = translation.install()

    def initProcessing(self) -> None:  # noqa: N802  (QGIS's name)
        """Add the provider; qgis_process calls nothing else."""
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:  # noqa: N802  (QGIS's name)
        """Add the provider, and the set-up dialog to the menu."""
        self.initProcessing()
        self._action = QAction(QIcon(str(ICON)), tr("Set up the library…"), self._iface.mainWindow())
        self._action.setObjectName("mmsrSetUp")
        self._action.triggered.connect(self._set_up)
        self._iface.addPluginToMenu(self._provider.name(), self._action)

    def unload(self) -> None:
        """Remove the provider, the menu entry and the translation."""
        if self._action is not None:
            self._iface.removePluginMenu(self._provider.name(), self._action)
            self._action.deleteLater()
        QgsApplication.processingRegistry().removeProvider(self._provider)
        translation.uninstall(self._translator)

    def _set_up(self) -> None:
        from .environment_dialog import EnvironmentDialog  # noqa: PLC0415  (windows, only when they are opened)

        EnvironmentDialog(self._iface.mainWindow()).exec()
