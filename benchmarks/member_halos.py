"""How far does a member of a draft see?

    python benchmarks/member_halos.py --data DIR      6 minutes; docs/decisions/018-members-of-a-draft.md
    python benchmarks/member_halos.py --data DIR --psf 0.45 --noise 0.05      docs/decisions/021-the-sensor.md

For each member and scale the largest difference, in standard deviations of the source, between the target of 2 x 2
source pixels in the middle of 44 x 44 and the same target from a window with a halo of n source pixels. The largest of
three pairs: a depth, a canopy and a terrain, mirrored where they are smaller.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from cases import read_case

from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network.device import torch_threads
from mmsr_geo.network.members.fit import window_for
from mmsr_geo.network.members.fitted import needed_features
from mmsr_geo.network.members.layers import Alignment, with_softness
from mmsr_geo.network.members.table import MEMBERS
from mmsr_geo.network.members.window import WindowInputs
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import Sensor
from mmsr_geo.network.variational.solve import Observation

PAIRS = "depth1-x2", "vhm0-x2", "autzen-x2"
SCALES = 2, 4, 8, 16
HALOS = 4, 6, 8, 10, 12, 14, 16, 18, 20
SIDE_PX = 44


def main() -> None:
    """Print one row for each member and scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--psf", type=float, default=0.0, help="blur of the sensor, in source pixels")
    parser.add_argument("--noise", type=float, default=0.0, help="noise of the source, in its standard deviations")
    parser.add_argument("--scales", type=int, nargs="+", default=SCALES)
    parser.add_argument("--members", nargs="+", default=list(MEMBERS))
    arguments = parser.parse_args()
    print(f"| scale | member | {' | '.join(map(str, HALOS))} |\n|{'---|' * (len(HALOS) + 2)}")
    with torch_threads(1):
        for factor in arguments.scales:
            sensor = Sensor((arguments.psf, arguments.psf), arguments.noise)
            pairs = [
                differences(name, Scale(factor, factor), arguments.data, sensor, arguments.members) for name in PAIRS
            ]
            for member in arguments.members:
                worst = (max(pair[member][halo] for pair in pairs) for halo in HALOS)
                print(f"| {factor} | {member} | {' | '.join(f'{value:.0e}' for value in worst)} |", flush=True)


def differences(
    name: str, scale: Scale, data: Path, sensor: Sensor, members: Sequence[str]
) -> dict[str, dict[int, float]]:
    """Return the largest difference by member and halo of one pair, as a sensor sees it."""
    case = read_case(name, data)
    side = SIDE_PX
    truth, guide = (torch.from_numpy(mirrored(layers, side * scale.y)) for layers in (case.truth, case.guide))
    held = torch.ones(side, side, dtype=torch.bool)
    source = Observation.of(scale, held, sensor).seen(truth.nan_to_num(nan=float(truth.nanmean())).double())
    source += sensor.noise * source.std() * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    source = source.float()
    sample = Sample(source, source.isfinite(), guide, guide.isfinite().all(dim=0))
    statistics, alignment = Statistics.of([sample]), Alignment(1.0)
    whole, core = Window(0, 0, side, side), Window(side // 2 - 1, side // 2 - 1, 2, 2)
    _, scaling = window_for(sample, statistics, scale, alignment, tuple(members))
    layers = scaling.layers(sample, statistics, scale, alignment, needed_features(members), sensor)
    (layers,) = with_softness([layers])
    sensor = replace(sensor, softness=layers.softness)
    inputs = WindowInputs(layers, scaling)
    found: dict[str, dict[int, float]] = {}
    for member in map(MEMBERS.__getitem__, members):
        state = member.fit([inputs])
        target = member.predict(inputs, state)[core.refined(scale).slices]
        found[member.name] = {}
        for halo in HALOS:
            read = core.padded(Halo(halo, halo), whole)
            needed = needed_features([member.name])
            layers = scaling.layers(sample.cut(read, scale), statistics, scale, alignment, needed, sensor)
            predicted = member.predict(WindowInputs(layers, scaling), state)
            again = predicted[core.relative_to(read).refined(scale).slices]
            found[member.name][halo] = float((again - target).abs().max())
    return found


def mirrored(layers: np.ndarray, side: int) -> np.ndarray:
    """Return layers (..., H, W) cut or mirrored to a side."""
    height, width = layers.shape[-2:]
    around = [(0, 0)] * (layers.ndim - 2) + [(0, max(0, side - height)), (0, max(0, side - width))]
    return np.pad(layers, around, mode="symmetric")[..., :side, :side]


if __name__ == "__main__":
    main()
