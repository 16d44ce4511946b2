"""Every refusal and warning is reached through Python and the command, with its sentence in each door's spelling."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import mmsr_geo
from mmsr_geo.cli import main as cli
from mmsr_geo.errors import (
    MmsrError,
    MmsrWarning,
)
from mmsr_geo.spelling import Door, spelled
from support.refusals import CASES
from support.refusals.cases import KINDS, Case
from support.refusals.inputs import (
    MINE,
    write_inputs,
)

pytestmark = pytest.mark.slow

PACKAGE = Path(mmsr_geo.__file__).parent
PAGE = Path(__file__).parents[2] / "tools" / "errors_page.py"


REFUSALS = [case for case in CASES if not issubclass(case.kind, Warning)]


WARNINGS = [case for case in CASES if issubclass(case.kind, Warning)]


def of(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases])


def is_said(case: Case, sentence: str, door: Door) -> bool:
    """Whether it is the case's sentence, as a door has it."""
    return re.fullmatch(".+".join(map(re.escape, spelled(case.says, door).split("…"))), sentence) is not None


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refusals")
    with contextlib.chdir(folder):
        write_inputs()
    return folder


@pytest.fixture
def _here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the inputs as the current folder."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.tif")


def found(job: str = "") -> dict[str, bytes | str]:
    """Everything below the current folder, hidden or not, but what a job says of itself: bytes, or what else it is."""
    said = {f"{job}.record.jsonl", f".{job}.lock", f"{job}.log", f"{job}.report"} if job else set()
    return {
        str(path): path.read_bytes() if path.is_file() else "no file"
        for root, folders, files in os.walk(".")
        for path in (Path(root, name) for name in [*folders, *files])
        if not said.intersection(path.parts)
    }


def refused_by_python(case: Case, **more: Any) -> BaseException:
    """Call what the case calls and return what it raises."""
    assert case.doors.python is not None
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", MmsrWarning)
        if case.fault is not None:
            case.fault(patch)
        try:
            case.doors.python(**more)
        except MmsrError as error:
            return error
    pytest.fail("nothing was refused")


@dataclass(frozen=True)
class CommandResult:
    """What the command left on its streams, and why it left."""

    status: int
    out: str
    err: str
    error: BaseException | None


def printed_by_command(case: Case, more: str = "", progress: str = "none") -> CommandResult:
    """Run the command in this process."""
    assert case.doors.words is not None
    words = shlex.split(f"{case.doors.words} {more}")
    out, err = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    left: BaseException | None = None
    status = 0
    with pytest.MonkeyPatch.context() as patch:
        shown = [] if words[0] == "demo" else ["--progress", progress]
        patch.setattr(sys, "argv", ["mmsr-geo", *words, *shown])
        patch.setenv("OMP_WAIT_POLICY", "passive")
        if case.fault is not None:
            case.fault(patch)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                cli.main()
        except SystemExit as leaving:
            status = int(leaving.code or 0)
            reported = leaving.__context__
            left = reported.__cause__ or reported if reported is not None else None
        finally:
            signal.signal(signal.SIGTERM, before)
    return CommandResult(status, out.getvalue(), err.getvalue(), left)


def outputs(case: Case) -> list[Path]:
    """Return the files that the command would write, where there can be such."""
    words = shlex.split(case.doors.words or "")
    if "-o" not in words or words[0] == "demo":
        return []
    named = Path(words[words.index("-o") + 1])
    return [named / "report.json", named / "report.png"] if words[0] == "evaluate" else [named]


def put_outputs(case: Case) -> None:
    """Have the outputs be there before, where nothing is."""
    for path in outputs(case):
        if not path.exists() and (path.parent == Path("report") or path.parent.is_dir()):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(MINE)


@of([case for case in REFUSALS if case.doors.python is not None])
@pytest.mark.usefixtures("_here")
def test_python_refuses_in_one_sentence_and_leaves_nothing(case: Case) -> None:
    before = found()
    error = refused_by_python(case)
    assert type(error) is case.kind
    assert is_said(case, str(error), "python"), str(error)
    assert "\n" not in str(error)
    assert found(case.job) == before


