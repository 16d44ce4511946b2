"""Every refusal and warning: reached through Python and the command with its sentence; docs/errors.md is made of them.

`python tests/doors/test_refusals.py` writes docs/errors.md anew.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import click
import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from safetensors.numpy import save_file

import mmsr_geo
from mmsr_geo.cli import main as cli
from mmsr_geo.cli.demo import run_demo
from mmsr_geo.errors import (
    ChangedInputError,
    GridError,
    GuideCoverageError,
    GuideWarning,
    InputError,
    JobError,
    MmsrError,
    MmsrWarning,
    ModelFileError,
    NodataWarning,
    OptionError,
    OutputError,
    PixelError,
    UnhelpfulGuideError,
)
from mmsr_geo.evaluation.report import save_report
from mmsr_geo.geometry import Window
from mmsr_geo.network.guide_check import Region
from mmsr_geo.raster.write.object_store import ObjectUrl
from support.rasters import georeferenced

PACKAGE = Path(mmsr_geo.__file__).parent
DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
PLACE = Affine(30, 0, 435_730, 0, -30, 4_176_900)
SHAPE = (32, 36)
QUICK = mmsr_geo.FitParams(steps=2, threads=1)
WINDOW = Window(0, 0, *SHAPE)
LONG = "sharp" * 48 + ".tif"
MINE = b"an output that was there before"
Values = NDArray[Any]


@dataclass(frozen=True)
class Doors:
    """How to come to the same place from Python and from the command."""

    python: Callable[..., object] | None
    words: str | None
    replacing: bool = False
    """Whether the Python call takes overwrite=True."""
    alone: str = ""
    """Why there is one door only."""


@dataclass(frozen=True)
class Case:
    """A refusal or a warning."""

    name: str
    kind: type[MmsrError | MmsrWarning | click.UsageError]
    says: str
    """The whole sentence."""
    when: str
    mend: str
    doors: Doors
    fault: Callable[[pytest.MonkeyPatch], object] | None = None
    """What fails around the package."""
    stays: bool = True
    """Whether --overwrite changes nothing."""
    job: str = ""
    """Of a job that begins: its record, log and report are written all the same, and say what failed."""


CASES: list[Case] = []


def case(name: str, kind: type[Any], says: str, when: str, mend: str, doors: Doors, **more: Any) -> None:
    CASES.append(Case(name, kind, says, when, mend, doors, **more))


def upsampling(
    options: str = "",
    *,
    source: str = "dem.tif",
    guide: str | list[str] = "ortho.tif",
    output: str = "sharp.tif",
    method: str = "bicubic",
    **same: Any,
) -> Doors:
    """The same options for `upsample_to_file` and for `mmsr-geo upsample`."""
    words = ["upsample", source, *([guide] if isinstance(guide, str) else guide), "-o", output, "--method", method]
    call = partial(mmsr_geo.upsample_to_file, source, guide, output, method=method, **same)
    return Doors(call, f"{shlex.join(words)} {options}", replacing=True)


def fitting(options: str = "", *, source: str = "dem.tif", guide: str = "ortho.tif", **same: Any) -> Doors:
    call = partial(mmsr_geo.fit, source, guide, params=QUICK, **same)
    return Doors(call, f"fit {source} {guide} -o new.mmsr --steps 2 --threads 1 {options}")


def evaluating(options: str = "", *, source: str = "dem.tif", methods: str = "bicubic", **same: Any) -> Doors:
    call = partial(
        mmsr_geo.evaluate, source, "ortho.tif", methods=[name for name in methods.split(",") if name], **same
    )
    return Doors(call, f"evaluate {source} ortho.tif -o report --methods {methods or ','} {options}")


def loading(model: str) -> Doors:
    return Doors(partial(mmsr_geo.load, model), f"upsample dem.tif ortho.tif -o sharp.tif --model {model}")


def arrays(call: Callable[[], object], why: str = "arrays") -> Doors:
    return Doors(call, None, alone=f"Python only: {why}")


def shown(source: Any, guide: Any = "ortho.tif", scale: Any = None, **options: Any) -> Callable[[], object]:
    """`upsample`, computed."""
    return lambda: mmsr_geo.upsample(
        source() if callable(source) else source,
        guide() if callable(guide) else guide,
        scale,
        method="bicubic",
        **options,
    ).compute(scheduler="synchronous")


# What lies in the folder.


def scene(height: int = SHAPE[0], width: int = SHAPE[1], seed: int = 0) -> Values:
    random = np.random.default_rng(seed)
    return (280 + 9 * random.standard_normal((height, width))).astype(np.float32)


def texture(bands: int = 2, height: int = 68, width: int = 76) -> Values:
    return np.random.default_rng(1).integers(200, 4000, (bands, height, width)).astype(np.uint16)


def write(name: str, values: Values, transform: Affine | None = PLACE, **profile: Any) -> None:
    """Write (h, w) or (bands, h, w); crs=None and transform=None leave them out."""
    bands = values if values.ndim == 3 else values[np.newaxis]
    told = {"crs": "EPSG:32618"} | profile
    tags, descriptions = told.pop("tags", {}), told.pop("descriptions", ())
    place = {} if transform is None else {"transform": transform}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            name,
            "w",
            driver="GTiff",
            dtype=bands.dtype,
            count=len(bands),
            height=bands.shape[1],
            width=bands.shape[2],
            **place,
            **told,
        ) as dataset:
            if tags:
                dataset.update_tags(**tags)
            if descriptions:
                dataset.descriptions = descriptions
            dataset.write(bands)  # last: what is told later goes to the file's end


AROUND = PLACE * Affine.scale(0.5) * Affine.translation(-2, -2)
"""Where the guide lies, two of its pixels beyond the source on each side."""


def write_inputs() -> None:
    """Put all that the cases need into the current folder."""
    write_rasters()
    write_what_is_no_quantity_or_has_no_place()
    write_odd_files()
    write_masks()
    write_jobs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MmsrWarning)
        write_models()


def write_rasters() -> None:
    """Write a pair, and what does not go with it."""
    left = scene()
    left[:, 18:] = np.nan
    right_guide = texture()
    right_guide[:, :, :48] = 0
    holes = np.full(SHAPE, np.nan, np.float32)
    write("dem.tif", scene())
    write("ortho.tif", texture(), AROUND, descriptions=("red", "nir"))
    write("two.tif", np.stack([scene(), scene()]), descriptions=("ground", "surface"))
    write("left.tif", left, nodata=np.nan)
    write("right.tif", right_guide, AROUND, nodata=0)
    write("holes.tif", holes, nodata=np.nan)
    write("part.tif", texture(2, 40, 76), AROUND)
    write("elsewhere.tif", texture(), AROUND * Affine.translation(500, 0))
    write("far.tif", scene(), PLACE * Affine.translation(500, 0))
    write("polar.tif", scene(26, 24), Affine(1e5, 0, -1.2e6, 0, -1e5, 1.3e6), crs="EPSG:3413")
    write("world.tif", texture(1, 36, 72), Affine(5, 0, -180, 0, -5, 90), crs="EPSG:4326")
    write("south.tif", scene(26, 24), Affine(5, 0, -60, 0, -5, 45), crs="EPSG:4326")
    write("north.tif", texture(1, 100, 100), Affine(1e5, 0, -5e6, 0, -1e5, 5e6), crs="ESRI:102035")
    write("moon.tif", texture(), AROUND, crs="IAU_2015:30100")
    undeclared = scene()
    undeclared[:8, :8] = -9999
    write("undeclared.tif", undeclared)


def write_what_is_no_quantity_or_has_no_place() -> None:
    """Write rasters that are refused for what they hold, or for where they lie."""
    height, width = SHAPE
    write("waves.tif", scene().astype(np.complex64))
    write("classes.tif", scene(), tags={"LAYER_TYPE": "thematic"})
    write("unplaced.tif", scene(), None)
    write("nowhere.tif", scene(), crs=None)
    write("palette.tif", np.arange(height * width, dtype=np.uint8).reshape(SHAPE) % 4)
    with rasterio.open("palette.tif", "r+") as dataset:
        dataset.write_colormap(1, {value: (value, 0, 0, 255) for value in range(4)})
        dataset.colorinterp = (ColorInterp.palette,)
    points = [
        GroundControlPoint(row, col, 435_730 + 30 * col, 4_176_900 - 30 * row) for row, col in ((0, 0), (0, 9), (9, 0))
    ]
    write("points.tif", scene(), None, crs=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open("points.tif", "r+") as dataset:
            dataset.gcps = (points, rasterio.CRS.from_epsg(32618))
    size = f'rasterXSize="{width}" rasterYSize="{height}"'
    place = "<SRS>EPSG:32618</SRS><GeoTransform>435730, 0, 0, 4176900, 0, -30</GeoTransform>"
    Path("thin.vrt").write_text(f'<VRTDataset {size}>{place}<VRTRasterBand dataType="Float32" band="1"/></VRTDataset>')


def write_odd_files() -> None:
    """Write files that are no rasters, or not whole, or hold more than one."""
    Path("text.tif").write_text("Dear colleague, please find the DEM attached.\n")
    write("cut.tif", scene(), compress="deflate")
    Path("cut.tif").write_bytes(Path("cut.tif").read_bytes()[:-300])
    xr.Dataset({"rain": array(), "heat": array()}).to_netcdf("two.nc", engine="scipy")
    write("pages.tif", scene())
    write("pages.tif", scene(), APPEND_SUBDATASET="YES")
    write("scaled.tif", scene())
    with rasterio.open("scaled.tif", "r+") as dataset:
        dataset.scales = (float("nan"),)
    write("scales.tif", np.stack([scene(), scene()]))
    with rasterio.open("scales.tif", "r+") as dataset:
        dataset.scales = (0.1, 0.2)
    Path("theirs.zarr").mkdir()
    Path("theirs.zarr/notes.txt").write_bytes(MINE)
    Path("ours.zarr").mkdir()
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"MMSR_GEO_VERSION": "0.1.0"}}
    Path("ours.zarr/zarr.json").write_text(json.dumps(group))
    Path("tiles").mkdir()
    write("tiles/ortho.tif", texture(), AROUND)


def write_masks() -> None:
    """Write masks, good ones and others."""
    write("qa.tif", texture(1, *SHAPE).astype(np.uint8))
    write("masks.tif", texture(2, *SHAPE).astype(np.uint8))
    write("shares.tif", np.full(SHAPE, 0.5, np.float32))
    write("words.tif", np.full(SHAPE, 2.0**30, np.float32))


def write_jobs() -> None:
    """Write job files with mistakes."""
    pair = '[[pairs]]\nsource = "{}"\nguide = "ortho.tif"\n'
    Path("text.toml").write_text("Dear colleague, please find the job attached.\n")
    Path("wrong.toml").write_text(
        'output = "a.tif"\n' + pair.format("dem.tif") + '[options]\nsharpness = 3\nseed = "x"\n'
    )
    Path("missing.toml").write_text('output = "a.tif"\n' + pair.format("gone.tif") + pair.format("dem.tif"))
    Path("blocked.toml").write_text('output = "qa.tif/a.tif"\n' + pair.format("dem.tif"))
    Path("failing.toml").write_text('output = "a.tif"\n' + pair.format("waves.tif"))
    Path("slurm.toml").write_text('output = "a.tif"\n' + pair.format("dem.tif") + '[cluster]\nkind = "slurm"\n')
    Path("held.toml").write_text('output = "a.tif"\n' + pair.format("dem.tif"))
    Path("held.record.jsonl").mkdir()


def write_models() -> None:
    """Save a model for two guide bands and scale 2, one whose guide did not help, and files that hold none."""
    save_file({"weights": np.zeros(3, np.float32)}, "other.mmsr")
    save_file({"weights": np.zeros(3, np.float32)}, "damaged.mmsr", metadata={"mmsr_geo": json.dumps({"format": 99})})
    Path("text.mmsr").write_text("Dear colleague, please find the model attached.\n")
    model = mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=QUICK)
    replace(model, check=mmsr_geo.GuideCheck()).save("scene.mmsr")
    judged = Region(WINDOW, validated_px=90, sum_squares=144.0, baseline_sum_squares=100.0)
    replace(model, check=mmsr_geo.GuideCheck((judged,))).save("unhelpful.mmsr")
    replace(model, check=mmsr_geo.GuideCheck(), interval=None).save("uncalibrated.mmsr")


def array(values: Values | None = None, **options: Any) -> xr.DataArray:
    return georeferenced(scene() if values is None else values, PLACE, **options)


def bare(name: str, transform: Affine) -> xr.DataArray:
    """An array without coordinates, whose place is told by a grid mapping of its own."""
    made: xr.DataArray = array().drop_vars(["x", "y", "spatial_ref"]).rename(name)
    mapping = f"{name}_crs"
    made = made.rio.write_crs(32618, grid_mapping_name=mapping)
    placed: xr.DataArray = made.rio.write_transform(transform, grid_mapping_name=mapping)
    return placed


def torn() -> xr.DataArray:
    """An array whose pixels cannot be computed."""

    def fail(_: Values) -> Values:
        msg = "the tape is torn"
        raise OSError(msg)

    return array().copy(data=da.from_array(scene()).map_blocks(fail, dtype=np.float32))


def unsaved_model() -> object:
    """Ask for the model of a target that was made without one."""
    outcome = mmsr_geo.upsample_to_file("dem.tif", "ortho.tif", "made.tif", method="bicubic")
    Path("made.tif").unlink()
    return outcome.model


# What fails around the package.


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))


def _roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000_000))


def raising(where: str, error: Exception) -> Callable[[pytest.MonkeyPatch], None]:
    """Let something that the package calls fail, on a disk with 5 GB free."""

    def fail(*_: object, **__: object) -> None:
        raise error

    def fault(monkeypatch: pytest.MonkeyPatch) -> None:
        _roomy(monkeypatch)
        monkeypatch.setattr(where, fail)

    return fault


def unwritable_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RasterioIOError("Write failed")

    _roomy(monkeypatch)
    monkeypatch.setattr("mmsr_geo.raster.write.cog.rasterio", SimpleNamespace(open=fail, shutil=rasterio.shutil))


def changing_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at a file find another than the one before."""
    looks = iter(range(10**6))
    monkeypatch.setattr("mmsr_geo.raster.read.files._stamp", lambda _path: (next(looks), 0))


