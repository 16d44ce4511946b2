"""What does it give to know, or to estimate, how a source was measured?

    python benchmarks/sensor.py --data DIR --set made       sources made of Sentinel-2 bands by known blurs
    python benchmarks/sensor.py --data DIR --set real       other sensors' measurements as the truth
    python benchmarks/sensor.py --data DIR --set shifts     guides that were moved by known shifts
    python benchmarks/sensor.py --data DIR --set noise      noise added to the source

RMSE divided by that of the plain bicubic interpolation, the median of the seeds. `known` is told the blur, `auto`
estimates blur and noise, `none` takes block means without noise for granted. docs/decisions/021-the-sensor.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from cases import Case
from members import sample_of
from pair_list import PAIRS
from pair_readers import Reader, known, sentinel_20m
from scipy import ndimage  # type: ignore[import-untyped]

from mmsr_geo.engine.tile_upsampler import filled_source
from mmsr_geo.geometry import Scale
from mmsr_geo.network.degradation import bicubic
from mmsr_geo.network.fit import fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.network.sensor import BLOCK_MEANS, ESTIMATED, Sensor, WantedSensor
from mmsr_geo.network.variational.solve import Observation
from mmsr_geo.options import Quality

SENTINEL: Mapping[str, Reader] = {
    "virginia-B11": known("s2-B11"),
    "virginia-B8A": known("s2-B8A"),
    "brandenburg-B11": sentinel_20m("sentinel2_brandenburg/bands_", 5),
    "brandenburg-B8A": sentinel_20m("sentinel2_brandenburg/bands_", 4),
    **{
        f"{place}-{band}": sentinel_20m(f"sentinel2_bigearthnet/{folder}_", number)
        for place, folder in {"austria": "austria", "wexford": "ireland_1", "kilkenny": "ireland_2"}.items()
        for band, number in {"B8A": 4, "B11": 5}.items()
    },
}
"""Bands of 20 m, and those of 10 m averaged to 20 m as their guide."""
WIDTHS = (0.0, 0.3, 0.4, 0.55, 0.8)
"""Total widths of the made sources in source pixels, with the pixel's own where there is a mean; 0: block means."""
PIXEL = 1 / math.sqrt(12)
"""Standard deviation of a pixel's own area, in pixels."""
SHIFTS = ((0.3, 0.0), (0.7, -0.3), (-1.6, 0.7))
"""Rows and columns by which guides are moved."""
SHIFTED = ("virginia-B11-x4", "austria-B11-x2", "talca-thermal-x4", "saomiguel-density-x2", "puertorico-lights-x4")
NOISY = (
    "virginia-B11-x4",
    "pennsylvania-thermal-x4",
    "zhangye-lst-x8",
    "pennsylvania-dem-x4",
    "rocky-dem-x3",
    "talca-dem-x4",
    "swellendam-dem-x2",
    "autzen-dsm-x4",
    "canopy0-x4",
    "puertorico-lights-x4",
)
NOISES = (0.01, 0.02, 0.05)
"""Standard deviations of the added noise, in that of the source."""
LARGEST_PX = 256
BORDER_PX = 4
"""Target pixels along the border that are not compared."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one way of measuring gave."""

    rmse: float
    bicubic: float
    sensor: Sensor
    shift: tuple[float, float]

    @property
    def ratio(self) -> float:
        """RMSE over that of the plain bicubic interpolation."""
        return self.rmse / self.bicubic


def fitted(case: Case, wanted: WantedSensor, quality: Quality, seed: int) -> Run:
    """Fit a pair and compare its target with the truth."""
    sample, bands = sample_of(case), tuple(map(str, range(len(case.guide))))
    params = FitParams.of(quality, threads=1, sensor=wanted)
    model = fit_samples([sample], case.scale, params, guide_bands=bands, seed=seed)
    target = model.predictor()(sample).numpy()
    smooth = bicubic(filled_source(sample), case.scale).numpy()
    return Run(_rmse(target, case.truth), _rmse(smooth, case.truth), model.sensor, model.alignment.shift_px)


def _rmse(target: np.ndarray, truth: np.ndarray) -> float:
    """Return the error away from the border, beyond which a moved guide shows nothing."""
    inner = slice(BORDER_PX, -BORDER_PX)
    return float(np.sqrt(np.nanmean((target - truth)[inner, inner] ** 2)))


