"""Whatever archives and users hand over, through every door: a right result by its values, or one line and no trace.

A row is a function that puts its files into a folder and says what is asked for and how that must end. The oracle of
a result is the array that the row itself wrote: its block means, its holes, its corners.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import dask.array as da
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

import mmsr_geo
from mmsr_geo.cli import main as cli
from mmsr_geo.errors import GridError, GuideCoverageError, InputError, OutputError, PixelError
from support.rasters import georeferenced

UTM = "EPSG:32618"
PLACE = Affine(30, 0, 435_730, 0, -30, 4_176_900)
SHAPE = (20, 24)
OTHER_USER = 65534
QUICK = mmsr_geo.FitParams(steps=4, patch_px=32, threads=1)
MEMORY_MB = 700
"""What a job on a part of a huge raster may take beyond what the process held."""

Values = NDArray[Any]


@dataclass(frozen=True)
class Target:
    """A right result: what the source holds, physically or raw, and where it lies."""

    values: Values
    """(h, w) or (bands, h, w), NaN in holes."""
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


# What the rows are made of.


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


def holed(values: Values, *holes: Any) -> Values:
    """Return float64 with NaN at the places."""
    made = values.astype(np.float64)
    for hole in holes:
        made[hole] = np.nan
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


# Files that are cut off.


@refused("truncated file")
def cut_within_the_header(at: Path) -> Job:
    source = write_source(at)
    source.write_bytes(source.read_bytes()[:6])
    return Job(source, write_guide(at), Refusal(InputError, r"source\.tif cannot be opened.*check the path"))


@refused("truncated file")
def cut_within_the_pixels(at: Path) -> Job:
    source = write_source(at, compress="deflate")
    source.write_bytes(source.read_bytes()[:-300])
    return Job(source, write_guide(at), Refusal(InputError, r"source\.tif failed to be read at row 0, column 0"))


@refused("truncated file")
def a_guide_cut_within_the_pixels_of_a_fit(at: Path) -> Job:
    guide = write_guide(at)
    guide.write_bytes(guide.read_bytes()[:-2000])
    refusal = Refusal(InputError, r"guide\.tif failed to be read at row")
    return Job(write_source(at), guide, refusal, method="mmsr")


@result("truncated file")
def cut_within_its_overviews_only(at: Path) -> Job:
    values = scene(40, 48)
    source = write_source(at, values)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(source, "r+") as dataset:
        dataset.build_overviews([2])
    overviews = at / "source.tif.ovr"
    overviews.write_bytes(overviews.read_bytes()[:-1000])
    guide = write_guide(at, texture(2, 84, 100))
    return Job(source, guide, Target(values))


@refused("truncated file")
def a_vrt_cut_in_the_middle(at: Path) -> Job:
    source = vrt(at / "source.vrt", SHAPE, vrt_band("part.tif"))
    source.write_text(source.read_text()[:150])
    return Job(source, write_guide(at), Refusal(InputError, r"source\.vrt cannot be opened"))


# Nothing at all.


@refused("zero size")
def an_empty_file(at: Path) -> Job:
    (at / "source.tif").touch()
    return Job(at / "source.tif", write_guide(at), Refusal(InputError, "cannot be opened"))


@refused("zero size")
def an_empty_guide(at: Path) -> Job:
    (at / "guide.tif").touch()
    return Job(write_source(at), at / "guide.tif", Refusal(InputError, "cannot be opened"), method="mmsr")


@refused("zero size", ARRAYS)
def an_array_without_columns(_: Path) -> Job:
    return Job(array().isel(x=slice(0, 0)), guide_array(), Refusal(InputError, "no pixels.*selection"))


@refused("zero size", ARRAYS)
def an_array_without_slices(_: Path) -> Job:
    empty = array().expand_dims(time=np.array([], "datetime64[ns]"))
    return Job(empty, guide_array(), Refusal(InputError, "no length"))


@refused("zero size", ARRAYS)
def a_guide_without_bands(_: Path) -> Job:
    return Job(array(), guide_array().isel(band=slice(0, 0)), Refusal(InputError, "no pixels"))


# Hardly anything.


@result("one pixel")
def a_source_of_one_pixel(at: Path) -> Job:
    values = np.full((1, 1), 281.5, np.float32)
    return Job(write_source(at, values), write_guide(at), Target(values))


@result("one pixel")
def a_fit_to_one_pixel(at: Path) -> Job:
    values = np.full((1, 1), 281.5, np.float32)
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("one pixel")
def a_guide_of_one_pixel(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(2, 1, 1), PLACE * Affine.scale(24, 20))
    return Job(write_source(at), guide, Target(scene(), warned="larger than the target's"), method="mmsr")


@refused("one pixel", ARRAYS)
def an_array_of_one_pixel_that_does_not_say_its_size(_: Path) -> Job:
    alone = xr.DataArray(np.ones((1, 1), np.float32), dims=("y", "x"), coords={"y": [4e6], "x": [5e5]})
    return Job(alone.rio.write_crs(UTM), guide_array(), Refusal(GridError, r"one pixel wide.*write_transform"))


@result("one pixel")
def one_valid_pixel(at: Path) -> Job:
    values = np.full(SHAPE, np.nan, np.float32)
    values[7, 11] = 291
    return Job(write_source(at, values, nodata=math.nan), write_guide(at), Target(values), method="mmsr")


@result("one row")
def a_source_of_one_row(at: Path) -> Job:
    return Job(write_source(at, scene(1, 24)), write_guide(at), Target(scene(1, 24)), method="mmsr")


@result("one row")
def a_source_of_one_column(at: Path) -> Job:
    return Job(write_source(at, scene(20, 1)), write_guide(at), Target(scene(20, 1)), method="mmsr")


@result("one row")
def one_row_refined_along_itself_only(at: Path) -> Job:
    return Job(write_source(at, scene(1, 24)), write_guide(at), Target(scene(1, 24)), scale=(1, 2))


@refused("one row")
def a_guide_of_one_row(at: Path) -> Job:
    guide = write_guide(at, texture(2, 1, 52), place=PLACE * Affine.translation(0, 2))
    return Job(write_source(at), guide, Refusal(GuideCoverageError, r"covers 2\.5 % of the source.*--bounds"))


# Values that break arithmetic.


@result("infinite values")
def infinities_are_holes(at: Path) -> Job:
    values = scene()
    values[3, 4], values[10, 11:15] = np.inf, -np.inf
    return Job(write_source(at, values), write_guide(at), Target(np.where(np.isfinite(values), values, np.nan)))


@result("infinite values")
def infinities_in_the_guide_of_a_fit(at: Path) -> Job:
    texels = texture().astype(np.float32)
    texels[0, 10:14, 10:14], texels[1, 30, 30] = np.inf, -np.inf
    return Job(write_source(at), write_guide(at, texels), Target(scene()), method="mmsr")


@refused("infinite values")
def a_source_of_infinities_alone(at: Path) -> Job:
    values = np.full(SHAPE, np.inf, np.float32)
    return Job(write_source(at, values), write_guide(at), Refusal(PixelError, "no valid pixel"), method="mmsr")


@result("infinite values")
def infinity_declared_as_nodata(at: Path) -> Job:
    values = scene()
    values[:5] = np.inf
    return Job(write_source(at, values, nodata=np.inf), write_guide(at), Target(holed(scene(), np.s_[:5])))


@result("all equal")
def a_constant_source(at: Path) -> Job:
    values = np.full(SHAPE, 273.25, np.float32)
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("all equal")
def a_source_of_zeros(at: Path) -> Job:
    values = np.zeros(SHAPE, np.float32)
    return Job(write_source(at, values), write_guide(at), Target(values))


@result("all equal")
def a_tiny_constant(at: Path) -> Job:
    values = np.full(SHAPE, 3e-8, np.float32)
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("all equal")
def a_constant_guide(at: Path) -> Job:
    guide = write_guide(at, np.full((2, 44, 52), 1200, np.uint16))
    return Job(write_source(at), guide, Target(scene()), method="mmsr")


@result("all equal")
def a_constant_band_beside_another(at: Path) -> Job:
    texels = texture()
    texels[1] = 65535
    return Job(write_source(at), write_guide(at, texels), Target(scene()), method="mmsr")


@result("1e30 values")
def a_source_in_units_of_1e30(at: Path) -> Job:
    values = scene() * np.float32(1e30)
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("1e30 values")
def one_value_of_1e30_among_others(at: Path) -> Job:
    values = scene()
    values[9, 9] = 1e30
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("1e30 values")
def a_guide_in_units_of_1e30(at: Path) -> Job:
    texels = texture().astype(np.float32) * np.float32(1e30)
    return Job(write_source(at), write_guide(at, texels), Target(scene()), method="mmsr")


@result("1e30 values")
def a_guide_with_one_value_of_1e30(at: Path) -> Job:
    texels = texture().astype(np.float32)
    texels[0, 20, 20] = 1e30
    return Job(write_source(at), write_guide(at, texels), Target(scene()), method="mmsr")


@result("1e30 values")
def the_least_float_undeclared_in_a_corner(at: Path) -> Job:
    values = scene()
    values[:8, :8] = np.finfo(np.float32).min
    target = Target(values, warned="--source-nodata")
    return Job(write_source(at, values), write_guide(at), target)


@result("1e-30 values")
def a_source_in_units_of_1e_minus_30(at: Path) -> Job:
    values = scene() * np.float32(1e-30)
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("1e-30 values")
def a_flux_in_kilograms_a_second(at: Path) -> Job:
    values = scene(mean=3e-8, spread=1e-8)
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("1e-30 values")
def a_guide_in_units_of_1e_minus_30(at: Path) -> Job:
    texels = texture().astype(np.float32) * np.float32(1e-30)
    return Job(write_source(at), write_guide(at, texels), Target(scene()), method="mmsr")


@result("1e-30 values")
def denormal_numbers(at: Path) -> Job:
    values = (scene() * np.float32(1e-30)) * np.float32(1e-12)
    return Job(write_source(at, values), write_guide(at), Target(values))


# Kinds of numbers.


def _of_dtype(at: Path, dtype: str, mean: float, spread: float, method: str) -> Job:
    values = np.clip(np.rint(scene(mean=mean, spread=spread).astype(np.float64)), *_limits(dtype)).astype(dtype)
    return Job(write_source(at, values), write_guide(at), Target(values), method=method)


def _limits(dtype: str) -> tuple[float, float]:
    return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


@result("integers")
def bytes_with_a_sign(at: Path) -> Job:
    return _of_dtype(at, "int8", 0, 90, "mmsr")


@result("integers")
def bytes_at_both_ends(at: Path) -> Job:
    return _of_dtype(at, "uint8", 128, 200, "bicubic+consistency")


@result("integers")
def shorts_at_both_ends(at: Path) -> Job:
    return _of_dtype(at, "uint16", 32768, 40000, "mmsr")


@result("integers")
def integers_beyond_what_floats_count(at: Path) -> Job:
    return _of_dtype(at, "int32", 2e9, 1000, "mmsr")


@result("integers")
def integers_of_64_bits(at: Path) -> Job:
    return _of_dtype(at, "int64", -4e12, 1e6, "bicubic+consistency")


@result("double precision")
def small_changes_on_a_large_number(at: Path) -> Job:
    values = 1e9 + scene().astype(np.float64)
    return Job(write_source(at, values), write_guide(at), Target(values), method="mmsr")


@result("double precision")
def values_that_float32_cannot_hold(at: Path) -> Job:
    values = scene().astype(np.float64)
    values[4, 5], values[12:14, 3] = 1e300, -1e39
    target = Target(holed(scene(), np.s_[4, 5], np.s_[12:14, 3]))
    return Job(write_source(at, values), write_guide(at), target)


@result("double precision")
def the_least_double_as_nodata(at: Path) -> Job:
    least = float(np.finfo(np.float64).min)
    values = scene().astype(np.float64)
    values[:, :6] = least
    return Job(write_source(at, values, nodata=least), write_guide(at), Target(holed(scene(), np.s_[:, :6])))


@result("double precision")
def a_guide_of_doubles_beyond_float32(at: Path) -> Job:
    texels = texture().astype(np.float64)
    texels[0, 10:13, 10:13] = 1e200
    return Job(write_source(at), write_guide(at, texels), Target(scene()), method="mmsr")


@refused("no quantity")
def complex_numbers(at: Path) -> Job:
    source = write_source(at, scene().astype(np.complex64))
    return Job(source, write_guide(at), Refusal(InputError, "complex numbers: give its amplitude"))


@refused("no quantity")
def complex_integers_in_a_guide(at: Path) -> Job:
    write(at / "part.tif", texture(1)[0].astype(np.int16))
    corner = PLACE * Affine.scale(0.5) * Affine.translation(-2, -2)
    guide = vrt(at / "guide.vrt", (44, 52), vrt_band("part.tif", dtype="CInt16"), corner)
    return Job(write_source(at), guide, Refusal(InputError, "complex"))


@refused("no quantity")
def a_colour_table(at: Path) -> Job:
    source = write_source(at, np.arange(480, dtype=np.uint8).reshape(SHAPE))
    with rasterio.open(source, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255), 1: (0, 255, 0, 255)})
    return Job(source, write_guide(at), Refusal(InputError, "colour table: give the quantity"))


@refused("no quantity", ARRAYS)
def dates(_: Path) -> Job:
    days = array().copy(data=np.full(SHAPE, np.datetime64("2024-05-01", "ns")))
    return Job(days, guide_array(), Refusal(InputError, "datetime64.*convert it to numbers"))


@refused("no quantity", ARRAYS)
def objects_and_texts(_: Path) -> Job:
    texts = array().copy(data=scene().astype(object))
    return Job(texts, guide_array(), Refusal(InputError, "object, no quantity"))


# Scale and offset.


def _tagged(at: Path, scale: float, offset: float) -> Path:
    source = write_source(at, (scene() * 10).astype(np.int16))
    with rasterio.open(source, "r+") as dataset:
        dataset.scales, dataset.offsets = (scale,), (offset,)
    return source


@result("scale and offset")
def tags_are_passed_on_with_raw_values(at: Path) -> Job:
    def same_tags(path: Path) -> None:
        with rasterio.open(path) as dataset:
            assert (dataset.scales, dataset.offsets) == ((0.1,), (-40.0,))

    source = _tagged(at, 0.1, -40)
    return Job(source, write_guide(at), Target((scene() * 10).astype(np.int16), also=same_tags))


@result("scale and offset")
def a_scale_of_zero_does_not_touch_the_pixels(at: Path) -> Job:
    return Job(_tagged(at, 0, 5), write_guide(at), Target((scene() * 10).astype(np.int16)))


@result("scale and offset")
def a_scale_that_is_no_number_does_not_touch_the_pixels(at: Path) -> Job:
    return Job(
        _tagged(at, math.nan, math.inf),
        write_guide(at),
        Target((scene() * 10).astype(np.int16), beside="sharp.tif.aux.xml"),
    )


@refused("scale and offset")
def a_scale_that_is_no_number_cannot_be_rescaled(at: Path) -> Job:
    words = "scale nan and offset 0, which cannot be rescaled: mend its tags"
    options = {"scale_factor": 0.5}
    return Job(_tagged(at, math.nan, 0), write_guide(at), Refusal(mmsr_geo.OptionError, words), options=options)


@result("scale and offset")
def a_target_in_tenths_of_a_byte_is_clipped_and_told(at: Path) -> Job:
    values = np.full(SHAPE, 12.0, np.float32)
    values[:, 12:] = 30
    clipped = np.minimum(values, 25.4)  # 255 is nodata

    def at_its_end(path: Path) -> None:
        with rasterio.open(path) as dataset:
            assert dataset.dtypes == ("uint8",)
            assert dataset.read(1)[:, -4:].min() == 254

    options = {"dtype": "uint8", "scale_factor": 0.1}
    target = Target(clipped, also=at_its_end, warned="were clipped: pass a wider --dtype")
    return Job(write_source(at, values), write_guide(at), target, options=options, method="nearest")


# Nodata.


@result("nodata")
def nodata_outside_of_the_types_range(at: Path) -> Job:
    values = np.clip(scene(mean=128), 0, 255).astype(np.uint8)
    write(at / "part.tif", values)
    band = vrt_band("part.tif", dtype="Byte", inside="<NoDataValue>-9999</NoDataValue>")
    return Job(vrt(at / "source.vrt", SHAPE, band), write_guide(at), Target(values))


@result("nodata")
def nodata_that_is_no_number_among_integers(at: Path) -> Job:
    values = scene().astype(np.int16)
    write(at / "part.tif", values)
    band = vrt_band("part.tif", dtype="Int16", inside="<NoDataValue>nan</NoDataValue>")
    return Job(vrt(at / "source.vrt", SHAPE, band), write_guide(at), Target(values))


@result("nodata")
def nodata_that_a_float_only_comes_near_to(at: Path) -> Job:
    values = scene()
    values[2:5, 2:5] = np.float32(-9999.9)
    target = Target(holed(scene(), np.s_[2:5, 2:5]))
    return Job(write_source(at, values, nodata=-9999.9), write_guide(at), target)


@result("nodata")
def each_band_of_the_guide_has_its_own(at: Path) -> Job:
    texels = texture().astype(np.int16)
    texels[0, 10:20, 10:20], texels[1, 30:34, 30:34] = -1, -2
    write(at / "part.tif", texels)
    bands = "".join(vrt_band("part.tif", band, "Int16", f"<NoDataValue>{-band}</NoDataValue>", "") for band in (1, 2))
    corner = PLACE * Affine.scale(0.5) * Affine.translation(-2, -2)
    guide = vrt(at / "guide.vrt", (44, 52), bands, corner)

    def flagged(path: Path) -> None:
        with rasterio.open(path.with_name("qa.tif")) as dataset:
            missing = (dataset.read(1) & int(mmsr_geo.Flag.GUIDE_MISSING)) > 0
        assert missing[8:18, 8:18].all()
        assert missing[28:32, 28:32].all()
        assert not missing[36:, :].any()

    return Job(
        write_source(at), guide, Target(scene(), also=flagged), method="mmsr", options={"qa": str(at / "qa.tif")}
    )


@result("nodata")
def undeclared_nodata_is_suspected_and_taken_when_named(at: Path) -> Job:
    values = scene()
    values[:4] = -9999
    target = Target(holed(scene(), np.s_[:4]))
    return Job(write_source(at, values), write_guide(at), target, options={"source_nodata": -9999}, method="mmsr")


# Masks.


@result("masks")
def alpha_beside_a_source(at: Path) -> Job:
    values = scene().astype(np.uint16)
    alpha = np.full(SHAPE, 65535, np.uint16)
    alpha[5:9, 5:9] = 0
    source = write_source(at, np.stack([values, alpha]), photometric="MINISBLACK", alpha="YES")
    return Job(source, write_guide(at), Target(holed(values, np.s_[5:9, 5:9])))


@result("masks")
def a_mask_band_within_the_file(at: Path) -> Job:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        source = write_source(at)
        with rasterio.open(source, "r+") as dataset:
            mask = np.full(SHAPE, 255, np.uint8)
            mask[0, 0], mask[12:, 20:] = 0, 0
            dataset.write_mask(mask)
    return Job(source, write_guide(at), Target(holed(scene(), np.s_[0, 0], np.s_[12:, 20:])), method="mmsr")


@result("masks")
def a_mask_in_a_file_beside(at: Path) -> Job:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        source = write_source(at)
        with rasterio.open(source, "r+") as dataset:
            mask = np.full(SHAPE, 255, np.uint8)
            mask[3:6] = 0
            dataset.write_mask(mask)
    assert (at / "source.tif.msk").exists()
    return Job(source, write_guide(at), Target(holed(scene(), np.s_[3:6])))


@result("masks")
def a_picture_with_alpha_as_the_guide(at: Path) -> Job:
    texels = (texture(4) // 16).astype(np.uint8)
    texels[3] = 255
    texels[3, :20, :20] = 0
    guide = write_guide(at, texels, photometric="RGB", alpha="YES")
    with rasterio.open(guide) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    return Job(write_source(at), guide, Target(scene()), method="mmsr")


@refused("masks")
def alpha_that_hides_all(at: Path) -> Job:
    texels = (texture(4) // 16).astype(np.uint8)
    texels[3] = 0
    guide = write_guide(at, texels, photometric="RGB", alpha="YES")
    return Job(write_source(at), guide, Refusal(PixelError, "no valid pixel in common"), method="mmsr")


# Where rasters lie.


@refused("wrong CRS")
def degrees_declared_as_metres(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(), Affine(1e-4, 0, -75.73, 0, -1e-4, 37.74))
    words = r"does not overlap the source: the source lies at 435730.*mend a wrong CRS"
    return Job(write_source(at), guide, Refusal(GridError, words))


@refused("wrong CRS")
def the_zone_beside(at: Path) -> Job:
    guide = write_guide(at, crs="EPSG:32617")
    return Job(write_source(at), guide, Refusal(GridError, "does not overlap"))


@refused("wrong CRS")
def no_crs(at: Path) -> Job:
    return Job(write_source(at, crs=None), write_guide(at), Refusal(GridError, "has no CRS: assign"))


@refused("wrong CRS")
def a_guide_of_the_moon(at: Path) -> Job:
    moon = "+proj=longlat +R=1737400 +no_defs +type=crs"
    guide = write(at / "guide.tif", texture(), Affine(1e-4, 0, -75.73, 0, -1e-4, 37.74), crs=moon)
    return Job(write_source(at), guide, Refusal(GridError, "."))


@refused("wrong CRS")
def a_plan_in_local_metres(at: Path) -> Job:
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    return Job(write_source(at), write_guide(at, crs=local), Refusal(GridError, "."))


@refused("swapped axes")
def latitude_in_the_place_of_longitude(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(), Affine(1e-3, 0, 37.7, 0, -1e-3, -75.7), crs="EPSG:4326")
    return Job(write_source(at), guide, Refusal(GridError, "does not overlap the source.*W,S,E,N"))


@result("swapped axes", ("array",))  # a file has its rows down
def dims_in_the_order_x_y(_: Path) -> Job:
    return Job(array().transpose("x", "y"), guide_array(), Target(scene().T), method="mmsr")


@result("swapped axes", ARRAYS)
def bands_last(_: Path) -> Job:
    return Job(array(), guide_array().transpose("y", "x", "band"), Target(scene()), method="mmsr")


@refused("swapped axes")
def bounds_with_north_before_south(at: Path) -> Job:
    options = {"bounds": (435_800, 4_176_800, 436_000, 4_176_600)}
    return Job(write_source(at), write_guide(at), Refusal(GridError, "W < E and S < N"), options=options)


@refused("not placed")
def ground_control_points_only(at: Path) -> Job:
    corners = [(0, 0), (0, 24), (20, 0), (20, 24)]
    points = [GroundControlPoint(row, col, 435_730 + 30 * col, 4_176_900 - 30 * row) for row, col in corners]
    source = write_source(at, transform=Affine.identity(), gcps=points)
    return Job(source, write_guide(at), Refusal(GridError, "ground control points only: warp it"))


@refused("not placed")
def no_transform(at: Path) -> Job:
    source = write_source(at, transform=Affine.identity())
    return Job(source, write_guide(at), Refusal(GridError, "not georeferenced: give it a geotransform"))


@refused("not placed")
def pixels_of_no_size(at: Path) -> Job:
    write(at / "part.tif", scene())
    source = vrt(at / "source.vrt", SHAPE, vrt_band("part.tif"), Affine(0, 0, 435_730, 0, 0, 4_176_900))
    words = r"source\.vrt has the transform 0,0,435730,0,0,4176900, by which its pixels have no size"
    return Job(source, write_guide(at), Refusal(GridError, words))


@refused("not placed")
def a_transform_that_is_no_number(at: Path) -> Job:
    write(at / "part.tif", texture())
    bands = vrt_band("part.tif", dtype="UInt16")
    guide = vrt(at / "guide.vrt", (44, 52), bands, Affine(math.nan, 0, 435_730, 0, -15, 4_176_900))
    words = r"guide\.vrt has the transform nan.*give it a real one"
    return Job(write_source(at), guide, Refusal(GridError, words))


@refused("not placed")
def a_corner_at_infinity(at: Path) -> Job:
    write(at / "part.tif", scene())
    source = vrt(at / "source.vrt", SHAPE, vrt_band("part.tif"), Affine(30, 0, math.inf, 0, -30, 4_176_900))
    return Job(source, write_guide(at), Refusal(GridError, "transform 30,0,inf.*give it a real one"))


@result("turned")
def south_up(at: Path) -> Job:
    place = Affine(30, 0, 435_730, 0, 30, 4_176_300)
    return Job(write_source(at, transform=place), write_guide(at), Target(scene(), place), method="mmsr")


@result("turned")
def east_to_west(at: Path) -> Job:
    place = Affine(-30, 0, 435_730 + 24 * 30, 0, -30, 4_176_900)
    return Job(write_source(at, transform=place), write_guide(at), Target(scene(), place))


@result("turned")
def rotated(at: Path) -> Job:
    place = PLACE * Affine.rotation(25) * Affine.scale(0.5)
    guide = write_guide(at, texture(2, 100, 100), place=PLACE * Affine.translation(-10, -10))
    return Job(write_source(at, transform=place), guide, Target(scene(), place), scale=3)


@result("turned")
def a_rotated_guide(at: Path) -> Job:
    guide = write(
        at / "guide.tif",
        texture(2, 120, 120),
        PLACE * Affine.translation(12, -20) * Affine.rotation(45) * Affine.scale(0.5),
    )
    return Job(write_source(at), guide, Target(scene()), method="mmsr")


@refused("guide elsewhere")
def a_guide_shifted_by_half_of_the_source(at: Path) -> Job:
    guide = write_guide(at, place=PLACE * Affine.translation(12, 0))
    words = r"covers 54\.\d % of the source \(needs 95 %\); crop the source"
    return Job(write_source(at), guide, Refusal(GuideCoverageError, words))


@result("guide elsewhere")
def half_a_guide_that_was_allowed(at: Path) -> Job:
    guide = write_guide(at, place=PLACE * Affine.translation(12, 0))
    return Job(write_source(at), guide, Target(scene()), method="mmsr", options={"min_coverage": 0.5})


@refused("guide elsewhere")
def a_guide_that_only_touches_the_source(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(), PLACE * Affine.translation(24, 0) * Affine.scale(0.5))
    options = {"min_coverage": 0}
    return Job(write_source(at), guide, Refusal(GridError, "does not overlap"), options=options)


@refused("guide elsewhere")
def bounds_beside_the_source(at: Path) -> Job:
    options = {"bounds": (0, 0, 10, 10)}
    words = "do not meet the raster at 435730.*EPSG:32618"
    return Job(write_source(at), write_guide(at), Refusal(GridError, words), options=options)


@refused("guide is no finer")
def a_coarser_guide(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(2, 8, 8), PLACE * Affine.scale(4))
    return Job(write_source(at), guide, Refusal(GridError, "hardly finer.*give a finer guide"), scale=None)


@result("guide is no finer")
def a_coarser_guide_with_a_scale(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(2, 8, 8), PLACE * Affine.scale(4))
    return Job(write_source(at), guide, Target(scene(), warned="larger than the target's"), method="mmsr")


@refused("guide is no finer")
def the_same_file_as_source_and_guide(at: Path) -> Job:
    source = write_source(at)
    return Job(
        source,
        source,
        Refusal(GridError, r"scale under 2: the guide.s pixels \(30\.01 m\).*give a finer guide"),
        scale=None,
    )


@result("guide is no finer")
def the_same_file_with_a_scale(at: Path) -> Job:
    source = write_source(at)
    return Job(source, source, Target(scene(), warned="larger than the target's"), method="mmsr")


@refused("guide is no finer")
def a_guide_a_thousand_times_finer(at: Path) -> Job:
    guide = write(at / "guide.tif", texture(1, 20, 24), Affine(0.03, 0, 435_730, 0, -0.03, 4_176_900))
    words = "scale 1000 is above 64: pass a smaller .*average the guide"
    small = write_source(at, scene(2, 2), transform=Affine(30, 0, 435_730, 0, -30, 4_176_900))
    return Job(small, guide, Refusal(GridError, words), scale=None, options={"min_coverage": 0})


# Holes.


@refused("holes")
def a_guide_of_holes_alone(at: Path) -> Job:
    guide = write_guide(at, np.zeros((2, 44, 52), np.uint16), nodata=0)
    return Job(write_source(at), guide, Refusal(PixelError, "no valid pixel in common"), method="mmsr")


@result("holes")
def a_guide_with_holes_everywhere(at: Path) -> Job:
    texels = texture()
    texels[0, ::3, ::3], texels[1, 1::3, 1::3] = 0, 0
    return Job(write_source(at), write_guide(at, texels, nodata=0), Target(scene()), method="mmsr")


@result("holes")
def a_chessboard_of_holes(at: Path) -> Job:
    board = np.indices(SHAPE).sum(axis=0) % 2 == 0
    values = np.where(board, -1, scene()).astype(np.float32)
    target = Target(np.where(board, np.nan, scene()))
    return Job(write_source(at, values, nodata=-1), write_guide(at), target, method="mmsr")


@refused("holes")
def a_source_of_holes_alone(at: Path) -> Job:
    source = write_source(at, np.full(SHAPE, -9999, np.int16), nodata=-9999)
    return Job(source, write_guide(at), Refusal(PixelError, "no valid pixel"), method="mmsr")


@result("holes")
def a_source_of_holes_alone_interpolated(at: Path) -> Job:
    source = write_source(at, np.full(SHAPE, -9999, np.int16), nodata=-9999)
    return Job(source, write_guide(at), Target(np.full(SHAPE, np.nan)))


# Many bands, huge rasters.


@result("300 bands")
def a_guide_of_300_bands(at: Path) -> Job:
    return Job(write_source(at), write_guide(at, texture(300)), Target(scene()), method="mmsr")


@result("300 bands")
def a_source_of_300_bands(at: Path) -> Job:
    values = scene(4, 5) + np.arange(300, dtype=np.float32)[:, None, None]
    return Job(write_source(at, values), write_guide(at), Target(values))


@result("300 bands")
def one_of_300_bands(at: Path) -> Job:
    guide = write_guide(at, texture(300))
    return Job(write_source(at), guide, Target(scene()), method="mmsr", options={"guide_band": "300"})


@refused("300 bands")
def the_301st_of_300_bands(at: Path) -> Job:
    guide = write_guide(at, texture(300))
    options = {"guide_band": "301"}
    return Job(write_source(at), guide, Refusal(InputError, "no data band 301"), options=options)


HUGE = Affine(30, 0, -10_000_000, 0, -30, 20_000_000)
HUGE_PX = 1_000_000
"""The source's pixels begin 400 000 pixels in."""


