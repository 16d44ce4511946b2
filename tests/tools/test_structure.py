"""tools/structure.py counts rooms, floors, arrows and circles of a small package as one counts them by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STRUCTURE = Path(__file__).parents[2] / "tools" / "structure.py"
LAYERS = """
[tool.importlinter]
root_package = "mmsr_geo"
[[tool.importlinter.contracts]]
name = "Imports point down"
type = "layers"
containers = ["mmsr_geo"]
layers = ["cli", "(api)", "work | play", "ground"]
"""
FILES = {
    "mmsr_geo/__init__.py": '"""The package."""\nfrom mmsr_geo.api import call\n',
    "mmsr_geo/api.py": '"""The door."""\nfrom mmsr_geo.work.one import call\n',
    "mmsr_geo/cli.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mmsr_geo import api\n",
    "mmsr_geo/ground.py": '"""The ground."""\nfrom importlib import import_module\nimport_module("mmsr_geo.play")\n',
    "mmsr_geo/play.py": '"""Idle."""\n' + "\n" * 50,
    "mmsr_geo/work/__init__.py": '"""A folder."""\n',
    "mmsr_geo/work/one.py": (
        '"""One."""\ndef call(it):\n    from mmsr_geo.work import two\n    return isinstance(it, SceneFit)\n'
    ),
    "mmsr_geo/work/two.py": '"""Two."""\nfrom mmsr_geo import ground\nfrom mmsr_geo.work import one\n',
    "mmsr_geo/py.typed": "",
    "benchmarks/speed.py": "import mmsr_geo.api\ndef long():\n" + "    pass\n" * 60,
    "notebooks/write.py": "import json\n",
    "tests/test_api.py": "import mmsr_geo.cli\ndef test():\n" + "    pass\n" * 60,
    "pyproject.toml": LAYERS,
}


def figures(checkout: Path) -> dict[str, str]:
    """Return the last column of the table by the start of the first."""
    command = [sys.executable, str(STRUCTURE), "--at", str(checkout)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ran.stdout.splitlines()]
    assert cells[0] == ["", "before", "draft", "now"]
    return {row[0]: row[3] for row in cells[2:]}


def test_a_small_package_is_counted(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(figures(tmp_path).values()) == [
        "7",  # mmsr_geo, api, cli, ground, play, work, benchmarks
        "5",  # cli, api, work, ground, play
        "6",  # mmsr_geo, benchmarks and cli to api, api to work, work to ground, ground to play
        "1 (mmsr_geo.ground -> mmsr_geo.play)",
        "1",  # one and two
        "7",
        "51 (mmsr_geo/play.py)",
        "8",
        "7",  # not cli
        "5",  # all but play, of those that nothing but the package asks for
        "1 (speed.long)",
        "1 in 1 files",
    ]


def test_this_checkout_is_measured() -> None:
    now = figures(STRUCTURE.parents[1])
    assert now["modules"] == now["modules with a first line"]
