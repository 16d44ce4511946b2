"""Translation of every text that the plugin shows."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QLocale, QTranslator

CONTEXT = "mmsr_qgis"
FOLDER = Path(__file__).parent / "i18n"


def tr(text: str) -> str:
    """Return `text` in the language of QGIS, or unchanged where there is no translation."""
    return str(QCoreApplication.translate(CONTEXT, text))


def install() -> QTranslator | None:
    """Install the translator for the language of QGIS; return None where the plugin has no translation into it."""
    locale = QLocale(str(QgsSettings().value("locale/userLocale", QLocale().name())))
    translator = QTranslator()
    if not translator.load(locale, CONTEXT, "_", str(FOLDER)):
        return None
    QCoreApplication.installTranslator(translator)
    return translator


def uninstall(translator: QTranslator | None) -> None:
    """Remove a translator that `install` returned."""
    if translator is not None:
        QCoreApplication.removeTranslator(translator)