def closed_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    is_dir = Path.is_dir

    def fail(path: Path) -> bool:
        if path.parts[:1] == ("closed",):
            raise PermissionError(errno.EACCES, "Permission denied")
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", fail)


def large_raster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsr_geo.engine.pair.SAMPLED_TARGET_PX", 4 * 12 * 12)
    monkeypatch.setattr("mmsr_geo.engine.pair.SAMPLED_WINDOWS", 4)


DENIED = PermissionError(errno.EACCES, "Permission denied")
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


# InputError.

case(
    "no raster",
    InputError,
    "text.tif cannot be opened as a raster (…): check the path and the format",
    "A file is missing, closed, cut within its header, or of a format that GDAL does not know.",
    "Mend the path, or convert the file.",
    upsampling(source="text.tif"),
)
case(
    "a file that changes meanwhile",
    ChangedInputError,
    "dem.tif has changed since it was opened: put it back, or begin again with the new one",
    "A file is replaced or removed while a target is made of it.",
    "Put it back, or begin again.",
    upsampling(),
    fault=changing_files,
)
case(
    "a pipe",
    InputError,
    "pipe.tif is a pipe or a device, and a raster is read in any order: save it to a file first",
    "A source, guide or mask is a pipe or a device.",
    "Save it to a file.",
    upsampling(source="pipe.tif"),
)
case(
    "a file cut short",
    InputError,
    "cut.tif failed to be read at row 0, column 0 (…): it may be cut short, make or fetch it again",
    "GDAL fails while pixels are read: the file is cut short or damaged, or a part of a mosaic is missing.",
    "Fetch or make the file again.",
    upsampling("--scale 2", source="cut.tif", scale=2),
)
case(
    "no bands",
    InputError,
    "two.nc holds no bands; name one of its parts, as in netcdf:two.nc:rain",
    "A file holds no bands of its own; where it is a container (netCDF, HDF), one of its parts is named.",
    "Give a raster, or one of the parts.",
    upsampling(source="two.nc"),
)
case(
    "several rasters in a file",
    InputError,
    "pages.tif holds several rasters: name one of them, as in GTIFF_DIR:1:pages.tif",
    "A source's file holds several rasters, such as the pages of a TIFF.",
    "Name one of them, as the message does.",
    upsampling(source="pages.tif"),
)
case(
    "complex numbers",
    InputError,
    "waves.tif holds complex numbers: give its amplitude or another real quantity",
    "A raster holds complex numbers.",
    "Give the amplitude, the phase or another real quantity.",
    upsampling(source="waves.tif"),
)
case(
    "no numbers",
    InputError,
    "the array holds bool, no quantity: convert it to numbers first, as in .astype('float32')",
    "An array holds dates, texts, objects, or yes and no.",
    "Convert it to numbers.",
    arrays(shown(lambda: array(scene() > 280))),
)
case(
    "a colour table",
    InputError,
    "palette.tif has a colour table: give the quantity itself, or expand it to RGB (gdal_translate -expand rgb)",
    "A raster's numbers stand for colours.",
    "Give the quantity itself, or expand it to RGB for a guide.",
    upsampling(source="palette.tif"),
)
case(
    "classes in a file",
    InputError,
    "classes.tif holds classes, and a mean of classes means nothing: give a measured quantity",
    "A raster's tags say that it is thematic.",
    "Give a measured quantity; for a guide, an image.",
    upsampling(source="classes.tif"),
)
case(
    "classes in an array",
    InputError,
    "the array holds classes, and a mean of classes means nothing: give a measured quantity",
    "An array's attributes say that it holds flags.",
    "Give a measured quantity.",
    arrays(shown(lambda: array().assign_attrs(flag_values=[1, 2]))),
)
case(
    "a thematic array",
    InputError,
    "the array holds classes, and a mean of classes means nothing: give a measured quantity",
    "An array's attributes say that it is thematic.",
    "Give a measured quantity.",
    arrays(shown(lambda: array().assign_attrs(LAYER_TYPE="thematic"))),
)
case(
    "a band that there is not",
    InputError,
    "dem.tif has no data band 9: its bands are 1",
    "A band of the source or of a guide is asked for that it does not have.",
    "Choose one of those named.",
    fitting("--band 9", band=9),
)
case(
    "several bands",
    InputError,
    "two.tif has 2 bands (1 (ground), 2 (surface)): choose the one to sharpen, as in --band 1 (band=1)",
    "A fit or an evaluation is asked for a source of several bands.",
    "Choose one with `--band` (`band=`). `upsample` does all of them.",
    fitting(source="two.tif"),
)
case(
    "several bands in an array",
    InputError,
    "the array has 2 bands (1, 2): choose the one to sharpen, as in .isel(band=0)",
    "A fit or an evaluation is asked for an array of several bands.",
    "Select one.",
    arrays(lambda: mmsr_geo.fit(array(np.stack([scene(), scene()])), "ortho.tif", params=QUICK)),
)
case(
    "several bands in a truth",
    InputError,
    "two.tif has 2 bands (1 (ground), 2 (surface)): choose the one to compare with, as in gdal_translate -b 1",
    "A truth has several bands.",
    "Choose one.",
    evaluating("--truth two.tif", truth="two.tif"),
)
case(
    "no source",
    InputError,
    "a source is a path or a DataArray, not Dataset: select one variable of a Dataset",
    "A source is neither a path nor a DataArray.",
    "Give one; of a Dataset, select a variable.",
    arrays(shown(lambda: xr.Dataset({"dem": array()}))),
)
case(
    "no kind of guide",
    InputError,
    "a guide is a path, a DataArray or a Dataset, not int: give one of these",
    "A guide is none of what guides can be.",
    "Give one of them.",
    arrays(shown("dem.tif", 3)),
)
case(
    "no kind of mask",
    InputError,
    "a mask is a path or a DataArray, not Dataset: select one variable of a Dataset",
    "A mask is neither a path nor a DataArray.",
    "Give one; of a Dataset, select a variable.",
    arrays(shown("dem.tif", source_mask=xr.Dataset())),
)
case(
    "no variables",
    InputError,
    "the guide Dataset holds no raster variables: give one with dims y and x",
    "A guide is a Dataset without a variable on y and x.",
    "Give one that has rasters.",
    arrays(shown("dem.tif", xr.Dataset({"when": 3}))),
)
case(
    "dims beyond band",
    InputError,
    "the array has the dims time, y, x: select one of each but y, x and band (.isel)",
    "A mask, a truth or a raster for `like` has dims beyond y, x and band.",
    "Select one of each with `.isel`.",
    arrays(lambda: mmsr_geo.fit(array().expand_dims(time=2), "ortho.tif", params=QUICK)),
)
case(
    "no pixels",
    InputError,
    "the array has no pixels (32, 0): the selection that made it is empty",
    "An array is of no length along y or x.",
    "Mend the selection that made it.",
    arrays(shown(lambda: array().isel(x=slice(0, 0)))),
)
case(
    "no slices",
    InputError,
    "the source has no slices: one of its dims is of no length",
    "An array is of no length along another dim.",
    "Mend the selection that made it.",
    arrays(shown(lambda: array().expand_dims(time=2).isel(time=slice(0, 0)))),
)
case(
    "a guide with dates of its own",
    InputError,
    "the guide has 2 along time and the source does not say which: choose one, as in guide.isel(time=0)",
    "A guide has a dim that the source has no coordinate for.",
    "Choose one.",
    arrays(shown(array, lambda: array(texture()).rename(band="time").assign_coords(time=[1, 2]))),
)
case(
    "a date that the guide has not",
    InputError,
    "the guide has no time 2024, the source does: give a guide with it, or choose one, as in guide.isel(time=0)",
    "A slice of the source has a coordinate that the guide does not have once.",
    "Give a guide that has it, or choose one.",
    arrays(
        shown(
            lambda: array().expand_dims(time=[2024]),
            lambda: array(texture()).rename(band="time").assign_coords(time=[2022, 2023]),
        )
    ),
)
case(
    "a mask of several bands",
    InputError,
    "masks.tif has 2 bands (1, 2), and none of them are called QA_PIXEL or SCL: give a mask of one band, "
    "as gdal_translate -b or .isel(band=0) make it",
    "A mask has several bands, and none or several of them go by a known name.",
    "Give a mask of one band.",
    upsampling("--source-mask masks.tif", source_mask="masks.tif"),
)
case(
    "bits of fractions",
    InputError,
    "shares.tif holds 0.5, and bits and classes are whole numbers: give the mask as it came",
    "Bits are read of a mask that holds fractions.",
    "Give the mask as it came, not resampled.",
    upsampling("--source-mask shares.tif:1", source_mask="shares.tif:1"),
)
case(
    "bits beyond a float's",
    InputError,
    "words.tif holds float32 values beyond 16777216, whose bits are lost: give it as integers",
    "Bits are read of a mask of floats so large that their last bits are lost.",
    "Give it as integers.",
    upsampling("--source-mask words.tif:1", source_mask="words.tif:1"),
)

