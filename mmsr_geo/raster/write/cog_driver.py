"""GDAL's COG driver: a trial of creation options on a small raster, and the copy of a raster to a COG; knows GDAL."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from mmsr_geo.errors import OptionError
from mmsr_geo.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmsr_geo.raster.write.encoding import Encoding


_LOCK = threading.Lock()
_FAILURES = (RasterioError, CPLE_BaseError, OSError, SystemError, TypeError)
"""Exceptions of the trial. SystemError: of rasterio, without a reason from GDAL. TypeError: a dtype unknown to GDAL."""
_ROWS = 16
"""Height in pixels of the raster of the trial."""


def check_creation(encoding: Encoding, bands: int = 1, nodata: float | None = None) -> None:
    """Refuse an encoding that GDAL's COG driver cannot write or would write only in part, before any work is done.

    GDAL only warns of options and values that it does not know, and rasterio has no list of them. Therefore a small
    COG, just wide enough for an overview, is written while all warnings are caught. Nodata must be the same after
    reading, which a lossy compression does not ensure.

    Raises:
        OptionError: GDAL refuses or ignores an option, or nodata is not preserved.
    """
    reasons: list[str] = []
    with _collected_warnings(reasons):
        try:
            lost = _count_lost_nodata(encoding, bands, nodata)
        except _FAILURES as error:
            reasons.append(str(error))
            failed = True
        else:
            failed = False
    options = " ".join(f"{key}={value}" for key, value in encoding.creation_options) or "no creation options"
    if failed or (reasons and encoding.creation_options):
        reason = re.sub(r"^CPLE_\w+ in ", "", reasons[0].splitlines()[0]).rstrip(".")
        raise OptionError(
            f"GDAL cannot write a COG of {counted(bands, f'{encoding.dtype} band')} with {options} ({reason}): "
            "use the options that https://gdal.org/en/stable/drivers/raster/cog.html lists"
        )
    if lost:
        raise OptionError(
            f"with {options} nodata is not preserved ({lost} of {bands * _ROWS * _width(encoding)} pixels are wrong "
            "after reading): choose a lossless compression, as in COMPRESS=DEFLATE"
        )


def _width(encoding: Encoding) -> int:
    return int(encoding.creation.get("BLOCKSIZE", 512)) + 16


def _count_lost_nodata(encoding: Encoding, bands: int, nodata: float | None) -> int:
    """Write the COG and return the number of pixels in which nodata and values were exchanged."""
    random = np.random.default_rng(0)
    shape = (bands, _ROWS, _width(encoding))
    creation = encoding.creation
    if creation["NUM_THREADS"] == "ALL_CPUS":  # GDAL's own threads print what fails in them
        creation["NUM_THREADS"] = "1"
    low, high = encoding.range if encoding.is_integer else (-100.0, 100.0)
    values = random.uniform(low, high, shape).astype(encoding.dtype)
    if nodata is not None:
        values[random.random(shape) < 0.2] = nodata
    with MemoryFile(filename="draft.tif") as draft, MemoryFile(filename="cog.tif") as cog:
        with draft.open(
            driver="GTiff",
            dtype=encoding.dtype,
            count=bands,
            height=shape[1],
            width=shape[2],
            transform=Affine(10, 0, 0, 0, -10, 0),
            nodata=nodata,
        ) as dataset:
            dataset.write(values)
        rasterio.shutil.copy(draft.name, cog.name, driver="COG", **creation)
        if nodata is None:
            return 0
        with rasterio.open(cog.name) as dataset:
            read = dataset.read()
    before, after = (np.isnan(pixels) if math.isnan(nodata) else pixels == nodata for pixels in (values, read))
    return int((before != after).sum())


@contextlib.contextmanager
def _collected_warnings(messages: list[str]) -> Iterator[None]:
    """Append the warnings of GDAL in this thread, which rasterio logs, to a list, for any logging configuration."""
    mine = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == mine:
                messages.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logger = logging.getLogger("rasterio")
    with _LOCK:
        before = logger.level, logger.propagate, logging.root.manager.disable
        logger.addHandler(listener)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logging.disable(logging.NOTSET)
        try:
            yield
        finally:
            logger.removeHandler(listener)
            logger.setLevel(before[0])
            logger.propagate = before[1]
            logging.disable(before[2])


IN_PROCESS_PX = 8_000_000
"""Pixels, all bands counted, that GDAL copies within about a second: larger rasters are copied in a separate process,
because GDAL cannot be interrupted while it copies."""
CACHE_MB = 256
"""Block cache of GDAL while it copies, in MB."""
_FAILED = 3
"""Exit status of the separate process after an error of GDAL or of the disk."""


def copy_to_cog(source: Path, output: Path, options: Mapping[str, str]) -> None:
    """Copy a raster to a COG.

    Ends within a second if it is interrupted; the unfinished output must then be removed by the caller.

    Args:
        source: The raster to copy.
        output: The COG to write.
        options: Creation options of GDAL's COG driver.

    Raises:
        OSError: The disk fails.
        RasterioError: GDAL fails.
    """
    with rasterio.open(source) as dataset:
        pixels = math.prod(dataset.shape) * dataset.count
    if pixels <= IN_PROCESS_PX:
        _copy(source, output, options)
        return
    command = [sys.executable, "-m", __name__, str(source), str(output), json.dumps(dict(options))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  (runs this module)
        try:
            _, errors = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        lines = errors.strip().splitlines()
        raise OSError(lines[-1] if lines else f"the process that writes the COG ended with status {process.returncode}")


def _copy(source: Path, output: Path, options: Mapping[str, str]) -> None:
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        rasterio.shutil.copy(source, output, driver="COG", **options)


def _main() -> int:
    source, output, options = sys.argv[1:]
    try:
        _copy(Path(source), Path(output), json.loads(options))
    except (RasterioError, CPLE_BaseError, OSError) as error:
        os.write(2, f"\n{' '.join(str(error.__cause__ or error).splitlines())}\n".encode())
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(_main())
