"""The schema of job files (pydantic): tables, keys, types and limits."""

from __future__ import annotations

import warnings
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model, model_validator
from pydantic import Field as Limits

from mmsr_geo.errors import OptionError, template_of
from mmsr_geo.jobs.executors.config import ClusterKind
from mmsr_geo.options import UPSAMPLE, FileOptions, PairOptions, option_of
from mmsr_geo.text import bytes_of

NAME, KEY = "{name}", "{key}"
OnError: TypeAlias = Literal["stop", "skip"]
"""Effect of a failure: it ends the job, or only the pair or tile that failed."""
_Count: TypeAlias = Annotated[int, Limits(ge=1)]

EXAMPLE = """\
# A job of mmsr_geo.
#   mmsr-geo batch job.toml --dry-run   checks the job and estimates time, memory and disk space
#   mmsr-geo batch job.toml             runs the job; run it again to resume
#   mmsr-geo status job.toml            shows what is done, failed and left
# Paths are relative to the folder of this file.

# The output: one Cloud Optimized GeoTIFF per pair. Several pairs need {name} in it.
# An output that ends in .zarr is a Zarr store with one group per pair. URLs such as "s3://bucket/{name}.tif" work too.
output = "sharp/{name}.tif"
# qa = "sharp/{name}_flags.tif"
# on_error = "stop"            # or "skip": continue without a pair that fails; a tile that fails has no data
# work = "/scratch"            # folder or URL for the tiles of unfinished pairs; all workers must see it
#                              # default: job.work, next to this file

# A single pair.
[[pairs]]
source = "dem.tif"
guide = "ortho.tif"            # or several: ["b4.tif", "b3.tif"]
# name = "dem"                 # default: the file name of the source without its extension

# Many pairs: {key} is the part of the path that a source and its guide have in common.
# [[pairs]]
# source = "thermal/{key}_ST_B10.TIF"
# guide = "optical/{key}_SR_B?.TIF"

# Options of the command, with _ instead of -.
[options]
scale = 4
seed = 0
# method = "mmsr"
# model = "per-pair"           # or "per-place": one model for all dates of a place; "shared": one for the job; a FILE
# source_resolution = "landsat-tirs"
# guide_mask = "optical/{key}_QA_PIXEL.TIF"
# tile_size = 512
# uncertainty = true           # adds a band: half the width of a 90 % interval of each target pixel

# Where the job runs. Without this table it runs in the process of the command.
# [cluster]
# kind = "local"               # this machine; or slurm, pbs, lsf, sge, moab, oar, htcondor (dask-jobqueue), cuda
# workers = 4                  # number of processes
# memory_limit = "4 GB"        # per process
# scheduler = "tcp://10.0.0.1:8786"   # a dask scheduler that is running, instead of kind and workers
# [cluster.options]            # arguments of the dask-jobqueue cluster
# queue = "normal"
# walltime = "08:00:00"
"""
"""Example of a job file."""


def _bytes(size: Any) -> int:  # noqa: ANN401  (any value in the file)
    try:
        return bytes_of(size)
    except OptionError as error:
        raise ValueError(template_of(error)) from None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _table(declared: Field[Any]) -> tuple[Any, Any]:
    """Return the type and the default of an option in a job file."""
    known = option_of(declared)
    kind = known.job_type or declared.type
    if known.least is not None or known.most is not None:
        return kind, Limits(default=declared.default, ge=known.least, le=known.most)
    return kind, declared.default


OPTION_GROUPS = (PairOptions, *UPSAMPLE, FileOptions)
"""Groups of options that a job file takes."""
if TYPE_CHECKING:
    Options = Any  # made below, of options.py
else:
    with warnings.catch_warnings():
        # `register` is also a method of the classes of pydantic's models, which no model uses.
        warnings.filterwarnings("ignore", 'Field name "register"', UserWarning)
        Options = create_model(
            "Options",
            __base__=_Strict,
            __doc__="The options of `mmsr_geo.upsample_to_file`, by the same names.",
            **{
                declared.name: _table(declared)
                for group in OPTION_GROUPS
                for declared in fields(group)
                if not option_of(declared).python_only
            },
        )


