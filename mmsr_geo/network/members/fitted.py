"""A fitted ensemble of members: a value that predicts any window of its pair; tensors only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from mmsr_geo.geometry import LARGEST_SCALE, Halo, Scale
from mmsr_geo.network.members.layers import OF_CONTEXT, WAVES, Alignment, Features, GuideScaling, wave_inputs
from mmsr_geo.network.members.local_regression import Pooled
from mmsr_geo.network.members.ridge_regression import Regression
from mmsr_geo.network.members.sensor import FARTHEST_ALIGNMENT, WIDEST_PX
from mmsr_geo.network.members.table import INTERPOLATION, MEMBERS, MemberState
from mmsr_geo.network.members.waves import CONTEXT_REACH_PX, Standard, Waves
from mmsr_geo.network.members.window import WindowInputs
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.sensor import ESTIMATED, FARTHEST_SHIFT_PX, LARGEST_BLUR, PLAIN, Findings, Sensor, WantedSensor
from mmsr_geo.network.variational.guide_weights import Whitening
from mmsr_geo.network.variational.noise import MOST_SOFT

SUPPORT_PX: Mapping[int, int] = {10: 12, LARGEST_SCALE: 8}
"""Source pixels around its own that a target pixel depends on, in each member, for scales up to each key.

At most 128 target pixels up to scale 16. The largest change of a target, in standard deviations, by what lies farther
away (benchmarks/member_halos.py):

