"""Inputs as archives and users have them, through every door: a right result, or one line and nothing left behind.

The cases are in support/hostile/, by subject. Each puts its files into a folder and says what is asked for and how that
must end. The oracle of a result is the array that the case itself wrote: its block means, its nodata, its corners.
"""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import mmsr_geo
from mmsr_geo.cli import main as cli
from mmsr_geo.network.sensor import ESTIMATED, WantedSensor
from support.hostile import CASES
from support.hostile.cases import (
    QUICK,
    Case,
    Door,
    Job,
    Refusal,
    Target,
)
from support.hostile.run import (
    CommandResult,
    as_asked,
    assert_file,
    assert_only_the_output_is_new,
    assert_reported,
    assert_target,
    assert_warned,
    found_in,
    made_by,
    words_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def at() -> Iterator[Path]:
    """A folder, in which file systems may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    yield folder
    for part in folder.iterdir():
        if part.is_mount():
            subprocess.run(["umount", str(part)], check=True)  # noqa: S607  (the machine's own)
    shutil.rmtree(folder)


def quick_if_stepped(
    _quality: str,
    *,
    work: float | None = None,  # noqa: ARG001  (as the real one)
    steps: int | None = None,
    threads: int | None = None,
    sensor: WantedSensor = ESTIMATED,
) -> mmsr_geo.FitParams:
    """Return a fit that tests can wait for, where a case asks for steps."""
    return replace(QUICK, sensor=sensor) if steps else mmsr_geo.FitParams(threads=threads, sensor=sensor)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], at: Path
) -> Iterator[Callable[[Job], CommandResult]]:
    """Run the command in this process, its streams as GDAL in C and Python's logging write to them too."""
    before = signal.getsignal(signal.SIGTERM)
    # Without pytest no handler is there, and warnings of loggers go to stderr.
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    monkeypatch.setattr(mmsr_geo.FitParams, "of", quick_if_stepped)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.chdir(at)

    def run(job: Job) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["mmsr-geo", *words_of(job)])
        handler.stream = sys.stderr
        capfd.readouterr()
        status = 0
        with as_asked(job):
            try:
                cli.main()
            except SystemExit as left:
                status = int(left.code or 0)
        reported = capfd.readouterr()
        return CommandResult(status, reported.out, reported.err)

    yield run
    logging.getLogger().removeHandler(handler)
    signal.signal(signal.SIGTERM, before)


ROWS = [pytest.param(case, door, id=f"{case.kind}: {case.name} ({door})") for case in CASES for door in case.doors]


@pytest.mark.parametrize(("case", "door"), ROWS)
@pytest.mark.filterwarnings("ignore:Converting non-nanosecond")
def test_a_hostile_input_ends_in_the_right_result_or_the_right_error(
    case: Case, door: Door, at: Path, command: Callable[[Job], CommandResult]
) -> None:
    job = case.make(at)
    assert isinstance(job.ends, case.ends)
    before = found_in(at)
    if door == "command":
        assert_reported(command(job), job, at)
    elif isinstance(job.ends, Refusal):
        with warnings.catch_warnings(), as_asked(job):
            warnings.simplefilter("ignore")
            with pytest.raises(job.ends.error, match=job.ends.words) as caught:
                made_by(door, job, at)
        assert "\n" not in str(caught.value)
    else:
        with warnings.catch_warnings(record=True) as warned, as_asked(job):
            warnings.simplefilter("always")
            made = made_by(door, job, at)
        assert_warned([str(each.message) for each in warned if issubclass(each.category, mmsr_geo.MmsrWarning)], job)
        if made is None:
            assert_file(at / job.output, job.ends)
        else:
            values = made.where(made != made.rio.nodata) if made.rio.nodata is not None else made
            assert_target(values.values, job.ends, made.rio.transform(), made.rio.crs)
    if isinstance(job.ends, Refusal) or door == "array":
        assert found_in(at) == before
    else:
        assert_only_the_output_is_new(before, at, job)


def test_there_are_many_and_few_of_a_kind() -> None:
    kinds = Counter(case.kind for case in CASES)
    assert len(CASES) >= 60
    assert max(kinds.values()) <= 5
    assert sum(case.ends is Target for case in CASES) >= 20
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)