class PairEntry(_Strict):
    """One pair, or a pattern of many pairs."""

    source: str
    guide: str | tuple[str, ...]
    name: str | None = None
    place: str | None = None

    @model_validator(mode="after")
    def _key_in_both(self) -> Self:
        guides = (self.guide,) if isinstance(self.guide, str) else self.guide
        if not guides:
            raise ValueError("guide is an empty list: give at least one file")
        if (KEY in self.source) != any(KEY in guide for guide in guides):
            raise ValueError(f"{KEY} is in source or in guide only: it matches the two, so write it in both")
        if self.name is not None and KEY in self.source and KEY not in self.name:
            raise ValueError(f"all pairs of the pattern would have this name: write {KEY} in it, or remove it")
        return self


class ClusterTable(_Strict):
    """Where the job runs: the table `[cluster]`."""

    kind: ClusterKind = "local"
    workers: _Count | None = None
    scheduler: str | None = None
    memory_limit: Annotated[int, BeforeValidator(_bytes)] | None = None
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.kind == "scheduler" and self.scheduler is None:
            raise ValueError('kind = "scheduler" needs an address: add scheduler = "tcp://host:8786"')
        if self.scheduler is not None and self.kind not in {"local", "scheduler"}:
            raise ValueError(f"scheduler and kind = {self.kind!r} name two clusters: remove one of them")
        if self.scheduler is not None and self.workers is not None:
            raise ValueError("a running scheduler has its own workers: remove workers or scheduler")
        return self


class JobFile(_Strict):
    """The content of a job file."""

    output: str
    qa: str | None = None
    on_error: OnError = "stop"
    work: str | None = None
    pairs: tuple[PairEntry, ...]
    options: Options = Options()
    cluster: ClusterTable = ClusterTable()

    @model_validator(mode="after")
    def _some_pairs(self) -> Self:
        if not self.pairs:
            raise ValueError("there are no pairs: add [[pairs]] with a source and a guide")
        return self

    @model_validator(mode="after")
    def _calibrates(self) -> Self:
        options = self.options
        if options.uncertainty and (options.method != "mmsr" or options.fit != "scene"):
            raise ValueError(
                'options.uncertainty needs method = "mmsr" and fit = "scene", which calibrate it: change these, or '
                "remove it"
            )
        return self

    @model_validator(mode="after")
    def _scene_to_share(self) -> Self:
        options = self.options
        if options.model in {"per-place", "shared"} and (options.method != "mmsr" or options.fit in {"adapt", "tile"}):
            raise ValueError(
                f"options.model = {options.model!r} needs one model per scene, which these method and fit do not have: "
                "remove it"
            )
        return self


def validation_messages(error: ValidationError) -> list[str]:
    """Return one message per position in the file. A value that may have several types has what each type requires."""
    by_position: dict[str, tuple[list[str], Any]] = {}
    for problem in error.errors():
        text = str(problem["msg"]).removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = "unknown name"
        messages, _ = by_position.setdefault(_position(problem["loc"]), ([], problem["input"]))
        messages.append(f"{text[:1].lower()}{text[1:]}")
    lines = []
    for position, (messages, value) in by_position.items():
        shown = "" if isinstance(value, dict | list) else f", not {value!r}"
        lines.append(f"{position or 'the file'}: {' or '.join(messages)}{shown}")
    return lines


def _position(parts: tuple[int | str, ...]) -> str:
    """Return a position in the file, such as pairs[0].guide or options.scale; deeper parts name types."""
    depth = {"pairs": 3, "options": 2, "cluster": 2}.get(str(parts[0]), 1) if parts else 0
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts[:depth]).lstrip(".")


def quoted(path: Path, mistakes: list[str]) -> str:
    """Return one message with the mistakes of a job file."""
    count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
    return f"{path} has {count}: {'; '.join(mistakes)}"