case(
    "an array that fails",
    InputError,
    "the array failed to be computed at row 0, column 0: the tape is torn; mend what it is computed from",
    "A lazy array fails while its pixels are computed, as where its file is gone.",
    "Mend what it is computed from.",
    arrays(lambda: mmsr_geo.upsample_to_file(torn(), "ortho.tif", "sharp.tif", 2, method="bicubic")),
)

# GridError.

case(
    "not georeferenced",
    GridError,
    "unplaced.tif is not georeferenced: give it a geotransform, as gdal_translate -a_ullr does",
    "A file has no geotransform.",
    "Give it the corners that it has on the ground.",
    upsampling(source="unplaced.tif"),
)
case(
    "control points only",
    GridError,
    "points.tif is placed by ground control points only: warp it onto a grid first, as gdalwarp does",
    "A file is placed by ground control points or rational polynomials.",
    "Warp it onto a grid with `gdalwarp`.",
    upsampling(source="points.tif"),
)
case(
    "no CRS",
    GridError,
    "nowhere.tif has no CRS: assign the one it is in, as gdal_edit.py -a_srs EPSG:... does",
    "A file has no CRS.",
    "Find out which one it is in, and assign that; no pixel moves by it.",
    upsampling(source="nowhere.tif"),
)
case(
    "an array that is not georeferenced",
    GridError,
    "the array is not georeferenced: give it x and y coordinates, or a transform with .rio.write_transform(...)",
    "An array has no transform and no coordinates.",
    "Give it one of them.",
    arrays(shown(lambda: xr.DataArray(scene(), dims=("y", "x")))),
)
case(
    "an array placed by control points",
    GridError,
    "the array is placed by ground control points only: warp it onto a grid first, as .rio.reproject does",
    "An array is placed by ground control points.",
    "Warp it with `.rio.reproject`.",
    arrays(
        shown(
            lambda: (
                xr.DataArray(scene(), dims=("y", "x"))
                .rio.write_crs(32618)
                .rio.write_gcps([GroundControlPoint(0, 0, 1, 1)], rasterio.CRS.from_epsg(32618))
            )
        )
    ),
)
case(
    "an array without a CRS",
    GridError,
    "the array has no CRS: assign the one it is in with .rio.write_crs(...)",
    "An array has no CRS.",
    "Assign the one it is in.",
    arrays(shown(lambda: array().drop_vars("spatial_ref"))),
)
case(
    "dims that no one knows",
    GridError,
    "the array has the dims a, b: name its spatial ones with .rio.set_spatial_dims(...)",
    "An array's dims are not known to be y and x.",
    "Name them.",
    arrays(shown(lambda: xr.DataArray(scene(), dims=("a", "b")))),
)
case(
    "one pixel wide",
    GridError,
    "the array is one pixel wide and stores no transform: give it one with .rio.write_transform(...)",
    "An array of one row or column stores no transform, so that its pixel has no known size.",
    "Give it a transform.",
    arrays(shown(lambda: array().isel(x=[0]).drop_vars("spatial_ref").rio.write_crs(32618))),
)
case(
    "coordinates that stand",
    GridError,
    "the array has coordinates that do not move from pixel to pixel: give it real x and y coordinates",
    "An array's coordinates are all the same.",
    "Give it real ones.",
    arrays(shown(lambda: array().drop_vars("spatial_ref").rio.write_crs(32618).assign_coords(x=np.zeros(36)))),
)
case(
    "uneven coordinates",
    GridError,
    "the array has uneven coordinates (0.63 pixels off even steps): interpolate it onto even ones first",
    "An array's coordinates are not in even steps.",
    "Interpolate it onto even ones.",
    arrays(shown(lambda: array().assign_coords(x=435_745 + 30 * np.arange(36.0) ** 1.05))),
)
case(
    "variables on different grids",
    GridError,
    "the guide Dataset: the array 'b' and the array 'a' are on different grids; bring them onto one first",
    "A guide Dataset's variables are on different grids.",
    "Bring them onto one, or give them as several guides.",
    arrays(shown("dem.tif", lambda: xr.Dataset({"a": bare("a", PLACE), "b": bare("b", AROUND)}))),
)
case(
    "no overlap",
    GridError,
    "the guide does not overlap the source: the source lies at 435730,4175940,436810,4176900 (W,S,E,N in "
    "EPSG:32618), the guide at 443200,4175910,444340,4176930; give a guide of the same place, or mend a "
    "wrong CRS",
    "Source and guide share no place.",
    "Give a guide of the same place, or mend a wrong CRS.",
    upsampling(guide="elsewhere.tif"),
)
case(
    "a pole within the source and a guide in degrees",
    GridError,
    "the source lies around a pole, and a guide in degrees (EPSG:4326) is cut there: bring the guide into the "
    "source's CRS first, as gdalwarp -t_srs does, or give a part beside it with --bounds (bounds=)",
    "The guide is in degrees, and a pole lies within the source, or the edge of a world-wide guide does.",
    "Warp the guide to the source's CRS, or do a part of the source.",
    upsampling(source="polar.tif", guide="world.tif"),
)
case(
    "a source whose centre the guide's CRS has no place for",
    GridError,
    "the scale cannot be told: the source's centre has no place in the guide's CRS, "
    "North_Pole_Orthographic; give it yourself, as in --scale 4 (scale=4), or warp the guide first",
    "The source's centre has no place in the guide's CRS.",
    "Give the scale, or warp the guide to the source's CRS.",
    upsampling("--min-coverage 0", source="south.tif", guide="north.tif", min_coverage=0),
)
case(
    "no way between two CRSs",
    GridError,
    "no way from EPSG:32618 to Moon (2015) - Sphere / Ocentric is known (…): warp one raster first",
    "PROJ knows no transformation, as between two planets.",
    "Warp one raster first.",
    upsampling(guide="moon.tif"),
)
case(
    "a grid without a CRS",
    GridError,
    "a raster without a CRS cannot be placed: assign the one it is in, as .rio.write_crs(...) does",
    "The GeoBox of `like` has no CRS.",
    "Give it the one it is in.",
    arrays(shown("dem.tif", scale=2, like=GeoBox((4, 4), PLACE, None))),
)
case(
    "a guide that is hardly finer",
    GridError,
    "scale under 2: the guide's pixels (30.01 m) are hardly finer than the source's (30.01 m); give a "
    "finer guide, or the scale yourself, as in --scale 2 (scale=2)",
    "The ratio of the resolutions is under 1.5, and no scale is given.",
    "Give a finer guide, or the scale.",
    upsampling(guide="dem.tif"),
)
case(
    "a scale of 1",
    GridError,
    "a scale of 1 refines nothing: give a whole number of 2 or more, as in --scale 4 (scale=4)",
    "The scale asked for is 1 or less.",
    "Give a larger one.",
    upsampling("--scale 1", scale=1),
)
case(
    "a scale beyond 64",
    GridError,
    "a scale of 65 is beyond 64: average the guide first, or pass a smaller --scale (scale=)",
    "The scale is beyond 64.",
    "Give a smaller one, or a coarser guide.",
    upsampling("--scale 65", scale=65),
)
case(
    "bounds the wrong way round",
    GridError,
    "bounds are finite numbers W,S,E,N with W < E and S < N, not 435730,4176900,436000,4176000",
    "West and east, or south and north, are exchanged.",
    "Exchange them.",
    upsampling("--bounds 435730,4176900,436000,4176000", bounds=(435730, 4176900, 436000, 4176000)),
)
case(
    "bounds without an end",
    GridError,
    "bounds are finite numbers W,S,E,N with W < E and S < N, not -inf,-inf,inf,inf",
    "Bounds are infinite or no numbers.",
    "Give finite ones; all of the source is done without `--bounds`.",
    upsampling("--bounds=-inf,-inf,inf,inf", bounds=(-np.inf, -np.inf, np.inf, np.inf)),
)
case(
    "bounds beside the raster",
    GridError,
    "the bounds -75,37,-74,38 do not meet the raster at 435730,4175940,436810,4176900: give W,S,E,N in "
    "its CRS, EPSG:32618",
    "The bounds do not meet the source, perhaps for being in another CRS.",
    "Give them in the source's.",
    upsampling("--bounds -75,37,-74,38", bounds=(-75, 37, -74, 38)),
)
case(
    "no place on the guide's grid",
    GridError,
    "a part of the raster at -60,-85,60,45 (EPSG:4326) has no place in North_Pole_Orthographic: crop the "
    "source, or leave out --grid guide (grid='guide')",
    "The target shall lie on the guide's grid, and the guide's CRS has no place for a part of the source.",
    "Cut the source, or keep to its grid.",
    upsampling(
        "--grid guide --scale 2 --min-coverage 0",
        source="south.tif",
        guide="north.tif",
        grid="guide",
        scale=2,
        min_coverage=0,
    ),
)
case(
    "a guide that covers too little",
    GuideCoverageError,
    "the guide covers 59.3 % of the source (needs 95 %); crop the source with --bounds W,S,E,N or "
    ".rio.clip_box(...), or pass --min-coverage 0.59 (min_coverage=0.59)",
    "The guide covers less of the source than `--min-coverage`.",
    "Cut the source, or allow it: what the guide does not cover is interpolated.",
    upsampling(guide="part.tif"),
)

case(
    "pixels of no size",
    GridError,
    "thin.vrt has the transform 0,0,435730,0,-30,4176900, by which its pixels have no size or no place: "
    "give it a real one, as gdal_edit.py -a_ullr or .rio.write_transform(...) does",
    "A raster's transform has a pixel of no width or height, or numbers that are not finite.",
    "Give it a real one.",
    upsampling(source="thin.vrt"),
)
case(
    "coordinates that are no numbers",
    GridError,
    "the array: 1 of 36 coordinates along x are no finite numbers: assign real ones",
    "An array's coordinates are texts, NaN or infinite.",
    "Assign real ones.",
    arrays(shown(lambda: array().assign_coords(x=np.r_[np.nan, array().x.values[1:]]))),
)

# OptionError.

