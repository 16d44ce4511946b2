"""Which creation options GDAL's COG driver takes: tried on a raster of a few pixels, in memory; knows GDAL."""

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmsr_geo.raster.write.encoding import Encoding


_LOCK = threading.Lock()
_FAILURES = (RasterioError, CPLE_BaseError, OSError, SystemError, TypeError)
"""SystemError: rasterio's, where GDAL fails without a word. TypeError: a dtype that this GDAL does not have."""
_ROWS = 16


def check_creation(encoding: Encoding, bands: int = 1, nodata: float | None = None) -> None:
    """Refuse, before any work is done for it, a storage that GDAL's COG driver cannot make or would not make in full.

    GDAL only warns of options and values that it does not know, and rasterio has no list of them: a tiny COG, just wide
    enough for an overview, is made with all warnings caught. Holes must come back from it as they were, which a lossy
    compression does not always grant. Raises OptionError.
    """
    said: list[str] = []
    with _heard(said):
        try:
            lost = _holes_lost(encoding, bands, nodata)
        except _FAILURES as error:
            said.append(str(error))
            failed = True
        else:
            failed = False
    asked = " ".join(f"{key}={value}" for key, value in encoding.creation_options) or "no creation options"
    if failed or (said and encoding.creation_options):
        reason = re.sub(r"^CPLE_\w+ in ", "", said[0].splitlines()[0]).rstrip(".")
        raise OptionError(
            f"GDAL cannot make a COG of {bands} {encoding.dtype} band{'s'[: bands > 1]} with {asked} ({reason}): "
            "use what https://gdal.org/en/stable/drivers/raster/cog.html lists"
        )
    if lost:
        raise OptionError(
            f"with {asked} holes do not stay holes ({lost} of {bands * _ROWS * _width(encoding)} pixels came back "
            "wrong): choose a lossless compression, as in COMPRESS=DEFLATE"
        )


def _width(encoding: Encoding) -> int:
    return int(encoding.creation.get("BLOCKSIZE", 512)) + 16


def _holes_lost(encoding: Encoding, bands: int, nodata: float | None) -> int:
    """Make the COG and return in how many pixels holes and values were mixed up."""
    random = np.random.default_rng(0)
    shape = (bands, _ROWS, _width(encoding))
    creation = encoding.creation
    if creation["NUM_THREADS"] == "ALL_CPUS":  # GDAL's own threads print what fails in them
        creation["NUM_THREADS"] = "1"
    low, high = encoding.range if encoding.is_integer else (-100.0, 100.0)
    values = random.uniform(low, high, shape).astype(encoding.dtype)
    if nodata is not None:
        values[random.random(shape) < 0.2] = nodata
    with MemoryFile(filename="draft.tif") as draft, MemoryFile(filename="cog.tif") as made:
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
        rasterio.shutil.copy(draft.name, made.name, driver="COG", **creation)
        if nodata is None:
            return 0
        with rasterio.open(made.name) as dataset:
            back = dataset.read()
    before, after = (np.isnan(pixels) if math.isnan(nodata) else pixels == nodata for pixels in (values, back))
    return int((before != after).sum())


@contextlib.contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Collect the warnings that rasterio passes on from GDAL in this thread, whatever the logging is set to."""
    mine = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == mine:
                said.append(record.getMessage())

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


HERE_PX = 8_000_000
"""Pixels, bands counted, that GDAL copies within about a second: more of them are copied by a process of its own, since
nothing interrupts GDAL while it copies."""
CACHE_MB = 256
_FAILED = 3


def copy_to_cog(source: Path, output: Path, options: Mapping[str, str]) -> None:
    """Write `output`, a COG of what `source` holds, with creation options of GDAL's COG driver.

    Ends within a second when it is interrupted, and leaves `output` to be removed. Raises OSError or RasterioError.
    """
    with rasterio.open(source) as dataset:
        pixels = math.prod(dataset.shape) * dataset.count
    if pixels <= HERE_PX:
        _copy(source, output, options)
        return
    command = [sys.executable, "-m", __name__, str(source), str(output), json.dumps(dict(options))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  (this very module)
        try:
            _, told = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        lines = told.strip().splitlines()
        raise OSError(lines[-1] if lines else f"the process that copied it ended with status {process.returncode}")


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
