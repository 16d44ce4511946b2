"""The other methods, by name: targets from the source alone, or from source and guide; a file and a line here each.

A method is a frozen dataclass whose fields are its options. `fit` turns samples of a raster into a Model, once for the
raster; the engine does the rest (tiles, missing guide, holes, consistency).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Scale

if TYPE_CHECKING:
    from mmsr_geo.baselines.job import FitJob
    from mmsr_geo.model import Model
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

    def reach(self, scale: Scale) -> Halo:
        """Source pixels, beyond a target pixel's own, that a prediction will depend on."""

    def fit(self, samples: Sequence[Sample], job: FitJob) -> Model:
        """Fit to samples of a raster, all of one size; equal samples and jobs give equal models."""


def baseline(name: str) -> Baseline:
    """Return a method with its default options; raises OptionError for a name that is in no line of the table."""
    if name not in METHODS:
        raise OptionError(f"there is no method {name!r}: choose one of {', '.join(METHODS)}")
    file, kind = METHODS[name].split(":")
    made: Baseline = getattr(import_module(f"{__name__}.{file}"), kind)()
    return made
