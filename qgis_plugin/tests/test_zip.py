"""The zip that QGIS installs and the plugin repository accepts."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from build import build
from conftest import PLUGIN, ROOT

FORBIDDEN = {"torch", "rasterio", "numpy", "mmsr_geo", "PyQt5", "PyQt6", "PySide2", "PySide6"}
LARGEST_BYTES = 25_000_000


def built_zip(folder: Path) -> Path:
    """Build the zip into a folder."""
    return build(folder)


def sources() -> list[Path]:
    return sorted(PLUGIN.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = built_zip(tmp_path / "first").read_bytes()
    for path in PLUGIN.rglob("*"):
        path.touch()  # as in another checkout
    assert built_zip(tmp_path / "second").read_bytes() == first


def test_the_zip_is_one_folder_of_texts_with_the_licence(tmp_path: Path) -> None:
    path = built_zip(tmp_path)
    assert path.stat().st_size < LARGEST_BYTES
    with ZipFile(path) as held:
        names = held.namelist()
        assert {name.split("/")[0] for name in names} == {"mmsr_qgis"}
        assert {"mmsr_qgis/LICENSE", "mmsr_qgis/metadata.txt", "mmsr_qgis/__init__.py", "mmsr_qgis/icon.svg"} <= set(
            names
        )
        for name in names:
            if not name.endswith(".qm"):  # a translation, as Qt reads it
                held.read(name).decode("utf-8")
            assert "__pycache__" not in name
        assert "GNU GENERAL PUBLIC LICENSE" in held.read("mmsr_qgis/LICENSE").decode()
    tracked = {file.relative_to(PLUGIN.parent).as_posix() for file in PLUGIN.rglob("*") if file.is_file()}
    assert {name for name in tracked if "__pycache__" not in name} == set(names)


def test_the_metadata_are_what_the_repository_requires() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(PLUGIN / "metadata.txt", "utf-8")
    general = parser["general"]
    needed = (
        "name",
        "description",
        "about",
        "version",
        "author",
        "email",
        "qgisMinimumVersion",
        "repository",
        "tracker",
    )
    assert [name for name in needed if not general.get(name)] == []
    assert (general["qgisMinimumVersion"], general["qgisMaximumVersion"]) == ("3.34", "4.99")
    assert general["hasProcessingProvider"] == "yes"
    assert general["license"] == "GPL-2.0-or-later"
    assert (PLUGIN / general["icon"]).read_text("utf-8").startswith("<svg")
    assert re.fullmatch(r"[^@\s]+@[^@\s]+", general["email"])
    assert all(general[name].startswith("https://") for name in ("homepage", "repository", "tracker"))
    assert "<" not in general["description"] + general["about"]
    version = re.search(r'__version__ = "(.+)"', (ROOT / "mmsr_geo" / "_version.py").read_text("utf-8"))
    assert version is not None
    assert general["version"] == version[1]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_a_module_imports_nothing_of_the_library_and_qt_by_qgis_only(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
    assert {name.split(".")[0] for name in imported(tree)} & FORBIDDEN == set()


def test_bandit_finds_nothing() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "bandit", "--quiet", "--recursive", str(PLUGIN)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout


QT6 = """
import ast, importlib, json, sys
import PyQt6.QtGui, PyQt6.QtWidgets
PyQt6.QtWidgets.QAction = PyQt6.QtGui.QAction  # as qgis.PyQt does
missing = []
for path in sys.argv[1:]:
    tree = ast.parse(open(path, encoding="utf-8").read())
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qgis.PyQt."):
            module = importlib.import_module("PyQt6." + node.module.rpartition(".")[2])
            for alias in node.names:
                if not hasattr(module, alias.name):
                    missing.append(f"{path}: {alias.name}")
                else:
                    known[alias.asname or alias.name] = getattr(module, alias.name)
    for node in ast.walk(tree):
        chain, part = [], node
        while isinstance(part, ast.Attribute):
            chain.insert(0, part.attr)
            part = part.value
        if chain and isinstance(part, ast.Name) and part.id in known:
            value = known[part.id]
            for name in chain:
                if not hasattr(value, name):
                    missing.append(f"{path}: {part.id}.{'.'.join(chain)}")
                    break
                value = getattr(value, name)
print(json.dumps(missing))
"""


def test_every_name_of_qt_is_one_of_qt6_too() -> None:
    """Enums without their scope, and what Qt 6 has moved or removed, would fail here."""
    qt6 = subprocess.run([sys.executable, "-c", QT6, *map(str, sources())], check=False, capture_output=True, text=True)
    assert qt6.returncode == 0, qt6.stderr
    assert qt6.stdout.strip() == "[]"