| scale | source pixels | smooth surfaces | edge-preserving | piecewise constant | regressions |
|---|---|---|---|---|---|
| 2 | 12 | 5e-7 | 2e-6 | 3e-7 | 4e-7 |
| 4 | 12 | 1e-5 | 8e-6 | 5e-7 | 1e-5 |
| 8 | 12 | 7e-6 | 5e-6 | 2e-7 | 6e-6 |
| 16 | 8 | 8e-5 | 5e-5 | 2e-6 | 5e-5 |
"""

SENSOR_SUPPORT_PX: Mapping[int, int] = {10: 18, LARGEST_SCALE: 12}
"""The same for a source that a sensor blurs, or that has noise: deblurring sees farther (decision 021).
"""


def sensor_support_px(scale: Scale) -> int:
    """Return the source pixels around its own that a target pixel depends on, of a source with blur or noise."""
    return next(source_px for most, source_px in SENSOR_SUPPORT_PX.items() if max(scale.y, scale.x) <= most)


FARTHEST_SENSOR = Sensor((LARGEST_BLUR, LARGEST_BLUR), 1.0, MOST_SOFT)
"""The sensor whose source is seen from farthest."""


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """A weighted average of members that were fitted to a pair."""

    scaling: GuideScaling
    alignment: Alignment
    weights: Mapping[str, float]
    """Weight of each member, 1 in sum."""
    states: Mapping[str, MemberState]
    """What each member keeps of the raster."""
    sensor: Sensor = PLAIN
    """How the source was measured."""
    findings: Findings = field(default_factory=Findings)
    """What the fit has found of sensor and registration."""

    def receptive_field(self, scale: Scale) -> Halo:
        """Return the source pixels around its own that a target pixel depends on."""
        return members_receptive_field(scale, self.alignment, self.weights, self.sensor)

    @property
    def guided(self) -> bool:
        """True if a member with a weight uses the guide."""
        return any(MEMBERS[name].guided for name in self.weights)

    @property
    def unguided(self) -> Members:
        """The interpolation alone."""
        return replace(self, weights={INTERPOLATION: 1.0}, states={INTERPOLATION: MemberState()})

    @property
    def constants(self) -> str:
        """Constants of the members, which are part of the code: another version's may differ."""
        return repr((SUPPORT_PX, [MEMBERS[name] for name in self.weights]))

    @property
    def sentence(self) -> str:
        """The members with their weights, in words."""
        return ", ".join(f"{name} {weight:.0%}" for name, weight in self.weights.items())

    def window(self, sample: Sample, statistics: Statistics, scale: Scale) -> WindowInputs:
        """Return what the members predict a window from."""
        needed = needed_features(self.weights)
        layers = self.scaling.layers(sample, statistics, scale, self.alignment, needed, self.sensor)
        return WindowInputs(layers, self.scaling)

    def predict(self, window: WindowInputs, states: Mapping[str, MemberState] | None = None) -> Tensor:
        """Return the target of a window, (H, W) float64 in standard deviations; it shows the source.

        Args:
            window: See `window`.
            states: What the members keep; None: of the raster that they were fitted to.
        """
        states = self.states if states is None else states
        parts = (weight * MEMBERS[name].predict(window, states[name]) for name, weight in self.weights.items())
        return torch.stack(list(parts)).sum(dim=0)

    def to(self, device: torch.device | str) -> Members:
        """Return the members with their tensors on a device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return Members.from_parts(self.description, tensors)

    @property
    def description(self) -> dict[str, Any]:
        """All but the tensors, as JSON values."""
        return {
            "blur_px": self.alignment.blur_px,
            "shift_px": list(self.alignment.shift_px),
            "findings": asdict(self.findings),
            "sensor": {"blur": list(self.sensor.blur), "noise": self.sensor.noise, "softness": self.sensor.softness},
            "members": {
                name: {
                    "weight": weight,
                    "sizes": list(self.states[name].sizes),
                    "softness": self.states[name].softness,
                }
                for name, weight in self.weights.items()
            },
        }

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        scaling = self.scaling
        tensors = {
            "low": scaling.low,
            "high": scaling.high,
            "squares.centre": scaling.squares.centre,
            "squares.spread": scaling.squares.spread,
            "whitening.low": scaling.whitening.low,
            "whitening.high": scaling.whitening.high,
            "whitening.turn": scaling.whitening.turn,
            "whitening.strong_turn": scaling.strong_whitening.turn,
        }
        for kind in needed_waves(self.weights):
            tensors |= {f"{kind}.{part}": tensor for part, tensor in scaling.waves[kind].tensors.items()}
        for name in self.weights:
            state = self.states[name]
            if state.ridge is not None:
                tensors |= {f"{name}.{part}": tensor for part, tensor in state.ridge.tensors.items()}
            for index, pooled in enumerate(state.pooled):
                tensors[f"{name}.{index}.covariance"] = pooled.covariance
                tensors[f"{name}.{index}.coefficients"] = pooled.coefficients
        return tensors

    @classmethod
    def from_parts(cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return the members of `description` and `tensors`.

        Raises:
            KeyError: A part is missing, or a member is unknown.
            ValueError: A part is out of range, has the wrong shape, or is not finite.
        """
        bands = len(tensors["low"])
        shapes = {name: tuple(shape) for name, shape in _shapes(bands).items()}
        scaling_tensors = {name: _checked(name, tensors[name], shape) for name, shape in shapes.items()}
        waves = {}
        for kind in needed_waves(description["members"]):
            shapes = Waves.shapes(wave_inputs(kind, bands), WAVES[kind])
            of_kind = {part: _checked(f"{kind}.{part}", tensors[f"{kind}.{part}"], shapes[part]) for part in shapes}
            waves[kind] = Waves.from_tensors(of_kind)
        standards = (
            scaling_tensors["squares.spread"],
            *(s.spread for w in waves.values() for s in (w.inputs, w.outputs)),
        )
        if any(bool((spread <= 0).any()) for spread in standards):
            raise ValueError("it has a spread of 0 or less")
        weights, states = {}, {}
        for name, member in description["members"].items():
            kept, sizes = MEMBERS[name].kept(bands), tuple(map(float, member["sizes"]))
            weights[name] = float(member["weight"])
            pooled = tuple(
                Pooled(
                    _checked(f"{name}.{at}.covariance", tensors[f"{name}.{at}.covariance"], (kept_of, kept_of)),
                    _checked(f"{name}.{at}.coefficients", tensors[f"{name}.{at}.coefficients"], (width,)),
                )
                for at, (width, kept_of) in enumerate(kept.pooled)
            )
            if len(sizes) != kept.sizes or not all(0 < size < math.inf for size in sizes):
                raise ValueError(f"{name} has sizes {sizes}")
            ridge = None
            if kept.ridge:
                prefix = f"{name}."
                parts = {key.removeprefix(prefix): part for key, part in tensors.items() if key.startswith(prefix)}
                ridge = Regression.checked(parts, bands)
            soft = None if member["softness"] is None else float(member["softness"])
            if soft is not None and not 0 <= soft < math.inf:
                raise ValueError(f"{name} has the softness {soft}")
            states[name] = MemberState(pooled, sizes, ridge, soft)
        if not all(0 < weight <= 1 for weight in weights.values()) or not math.isclose(
            sum(weights.values()), 1, abs_tol=1e-6
        ):
            raise ValueError(f"the weights of its members are {list(weights.values())}")
        blur, (down, across) = float(description["blur_px"]), map(float, description["shift_px"])
        of_sensor = description["sensor"]
        blurred_down, blurred_across = map(float, of_sensor["blur"])
        sensor = Sensor((blurred_down, blurred_across), float(of_sensor["noise"]), float(of_sensor["softness"]))
        if not (0 <= blur <= WIDEST_PX and max(abs(down), abs(across)) <= FARTHEST_SHIFT_PX):
            raise ValueError(f"its guide is blurred by {blur} and moved by {down}, {across} pixels")
        ends = scaling_tensors["whitening.low"], scaling_tensors["whitening.high"]
        scaling = GuideScaling(
            scaling_tensors["low"],
            scaling_tensors["high"],
            Standard(scaling_tensors["squares.centre"], scaling_tensors["squares.spread"]),
            waves,
            Whitening(*ends, scaling_tensors["whitening.turn"]),
            Whitening(*ends, scaling_tensors["whitening.strong_turn"]),
        )
        return cls(
            scaling, Alignment(blur, (down, across)), weights, states, sensor, _findings(description["findings"])
        )


