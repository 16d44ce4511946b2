"""What may stand in a job file (pydantic)."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, create_model, model_validator
from pydantic import Field as Limits

from mmsr_geo.errors import OptionError
from mmsr_geo.options import UPSAMPLE, FileOptions, PairOptions, option_of
from mmsr_geo.text import bytes_of

NAME, KEY = "{name}", "{key}"
OnError: TypeAlias = Literal["stop", "skip"]
"""What a failure ends: the job, or the tile or pair that failed alone."""
_Count: TypeAlias = Annotated[int, Limits(ge=1)]

EXAMPLE = """\
# A job of mmsr_geo: `mmsr-geo batch job.toml` does it, and goes on from what is done when it is called again;
# `mmsr-geo batch job.toml --dry-run` plans it, `mmsr-geo status job.toml` tells how far it is.
# Paths count from this file's folder.

# One Cloud Optimized GeoTIFF a pair; {name} is needed where there are several pairs.
# Or one Zarr store with a group for each: "sharp.zarr". Either may be a URL: "s3://bucket/sharp/{name}.tif".
output = "sharp/{name}.tif"
# qa = "sharp/{name}_flags.tif"
# on_error = "stop"            # or "skip": leave a hole for a tile that fails, go on without a pair that fails
# work = "/scratch"            # where tiles wait, in a folder of the job's own, until their pair is done; all workers
#                              # must see it; s3://... too; beside this file, in job.work, if left out

# Each pair by itself ...
[[pairs]]
source = "dem.tif"
guide = "ortho.tif"            # or several: ["b4.tif", "b3.tif"]
# name = "dem"                 # the source's file name without its ending, if left out

# ... or many by a pattern: {key} is what a source and its guide have in common.
# [[pairs]]
# source = "thermal/{key}_ST_B10.TIF"
# guide = "optical/{key}_SR_B?.TIF"

# The names are those of the command's options, with _ for -.
[options]
scale = 4
seed = 0
# method = "mmsr"
# model = "per-pair"           # or "per-place" (one fit for all dates of a place), "shared" (the first pair's), a FILE
# source_resolution = "landsat-tirs"
# guide_mask = "optical/{key}_QA_PIXEL.TIF"
# tile_size = 512
# uncertainty = true           # half of a 90 % interval's width of each target pixel, in a further band

# Where it runs. Without this table: in this process, with its threads.
# [cluster]
# kind = "local"               # this machine; or slurm, pbs, lsf, sge, moab, oar, htcondor (dask-jobqueue), cuda
# workers = 4                  # processes
# memory_limit = "4 GB"        # of each
# scheduler = "tcp://10.0.0.1:8786"   # instead of kind and workers: a dask scheduler that runs already
# [cluster.options]            # of dask-jobqueue's cluster, by its own names
# queue = "normal"
# walltime = "08:00:00"
"""


def _bytes(size: Any) -> int:  # noqa: ANN401  (whatever stands in the file)
    try:
        return bytes_of(size)
    except OptionError as error:
        raise ValueError(str(error)) from None


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
    """One pair, or the pattern of many."""

    source: str
    guide: str | tuple[str, ...]
    name: str | None = None
    place: str | None = None

    @model_validator(mode="after")
    def _key_in_both(self) -> Self:
        guides = (self.guide,) if isinstance(self.guide, str) else self.guide
        if not guides:
            raise ValueError("guide is an empty list: name one file at least")
        if (KEY in self.source) != any(KEY in guide for guide in guides):
            raise ValueError(f"{KEY} stands in source or in guide alone: it is what matches them, so write it in both")
        if self.name is not None and KEY in self.source and KEY not in self.name:
            raise ValueError(f"name is one for all that the pattern finds: write {KEY} in it, or leave it out")
        return self


class ClusterTable(_Strict):
    """Where the job runs."""

    kind: Literal["local", "scheduler", "cuda", "slurm", "pbs", "lsf", "sge", "moab", "oar", "htcondor"] = "local"
    workers: _Count | None = None
    scheduler: str | None = None
    memory_limit: Annotated[int, BeforeValidator(_bytes)] | None = None
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_cluster(self) -> Self:
        if self.kind == "scheduler" and self.scheduler is None:
            raise ValueError('kind = "scheduler" needs its address: write scheduler = "tcp://host:8786"')
        if self.scheduler is not None and self.kind not in {"local", "scheduler"}:
            raise ValueError(f"a scheduler's address and kind = {self.kind!r} are two clusters: leave one of them out")
        if self.scheduler is not None and self.workers is not None:
            raise ValueError("a scheduler that runs has its workers: leave out workers, or scheduler")
        return self


class JobFile(_Strict):
    """What stands in a job file."""

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
            raise ValueError("there are no pairs: write [[pairs]] with a source and a guide")
        return self

    @model_validator(mode="after")
    def _calibrates(self) -> Self:
        options = self.options
        if options.uncertainty and (options.method != "mmsr" or options.fit != "scene"):
            raise ValueError(
                "options.uncertainty is calibrated by mmsr with one model for the scene, and method and fit ask for "
                "another: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _scene_to_share(self) -> Self:
        options = self.options
        if options.model in {"per-place", "shared"} and (options.method != "mmsr" or options.fit in {"adapt", "tile"}):
            raise ValueError(
                f"options.model = {options.model!r} shares a scene's model, and method and fit ask for none: leave it "
                f"out"
            )
        return self


def validation_messages(error: ValidationError) -> list[str]:
    """Return a line a place; where a value may be of several kinds, with what each of them asks."""
    said: dict[str, tuple[list[str], Any]] = {}
    for each in error.errors():
        told = str(each["msg"]).removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            told = "there is nothing of that name"
        messages, _ = said.setdefault(_place(each["loc"]), ([], each["input"]))
        messages.append(f"{told[:1].lower()}{told[1:]}")
    lines = []
    for place, (messages, given) in said.items():
        shown = "" if isinstance(given, dict | list) else f", not {given!r}"
        lines.append(f"{place or 'the file'}: {' or '.join(messages)}{shown}")
    return lines


def _place(parts: tuple[int | str, ...]) -> str:
    """Return where in the file: pairs[0].guide, options.scale; what follows names a kind of value, not a place."""
    depth = {"pairs": 3, "options": 2, "cluster": 2}.get(str(parts[0]), 1) if parts else 0
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts[:depth]).lstrip(".")


def quoted(path: Path, mistakes: list[str]) -> str:
    """Return the mistakes of a job file as one sentence."""
    several = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
    return f"{path} has {several}: {'; '.join(mistakes)}"
