"""Hashes that identify the code that made a result: of a method's target on a small invented pair, not of its text.

A change of the code that changes no result does not repeat runs of hours. The hash is always taken on a CPU. Another
torch version or processor can round otherwise: a machine that is lent for a run reads the hashes that were taken
before, for exactly the same sources.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
from cases import Case
from members import alone

import mmsr_geo
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.tile_upsampler import halo_of
from mmsr_geo.engine.tiling import tiling_for
from mmsr_geo.evaluation.evaluate import evaluate
from mmsr_geo.evaluation.trial import Values
from mmsr_geo.geometry import Scale, Tiling
from mmsr_geo.methods.base import Method
from mmsr_geo.methods.baseline import BaselineMethod, baseline
from mmsr_geo.methods.p2p import P2P
from mmsr_geo.methods.scene import SceneFit
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.options import CONSISTENT, Quality

QUALITIES: tuple[Quality, ...] = get_args(Quality)
METHODS = ("bicubic", "guided-filter", "p2p", "published", "mmsr", "uncertainty", *QUALITIES, "members")
"""Names that have a hash of their own.

`uncertainty` is that of `mmsr`. The hash of a quality is that of its target, its uncertainty and its parameters.
"""
NOISES = (0.0, 0.5, 2.0)
"""Noise of the invented guide for the uncertainty: its width is then the least, a part, or all of the baseline's."""


@dataclass(frozen=True, slots=True)
class Codes:
    """Hash of each method, as it was read from a file or as it is computed here."""

    recorded: dict[str, str] = field(default_factory=dict)
    """Hashes read from a file; computed here where they are missing."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that `write` wrote; raises ValueError if it was written for other sources."""
        content = json.loads(path.read_text())
        if content["sources"] != sources():
            msg = f"{path} was written for other sources than those here: write it again for the sources that will run"
            raise ValueError(msg)
        return cls(content["codes"])

    @staticmethod
    def write(path: Path) -> None:
        """Write the hashes computed here, with that of the sources."""
        path.write_text(json.dumps({"sources": sources(), "codes": {name: code_version(name) for name in METHODS}}))

    def of(self, method: str) -> str:
        """Return a method's hash."""
        base = base_of(method)
        return self.recorded[base] if base in self.recorded else code_version(base)

    def difference(self, method: str) -> dict[str, Any]:
        """Return the hash computed here under `code_there`, if it is not the one that was read; else nothing."""
        here = code_version(base_of(method)) if self.recorded else self.of(method)
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
    """Return a hash of a method's target on a small invented pair after a few steps, to three digits."""
    if base in QUALITIES:
        return _version_of_quality(FitParams.of(base, threads=1))
    if base == "members":
        return _hash(list(alone(invented_case(0.5)).values()))
    if base == "p2p":
        method: Method = BaselineMethod("p2p", P2P(steps=3), consistent=True, device="cpu")
    elif base == "published":
        method = SceneFit(FitParams.published(steps=3, threads=1), 0, "cpu", "warn")
    elif base in {"mmsr", "uncertainty"}:
        method = SceneFit(FitParams(steps=6, threads=1), 0, "cpu", "warn")
    else:
        method = BaselineMethod(base, baseline(base), consistent=True, device="cpu")
    noises = NOISES if base == "uncertainty" else (0.0,)
    values = [_values(method, noise, half_width=base == "uncertainty") for noise in noises]
    if base == "mmsr":
        values.append(_network_alone(FitParams(threads=1)))
    return _hash(values)


def _version_of_quality(params: FitParams) -> str:
    """Return a hash of a quality's parameters, and of its target and uncertainty after a few steps."""
    short = replace(params, steps=6, first_stage=True) if params.network else params
    method = SceneFit(short, 0, "cpu", "warn")
    values = [_values(method, noise, half_width=half) for noise in NOISES for half in (False, True)]
    if params.network:
        values.append(_network_alone(params))
    return _hash(values, repr(params))


def _network_alone(params: FitParams) -> Values:
    """Return the target of a few steps of a network alone: beside members so short a fit may have no weight."""
    alone = replace(params, steps=6, first_stage=True, ensemble=False)
    return _values(SceneFit(alone, 0, "cpu", "warn"), 0.0, half_width=False)


def _hash(arrays: Sequence[Values], prefix: str = "") -> str:
    """Return a hash of arrays (H, W) to three digits."""
    digits = " ".join(f"{value:.2e}" for array in arrays for value in array[::7, ::7].flatten().tolist())
    return hashlib.sha256((prefix + digits).encode()).hexdigest()[:12]


def tiling(pair: Pair, method: Method) -> Tiling:
    """Return the tiles of a pair, 512 target pixels a side."""
    halo = halo_of(method.receptive_field(pair), pair.scale, consistent=method.consistent)
    return tiling_for(pair.part, pair.whole, pair.scale, halo, tile_size=512)


def _values(method: Method, noise: float, *, half_width: bool) -> Values:
    """Return the target of the invented pair, (72, 80), or half the width of its interval."""
    trial = invented_case(noise).trial
    result = evaluate(trial, {"tried": method}, {"tried": tiling(trial.pair, method)}, device="cpu").results["tried"]
    values = result.half_width if half_width else result.target
    if values is None:
        msg = f"the fit to the invented pair with noise {noise} calibrated no interval"
        raise ValueError(msg)
    return values


def invented_case(noise: float) -> Case:
    """Return a pair of 36 x 40 source pixels at scale 2 with edges, texture, nodata, and noise in its guide."""
    row, column = np.arange(72)[:, None], np.arange(80)
    truth = np.sin(row / 3) + np.cos(column / 5) + ((row * 7 + column * 3) % 5 > 2) + 2.0 * (row > column)
    noisy = truth + noise * ((row * 5 + column * 11) % 7) / 7
    guide = np.stack([noisy, (row * column % 11) / 5.0]).astype(np.float32)
    truth[30:34, 20:24] = np.nan
    return Case("invented", Scale(2, 2), truth.astype(np.float32), guide)
