"""Fixtures: rasters of the package, the loaded plugin, and a Python with mmsr_geo."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
)

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "qgis_plugin" / "mmsr_qgis"
DATA = ROOT / "mmsr_geo" / "demo_data"
TRUTH, GUIDE = DATA / "sentinel2_b11_20m.tif", DATA / "sentinel2_10m.tif"
LIBRARY = ROOT / ".venv" / "bin" / "python"
DEADLINE_S = 800
"""Limit for what must happen at all, also on a busy machine; below the timeout of pytest.ini."""
QUICK = {"STEPS": 6, "THREADS": 1, "SCALE": "4"}

UTM = QgsCoordinateReferenceSystem("EPSG:32618").toWkt()

gdal.UseExceptions()
gdal.SetConfigOption("GDAL_PAM_ENABLED", "NO")  # no files with statistics next to the rasters that are read


@pytest.fixture(scope="session", autouse=True)
def _quiet_processes() -> None:
    """Let processes compute on one thread, because two cores are shared, and without the variables of make."""
    for name in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"):  # set by make for the project's own environments
        os.environ.pop(name, None)
    os.environ.update({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "MMSR_GEO_PYTHON": str(LIBRARY)})


@pytest.fixture(scope="session")
def provider(qgis_processing: None) -> Iterator[Any]:
    """Return the plugin's provider, loaded as qgis_process loads it."""
    from mmsr_qgis import classFactory
    from processing.core.ProcessingConfig import ProcessingConfig

    plugin = classFactory(None)
    plugin.initProcessing()
    for name, value in (("MMSR_PYTHON", ""), ("MMSR_PACKAGE", "mmsr-geo==0.1.0"), ("MMSR_INDEX", "")):
        ProcessingConfig.setSettingValue(name, value)  # an earlier run may have left other values
    yield QgsApplication.processingRegistry().providerById("mmsr")
    plugin.unload()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a source of 24 x 20 pixels of 80 m: block means of the package's Sentinel-2 band."""
    return coarse(tmp_path / "source.tif", 80, 80, 96, 80)


def coarse(path: Path, column: int, row: int, width: int, height: int, scale: int = 4) -> Path:
    """Write block means of a part of the truth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    gdal.Translate(
        str(path),
        str(TRUTH),
        srcWin=[column, row, width, height],
        width=width // scale,
        height=height // scale,
        resampleAlg="average",
        outputType=gdal.GDT_Float32,
        format="GTiff",
    )
    return path


def fine(path: Path) -> Path:
    """Copy the guide."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(GUIDE.read_bytes())
    return path


@dataclass
class Ran:
    """Result of an algorithm."""

    ok: bool
    results: dict[str, Any]
    log: str
    errors: list[str]


class Feedback(QgsProcessingFeedback):
    """A feedback that keeps the errors and can cancel when a stage begins."""

    def __init__(self, cancel_at: str | None = None) -> None:
        super().__init__(False)
        self.errors: list[str] = []
        self.shares: list[float] = []
        self.cancel_at = cancel_at
        self.on_cancel: Callable[[], None] = lambda: None
        self.progressChanged.connect(self.shares.append)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N802, N803, FBT001, FBT002  (QGIS's signature)
        self.errors.append(error)
        super().reportError(error, fatalError)

    def setProgressText(self, text: str) -> None:  # noqa: N802  (QGIS's signature)
        super().setProgressText(text)
        if text == self.cancel_at:
            self.on_cancel()
            self.cancel()


@dataclass
class Runner:
    """Runs the plugin's algorithms in this process, as the dialog does."""

    context: QgsProcessingContext

    def __call__(self, name: str, feedback: Feedback | None = None, **parameters: Any) -> Ran:
        feedback = feedback or Feedback()
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"mmsr:{name}")
        checked, message = algorithm.checkParameterValues(parameters, self.context)
        if not checked:
            return Ran(False, {}, feedback.textLog(), [message])
        results, ok = algorithm.run(parameters, self.context, feedback)
        return Ran(ok, results, feedback.textLog(), feedback.errors)


@pytest.fixture
def run(provider: Any, qgis_new_project: None) -> Iterator[Runner]:
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    runner = Runner(context)
    yield runner
    del runner.context  # its layers must be deleted before QGIS ends


def pixels(path: Path | str, band: int = 1) -> Any:
    """Return a band's values."""
    dataset = gdal.Open(str(path))  # a band does not keep its dataset alive
    return dataset.GetRasterBand(band).ReadAsArray()


def layer(path: Path | str, name: str = "layer") -> QgsRasterLayer:
    """Load a raster."""
    made = QgsRasterLayer(str(path), name)
    assert made.isValid()
    return made


def stage_text(name: str) -> str:
    """Return what the log shows when a stage begins."""
    from mmsr_qgis.commands import description

    return str(description()["stages"][name])


def command(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command without QGIS."""
    return subprocess.run(
        [str(LIBRARY), "-m", "mmsr_geo", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=DEADLINE_S,
    )


def make(path: Path, values: Any, pixel_m: float = 80, **options: Any) -> Path:
    """Write (H, W) values in EPSG:32618."""
    kind = gdal.GDT_Byte if values.dtype == "uint8" else gdal.GDT_Float32
    made = gdal.GetDriverByName("GTiff").Create(str(path), values.shape[1], values.shape[0], 1, kind)
    made.SetGeoTransform((500_000, pixel_m, 0, 4_500_000, 0, -pixel_m))
    made.SetProjection(options.get("crs", UTM))
    made.GetRasterBand(1).WriteArray(values)
    made.FlushCache()
    return path


def children() -> list[int]:
    """Return the living child processes."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [pid for pid in found if "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()]