case(
    "a resolution of nothing",
    OptionError,
    "--source-resolution (source_resolution=) is a length in metres above zero, as in 100 or '0.1 km', "
    "or one of landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, viirs, "
    "sentinel-3-slstr, aster-tir; not '0'",
    "`--source-resolution` is a length of zero or below.",
    "Give one above zero.",
    upsampling("--source-resolution 0", source_resolution="0"),
)
case(
    "a resolution that is true",
    OptionError,
    "--source-resolution (source_resolution=) is a length in metres above zero, as in 100 or '0.1 km', "
    "or one of landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, viirs, "
    "sentinel-3-slstr, aster-tir; not True",
    "`source_resolution` is True or False.",
    "Give metres, or a sensor's name.",
    arrays(shown("dem.tif", source_resolution=True), "the command reads no such value"),
)

case(
    "no whole number as the scale",
    OptionError,
    "a scale is a whole number or a pair (down, across) of them, as in scale=4 or scale=(2, 1), not 2.5",
    "`scale` is a fraction or of another type.",
    "Give whole numbers.",
    arrays(shown("dem.tif", scale=2.5), "the command's words are numbers or refused"),
)
case(
    "a share beyond 1",
    OptionError,
    "--min-coverage (min_coverage=) is a share from 0 to 1, not 95",
    "`--min-coverage` or `--mask-share` lies outside of 0 to 1; 95 % are 0.95.",
    "Give a share.",
    upsampling("--min-coverage 95", min_coverage=95),
)
case(
    "no grid",
    OptionError,
    "grid is source or guide, not 'both': for another grid give like=",
    "`grid` is another word.",
    "Choose one.",
    arrays(shown("dem.tif", grid="both"), "the command offers the choices"),
)
case(
    "an empty range",
    OptionError,
    "--valid-range (valid_range=) is the least value and the largest, as in 0,60, not 60,0",
    "The two ends of the range are exchanged, equal, or no numbers.",
    "Exchange them.",
    upsampling("--valid-range 60,0", valid_range=(60, 0)),
)
case(
    "bounds that are not four",
    OptionError,
    "bounds= takes 4 numbers (west, south, east, north), not 3",
    "`bounds` or `valid_range` has more or fewer numbers.",
    "Give as many as it says.",
    arrays(shown("dem.tif", bounds=(1, 2, 3)), "the command reads numbers or tells its own"),
)
case(
    "no method",
    OptionError,
    "there is no method 'lanczos': choose one of mmsr, nearest, bilinear, bicubic, guided-filter, p2p",
    "`--method` is no name of a method.",
    "Choose one.",
    upsampling(method="lanczos"),
)
case(
    "no method to evaluate",
    OptionError,
    "no methods to evaluate: name some with --methods (methods=), such as "
    "nearest,bilinear,bicubic,bicubic+consistency,guided-filter,mmsr",
    "`--methods` names none.",
    "Name some.",
    evaluating(methods=""),
)
case(
    "no such method to evaluate",
    OptionError,
    "there is no method 'lanczos': choose of nearest, bilinear, bicubic, guided-filter, p2p, mmsr, "
    "mmsr-always, mmsr-adapt, mmsr-tile, published",
    "`--methods` names one that there is not.",
    "Choose one.",
    evaluating(methods="bicubic,lanczos"),
)
case(
    "no fit",
    OptionError,
    "fit is one of scene, adapt, tile, published, not 'forest'",
    "`fit` or `if_unhelpful` is another word.",
    "Choose one.",
    arrays(shown("dem.tif", fit="forest"), "the command offers the choices"),
)
case(
    "a fit of no steps",
    OptionError,
    "steps must be 1 or more, not 0",
    "`--steps` or another number of a fit is too small.",
    "Give a larger one.",
    Doors(lambda: mmsr_geo.FitParams(steps=0), "upsample dem.tif ortho.tif -o sharp.tif --steps 0"),
)
case(
    "no threads",
    OptionError,
    "threads must be 1 or more, and 1024 at most, not 0",
    "`--threads` is below 1, or so large that the process would end.",
    "Give 1 or more; the processor's cores are enough.",
    Doors(lambda: mmsr_geo.FitParams(threads=0), "fit dem.tif ortho.tif -o new.mmsr --threads 0"),
)
case(
    "no quality",
    OptionError,
    "quality is one of fast, balanced, best, not 'superb'",
    "`quality` is another word.",
    "Choose one.",
    arrays(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", quality="superb"),  # type: ignore[arg-type]
        "the command offers the choices",
    ),
)
case(
    "a quality and params",
    OptionError,
    "params= says how to fit, and so does quality=: pass one of them",
    "`quality` and `params` together.",
    "Leave one of them out.",
    arrays(
        lambda: mmsr_geo.upsample("dem.tif", "ortho.tif", quality="best", params=QUICK), "no params for the command"
    ),
)
case(
    "no schedule",
    OptionError,
    "schedule is one-cycle or published, not 'slow'",
    "`schedule` is another word.",
    "Choose one.",
    arrays(
        lambda: mmsr_geo.FitParams(schedule="slow"),  # type: ignore[arg-type]
        "no option of the command",
    ),
)
case(
    "no learning rate",
    OptionError,
    "lr must lie between 0 and 1, not 2",
    "`lr` is not between 0 and 1.",
    "Give one that is.",
    arrays(lambda: mmsr_geo.FitParams(lr=2), "no option of the command"),
)
case(
    "no gain that is enough",
    OptionError,
    "enough_gain must lie between 0 and 1, not 2",
    "`enough_gain` is no share.",
    "Give one from 0 to 1.",
    arrays(lambda: mmsr_geo.FitParams(enough_gain=2), "no option of the command"),
)
case(
    "no weight decay",
    OptionError,
    "guide_weight_decay must be 0 or more, not -1",
    "`guide_weight_decay` is below 0 or no number.",
    "Give 0 or more.",
    arrays(lambda: mmsr_geo.FitParams(guide_weight_decay=-1), "no option of the command"),
)
case(
    "nothing to learn from one level down",
    OptionError,
    "first_stage=True finds nothing to learn from one level down: the source's 1 x 1 pixels are too few "
    "at scale 2, or holes; leave first_stage to be decided from the data",
    "`first_stage=True` for a source too small.",
    "Leave it out.",
    arrays(
        lambda: mmsr_geo.fit(
            "dem.tif",
            "ortho.tif",
            2,
            bounds=(435740, 4176880, 435741, 4176890),
            params=mmsr_geo.FitParams(steps=2, first_stage=True, threads=1),
        ),
        "no option of the command",
    ),
)
case(
    "a published fit of a large raster",
    OptionError,
    "the published fit takes the whole raster at every step, and this one was too large to be read whole "
    "(4 parts of 12 x 12 target pixels were): give --bounds (bounds=), or choose --fit tile (fit='tile')",
    "`--fit published` for a raster beyond 8 million target pixels.",
    "Give a part, or another fit.",
    upsampling(
        "--fit published --scale 2 --steps 2 --threads 1", method="mmsr", fit="published", scale=2, params=QUICK
    ),
    fault=large_raster,
)
case(
    "a published fit with params",
    OptionError,
    "--fit published (fit='published') has params of its own: leave out --quality (quality=), or all but steps and "
    "threads",
    "`--fit published` with `--quality`, or with other params than steps and threads.",
    "Leave them out.",
    upsampling("--fit published --quality best", method="mmsr", fit="published", quality="best"),
)
case(
    "another method's params",
    OptionError,
    "of the params of a fit, p2p takes steps and threads alone: leave out --quality (quality=), or the others",
    "`--quality`, or params of a fit, for a method that has none of them.",
    "Give steps and threads alone.",
    upsampling("--method p2p --quality fast", method="p2p", quality="fast"),
)
case(
    "steps of an interpolation",
    OptionError,
    "bicubic is not fitted by steps: leave them out",
    "`--steps` for a method that has none.",
    "Leave it out.",
    upsampling("--steps 2 --threads 1", params=QUICK),
)
case(
    "a model of another method",
    OptionError,
    "a model and a fit are of mmsr, not of bicubic: leave them out, or the method",
    "`--model` or `--fit` with another `--method` than mmsr.",
    "Leave one out.",
    upsampling("--model scene.mmsr", model="scene.mmsr"),
)
case(
    "the uncertainty of another method",
    OptionError,
    "--method bicubic (method=) calibrates no uncertainty, mmsr with one model for the scene does: leave it out, or "
    "--uncertainty (uncertainty=)",
    "`--uncertainty` with another `--method` than mmsr.",
    "Leave one out.",
    upsampling("--uncertainty", uncertainty=True),
)
case(
    "the uncertainty of a model a tile",
    OptionError,
    "--fit tile (fit=) calibrates no uncertainty, mmsr with one model for the scene does: leave it out, or "
    "--uncertainty "
    "(uncertainty=)",
    "`--uncertainty` with `--fit tile`, `adapt` or `published`.",
    "Leave one out.",
    upsampling("--fit tile --uncertainty", method="mmsr", fit="tile", uncertainty=True),
)
case(
    "a model for fits of tiles",
    OptionError,
    "--fit tile (fit='tile') begins afresh: leave out --model (model=), or choose scene or adapt",
    "`--model` with a `--fit` that has no use for one.",
    "Leave one out.",
    upsampling("--model scene.mmsr --fit tile", method="mmsr", model="scene.mmsr", fit="tile"),
)
case(
    "a model that is to be fitted again",
    OptionError,
    "a saved model is not fitted again: leave out --model (model=), or the options of a fit, as --steps (params=)",
    "`--model` with `--steps`.",
    "Leave one out, or adapt the model with `--fit adapt`.",
    upsampling("--model scene.mmsr --steps 2 --threads 1", method="mmsr", model="scene.mmsr", params=QUICK),
)
case(
    "statistics of no model",
    OptionError,
    "--keep-statistics (keep_statistics=) goes with a saved model: pass --model (model=) as well, or leave it out",
    "`--keep-statistics` without `--model`.",
    "Give both or none.",
    upsampling("--keep-statistics", method="mmsr", keep_statistics=True),
)
case(
    "a seed beyond 64 bits",
    OptionError,
    "a seed is a whole number of 64 bits, as in --seed 1 (seed=1), not 18446744073709551616",
    "`--seed` is larger than torch takes.",
    "Give a smaller one.",
    upsampling(f"--seed {2**64}", seed=2**64),
)
case(
    "no device",
    OptionError,
    "there is no device 'gpu': choose --device (device=) auto, cpu, cuda or cuda:N",
    "`--device` is no name of a device.",
    "Choose one.",
    upsampling("--device gpu", device="gpu"),
)
case(
    "a device that is not there",
    OptionError,
    "there is no cuda:99 on this machine: choose --device (device=) auto or cpu",
    "This machine has no such GPU.",
    "Choose another.",
    upsampling("--device cuda:99", device="cuda:99"),
)
case(
    "a device of another kind",
    OptionError,
    "the device 'xpu' is not supported: choose --device (device=) auto, cpu, cuda or cuda:N",
    "torch knows the device, and it was never tried.",
    "Choose another.",
    upsampling("--device xpu", device="xpu"),
)
case(
    "tiles of no size",
    OptionError,
    "--tile-size (tile_size=) is in target pixels and must be 1 or more, not 0",
    "`--tile-size` is below 1.",
    "Give a larger one.",
    upsampling("--tile-size 0", tile_size=0),
)
case(
    "no guide",
    OptionError,
    "there is no guide: give one path or array at least",
    "The list of guides is empty.",
    "Give one at least.",
    arrays(shown("dem.tif", [])),
)
case(
    "a band of no guide",
    OptionError,
    "--guide-band (guide_band=) 'blue.tif:1' names none of the 2 guides: write FILE:BAND, as in ortho.tif:1",
    "`--guide-band` names none of several guides.",
    "Write FILE:BAND.",
    upsampling("--guide-band blue.tif:1", guide=["ortho.tif", "part.tif"], guide_band="blue.tif:1"),
)
case(
    "a band of two guides",
    OptionError,
    "--guide-band (guide_band=) 'ortho.tif:1': 2 guides go by ortho.tif: write the path as it was given, each once",
    "`--guide-band` names a file name that two guides have.",
    "Write the whole path.",
    upsampling("--guide-band ortho.tif:1", guide=["./ortho.tif", "tiles/ortho.tif"], guide_band="ortho.tif:1"),
)
case(
    "no derivation",
    OptionError,
    "there is no derivation 'evi': there are ndvi, gndvi, ndre, ndwi, mndwi, ndmi, ndbi, nbr, ndsi, slope, aspect",
    "`--derive` is none of the bands that can be derived.",
    "Choose one.",
    upsampling("--derive evi", derive="evi"),
)
case(
    "a role that a derivation has not",
    OptionError,
    "derive ndvi:nir=2,blue=1: ndvi takes nir and red, each once, not blue: write --derive ndvi:nir=4,red=3 (derive=)",
    "`--derive` names a role that is not the derivation's, or one twice.",
    "Write it as in the example.",
    upsampling("--derive ndvi:nir=2,blue=1", derive="ndvi:nir=2,blue=1"),
)
case(
    "bands without roles",
    OptionError,
    "derive 'ndvi:2,1' names bands without saying what they are: write --derive ndvi:nir=4,red=3 (derive=)",
    "`--derive` gives bands without saying what they are.",
    "Write it as in the example.",
    upsampling("--derive ndvi:2,1", derive="ndvi:2,1"),
)
case(
    "a derivation of bands that there are not",
    OptionError,
    "derive ndre: no band of the guide is rededge: there are 1 (red), 2 (nir): write --derive "
    "ndre:nir=4,rededge=3 (derive=)",
    "`--derive` needs a band that the guide does not have.",
    "Choose of those named.",
    upsampling("--derive ndre", derive="ndre"),
)
case(
    "no resolution",
    OptionError,
    "--source-resolution (source_resolution=) is a length in metres above zero, as in 100 or '0.1 km', "
    "or one of landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, viirs, "
    "sentinel-3-slstr, aster-tir; not 'landsat'",
    "`--source-resolution` is no length and no sensor.",
    "Give metres, or a sensor's name.",
    upsampling("--source-resolution landsat", source_resolution="landsat"),
)
case(
    "a resolution finer than the pixels",
    OptionError,
    "--source-resolution (source_resolution=) 10 m is finer than half of the source's pixels (30.01 x "
    "30.01 m): give the sensor's resolution, or leave it out",
    "`--source-resolution` is finer than half of a source pixel.",
    "Give the sensor's resolution, or leave it out.",
    upsampling("--source-resolution 10", source_resolution=10),
)
case(
    "three numbers for like",
    OptionError,
    "--like (like=) (10.0, 10.0, 10.0) is no resolution: give a number above zero, or two (down, "
    "across), in units of the source's CRS",
    "`--like` is more than two numbers.",
    "Give one or two.",
    upsampling("--like 10x10x10", like=(10.0, 10.0, 10.0)),
)
case(
    "no resolution for like",
    OptionError,
    "--like (like=) 0.0 is no resolution: give a number above zero, or two (down, across), in units of "
    "the source's CRS",
    "`--like` is a resolution of zero or below, or more than two numbers.",
    "Give one or two above zero.",
    upsampling("--like 0", like=0.0),
)
case(
    "a grid of too many pixels",
    OptionError,
    "--like (like=) 0.001 makes 960000 x 1080000 pixels: a resolution is in units of the source's CRS, EPSG:32618",
    "`--like` makes more than 1e11 pixels, perhaps for being in other units.",
    "Give it in units of the source's CRS.",
    upsampling("--like 0.001", like=0.001),
)
case(
    "a pixel beyond all targets",
    OptionError,
    "--like (like=) 1e+30 makes 1 x 1 pixels: a resolution is in units of the source's CRS, EPSG:32618",
    "`--like` makes a pixel a thousand times as large as the target.",
    "Give it in units of the source's CRS.",
    upsampling("--like 1e30", like=1e30),
)
case(
    "no dtype",
    OptionError,
    "a target cannot be stored as int64: choose a --dtype (dtype=) of uint8, int8, uint16, int16, "
    "uint32, int32, float32, float64",
    "`--dtype` is no type that a target can be stored as.",
    "Choose one.",
    upsampling("--dtype int64", dtype="int64"),
)
case(
    "a scale factor of 0",
    OptionError,
    "--scale-factor (scale_factor=) is 0: give a finite number other than 0, as in 0.1",
    "`--scale-factor` is 0 or not finite.",
    "Give another.",
    upsampling("--scale-factor 0", scale_factor=0),
)
case(
    "no offset",
    OptionError,
    "--add-offset (add_offset=) is nan: give a finite number, as in 273.15",
    "`--add-offset` is not finite.",
    "Give another.",
    upsampling("--add-offset nan", add_offset=float("nan")),
)
case(
    "a source that cannot be rescaled",
    OptionError,
    "the source declares scale nan and offset 0, which cannot be rescaled: mend its tags, or leave out "
    "--scale-factor (scale_factor=) and --add-offset (add_offset=)",
    "Stored values shall be rescaled, and the source's own scale or offset is no number.",
    "Mend the source's tags, or leave the options out.",
    upsampling("--scale-factor 0.1 --scale 2", source="scaled.tif", scale_factor=0.1, scale=2),
)
case(
    "no creation option",
    OptionError,
    "the creation option 'LZW' is no KEY=VALUE: write it as in COMPRESS=LZW",
    "`--co` has no `=`.",
    "Write KEY=VALUE.",
    upsampling("--co LZW", creation_options=["LZW"]),
)
case(
    "a creation option without a value",
    OptionError,
    "the creation option 'COMPRESS=' is no KEY=VALUE: write it as in COMPRESS=LZW",
    "`--co` has no key or no value.",
    "Write KEY=VALUE.",
    upsampling("--co COMPRESS=", creation_options=["COMPRESS="]),
)
case(
    "a creation option twice",
    OptionError,
    "the creation option COMPRESS is given 2 times: keep one",
    "`--co` gives a key more than once.",
    "Keep one.",
    upsampling("--co COMPRESS=LZW --co compress=ZSTD", creation_options=["COMPRESS=LZW", "compress=ZSTD"]),
)
case(
    "a creation option that resamples",
    OptionError,
    "the creation option RES would resample the target, which then averages to the source no more: leave "
    "it out, and give it to gdal_translate -of COG for the finished file",
    "`--co` has the COG driver warp.",
    "Leave it out.",
    upsampling("--co RES=10", creation_options=["RES=10"]),
)
case(
    "no size of a block",
    OptionError,
    "BLOCKSIZE=100: give a whole multiple of 16 from 128 to 4096, as in 512",
    "`--co BLOCKSIZE` is none that a COG can have.",
    "Give another.",
    upsampling("--co BLOCKSIZE=100", creation_options=["BLOCKSIZE=100"]),
)
case(
    "a creation option that GDAL does not know",
    OptionError,
    "GDAL cannot make a COG of 1 float32 band with COMPRESS=ZIP (…): use what "
    "https://gdal.org/en/stable/drivers/raster/cog.html lists",
    "GDAL's COG driver refuses an option, or would not heed it.",
    "Use what it lists.",
    upsampling("--co COMPRESS=ZIP", creation_options=["COMPRESS=ZIP"]),
)
case(
    "a compression that loses holes",
    OptionError,
    "with COMPRESS=JPEG holes do not stay holes (… of 8448 pixels came back wrong): choose a lossless "
    "compression, as in COMPRESS=DEFLATE",
    "A lossy compression changes nodata.",
    "Choose a lossless one.",
    upsampling("--dtype uint8 --co COMPRESS=JPEG", dtype="uint8", creation_options=["COMPRESS=JPEG"]),
)
case(
    "a bit beyond 63",
    OptionError,
    "a mask has no bit 64: count from 0 to 63, as in QA_PIXEL.TIF:3,4",
    "A mask's bits are beyond what numbers have.",
    "Count from 0.",
    upsampling("--source-mask qa.tif:64", source_mask="qa.tif:64"),
)
case(
    "a bit beyond the type's",
    OptionError,
    "qa.tif has no bit 8: uint8 has 8, from 0 to 7",
    "A mask's bits are beyond what its own numbers have.",
    "Count from 0.",
    upsampling("--source-mask qa.tif:8", source_mask="qa.tif:8"),
)
case(
    "no model to save",
    OptionError,
    "made.tif was made without a scene's model: there is none to save",
    "The model of an outcome is asked for that has none.",
    "Fit a scene's model.",
    arrays(unsaved_model, "the command tells before"),
)
case(
    "a model to save that is given",
    OptionError,
    "--save-model goes with a fit: leave out --model, or copy its file",
    "`--save-model` with `--model`.",
    "Leave one out.",
    Doors(
        None,
        "upsample dem.tif ortho.tif -o sharp.tif --model scene.mmsr --save-model again.mmsr",
        alone="command only: it saves the model as well",
    ),
)
case(
    "a model to save of another method",
    OptionError,
    "--save-model saves a scene's model: leave it out, or --method and --fit",
    "`--save-model` with another `--method`, or `--fit tile`.",
    "Leave one out.",
    Doors(
        None,
        "upsample dem.tif ortho.tif -o sharp.tif --method bicubic --save-model again.mmsr",
        alone="command only: it saves the model as well",
    ),
)

