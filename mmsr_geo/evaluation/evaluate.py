"""How good methods are on a pair: against a truth, or one level down, where the source is the truth (Wald)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.model import Model
from mmsr_geo.evaluation.metrics import Scores, UncertaintyScores
from mmsr_geo.evaluation.trial import Trial, Values
from mmsr_geo.geometry import Tiling, Window
from mmsr_geo.methods.source import Method
from mmsr_geo.network.guide_check import GuideCheck
from mmsr_geo.pipeline.in_process import run_of, whole_of


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What one method came to."""

    target: Values = field(repr=False)
    """(H, W), NaN in holes."""
    scores: Scores
    fit_seconds: float
    """The time it took to fit; what was shared with a method before it counts again."""
    predict_seconds: float
    pixel_steps: int | None
    """Pixels times steps of its fit: the unit of work; None where nothing is fitted by steps."""
    check: GuideCheck
    """What its fit found out about the guide."""
    uncertainty: UncertaintyScores | Literal["not calibrated"] | None = None
    """How good its uncertainty is; None of a method that tells none."""
    half_width: Values | None = field(default=None, repr=False)
    """(H, W), the uncertainty itself, NaN in holes; None where none is known."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Methods side by side on one trial."""

    trial: Trial
    results: Mapping[str, MethodResult]
    """By the method's name, in the order asked for."""
    inputs: Mapping[str, Any]
    """What was compared, as JSON values."""
    options: Mapping[str, Any]
    """How, as JSON values."""

    @property
    def check(self) -> GuideCheck:
        """What the first method that looked found out about the guide."""
        checks = [result.check for result in self.results.values() if result.check.regions]
        return checks[0] if checks else GuideCheck()

    def ratio(self, method: str, to: str = "bicubic") -> float:
        """Return a method's RMSE over another's; NaN where one of them was not tried, or the other's is 0."""
        if method not in self.results or to not in self.results or self.results[to].scores.rmse == 0:
            return math.nan
        return self.results[method].scores.rmse / self.results[to].scores.rmse

    @property
    def gain_measured(self) -> float:
        """The share of the consistent bicubic's RMSE that mmsr took away here; NaN where one of them was not tried."""
        return 1 - self.ratio("mmsr", "bicubic+consistency")

    def as_dict(self) -> dict[str, Any]:
        """Return all but the rasters, as JSON values; what is not known is None."""
        check = self.check
        regions = [
            {"window": _corners(region.window), "gain": region.gain, "judged_px": region.validated_px}
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


def evaluate(  # noqa: PLR0913  (what is tried, on what, how)
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
    """Try methods on a trial; what two of them fit alike is fitted once."""
    fitted: dict[str, tuple[Model, float]] = {}
    results = {}
    source = trial.source
    for name, method in methods.items():
        report = _labelled(progress, name)
        key = json.dumps(method.fit_description)
        started = time.monotonic()
        if key not in fitted:
            fitted[key] = method.model_for(trial.pair, report), time.monotonic() - started
        model, fit_seconds = fitted[key]
        started = time.monotonic()
        tiling = tilings[name]
        uncertainty = method.calibrates
        calibrated = uncertainty and model.is_calibrated
        run = run_of(
            trial.pair, method, model, tiling, device=device, threads=threads, progress=report, uncertainty=uncertainty
        )
        target, half = whole_of(run, trial.pair)
        scale = trial.pair.scale
        tile_px = (tiling.tile_yx[0] * scale.y, tiling.tile_yx[1] * scale.x) if len(tiling) > 1 else None
        results[name] = MethodResult(
            target,
            Scores.of(target, source, scale, trial.truth, tile_px),
            fit_seconds,
            time.monotonic() - started,
            model.pixel_steps,
            run.check,
            UncertaintyScores.of(target, half, trial.truth)
            if calibrated
            else "not calibrated"
            if uncertainty
            else None,
            half if calibrated else None,
        )
    return Evaluation(trial, results, inputs or {}, options or {})


def _result_dict(result: MethodResult) -> dict[str, Any]:
    return {
        **result.scores.as_dict(),
        "fit_seconds": round(result.fit_seconds, 2),
        "predict_seconds": round(result.predict_seconds, 2),
        "pixel_steps": result.pixel_steps,
        "guide_gain": result.check.gain,
        "uncertainty": of.as_dict() if isinstance(of := result.uncertainty, UncertaintyScores) else of,
    }


def _corners(window: Window) -> list[int]:
    return [window.row, window.col, window.height, window.width]


def _labelled(progress: Progress, label: str) -> Progress:
    return lambda stage, done, total: progress(f"{label}: {stage}", done, total)