@of([case for case in REFUSALS if case.doors.words is not None])
@pytest.mark.usefixtures("_here")
def test_the_command_refuses_in_the_same_sentence_and_leaves_nothing(case: Case) -> None:
    before = found()
    reported = printed_by_command(case)
    assert (reported.status, reported.out) == (2, "")
    assert reported.err.startswith("Error: ")
    assert reported.err.endswith("\n")
    sentence = reported.err.removeprefix("Error: ").removesuffix("\n").removesuffix(" (see mmsr-geo upsample --help)")
    assert is_said(case, sentence, "command"), sentence
    assert "\n" not in sentence
    assert found(case.job) == before


@pytest.mark.parametrize(
    ("case", "overwrite"),
    [
        pytest.param(case, overwrite, id=f"{case.name}, {'to be overwritten' if overwrite else 'to be kept'}")
        for case in REFUSALS
        if outputs(case)
        for overwrite in ([False, True] if case.stays else [False])
    ],
)
@pytest.mark.usefixtures("_here")
def test_an_output_that_was_there_stays_as_it_was(case: Case, *, overwrite: bool) -> None:
    put_outputs(case)
    before = found()
    reported = printed_by_command(case, "--overwrite" if overwrite else "")
    assert (reported.status, reported.err.count("\n")) == (2, 1), reported.err
    assert found() == before
    if overwrite:
        sentence = (
            reported.err.removeprefix("Error: ").removesuffix("\n").removesuffix(" (see mmsr-geo upsample --help)")
        )
        assert is_said(case, sentence, "command"), sentence
    if case.doors.replacing:
        error = refused_by_python(case, overwrite=overwrite)
        assert isinstance(error, MmsrError)
        assert found() == before


@pytest.mark.usefixtures("_here")
def test_info_does_not_wait_for_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mmsr-geo", "info", "pipe.tif"])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        cli.main()
    signal.signal(signal.SIGTERM, before)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("Error: pipe.tif is a pipe or a device")


@of(WARNINGS)
@pytest.mark.usefixtures("_here")
def test_a_warning_is_one_sentence_through_each_door_and_the_work_goes_on(case: Case) -> None:
    assert case.doors.python is not None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        case.doors.python()
    (mine,) = [each for each in warned if issubclass(each.category, MmsrWarning)]
    assert mine.category is case.kind
    assert str(mine.message) == spelled(case.says, "python")
    Path("sharp.tif").unlink()
    if case.doors.words is None:
        return
    reported = printed_by_command(case, progress="json")
    assert (reported.status, reported.err) == (0, "")
    events = [json.loads(line) for line in reported.out.splitlines()]
    assert [event["message"] for event in events if event["event"] == "warning"] == [spelled(case.says, "command")]
    assert [event["template"] for event in events if event["event"] == "warning"] == [case.says]
    assert Path("sharp.tif").exists()


UNREACHED = {
    "engine/tiling.py tiling_for 1": "the option's own check comes before",
    "jobs/executors/config.py Cluster.__post_init__ 5": "the option's own check comes before",
    "network/fit_params.py FitParams.of 1": "the option's own check comes before",
    "network/patches.py PatchSampler.__init__ 1": "members are compared before; a network alone: network/test_fit.py",
    "methods/stored.py model_from_bytes 1": "a damaged model of a job is fitted again: methods/test_stored.py",
    "methods/baseline.py baseline 1": "who calls it has looked the name up before",
    "methods/guided_filter.py GuidedFilter.__post_init__ 1": "no option of the package sets the filter's radius",
    "methods/guided_filter.py GuidedFilter.__post_init__ 2": "no option of the package sets the filter's eps",
    "methods/p2p.py P2P.__post_init__ 1": "FitParams has refused so few steps before",
    "raster/write/destination.py _check_group 4": "a job's pair tells it: its store of groups is something else",
    "jobs/executors/config.py Cluster.__post_init__ 1": "a job file's own check comes before",
    "jobs/executors/config.py Cluster.__post_init__ 2": "a job file's own check comes before",
    "jobs/executors/config.py Cluster.__post_init__ 3": "a job file's own check comes before",
    "jobs/executors/dask.py DaskExecutor._look 1": "a scheduler has to be killed for it: jobs/test_kills.py",
    "jobs/executors/dask.py DaskExecutor._scheduler_errors 1": "a scheduler has to be killed: executors/test_dask.py",
    "jobs/executors/dask.py DaskExecutor._results 1": "a scheduler has to be killed for it: jobs/test_kills.py",
    "jobs/run_job.py _Running.finish 1": "it takes a pair of which every tile fails: jobs/output/test_output_job.py",
    "jobs/output/shared_fit.py SharedFit.check_bands 1": "it takes two pairs: jobs/output/test_output_job.py",
    "jobs/journal.py Journal.append 1": "it takes a full disk: jobs/output/test_output_job.py",
    "jobs/tiles/tile_store.py FolderStore.get 1": "a disk has to fail: jobs/output/test_output_job.py",
    "jobs/executors/clusters.py _client_of 1": "it waits for 20 s: jobs/executors/test_dask.py",
    "jobs/executors/clusters.py _of_library 2": "it takes dask-jobqueue",
    "jobs/output/verify.py verify_tiles 1": "it takes a disk that gives back other bytes than it was given, twice",
    "jobs/tiles/tile_store.py FolderStore.record 1": "the tiles' own files come before: jobs/output/test_output_job.py",
    "jobs/output/tasks.py TileTask._prediction 1": "a file has to be damaged: jobs/output/test_output_job.py",
    "methods/base.py Method.reuse 1": "a job file's own check comes before",
    "jobs/run_job.py _make_room 1": "a job's pair tells it: it is in the case's JobError of outputs without a folder",
    "network/samples.py Statistics.of 1": "samples without a valid pixel are not taken, and a tile of such falls back",
    "network/samples.py Statistics.of 2": "samples without a valid pixel are not taken, and a tile of such falls back",
    "raster/read/files.py _file_grid 1": "GDAL opens no file without pixels",
    "raster/views/mask.py MaskRule.__post_init__ 2": "no option gives a mask's classes; SCL's come without bits",
    "raster/write/encoding.py Encoding.encode 1": "Encoding.nodata gives integers a number always",
}
"""Refusals that nothing a user gives can reach, and why."""