case(
    "a model in the target's place",
    OptionError,
    "sharp.tif cannot hold both the model and what -o writes: give --save-model another name",
    "`--save-model` is the output, or `--qa`.",
    "Give another name.",
    Doors(
        None,
        "upsample dem.tif ortho.tif -o sharp.tif --save-model sharp.tif",
        alone="command only: it saves the model as well",
    ),
)

# ModelFileError.

case(
    "no model",
    ModelFileError,
    "there is no model at none.mmsr: make one with mmsr-geo fit SOURCE GUIDE -o none.mmsr",
    "There is no file at `--model`.",
    "Mend the path, or fit one.",
    loading("none.mmsr"),
)
case(
    "a model that is a text",
    ModelFileError,
    "text.mmsr holds no model or is damaged (…): make it again with mmsr-geo fit",
    "The file is none of safetensors, or cut short.",
    "Fit one again.",
    loading("text.mmsr"),
)
case(
    "a model of something else",
    ModelFileError,
    "other.mmsr is a safetensors file, but not of mmsr_geo: give one from mmsr-geo fit",
    "The file is one of safetensors, and no model of this package.",
    "Give another.",
    loading("other.mmsr"),
)
case(
    "a damaged model",
    ModelFileError,
    "damaged.mmsr is damaged or from another version (format 99, this version reads 5): make it again",
    "The model does not hold together, or another version wrote it.",
    "Fit one again.",
    loading("damaged.mmsr"),
)
case(
    "a model for other bands",
    ModelFileError,
    "the model is for 2 guide bands (red, nir), this guide has 1 (red): give a guide with the same bands, or fit anew",
    "The model was fitted to another number of guide bands.",
    "Give a guide like the model's.",
    upsampling("--model scene.mmsr --guide-band 1", method="mmsr", model="scene.mmsr", guide_band=1),
)
case(
    "a model for another scale",
    ModelFileError,
    "the model is for scale 2, this pair has 3: pass --scale 2 (scale=), or fit anew",
    "The model was fitted for another scale.",
    "Leave the scale out, or fit anew.",
    upsampling("--model scene.mmsr --scale 3", method="mmsr", model="scene.mmsr", scale=3),
)

