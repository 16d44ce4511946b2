"""What a tile takes at its peak, bytes a target pixel: the figures behind `mmsr_geo.memory`.

python benchmarks/tile_memory.py        a minute; each method in a fresh process of its own
"""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import torch

from mmsr_geo.baselines import baseline
from mmsr_geo.baselines.job import FitJob
from mmsr_geo.baselines.p2p import P2P
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.model import Model
from mmsr_geo.network.fitting import fit_samples
from mmsr_geo.network.params import FitParams
from mmsr_geo.raster.pixels import Pixels
from mmsr_geo.upsampling import Upsampler, sample_of

SCALE = Scale(4, 4)
RUNS = [("bicubic", 2048, 1), ("bicubic", 2048, 4), ("guided-filter", 2048, 4), ("p2p", 1024, 4)]
RUNS += [("mmsr", side, bands) for side in (256, 512, 1024) for bands in (4, 8)]


def peak_bytes() -> int:
    """Return the largest resident set so far (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pixels(side: int, bands: int) -> tuple[Pixels, Pixels]:
    """Return a source and a guide of so many target pixels a side."""
    rng = np.random.default_rng(0)
    coarse = side // SCALE.y
    return (
        Pixels.masked(rng.random((1, coarse, coarse), np.float32)),
        Pixels.masked(rng.random((bands, side, side), np.float32)),
    )


def fitted(method: str, bands: int) -> Model:
    """Fit shortly to 96 x 96 target pixels."""
    sample = sample_of(*pixels(96, bands))
    if method == "mmsr":
        params = FitParams(steps=2, first_stage=False, threads=1)
        return fit_samples([sample], SCALE, params, guide_bands=tuple(map(str, range(bands))))
    job = FitJob(SCALE, (24, 24), torch.device("cpu"))
    return (P2P(4) if method == "p2p" else baseline(method)).fit([sample], job)


def measure(method: str, side: int, bands: int) -> None:
    """Print one row."""
    torch.set_num_threads(1)
    at_rest = peak_bytes()
    upsampler = Upsampler.of(fitted(method, bands), "cpu")
    source, guide = pixels(side, bands)
    whole = Window(0, 0, side // SCALE.y, side // SCALE.x)
    upsampler.upsample(Tile(0, whole, whole), source, guide)
    print(f"| {method} | {side} | {bands} | {at_rest / 1e6:.0f} MB | {(peak_bytes() - at_rest) / side**2:.0f} |")


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        return
    print("| method | side, target px | guide bands | before | bytes a target pixel on top |\n|---|---|---|---|---|")
    for method, side, bands in RUNS:
        subprocess.run([sys.executable, __file__, method, str(side), str(bands)], check=True)  # noqa: S603  (itself)


if __name__ == "__main__":
    main()
