"""Plans: what is reported before a job runs against what the job then takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmsr_geo
from mmsr_geo.cli.tables import plan_rows
from mmsr_geo.engine.sampling import FitJob
from mmsr_geo.geometry import Halo, Scale, Tiling, Window
from mmsr_geo.methods.base import FitSpeed
from mmsr_geo.methods.p2p import P2P
from mmsr_geo.network.device import resolve_device
from mmsr_geo.network.fit import TRIAL_STEPS, expected_pixel_steps, fit_samples
from mmsr_geo.network.fit_params import FitParams
from mmsr_geo.pipeline.plan import Plan
from mmsr_geo.pipeline.timing import Speed
from mmsr_geo.raster.read.files import FileRaster
from support.command import CommandResult
from support.rasters import SENTINEL_GUIDE, sentinel_crop
from support.scenes import scene

pytestmark = pytest.mark.slow

sizes = st.integers(1, 40)


@given(st.tuples(sizes, sizes, sizes, sizes), st.tuples(sizes, sizes), st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_the_halos_share_is_what_the_tiles_read(
    part: tuple[int, int, int, int], tile: tuple[int, int], halo: tuple[int, int]
) -> None:
    row, col, height, width = part
    whole = Window(0, 0, row + height + 3, col + width + 5)
    tiling = Tiling(Window(row, col, height, width), tile, Halo(*halo), whole)
    read = sum(each.read.height * each.read.width for each in tiling)
    assert tiling.halo_share == pytest.approx(read / (height * width) - 1, abs=1e-12)


@pytest.mark.parametrize(
    ("side", "scale", "options"),
    [
        (24, (3, 3), {"first_stage": False}),
        (24, (3, 3), {"first_stage": True, "ensemble": False}),
        (30, (3, 2), {"first_stage": True, "batch": 2, "ensemble": False}),
        (10, (4, 4), {"ensemble": False}),
        (10, (4, 4), {}),
        (10, (4, 4), {"patch_px": 17, "first_stage": False}),
        (12, (4, 4), {"patch_px": None, "first_stage": False}),
    ],
)
def test_a_fit_takes_the_steps_that_were_asked_for(side: int, scale: tuple[int, int], options: dict[str, Any]) -> None:
    params = FitParams(**({"steps": 4, "patch_px": 24, "threads": 1} | options))
    by = Scale(*scale)
    model = fit_samples([scene(side, side + 3, by)], by, params, guide_bands=("red", "nir"))
    least, most = expected_pixel_steps(params, (side, side + 3), by)
    assert least == most == model.provenance["fit"]["pixel_steps"]


def test_a_fit_that_decides_by_its_check_lies_between() -> None:
    """Beside members the fit ends after the first stage, or takes both; a network alone takes both or starts anew."""
    params = FitParams(steps=4, patch_px=24, threads=1)
    by = Scale(2, 2)
    model = fit_samples([scene(40, 40, by)], by, params, guide_bands=("red", "nir"))
    given_up, stayed = expected_pixel_steps(params, (40, 40), by)
    kept, began_anew = expected_pixel_steps(replace(params, ensemble=False), (40, 40), by)
    assert given_up == 4 * 24**2
    assert given_up < stayed == kept < began_anew
    assert model.provenance["fit"]["pixel_steps"] in {given_up, stayed}
    assert expected_pixel_steps(replace(params, network=False, steps=None), (40, 40), by) == (0, 0)
    longer = replace(params, steps=2 * TRIAL_STEPS)
    tried, most = expected_pixel_steps(longer, (40, 40), by)
    alone, _ = expected_pixel_steps(replace(longer, ensemble=False), (40, 40), by)
    assert (tried, most - alone) == (TRIAL_STEPS * 24**2, TRIAL_STEPS * 24**2)


def test_p2p_takes_the_steps_that_were_asked_for() -> None:
    by = Scale(3, 3)
    fitted = P2P(5).fit([scene(24, 24, by)], FitJob(by, (24, 24), resolve_device("cpu")))
    assert fitted.pixel_steps == 5 * P2P().pixels_per_step(by, 24 * 24)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.tif"
    sentinel_crop(0, 0, 64, 60, 4).source.rio.to_raster(path)
    return path


def test_a_plan_reads_no_pixel_and_knows_the_job(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(FileRaster, "read", refuse)
    plan = mmsr_geo.plan(
        source, SENTINEL_GUIDE, 4, tile_size=64, timed=False, bounds=(435_720, 4_171_000, 439_000, 4_174_980)
    )
    reported = plan.as_dict()
    assert reported["target_shape"] == [200, 164]
    assert reported["tiles"] == 4 * 3
    assert reported["crs"] == "EPSG:32618"
    assert plan.halo == Halo(plan.tiling.halo.y * 4, plan.tiling.halo.x * 4)
    assert reported["halo_share"] > 1
    assert reported["predicted_px"] == round(200 * 164 * (1 + reported["halo_share"]))
    assert plan.fit_seconds is None
    assert plan.predict_seconds is None
    assert plan.gpu_hours > 0
    rows = dict(plan_rows(plan))
    assert rows["target"] == "164 x 200 px of 20.01 x 20.01 m, scale 4"
    assert not any(name.startswith("time on this machine") for name in rows)
    with_half = mmsr_geo.plan(source, SENTINEL_GUIDE, 4, tile_size=64, timed=False, uncertainty=True)
    without = mmsr_geo.plan(source, SENTINEL_GUIDE, 4, tile_size=64, timed=False)
    assert (with_half.as_dict()["uncertainty"], reported["uncertainty"]) == (True, False)
    assert with_half.disk_bytes == pytest.approx(2 * without.disk_bytes, abs=1)
    assert dict(plan_rows(with_half))["target"].endswith("scale 4, with uncertainty")


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({"method": "bicubic"}, False),
        ({"method": "guided-filter+consistency"}, False),
        ({"method": "p2p"}, True),
        ({"fit": "tile"}, True),
        ({"fit": "adapt"}, True),
        ({}, True),
    ],
)
def test_every_method_is_timed(source: Path, options: dict[str, Any], *, fits: bool) -> None:
    params = mmsr_geo.FitParams(steps=6, threads=1)
    chosen: dict[str, Any] = {} if options.get("method", "mmsr") not in {"mmsr", "p2p"} else {"params": params}
    plan = mmsr_geo.plan(source, SENTINEL_GUIDE, 4, tile_size=64, **options, **chosen)
    assert plan.speed is not None
    assert plan.fit_seconds is not None
    assert plan.predict_seconds is not None
    assert (plan.fit_seconds[1] > 0) == fits
    assert plan.predict_seconds > 0
    assert plan.memory_bytes > 450_000_000


def test_a_plan_counts_what_is_written_on_another_grid(source: Path) -> None:
    plan = mmsr_geo.plan(source, SENTINEL_GUIDE, 4, method="bicubic", like=10, dtype="uint8", timed=False)
    height, width = plan.as_dict()["target_shape"]
    assert (height, width) == (512, 480)
    written, waiting = height * width, 256 * 240 * 4
    assert plan.disk_bytes == pytest.approx((written + waiting) * (1 + 4 / 3), rel=1e-6)


def test_a_saved_model_needs_no_fit(source: Path, tmp_path: Path) -> None:
    params = mmsr_geo.FitParams(steps=2, patch_px=32, threads=1)
    mmsr_geo.fit(source, SENTINEL_GUIDE, 4, params=params).save(tmp_path / "n.mmsr")
    plan = mmsr_geo.plan(source, SENTINEL_GUIDE, model=tmp_path / "n.mmsr")
    assert plan.fit_seconds == (0, 0)
    assert plan.fit_pixel_steps == (0, 0)
    assert plan.compared_px == 0


def test_the_members_of_a_fit_are_planned_apart_from_its_steps(source: Path) -> None:
    """Their pixels are compared once, and count in time and memory of each quality that has members."""

    def planned(**options: Any) -> Plan:
        return mmsr_geo.plan(source, SENTINEL_GUIDE, 4, timed=False, **options)

    balanced, draft = planned(), planned(quality="draft")
    assert balanced.compared_px == draft.compared_px == 256 * 240 == balanced.as_dict()["compared_px"]
    assert draft.fit_pixel_steps == (0, 0)
    alone = planned(params=mmsr_geo.FitParams(ensemble=False))
    assert alone.compared_px == planned(method="bicubic").compared_px == 0
    assert balanced.fit_pixel_steps[1] > 0
    assert dict(plan_rows(balanced))["fit with --quality draft"] == "members on 0.061 million pixels"
    assert "members on 0.061 million pixels, " in dict(plan_rows(balanced))["fit with --quality balanced"]
    assert "members" not in dict(plan_rows(alone))["fit"]
    speed = Speed("cpu", 1, FitSpeed(2e-7, 3e-5), 1e-6)
    timed = replace(balanced, speed=speed)
    assert timed.fit_seconds is not None
    least, most = balanced.fit_pixel_steps
    for found, steps in zip(timed.fit_seconds, (least, most), strict=True):
        assert found == pytest.approx(steps * 2e-7 + 256 * 240 * 3e-5)


def test_the_command_prints_the_plan(here: Callable[..., CommandResult], source: Path) -> None:
    status, reported, _ = here("plan", source, SENTINEL_GUIDE, "--scale", 4, "--not-timed")
    assert status == 0
    assert "scale 4" in reported
    status, reported, _ = here(
        "plan", source, SENTINEL_GUIDE, "--scale", 4, "--json", "--threads", 1, "--dtype", "int16"
    )
    assert status == 0
    plan = json.loads(reported)
    assert plan["device"] == "cpu"
    assert plan["disk_bytes"] == int(256 * 240 * 2 * (1 + 4 / 3))
    assert np.isfinite(plan["fit_seconds"]).all()