# JobError.


def batching(job: str, **more: Any) -> Doors:
    return Doors(partial(mmsr_geo.batch, job), f"batch {job}", **more)


case(
    "no job",
    JobError,
    "none.toml cannot be read (No such file or directory): name a job file; mmsr-geo batch --init writes an example",
    "There is no job file of that name, or it is no text.",
    "Mend the path, or have an example written.",
    batching("none.toml"),
)
case(
    "a job that is no TOML",
    JobError,
    "text.toml is no TOML (…): mmsr-geo batch --init writes an example",
    "The job file is not TOML.",
    "Mend the line that is named.",
    batching("text.toml"),
)
case(
    "a job with wrong values",
    JobError,
    "wrong.toml has 2 mistakes: options.seed: input should be a valid integer, unable to parse string as "
    "an integer, not 'x'; options.sharpness: there is nothing of that name, not 3",
    "Names or values in the job file are wrong; all of them are told at once.",
    "Mend each where it stands.",
    batching("wrong.toml"),
)
case(
    "a job without its files",
    JobError,
    "missing.toml has 2 mistakes: pairs[0].source: there is no gone.tif; output: 2 pairs would be "
    "written to a.tif: put {name} in it",
    "Files of the job are missing, or two pairs would be one.",
    "Mend each where it stands.",
    batching("missing.toml"),
)
case(
    "a job whose pair fails",
    JobError,
    "waves: …/waves.tif holds complex numbers: give its amplitude or another real "
    "quantity; mend it and call again, or go on without it (--on-error skip, on_error=)",
    "A pair is refused, and the job does not say that the others go on.",
    "Mend what the pair's own message says. What was done stays done.",
    batching("failing.toml"),
    job="failing",
)
case(
    "a job whose outputs have no folder",
    JobError,
    "dem: cannot make the folder …/qa.tif (File exists): write another folder in the job file's output or qa, or make "
    "room for it; mend it and call again, or go on without it (--on-error skip, on_error=)",
    "A folder of a pair's outputs cannot be made: a file is in its place, or the one above is closed to writing.",
    "Write another folder in the job file, or move the file away.",
    batching("blocked.toml"),
    job="blocked",
)

case(
    "a job for a cluster whose library is missing",
    JobError,
    "this kind of cluster needs dask-jobqueue (No module named 'dask_jobqueue'): pip install dask-jobqueue",
    "`kind` in a job file's `[cluster]` needs dask-jobqueue or dask-cuda.",
    "Install it.",
    batching("slurm.toml"),
)
case(
    "a job whose record cannot be written",
    JobError,
    "held.record.jsonl cannot be written to (Is a directory): put the job file into a folder that can be",
    "The record beside the job file is closed to writing.",
    "Put the job file elsewhere.",
    batching("held.toml"),
)
case(
    "a job under way",
    JobError,
    "another process does this job already (failing.record.jsonl is held): wait for it, or stop it",
    "The same job runs already.",
    "Wait, or stop it.",
    batching("failing.toml"),
    fault=raising("fcntl.flock", BlockingIOError(errno.EAGAIN, "held")),
    job="failing",
)
case(
    "two clusters",
    OptionError,
    "a scheduler that runs has its workers: leave out workers, or the address",
    "`--scheduler` and `--workers` are given.",
    "Leave one of them out.",
    Doors(
        partial(mmsr_geo.batch, "failing.toml", scheduler="tcp://127.0.0.1:1", workers=2),
        "batch failing.toml --scheduler tcp://127.0.0.1:1 --workers 2",
    ),
)
case(
    "no workers",
    OptionError,
    "workers is the number of processes, 1 or more, not 0",
    "`workers=` is no number of processes.",
    "Give 1 or more.",
    arrays(
        lambda: mmsr_geo.upsample_to_file("dem.tif", "ortho.tif", "sharp.tif", method="bicubic", workers=0),
        "the command names its range",
    ),
)
case(
    "no amount of memory",
    OptionError,
    "'much' is no amount of memory: write it as in 4GB, 512MiB or 2e9",
    "`--memory-limit` is no size.",
    "Write a number with a unit.",
    upsampling("--memory-limit much", memory_limit="much"),
)
case(
    "too little memory",
    OptionError,
    "a process may take 100 MB (memory_limit), and this work takes … in tiles of … px: allow more, pass a smaller "
    "--tile-size (tile_size=), a part (--bounds, bounds=), fewer guide bands (--guide-band, guide_band=) or a saved "
    "model (--model, model=)",
    "What a process takes at its peak, as `plan` reckons it, is more than `--memory-limit`.",
    "Allow more, or take smaller tiles, a part, fewer bands or a saved model.",
    upsampling("--memory-limit 100MB", memory_limit="100MB"),
)
case(
    "a job's errors to be ignored",
    OptionError,
    "there is no on_error 'ignore': choose of stop, skip",
    "`on_error=` is a word that says nothing.",
    "`skip` to go on without what failed, `stop` to end there.",
    arrays(lambda: mmsr_geo.batch("failing.toml", on_error="ignore"), "the command names its choices"),  # type: ignore[arg-type]
)

# PixelError.

case(
    "nothing in common where it was looked for",
    PixelError,
    "source holes.tif and guide ortho.tif hold no valid pixel in common where they were looked for: "
    "check their nodata values and that they show the same place",
    "Of the windows that were looked at, none holds a valid pixel of source and guide.",
    "Declare the right nodata (`--source-nodata`, `--guide-nodata`), or give a guide without clouds there.",
    fitting(source="holes.tif"),
)
case(
    "nothing in common",
    PixelError,
    "source and guide have no valid pixel in common: check that they show the same place",
    "Where the source is valid, the guide is a hole, and the other way round.",
    "Declare the right nodata, or give a guide that shows the same place.",
    fitting("--scale 2", source="left.tif", guide="right.tif", scale=2),
)
case(
    "nothing in common for p2p",
    PixelError,
    "source and guide have no valid pixel in common: check that they show the same place",
    "The same, found by `--method p2p`.",
    "Declare the right nodata, or give a guide that shows the same place.",
    upsampling(
        "--scale 2 --steps 2 --threads 1", source="left.tif", guide="right.tif", method="p2p", scale=2, params=QUICK
    ),
)
case(
    "too small to be evaluated",
    PixelError,
    "dem.tif has 32 x 36 pixels: one level down, at scale 8, fewer than 8 are left along a side; give a "
    "larger part, a smaller scale or a truth",
    "Without a truth methods are compared one level down, where the source must be 8 pixels at least along a side.",
    "Give a larger part, a smaller `--scale`, or a `--truth`.",
    evaluating("--scale 8", scale=8),
)
case(
    "no truth",
    PixelError,
    "dem.tif: the truth holds no valid pixel there; check its nodata value and place",
    "The truth holds nothing where it is compared.",
    "Mend its nodata or its place.",
    evaluating("--scale 2 --truth far.tif", scale=2, truth="far.tif"),
)
case(
    "a guide that did not help",
    UnhelpfulGuideError,
    "ortho.tif for dem.tif: the guide did not help: one level down its error is 1.20 of the "
    "interpolation's, on blocks kept from the fit; give another guide, or choose --if-unhelpful "
    "(if_unhelpful=) bicubic or warn",
    "`--if-unhelpful error`, and the guide did not help.",
    "Give another guide, or have the interpolation.",
    upsampling(
        "--model unhelpful.mmsr --if-unhelpful error", method="mmsr", model="unhelpful.mmsr", if_unhelpful="error"
    ),
)

# OutputError.

