"""A hostile input as a case: the files it puts into a folder, what is asked for, and how that must end."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

import mmsr_geo
from support.rasters import georeferenced

UTM = "EPSG:32618"
PLACE = Affine(30, 0, 435_730, 0, -30, 4_176_900)
SHAPE = (20, 24)
OTHER_USER = 65534
QUICK = mmsr_geo.FitParams(steps=4, patch_px=32, threads=1, ensemble=False)
MEMORY_MB = 700
"""What a job on a part of a huge raster may take beyond what the process held."""

Values = NDArray[Any]


@dataclass(frozen=True)
class Target:
    """A right result: what the source holds, physically or raw, and where it lies."""

    values: Values
    """(h, w) or (bands, h, w), NaN in nodata."""
    transform: Affine = PLACE
    crs: str = UTM
    also: Callable[[Path], None] = lambda _: None
    """What else must be true of the file."""
    warned: str = ""
    """What a warning must say."""
    beside: str = ""
    """A file of GDAL's that belongs to the output."""


@dataclass(frozen=True)
class Refusal:
    """A right error: its class, and words of it that name the numbers or the mend."""

    error: type[Exception] | tuple[type[Exception], ...]
    words: str


@dataclass(frozen=True)
class Job:
    """What is asked for."""

    source: Any
    guide: Any
    ends: Target | Refusal
    scale: int | tuple[int, int] | None = 2
    method: str = "bicubic+consistency"
    options: dict[str, Any] = field(default_factory=dict)
    output: str = "sharp.tif"
    as_common_user: bool = False
    largest_file: int | None = None
    """In bytes, which stands for a disk that is full there."""
    memory_mb: int | None = None


Door = Literal["file", "command", "array"]


@dataclass(frozen=True)
class Case:
    """A row of the table."""

    kind: str
    name: str
    make: Callable[[Path], Job]
    ends: type[Target | Refusal]
    doors: tuple[Door, ...]


CASES: list[Case] = []
FILES: tuple[Door, ...] = ("file", "command")
ARRAYS: tuple[Door, ...] = ("file", "array")
Make = Callable[[Path], Job]


def result(kind: str, doors: tuple[Door, ...] = FILES) -> Callable[[Make], Make]:
    """Enter a row that ends in a result."""
    return functools.partial(_entered, kind, Target, doors)


def refused(kind: str, doors: tuple[Door, ...] = FILES) -> Callable[[Make], Make]:
    """Enter a row that ends in an error."""
    return functools.partial(_entered, kind, Refusal, doors)


def _entered(kind: str, ends: type[Target | Refusal], doors: tuple[Door, ...], make: Make) -> Make:
    CASES.append(Case(kind, make.__name__.replace("_", " "), make, ends, doors))
    return make


def scene(height: int = SHAPE[0], width: int = SHAPE[1], *, mean: float = 280.0, spread: float = 9.0) -> Values:
    """Return waves with noise, float32."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(7).normal(0, 0.2, (height, width))
    made = mean + spread * (np.sin(x / 3 + 0.4) * np.cos(y / 4) + noise)
    return np.asarray(made, np.float32)


def texture(bands: int = 2, height: int = 44, width: int = 52) -> Values:
    return np.random.default_rng(3).integers(200, 4000, (bands, height, width)).astype(np.uint16)


def write(path: Path, values: Values, transform: Affine = PLACE, **profile: Any) -> Path:
    """Write (h, w) or (bands, h, w) as a GeoTIFF."""
    values = values if values.ndim == 3 else values[np.newaxis]
    count, height, width = values.shape
    options = {"driver": "GTiff", "crs": UTM, "transform": transform, "dtype": values.dtype, **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", count=count, height=height, width=width, **options) as dataset:
            dataset.write(values)
    return path


def write_source(at: Path, values: Values | None = None, **profile: Any) -> Path:
    return write(at / "source.tif", scene() if values is None else values, **profile)


def write_guide(
    at: Path, values: Values | None = None, step: float = 15, place: Affine = PLACE, **profile: Any
) -> Path:
    """Write a guide with pixels of half a source's that reaches two pixels beyond the source."""
    corner = place * Affine.scale(step / 30) * Affine.translation(-2, -2)
    return write(at / "guide.tif", texture() if values is None else values, corner, **profile)


def array(values: Values | None = None, **options: Any) -> xr.DataArray:
    return georeferenced(scene() if values is None else values, PLACE, **options)


def guide_array() -> xr.DataArray:
    return georeferenced(texture(), PLACE * Affine.scale(0.5) * Affine.translation(-2, -2))


def with_nodata(values: Values, *missing: Any) -> Values:
    """Return float64 with NaN at the places."""
    made = values.astype(np.float64)
    for part in missing:
        made[part] = np.nan
    return made


def vrt(path: Path, shape: tuple[int, int], bands: str, transform: Affine = PLACE, crs: str = UTM) -> Path:
    numbers = ", ".join(map(repr, transform.to_gdal()))
    path.write_text(
        f'<VRTDataset rasterXSize="{shape[1]}" rasterYSize="{shape[0]}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{numbers}</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def vrt_band(source: str, band: int = 1, dtype: str = "Float32", inside: str = "", place: str = "") -> str:
    return (
        f'<VRTRasterBand dataType="{dtype}" band="{band}">{inside}<SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename><SourceBand>{band}</SourceBand>{place}'
        "</SimpleSource></VRTRasterBand>"
    )


def close(path: Path, mode: int = 0o700) -> None:
    """Give a file or a folder to another user, with rights for that user alone."""
    if os.geteuid():
        pytest.skip("only root can give files away")
    path.chmod(mode)
    os.chown(path, OTHER_USER, OTHER_USER)
