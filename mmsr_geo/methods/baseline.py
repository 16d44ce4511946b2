"""The other methods by name: interpolations, the guided filter, P2P; each is a module and a line of a table here.

A method is a frozen dataclass whose fields are its options. `fit` turns samples of a raster into a Model, once per
raster; the engine does the rest (tiles, gaps in the guide, nodata, consistency).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from importlib import import_module
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.sampling import FitJob, read_samples
from mmsr_geo.engine.tiling import PredictedBy
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale, Tiling
from mmsr_geo.methods.base import FitSpeed, Method
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.samples import Sample
from mmsr_geo.network.sensor import PLAIN, Sensor
from mmsr_geo.options import CONSISTENT, IfUnhelpful, check_seed

METHODS = {
    "nearest": "interpolation:Nearest",
    "bilinear": "interpolation:Bilinear",
    "bicubic": "interpolation:Bicubic",
    "guided-filter": "guided_filter:GuidedFilter",
    "p2p": "p2p:P2P",
}
"""Module and class of each method by name; a module is imported when its method is chosen."""
_TIMED_STEPS = 8, 72
"""Numbers of steps of two fits: the difference of their times is that of 64 steps."""


class Baseline(Protocol):
    """A method other than mmsr."""

    @property
    def reads_samples(self) -> bool:
        """True if `fit` uses samples of the raster; if not, it gets none."""

    def receptive_field(self, scale: Scale) -> Halo:
        """Return the source pixels around a target pixel's own that a prediction will depend on."""

    def fit(self, samples: Sequence[Sample], job: FitJob) -> Model:
        """Fit to samples of a raster, all of one size; equal samples and jobs give equal models."""


@runtime_checkable
class SteppedBaseline(Baseline, Protocol):
    """A method that is fitted by steps of an optimiser."""

    @property
    def steps(self) -> int:
        """Steps of a fit."""

    def pixels_per_step(self, scale: Scale, source_px: int) -> int:
        """Return the target pixels in a step of a fit to a raster of `source_px` source pixels."""


def baseline(name: str) -> Baseline:
    """Return a method with its default options.

    Raises:
        OptionError: No method has this name.
    """
    if name not in METHODS:
        raise OptionError(f"there is no method {name!r}: choose one of {', '.join(METHODS)}")
    module, kind = METHODS[name].split(":")
    method: Baseline = getattr(import_module(f"mmsr_geo.methods.{module}"), kind)()
    return method


@dataclass(frozen=True, slots=True)
class BaselineMethod(Method):
    """A method of the table, as published or with its targets made consistent."""

    name: str
    method: Baseline
    consistent: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    correction: Sensor = PLAIN
    """The sensor whose blur a consistent target has to show."""
    if_unhelpful: ClassVar[IfUnhelpful] = "warn"
    """Without effect: the fit makes no guide check."""
    predicted_by: ClassVar[PredictedBy] = "other"
    checks_guide: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take (OptionError)."""
        check_seed(self.seed)

    @property
    def description(self) -> dict[str, Any]:
        """Name and options, as JSON values."""
        options: dict[str, Any] = asdict(self.method) if is_dataclass(self.method) else {}
        blur = {} if self.correction.exact else {"psf": list(self.correction.blur)}
        return {"method": self.name, "consistent": self.consistent, "seed": self.seed, **blur, **options}

    @property
    def title(self) -> str:
        """Name in an output's tags."""
        return self.name + CONSISTENT if self.consistent else self.name

    @property
    def samples_pixels(self) -> bool:
        """True if the method is fitted to samples."""
        return self.method.reads_samples

    def receptive_field(self, pair: Pair) -> Halo:
        """Return the source pixels around a target pixel's own that its prediction depends on."""
        return self.method.receptive_field(pair.scale)

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Fit the method to the pair's part.

        Raises:
            PixelError: Source and guide have no valid pixel in common.
        """
        samples = read_samples(pair, pair.part, progress) if self.method.reads_samples else []
        job = FitJob(pair.scale, pair.whole.shape, resolve_device(self.device), self.seed, self.threads, progress)
        return self.method.fit(samples, job)

    def pixel_steps(self, pair: Pair, tiling: Tiling) -> tuple[int, int]:  # noqa: ARG002  (one fit for all tiles)
        """Return the target pixels times steps of the fit twice: they are known."""
        if not isinstance(self.method, SteppedBaseline):
            return 0, 0
        total = self.method.steps * self.method.pixels_per_step(pair.scale, pair.part.height * pair.part.width)
        return total, total

    def timed_fit(self, sample: Sample, scale: Scale, threads: int, device: torch.device) -> tuple[Model, FitSpeed]:
        """Fit to a sample; of a method with steps, the time of what precedes them is left out."""
        height, width = sample.source.shape
        job = FitJob(scale, (height, width), device, 0, threads)
        if not isinstance(self.method, SteppedBaseline):
            return self.method.fit([sample], job), FitSpeed()
        seconds = []
        for steps in _TIMED_STEPS:
            method: Baseline = replace(self.method, steps=steps)  # type: ignore[type-var]  # methods are dataclasses
            began = time.perf_counter()
            model = method.fit([sample], job)
            seconds.append(time.perf_counter() - began)
        few, many = _TIMED_STEPS
        pixel_steps = (many - few) * self.method.pixels_per_step(scale, height * width)
        return model, FitSpeed(max(seconds[1] - seconds[0], 0.0) / pixel_steps)