case(
    "an output that exists",
    OutputError,
    "south.tif exists: choose another name, or pass --overwrite (overwrite=True)",
    "The output is there.",
    "Choose another name, or overwrite it.",
    upsampling(output="south.tif"),
    stays=False,
)
case(
    "an output that is an input",
    OutputError,
    "dem.tif is an input, dem.tif, which would be lost: give the output another name",
    "An output, by whatever name, is a source, guide, mask, model or raster to be like, or another output.",
    "Give it another name.",
    upsampling(output="dem.tif"),
)
case(
    "a report that has no place",
    OutputError,
    "the report cannot be written to failing.report (Permission denied): make room there, or mend the folder's rights, "
    "and call mmsr-geo report",
    "The folder of a job's report is full or closed, or a file is in its place. At a job's end it is a warning.",
    "Mend the folder, and have the report written.",
    Doors(partial(mmsr_geo.report_batch, "failing.toml"), "report failing.toml"),
    fault=raising("mmsr_geo.jobs.report._replace", DENIED),
    job="failing",
)
case(
    "a model that exists",
    OutputError,
    "scene.mmsr exists: choose another name, or pass overwrite=True",
    "`model.save(..., overwrite=False)`, and the file is there.",
    "Choose another name, or overwrite it.",
    arrays(lambda: mmsr_geo.load("scene.mmsr").save("scene.mmsr", overwrite=False), "the command looks before the fit"),
)
case(
    "an output that is a folder",
    OutputError,
    "tiles is a folder: give the name of a file in it",
    "The output is a folder.",
    "Name a file in it.",
    upsampling(output="tiles"),
)
case(
    "an output that is a pipe",
    OutputError,
    "pipe.tif is a pipe or a device, which no raster can replace: give the name of a file",
    "The output is a pipe or a device.",
    "Name a file.",
    upsampling(output="pipe.tif"),
)
case(
    "a folder that is missing",
    OutputError,
    "the folder none does not exist: make it first",
    "The output's folder is missing.",
    "Make it.",
    upsampling(output="none/sharp.tif"),
)
case(
    "a name too long",
    OutputError,
    f"{LONG} is a name of 244 bytes: give one of 240 at most",
    "The output's name is too long for an unfinished file beside it.",
    "Give a shorter one.",
    upsampling(output=LONG),
)
case(
    "a place out of reach",
    OutputError,
    "closed/sharp.tif cannot be reached (Permission denied): choose another place for it",
    "The output's folder cannot be looked into.",
    "Choose another.",
    upsampling(output="closed/sharp.tif"),
    fault=closed_folder,
)
case(
    "one file for two",
    OutputError,
    "sharp.tif is another output, sharp.tif, which would be lost: give the output another name",
    "`--qa` is the output.",
    "Give another.",
    upsampling("--qa sharp.tif", qa="sharp.tif"),
)
case(
    "a disk without room",
    OutputError,
    "sharp.tif needs 0.0 GB to be written, 0.0 GB are free: make room",
    "The disk has less room than the uncompressed pixels take.",
    "Make room.",
    upsampling(),
    fault=full,
)
case(
    "a folder closed to writing",
    OutputError,
    "the folder . cannot be written to (Permission denied): choose another for the output",
    "No file can be made in the output's folder.",
    "Choose another.",
    upsampling(),
    fault=raising("tempfile.mkdtemp", DENIED),
)
case(
    "a draft that fails",
    OutputError,
    "sharp.tif could not be written (Write failed; 5.0 GB free): make room, or write elsewhere",
    "GDAL cannot begin the file.",
    "Make room, or write elsewhere.",
    upsampling("--like 5", like=5.0),
    fault=unwritable_drafts,
)
case(
    "a disk too full for tiles",
    OutputError,
    "tiles could not be written to … (No space left on device): make room there, or mend the folder's rights, and "
    "call again",
    "The disk or its rights fail where finished tiles wait for the others.",
    "Make room or mend the rights; a job goes on from what is done.",
    upsampling(),
    fault=raising("os.fsync", NO_SPACE),
)
case(
    "a disk that fills up",
    OutputError,
    "sharp.tif could not be written ([Errno 28] No space left on device; 5.0 GB free): make room, or write elsewhere",
    "The disk or GDAL fails while the file is written.",
    "Make room, or write elsewhere.",
    upsampling(),
    fault=raising("mmsr_geo.raster.write.cog.sync", NO_SPACE),
)
case(
    "a Zarr store without the library",
    OutputError,
    "sharp.zarr takes zarr 3 to be written: pip install 'mmsr-geo[zarr]', or write a .tif",
    "The output ends in .zarr, and zarr is missing, or older than 3.",
    "Install it, or write a file.",
    upsampling(output="sharp.zarr"),
    fault=raising("mmsr_geo.raster.write.destination.version", PackageNotFoundError()),
)
case(
    "a Zarr store without a folder",
    OutputError,
    "the folder none does not exist: make it first",
    "The folder that the store is to lie in is missing.",
    "Make it.",
    upsampling(output="none/sharp.zarr"),
)
case(
    "a Zarr store out of reach",
    OutputError,
    "closed/sharp.zarr cannot be reached (Permission denied): choose another place for it",
    "The folder that the store is to lie in cannot be looked into.",
    "Choose another.",
    upsampling(output="closed/sharp.zarr"),
    fault=closed_folder,
)
case(
    "a folder that ends in .zarr",
    OutputError,
    "theirs.zarr is there and is no target of mmsr_geo's, so it is not replaced: remove it, or choose another name",
    "Something else than a target of this package has the name: a file, a folder, a store with other groups.",
    "Remove it, or choose another name.",
    upsampling(output="theirs.zarr"),
)
case(
    "a Zarr store that is there",
    OutputError,
    "ours.zarr exists: choose another name, or pass --overwrite (overwrite=True)",
    "The store is there already, a target of this package.",
    "Choose another name, or overwrite it.",
    upsampling(output="ours.zarr"),
    stays=False,
)
case(
    "a Zarr store on a disk that fills up",
    OutputError,
    "sharp.zarr could not be written ([Errno 28] No space left on device; 5.0 GB free): make room, or write elsewhere",
    "The disk fails while the store is written.",
    "Make room, or write elsewhere.",
    replace(
        upsampling(output="sharp.zarr"),
        words="upsample dem.tif ortho.tif --output sharp.zarr --method bicubic",  # no file shall be in its place before
    ),
    fault=raising("mmsr_geo.raster.write.zarr.sync", NO_SPACE),
)
case(
    "bands that are no one variable",
    OptionError,
    "the source's 2 bands have scales or offsets of their own, and a variable of a Zarr store has one: pass one for "
    "all (--scale-factor, scale_factor=), or write a .tif",
    "The output is a Zarr store, and the source's bands differ in their scale or offset.",
    "Rescale all alike, or write a file.",
    replace(
        upsampling(source="scales.tif", output="sharp.zarr"),
        words="upsample scales.tif ortho.tif --output sharp.zarr --method bicubic",
    ),
)
case(
    "a file of flags beside a Zarr store",
    OptionError,
    "sharp.zarr is a Zarr store, and the flags lie in it with the target, as qa: leave out --qa (qa=)",
    "`--qa` with an output that ends in .zarr.",
    "Leave it out.",
    upsampling("--qa qa2.tif", output="sharp.zarr", qa="qa2.tif"),
)
case(
    "a Zarr store of flags alone",
    OptionError,
    "qa2.zarr is a Zarr store, and flags go into one with their target only: give --qa (qa=) a .tif, or the output a "
    "name that ends in .zarr",
    "`--qa` ends in .zarr, and the output does not.",
    "Name a file, or have both in one store.",
    upsampling("--qa qa2.zarr", qa="qa2.zarr"),
)
case(
    "creation options for a Zarr store",
    OptionError,
    "sharp.zarr is a Zarr store, and creation options are of GDAL's COG driver: leave out --co (creation_options=)",
    "`--co` with an output that ends in .zarr.",
    "Leave them out.",
    upsampling("--co COMPRESS=ZSTD", output="sharp.zarr", creation_options=["COMPRESS=ZSTD"]),
)
case(
    "an object that is there",
    OutputError,
    "memory://there/sharp.tif exists: choose another name, or pass --overwrite (overwrite=True)",
    "The output is a URL, and an object is there.",
    "Choose another name, or overwrite it.",
    upsampling(output="memory://there/sharp.tif"),
    fault=lambda _: ObjectUrl("memory://there/sharp.tif").write(MINE),
    stays=False,
)
case(
    "an object store out of reach",
    OutputError,
    "memory://gone/sharp.tif cannot be reached or written to (The specified bucket does not exist): check the address "
    "and the credentials, and call again",
    "An output's URL, or that of a job's tiles, cannot be reached: no such bucket, no credentials, no leave to write, "
    "no network.",
    "Mend the address, or the library's settings (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...).",
    upsampling(output="memory://gone/sharp.tif"),
    fault=raising(
        "fsspec.implementations.memory.MemoryFileSystem.pipe_file", ValueError("The specified bucket does not exist")
    ),
)
case(
    "a URL of no known kind",
    OutputError,
    "nowhere://a/sharp.tif cannot be opened (…): install what it takes, or name a folder",
    "Nothing here knows such URLs; those of S3 take the extra s3.",
    "`pip install 'mmsr-geo[s3]'`, or name a folder.",
    upsampling(output="nowhere://a/sharp.tif"),
)
case(
    "a model's folder closed to writing",
    OutputError,
    "cannot write new.mmsr: Permission denied; check that its folder is there and can be written to",
    "No file can be made where a model shall be saved.",
    "Choose another place.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=QUICK).save("new.mmsr"),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --steps 2 --threads 1",
    ),
    fault=raising("tempfile.mkstemp", DENIED),
)
case(
    "a disk that fills up with a model",
    OutputError,
    "cannot write new.mmsr: [Errno 28] No space left on device; check the space and the rights there",
    "The disk fails while a model is saved.",
    "Make room.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=QUICK).save("new.mmsr"),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --steps 2 --threads 1",
    ),
    fault=raising("mmsr_geo.network.fitted.save_file", NO_SPACE),
)
case(
    "a report in a file",
    OutputError,
    "cannot write dem.tif: dem.tif is no folder; choose another folder (-o)",
    "The folder of a report lies in a file, or is closed to writing.",
    "Choose another.",
    Doors(
        lambda: save_report(
            mmsr_geo.evaluate("dem.tif", "ortho.tif", 2, methods=["bicubic"]), Path("dem.tif"), overwrite=False
        ),
        "evaluate dem.tif ortho.tif -o dem.tif --scale 2 --methods bicubic",
    ),
)
case(
    "a report on a full disk",
    OutputError,
    "report cannot be written to (No space left on device): choose another folder",
    "The disk fails while a report is written.",
    "Choose another.",
    Doors(
        lambda: save_report(
            mmsr_geo.evaluate("dem.tif", "ortho.tif", 2, methods=["bicubic"]), Path("report"), overwrite=False
        ),
        "evaluate dem.tif ortho.tif -o report --scale 2 --methods bicubic",
    ),
    fault=raising("mmsr_geo.evaluation.report.draw_report", NO_SPACE),
)
case(
    "a demo in a file",
    OutputError,
    "cannot make the folder dem.tif/demo (Not a directory): choose another (-o)",
    "The folder of the demo cannot be made.",
    "Choose another.",
    Doors(lambda: run_demo(Path("dem.tif/demo")), "demo -o dem.tif/demo"),
)

# What click itself tells: the command's words, before anything is looked at.


def wording(words: str) -> Doors:
    return Doors(None, f"upsample dem.tif ortho.tif -o sharp.tif {words}", alone="command only: its words")


case(
    "no number as the scale",
    click.UsageError,
    "Invalid value for '--scale': 'four' is no scale: give a whole number such as 4, or 2x1 (down x across)",
    "`--scale` is no whole number, nor two with an x between.",
    "Write it as in the message.",
    wording("--scale four"),
)
case(
    "no four numbers as the bounds",
    click.UsageError,
    "Invalid value for '--bounds': '1,2,3' is not W,S,E,N: give four numbers in the source's CRS, as in "
    "3.1,50.2,3.4,50.5",
    "`--bounds` are not four numbers with commas between.",
    "Write them as in the message.",
    wording("--bounds 1,2,3"),
)
case(
    "no two numbers as the range",
    click.UsageError,
    "Invalid value for '--valid-range': '60' is not MIN,MAX: give two numbers, as in 0,60",
    "`--valid-range` is not two numbers with a comma between.",
    "Write them as in the message.",
    wording("--valid-range 60"),
)
case(
    "none of the choices",
    click.UsageError,
    "Invalid value for '--grid': 'both' is not one of 'source', 'guide'.",
    "An option that offers choices is another word.",
    "Choose one.",
    wording("--grid both"),
)
case(
    "no number",
    click.UsageError,
    "Invalid value for '--seed': 'one' is not a valid integer.",
    "An option that takes a number is a word.",
    "Give a number.",
    wording("--seed one"),
)
case(
    "no such option",
    click.UsageError,
    "No such option '--zzz'.",
    "The command has no such option.",
    "See `mmsr-geo upsample --help`.",
    wording("--zzz 3"),
)

# Warnings.

