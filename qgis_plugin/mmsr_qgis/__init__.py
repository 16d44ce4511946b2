"""MMSR guided super-resolution for QGIS: runs the `mmsr-geo` command in a separate process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qgis.gui import QgisInterface

    from .plugin import MmsrPlugin


def classFactory(iface: QgisInterface) -> MmsrPlugin:  # noqa: N802  (QGIS asks for this name)
    """Return the plugin."""
    from .plugin import MmsrPlugin  # noqa: PLC0415  (QGIS imports this package also to read its metadata)

    return MmsrPlugin(iface)