def made(truth: np.ndarray, guide: np.ndarray, factor: int, width: float, *, mean: bool) -> Case:
    """Return a pair whose source is a truth, blurred by a Gaussian and averaged, or subsampled.

    Args:
        truth: (H, W).
        guide: (C, H, W).
        factor: Target pixels per source pixel.
        width: Standard deviation of the Gaussian in source pixels.
        mean: True: the mean over each source pixel follows; False: the target pixel in its middle, of the two there
            are at even factors their mean.
    """
    height, across = (side // factor * factor for side in truth.shape)
    truth, guide, scale = truth[:height, :across], guide[:, :height, :across], Scale(factor, factor)
    held = torch.ones(height // factor, across // factor, dtype=torch.bool)
    values = torch.from_numpy(truth).double()
    if mean:
        source = Observation(scale, held, Sensor((width, width)).blur_px(scale)).seen(values).numpy()
    else:
        blurred = ndimage.gaussian_filter(truth.astype(float), width * factor, mode="reflect")
        first, count = (factor - 1) // 2, 1 + (factor + 1) % 2
        parts = [
            blurred[first + down :: factor, first + right :: factor] for down in range(count) for right in range(count)
        ]
        source = np.mean(parts, axis=0)
    return Case("made", scale, truth, guide, source.astype(np.float32))


def of_width(total: float) -> float:
    """Return the Gaussian before the mean that makes a total width, in source pixels."""
    return math.sqrt(max(0.0, total**2 - PIXEL**2))


def rows_of_made(data: Path, quality: Quality, seeds: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    """Yield the rows of made sources."""
    yield _head("source", "scale", "width", "bicubic's RMSE", "known", "auto", "none", "estimated blur")
    for name in names or SENTINEL:
        rasters = SENTINEL[name](data)
        truth, guide = rasters.truth[:LARGEST_PX, :LARGEST_PX], rasters.guide[:, :LARGEST_PX, :LARGEST_PX]
        for factor in (2, 4):
            for mean, widths in ((True, WIDTHS), (False, WIDTHS[2:4])):
                for width in widths:
                    before = of_width(width) if mean else width
                    case = made(truth, guide, factor, before, mean=mean)
                    knows = WantedSensor((of_width(width),) * 2, "none")
                    ways = {"known": knows, "auto": ESTIMATED, "none": BLOCK_MEANS}
                    found = {
                        way: [fitted(case, wanted, quality, seed) for seed in seeds] for way, wanted in ways.items()
                    }
                    first = found["auto"][0]
                    yield _row(
                        name,
                        f"x{factor}",
                        f"{width:.2f}" if mean else f"{width:.2f}, subsampled",
                        f"{first.bicubic:.4g}",
                        *(f"{median(run.ratio for run in runs):.3f}" for runs in found.values()),
                        f"{first.sensor.blur[0]:.2f} ({of_width(width):.2f})",
                    )


def rows_of_real(data: Path, quality: Quality, seeds: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    """Yield the rows of sources of other sensors, and of pairs at reduced resolution of real guides."""
    yield _head("pair", "bicubic's RMSE", "none", "auto", "blur", "noise, of the deviation")
    chosen = names or [
        *(name for name, pair in PAIRS.items() if pair.two_sensor),
        *("elkton-red-x2", "elkton-nir-x4", "olinda-dem-x3", "olinda-dem-x4"),
    ]
    for name in chosen:
        case = PAIRS[name].read(data)
        none, auto = ([fitted(case, way, quality, seed) for seed in seeds] for way in (BLOCK_MEANS, ESTIMATED))
        sensor = auto[0].sensor
        yield _row(
            name,
            f"{auto[0].bicubic:.4g}",
            *(f"{median(run.ratio for run in runs):.3f}" for runs in (none, auto)),
            f"{sensor.blur[0]:.2f}",
            f"{sensor.noise:.1%}",
        )


def rows_of_shifts(data: Path, quality: Quality, seeds: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    """Yield the rows of guides that were moved: where the shift has to be found and taken back."""
    yield _head("pair", "moved down, right", "found down, right", "error over the unmoved pair's")
    for name in names or SHIFTED:
        case = PAIRS[name].read(data)
        plain = [fitted(case, ESTIMATED, quality, seed) for seed in seeds]
        own = plain[0].shift
        for shift in SHIFTS:
            filled = np.nan_to_num(case.guide)
            guide = np.stack([ndimage.shift(band, shift, order=5, mode="nearest") for band in filled])
            moved = Case(name, case.scale, case.truth, guide.astype(np.float32), case.given_source)
            runs = [fitted(moved, ESTIMATED, quality, seed) for seed in seeds]
            found = runs[0].shift[0] - own[0], runs[0].shift[1] - own[1]
            ratio = median(run.rmse / of.rmse for run, of in zip(runs, plain, strict=True))
            yield _row(name, _pair(shift), _pair((-found[0], -found[1])), f"{ratio:.3f}")


def rows_of_noise(data: Path, quality: Quality, seeds: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    """Yield the rows of sources with added noise."""
    yield _head("pair", "noise", "none", "auto", "estimated noise")
    for name in names or NOISY:
        case = PAIRS[name].read(data)
        for share in NOISES:
            ratios: dict[str, list[float]] = {"none": [], "auto": []}
            sensors = []
            for seed in seeds:
                noise = np.random.default_rng(seed).standard_normal(case.source.shape)
                source = (case.source + share * np.nanstd(case.source) * noise).astype(np.float32)
                noisy = Case(name, case.scale, case.truth, case.guide, source)
                for way, wanted in (("none", BLOCK_MEANS), ("auto", ESTIMATED)):
                    run = fitted(noisy, wanted, quality, seed)
                    ratios[way].append(run.ratio)
                sensors.append(run.sensor.noise)
            of_way = (f"{median(runs):.3f}" for runs in ratios.values())
            yield _row(name, f"{share:.0%}", *of_way, f"{median(sensors):.1%}")


ROWS: Mapping[str, Callable[[Path, Quality, Sequence[int], Sequence[str]], Iterator[str]]] = {
    "made": rows_of_made,
    "real": rows_of_real,
    "shifts": rows_of_shifts,
    "noise": rows_of_noise,
}


def _head(*names: str) -> str:
    return f"{_row(*names)}\n|{'---|' * len(names)}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _pair(shift: tuple[float, float]) -> str:
    return f"{shift[0]:.2f}, {shift[1]:.2f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--set", choices=ROWS, required=True)
    parser.add_argument("--quality", default="draft")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds")
    parser.add_argument("--pairs", nargs="+", default=(), help="names of pairs, instead of all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in ROWS[options.set](options.data, options.quality, range(options.seeds), options.pairs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
