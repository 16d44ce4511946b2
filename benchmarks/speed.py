"""Time of the default fit and of a prediction by the network, and memory of a tile on a GPU.

python benchmarks/speed.py --data DIR [--device cuda]        a minute on a GPU, ten on 2 cores
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from cases import read_case

from mmsr_geo.engine.tile_upsampler import Upsampler, sample_of
from mmsr_geo.geometry import Scale, Tile, Window
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.raster.base import Pixels

SCALE = Scale(4, 4)
GUIDE_BANDS = 4
FITTED = ("s2-B11-x4", "autzen-x4")
REPETITIONS = 3


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Return the seconds until the device has finished."""
    started = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def pixels(side: int, bands: int = GUIDE_BANDS) -> tuple[Pixels, Pixels]:
    """Return a source and a guide of this many target pixels a side."""
    rng = np.random.default_rng(0)
    coarse = side // SCALE.y
    return (
        Pixels.masked(rng.random((1, coarse, coarse), np.float32)),
        Pixels.masked(rng.random((bands, side, side), np.float32)),
    )


def short_model(device: str) -> FittedModel:
    """Return a model after a short fit to 96 x 96 target pixels; a device does its first-time work during it."""
    params = FitParams(steps=2, first_stage=False, threads=1)
    names = tuple(map(str, range(GUIDE_BANDS)))
    return fit_samples([sample_of(*pixels(96))], SCALE, params, guide_bands=names, device=torch.device(device))


def fits(data: Path, device: str, threads: int) -> None:
    """Print a row for the default fit of each pair: members, and the network as long as it has a weight."""
    print("| pair | fit | of it members | pixels x steps | per second |\n|---|---|---|---|---|")
    for name in FITTED:
        pair = read_case(name, data).trial.pair
        started, ends = time.perf_counter(), dict[str, float]()

        def note(stage: str, _done: int, _steps: int, ends: dict[str, float] = ends) -> None:
            ends[stage] = time.perf_counter()

        model = SceneFit(FitParams(threads=threads), 0, device, "warn").model_for(pair, note)
        seconds = time.perf_counter() - started
        members = ends["members"] - started
        work = model.provenance["fit"]["pixel_steps"]
        rate = f"{work / (seconds - members) / 1e6:.2f} M" if work else ""
        print(f"| {name} | {seconds:.1f} s | {members:.1f} s | {work / 1e6:.1f} M | {rate} |", flush=True)


def predictions(sides: list[int], device: str, threads: int) -> None:
    """Print a row for each size of a window."""
    upsampler = Upsampler.of(short_model(device), device)
    torch.set_num_threads(threads)
    print("| side, target px | time | Mpx/s | peak, MB | bytes per target pixel |\n|---|---|---|---|---|")
    for side in sides:
        source, guide = pixels(side)
        whole = Window.whole(source.valid.shape)

        def predict(whole: Window = whole, source: Pixels = source, guide: Pixels = guide) -> None:
            upsampler.upsample(Tile(0, whole, whole), source, guide)

        predict()
        peak, before = 0, 0
        if device != "cpu":
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        seconds = median(seconds_of(predict, device) for _ in range(REPETITIONS))
        if device != "cpu":
            peak = torch.cuda.max_memory_allocated() - before
        memory = f"{peak / 1e6:.0f} | {peak / side**2:.0f}" if peak else " | "
        print(f"| {side} | {seconds:.3f} s | {side**2 / seconds / 1e6:.2f} | {memory} |", flush=True)


def main() -> None:
    """Print the device, and both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument(
        "--sides",
        type=int,
        nargs="*",
        default=[256, 512, 1024],
        help="sides of the predicted windows, in target pixels",
    )
    options = parser.parse_args()
    card = "a CPU" if options.device == "cpu" else torch.cuda.get_device_name()
    print(f"{card}, torch {torch.__version__}, {options.threads} threads\n")
    short_model(options.device)
    fits(options.data, options.device, options.threads)
    print()
    predictions(options.sides, options.device, options.threads)


if __name__ == "__main__":
    main()
