"""Pictures of the bicubic baseline, of the default of an earlier checkout, of today's default and of the truth.

    python benchmarks/plot_comparison.py --data DIR --before CHECKOUT --cache FOLDER     docs/images/comparison.png
    python benchmarks/plot_comparison.py ... --quality draft                             today's draft, in seconds
    python benchmarks/plot_comparison.py ... --depth --output FILE                       a depth pair as well

A row is a part of one pair of pair_list.py. The number beneath a picture is the RMSE of the whole pair, divided by that
of the bicubic baseline (bicubic with back-projection). Both defaults run with seed 0 and one thread, each in a process
that imports mmsr_geo from its own checkout. Targets are stored in the cache and computed again when the text of their
package changes.

The depth pair may be measured, but its pixels may not be published (its README): --depth asks for an output outside of
the checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import get_args

import numpy as np
from cases import Case
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pair_list import PAIRS
from PIL import Image
from versions import tiling

from mmsr_geo.evaluation.metrics import rmse
from mmsr_geo.geometry import Window
from mmsr_geo.maps import hillshade, relief, shared_limits
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.options import Quality
from mmsr_geo.pipeline.in_process import run_of, whole_of

HERE = Path(__file__).resolve().parents[1]
PICTURE = HERE / "docs" / "images" / "comparison.png"
PREDICT = """
import sys
from pathlib import Path
import dask, numpy as np, rioxarray, xarray as xr
import mmsr_geo

checkout, case, target, quality = sys.argv[1:]
if Path(mmsr_geo.__file__).parents[1] != Path(checkout):
    sys.exit(f"mmsr_geo was imported from {mmsr_geo.__file__}: give a checkout that contains the package")
layers = np.load(case)
scale = int(layers["scale"])

def raster(values, pixel_m):
    axes = [(start + step * (np.arange(count) + 0.5)) for start, step, count in
            ((4e6, -pixel_m, values.shape[-2]), (5e5, pixel_m, values.shape[-1]))]
    dims = ("band", "y", "x")[-values.ndim:]
    return xr.DataArray(values, dims=dims, coords=dict(zip("yx", axes))).rio.write_crs("EPSG:32618")

source, guide = raster(layers["source"], 10.0 * scale), raster(layers["guide"], 10.0)
with dask.config.set(scheduler="synchronous"):
    lazy = mmsr_geo.upsample(source, guide, scale, quality=quality, seed=0, threads=1, device="cpu")
    np.save(target, lazy.values)
"""
"""Program that computes a target in another process, with the public interface, which both checkouts have."""


@dataclass(frozen=True, slots=True)
class Row:
    """A part of a pair, and how it is drawn."""

    pair: str
    """Name in pair_list.py."""
    title: str
    unit: str
    part: Window
    """The part that is drawn, in target pixels, SIDE_PX a side."""
    guide: str
    """Name of the guide."""
    bands: tuple[int, ...] = (0, 1, 2)
    """Indices of the guide's bands: those shown as red, green and blue, or the one shown in grey."""
    colours: str | None = None
    """Name of the colour map; None: a hillshade."""
    published: bool = True
    """False if pictures of the rasters may not be published."""


