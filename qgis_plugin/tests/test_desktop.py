"""The desktop: the main window of QGIS on a virtual screen, with the plugin from its zip, used like by a person.

`make qgis-pictures` runs this module with a longer fit and writes the pictures of docs/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from conftest import DEADLINE_S, LIBRARY, coarse, fine, pixels
from osgeo import gdal
from test_zip import built_zip

SCRIPT = Path(__file__).parent / "desktop_script.py"
PICTURES = os.environ.get("MMSR_QGIS_PICTURES")
"""Folder for the pictures; if it is not set, they show a short fit and only these tests read them."""
SHOWN = ("qgis_set_up", "qgis_dialog", "qgis_result")
"""Pictures of docs/qgis.md."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Run QGIS once; return the facts that it wrote, and the folder with the pictures."""
    folder = tmp_path_factory.mktemp("desk")
    with ZipFile(built_zip(folder)) as held:
        held.extractall(folder / "plugins")
    files = {"facts": folder / "facts.json", "output": folder / "sharp.tif", "qa": folder / "flags.tif"}
    task = {
        "source": coarse(folder / "B11 80 m.tif", 0, 0, 256, 256),
        "guide": fine(folder / "10 m.tif"),
        "pictures": folder,
        **files,
    }
    fit = {"STEPS": 150 if PICTURES else 10}
    (folder / "task.json").write_text(
        json.dumps(
            {name: str(path) for name, path in task.items()}
            | {"parameters": {"SCALE": "4", "THREADS": 1, **fit}, "limit_ms": 1000 * (DEADLINE_S - 60)}
        )
    )
    environment = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"} | {
        "MMSR_TEST_TASK": str(folder / "task.json"),
        "MMSR_GEO_PYTHON": str(LIBRARY),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"),
        "QGIS_PLUGINPATH": str(folder / "plugins"),
        "XDG_RUNTIME_DIR": str(folder),
    }
    folder.chmod(0o700)
    subprocess.run(
        ["qgis_process", "plugins", "enable", "mmsr_qgis"],
        check=True, capture_output=True, env=environment | {"QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    screen = ["xvfb-run", "--auto-servernum", "--server-args", "-screen 0 1600x950x24"]
    done = subprocess.run(
        [*screen, "qgis", "--noversioncheck", "--nologo", "--code", str(SCRIPT)],
        check=False, capture_output=True, text=True, env=environment, timeout=DEADLINE_S,
    )  # fmt: skip
    facts = json.loads(files["facts"].read_text()) if files["facts"].exists() else {"error": done.stderr}
    assert "error" not in facts, facts["error"]
    assert done.returncode == 0, done.stderr
    for name in SHOWN if PICTURES else ():
        shutil.copyfile(folder / f"{name}.png", Path(PICTURES) / f"{name}.png")
    return facts | {"output": str(files["output"])}, folder


def test_the_toolbox_has_the_three_algorithms(desk: tuple[dict[str, Any], Path]) -> None:
    facts, _ = desk
    assert facts["plugin"]
    assert facts["toolbox"] == ["Evaluate upsampling", "Fit and save a model", "Upsample raster"]


def test_without_the_library_the_set_up_dialog_opens(desk: tuple[dict[str, Any], Path]) -> None:
    assert "is not set up yet" in desk[0]["first_run"]["status"]


def test_two_layers_give_one_sharp_layer(desk: tuple[dict[str, Any], Path]) -> None:
    facts, _ = desk
    assert facts["upsample"]["ok"]
    assert facts["tree"] == ["QA flags", "Target", "source, 80 m", "guide, 10 m"]
    assert facts["renderer"] == ["QgsSingleBandPseudoColorRenderer"] * 2
    assert facts["range"] == [[600, 3000]] * 2
    sharp = pixels(facts["output"])
    assert sharp.shape == (256, 256)
    assert np.isfinite(sharp).all()


def test_the_batch_dialog_runs_each_row(desk: tuple[dict[str, Any], Path]) -> None:
    assert desk[0]["batch"] == {"batch_nearest.tif": True, "batch_bilinear.tif": True}


@pytest.mark.parametrize(
    ("name", "colours"), [("qgis_set_up", 20), ("qgis_dialog", 50), ("qgis_log", 50), ("qgis_result", 1000)]
)
def test_the_pictures_show_something(desk: tuple[dict[str, Any], Path], name: str, colours: int) -> None:
    picture = gdal.Open(str(desk[1] / f"{name}.png")).ReadAsArray()[:3]
    assert picture.shape[1] > 300
    assert picture.shape[2] > 600
    assert len(np.unique(picture.reshape(3, -1), axis=1).T) > colours


def test_the_map_shows_the_target_in_the_sources_colours(desk: tuple[dict[str, Any], Path]) -> None:
    """The map is in the middle of the window, in the colours of viridis, as the source."""
    picture = gdal.Open(str(desk[1] / "qgis_result.png")).ReadAsArray()[:3].astype(int)
    _, height, width = picture.shape
    middle = picture[:, height // 3 : 2 * height // 3, int(width * 0.3) : int(width * 0.5)]
    red, green, blue = middle
    viridis = ((green > red) & (green > 40)) | (blue > red) | ((red > 180) & (green > 180) & (blue < 120))
    assert viridis.mean() > 0.95
    assert len(np.unique(middle.reshape(3, -1), axis=1).T) > 500
