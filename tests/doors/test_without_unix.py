"""The command where the standard library has only what Windows has too: an output, a job, a resumed job."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mypy
import pytest
import rasterio

from support.rasters import SENTINEL_GUIDE, sentinel_crop

pytestmark = pytest.mark.slow

UNIX_MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
TYPESHED = Path(mypy.__file__).parent / "typeshed" / "stdlib"
"""What mypy knows of the standard library, for each platform."""
LIKE_WINDOWS = """\
import importlib, json, sys, types

# Other packages and the standard library itself are those of this system: they are imported first, with all its names.
for name in ("click", "dask.array", "filelock", "fsspec", "jinja2", "matplotlib.figure", "numpy", "odc.geo.geobox",
             "odc.geo.xr", "psutil", "pydantic", "pyproj", "rasterio.shutil", "rasterio.vrt", "rich.console",
             "rich.progress", "rioxarray", "safetensors.torch", "scipy.ndimage", "shapely", "skimage.metrics", "torch",
             "xarray"):
    importlib.import_module(name)
for name, unix_only in json.loads(sys.argv[1]).items():
    kept = types.ModuleType(name)
    vars(kept).update({key: value for key, value in vars(sys.modules[name]).items() if key not in unix_only})
    sys.modules[name] = kept
for name in json.loads(sys.argv[2]):
    sys.modules[name] = None
"""
STOPPED_JOB = """
import mmsr_geo
from mmsr_geo.jobs.journal import os as seen
from mmsr_geo.machine import cores

assert not hasattr(seen, "pread") and not hasattr(seen, "sched_getaffinity") and hasattr(seen, "fsync")
assert cores() >= 1

def stop(stage, done, total):
    if stage == "predict" and done == 3:
        raise KeyboardInterrupt

try:
    mmsr_geo.batch("job.toml", progress=lambda *_: stop)
except KeyboardInterrupt:
    print("stopped")
"""
COMMAND = """
from mmsr_geo.cli.main import main

sys.argv = ["mmsr-geo", *sys.argv[3:]]
main()
"""


def windows_names(module: str) -> set[str]:
    """Return what a module has on Windows."""
    stub = next(path for path in (TYPESHED / module / "__init__.pyi", TYPESHED / f"{module}.pyi") if path.exists())
    windows = {"sys": SimpleNamespace(platform="win32", version_info=sys.version_info)}

    def names(body: list[ast.stmt]) -> Iterator[str]:
        for statement in body:
            match statement:
                case ast.If():
                    holds = eval(compile(ast.Expression(statement.test), module, "eval"), windows)  # noqa: S307  (typeshed's)
                    yield from names(statement.body if holds else statement.orelse)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    yield statement.name
                case ast.AnnAssign(target=ast.Name(name)):
                    yield name
                case ast.Assign(targets=targets):
                    yield from (target.id for target in targets if isinstance(target, ast.Name))
                case ast.ImportFrom() | ast.Import():
                    yield from (each.asname or each.name for each in statement.names)

    return set(names(ast.parse(stub.read_text()).body))


UNIX_NAMES = {
    "os": sorted(set(os.__all__) - windows_names("os")),
    "signal": sorted({name for name in dir(signal) if not name.startswith("_")} - windows_names("signal")),
}


def run(folder: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run code, with the words of a command, where the names of Unix are missing."""
    reported = [json.dumps(UNIX_NAMES), json.dumps(UNIX_MODULES), *words]
    command = [sys.executable, "-c", LIKE_WINDOWS + code, *reported]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, row in (("a", 0), ("b", 8)):
        sentinel_crop(row, 0, 16, 18, 4).source.rio.to_raster(tmp_path / f"{name}.tif")
    shutil.copy(SENTINEL_GUIDE, tmp_path / "g.tif")
    pairs = "".join(f'[[pairs]]\nsource = "{name}.tif"\nguide = "g.tif"\n' for name in "ab")
    options = '[options]\nscale = 4\nmethod = "bicubic+consistency"\ntile_size = 32\n'
    (tmp_path / "job.toml").write_text(f'output = "{{name}}.out.tif"\n{pairs}{options}')
    return tmp_path


def test_the_names_that_are_missing_are_those_of_unix() -> None:
    assert {"fork", "getuid", "killpg", "mkfifo", "pread", "pwrite", "sched_getaffinity", "setsid"} <= {
        *UNIX_NAMES["os"]
    }
    assert {"SIGHUP", "SIGKILL", "SIGUSR1", "pthread_sigmask"} <= {*UNIX_NAMES["signal"]}
    assert not {"open", "fsync", "replace", "kill", "cpu_count", "O_RDWR", "umask", "environ"} & {*UNIX_NAMES["os"]}
    assert not {"SIGINT", "SIGTERM", "signal"} & {*UNIX_NAMES["signal"]}


def test_an_output_a_job_and_a_resumed_job_need_no_name_of_unix(folder: Path) -> None:
    same = ["--scale", "4", "--method", "bicubic+consistency", "--tile-size", "40", "--qa", "qa.tif"]
    done = run(folder, COMMAND, "upsample", "a.tif", "g.tif", "-o", "alone.tif", "--progress", "none", *same)
    assert (done.returncode, done.stderr) == (0, "")
    stopped = run(folder, STOPPED_JOB)
    assert (stopped.stdout, stopped.returncode) == ("stopped\n", 0), stopped.stderr
    resumed = run(folder, COMMAND, "batch", "job.toml", "--progress", "none")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "2 of 6 tiles" in (folder / "job.log").read_text()
    assert "2 done, 0 failed, 0 left" in (folder / "job.log").read_text()
    with rasterio.open(folder / "alone.tif") as alone, rasterio.open(folder / "a.out.tif") as of_job:
        assert (alone.read() == of_job.read()).all()