SIDE_PX = 128
"""Side of a part in target pixels; each is drawn as 2 x 2 pixels of the picture."""
ROWS = (
    Row(
        "depth3-x4",
        "Depth (disparity in grey levels), x4",
        "",
        Window(96, 96, SIDE_PX, SIDE_PX),
        "photograph",
        colours="viridis",
        published=False,
    ),
    Row(
        "canopy1-x8",
        "Canopy height, x8: 80 m to 10 m",
        "m",
        Window(64, 64, SIDE_PX, SIDE_PX),
        "Sentinel-2",
        bands=(2, 1, 0),
        colours="viridis",
    ),
    Row(
        "zhangye-lst-x16",
        "Land surface temperature, x16: 480 m to 30 m",
        "K",
        Window(32, 80, SIDE_PX, SIDE_PX),
        "NDVI",
        bands=(0,),
        colours="inferno",
    ),
    Row(
        "rocky-dem-x8",
        "Elevation, drawn as hillshade, x8: 1870 m to 230 m",
        "m",
        Window(40, 16, SIDE_PX, SIDE_PX),
        "colour image",
    ),
)
DPI = 160
PANEL, GAP, LEFT, RIGHT = 2 * SIDE_PX, 12, 8, 88
ABOVE, BELOW, TOP = 48, 40, 40
"""Lengths in pixels of the picture: of a panel, between panels, and around rows and figure."""
LEVEL = 3
"""Red, green and blue are rounded to multiples of this, a divisor of 255: nobody sees it, and the file is smaller."""


