"""Evaluate and Fit in QGIS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from conftest import GUIDE, TRUTH, Feedback, Runner, coarse, command, pixels, stage_text

QUICK = {"STEPS": 6, "THREADS": 1, "SCALE": "4"}


def test_a_saved_model_is_the_commands_own_and_upsample_reads_it(run: Runner, source: Path, tmp_path: Path) -> None:
    model, by_hand = tmp_path / "by qgis.mmsr", tmp_path / "by_hand.mmsr"
    fitted = run("fit", SOURCE=str(source), GUIDE=str(GUIDE), OUTPUT=str(model), **QUICK)
    assert fitted.ok, fitted.errors
    done = command(
        "fit", source, GUIDE, "-o", by_hand, *["--scale", "4", "--steps", "6", "--threads", "1", "--progress", "none"]
    )
    assert done.returncode == 0, done.stderr
    assert model.read_bytes() == by_hand.read_bytes()
    sharp = tmp_path / "sharp.tif"
    ran = run("upsample", SOURCE=str(source), GUIDE=str(GUIDE), MODEL=str(model), OUTPUT=str(sharp))
    assert ran.ok, ran.errors
    assert f"{stage_text('members')}\n" not in ran.log
    assert np.isfinite(pixels(sharp)).all()


def test_an_evaluation_writes_its_report_and_a_page(run: Runner, tmp_path: Path) -> None:
    source, folder = coarse(tmp_path / "source.tif", 64, 64, 128, 128), tmp_path / "the report"
    feedback = Feedback()
    ran = run(
        "evaluate", feedback, SOURCE=str(source), GUIDE=str(GUIDE), TRUTH=str(TRUTH),
        METHODS=["nearest", "bicubic", "guided-filter"], OUTPUT=str(folder), SCALE="4",
    )  # fmt: skip
    assert ran.ok, ran.errors
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "report.png"]
    scores = json.loads((folder / "report.json").read_text())["methods"]
    page = Path(ran.results["HTML"]).read_text("utf-8")
    for name in ("nearest", "bicubic", "guided-filter"):
        assert name in ran.log
        assert f"{scores[name]['rmse']:.4g}" in ran.log
        assert f"{scores[name]['rmse']:.4g}" in page
    best = min(scores, key=lambda name: scores[name]["rmse"])
    assert f"<tr style='font-weight:bold'><td align='left'>{best}</td>" in page
    assert "Scores against the truth" in page
    assert "<li><b>SSIM</b>: structural similarity; 1 is best</li>" in page
    assert feedback.shares == sorted(feedback.shares)


def test_the_scores_of_the_uncertainty_are_in_the_table(run: Runner, tmp_path: Path) -> None:
    source = coarse(tmp_path / "source.tif", 64, 64, 128, 128, scale=2)
    ran = run(
        "evaluate", SOURCE=str(source), GUIDE=str(GUIDE), TRUTH=str(TRUTH), METHODS=["bicubic", "mmsr"],
        OUTPUT=str(tmp_path / "report"), **QUICK | {"SCALE": "2"},
    )  # fmt: skip
    assert ran.ok, ran.errors
    known = json.loads((tmp_path / "report" / "report.json").read_text())["methods"]["mmsr"]["uncertainty"]
    page = Path(ran.results["HTML"]).read_text("utf-8")
    for heading, value in (("coverage", f"{known['coverage']:.3f}"), ("half width", f"{known['mean_half_width']:.4g}")):
        assert f"<th>{heading}</th>" in page
        assert f">{value}</td>" in page


class OldFeedback(Feedback):
    """A feedback of QGIS before 3.36."""

    @property
    def pushFormattedMessage(self) -> None:  # noqa: N802  (QGIS's name)
        raise AttributeError


def test_an_old_qgis_has_the_scores_as_text(run: Runner, source: Path, tmp_path: Path) -> None:
    ran = run(
        "evaluate", OldFeedback(), SOURCE=str(source), GUIDE=str(GUIDE), TRUTH=str(TRUTH), METHODS=["nearest"],
        OUTPUT=str(tmp_path / "report"), SCALE="4",
    )  # fmt: skip
    assert ran.ok, ran.errors
    rmse = json.loads((tmp_path / "report" / "report.json").read_text())["methods"]["nearest"]["rmse"]
    assert f"{rmse:.4g}" in ran.log


def test_a_mistake_in_an_evaluation_is_one_line(run: Runner, source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    ran = run("evaluate", SOURCE=str(source), GUIDE=str(GUIDE), METHODS=["nearest"], OUTPUT=str(tmp_path / "file"))
    assert not ran.ok
    assert len(ran.errors) == 1
    assert str(tmp_path / "file") in ran.errors[0]
    assert (tmp_path / "file").read_text() == "mine"


def test_cancelling_a_fit_leaves_no_model(run: Runner, tmp_path: Path) -> None:
    source, out = coarse(tmp_path / "large.tif", 0, 0, 256, 256), tmp_path / "out"
    out.mkdir()
    feedback = Feedback(cancel_at=stage_text("trial"))
    given = {**QUICK, "STEPS": 100_000}
    ran = run("fit", feedback, SOURCE=str(source), GUIDE=str(GUIDE), OUTPUT=str(out / "model.mmsr"), **given)
    assert ran.errors == []
    assert list(out.iterdir()) == []
