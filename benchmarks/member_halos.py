"""How far does a member of a draft see?

    python benchmarks/member_halos.py --data DIR      6 minutes; docs/decisions/018-members-of-a-draft.md

For each member and scale the largest difference, in standard deviations of the source, between the target of 2 x 2
source pixels in the middle of 44 x 44 and the same target from a window with a halo of n source pixels. The largest of
three pairs: a depth, a canopy and a terrain, mirrored where they are smaller.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from cases import read_case

from mmsr_geo.geometry import Halo, Scale, Window
from mmsr_geo.network.degradation import degrade
from mmsr_geo.network.device import torch_threads
from mmsr_geo.network.members.fit import window_for
from mmsr_geo.network.members.fitted import needed_features
from mmsr_geo.network.members.layers import Alignment
from mmsr_geo.network.members.table import MEMBERS
from mmsr_geo.network.members.window import WindowInputs
from mmsr_geo.network.samples import Sample, Statistics

PAIRS = "depth1-x2", "vhm0-x2", "autzen-x2"
SCALES = 2, 4, 8, 16
HALOS = 4, 5, 6, 7, 8, 9, 10, 11, 12, 14
SIDE_PX = 44


def main() -> None:
    """Print one row for each member and scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    arguments = parser.parse_args()
    print(f"| scale | member | {' | '.join(map(str, HALOS))} |\n|{'---|' * (len(HALOS) + 2)}")
    with torch_threads(1):
        for factor in SCALES:
            pairs = [differences(name, Scale(factor, factor), arguments.data) for name in PAIRS]
            for member in MEMBERS:
                worst = (max(pair[member][halo] for pair in pairs) for halo in HALOS)
                print(f"| {factor} | {member} | {' | '.join(f'{value:.0e}' for value in worst)} |", flush=True)


def differences(name: str, scale: Scale, data: Path) -> dict[str, dict[int, float]]:
    """Return the largest difference by member and halo of one pair."""
    case = read_case(name, data)
    side = SIDE_PX
    truth, guide = (torch.from_numpy(mirrored(layers, side * scale.y)) for layers in (case.truth, case.guide))
    source = degrade(truth.double(), scale).float()
    sample = Sample(source, source.isfinite(), guide, guide.isfinite().all(dim=0))
    statistics, alignment = Statistics.of([sample]), Alignment(1.0)
    whole, core = Window(0, 0, side, side), Window(side // 2 - 1, side // 2 - 1, 2, 2)
    inputs, scaling = window_for(sample, statistics, scale, alignment, tuple(MEMBERS))
    found: dict[str, dict[int, float]] = {}
    for member in MEMBERS.values():
        state = member.fit([inputs])
        target = member.predict(inputs, state)[core.refined(scale).slices]
        found[member.name] = {}
        for halo in HALOS:
            read = core.padded(Halo(halo, halo), whole)
            needed = needed_features([member.name])
            layers = scaling.layers(sample.cut(read, scale), statistics, scale, alignment, needed)
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
