"""How a hostile input is run through each door, and what must be true of its result."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

import mmsr_geo
from support.hostile.cases import (
    QUICK,
    Door,
    Job,
    Refusal,
    Target,
    Values,
)


def found_in(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder, hidden or not, by its path: bytes of files, kinds of others."""
    found: dict[str, bytes | str] = {}
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(root, name)
            small = path.is_file() and not path.is_symlink() and path.stat().st_size < 10_000_000
            found[str(path.relative_to(folder))] = path.read_bytes() if small else str(path.lstat().st_mode)
    return found


@contextmanager
def common_user() -> Iterator[None]:
    """Take from root the right to read and write what others have closed.

    It stays root, so that it reads its own files wherever the checkout and its environment are: modules are imported,
    and PROJ's database is read, when they are needed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    rights = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice
    assert libc.capget(header, rights) == 0
    before = rights[0]
    rights[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, rights) == 0
    try:
        yield
    finally:
        rights[0] = before
        assert libc.capset(header, rights) == 0


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def memory_up_to(megabytes: int) -> Iterator[None]:
    """Fail where the process's peak rises by more."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not clear.exists():
        yield
        return

    def held(key: str) -> int:
        return next(int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if line.startswith(key))

    clear.write_text("5")  # the peak is what is held now
    before = held("VmRSS")
    yield
    assert held("VmHWM") - before < megabytes


@contextmanager
def as_asked(job: Job) -> Iterator[None]:
    with ExitStack() as stack:
        if job.memory_mb is not None:
            stack.enter_context(memory_up_to(job.memory_mb))
        if job.largest_file is not None:
            stack.enter_context(files_up_to(job.largest_file))
        if job.as_common_user:
            stack.enter_context(common_user())
        yield


def params_of(job: Job) -> mmsr_geo.FitParams | None:
    return QUICK if job.method == "mmsr" else None


def by_file(job: Job, at: Path) -> None:
    mmsr_geo.upsample_to_file(
        job.source,
        job.guide,
        job.output and at / job.output,
        job.scale,
        method=job.method,
        params=params_of(job),
        if_unhelpful="warn",
        **job.options,
    )


def by_array(job: Job) -> xr.DataArray:
    made: xr.DataArray = job.source.mmsr.upsample(
        job.guide, job.scale, method=job.method, params=params_of(job), if_unhelpful="warn", **job.options
    )
    return made.compute(scheduler="synchronous")


def made_by(door: Door, job: Job, at: Path) -> xr.DataArray | None:
    """Return what an array's door gives; the other writes a file."""
    if door == "array":
        return by_array(job)
    by_file(job, at)
    return None


def words_of(job: Job) -> list[str]:
    """The same for the command."""
    words = ["upsample", str(job.source), str(job.guide), "-o", job.output, "--method", job.method]
    words += ["--progress", "none", "--if-unhelpful", "warn"]
    if job.scale is not None:
        words += ["--scale", "x".join(map(str, job.scale)) if isinstance(job.scale, tuple) else str(job.scale)]
    if job.method == "mmsr":
        words += ["--steps", "4", "--threads", "1"]
    for name, value in job.options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        else:
            words.append(f"{flag}={','.join(map(str, value)) if isinstance(value, tuple) else value}")
    return words


@dataclass(frozen=True)
class CommandResult:
    """What the command left on its streams."""

    status: int
    out: str
    err: str


def assert_target(made: Values, expected: Target, transform: Affine, crs: Any) -> None:
    """Block means are the source's, nodata is where it has it, corners where they were."""
    values = expected.values.astype(np.float64)
    known = np.isfinite(values)
    assert made.ndim == values.ndim
    scale = made.shape[-2] // values.shape[-2], made.shape[-1] // values.shape[-1]
    assert made.shape[-2:] == (values.shape[-2] * scale[0], values.shape[-1] * scale[1])
    assert np.array_equal(np.isfinite(made), known.repeat(scale[0], -2).repeat(scale[1], -1))
    assert not np.isinf(made).any()
    if known.any():
        *rest, height, width = values.shape
        blocks = made.astype(np.float64).reshape(*rest, height, scale[0], width, scale[1]).mean(axis=(-3, -1))
        largest = np.float32(np.abs(values[known]).max())
        step = float(np.spacing(np.nextafter(largest, np.float32(0))))
        allowed = max(1e-5 * float(values[known].std()), 2 * step)
        assert np.abs(blocks - values)[known].max() <= allowed
    place = expected.transform * Affine.scale(1 / scale[1], 1 / scale[0])
    for col, row in ((0, 0), (0, made.shape[-2]), (made.shape[-1], 0), (made.shape[-1], made.shape[-2])):
        there = place * (col, row)
        off = ~place * (transform * (col, row))
        assert off == pytest.approx((col, row), abs=1e-4), there
    assert rasterio.CRS.from_user_input(crs) == rasterio.CRS.from_user_input(expected.crs)


def assert_file(path: Path, expected: Target) -> None:
    with rasterio.open(path) as dataset:
        bands = dataset.read(masked=True).astype(np.float64).filled(np.nan)
        if dataset.tags().get("MMSR_GEO_METHOD") == "nearest":
            bands = bands * dataset.scales[0] + dataset.offsets[0]
        made = bands if expected.values.ndim == 3 else bands[0]
        assert len(bands) == (len(expected.values) if expected.values.ndim == 3 else 1)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert_target(made, expected, dataset.transform, dataset.crs)
    expected.also(path)


def assert_only_the_output_is_new(before: dict[str, bytes | str], at: Path, job: Job) -> None:
    after = found_in(at)
    mine = {os.path.relpath((at / job.output).resolve(), at.resolve())}
    if "qa" in job.options:
        mine.add("qa.tif")
    if isinstance(job.ends, Target) and job.ends.beside:
        mine.add(job.ends.beside)
    assert after.keys() - before.keys() <= mine
    assert {name: after.get(name) for name in before if name not in mine} == {
        name: held for name, held in before.items() if name not in mine
    }


def assert_reported(reported: CommandResult, job: Job, at: Path) -> None:
    assert "Traceback" not in reported.err
    assert reported.out == ""
    if isinstance(job.ends, Refusal):
        assert reported.status == 2
        full = job.output.startswith("disk/") or job.largest_file is not None
        theirs = ("_tiff", "CPLE_") if full else ()  # libtiff and GDAL write of a full disk to stderr themselves
        lines = [line for line in reported.err.splitlines() if not line.startswith(theirs)]
        assert len(lines) == 1, reported.err
        assert lines[0].startswith("Error: ")
        assert re.search(job.ends.words, lines[0]), lines[0]
    else:
        assert (reported.status, reported.err) == (0, "")
        assert_file(at / job.output, job.ends)


def assert_warned(said: list[str], job: Job) -> None:
    assert isinstance(job.ends, Target)
    expected = job.ends.warned
    assert not expected or any(expected in each for each in said), said
    assert all("\n" not in each for each in said)
