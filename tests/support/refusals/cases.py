"""A refusal or a warning as a case: how to reach it through each door, its sentence, when it is said and what to do."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import pytest

import mmsr_geo
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

QUICK = mmsr_geo.FitParams(steps=2, threads=1)


@dataclass(frozen=True)
class Doors:
    """How to come to the same place from Python and from the command."""

    python: Callable[..., object] | None
    words: str | None
    replacing: bool = False
    """Whether the Python call takes overwrite=True."""
    alone: str = ""
    """Why there is one door only."""


@dataclass(frozen=True)
class Case:
    """A refusal or a warning."""

    name: str
    kind: type[MmsrError | MmsrWarning | click.UsageError]
    says: str
    """The whole sentence, with options as markers; … stands for text of GDAL, PROJ or others."""
    when: str
    mend: str
    doors: Doors
    fault: Callable[[pytest.MonkeyPatch], object] | None = None
    """What fails around the package."""
    stays: bool = True
    """Whether --overwrite changes nothing."""
    job: str = ""
    """Of a job that begins: its record, log and report are written all the same, and say what failed."""


CASES: list[Case] = []
KINDS = (
    InputError,
    ChangedInputError,
    GridError,
    GuideCoverageError,
    OptionError,
    ModelFileError,
    PixelError,
    NothingInCommonError,
    UnhelpfulGuideError,
    JobError,
    OutputError,
    click.UsageError,
    GuideWarning,
    NodataWarning,
    MmsrWarning,
)
"""Kinds of errors and warnings, in the order of docs/errors.md."""


def case(name: str, kind: type[Any], says: str, when: str, mend: str, doors: Doors, **more: Any) -> None:
    CASES.append(Case(name, kind, says, when, mend, doors, **more))


def upsampling(
    options: str = "",
    *,
    source: str = "dem.tif",
    guide: str | list[str] = "ortho.tif",
    output: str = "sharp.tif",
    method: str = "bicubic",
    **same: Any,
) -> Doors:
    """The same options for `upsample_to_file` and for `mmsr-geo upsample`."""
    words = ["upsample", source, *([guide] if isinstance(guide, str) else guide), "-o", output, "--method", method]
    call = partial(mmsr_geo.upsample_to_file, source, guide, output, method=method, **same)
    return Doors(call, f"{shlex.join(words)} {options}", replacing=True)


def fitting(options: str = "", *, source: str = "dem.tif", guide: str = "ortho.tif", **same: Any) -> Doors:
    call = partial(mmsr_geo.fit, source, guide, params=QUICK, **same)
    return Doors(call, f"fit {source} {guide} -o new.mmsr --steps 2 --threads 1 {options}")


def evaluating(options: str = "", *, source: str = "dem.tif", methods: str = "bicubic", **same: Any) -> Doors:
    call = partial(
        mmsr_geo.evaluate, source, "ortho.tif", methods=[name for name in methods.split(",") if name], **same
    )
    return Doors(call, f"evaluate {source} ortho.tif -o report --methods {methods or ','} {options}")


def loading(model: str) -> Doors:
    return Doors(partial(mmsr_geo.load, model), f"upsample dem.tif ortho.tif -o sharp.tif --model {model}")


def arrays(call: Callable[[], object], why: str = "arrays") -> Doors:
    return Doors(call, None, alone=f"Python only: {why}")


def shown(source: Any, guide: Any = "ortho.tif", scale: Any = None, **options: Any) -> Callable[[], object]:
    """`upsample`, computed."""
    return lambda: mmsr_geo.upsample(
        source() if callable(source) else source,
        guide() if callable(guide) else guide,
        scale,
        method="bicubic",
        **options,
    ).compute(scheduler="synchronous")


def batching(job: str, **more: Any) -> Doors:
    return Doors(partial(mmsr_geo.batch, job), f"batch {job}", **more)


def wording(words: str) -> Doors:
    return Doors(None, f"upsample dem.tif ortho.tif -o sharp.tif {words}", alone="command only: its words")
