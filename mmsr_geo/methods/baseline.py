"""The other methods, by name: targets from the source alone, or from source and guide; a file and a line here each.

A method is a frozen dataclass whose fields are its options. `fit` turns samples of a raster into a Model, once for the
raster; the engine does the rest (tiles, missing guide, holes, consistency).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import torch

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.pair import Pair
from mmsr_geo.engine.sampling import read_samples
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.options import check_seed

if TYPE_CHECKING:
    from mmsr_geo.engine.model import Model
    from mmsr_geo.network.samples import Sample


METHODS = {
    "nearest": "interpolation:Nearest",
    "bilinear": "interpolation:Bilinear",
    "bicubic": "interpolation:Bicubic",
    "guided-filter": "guided_filter:GuidedFilter",
    "p2p": "p2p:P2P",
}
"""Name → the file and the class; imported when asked for."""
CONSISTENT = "+consistency"
"""What follows a method's name where its result is to be made consistent."""


class Baseline(Protocol):
    """A method that is not ours."""

    @property
    def reads_samples(self) -> bool:
        """Whether `fit` looks at pixels; if not, it is given none."""

    def receptive_field(self, scale: Scale) -> Halo:
        """Source pixels, beyond a target pixel's own, that a prediction will depend on."""

    def fit(self, samples: Sequence[Sample], job: FitJob) -> Model:
        """Fit to samples of a raster, all of one size; equal samples and jobs give equal models."""


def baseline(name: str) -> Baseline:
    """Return a method with its default options; raises OptionError for a name that is in no line of the table."""
    if name not in METHODS:
        raise OptionError(f"there is no method {name!r}: choose one of {', '.join(METHODS)}")
    file, kind = METHODS[name].split(":")
    made: Baseline = getattr(import_module(f"mmsr_geo.methods.{file}"), kind)()
    return made


@dataclass(frozen=True, slots=True)
class FitJob:
    """One fit of a method to one raster."""

    scale: Scale
    shape_yx: tuple[int, int]
    """The whole raster, in source pixels; a sample's row and col count from its corner."""
    device: torch.device
    seed: int = 0
    """Of every random choice, drawn from generators of the fit's own."""
    threads: int = 1
    """Torch threads to fit with on a CPU."""
    progress: Progress = no_progress
    """To be called as progress("fit", done, total)."""


@dataclass(frozen=True, slots=True)
class BaselineMethod:
    """A method of the table in `baselines`, as its authors gave it or made consistent."""

    name: str
    method: Baseline
    consistent: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take (OptionError)."""
        check_seed(self.seed)

    @property
    def description(self) -> dict[str, Any]:
        """The method and its options."""
        options: dict[str, Any] = asdict(self.method) if is_dataclass(self.method) else {}
        return {"method": self.name, "consistent": self.consistent, "seed": self.seed, **options}

    def receptive_field(self, pair: Pair) -> Halo:
        """As far as the method looks."""
        return self.method.receptive_field(pair.scale)

    def model_for(self, pair: Pair, progress: Progress = no_progress) -> Model:
        """Fit the method to the pair's part; raises PixelError where there is nothing to fit to."""
        samples = read_samples(pair, pair.part, progress) if self.method.reads_samples else []
        device = resolve_device(self.device)
        job = FitJob(pair.scale, pair.whole.shape, device, self.seed, self.threads, progress)
        return self.method.fit(samples, job)

    def model_or_fallback(self, model: Model) -> Model:
        """Return what was asked for."""
        return model

    def uses_fallback(self, check: GuideCheck) -> bool:  # noqa: ARG002  (it asks for no check)
        """Never."""
        return False
