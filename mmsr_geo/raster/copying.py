"""A raster copied to a Cloud Optimized GeoTIFF, in this process or in one that can be ended; knows GDAL, no torch."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

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