def _findings(of: Mapping[str, Any]) -> Findings:
    """Return findings of their JSON values; raise ValueError if one is not finite."""
    (low, high), (least, most) = of["blur"], of["noise"]
    (top, left), (bottom, right) = of["shift_px"]
    numbers = [float(number) for number in (low, high, least, most, top, left, bottom, right, of["misfit"])]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"what was found of the sensor is {numbers}")
    low, high, least, most, top, left, bottom, right, misfit = numbers
    return Findings((low, high), (least, most), ((top, left), (bottom, right)), misfit)


def _shapes(bands: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a scaling, by its name."""
    per_band = ("low", "high", "squares.centre", "squares.spread", "whitening.low", "whitening.high")
    return {
        **dict.fromkeys(per_band, (bands,)),
        **dict.fromkeys(("whitening.turn", "whitening.strong_turn"), (bands, bands)),
    }


def _checked(name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor of a file; raise ValueError if it is not float64 of this shape, or not finite."""
    if tensor.dtype != torch.float64 or tuple(tensor.shape) != shape:
        raise ValueError(f"{name} is {tuple(tensor.shape)} {tensor.dtype}")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds values that are not finite")
    return tensor


def needed_features(names: Iterable[str]) -> frozenset[Features]:
    """Return the features that the named members predict from."""
    return frozenset[Features]().union(*(MEMBERS[name].needs for name in names))


def needed_waves(names: Iterable[str]) -> list[Features]:
    """Return the kinds of waves that the named members predict from."""
    needed = needed_features(names)
    return [kind for kind in WAVES if kind in needed]


def members_receptive_field(scale: Scale, alignment: Alignment, names: Iterable[str], sensor: Sensor = PLAIN) -> Halo:
    """Return the source pixels around its own that a target pixel depends on, for a guide that is aligned.

    Of scales that differ down and across the larger one counts.
    """
    largest = max(scale.y, scale.x)
    exact = next(source_px for most, source_px in SUPPORT_PX.items() if largest <= most)
    support = exact if sensor.exact else sensor_support_px(scale)
    around = CONTEXT_REACH_PX if OF_CONTEXT in needed_features(names) else 0
    down, across = (
        math.ceil((support * largest + around + reach) / factor)
        for reach, factor in zip(alignment.reach_px, (scale.y, scale.x), strict=True)
    )
    return Halo(down, across)


def farthest_members_receptive_field(scale: Scale, names: Iterable[str], wanted: WantedSensor = ESTIMATED) -> Halo:
    """Return the receptive field for a guide that is blurred and moved as far as alignments go; known before a fit."""
    return members_receptive_field(scale, FARTHEST_ALIGNMENT, names, PLAIN if wanted.exact else FARTHEST_SENSOR)