def target_of(case: Case, checkout: Path, quality: str, cache: Path) -> np.ndarray:
    """Return a checkout's target of a pair, (H, W); from the cache, if its package and the pair are the same."""
    key = hashlib.sha256(f"{PREDICT}{quality}{_text_of(checkout)}".encode())
    for layer in (case.source, case.guide):
        key.update(layer.tobytes())
    path = cache / f"{case.name}-{quality}-{key.hexdigest()[:12]}.npy"
    if not path.exists():
        print(f"{case.name}: {quality} with {checkout}", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            layers, target = Path(folder) / "layers.npz", Path(folder) / "target.npy"
            np.savez(layers, source=case.source, guide=case.guide, scale=case.scale.y)
            subprocess.run(  # noqa: S603  (our own program)
                [sys.executable, "-c", PREDICT, str(checkout), str(layers), str(target), quality],
                env=os.environ | {"PYTHONPATH": str(checkout)},
                cwd=folder,  # not a checkout: Python imports from the current folder first
                check=True,
            )
            target.replace(path)
    stored: np.ndarray = np.load(path)
    return stored


def _text_of(checkout: Path) -> str:
    """Return a hash of a package's text."""
    folder = checkout / "mmsr_geo"
    texts = (path.relative_to(folder).as_posix().encode() + path.read_bytes() for path in sorted(folder.rglob("*.py")))
    return hashlib.sha256(b"".join(texts)).hexdigest()


def baseline_of(case: Case) -> np.ndarray:
    """Return the bicubic baseline of a pair, (H, W)."""
    pair, method = case.trial.pair, BaselineMethod("bicubic", baseline("bicubic"), consistent=True, device="cpu")
    run = run_of(pair, method, method.model_for(pair), tiling(pair, method), device="cpu")
    return whole_of(run, pair)[0]


def draw(rows: Mapping[Row, tuple[Case, Sequence[np.ndarray]]], columns: Sequence[str], picture: Path) -> None:
    """Draw the rows, each with its pair and its targets: those of bicubic, the old default and the new one."""
    wide = LEFT + len(columns) * (PANEL + GAP) + RIGHT
    high = TOP + len(rows) * (ABOVE + PANEL + BELOW)
    figure = Figure(figsize=(wide / DPI, high / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    for column, name in enumerate(columns):
        middle = (LEFT + column * (PANEL + GAP) + PANEL / 2) / wide
        figure.text(middle, 1 - TOP / high, name, ha="center", va="bottom", fontsize=10, weight="bold")
    for index, (row, (case, targets)) in enumerate(rows.items()):
        top = high - TOP - index * (ABOVE + PANEL + BELOW) - ABOVE
        figure.text(LEFT / wide, (top + 8) / high, row.title, va="bottom", fontsize=9)
        panels = [
            figure.add_axes(((LEFT + column * (PANEL + GAP)) / wide, (top - PANEL) / high, PANEL / wide, PANEL / high))
            for column in range(len(columns))
        ]
        _draw_row(panels, row, case, targets)
    picture.parent.mkdir(parents=True, exist_ok=True)
    with BytesIO() as drawn:
        figure.savefig(drawn)
        pixels = np.asarray(Image.open(drawn).convert("RGB"))
    rounded = (np.round(pixels / LEVEL) * LEVEL).astype(np.uint8)
    Image.fromarray(rounded).save(picture, optimize=True)


def _draw_row(panels: Sequence[Axes], row: Row, case: Case, targets: Sequence[np.ndarray]) -> None:
    base, *errors = (rmse(target, case.truth) for target in targets)
    ratios = [f"RMSE \N{MULTIPLICATION SIGN} {error / base:.2f}" for error in errors]
    beneath = [row.guide, f"RMSE {base:.3g} {row.unit}", *ratios, ""]
    for axes, text in zip(panels, beneath, strict=True):
        axes.set_axis_off()
        axes.text(0.5, -0.03, text, transform=axes.transAxes, ha="center", va="top", fontsize=9)
    print(f"{row.pair}: bicubic {base:.4g} {row.unit}, then {', '.join(f'{error / base:.3f}' for error in errors)}")
    panels[0].imshow(_guide_of(row, case), cmap="gray", interpolation="nearest")
    pictures = [*targets, case.truth]
    if row.colours is None:
        pixel = (1.0, 1.0)  # of any size: the exaggeration is that of the truth
        exaggeration = relief(case.truth, pixel)
        pictures = [hillshade(values, pixel, exaggeration) for values in pictures]
    parts = [values[row.part.slices] for values in pictures]
    low, high = (0, 1) if row.colours is None else shared_limits(parts[-1])
    for axes, values in zip(panels[1:], parts, strict=True):
        image = axes.imshow(values, cmap=row.colours or "gray", vmin=low, vmax=high, interpolation="nearest")
    if row.colours is not None:
        bar = panels[-1].figure.colorbar(image, cax=panels[-1].inset_axes((1.05, 0, 0.06, 1)), extend="both")
        bar.ax.set_title(row.unit, fontsize=9)
        bar.ax.tick_params(labelsize=9)
        bar.locator = MaxNLocator(4)


def _guide_of(row: Row, case: Case) -> np.ndarray:
    """Return the guide's part: (H, W) or (H, W, 3), stretched to 0..1."""
    bands = []
    for band in case.guide[list(row.bands)]:
        low, high = shared_limits(band, (2, 98))
        bands.append(np.clip((band[row.part.slices] - low) / (high - low), 0, 1))
    return bands[0] if len(bands) == 1 else np.stack(bands, axis=-1)


def main() -> None:
    """Compute the targets that the cache lacks, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument(
        "--before", type=Path, required=True, help="checkout of the commit whose default is the old one"
    )
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder where computed targets are stored, created if missing"
    )
    parser.add_argument(
        "--quality", choices=get_args(Quality), default="balanced", help="quality of the new target (default: balanced)"
    )
    parser.add_argument("--depth", action="store_true", help="also draw the depth pair; needs --output")
    parser.add_argument(
        "--output", type=Path, default=PICTURE, help="PNG to write (default: docs/images/comparison.png)"
    )
    arguments = parser.parse_args()
    before, cache, output = (path.resolve() for path in (arguments.before, arguments.cache, arguments.output))
    if arguments.depth and output.is_relative_to(HERE):
        parser.error(f"the depth pair may not be published: pass --output with a file outside of {HERE}")
    rows = {}
    for row in ROWS:
        if row.published or arguments.depth:
            case = PAIRS[row.pair].read(arguments.data)
            old, new = (
                target_of(case, checkout, quality, cache)
                for checkout, quality in ((before, "balanced"), (HERE, arguments.quality))
            )
            rows[row] = case, [baseline_of(case), old, new]
    new_name = "new default" if arguments.quality == "balanced" else f"new {arguments.quality}"
    draw(rows, ("guide", "bicubic", "old default", new_name, "truth"), output)


if __name__ == "__main__":
    main()
