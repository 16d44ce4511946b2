"""Evaluation of methods on a pair: against a truth, or at reduced resolution (Wald's protocol)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmsr_geo.callbacks import Progress, labelled, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.engine.valid_shares import naming_what_is_empty
from mmsr_geo.evaluation.metrics import Scores, UncertaintyScores
from mmsr_geo.evaluation.trial import Trial, Values
from mmsr_geo.geometry import Tiling, Window
from mmsr_geo.methods.base import Method
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.pipeline.in_process import run_of, whole_of


@dataclass(frozen=True, slots=True)
class MethodResult:
    """Result of one method."""

    target: Values = field(repr=False)
    """(H, W), NaN where it has no data."""
    scores: Scores
    fit_seconds: float
    """Seconds of the fit; a fit shared with an earlier method counts again."""
    predict_seconds: float
    """Seconds to predict all tiles."""
    pixel_steps: int | None
    """Target pixels times steps of the fit; None if nothing is fitted by steps."""
    check: GuideCheck
    """Guide check of the fit; without regions if it made none."""
    measurement: str = ""
    """What the method assumed of the source's sensor and noise, and how well the target shows the source; empty if it
    assumes nothing."""
    alignment: str = ""
    """What happened to the guide before it was used; empty if nothing can."""
    uncertainty: UncertaintyScores | Literal["not calibrated"] | None = None
    """Scores of the uncertainty; None for a method without one."""
    half_width: Values | None = field(default=None, repr=False)
    """(H, W), the uncertainty itself, NaN where the target has no data; None if it is not known."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of several methods on one trial."""

    trial: Trial
    results: Mapping[str, MethodResult]
    """Result of each method by name, in the requested order."""
    inputs: Mapping[str, Any]
    """Names and windows of the compared rasters, as JSON values."""
    options: Mapping[str, Any]
    """Options of the evaluation, as JSON values."""

    @property
    def check(self) -> GuideCheck:
        """Guide check of the first method that made one."""
        checks = [result.check for result in self.results.values() if result.check.gain is not None]
        return checks[0] if checks else GuideCheck()

    def ratio(self, method: str, to: str = "bicubic") -> float:
        """Return a method's RMSE divided by another's; NaN if one of them was not evaluated, or the other's is 0."""
        if method not in self.results or to not in self.results or self.results[to].scores.rmse == 0:
            return math.nan
        return self.results[method].scores.rmse / self.results[to].scores.rmse

    @property
    def gain_measured(self) -> float:
        """Share of the bicubic baseline's RMSE that mmsr removes here; NaN if one of them was not evaluated."""
        return 1 - self.ratio("mmsr", "bicubic+consistency")

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the rasters as JSON values; unknown numbers are None."""
        check = self.check
        regions = [
            {"window": _corners(region.window), "gain": check.gain_in(region), "validated_px": region.validated_px}
            for region in check.regions
        ]
        return {
            "protocol": self.trial.protocol,
            "scale": [self.trial.pair.scale.y, self.trial.pair.scale.x],
            "methods": {name: _result_dict(result) for name, result in self.results.items()},
            "guide_gain": check.gain,
            "guide_check": check.result,
            "guide_gain_measured": None if math.isnan(self.gain_measured) else self.gain_measured,
            "guide_regions": regions,
            "inputs": dict(self.inputs),
            "options": dict(self.options),
        }


def evaluate(  # noqa: PLR0913  (methods, their trial, and how they run)
    trial: Trial,
    methods: Mapping[str, Method],
    tilings: Mapping[str, Tiling],
    *,
    device: str = "auto",
    threads: int = 1,
    inputs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Evaluate methods on a trial; methods with the same fit share it.

    Args:
        trial: The pair and its truth.
        methods: The methods by name.
        tilings: The tiles of each method, by its name.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".
        threads: Torch threads on a CPU, and number of tiles fitted at the same time.
        inputs: Names and windows of the compared rasters, to be recorded.
        options: Options of the evaluation, to be recorded.
        progress: Called as progress("method: stage", done, total).
    """
    fitted: dict[str, tuple[Model, float]] = {}
    results = {}
    source = trial.source
    for name, method in methods.items():
        report = labelled(progress, f"{name}: ")
        key = json.dumps(method.fit_description)
        started = time.monotonic()
        if key not in fitted:
            with naming_what_is_empty(trial.pair):
                fitted[key] = method.model_for(trial.pair, report), time.monotonic() - started
        model, fit_seconds = fitted[key]
        started = time.monotonic()
        tiling = tilings[name]
        run = run_of(
            trial.pair,
            method,
            model,
            tiling,
            device=device,
            threads=threads,
            concurrent_fits=threads,
            progress=report,
            uncertainty=method.calibrates,
        )
        target, half = whole_of(run, trial.pair)
        scale = trial.pair.scale
        tile_px = (tiling.tile_yx[0] * scale.y, tiling.tile_yx[1] * scale.x) if len(tiling) > 1 else None
        results[name] = MethodResult(
            target,
            Scores.of(target, source, scale, trial.truth, tile_px, trial.blurred(target)),
            fit_seconds,
            time.monotonic() - started,
            model.pixel_steps,
            run.check,
            model.measurement,
            model.guide_alignment,
            _uncertainty_scores(method, model, target, half, trial.truth),
            half if method.calibrates and model.is_calibrated else None,
        )
    return Evaluation(trial, results, inputs or {}, options or {})


def _uncertainty_scores(
    method: Method, model: Model, target: Values, half: Values, truth: Values
) -> UncertaintyScores | Literal["not calibrated"] | None:
    """Return how well a method's uncertainty holds; None: the method has none."""
    if not method.calibrates:
        return None
    return UncertaintyScores.of(target, half, truth) if model.is_calibrated else "not calibrated"


def _result_dict(result: MethodResult) -> dict[str, Any]:
    return {
        **result.scores.as_dict(),
        "fit_seconds": round(result.fit_seconds, 2),
        "predict_seconds": round(result.predict_seconds, 2),
        "pixel_steps": result.pixel_steps,
        "guide_gain": result.check.gain,
        "measurement": result.measurement,
        "alignment": result.alignment,
        "uncertainty": of.as_dict() if isinstance(of := result.uncertainty, UncertaintyScores) else of,
    }


def _corners(window: Window) -> list[int]:
    return [window.row, window.col, window.height, window.width]