def _sparse(path: Path, values: Values, transform: Affine, start: int, **profile: Any) -> Path:
    """Write a raster of 1e6 x 1e6 pixels that holds nothing but `values`, from (start, start) on."""
    count, height, width = values.shape
    options = {"tiled": True, "blockxsize": 1024, "blockysize": 1024, "BIGTIFF": "YES", "SPARSE_OK": "TRUE"}
    shape = {"count": count, "height": HUGE_PX, "width": HUGE_PX}
    with rasterio.open(
        path, "w", driver="GTiff", crs=UTM, transform=transform, dtype=values.dtype, **shape, **options, **profile
    ) as dataset:
        dataset.write(values, window=Window(start, start, width, height))
    assert path.stat().st_size < 100e6
    return path


HUGE_PART = PLACE * Affine.translation(-400_000, -400_000)


@result("huge declared size")
def a_part_of_a_source_of_1e12_pixels(at: Path) -> Job:
    source = _sparse(at / "source.tif", scene()[np.newaxis], HUGE_PART, 400_000, nodata=-9999)
    west, south, east, north = 435_730, 4_176_300, 436_450, 4_176_900
    options = {"bounds": (west, south, east, north)}
    return Job(source, write_guide(at), Target(scene()), method="mmsr", options=options, memory_mb=MEMORY_MB)


