"""mmsr_geo: a coarse raster made sharp by a finer image of the same place.

Importing registers the xarray accessor `.mmsr`; torch and GDAL are imported when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mmsr_geo import accessor as _accessor  # noqa: F401  (registers .mmsr)
from mmsr_geo._version import __version__
from mmsr_geo.errors import (
    ChangedInputError,
    GridError,
    GuideCoverageError,
    GuideWarning,
    InputError,
    JobError,
    MmsrError,
    MmsrWarning,
    ModelFileError,
    NodataWarning,
    NothingInCommonError,
    OptionError,
    OutputError,
    PixelError,
    UnhelpfulGuideError,
)

if TYPE_CHECKING:
    from mmsr_geo.api import batch, evaluate, fit, load, plan, report_batch, status, upsample, upsample_to_file
    from mmsr_geo.engine.flags import Flag
    from mmsr_geo.geometry import Scale
    from mmsr_geo.network.fit_params import FitParams
    from mmsr_geo.network.fitted import FittedModel
    from mmsr_geo.network.guide_check import GuideCheck

__all__ = [
    "ChangedInputError",
    "FitParams",
    "FittedModel",
    "Flag",
    "GridError",
    "GuideCheck",
    "GuideCoverageError",
    "GuideWarning",
    "InputError",
    "JobError",
    "MmsrError",
    "MmsrWarning",
    "ModelFileError",
    "NodataWarning",
    "NothingInCommonError",
    "OptionError",
    "OutputError",
    "PixelError",
    "Scale",
    "UnhelpfulGuideError",
    "__version__",
    "batch",
    "evaluate",
    "fit",
    "load",
    "plan",
    "report_batch",
    "status",
    "upsample",
    "upsample_to_file",
]

_HOMES = {
    "FitParams": "mmsr_geo.network.fit_params",
    "FittedModel": "mmsr_geo.network.fitted",
    "Flag": "mmsr_geo.engine.flags",
    "GuideCheck": "mmsr_geo.network.guide_check",
    "Scale": "mmsr_geo.geometry",
    "batch": "mmsr_geo.api",
    "evaluate": "mmsr_geo.api",
    "fit": "mmsr_geo.api",
    "load": "mmsr_geo.api",
    "plan": "mmsr_geo.api",
    "report_batch": "mmsr_geo.api",
    "status": "mmsr_geo.api",
    "upsample": "mmsr_geo.api",
    "upsample_to_file": "mmsr_geo.api",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
