"""Upsample in QGIS: results, styles, the layer tree, cancelling, odd layers and odd paths."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from conftest import GUIDE, QUICK, Feedback, Runner, children, command, pixels

QUICK_WORDS = ["--scale", "4", "--steps", "6", "--threads", "1", "--progress", "none"]


def test_the_output_is_the_commands_own(run: Runner, source: Path, tmp_path: Path) -> None:
    ran = run("upsample", SOURCE=str(source), GUIDE=str(GUIDE), OUTPUT=str(tmp_path / "by_qgis.tif"), **QUICK)
    assert ran.ok, ran.errors
    done = command("upsample", source, GUIDE, "-o", tmp_path / "by_hand.tif", *QUICK_WORDS)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels(tmp_path / "by_qgis.tif"), pixels(tmp_path / "by_hand.tif"))
    assert ran.results["GUIDE_VERDICT"] == "unknown"
    assert children() == []


@pytest.mark.parametrize("stage", ["fitting", "predicting tiles"])
def test_cancelling_ends_the_work_in_three_seconds(run: Runner, source: Path, tmp_path: Path, stage: str) -> None:
    feedback = Feedback(cancel_at=stage)
    began = []
    feedback.on_cancel = lambda: began.append(time.monotonic())
    out = tmp_path / "out" / "sharp.tif"
    out.parent.mkdir()
    steps = {"STEPS": 100_000} if stage == "fitting" else {}
    ran = run("upsample", feedback, SOURCE=str(source), GUIDE=str(GUIDE), OUTPUT=str(out), **{**QUICK, **steps})
    assert time.monotonic() - began[0] < 3
    assert ran.errors == []
    assert list(out.parent.iterdir()) == []
    assert children() == []
