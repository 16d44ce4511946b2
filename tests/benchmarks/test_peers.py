"""The benchmark of peers, with invented peers on an invented pair."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
READ = """
import sys, time
import numpy as np, rasterio
source, guide, out = sys.argv[1:]
with rasterio.open(guide) as raster:
    bands, profile = raster.read(), raster.profile
with rasterio.open(source) as raster:
    values, (height, width) = raster.read(1), (side // 2 for side in bands.shape[1:])
"""
WRITE = """
with rasterio.open(out, "w", **{**profile, "count": 1}) as raster:
    raster.write(result[None].astype("float32"))
"""
PEERS = {
    "enlarges": "result = values.repeat(2, 0).repeat(2, 1)",
    "first band": "result = bands[0]",
    "half empty": "result = values.repeat(2, 0).repeat(2, 1); result[::2] = np.nan",
    "coarse": "result = values; profile |= dict(height=height, width=width)",
    "fails": "sys.exit('a reason')",
    "sleeps": "time.sleep(60)",
    "writes nothing": "print('ended early'); sys.exit(0)",
}


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("peers")


@pytest.fixture
def case(peers: ModuleType) -> Any:  # noqa: ARG001  (it makes the modules importable)
    return importlib.import_module("versions").invented_case(0.5)


def _peer(peers: ModuleType, folder: Path, name: str, *, fill: bool = True, guide: str = "{guide}") -> Any:
    script = folder / f"{name.replace(' ', '_')}.py"
    script.write_text(READ + PEERS[name] + WRITE)
    program = peers.Program("nothing", (sys.executable, "--version"), r"Python (\d[\d.]*\d)")
    return peers.Peer(name, program, (sys.executable, str(script), "{source}", guide, "{out}"), fill)


def _run(peers: ModuleType, peer: Any, case: Any, limit_s: float = 60.0) -> dict[str, Any]:
    found: dict[str, Any] = peers.run(peer, case, peers.bicubic(case, consistent=True), {}, limit_s)
    return found


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


def test_a_peer_is_scored_over_the_pixels_of_the_baseline(peers: ModuleType, case: Any, tmp_path: Path) -> None:
    baseline = peers.bicubic(case, consistent=True)
    enlarged = np.where(np.isfinite(baseline), case.source.repeat(2, 0).repeat(2, 1), np.nan)
    result = _run(peers, _peer(peers, tmp_path, "enlarges"), case)
    assert result["scored"] == 1
    assert result["rmse"] == pytest.approx(_rms(enlarged - case.truth))
    assert result["baseline_rmse"] == pytest.approx(_rms(baseline - case.truth))
    assert result["ratio"] == pytest.approx(result["rmse"] / result["baseline_rmse"])
    assert result["seconds"] > 0


@pytest.mark.parametrize("form", ["guide", "bands", "mean", "fitted"])
def test_a_peer_is_given_the_form_of_the_guide_that_it_names(
    peers: ModuleType, case: Any, tmp_path: Path, form: str
) -> None:
    one = replace(case, guide=case.guide[:1]) if form == "bands" else case  # the others are further files
    result = _run(peers, _peer(peers, tmp_path, "first band", guide=f"{{{form}}}"), one)
    mean = case.guide.mean(0)
    filled = peers.nearest_filled(case.source)
    expected = {"guide": case.guide[0], "bands": case.guide[0], "mean": mean}
    expected["fitted"] = peers.in_units_of(filled, mean.astype(np.float64))
    known = np.isfinite(peers.bicubic(case, consistent=True))
    assert result["rmse"] == pytest.approx(_rms(np.where(known, expected[form] - case.truth, np.nan)), rel=1e-5)


def test_a_pan_in_the_sources_units_has_its_gain_and_offset(peers: ModuleType) -> None:
    pan = np.arange(48.0).reshape(6, 8)
    source = 3 * pan.reshape(3, 2, 4, 2).mean(axis=(1, 3)) - 7
    assert np.allclose(peers.in_units_of(source, pan), 3 * pan - 7)


def test_gaps_are_filled_from_the_nearest_pixel_only_if_the_peer_needs_it(
    peers: ModuleType, case: Any, tmp_path: Path
) -> None:
    for fill in (False, True):
        paths = peers._inputs(_peer(peers, tmp_path, "enlarges", fill=fill), case, tmp_path)
        with peers.rasterio.open(paths["source"]) as raster:
            gaps = np.isnan(raster.read(1))
        assert np.array_equal(gaps, np.isnan(case.source) & (not fill))
    filled = peers.nearest_filled(np.array([[1.0, np.nan, np.nan, 4.0]]))
    assert filled.tolist() == [[1.0, 1.0, 4.0, 4.0]]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("half empty", "has data in 50% of the pixels"),
        ("coarse", "not the guide's grid"),
        ("fails", "exit status 1: a reason"),
        ("sleeps", "more than 3 s"),
        ("writes nothing", "no result was written: ended early"),
    ],
)
def test_a_failure_is_recorded_with_its_reason(
    peers: ModuleType, case: Any, tmp_path: Path, name: str, reason: str
) -> None:
    result = _run(peers, _peer(peers, tmp_path, name), case, 3.0 if name == "sleeps" else 60.0)
    assert set(result) == {"failed"}
    assert reason in result["failed"]


def test_a_missing_program_is_reported_and_left_out(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = _peer(peers, tmp_path, "enlarges")
    away = peers.Peer(
        "away", peers.Program("that-package", ("no-such-program",), "(.*)"), ("no-such-program",), fill=False
    )
    monkeypatch.setattr(peers, "PEERS", {"enlarges": here, "away": away})
    version = ".".join(map(str, sys.version_info[:3]))
    assert peers.installed(["enlarges", "away"], {}) == {"enlarges": version}
    assert "away is left out: no-such-program does not run; install that-package" in capsys.readouterr().out


def test_stored_runs_are_not_repeated_and_failed_ones_if_asked(
    peers: ModuleType, case: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pair_list, readers = importlib.import_module("pair_list"), importlib.import_module("pair_readers")
    rasters = readers.Rasters(case.truth, case.guide)
    pair = pair_list.PairOfKind("invented", "temperature", "nowhere", 2, lambda _: rasters)
    names = ("enlarges", "fails")
    monkeypatch.setattr(peers, "PEERS", {name: _peer(peers, tmp_path, name) for name in names})
    results = tmp_path / "peers.jsonl"
    arguments: Any = ([pair], dict.fromkeys(names, "1.0"), tmp_path, results, {})
    peers.run_all(*arguments)
    records = peers.stored(results)
    assert [record["method"] for record in records] == list(names)
    monkeypatch.setattr(peers, "run", lambda *_: {"failed": "another reason"})
    peers.run_all(*arguments)
    assert peers.stored(results) == records
    peers.run_all(*arguments, retry=True)
    assert [record.get("failed") for record in peers.stored(results)[2:]] == ["another reason"]

    draft = {"pair": "invented", "method": "draft", "seed": 0, "code": "abc", "ratio": 0.5}
    runs = [draft | {"fit_seconds": 1.0, "predict_seconds": 0.5}]
    shown = peers.table([pair], peers.stored(results), runs)
    assert "| kind | pairs, places | enlarges | draft |" in shown
    assert f"| temperature | 1, 1 | {records[0]['ratio']:.3f} | 0.500 |" in shown
    assert "| pairs scored, failed | | 1, 0 | 1, 0 |" in shown
    assert "| version | | 1.0 | code abc |" in shown
    assert peers.failures([pair], peers.stored(results)) == "fails failed on invented: another reason"
    assert json.loads(results.read_text().splitlines()[0])["pair"] == "invented"