@refused("huge declared size")
def all_of_a_source_of_1e12_pixels(at: Path) -> Job:
    source = _sparse(at / "source.tif", scene()[np.newaxis], HUGE_PART, 400_000, nodata=-9999)
    guide = write(at / "guide.tif", texture(), PLACE * Affine.translation(-400_000, -400_000) * Affine.scale(23_000))
    refusal = Refusal(OutputError, r"needs 16\d{3}\.\d GB to be written, and .* GB are free: make room")
    return Job(source, guide, refusal, memory_mb=MEMORY_MB)


@result("huge declared size")
def a_guide_of_1e12_pixels(at: Path) -> Job:
    corner = PLACE * Affine.translation(-200_001, -200_001) * Affine.scale(0.5)
    guide = _sparse(at / "guide.tif", texture(), corner, 400_000, nodata=0)
    return Job(write_source(at), guide, Target(scene()), method="mmsr", memory_mb=MEMORY_MB)


@result("huge declared size")
def a_part_of_a_vrt_as_large_as_they_come(at: Path) -> Job:
    write(at / "part.tif", scene())
    place = '<SrcRect xOff="0" yOff="0" xSize="24" ySize="20"/><DstRect xOff="7" yOff="9" xSize="24" ySize="20"/>'
    shape = (10_000_000, 10_000_000)
    source = vrt(at / "source.vrt", shape, vrt_band("part.tif", place=place), PLACE * Affine.translation(-7, -9))
    options = {"bounds": (435_730, 4_176_300, 436_450, 4_176_900)}
    return Job(source, write_guide(at), Target(scene()), options=options, memory_mb=MEMORY_MB)


