"""The quality draft through the doors: a model without a network is fitted, saved, tiled and reported as others."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

import mmsr_geo
from mmsr_geo.geometry import Window
from mmsr_geo.network.fitted import FittedModel
from mmsr_geo.network.guide_check import GuideCheck, Region
from mmsr_geo.network.samples import Sample
from support.command import CommandResult
from support.rasters import SENTINEL_GUIDE, Crop, georeferenced, sentinel_crop, sentinel_guide

pytestmark = pytest.mark.slow


@cache
def crop() -> Crop:
    return sentinel_crop(0, 0, 64, 64, 4)


@pytest.fixture(scope="module")
def model() -> FittedModel:
    return mmsr_geo.fit(crop().source, SENTINEL_GUIDE, scale=4, quality="draft", threads=1)


def test_it_has_no_network_and_says_what_it_has(model: FittedModel) -> None:
    assert model.weights == {}
    assert (model.stacking.network, model.stacking.members) == (0, 1)
    assert model.members is not None
    assert sum(model.members.weights.values()) == pytest.approx(1)
    assert model.sentence == model.members.sentence
    assert model.check.result == "helped"
    assert model.is_calibrated
    assert model.pixel_steps == 0


def test_it_is_better_than_the_bicubic_baseline() -> None:
    source = crop().source
    truth = georeferenced(crop().truth, source.rio.transform() * Affine.scale(0.25), source.rio.crs.to_epsg())
    evaluation = mmsr_geo.evaluate(
        source,
        SENTINEL_GUIDE,
        scale=4,
        truth=truth,
        methods=("bicubic+consistency", "mmsr"),
        quality="draft",
        threads=1,
    )
    assert evaluation.results["mmsr"].scores.rmse < 0.6 * evaluation.results["bicubic+consistency"].scores.rmse
    assert evaluation.results["mmsr"].scores.consistency < 1e-5


def test_it_survives_a_file(model: FittedModel, tmp_path: Path) -> None:
    model.save(tmp_path / "draft.mmsr")
    again = mmsr_geo.load(tmp_path / "draft.mmsr")
    assert again.digest == model.digest
    assert again.sentence == model.sentence


@pytest.mark.parametrize("tile_size", [40, 64])
def test_tiles_are_the_same_as_the_whole(model: FittedModel, tile_size: int) -> None:
    source = crop().source
    whole, tiled = (
        mmsr_geo.upsample(source, SENTINEL_GUIDE, scale=4, model=model, tile_size=size).compute(scheduler="synchronous")
        for size in (4096, tile_size)
    )
    np.testing.assert_allclose(tiled.values, whole.values, rtol=0, atol=3e-5 * float(source.std()))


def test_the_command_writes_it_with_flags_and_uncertainty(here: Callable[..., CommandResult]) -> None:
    crop().source.rio.to_raster("source.tif")
    words = ["upsample", "source.tif", SENTINEL_GUIDE, "--scale", 4, "--quality", "draft", "--threads", 1]
    status, out, err = here(
        *words, "-o", "out.tif", "--uncertainty", "--qa", "qa.tif", "--save-model", "m.mmsr", "--progress", "json"
    )
    assert (status, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    stages = {event["stage"] for event in events if event["event"] == "stage"}
    assert {"alignment", "members", "predict"} <= stages
    with rasterio.open("out.tif") as dataset:
        assert dataset.count == 2
        assert np.isfinite(dataset.read()).all()
    status, out, _ = here("info", "m.mmsr")
    assert status == 0
    assert "no network" in out
    assert "blurred by" in " ".join(out.split())
    status, out, _ = here("plan", *words[1:])
    assert status == 0


def test_a_plan_times_what_it_plans_and_nothing_else(here: Callable[..., CommandResult]) -> None:
    crop().source.rio.to_raster("source.tif")
    words = ["plan", "source.tif", SENTINEL_GUIDE, "--scale", 4, "--threads", 1]

    def rows(*more: object) -> dict[str, str]:
        status, out, _ = here(*words, *more)
        assert status == 0
        found = re.findall(r"fit with --quality (\w+) *│ *(.*?) *│", out)
        return dict(found)

    draft, balanced = rows("--quality", "draft"), rows("--quality", "balanced")
    assert re.fullmatch(r"\d+ s: members on 0.066 million pixels", draft["draft"])
    assert not draft["draft"].startswith("0 s")
    assert all(draft[quality] == f"not timed here: see plan --quality {quality}" for quality in ("fast", "balanced"))
    assert balanced["draft"] == "not timed here: see plan --quality draft"
    assert re.fullmatch(
        r"\d+ s to \d+ (s|min): members on 0.066 million pixels, [\d.]+ to [\d.]+ million pixels x steps",
        balanced["balanced"],
    )
    assert all(quality in balanced for quality in ("fast", "best"))
    plan = mmsr_geo.plan("source.tif", SENTINEL_GUIDE, scale=4, quality="draft", threads=1)
    assert plan.fit_seconds is None or plan.fit_seconds[0] > 0
    assert plan.memory_bytes > mmsr_geo.plan("source.tif", SENTINEL_GUIDE, scale=4, method="bicubic").memory_bytes


def test_the_same_call_gives_the_same_bytes(here: Callable[..., CommandResult]) -> None:
    crop().source.rio.to_raster("source.tif")
    words = ["fit", "source.tif", SENTINEL_GUIDE, "--scale", 4, "--quality", "draft", "--threads", 1]
    for name in ("a.mmsr", "b.mmsr"):
        assert here(*words, "-o", name, "--progress", "none")[0] == 0
    assert Path("a.mmsr").read_bytes() == Path("b.mmsr").read_bytes()


UNHELPFUL = GuideCheck((Region(Window(0, 0, 16, 16), 100, 4.0, 1.0),), least_gain=0.01)
"""What a check finds where the error is twice the baseline's."""


