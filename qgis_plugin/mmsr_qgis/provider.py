"""The group in the Processing toolbox."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import settings
from .algorithms import Evaluate, Fit, Upsample
from .translation import tr

ICON = Path(__file__).parent / "icon.svg"


class MmsrProvider(QgsProcessingProvider):
    """MMSR guided super-resolution."""

    def id(self) -> str:
        """Return the part of an algorithm's id before the colon."""
        return "mmsr"

    def name(self) -> str:
        """Return the group's name."""
        return tr("MMSR guided super-resolution")

    def longName(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the group's name."""
        return self.name()

    def icon(self) -> QIcon:
        """Return the group's icon."""
        return QIcon(str(ICON))

    def load(self) -> bool:
        """Register the settings and the algorithms."""
        settings.register(self.name(), self.icon())
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Unregister the settings."""
        settings.unregister()

    def loadAlgorithms(self) -> None:  # noqa: N802  (QGIS's name)
        """Add the algorithms."""
        for algorithm in (Upsample(), Evaluate(), Fit()):
            self.addAlgorithm(algorithm)

    def supportedOutputRasterLayerExtensions(self) -> list[str]:  # noqa: N802  (QGIS's name)
        """Return the file name endings of the rasters that the command writes."""
        return ["tif"]

    def defaultRasterFileExtension(self) -> str:  # noqa: N802  (QGIS's name)
        """Return the ending of temporary rasters."""
        return "tif"
