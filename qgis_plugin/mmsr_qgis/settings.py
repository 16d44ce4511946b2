"""What a user sets under Settings > Options > Processing > Providers, and where the environment lies."""

from __future__ import annotations

import os
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QIcon

from . import interpreter
from .parameters import described
from .translation import tr

PYTHON, PACKAGE, INDEX = "MMSR_PYTHON", "MMSR_PACKAGE", "MMSR_INDEX"


def register(group: str, icon: QIcon) -> None:
    """Add the settings to Processing's."""
    ProcessingConfig.settingIcons[group] = icon
    ProcessingConfig.addSetting(
        Setting(
            group,
            PYTHON,
            tr("Python that has mmsr_geo (the plugin's environment, if empty)"),
            "",
            valuetype=Setting.FILE,
        )
    )
    ProcessingConfig.addSetting(
        Setting(group, PACKAGE, tr("What to install: a name and version, or a wheel"), default_package())
    )
    ProcessingConfig.addSetting(Setting(group, INDEX, tr("Package index to install from (pip's own, if empty)"), ""))
    ProcessingConfig.readSettings()


def unregister() -> None:
    """Remove the settings from Processing's; what was set stays for the next time."""
    for name in (PYTHON, PACKAGE, INDEX):
        ProcessingConfig.removeSetting(name)


def default_package() -> str:
    """Return the library of the version that this plugin was made with."""
    return f"mmsr-geo=={described()['version']}"


def value(name: str) -> str:
    """Return what is set, without blanks around it."""
    return str(ProcessingConfig.getSetting(name) or "").strip()


def store(name: str, text: str) -> None:
    """Set it."""
    ProcessingConfig.setSettingValue(name, text)


def environment_folders() -> tuple[Path, Path]:
    """Return where virtual environments of the plugin may lie: two places, so that a new one never costs the old."""
    settings = Path(QgsApplication.qgisSettingsDirPath()) / "mmsr_geo"
    return settings / "environment", settings / "environment_2"


def new_environment_folder() -> Path:
    """Return where the next one goes: the place that is not in use."""
    first, second = environment_folders()
    try:
        in_use = chosen_interpreter().path
    except interpreter.NoLibrary:
        return first
    return second if in_use == interpreter.environment_python(first) else first


def chosen_interpreter() -> interpreter.Interpreter:
    """Return the Python to use; raises NoLibrary where there is none."""
    folders = environment_folders()
    made = next((folder for folder in folders if interpreter.environment_python(folder).is_file()), folders[0])
    return interpreter.chosen(value(PYTHON), os.environ, made)
