"""The settings under Settings > Options > Processing > Providers, and the folders of the environments."""

from __future__ import annotations

import os
from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QIcon

from . import interpreter
from .commands import description
from .translation import tr

PYTHON, PACKAGE, INDEX = "MMSR_PYTHON", "MMSR_PACKAGE", "MMSR_INDEX"


def register(group: str, icon: QIcon) -> None:
    """Add the settings to those of Processing."""
    ProcessingConfig.settingIcons[group] = icon
    ProcessingConfig.addSetting(
        Setting(
            group,
            PYTHON,
            tr("Python with mmsr_geo (if empty: the plugin's environment)"),
            "",
            valuetype=Setting.FILE,
        )
    )
    ProcessingConfig.addSetting(
        Setting(group, PACKAGE, tr("Package to install (name and version, or a wheel)"), default_package())
    )
    ProcessingConfig.addSetting(Setting(group, INDEX, tr("Package index (if empty: pip's default)"), ""))
    ProcessingConfig.readSettings()


def unregister() -> None:
    """Remove the settings from those of Processing; their values stay stored."""
    for name in (PYTHON, PACKAGE, INDEX):
        ProcessingConfig.removeSetting(name)


def default_package() -> str:
    """Return the name and version of the library that this plugin was made for."""
    return f"mmsr-geo=={description()['version']}"


def value(name: str) -> str:
    """Return the value of a setting, without blanks around it."""
    return str(ProcessingConfig.getSetting(name) or "").strip()


def store(name: str, text: str) -> None:
    """Store the value of a setting."""
    ProcessingConfig.setSettingValue(name, text)


def environment_folders() -> tuple[Path, Path]:
    """Return the two folders for virtual environments: a new one is created next to the one in use."""
    settings = Path(QgsApplication.qgisSettingsDirPath()) / "mmsr_geo"
    return settings / "environment", settings / "environment_2"


def new_environment_folder() -> Path:
    """Return the folder for the next environment: the one that is not in use."""
    first, second = environment_folders()
    try:
        in_use = chosen_interpreter().path
    except interpreter.NoLibrary:
        return first
    return second if in_use == interpreter.environment_python(first) else first


def chosen_interpreter() -> interpreter.Interpreter:
    """Return the Python to use.

    Raises:
        interpreter.NoLibrary: there is none.
    """
    folders = environment_folders()
    existing = next((folder for folder in folders if interpreter.environment_python(folder).is_file()), folders[0])
    return interpreter.choose(value(PYTHON), os.environ, existing)