@dataclass(frozen=True)
class Site:
    """A statement that refuses."""

    path: str
    within: str
    number: int
    lines: range

    def __str__(self) -> str:
        return f"{self.path} {self.within} {self.number}"


class _Sites(ast.NodeVisitor):
    """Collect the statements that raise an MmsrError, of a function's return annotation too, and click's own."""

    def __init__(self, path: str, makers: set[str]) -> None:
        self.path, self.makers, self.names = path, makers, list[str]()
        self.found: list[Site] = []

    def _within(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        self.names.append(node.name)
        self.generic_visit(node)
        self.names.pop()

    visit_ClassDef = visit_FunctionDef = _within  # noqa: N815  (ast's names)

    def visit_Raise(self, node: ast.Raise) -> None:
        if isinstance(node.exc, ast.Call) and _called(node.exc) in self.makers:
            self._add(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "self.fail":
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        within = ".".join(self.names)
        number = 1 + sum(site.within == within for site in self.found)
        self.found.append(Site(self.path, within, number, range(node.lineno, (node.end_lineno or node.lineno) + 1)))


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


@cache
def sites() -> list[Site]:
    """Return all refusals of the package."""
    trees = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
    kinds = {kind.__name__ for kind in (MmsrError, *KINDS)}
    makers = kinds | {
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) in kinds
    }
    collected = []
    for path, tree in trees.items():
        visitor = _Sites(path, makers)
        visitor.visit(tree)
        collected += visitor.found
    return collected


def site_of(error: BaseException | None) -> str:
    """Return the refusal that raised it: the innermost frame of the package."""
    trace: TracebackType | None = error.__traceback__ if error is not None else None
    place = "nowhere", 0
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            place = str(path.relative_to(PACKAGE)), trace.tb_lineno
        trace = trace.tb_next
    return next((str(site) for site in sites() if site.path == place[0] and place[1] in site.lines), f"{place}")


@pytest.mark.usefixtures("_here")
def test_each_refusal_of_the_code_is_reached_or_has_a_reason() -> None:
    by_python = {site_of(refused_by_python(case)) for case in REFUSALS if case.doors.python is not None}
    by_command = {site_of(printed_by_command(case).error) for case in REFUSALS if case.doors.words is not None}
    alone = {
        site_of(refused_by_python(case))
        for case in REFUSALS
        if case.doors.python is not None and case.doors.words is None and case.doors.alone
    }
    all_of_them = {str(site) for site in sites()}
    assert all_of_them - by_python - by_command == UNREACHED.keys()
    assert by_python - by_command <= alone


def test_a_case_with_one_door_says_why() -> None:
    assert all((case.doors.python is None or case.doors.words is None) == bool(case.doors.alone) for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_page_of_errors_is_made_from_the_cases() -> None:
    made = subprocess.run([sys.executable, PAGE, "--check"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