case(
    "a guide coarser than the target",
    GuideWarning,
    "the guide's pixels (15.01 m) are larger than the target's (7.503 m): the target will hold no detail finer than "
    "the guide's; give a finer guide, or a smaller --scale (scale=)",
    "The scale is larger than the ratio of the resolutions.",
    "Give a finer guide, or a smaller scale. The target has the guide's detail.",
    upsampling("--scale 4", scale=4),
)
case(
    "a guide that did not help is left out",
    GuideWarning,
    "ortho.tif for dem.tif: the guide did not help: one level down its error is 1.20 of the "
    "interpolation's, on blocks kept from the fit; the consistent bicubic interpolation is given",
    "One level down, on blocks kept from the fit, the model was no better than the interpolation.",
    "Give another guide. The target is the consistent bicubic, and says so in its tags.",
    upsampling("--model unhelpful.mmsr", method="mmsr", model="unhelpful.mmsr"),
)
case(
    "a guide that did not help is used",
    GuideWarning,
    "ortho.tif for dem.tif: the guide did not help: one level down its error is 1.20 of the "
    "interpolation's, on blocks kept from the fit; it is used all the same",
    "The same, with `--if-unhelpful warn`.",
    "Look at the target with care, or leave the option out.",
    upsampling(
        "--model unhelpful.mmsr --if-unhelpful warn", method="mmsr", model="unhelpful.mmsr", if_unhelpful="warn"
    ),
)
case(
    "a value that looks like nodata",
    NodataWarning,
    "undeclared.tif: -9999 stands on 5.6 % of the pixels looked at, far from all others, and no nodata "
    "is declared: pass --source-nodata -9999 (source_nodata=-9999) if they are holes",
    "A value far from all others, or a collar along the border, takes 1 % of the pixels or more, and none is declared.",
    "Declare it if it stands for holes. The target was made as if it were a value.",
    upsampling("--scale 2", source="undeclared.tif", scale=2),
)
case(
    "an uncertainty that the fit could not calibrate",
    MmsrWarning,
    "dem.tif: the uncertainty is not calibrated (too little of the source is there to judge one level down) and a hole "
    "everywhere: give a larger part, or a smaller scale",
    "One level down the source has fewer than 16 x 16 pixels, or hardly any that the fit has not seen.",
    "Give a larger part, or a smaller scale. The target is as it would be without `--uncertainty`.",
    upsampling(
        "--scale 2 --bounds 435730,4176300,436330,4176900 --uncertainty --steps 2 --threads 1",
        method="mmsr",
        scale=2,
        bounds=(435_730, 4_176_300, 436_330, 4_176_900),
        uncertainty=True,
        params=QUICK,
    ),
)
case(
    "a saved model that knows no uncertainty",
    MmsrWarning,
    "dem.tif: the uncertainty is not calibrated (the saved model knows none) and a hole everywhere: fit anew, to a "
    "larger part or at a smaller scale",
    "`--uncertainty` with a model whose fit could not calibrate it.",
    "Fit anew. The target is as it would be without `--uncertainty`.",
    upsampling("--model uncalibrated.mmsr --uncertainty", method="mmsr", model="uncalibrated.mmsr", uncertainty=True),
)
case(
    "an uncertainty that the fit was told not to calibrate",
    MmsrWarning,
    "dem.tif: the uncertainty is not calibrated (first_stage=False leaves its check one level down out) and a hole "
    "everywhere: leave that out of params=",
    "`FitParams(first_stage=False)` with `uncertainty=True`.",
    "Leave it out of the params. The target is as it would be without `uncertainty`.",
    arrays(
        lambda: mmsr_geo.upsample_to_file(
            "dem.tif", "ortho.tif", "sharp.tif", 2, uncertainty=True, params=replace(QUICK, first_stage=False)
        ),
        "the command has no such option",
    ),
)
case(
    "values that were clipped",
    MmsrWarning,
    "4598 of 4608 values (99.8 %) lay outside 0 to 255, what uint8 holds, and were clipped: pass a wider "
    "--dtype (dtype=), or another --scale-factor (scale_factor=) or --add-offset (add_offset=)",
    "Values of the target lie outside of what `--dtype` holds.",
    "Choose another dtype, or a scale factor and an offset.",
    upsampling("--scale 2 --dtype uint8", scale=2, dtype="uint8"),
)


# How they are run.


REFUSALS = [case for case in CASES if not issubclass(case.kind, Warning)]
WARNINGS = [case for case in CASES if issubclass(case.kind, Warning)]


def of(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases])


def is_said(case: Case, sentence: str) -> bool:
    """Whether it is the case's sentence; … stands for words of GDAL, PROJ or others, and numbers of theirs."""
    return re.fullmatch(".+".join(map(re.escape, case.says.split("…"))), sentence) is not None


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
    said = {f"{job}.record.jsonl", f"{job}.log", f"{job}.report"} if job else set()
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
class Told:
    """What the command left on its streams, and why it left."""

    status: int
    out: str
    err: str
    error: BaseException | None


def told_by_command(case: Case, more: str = "", progress: str = "none") -> Told:
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
            told = leaving.__context__
            left = told.__cause__ or told if told is not None else None
        finally:
            signal.signal(signal.SIGTERM, before)
    return Told(status, out.getvalue(), err.getvalue(), left)


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
    assert is_said(case, str(error)), str(error)
    assert "\n" not in str(error)
    assert found(case.job) == before


@of([case for case in REFUSALS if case.doors.words is not None])
@pytest.mark.usefixtures("_here")
def test_the_command_refuses_in_the_same_sentence_and_leaves_nothing(case: Case) -> None:
    before = found()
    told = told_by_command(case)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith("Error: ")
    assert told.err.endswith("\n")
    sentence = told.err.removeprefix("Error: ").removesuffix("\n").removesuffix(" (see mmsr-geo upsample --help)")
    assert is_said(case, sentence), sentence
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
    told = told_by_command(case, "--overwrite" if overwrite else "")
    assert (told.status, told.err.count("\n")) == (2, 1), told.err
    assert found() == before
    if overwrite:
        sentence = told.err.removeprefix("Error: ").removesuffix("\n").removesuffix(" (see mmsr-geo upsample --help)")
        assert is_said(case, sentence), sentence
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
    assert str(mine.message) == case.says
    Path("sharp.tif").unlink()
    if case.doors.words is None:
        return
    told = told_by_command(case, progress="json")
    assert (told.status, told.err) == (0, "")
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [event["message"] for event in events if event["event"] == "warning"] == [case.says]
    assert Path("sharp.tif").exists()


# The refusals that the code holds.

KINDS = (
    InputError,
    ChangedInputError,
    GridError,
    GuideCoverageError,
    OptionError,
    ModelFileError,
    PixelError,
    UnhelpfulGuideError,
    JobError,
    OutputError,
    click.UsageError,
    GuideWarning,
    NodataWarning,
    MmsrWarning,
)
UNREACHED = {
    "baselines/__init__.py baseline 1": "who calls it has looked the name up before",
    "baselines/guided_filter.py GuidedFilter.__post_init__ 1": "no option of the package sets the filter's radius",
    "baselines/guided_filter.py GuidedFilter.__post_init__ 2": "no option of the package sets the filter's eps",
    "baselines/p2p.py P2P.__post_init__ 1": "FitParams has refused so few steps before",
    "raster/placing.py _check_group 4": "a job's pair tells it: its store of groups is something else",
    "jobs/cluster.py Cluster.__post_init__ 1": "a job file's own check comes before",
    "jobs/cluster.py Cluster.__post_init__ 2": "a job file's own check comes before",
    "jobs/cluster.py Cluster.__post_init__ 3": "a job file's own check comes before",
    "jobs/dask_pool.py OnCluster._look 1": "a scheduler has to be killed for it: jobs/test_kills.py",
    "jobs/dask_pool.py OnCluster._its_scheduler 1": "a scheduler has to be killed for it: jobs/executors/test_dask.py",
    "jobs/dask_pool.py OnCluster._results 1": "a scheduler has to be killed for it: jobs/test_kills.py",
    "jobs/batch.py _Running.finish 1": "it takes a pair of which every tile fails: jobs/output/test_output_job.py",
    "jobs/course.py Course._check_bands 1": "it takes two pairs: jobs/output/test_output_job.py",
    "jobs/record.py Record.append 1": "it takes a full disk: jobs/output/test_output_job.py",
    "jobs/store.py FolderStore.get 1": "a disk has to fail: jobs/output/test_output_job.py",
    "jobs/dask_pool.py _client_of 1": "it waits for 20 s: jobs/executors/test_dask.py",
    "jobs/dask_pool.py _of_library 2": "it takes dask-jobqueue",
    "jobs/finishing.py _hold_the_tiles 1": "it takes a disk that gives back other bytes than it was given, twice",
    "jobs/store.py FolderStore.record 1": "the tiles' own files come before: jobs/output/test_output_job.py",
    "jobs/work.py TileTask._prediction 1": "it takes a file spoiled between two stages: jobs/output/test_output_job.py",
    "methods.py fitted_before 1": "a job file's own check comes before",
    "jobs/batch.py _make_room 1": "a job's pair tells it: it is in the case's JobError of outputs without a folder",
    "network/samples.py Statistics.of 1": "samples without a valid pixel are not taken, and a tile of such falls back",
    "network/samples.py Statistics.of 2": "samples without a valid pixel are not taken, and a tile of such falls back",
    "raster/files.py _file_grid 1": "GDAL opens no file without pixels",
    "raster/masking.py MaskRule.__post_init__ 2": "no option gives a mask's classes; SCL's come without bits",
    "raster/storing.py Storage.encode 1": "Storage.nodata gives integers a number always",
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
    by_command = {site_of(told_by_command(case).error) for case in REFUSALS if case.doors.words is not None}
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


# The document.

HEAD = """# Errors and warnings

<!-- Made by `python tests/doors/test_refusals.py` from the cases there, which reach each of them: do not edit. -->

What is refused is refused before anything is written: no output, no half of one, and what was there before stays as it
was. From Python it is an exception, from the command one line on stderr (`Error: ...`) and the exit status 2; with
`--progress json` it is also an event. All exceptions are kinds of `mmsr_geo.MmsrError`, all warnings of
`mmsr_geo.MmsrWarning`.

The numbers and names are an example's; … stands for words of GDAL, PROJ or another library, or for a folder. An
option is named as the command has it, and in brackets as Python has it. Where a row says so, there is one door to it.
"""


def document() -> str:
    """Return docs/errors.md."""
    parts = [HEAD]
    for kind in KINDS:
        own = [case for case in CASES if case.kind is kind]
        about = (kind.__doc__ or "").strip().splitlines()[0] if kind.__module__.startswith("mmsr_geo") else ""
        title = f"`{kind.__name__}`" if about else "The command's words"
        about = about or "Told by the command alone, with the exit status 2, before anything is looked at."
        rows = [f"| {_code(case)} | {case.when} | {case.mend} |" for case in own]
        parts.append(
            "\n".join([f"## {title}\n\n{about}\n", "| It says | When | What to do |", "|---|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def _code(case: Case) -> str:
    """The sentence as code, and which door it is met at if not at both."""
    door = f" ({case.doors.alone.partition(':')[0]})" if case.doors.alone and case.kind is not click.UsageError else ""
    said = case.says.replace(LONG, "sharpsharp….tif").replace("|", "\\|")
    return f"`{said}`{door}"


def test_the_document_is_what_the_cases_make() -> None:
    assert DOCUMENT.read_text() == document(), "run: python tests/doors/test_refusals.py"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
