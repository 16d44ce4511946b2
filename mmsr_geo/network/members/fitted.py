"""A fitted ensemble of members: a value that predicts any window of its pair; tensors only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.network.members.alignment import BLURS_PX, FARTHEST_PX
from mmsr_geo.network.members.layers import Alignment, Features, GuideScaling, Layers, Standard
from mmsr_geo.network.members.local_regression import Pooled
from mmsr_geo.network.members.table import MEMBERS, MemberState, Window
from mmsr_geo.network.samples import Sample, Statistics
from mmsr_geo.network.variational.gaussian import radius_px
from mmsr_geo.network.variational.guide_weights import Whitening

SUPPORT_PX = 12
"""Source pixels around its own that a target pixel depends on, in each member: what lies farther away changes it by
less than 1e-5 standard deviations (benchmarks/support.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """A weighted average of members that were fitted to a pair."""

    scaling: GuideScaling
    alignment: Alignment
    weights: Mapping[str, float]
    """Weight of each member, 1 in sum."""
    states: Mapping[str, MemberState]
    """What each member keeps of the raster."""

    def receptive_field(self, scale: Scale) -> Halo:
        """Return the source pixels around its own that a target pixel depends on."""
        return members_receptive_field(scale, self.alignment)

    @property
    def sentence(self) -> str:
        """The members with their weights, and the alignment, in words."""
        weights = ", ".join(f"{name} {weight:.0%}" for name, weight in self.weights.items())
        down, across = self.alignment.shift_px
        moved = f", moved by {down:g} rows and {across:g} columns" if (down, across) != (0, 0) else ""
        return f"{weights}; guide blurred by {self.alignment.blur_px:g} target pixels{moved}"

    def predict(self, sample: Sample, statistics: Statistics, scale: Scale) -> Tensor:
        """Return the target of a window, (H, W) float64 in standard deviations; its block means are the source."""
        needed = frozenset[Features]().union(*(MEMBERS[name].needs for name in self.weights))
        layers = self.scaling.layers(sample, statistics, scale, self.alignment, needed)
        return self.predict_layers(layers, self.states)

    def predict_layers(self, layers: Layers, states: Mapping[str, MemberState]) -> Tensor:
        """Return the target of a window from its layers."""
        window = Window(layers, self.scaling)
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
            "members": {
                name: {"weight": weight, "sizes": list(self.states[name].sizes)}
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
            "frequencies": scaling.frequencies,
            "phases": scaling.phases,
            "waves.centre": scaling.waves.centre,
            "waves.spread": scaling.waves.spread,
            "whitening.low": scaling.whitening.low,
            "whitening.high": scaling.whitening.high,
            "whitening.turn": scaling.whitening.turn,
            "whitening.strong_turn": scaling.strong_whitening.turn,
        }
        for name in self.weights:
            for index, pooled in enumerate(self.states[name].pooled):
                tensors[f"{name}.{index}.covariance"] = pooled.covariance
                tensors[f"{name}.{index}.coefficients"] = pooled.coefficients
        return tensors

    @classmethod
    def from_parts(cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return the members of `description` and `tensors`.

        Raises:
            KeyError: A part is missing, or a member is unknown.
            ValueError: A part has the wrong shape, or is not finite.
        """
        bands = len(tensors["low"])
        for name, tensor in tensors.items():
            if tensor.dtype != torch.float64 or not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"{name} is {tensor.dtype}, or holds values that are not finite")
        if tensors["frequencies"].shape != (len(tensors["phases"]), bands):
            raise ValueError(f"frequencies is {tuple(tensors['frequencies'].shape)}")
        ends = tensors["whitening.low"], tensors["whitening.high"]
        scaling = GuideScaling(
            tensors["low"],
            tensors["high"],
            Standard(tensors["squares.centre"], tensors["squares.spread"]),
            tensors["frequencies"],
            tensors["phases"],
            Standard(tensors["waves.centre"], tensors["waves.spread"]),
            Whitening(*ends, tensors["whitening.turn"]),
            Whitening(*ends, tensors["whitening.strong_turn"]),
        )
        weights, states = {}, {}
        for name, member in description["members"].items():
            weights[name] = float(member["weight"])
            pooled = (
                Pooled(tensors[f"{name}.{index}.covariance"], tensors[f"{name}.{index}.coefficients"])
                for index in range(sum(key.startswith(f"{name}.") for key in tensors) // 2)
            )
            states[MEMBERS[name].name] = MemberState(tuple(pooled), tuple(map(float, member["sizes"])))
        down, across = map(float, description["shift_px"])
        return cls(scaling, Alignment(float(description["blur_px"]), (down, across)), weights, states)


def members_receptive_field(scale: Scale, alignment: Alignment) -> Halo:
    """Return the source pixels around its own that a target pixel depends on, for a guide that is aligned."""
    blurred = radius_px(alignment.blur_px)
    return Halo(
        *(
            SUPPORT_PX + math.ceil((blurred + math.ceil(abs(shift))) / factor)
            for shift, factor in zip(alignment.shift_px, (scale.y, scale.x), strict=True)
        )
    )


def farthest_members_receptive_field(scale: Scale) -> Halo:
    """Return the receptive field for a guide that is blurred and moved as far as alignments go; known before a fit."""
    return members_receptive_field(scale, Alignment(max(BLURS_PX), (FARTHEST_PX, FARTHEST_PX)))
