"""The demo: real data of the package upsampled to COGs, with pictures and scores against the truth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mmsr_geo import api
from mmsr_geo.cli.display import RichDisplay
from mmsr_geo.engine.pair import Pair
from mmsr_geo.errors import OutputError
from mmsr_geo.evaluation.metrics import Scores
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.machine import peak_memory
from mmsr_geo.maps import Map, draw_maps, shared_limits
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.write.cog import CogWriter

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Case:
    """Truth and guide of the package; the source is the block means of the truth."""

    name: str
    title: str
    truth: str
    guide: str
    scale: int
    unit: str
    composite: tuple[int, int, int]
    """Guide bands shown as red, green and blue, counted from 0."""


CASES = (
    Case(
        "sentinel2",
        "Sentinel-2 B11 (short-wave infrared), 80 m to 20 m, guided by the 10 m bands",
        "sentinel2_b11_20m.tif",
        "sentinel2_10m.tif",
        4,
        "reflectance x 10 000",
        (2, 1, 0),
    ),
    Case(
        "landsat7",
        "Landsat 7 thermal (band 6), 120 m to 30 m, guided by the 30 m optical bands",
        "landsat7_thermal_30m.tif",
        "landsat7_optical_30m.tif",
        4,
        "digital number",
        (3, 2, 1),
    ),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one case; every figure is computed in this run."""

    case: Case
    scores: dict[str, Scores]
    inconsistency: float
    """Largest difference between the block means of the target and the source."""
    deviation: float
    """Standard deviation of the source."""
    seconds: float
    peak_bytes: int
    files: tuple[Path, ...]


def run_demo(folder: Path, *, seed: int = 0, params: FitParams | None = None) -> list[Result]:
    """Run all cases, write their files to a folder and print their scores.

    Args:
        folder: Where to write; it is made.
        seed: Seed of all random numbers.
        params: Parameters of the fit; None: the defaults.

    Raises:
        OutputError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder} ({error.strerror}): choose another with -o") from error
    console = Console()
    results = []
    for case in CASES:
        console.print(f"[bold]{case.title}[/]")
        results.append(run_case(case, folder, seed=seed, params=params or FitParams()))
    for table in _tables(results):
        console.print(table)
    for result in results:
        console.print(
            f"{result.case.name}: " + ", ".join(str(file) for file in result.files), highlight=False, soft_wrap=True
        )
    return results


def run_case(case: Case, folder: Path, *, seed: int, params: FitParams) -> Result:
    """Compute the source from the truth, upsample it, and compare the result with the truth."""
    data = resources.files("mmsr_geo") / "demo_data"
    with resources.as_file(data / case.truth) as truth_path, resources.as_file(data / case.guide) as guide_path:
        scale = Scale.of(case.scale)
        truth = FileRaster.open(truth_path)
        true = truth.read(Window.whole(truth.grid.shape.yx)).values[0]
        source_path = folder / f"{case.name}_source.tif"
        target_path = folder / f"{case.name}_mmsr.tif"
        coarse = _block_means(true, scale).astype(np.float32)
        source_grid = truth.grid.zoom_to(coarse.shape)
        with CogWriter(source_path, source_grid, band_tags=truth.band_tags, overwrite=True) as writer:
            writer.write(Window.whole(coarse.shape), coarse[np.newaxis])
            writer.finish()
        started = time.monotonic()
        with RichDisplay() as show, peak_memory() as peak:
            api.upsample_to_file(
                source_path, guide_path, target_path, scale, seed=seed, params=params, overwrite=True, progress=show
            )
        seconds = time.monotonic() - started
        target = FileRaster.open(target_path).read(Window.whole(truth.grid.shape.yx)).values[0]
        targets = {
            name: api.upsample(source_path, guide_path, scale, method=name).to_numpy()
            for name in ("nearest", "bicubic")
        } | {"mmsr": target}
        picture_path = folder / f"{case.name}.png"
        pair = Pair.of(FileRaster.open(source_path), FileRaster.open(guide_path), scale)
        scores = {name: Scores.of(values, coarse, scale, true) for name, values in targets.items()}
        _draw(case, pair, coarse, true, targets, scores, picture_path)
    return Result(
        case,
        scores,
        float(np.nanmax(np.abs(_block_means(target, scale) - coarse))),
        float(np.nanstd(coarse)),
        seconds,
        peak[0],
        (target_path, picture_path),
    )


def _block_means(values: Values, scale: Scale) -> NDArray[np.float64]:
    height, width = values.shape[0] // scale.y, values.shape[1] // scale.x
    means: NDArray[np.float64] = values.reshape(height, scale.y, width, scale.x).mean(axis=(1, 3), dtype=np.float64)
    return means


def _draw(  # noqa: PLR0913  (what a picture shows)
    case: Case,
    pair: Pair,
    source: Values,
    truth: Values,
    targets: dict[str, Values],
    scores: dict[str, Scores],
    path: Path,
) -> None:
    fine, coarse = (resolution_m(grid)[1] for grid in (pair.target_grid, pair.source.grid))
    guide = pair.guide.read(pair.part.refined(pair.scale)).values[list(case.composite)]
    names = pair.guide.bands
    red, green, blue = (names[index] for index in case.composite)
    limits = shared_limits(truth)
    error, bicubic_error = (targets[name] - truth for name in ("mmsr", "bicubic"))
    largest = float(np.nanpercentile(np.abs(bicubic_error), 99))
    around = (-largest, largest)
    maps = [
        Map(f"source ({coarse:.0f} m)", source, coarse, limits, unit=case.unit),
        Map(f"guide ({red}, {green}, {blue})", guide, fine, bands=(red, green, blue)),
        Map(f"target ({fine:.0f} m, mmsr)", targets["mmsr"], fine, limits, unit=case.unit),
        Map(f"truth ({fine:.0f} m, the original)", truth, fine, limits, unit=case.unit),
        Map(f"error of mmsr (RMSE {scores['mmsr'].rmse:.4g})", error, fine, around, "RdBu_r", case.unit),
        Map(f"error of bicubic (RMSE {scores['bicubic'].rmse:.4g})", bicubic_error, fine, around, "RdBu_r", case.unit),
    ]
    draw_maps(maps, path, title=case.title)


def _tables(results: list[Result]) -> Iterator[Table]:
    scores = Table("case", "method", title="Accuracy against the truth", title_justify="left", header_style="bold")
    for column in ("RMSE", "MAE", "bias", "RMSE / bicubic"):
        scores.add_column(column, justify="right")
    run = Table("case", title="Run", title_justify="left", header_style="bold")
    for column in ("consistency error", "relative to the source's deviation", "time", "peak memory"):
        run.add_column(column, justify="right")
    for result in results:
        for name, of in result.scores.items():
            ratio = of.rmse / result.scores["bicubic"].rmse
            figures = f"{of.rmse:.4g}", f"{of.mae:.4g}", f"{of.bias:+.3f}", f"{ratio:.3f}"
            scores.add_row(result.case.name, name, *figures, end_section=name == "mmsr")
        run.add_row(
            result.case.name,
            f"{result.inconsistency:.1e}",
            f"{result.inconsistency / result.deviation:.1e}",
            f"{result.seconds:.0f} s",
            f"{result.peak_bytes / 1e9:.2f} GB",
        )
    yield scores
    yield run