@result("huge declared size", ARRAYS)
def a_part_of_a_lazy_array_of_1e10_pixels(_: Path) -> Job:
    values = da.zeros((100_000, 100_000), chunks=10_000, dtype=np.float32) + np.float32(7)
    west, north = 435_730, 4_176_900
    y, x = north - 15 - 30 * np.arange(100_000), west + 15 + 30 * np.arange(100_000)
    source = xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x}).rio.write_crs(UTM)
    options = {"bounds": (west, north - 600, west + 720, north)}
    return Job(source, guide_array(), Target(np.full(SHAPE, 7.0)), options=options, memory_mb=2 * MEMORY_MB)


# Closed doors.


@refused("closed to this user")
def a_source_of_another_user(at: Path) -> Job:
    source = write_source(at)
    close(source)
    words = r"source\.tif cannot be opened.*[Pp]ermission denied"
    return Job(source, write_guide(at), Refusal(InputError, words), as_common_user=True)


@refused("closed to this user")
def a_guide_in_a_closed_folder(at: Path) -> Job:
    (at / "closed").mkdir()
    guide = write_guide(at / "closed")
    close(at / "closed")
    words = r"guide\.tif cannot be opened.*[Pp]ermission denied"
    return Job(write_source(at), guide, Refusal(InputError, words), as_common_user=True)


