"""The result of an output, and the tags that are written into its files."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mmsr_geo._version import __version__
from mmsr_geo.engine.flags import MEANINGS, Flag
from mmsr_geo.engine.flags import UNCERTAINTY as UNCERTAINTY_MEANING
from mmsr_geo.engine.model import Model
from mmsr_geo.errors import OptionError
from mmsr_geo.jobs.output.output_job import Failure, OutputJob
from mmsr_geo.jobs.tiles.tile_file import VALUES
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.raster.write.cog import CogFile
from mmsr_geo.raster.write.destination import Address
from mmsr_geo.spelling import option


@dataclass(frozen=True, slots=True)
class OutputResult:
    """A finished output."""

    path: Address
    models: tuple[Model, ...]
    """Model of each band."""
    checks: tuple[GuideCheck, ...]
    """Guide check of each band."""
    scale: str
    shape_yx: tuple[int, int]
    tiles: int
    seconds: float
    qa: Address | None = None
    flag_shares: Mapping[Flag, float] = field(default_factory=dict)
    """Share of the target's pixels with each QA flag, 0 to 1, over all bands and before `like`."""
    consistency_rmse: tuple[float, ...] = ()
    """Root mean square error of each band warped to `like`, averaged to the source's pixels, against the source."""
    failures: tuple[Failure, ...] = ()
    """Tiles that were skipped; they have no data."""
    uncertainty: tuple[str, ...] = ()
    """`calibrated` or `not calibrated` (all nodata) for each band; empty if the uncertainty was not requested."""
    guide_classes: tuple[str, ...] = ()
    """Which classes of the guides are bands, for each guide band that holds classes."""

    @property
    def model(self) -> FittedModel:
        """The saved form of the first band's model. Raises OptionError if the method has no such model."""
        if not isinstance(self.models[0], FittedModel):
            raise OptionError(
                f"{self.path} was computed without a model of the scene, so there is none to save: use "
                f"{option('method', 'mmsr')} with {option('fit', 'scene')}"
            )
        return self.models[0]


def output_result(output_job: OutputJob, missed: tuple[float, ...]) -> OutputResult:
    """Return the result of a finished output; missed: RMSE of each band after regridding."""
    spec = output_job.spec
    first, bands = spec.pairs[0], range(1, len(spec.pairs) + 1)
    counts = dict.fromkeys(Flag, 0)
    for band in bands:
        for flag, count in output_job.targets(band).flag_counts.items():
            counts[flag] += count
    for failure in output_job.failures:
        counts[Flag.FAILED] += math.prod(spec.target_window(failure.index).shape)
    pixels = math.prod(first.target_grid.shape.yx) * len(bands)
    return OutputResult(
        spec.output.path,
        tuple(output_job.models),
        tuple(output_job.checks),
        str(first.scale),
        (spec.output.like or first.target_grid).shape.yx,
        len(spec.tiling) * len(bands),
        time.monotonic() - output_job.began,
        spec.output.qa,
        {flag: count / pixels for flag, count in counts.items()},
        missed,
        tuple(output_job.failures),
        _calibrations(output_job),
        _guide_classes(output_job),
    )


def with_tags(
    output_job: OutputJob, files: Mapping[int, CogFile], missed: Sequence[float]
) -> list[tuple[CogFile, Mapping[str, str]]]:
    """Return the files, each with its tags."""
    tags, bands = output_tags(output_job, missed), len(output_job.spec.pairs)
    uncertainty = uncertainty_tags(output_job)
    if uncertainty:
        uncertainty["MMSR_GEO_UNCERTAINTY_BANDS"] = ",".join(str(bands + number) for number in range(1, bands + 1))
    meanings = {f"MMSR_GEO_QA_{int(flag)}": meaning for flag, meaning in MEANINGS.items()}
    return [(file, tags | (uncertainty if band == VALUES else meanings)) for band, file in files.items()]


def output_tags(output_job: OutputJob, missed: Sequence[float]) -> dict[str, str]:
    """Return the tags that describe how the output was computed."""
    spec, checks = output_job.spec, output_job.checks
    first, method = spec.pairs[0], spec.method
    options = {"scale": str(first.scale), "part": asdict(first.part), **spec.inputs, **method.description}
    used = [
        method.fallback_title(model) if method.uses_fallback(check) else method.title
        for model, check in zip(output_job.models, checks, strict=True)
    ]
    gains = ["unknown" if check.gain is None else f"{check.gain:.4f}" for check in checks]
    skipped = [f"{failure.band}:{failure.index}" for failure in output_job.failures]
    alignments = [model.guide_alignment for model in output_job.models]
    measurements = [model.measurement for model in output_job.models]
    return {
        "MMSR_GEO_VERSION": __version__,
        "MMSR_GEO_SOURCE": first.source.name,
        "MMSR_GEO_GUIDE": first.guide.name,
        "MMSR_GEO_METHOD": ",".join(used),
        "MMSR_GEO_MODEL": ",".join(model.digest for model in output_job.models),
        "MMSR_GEO_SEED": str(options.get("seed", "")),
        "MMSR_GEO_GUIDE_GAIN": ",".join(gains),
        "MMSR_GEO_GUIDE_CHECK": ",".join(check.result for check in checks),
        **({"MMSR_GEO_GUIDE_CLASSES": "; ".join(classes)} if (classes := _guide_classes(output_job)) else {}),
        **({"MMSR_GEO_GUIDE_ALIGNMENT": "; ".join(alignments)} if any(alignments) else {}),
        **({"MMSR_GEO_SOURCE_MEASUREMENT": "; ".join(measurements)} if any(measurements) else {}),
        "MMSR_GEO_OPTIONS": json.dumps(options, default=_plain),
        **({"MMSR_GEO_CONSISTENCY_RMSE": ",".join(f"{rmse:.6g}" for rmse in missed)} if missed else {}),
        **({"MMSR_GEO_FAILED_TILES": ",".join(skipped)} if skipped else {}),
    }


def uncertainty_tags(output_job: OutputJob) -> dict[str, str]:
    """Return the tags of the uncertainty of each band; none if it was not requested."""
    states = ",".join(_calibrations(output_job))
    return {"MMSR_GEO_UNCERTAINTY": states, "MMSR_GEO_UNCERTAINTY_MEANING": UNCERTAINTY_MEANING} if states else {}


def _guide_classes(output_job: OutputJob) -> tuple[str, ...]:
    return tuple(classes.sentence for classes in output_job.spec.pairs[0].guides.classes)


def _calibrations(output_job: OutputJob) -> tuple[str, ...]:
    if not output_job.spec.output.uncertainty:
        return ()
    return tuple("calibrated" if model.is_calibrated else "not calibrated" for model in output_job.models)


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON values)
    return value.item() if isinstance(value, np.generic) else str(value)
