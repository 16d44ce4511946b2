"""Parameters of a fit, as a value: a quality's steps and rates, or a user's own; knows no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal, Self, get_args

from mmsr_geo.errors import OptionError
from mmsr_geo.machine import cores
from mmsr_geo.network.sensor import ESTIMATED, WantedSensor
from mmsr_geo.options import Quality
from mmsr_geo.spelling import option

STEPS = 600
"""Default number of steps."""
PATCH_PX = 96
"""Default side of a patch in target pixels."""
AFTER_FIRST_STAGE = Fraction(3)
"""Factor by which the second stage has fewer steps than the first: more of them lose what the first has learnt."""
PUBLISHED_STEPS = 1000
"""Number of steps of the published fit."""
MOST_THREADS = 8
"""Largest number of torch threads that is chosen by default."""
LARGEST_THREADS = 1024
"""Largest number of torch threads that can be set: with more, the process ends where the machine cannot start them."""
QUALITIES: Mapping[Quality, dict[str, Any]] = {
    "draft": {"network": False, "quick_members": True},
    "fast": {"steps": 100},
    "balanced": {},
    "best": {"steps": 3000, "lr": 0.0005},
}
"""Values of each quality that differ from the defaults: budgets of about 5 s, 30 s, 3 and 15 minutes on 2 cores."""


@dataclass(frozen=True, slots=True)
class FitParams:
    """Parameters of a fit; the defaults are those of `balanced`: docs/decisions/002-fit-defaults.md, and 019."""

    steps: int | None = None
    """Number of steps of the first stage; a third as many follow at the true scale. Without a first stage all of them
    are taken at the true scale. None: the number the method was measured with, STEPS for mmsr."""
    first_stage: bool | None = None
    """First stage, a fit at reduced resolution: True, False, or None, where there are enough pixels and the guide helps
    there. With False the guide is not checked."""
    patch_px: int | None = PATCH_PX
    """Side of a patch in target pixels; None: the whole raster is one patch."""
    batch: int = 1
    """Number of patches per step."""
    lr: float = 0.001
    """Largest learning rate of each stage's one-cycle schedule, or first learning rate of the published schedule."""
    schedule: Literal["one-cycle", "published"] = "one-cycle"
    """Schedule of the learning rate: up to its largest value and down to almost 0, or nearly constant, as published."""
    guide_features: bool = True
    """True: the network is shown the guide's local contrast and edges next to its bands."""
    over_bicubic: bool | None = None
    """True: the network predicts the detail that is added to the bicubic interpolation; False: the whole target; None:
    the detail, where the source is so smooth that the bicubic interpolation is nearly right."""
    guide_weight_decay: float = 5e-4
    """Weight decay of the guide branch, as published."""
    ensemble: bool = True
    """True: the prediction is a weighted average (stacking) of the network's and of members that take seconds, with
    weights from their errors where the source is averaged. With `first_stage=False` these errors are not known, and the
    network is used alone."""
    network: bool = True
    """False: no network is fitted; the members are used alone."""
    quick_members: bool = False
    """True: only members that take a second or less are compared."""
    sensor: WantedSensor = ESTIMATED
    """What is known of the source's sensor and of the guide's registration, or how they are found."""
    adapt_steps: int = 50
    """Number of steps that a scene's model takes on each tile if it is adapted to tiles."""
    threads: int | None = None
    """Number of torch threads on a CPU; None: the number of cores of the machine where the fit is requested, at most 8.
    It changes the order of sums and so the fit, and is recorded in the model."""

    def __post_init__(self) -> None:
        """Refuse values out of range (OptionError)."""
        for name, smallest in (("steps", 1), ("patch_px", 8), ("batch", 1), ("adapt_steps", 1), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and value < smallest:
                label = option(name) if name in {"steps", "threads"} else name
                raise OptionError(f"{label} is {value}: give a number of {smallest} or more")
        if not self.network and self.steps is not None:
            raise OptionError(
                f"without a network there are no steps: leave out {option('steps')}, or choose another "
                f"{option('quality')} than draft"
            )
        if self.schedule not in {"one-cycle", "published"}:
            raise OptionError(f"schedule is {self.schedule!r}: choose one-cycle or published")
        if not 0 < self.lr < 1:
            raise OptionError(f"lr is {self.lr}: give a number between 0 and 1")
        if not 0 <= self.guide_weight_decay < math.inf:
            raise OptionError(f"guide_weight_decay is {self.guide_weight_decay}: give a number of 0 or more")
        if self.threads is not None and self.threads > LARGEST_THREADS:
            raise OptionError(f"{option('threads')} is {self.threads}: give a number of {LARGEST_THREADS} or less")

    @classmethod
    def of(
        cls,
        quality: Quality,
        *,
        work: float | None = None,
        steps: int | None = None,
        threads: int | None = None,
        sensor: WantedSensor = ESTIMATED,
    ) -> Self:
        """Return the parameters of a quality; docs/fidelity.md has the error and the work of each.

        Args:
            quality: The quality.
            work: Million target pixels times steps, instead of the quality's; 0: no network is fitted.
            steps: Number of steps, instead of the quality's.
            threads: Number of torch threads on a CPU.
            sensor: What is known of sensor and registration.

        Raises:
            OptionError: The quality is unknown.
        """
        if quality not in get_args(Quality):
            raise OptionError(f"{option('quality')} is {quality!r}: choose one of {', '.join(get_args(Quality))}")
        chosen = dict(QUALITIES[quality])
        if work is not None:
            chosen |= {"network": False} if work < work_of(1) else {"network": True, "steps": steps_of(work)}
            if work < work_of(1):
                chosen.pop("steps", None)
        if steps is not None:
            chosen |= {"steps": steps}
        return cls(**chosen, threads=threads, sensor=sensor)

    @classmethod
    def published(cls, steps: int = PUBLISHED_STEPS, threads: int | None = None) -> Self:
        """Return the fit of Dong et al. (ECCV 2022).

        The network is shown the bands alone, each step uses the whole raster, the learning rate is nearly constant.
        """
        return cls(
            steps=steps,
            first_stage=False,
            patch_px=None,
            lr=0.002,
            schedule="published",
            guide_features=False,
            over_bicubic=False,
            ensemble=False,
            threads=threads,
        )

    @property
    def work(self) -> float:
        """Most million target pixels times steps of its network, without the trial."""
        return work_of(self.steps or STEPS) if self.network else 0.0

    @property
    def description(self) -> dict[str, Any]:
        """The parameters by name, as JSON values."""
        return {**asdict(self), "sensor": self.sensor.description}

    @property
    def compares_members(self) -> bool:
        """True if members take part in the prediction."""
        return not self.network or (self.ensemble and self.first_stage is not False)

    @property
    def fixed_threads(self) -> int:
        """Number of torch threads of a fit that is requested here, wherever it runs."""
        return self.threads or min(MOST_THREADS, cores())


def work_of(steps: int) -> float:
    """Return the million target pixels times steps of both stages, the first of which has this number of steps."""
    return (steps + math.ceil(steps / AFTER_FIRST_STAGE)) * PATCH_PX**2 / 1e6


def steps_of(work: float) -> int:
    """Return the largest number of steps whose work, as `work_of` has it, is not above `work`; at least 1."""
    steps = max(1, math.floor(work * 1e6 / PATCH_PX**2 / (1 + 1 / AFTER_FIRST_STAGE)) + 1)
    while steps > 1 and work_of(steps) > work:
        steps -= 1
    return steps