@refused("closed to this user")
def a_folder_closed_to_writing(at: Path) -> Job:
    (at / "closed").mkdir()
    close(at / "closed", 0o755)
    words = "cannot be written to.*Permission denied.*choose another"
    return Job(
        write_source(at), write_guide(at), Refusal(OutputError, words), output="closed/sharp.tif", as_common_user=True
    )


@refused("closed to this user")
def a_folder_that_cannot_be_looked_into(at: Path) -> Job:
    (at / "closed").mkdir()
    close(at / "closed")
    refusal = Refusal(OutputError, "closed.*choose another|closed.*create it first")
    return Job(write_source(at), write_guide(at), refusal, output="closed/sharp.tif", as_common_user=True)


@refused("output in the way")
def an_output_that_exists(at: Path) -> Job:
    (at / "sharp.tif").write_text("mine")
    return Job(write_source(at), write_guide(at), Refusal(OutputError, "exists.*--overwrite"))


@refused("output in the way")
def the_source_as_the_output(at: Path) -> Job:
    refusal = Refusal(OutputError, "is also an input.*which would be lost: give the output another name")
    return Job(write_source(at), write_guide(at), refusal, output="source.tif", method="mmsr")


@refused("output in the way")
def an_output_that_is_a_folder(at: Path) -> Job:
    (at / "sharp.tif").mkdir()
    refusal = Refusal(OutputError, "is a folder: give the name of a file")
    return Job(write_source(at), write_guide(at), refusal, options={"overwrite": True})


