"""The benchmark of all kinds: its halves, and a run on an invented pair."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(request.param)


@pytest.mark.parametrize("module", ["pair_list"], indirect=True)
def test_no_place_is_in_both_halves_and_each_kind_of_two_places_is(module: ModuleType) -> None:
    pairs = module.PAIRS.values()
    places = {half: {pair.place for pair in pairs if pair.half == half} for half in ("choosing", "reserved")}
    assert places["choosing"] == module.CHOOSING
    assert not places["choosing"] & places["reserved"]
    for kind in {pair.kind for pair in pairs}:
        found = [pair for pair in pairs if pair.kind == kind]
        halves = {pair.half for pair in found}
        assert len(halves) == min(2, len({pair.place for pair in found})), kind
    assert len(pairs) >= 60
    assert len({pair.place for pair in pairs}) >= 16
    assert {pair.scale for pair in pairs} == {2, 3, 4, 8, 16}


@pytest.mark.parametrize("module", ["pair_list"], indirect=True)
def test_the_core_is_12_pairs_of_all_kinds_of_the_choosing_half(module: ModuleType) -> None:
    core = [pair for pair in module.PAIRS.values() if pair.core]
    assert len(core) == 12
    assert {pair.half for pair in core} == {"choosing"}
    assert {pair.kind for pair in core} == {pair.kind for pair in module.PAIRS.values()}


@pytest.mark.parametrize("module", ["pairs"], indirect=True)
def test_a_run_is_scored_stored_and_not_repeated(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = importlib.import_module("versions").invented_case(0.5)
    rasters = importlib.import_module("pair_readers").Rasters(case.truth, case.guide)
    pair = module.PairOfKind("invented", "temperature", "nowhere", 2, lambda _: rasters)
    monkeypatch.setitem(module.PAIRS, "invented", pair)
    jobs = module.jobs_of([pair], ("bicubic", "draft", "members"), 0, dict.fromkeys(module.METHODS, "code"))
    lines = [line for job in jobs for line in module.run(job, tmp_path)]
    bicubic, draft, *members = lines
    assert bicubic["ratio"] == 1
    assert draft["ratio"] == draft["rmse"] / bicubic["rmse"] < 1
    assert draft["true_gain"] == pytest.approx(1 - draft["ratio"])
    assert 0 < draft["uncertainty"]["coverage"] <= 1
    assert len(members) == len(module.MEMBERS)
    assert np.isfinite([line["rmse"] for line in members]).all()
    results = tmp_path / "pairs.jsonl"
    results.write_text("".join(f"{module.json.dumps(line)}\n" for line in lines))
    monkeypatch.setattr(module, "run", None)
    assert module.run_all(jobs, tmp_path, 1, results) == 0
    assert results.read_text().count("\n") == len(lines)
    shown = module.table([pair], jobs, module.runs_of(jobs, lines))
    assert f"| temperature | 1, 1 | {draft['ratio']:.3f} |" in shown
