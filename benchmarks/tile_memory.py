"""Peak memory of a tile in bytes per target pixel: the figures behind `mmsr_geo.engine.tiling`.

python benchmarks/tile_memory.py        a minute; each method runs in a new process
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import torch

from mmsr_geo.engine.model import Model
from mmsr_geo.engine.sampling import FitJob
from mmsr_geo.engine.tile_upsampler import Upsampler, sample_of
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.methods.baseline import baseline
from mmsr_geo.methods.p2p import P2P
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.members.fit import with_equal_weights
from mmsr_geo.network.members.table import MEMBERS
from mmsr_geo.network.stacking import StackingWeights
from mmsr_geo.raster.base import Pixels

SCALE = Scale(4, 4)
RUNS = [("bicubic", 2048, 1), ("bicubic", 2048, 4), ("guided-filter", 2048, 4), ("p2p", 1024, 4)]
RUNS += [("mmsr", side, bands) for side in (256, 512, 1024) for bands in (4, 8)]
RUNS += [("members", side, 4) for side in (256, 512, 1024)]


def peak_bytes() -> int:
    """Return the largest resident set so far (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pixels(side: int, bands: int) -> tuple[Pixels, Pixels]:
    """Return a guide of this many target pixels a side, and a source that its first band explains."""
    guide = np.random.default_rng(0).random((bands, side, side), np.float32)
    coarse = side // SCALE.y
    source = guide[:1].reshape(1, coarse, SCALE.y, coarse, SCALE.x).mean(axis=(2, 4))
    return Pixels.masked(source), Pixels.masked(guide)


def fitted(method: str, bands: int) -> Model:
    """Return a model after a short fit to 256 x 256 target pixels; every part of mmsr's has a weight."""
    sample = sample_of(*pixels(256, bands))
    names = tuple(map(str, range(bands)))
    if method in {"mmsr", "members"}:
        model = fit_samples([sample], SCALE, FitParams(network=False, threads=1), guide_bands=names)
        if model.members is None:
            raise AssertionError
        members = with_equal_weights(model.members, sample, model.statistics, SCALE, tuple(MEMBERS))
        if method == "members":
            return replace(model, members=members)
        params = FitParams(steps=2, ensemble=False, threads=1)
        network = fit_samples([sample], SCALE, params, guide_bands=names)
        return replace(network, members=members, stacking=StackingWeights(0.5, 0.5), interval=model.interval)
    job = FitJob(SCALE, (64, 64), torch.device("cpu"))
    return (P2P(4) if method == "p2p" else baseline(method)).fit([sample], job)


def measure(method: str, side: int, bands: int) -> None:
    """Print one row."""
    torch.set_num_threads(1)
    at_rest = peak_bytes()
    model = fitted(method, bands)
    interval = model.source_interval if isinstance(model, FittedModel) else None
    upsampler = Upsampler.of(model, "cpu", uncertainty=interval is not None, interval=interval)
    source, guide = pixels(side, bands)
    whole = Window(0, 0, side // SCALE.y, side // SCALE.x)
    upsampler.upsample(Tile(0, whole, whole), source, guide)
    print(f"| {method} | {side} | {bands} | {at_rest / 1e6:.0f} MB | {(peak_bytes() - at_rest) / side**2:.0f} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        method, side, bands = options.one
        measure(method, int(side), int(bands))
        return
    print("| method | side, target px | guide bands | before | bytes per target px beyond it |\n|---|---|---|---|---|")
    for method, side, bands in RUNS:
        subprocess.run([sys.executable, __file__, "--one", method, str(side), str(bands)], check=True)  # noqa: S603  (itself)


if __name__ == "__main__":
    main()
