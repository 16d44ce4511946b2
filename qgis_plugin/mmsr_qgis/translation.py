"""Words for people, in their language: every text that this plugin shows goes through here."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication

CONTEXT = "mmsr_qgis"


def tr(text: str) -> str:
    """Return `text` in QGIS's language, or as it is where there is no translation."""
    return str(QCoreApplication.translate(CONTEXT, text))
