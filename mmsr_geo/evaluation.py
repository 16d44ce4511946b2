"""How good methods are on a pair: against a truth, or one level down, where the source is the truth (Wald)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import PixelError
from mmsr_geo.geometry import Tiling, Window
from mmsr_geo.methods import ModelSource, calibrates, is_calibrated
from mmsr_geo.metrics import Scores, UncertaintyScores
from mmsr_geo.model import Model
from mmsr_geo.network.checking import GuideCheck
from mmsr_geo.network.fitted import FittedNet
from mmsr_geo.network.fitting import Progress, no_progress
from mmsr_geo.pair import Pair
from mmsr_geo.raster.arrays import ArrayRaster
from mmsr_geo.raster.composing import Guides, Warped
from mmsr_geo.raster.grids import window_grid
from mmsr_geo.raster.pixels import Pixels
from mmsr_geo.raster.protocol import Raster
from mmsr_geo.running import run_of, whole_of
from mmsr_geo.tilewise import TileFit

Values = NDArray[np.float32]
Protocol = Literal["truth", "wald"]

LARGEST_TRUTH_PX = 1_500_000
"""Pixels of the truth that are compared at most: of a larger raster, the part with the most valid pixels of nine."""
SMALLEST_SOURCE_PX = 8
"""Source pixels along the shorter side below which no method can be judged."""
_STRIP_PX = 256


@dataclass(frozen=True, slots=True)
class Trial:
    """What methods are tried on: a pair, and the truth of its part."""

    pair: Pair
    """In memory, one level down, where the source is the truth."""
    truth: Values
    """(H, W) of the pair's part on the target grid, NaN in holes."""
    protocol: Protocol
    window: Window | None = None
    """What is compared of the raster that was given, in its source pixels; None where none was given."""

    @property
    def source(self) -> Values:
        """The pair's source, (h, w) of its part."""
        values: Values = self.pair.source.read(self.pair.part).values[0]
        return values

    @property
    def guide(self) -> Values:
        """The guide on the target grid, (C, H, W) of the part."""
        return _read_by_strips(self.pair.guide, self.pair.part.refined(self.pair.scale)).values


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
            {"window": _corners(region.window), "gain": region.gain, "judged_px": region.judged_px}
            for region in check.regions
        ]
        return {
            "protocol": self.trial.protocol,
            "scale": [self.trial.pair.scale.y, self.trial.pair.scale.x],
            "methods": {name: _result_dict(result) for name, result in self.results.items()},
            "guide_gain": check.gain,
            "guide_verdict": check.verdict,
            "guide_gain_measured": None if math.isnan(self.gain_measured) else self.gain_measured,
            "guide_regions": regions,
            "inputs": dict(self.inputs),
            "options": dict(self.options),
        }


def truth_trial(pair: Pair, truth: Raster) -> Trial:
    """Compare with a truth given by the user, brought onto the target grid (area-averaged where it is finer)."""
    part = _compared_part(pair, pair.scale.area)
    pair = replace(pair, part=part)
    on_grid = Warped(truth, pair.guide.grid)
    values = _read_by_strips(on_grid, part.refined(pair.scale)).values[0]
    _check_enough(pair, values)
    return Trial(pair, values, "truth", part)