@refused("output in the way")
def an_output_that_is_a_pipe(at: Path) -> Job:
    os.mkfifo(at / "sharp.tif")
    refusal = Refusal(OutputError, "is a pipe or a device.*give the name of a file")
    return Job(write_source(at), write_guide(at), refusal, options={"overwrite": True})


@refused("output in the way")
def the_source_to_be_replaced(at: Path) -> Job:
    refusal = Refusal(OutputError, "is also an input.*which would be lost: give the output another name")
    options = {"overwrite": True}
    return Job(write_source(at), write_guide(at), refusal, output="source.tif", options=options, method="mmsr")


@result("output replaced")
def an_output_replaced_when_that_is_asked_for(at: Path) -> Job:
    (at / "sharp.tif").write_bytes(b"of last year")
    return Job(write_source(at), write_guide(at), Target(scene()), options={"overwrite": True}, method="mmsr")


@refused("no place for the output")
def a_folder_that_is_missing(at: Path) -> Job:
    refusal = Refusal(OutputError, "does not exist: create it first")
    return Job(write_source(at), write_guide(at), refusal, output="none/sharp.tif")


@refused("no place for the output")
def a_folder_that_is_a_file(at: Path) -> Job:
    (at / "file").touch()
    refusal = Refusal(OutputError, "file does not exist: create it first|file is no folder")
    return Job(write_source(at), write_guide(at), refusal, output="file/sharp.tif")


@refused("no place for the output")
def a_name_longer_than_names_can_be(at: Path) -> Job:
    refusal = Refusal(OutputError, "is a name of 304 bytes: give one of 240 at most")
    return Job(write_source(at), write_guide(at), refusal, output="s" * 300 + ".tif")


@refused("no place for the output")
def no_name_at_all(at: Path) -> Job:
    return Job(write_source(at), write_guide(at), Refusal(OutputError, "is a folder"), output="")


@result("no place for the output")
def a_name_as_long_as_names_can_be(at: Path) -> Job:
    return Job(write_source(at), write_guide(at), Target(scene()), output="s" * 236 + ".tif")


# A disk that fills up.


def _small_disk(at: Path, size: str) -> Path:
    folder = at / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    return folder


def _noisy_pair(at: Path) -> tuple[Path, Path, Values]:
    """A pair whose target fills a file of 1 MiB, compressed or not."""
    values = np.random.default_rng(1).normal(280, 9, (250, 250)).astype(np.float32)
    return write_source(at, values), write_guide(at, texture(1, 504, 504)), values


@refused("full disk")
def a_disk_too_small_for_the_draft(at: Path) -> Job:
    _small_disk(at, "900k")
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(OutputError, r"needs 0\.0\d* GB to be written, and .* free: make room|needs .* MB.*make room")
    return Job(source, guide, refusal, output="disk/sharp.tif")


@refused("full disk")
def a_disk_that_fills_up_while_the_cog_is_made(at: Path) -> Job:
    _small_disk(at, "1200k")
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(OutputError, r"could not be written.*free\): make room")
    return Job(source, guide, refusal, output="disk/sharp.tif")


@refused("full disk")
def a_full_disk_keeps_what_was_there(at: Path) -> Job:
    disk = _small_disk(at, "1200k")
    (disk / "sharp.tif").write_bytes(b"mine" * 1000)
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(OutputError, r"could not be written.*free\): make room")
    return Job(source, guide, refusal, output="disk/sharp.tif", options={"overwrite": True})


@refused("full disk")
def files_that_may_not_grow_further(at: Path) -> Job:
    source, guide, _ = _noisy_pair(at)
    refusal = Refusal(OutputError, r"could not be written.*make room")
    return Job(source, guide, refusal, largest_file=700_000)


@result("full disk")
def a_disk_that_just_has_room(at: Path) -> Job:
    _small_disk(at, "3m")
    source, guide, values = _noisy_pair(at)
    return Job(source, guide, Target(values), output="disk/sharp.tif")


# Paths.


@result("odd path")
def spaces_and_letters_of_all_kinds(at: Path) -> Job:
    folder = at / "Größe Ünïcode 北京 (1) [b04] %20 '\" & ;"
    folder.mkdir()
    output = f"{folder.name}/schärfer als 東京.tif"
    return Job(write_source(folder), write_guide(folder), Target(scene()), output=output, method="mmsr")


@result("odd path")
def links_to_files(at: Path) -> Job:
    (at / "far").mkdir()
    (at / "link.tif").symlink_to(write_source(at / "far"))
    (at / "linked").symlink_to(at / "far")
    write_guide(at / "far")
    return Job(at / "link.tif", at / "linked" / "guide.tif", Target(scene()), output="linked/sharp.tif")


@result("odd path")
def a_file_within_a_zip(at: Path) -> Job:
    source = write_source(at)
    with zipfile.ZipFile(at / "delivery.zip", "w") as packed:
        packed.write(source, "data/source.tif")
    source.unlink()
    path = f"/vsizip/{at}/delivery.zip/data/source.tif"
    return Job(path, write_guide(at), Target(scene()), method="mmsr")


@refused("odd path")
def a_file_that_the_zip_does_not_hold(at: Path) -> Job:
    with zipfile.ZipFile(at / "delivery.zip", "w") as packed:
        packed.writestr("readme.txt", "nothing here")
    path = f"/vsizip/{at}/delivery.zip/data/source.tif"
    return Job(path, write_guide(at), Refusal(InputError, "cannot be opened.*check the path"))


@refused("odd path")
def a_name_of_two_lines(at: Path) -> Job:
    return Job(str(at / "two\nlines.tif"), write_guide(at), Refusal(InputError, "cannot be opened"))


@refused("no raster")
def a_text(at: Path) -> Job:
    (at / "source.tif").write_text("Dear colleague,\nplease find the DEM attached.\n")
    return Job(at / "source.tif", write_guide(at), Refusal(InputError, "cannot be opened.*not recognized"))


@refused("no raster")
def an_empty_path(at: Path) -> Job:
    return Job("", write_guide(at), Refusal(InputError, "cannot be opened"))