def test_where_the_guide_did_not_help_the_target_is_the_smoothest_surface(model: FittedModel, tmp_path: Path) -> None:
    """Minimum curvature, from the same fit, and the file says so."""
    source = crop().source
    judged = replace(model, check=UNHELPFUL)
    with pytest.warns(mmsr_geo.GuideWarning, match="the target is interpolated from the source alone"):
        outcome = mmsr_geo.upsample_to_file(source, SENTINEL_GUIDE, tmp_path / "out.tif", model=judged)
    assert outcome.checks[0].result == "did not help"
    assert model.members is not None
    pixels = torch.from_numpy(source.values.astype(np.float32))
    bands, shape = len(model.guide_bands), tuple(4 * side for side in pixels.shape)
    sample = Sample(pixels, pixels.isfinite(), torch.zeros(bands, *shape), torch.ones(shape, dtype=torch.bool))
    window = model.members.window(sample, model.statistics, model.scale)
    smoothest = window.interpolation * model.statistics.source_spread + model.statistics.source_centre
    with rasterio.open(tmp_path / "out.tif") as dataset:
        written, tags = dataset.read(1), dataset.tags()
    np.testing.assert_allclose(written, smoothest.numpy(), rtol=0, atol=1e-5 * float(source.std()))
    assert tags["MMSR_GEO_METHOD"] == "minimum curvature"
    used = mmsr_geo.upsample(source, SENTINEL_GUIDE, model=judged.unguided).compute(scheduler="synchronous")
    np.testing.assert_allclose(used.values, written, rtol=0, atol=1e-5 * float(source.std()))


def test_in_a_gap_of_the_guide_the_target_is_the_smoothest_surface_with_the_width_of_that(model: FittedModel) -> None:
    """Regressions have nothing to predict from there; nothing of the guide under the gap counts."""
    source, covered = crop().source, sentinel_guide().astype(np.float32).copy()
    covered[:, :, 180:300] = np.nan  # 10 m; the target has 20 m
    assert model.members is not None
    assert "edge-preserving" not in model.members.sentence
    assert model.interval is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mmsr_geo.GuideWarning)
        target, smooth = (
            mmsr_geo.upsample(source, covered, model=of, uncertainty=True, min_coverage=0, if_unhelpful="warn").compute(
                scheduler="synchronous"
            )
            for of in (model, model.unguided)
        )
    inside, outside = np.s_[:, 108:132], np.s_[:, :70]
    assert np.abs(target.values - smooth.values)[inside].max() < 1e-3 * float(source.std())
    assert np.abs(target.values - smooth.values)[outside].max() > 0.1 * float(source.std())
    np.testing.assert_allclose(target.uncertainty.values[inside], smooth.uncertainty.values[inside], rtol=1e-5)
    assert target.uncertainty.values[inside].mean() > 1.2 * target.uncertainty.values[outside].mean()
