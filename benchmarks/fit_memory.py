"""Peak memory of a fit in bytes per value of the guide: the figure behind `BYTES_PER_SAMPLED_VALUE`.

python benchmarks/fit_memory.py        minutes; each fit runs in a new process, with a few steps of each stage

Members are compared on at most 2^20 target pixels, whatever is read: their memory is `BYTES_PER_COMPARED_PX`, and the
fit here is the network's alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import numpy as np
import torch
from tile_memory import peak_bytes

from mmsr_geo.engine.pair import SAMPLED_TARGET_PX
from mmsr_geo.engine.tile_upsampler import sample_of
from mmsr_geo.geometry import Scale
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.raster.base import Pixels

RUNS = [(2, 4), (4, 4), (8, 4), (4, 8)]


def measure(factor: int, bands: int) -> None:
    """Print one row, for a sample of the largest number of target pixels that a fit reads."""
    torch.set_num_threads(1)
    scale, side = Scale(factor, factor), int(SAMPLED_TARGET_PX**0.5) // factor * factor
    guide = np.random.default_rng(0).random((bands, side, side), np.float32)
    source = guide[:1].reshape(1, side // factor, factor, side // factor, factor).mean(axis=(2, 4))
    sample = sample_of(Pixels.masked(source), Pixels.masked(guide))
    at_rest = peak_bytes()
    params = FitParams(steps=3, first_stage=True, ensemble=False, threads=1)
    fit_samples([sample], scale, params, guide_bands=tuple(map(str, range(bands))))
    taken = peak_bytes() - at_rest
    print(f"| x{factor} | {bands} | {taken / 1e9:.2f} GB | {taken / guide.size:.0f} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        measure(*options.one)
        return
    print(f"A sample of {SAMPLED_TARGET_PX / 1e6:.0f} million target pixels:\n")
    print("| scale | guide bands | memory beyond the sample | bytes per value of the guide |\n|---|---|---|---|")
    for factor, bands in RUNS:
        subprocess.run([sys.executable, __file__, "--one", str(factor), str(bands)], check=True)  # noqa: S603  (itself)


if __name__ == "__main__":
    main()
