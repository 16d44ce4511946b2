"""The benchmarks' scripts: each answers --help, README has each, and those that look into a fit run in a small form."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHARED = {"cases", "optimisers", "pair_list", "pair_readers", "versions"}
"""Modules that are no scripts."""
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in SHARED)
HELP = """
import contextlib, io, runpy, sys
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    sys.path[0] = script.rpartition("/")[0]
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        print(script, ended.code, "usage:" in shown.getvalue())
    else:
        print(script, "ran")
"""
ALIGNMENT = "mmsr_geo.network.members.alignment"


@pytest.fixture
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a script, whose pairs are the invented one."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script, versions = (importlib.import_module(name) for name in (request.param, "versions"))
    monkeypatch.setattr(script, "read_case", lambda *_: versions.invented_case(0.5))
    return script


def test_each_script_answers_help() -> None:
    """In one process of its own: each import of torch takes seconds."""
    paths = [str(BENCHMARKS / f"{name}.py") for name in SCRIPTS]
    ran = subprocess.run([sys.executable, "-c", HELP, *paths], capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines() == [f"{path} 0 True" for path in paths], ran.stderr


def test_the_readme_has_a_row_for_each_script_and_each_result() -> None:
    text = (BENCHMARKS / "README.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)\.py` \|", text, re.MULTILINE)) == SCRIPTS
    results = sorted(path.name for path in (BENCHMARKS / "results").iterdir())
    assert sorted(re.findall(r"^\| `results/([\w.]+)` \|", text, re.MULTILINE)) == results


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("plot_comparison")


def test_a_compared_target_is_computed_once_by_the_package_of_a_checkout(
    comparison: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = importlib.import_module("versions").invented_case(0.5)
    target = comparison.target_of(case, comparison.HERE, "draft", tmp_path)
    assert target.shape == case.truth.shape
    assert comparison.rmse(target, case.truth) < comparison.rmse(comparison.baseline_of(case), case.truth)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", None)
        assert np.array_equal(comparison.target_of(case, comparison.HERE, "draft", tmp_path), target, equal_nan=True)
    with pytest.raises(subprocess.CalledProcessError):  # it contains no package, so another one would be imported
        comparison.target_of(case, tmp_path, "draft", tmp_path)


@pytest.mark.parametrize("colours", [None, "viridis"])
def test_a_comparison_is_drawn(comparison: ModuleType, tmp_path: Path, colours: str | None) -> None:
    case = importlib.import_module("versions").invented_case(0.5)
    row = comparison.Row("invented", "Invented", "m", comparison.Window(0, 0, 64, 64), "noise", (0,), colours)
    targets = [case.truth + error for error in (1, 0.5, 0.2)]
    comparison.draw({row: (case, targets)}, list("abcde"), tmp_path / "new" / "drawn.png")
    assert (tmp_path / "new" / "drawn.png").stat().st_size > 10_000


def test_pictures_of_what_may_only_be_measured_stay_out_of_the_checkout(
    comparison: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {comparison.PAIRS[row.pair].kind for row in comparison.ROWS if not row.published} == {"depth"}
    assert {comparison.PAIRS[row.pair].half for row in comparison.ROWS} == {"choosing"}
    monkeypatch.setattr(sys, "argv", ["script", "--data", ".", "--before", ".", "--cache", ".", "--depth"])
    with pytest.raises(SystemExit):
        comparison.main()
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["search"], indirect=True)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ensemble": False},
        {"ensemble": False, "optimiser": "muon", "after": "3/2"},
        {"ensemble": False, "channels": 8, "prior": "detail", "registered": True},
    ],
)
def test_a_configuration_of_the_search_is_fitted(module: ModuleType, changes: dict[str, Any]) -> None:
    module.prepared.cache_clear()
    configuration = module.changed(steps=3, patch_px=24, threads=1, first_stage=True, **changes)
    result = module.run(module.Trial("invented", 0, configuration), Path(), "cpu", "code")
    assert result["way"] == {"steps": 3, "patch_px": 24, "first_stage": True} | changes
    assert 0 < result["ratio"] < 5
    assert result["pixel_steps"] >= 3 * 24**2
    if changes:  # beside members the network may be given up after the first stage
        assert result["first_stage"] is True


@pytest.mark.parametrize("module", ["search"], indirect=True)
def test_every_plan_of_the_search_is_a_configuration_of_today(module: ModuleType) -> None:
    designs = [configuration.variant.design for plan in module.plans().values() for configuration in plan]
    assert len(designs) > 40
    assert {design.network(4).guide_bands for design in designs} == {4}


@pytest.mark.parametrize("module", ["search"], indirect=True)
def test_a_shifted_guide_is_moved_back(module: ModuleType) -> None:
    """And blurred as the source is, if at all: it is nearer to the unshifted guide than before."""
    case = importlib.import_module("versions").invented_case(0.0)
    moved = module.replace(case, guide=np.roll(case.guide, (2, -1), axis=(1, 2)))
    found = module.registered(moved)
    inner = np.s_[0, 8:-8, 8:-8]
    before, after = (float(np.abs(other.guide[inner] - case.guide[inner]).mean()) for other in (moved, found))
    assert after < 0.3 * before
    assert torch.from_numpy(found.guide).isfinite().all()


@pytest.mark.parametrize("module", ["search"], indirect=True)
def test_a_gap_in_a_guide_moves_with_it(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    case = importlib.import_module("versions").invented_case(0.0)
    guide = case.guide.copy()
    guide[:, 20:23, 30:33] = np.nan
    monkeypatch.setattr(module, "align", lambda *_: importlib.import_module(ALIGNMENT).Found(0.5, shift_px=(2.0, -1.0)))
    gaps = np.isnan(module.registered(module.replace(case, guide=guide)).guide)
    assert gaps[:, 22:25, 29:32].all()
    assert gaps.sum() == 2 * 9