@refused("no raster")
def a_folder(at: Path) -> Job:
    (at / "source.tif").mkdir()
    return Job(at / "source.tif", write_guide(at), Refusal(InputError, "cannot be opened"))


@refused("no raster")
def a_link_to_nowhere(at: Path) -> Job:
    (at / "source.tif").symlink_to(at / "gone.tif")
    return Job(at / "source.tif", write_guide(at), Refusal(InputError, "cannot be opened"))


@refused("no raster")
def a_pipe_that_no_one_writes_to(at: Path) -> Job:
    os.mkfifo(at / "source.tif")
    return Job(at / "source.tif", write_guide(at), Refusal(InputError, "is a pipe or a device.*save it to a file"))


# Files made of files.


@refused("made of parts")
def a_part_that_is_missing(at: Path) -> Job:
    source = vrt(at / "source.vrt", SHAPE, vrt_band("gone.tif"))
    return Job(source, write_guide(at), Refusal(InputError, r"failed to be read|cannot be opened"))


@refused("made of parts")
def a_part_missing_from_the_guide_of_a_fit(at: Path) -> Job:
    corner = PLACE * Affine.scale(0.5) * Affine.translation(-2, -2)
    guide = vrt(at / "guide.vrt", (44, 52), vrt_band("gone.tif", dtype="UInt16"), corner)
    return Job(write_source(at), guide, Refusal(InputError, r"failed to be read|cannot be opened"), method="mmsr")


@refused("made of parts")
def a_mosaic_of_itself(at: Path) -> Job:
    source = vrt(at / "source.vrt", SHAPE, vrt_band("source.vrt"))
    return Job(source, write_guide(at), Refusal(InputError, r"failed to be read|cannot be opened"))


@result("made of parts")
def a_mosaic_that_its_parts_cover_in_part(at: Path) -> Job:
    write(at / "part.tif", scene())
    place = '<SrcRect xOff="0" yOff="0" xSize="24" ySize="12"/><DstRect xOff="0" yOff="0" xSize="24" ySize="12"/>'
    band = vrt_band("part.tif", inside="<NoDataValue>-5</NoDataValue>", place=place)
    source = vrt(at / "source.vrt", SHAPE, band)
    return Job(source, write_guide(at), Target(holed(scene(), np.s_[12:])), method="mmsr")


@refused("made of parts")
def a_container_whose_part_is_not_named(at: Path) -> Job:
    both = xr.Dataset({"rain": array(), "heat": array()})
    both.to_netcdf(at / "source.nc", engine="scipy")
    return Job(at / "source.nc", write_guide(at), Refusal(InputError, r"name one of its parts, as in"))


# Arrays and their coordinates.


@result("coordinates", ARRAYS)
def rows_from_south_to_north(_: Path) -> Job:
    turned = array().drop_vars("spatial_ref").isel(y=slice(None, None, -1)).rio.write_crs(UTM)
    place = Affine(30, 0, 435_730, 0, 30, 4_176_300)
    return Job(turned, guide_array(), Target(scene()[::-1], place), method="mmsr")


@refused("coordinates", ARRAYS)
def rows_in_any_order(_: Path) -> Job:
    order = np.random.default_rng(0).permutation(20)
    return Job(array().isel(y=order), guide_array(), Refusal(GridError, "uneven coordinates.*interpolate"))


@refused("coordinates", ARRAYS)
def steps_that_grow(_: Path) -> Job:
    uneven = array().assign_coords(x=435_745 + 30 * np.arange(24.0) ** 1.05)
    return Job(uneven, guide_array(), Refusal(GridError, "uneven coordinates.*interpolate"))


@refused("coordinates", ARRAYS)
def each_coordinate_twice(_: Path) -> Job:
    doubled = array().isel(x=np.repeat(np.arange(12), 2))
    return Job(doubled, guide_array(), Refusal(GridError, "uneven coordinates"))


@refused("coordinates", ARRAYS)
def one_coordinate_that_is_no_number(_: Path) -> Job:
    x = np.asarray(array().x.values).copy()
    x[7] = np.nan
    return Job(
        array().assign_coords(x=x), guide_array(), Refusal(GridError, "1 of 24 coordinates along x.*assign real")
    )


@refused("odd coordinates", ARRAYS)
def columns_named_by_letters(_: Path) -> Job:
    lettered = array().assign_coords(x=[f"column {i}" for i in range(24)])
    return Job(lettered, guide_array(), Refusal(GridError, "24 of 24 coordinates along x.*assign real"))


@refused("odd coordinates", ARRAYS)
def an_infinite_coordinate(_: Path) -> Job:
    x = np.asarray(array().x.values).copy()
    x[-1] = np.inf
    return Job(
        array().assign_coords(x=x), guide_array(), Refusal(GridError, "1 of 24 coordinates along x.*assign real")
    )


@result("odd coordinates", ARRAYS)
def degrees_in_single_precision(_: Path) -> Job:
    x = (np.arange(24) / 3600 - 75.7).astype(np.float32)
    y = (37.7 - np.arange(20) / 3600).astype(np.float32)
    source = xr.DataArray(scene(), dims=("lat", "lon"), coords={"lat": y, "lon": x}).rio.write_crs(4326)
    source = source.rio.set_spatial_dims("lon", "lat")
    step_x, step_y = (float(c[-1] - c[0]) / (len(c) - 1) for c in (x.astype(float), y.astype(float)))
    place = Affine(step_x, 0, float(x[0]) - step_x / 2, 0, step_y, float(y[0]) - step_y / 2)
    guide = georeferenced(texture(), place * Affine.scale(0.5) * Affine.translation(-2, -2), 4326)
    return Job(source, guide, Target(scene(), place, "EPSG:4326"))


@result("odd coordinates", ARRAYS)
def longitudes_from_0_to_360(_: Path) -> Job:
    place = Affine(0.01, 0, 284.2, 0, -0.01, 37.7)
    source = georeferenced(scene(), place, 4326)
    guide = georeferenced(texture(), Affine(0.005, 0, -75.81, 0, -0.005, 37.71), 4326)
    return Job(source, guide, Target(scene(), place, "EPSG:4326"), method="mmsr")


@result("dims", ARRAYS)
def a_series_of_dates(_: Path) -> Job:
    days = np.array(["2024-05-01", "2024-05-17"], "datetime64[ns]")
    series = xr.concat([array(), array() + 5], xr.Variable("time", days))
    return Job(series, guide_array(), Target(np.stack([scene(), scene() + 5])))


@refused("dims", ARRAYS)
def a_date_that_the_guide_has_not(_: Path) -> Job:
    days = np.array(["2024-05-01", "2024-05-17"], "datetime64[ns]")
    series = array().expand_dims(time=days[:1])
    guide = guide_array().expand_dims(time=days[1:])
    return Job(series, guide, Refusal(InputError, "the guide has no time 2024-05-01.*give a guide with it"))


@refused("dims", ARRAYS)
def a_date_that_the_guide_has_twice(_: Path) -> Job:
    day = np.array(["2024-05-01"], "datetime64[ns]")
    guide = xr.concat([guide_array().expand_dims(time=day)] * 2, "time")
    refusal = Refusal(InputError, "the guide has 2 time 2024-05-01")
    return Job(array().expand_dims(time=day), guide, refusal)


