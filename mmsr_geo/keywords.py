"""Options as keyword arguments, for type checkers; written by `make options` from options.py: do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from mmsr_geo.network.fit_params import FitParams
    from mmsr_geo.options import (
        Bounds,
        Fit,
        IfUnhelpful,
        LikeLike,
        MaskLike,
        ModelLike,
        NodataLike,
        OnGrid,
        PsfLike,
        Quality,
        RegisterLike,
        SourceNoiseLike,
    )


class InputKeywords(TypedDict, total=False):
    """How source and guide are read."""

    band: int | None
    bounds: Bounds | None
    min_coverage: float
    source_resolution: float | str | None
    grid: OnGrid
    guide_band: Sequence[str | int] | str | int
    guide_classes: Sequence[str | int] | str | int
    derive: Sequence[str] | str
    source_mask: MaskLike | None
    guide_mask: MaskLike | None
    mask_share: float
    source_nodata: NodataLike | None
    guide_nodata: NodataLike | None
    valid_range: tuple[float, float] | None


class FitKeywords(TypedDict, total=False):
    """How a model is fitted, and on what."""

    quality: Quality
    work: float | None
    steps: int | None
    from_model: ModelLike | None
    threads: int | None
    psf: PsfLike
    source_noise: SourceNoiseLike
    register: RegisterLike
    params: FitParams | None
    device: str
    seed: int


class MethodKeywords(TypedDict, total=False):
    """Where the model of a pair comes from."""

    method: str
    fit: Fit
    model: ModelLike | None
    keep_statistics: bool


class PredictionKeywords(TypedDict, total=False):
    """How a target is predicted."""

    if_unhelpful: IfUnhelpful
    tile_size: int | None


class TargetKeywords(TypedDict, total=False):
    """What the target is."""

    like: LikeLike | None
    uncertainty: bool


class FileKeywords(TypedDict, total=False):
    """How the target is stored."""

    dtype: str
    scale_factor: float | None
    add_offset: float | None
    creation_options: Sequence[str]


class WorkerKeywords(TypedDict, total=False):
    """How many processes of this machine work."""

    workers: int | None
    memory_limit: int | str | None


class UpsampleArguments(InputKeywords, FitKeywords, MethodKeywords, PredictionKeywords, TargetKeywords):
    """Options of `mmsr_geo.upsample`."""


class UpsampleToFileArguments(
    InputKeywords, FitKeywords, MethodKeywords, PredictionKeywords, TargetKeywords, FileKeywords, WorkerKeywords
):
    """Options of `mmsr_geo.upsample_to_file`."""


class PlanArguments(InputKeywords, FitKeywords, MethodKeywords, PredictionKeywords, TargetKeywords, FileKeywords):
    """Options of `mmsr_geo.plan`."""


class FitArguments(InputKeywords, FitKeywords):
    """Options of `mmsr_geo.fit`."""


class EvaluateArguments(InputKeywords, FitKeywords, PredictionKeywords):
    """Options of `mmsr_geo.evaluate`."""