def wald_trial(pair: Pair) -> Trial:
    """Go one level down: source and guide degraded by the scale, the source is the truth (Wald et al. 1997).

    The guide is averaged onto the source's grid, the source by block means over its valid pixels (a block with a hole
    is one). Raises PixelError where too little of the source is left.
    """
    scale = pair.scale
    part = _compared_part(pair, 1)
    part = Window(part.row, part.col, part.height // scale.y * scale.y, part.width // scale.x * scale.x)
    if min(part.height // scale.y, part.width // scale.x) < SMALLEST_SOURCE_PX:
        raise PixelError(
            f"{pair.source.name} has {pair.part.height} x {pair.part.width} pixels: one level down, at scale {scale}, "
            f"fewer than {SMALLEST_SOURCE_PX} are left along a side; give a larger part, a smaller scale or a truth"
        )
    grid = window_grid(pair.source.grid, part)
    truth = _read_by_strips(pair.source, part).values
    guide = _read_by_strips(pair.guides.on(pair.source.grid), part)
    height, width = part.height // scale.y, part.width // scale.x
    coarse = truth.reshape(1, height, scale.y, width, scale.x).mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    below = _in_memory(coarse, grid.zoom_to((height, width)), pair.source)
    beside = _in_memory(guide.values, grid, pair.guide)
    made = Pair(below, Guides((beside,)), scale, Window.whole((height, width)))
    _check_enough(made, truth[0])
    return Trial(made, truth[0], "wald", part)


def evaluate(  # noqa: PLR0913  (what is tried, on what, how)
    trial: Trial,
    methods: Mapping[str, ModelSource],
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
        fits: ModelSource = method.scene if isinstance(method, TileFit) and method.scene is not None else method
        key = json.dumps({k: v for k, v in fits.description.items() if k not in {"consistent", "if_unhelpful"}})
        started = time.monotonic()
        if key not in fitted:
            fitted[key] = fits.for_pair(trial.pair, report), time.monotonic() - started
        model, fit_seconds = fitted[key]
        started = time.monotonic()
        tiling = tilings[name]
        uncertain = calibrates(method)
        calibrated = uncertain and is_calibrated(model)
        run = run_of(
            trial.pair, method, model, tiling, device=device, threads=threads, progress=report, uncertain=uncertain
        )
        target, half = whole_of(run, trial.pair)
        scale = trial.pair.scale
        tile_px = (tiling.tile_yx[0] * scale.y, tiling.tile_yx[1] * scale.x) if len(tiling) > 1 else None
        results[name] = MethodResult(
            target,
            Scores.of(target, source, scale, trial.truth, tile_px),
            fit_seconds,
            time.monotonic() - started,
            _pixel_steps(model),
            run.check,
            UncertaintyScores.of(target, half, trial.truth) if calibrated else "not calibrated" if uncertain else None,
            half if calibrated else None,
        )
    return Evaluation(trial, results, inputs or {}, options or {})


def _pixel_steps(model: Model) -> int | None:
    if isinstance(model, FittedNet):
        steps: int | None = model.provenance.get("fit", {}).get("pixel_steps")
        return steps
    return getattr(model, "pixel_steps", None)


def _compared_part(pair: Pair, truth_px: int) -> Window:
    """Return the part that is compared, each source pixel having so many truth pixels: all, or the best of nine."""
    part = pair.part
    if part.height * part.width * truth_px <= LARGEST_TRUTH_PX:
        return part
    side = math.isqrt(LARGEST_TRUTH_PX // truth_px)
    height = min(part.height, max(side, LARGEST_TRUTH_PX // truth_px // part.width))
    width = min(part.width, LARGEST_TRUTH_PX // truth_px // height)
    places = [
        Window(
            part.row + (part.height - height) * down // 2, part.col + (part.width - width) * across // 2, height, width
        )
        for down in (1, 0, 2)
        for across in (1, 0, 2)
    ]
    return max(dict.fromkeys(places), key=lambda place: int(_read_by_strips(pair.source, place).valid.sum()))


def _check_enough(pair: Pair, truth: Values) -> None:
    if not np.isfinite(truth).any():
        raise PixelError(f"{pair.source.name}: the truth holds no valid pixel there; check its nodata value and place")


def _read_by_strips(raster: Raster, window: Window) -> Pixels:
    """Read a large window so that a fine guide need not be in memory at once."""
    strips = [
        raster.read(Window(window.row + top, window.col, min(_STRIP_PX, window.height - top), window.width))
        for top in range(0, window.height, _STRIP_PX)
    ]
    return Pixels(np.concatenate([s.values for s in strips], axis=1), np.concatenate([s.valid for s in strips]))


def _in_memory(values: Values, grid: GeoBox, like: Raster) -> ArrayRaster:
    made = ArrayRaster.in_memory(values, grid, bands=like.bands, name=like.name)
    return replace(made, band_tags=like.band_tags)


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