@refused("dims", ARRAYS)
def dims_that_no_one_knows(_: Path) -> Job:
    nameless = xr.DataArray(scene(), dims=("a", "b"))
    return Job(nameless, guide_array(), Refusal(GridError, r"set_spatial_dims"))


@refused("dims", ARRAYS)
def a_row_without_columns(_: Path) -> Job:
    return Job(array().isel(x=0), guide_array(), Refusal(GridError, r"the dims y: name its spatial ones"))


@result("lazy array", ARRAYS)
def chunks_of_odd_sizes(_: Path) -> Job:
    source = array().chunk({"y": (1, 13, 6), "x": (23, 1)})
    return Job(source, guide_array().chunk({"band": 1, "y": 7, "x": 11}), Target(scene()), method="mmsr")


TORN = (InputError, OSError)
"""A lazy result raises what its own graph raised; a job says where."""


def _broken(block: Values, block_info: Any = None) -> Values:
    if block_info and block_info[None]["chunk-location"] == (1, 1):
        msg = "the tape is torn"
        raise OSError(msg)
    return block


@refused("lazy array", ARRAYS)
def a_chunk_that_raises(_: Path) -> Job:
    values = da.from_array(scene(), chunks=(10, 12)).map_blocks(_broken, dtype=np.float32)
    return Job(array().copy(data=values), guide_array(), Refusal(TORN, "the tape is torn"))


@refused("lazy array", ARRAYS)
def a_chunk_of_the_guide_that_raises_in_a_fit(_: Path) -> Job:
    guide = guide_array().isel(band=0, drop=True)
    values = da.from_array(guide.values, chunks=(22, 26)).map_blocks(_broken, dtype=np.uint16)
    return Job(array(), guide.copy(data=values), Refusal(TORN, "the tape is torn"), method="mmsr")


@result("lazy array", ARRAYS)
def a_netcdf_with_packed_values(at: Path) -> Job:
    packed = (scene() * 10).astype(np.int16)
    packed[4:6, 4:6] = -32768
    stored = array(packed, name="lst").assign_attrs(scale_factor=0.1, add_offset=0.0, _FillValue=np.int16(-32768))
    stored.to_netcdf(at / "lst.nc", engine="scipy")
    opened = xr.open_dataset(at / "lst.nc", engine="scipy", decode_coords="all")["lst"]
    physical = (packed * 0.1).astype(np.float32)
    return Job(opened, guide_array(), Target(holed(physical, np.s_[4:6, 4:6])), method="mmsr")


@refused("lazy array", ("file",))
def a_lazy_file_cut_within_its_pixels(at: Path) -> Job:
    source = write_source(at, compress="deflate")
    source.write_bytes(source.read_bytes()[:-300])
    opened = rioxarray.open_rasterio(source, chunks={"y": 10, "x": 12})
    assert isinstance(opened, xr.DataArray)
    words = r"source\.tif failed to be computed at row 0, column 0: .*mend what it is computed from"
    return Job(opened.squeeze("band", drop=True), guide_array(), Refusal(InputError, words))


# How they are run.


@pytest.fixture
def at() -> Iterator[Path]:
    """A folder, in which file systems may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    yield folder
    for part in folder.iterdir():
        if part.is_mount():
            subprocess.run(["umount", str(part)], check=True)  # noqa: S607
    shutil.rmtree(folder)


def found_in(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder, hidden or not, by its path: bytes of files, kinds of others."""
    found: dict[str, bytes | str] = {}
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            path = Path(root, name)
            small = path.is_file() and not path.is_symlink() and path.stat().st_size < 10_000_000
            found[str(path.relative_to(folder))] = path.read_bytes() if small else str(path.lstat().st_mode)
    return found


def close(path: Path, mode: int = 0o700) -> None:
    """Give a file or a folder to another user, with rights for that user alone."""
    if os.geteuid():
        pytest.skip("only root can give files away")
    path.chmod(mode)
    os.chown(path, OTHER_USER, OTHER_USER)


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
class Told:
    """What the command left on its streams."""

    status: int
    out: str
    err: str


def quick_if_stepped(_quality: str, *, steps: int | None = None, threads: int | None = None) -> mmsr_geo.FitParams:
    """Return a fit that tests can wait for, where a case asks for steps."""
    return QUICK if steps else mmsr_geo.FitParams(threads=threads)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], at: Path
) -> Iterator[Callable[[Job], Told]]:
    """Run the command in this process, its streams as GDAL in C and Python's logging write to them too."""
    before = signal.getsignal(signal.SIGTERM)
    # Without pytest no handler is there, and warnings of loggers go to stderr.
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)
    monkeypatch.setattr(mmsr_geo.FitParams, "of", quick_if_stepped)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.chdir(at)

    def run(job: Job) -> Told:
        monkeypatch.setattr(sys, "argv", ["mmsr-geo", *words_of(job)])
        handler.stream = sys.stderr
        capfd.readouterr()
        status = 0
        with as_asked(job):
            try:
                cli.main()
            except SystemExit as left:
                status = int(left.code or 0)
        told = capfd.readouterr()
        return Told(status, told.out, told.err)

    yield run
    logging.getLogger().removeHandler(handler)
    signal.signal(signal.SIGTERM, before)


def assert_target(made: Values, expected: Target, transform: Affine, crs: Any) -> None:
    """Block means are the source's, holes are where it has them, corners where they were."""
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


ROWS = [pytest.param(case, door, id=f"{case.kind}: {case.name} ({door})") for case in CASES for door in case.doors]


@pytest.mark.parametrize(("case", "door"), ROWS)
@pytest.mark.filterwarnings("ignore:Converting non-nanosecond")
def test_a_hostile_input_ends_in_the_right_result_or_the_right_error(
    case: Case, door: Door, at: Path, command: Callable[[Job], Told]
) -> None:
    job = case.make(at)
    assert isinstance(job.ends, case.ends)
    before = found_in(at)
    if door == "command":
        assert_told(command(job), job, at)
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


def assert_told(told: Told, job: Job, at: Path) -> None:
    assert "Traceback" not in told.err
    assert told.out == ""
    if isinstance(job.ends, Refusal):
        assert told.status == 2
        full = job.output.startswith("disk/") or job.largest_file is not None
        theirs = ("_tiff", "CPLE_") if full else ()  # libtiff and GDAL write of a full disk to stderr themselves
        lines = [line for line in told.err.splitlines() if not line.startswith(theirs)]
        assert len(lines) == 1, told.err
        assert lines[0].startswith("Error: ")
        assert re.search(job.ends.words, lines[0]), lines[0]
    else:
        assert (told.status, told.err) == (0, "")
        assert_file(at / job.output, job.ends)


def assert_warned(said: list[str], job: Job) -> None:
    assert isinstance(job.ends, Target)
    expected = job.ends.warned
    assert not expected or any(expected in each for each in said), said
    assert all("\n" not in each for each in said)


def test_there_are_many_and_few_of_a_kind() -> None:
    kinds = Counter(case.kind for case in CASES)
    assert len(CASES) >= 60
    assert max(kinds.values()) <= 5
    assert sum(case.ends is Target for case in CASES) >= 20
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)
