"""How a model is fitted, as a value: a quality's steps and rates, or anyone's own; knows no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from mmsr_geo.errors import OptionError
from mmsr_geo.machine import cores
from mmsr_geo.options import Quality

STEPS = 300
"""Steps unless told otherwise."""
PUBLISHED_STEPS = 1000
MOST_THREADS = 8
LARGEST_THREADS = 1024
"""More end the process where the machine cannot begin them; nothing gets quicker by so many."""
_QUALITIES: Mapping[Quality, dict[str, Any]] = {
    "fast": {"steps": 100, "enough_gain": 0.8},
    "balanced": {},
    "best": {"steps": 600, "lr": 0.0005},
}
"""What differs from the defaults in each."""


@dataclass(frozen=True, slots=True)
class FitParams:
    """How a model is fitted; the defaults, which are `balanced`, were measured (docs/decisions/002-fit-defaults.md)."""

    steps: int | None = None
    """Steps of the first stage, after which a third of them follow at the true scale; all of them are taken there where
    there is no first stage. None: as many as the method was measured with, 300 for ours."""
    first_stage: bool | None = None
    """Whether supervised steps one level down come first; None: where pixels are enough and the guide helps there.
    Without them nothing is known of whether the guide helped."""
    patch_px: int | None = 96
    """A patch's side in target pixels; None: the whole raster is one patch."""
    batch: int = 1
    """Patches a step."""
    lr: float = 0.001
    """The peak of each stage's one-cycle learning rate, or where the published schedule begins."""
    schedule: Literal["one-cycle", "published"] = "one-cycle"
    """How the learning rate goes: up to its peak and down to nothing, or almost constant, as published."""
    guide_features: bool = True
    """Whether the network is shown local contrast and edges beside the guide's bands."""
    over_bicubic: bool | None = None
    """Whether the network draws detail on the bicubic interpolation, not the whole target; None: where the source is so
    smooth that the interpolation is nearly right."""
    guide_weight_decay: float = 5e-4
    """Weight decay on the guide branch, as published."""
    ensemble: bool = True
    """Whether a regression's word and the interpolation's are mixed into the network's, by how each did one level
    down; where nothing is known of that (`first_stage` False), the network is alone."""
    enough_gain: float = 1.0
    """Gain of the regression one level down from which on it is taken as it is and no network is fitted; 1: one always
    is."""
    adapt_steps: int = 50
    """Steps that a scene's model takes on each tile where it is adapted to it."""
    threads: int | None = None
    """Torch threads on a CPU; None: as many as the cores of the machine where the fit is asked for, 8 at most. The
    number changes the order of sums, hence the fit, and is recorded."""

    def __post_init__(self) -> None:
        """Refuse what no fit can do."""
        for name, smallest in (("steps", 1), ("patch_px", 8), ("batch", 1), ("adapt_steps", 1)):
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise OptionError(f"{name} must be {smallest} or more, not {value}")
        if self.schedule not in {"one-cycle", "published"}:
            raise OptionError(f"schedule is one-cycle or published, not {self.schedule!r}")
        if not 0 < self.lr < 1:
            raise OptionError(f"lr must lie between 0 and 1, not {self.lr}")
        if not 0 <= self.enough_gain <= 1:
            raise OptionError(f"enough_gain must lie between 0 and 1, not {self.enough_gain}")
        if not 0 <= self.guide_weight_decay < math.inf:
            raise OptionError(f"guide_weight_decay must be 0 or more, not {self.guide_weight_decay}")
        if self.threads is not None and not 1 <= self.threads <= LARGEST_THREADS:
            raise OptionError(f"threads must be 1 or more, and {LARGEST_THREADS} at most, not {self.threads}")

    @classmethod
    def of(cls, quality: Quality, *, steps: int | None = None, threads: int | None = None) -> Self:
        """Return how to fit for a quality: what each costs and brings is measured in docs/fidelity.md.

        Raises OptionError for a quality that there is not.
        """
        if quality not in get_args(Quality):
            raise OptionError(f"quality is one of {', '.join(get_args(Quality))}, not {quality!r}")
        chosen = _QUALITIES[quality] | ({} if steps is None else {"steps": steps})
        return cls(**chosen, threads=threads)

    @classmethod
    def published(cls, steps: int = PUBLISHED_STEPS, threads: int | None = None) -> Self:
        """Return the fit of Dong et al. (ECCV 2022): bands alone, the whole raster a step, a nearly constant rate."""
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
    def fixed_threads(self) -> int:
        """The number of torch threads that a fit asked for here will use, wherever it runs."""
        return self.threads or min(MOST_THREADS, cores())
