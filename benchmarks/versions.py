"""Which code made a result: a hash of what a method comes to on a small made pair, not of its text.

A change of the code that changes no result makes no run of hours anew. The hash is always taken on a CPU, but another
torch version or processor can round otherwise: a machine that is lent for a run is told the hashes that were taken
beforehand, for exactly the same sources.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from pairs import Case

import mmsr_geo
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import halo_of
from mmsr_geo.engine.tiling import tiling_for
from mmsr_geo.evaluation.evaluate import evaluate
from mmsr_geo.evaluation.trial import Trial, Values
from mmsr_geo.geometry import Scale, Tiling
from mmsr_geo.methods.baseline import CONSISTENT, BaselineMethod, baseline
from mmsr_geo.methods.p2p import P2P
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.methods.source import Method
from mmsr_geo.network.params import FitParams

METHODS = ("bicubic", "guided-filter", "p2p", "published", "mmsr", "uncertainty")
"""What has a hash of its own; the last is that of what `mmsr` says of its errors."""
NOISES = (0.0, 0.5, 2.0)
"""Of the made guide, where errors are told: it leaves the least of the interpolation's width, a part of it, or all."""


@dataclass(frozen=True, slots=True)
class Codes:
    """The hash of each method, as it was told or as it comes out here."""

    told: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raises ValueError where it was written for other sources."""
        said = json.loads(path.read_text())
        if said["sources"] != sources():
            msg = f"{path} is of other sources than those here: write it anew beside the sources that shall run"
            raise ValueError(msg)
        return cls(said["codes"])

    @staticmethod
    def write(path: Path) -> None:
        """Take the hashes here, and that of the sources with them."""
        path.write_text(json.dumps({"sources": sources(), "codes": {name: code_version(name) for name in METHODS}}))

    def of(self, method: str) -> str:
        """Return a method's hash."""
        base = base_of(method)
        return self.told[base] if base in self.told else code_version(base)

    def doubt(self, method: str) -> dict[str, Any]:
        """Return what is to be recorded where the hash that was told is not the one that comes out here."""
        here = code_version(base_of(method)) if self.told else self.of(method)
        return {} if here == self.of(method) else {"code_there": here}


def base_of(method: str) -> str:
    """Return the method of `METHODS`, or the baseline, that a name in a table belongs to."""
    base = method.removesuffix(CONSISTENT)
    return "p2p" if base.startswith("p2p") else "mmsr" if base.startswith("mmsr") else base


def sources() -> str:
    """Return a hash of the package's text."""
    folder = Path(mmsr_geo.__file__).parent
    texts = (path.relative_to(folder).as_posix().encode() + path.read_bytes() for path in sorted(folder.rglob("*.py")))
    return hashlib.sha256(b"".join(texts)).hexdigest()[:12]


@cache
def code_version(base: str) -> str:
    """Return a hash of what a method comes to on a small made pair with a few steps, to three digits."""
    if base == "p2p":
        made: Method = BaselineMethod("p2p", P2P(steps=3), consistent=True, device="cpu")
    elif base == "published":
        made = SceneFit(FitParams.published(steps=3, threads=1), 0, "cpu", "warn")
    elif base in {"mmsr", "uncertainty"}:
        made = SceneFit(FitParams(steps=6, first_stage=True, threads=1), 0, "cpu", "warn")
    else:
        made = BaselineMethod(base, baseline(base), consistent=True, device="cpu")
    noises = NOISES if base == "uncertainty" else (0.0,)
    values = [_values(made, noise, half_width=base == "uncertainty") for noise in noises]
    said = " ".join(f"{value:.2e}" for each in values for value in each[::7, ::7].flatten().tolist())
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def tiling(pair: Pair, method: Method) -> Tiling:
    """Return the tiles of a pair, 512 target pixels each side."""
    halo = halo_of(method.receptive_field(pair), pair.scale, consistent=method.consistent)
    return tiling_for(pair.part, pair.whole, pair.scale, halo, tile_size=512)


def _values(method: Method, noise: float, *, half_width: bool) -> Values:
    """Return the target of the made pair, (72, 80), or half the width of its interval."""
    trial = _made_trial(noise)
    result = evaluate(trial, {"made": method}, {"made": tiling(trial.pair, method)}, device="cpu").results["made"]
    values = result.half_width if half_width else result.target
    if values is None:
        msg = f"the fit to the made pair with noise {noise} has calibrated no interval"
        raise ValueError(msg)
    return values


def _made_trial(noise: float) -> Trial:
    """Return a pair of 36 x 40 source pixels at scale 2 with edges, texture and a hole; noise: so much in the guide."""
    row, column = np.arange(72)[:, None], np.arange(80)
    truth = np.sin(row / 3) + np.cos(column / 5) + ((row * 7 + column * 3) % 5 > 2) + 2.0 * (row > column)
    seen = truth + noise * ((row * 5 + column * 11) % 7) / 7
    guide = np.stack([seen, (row * column % 11) / 5.0]).astype(np.float32)
    truth[30:34, 20:24] = np.nan
    return Case("made", Scale(2, 2), truth.astype(np.float32), guide).trial
