"""Inputs that are refused or warned of: rasters, masks, models and job files, and faults around the package."""

from __future__ import annotations

import errno
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from safetensors.numpy import save_file

import mmsr_geo
from mmsr_geo.errors import (
    MmsrWarning,
)
from mmsr_geo.geometry import Window
from mmsr_geo.network.guide_check import Region
from mmsr_geo.network.model_file import FORMAT
from mmsr_geo.network.sensor import Sensor
from mmsr_geo.network.stacking import StackingWeights
from support.rasters import georeferenced
from support.refusals.cases import QUICK

PLACE = Affine(30, 0, 435_730, 0, -30, 4_176_900)


SHAPE = (32, 36)


WINDOW = Window(0, 0, *SHAPE)


LONG = "sharp" * 48 + ".tif"


MINE = b"an output that was there before"


Values = NDArray[Any]


def scene(height: int = SHAPE[0], width: int = SHAPE[1], seed: int = 0) -> Values:
    random = np.random.default_rng(seed)
    return (280 + 9 * random.standard_normal((height, width))).astype(np.float32)


def texture(bands: int = 2, height: int = 68, width: int = 76) -> Values:
    return np.random.default_rng(1).integers(200, 4000, (bands, height, width)).astype(np.uint16)


def write(name: str, values: Values, transform: Affine | None = PLACE, **profile: Any) -> None:
    """Write (h, w) or (bands, h, w); crs=None and transform=None leave them out."""
    bands = values if values.ndim == 3 else values[np.newaxis]
    reported = {"crs": "EPSG:32618"} | profile
    tags, descriptions = reported.pop("tags", {}), reported.pop("descriptions", ())
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
            **reported,
        ) as dataset:
            if tags:
                dataset.update_tags(**tags)
            if descriptions:
                dataset.descriptions = descriptions
            dataset.write(bands)  # last: what is reported later goes to the file's end


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
    missing = np.full(SHAPE, np.nan, np.float32)
    write("dem.tif", scene())
    write("ortho.tif", texture(), AROUND, descriptions=("red", "nir"))
    write("two.tif", np.stack([scene(), scene()]), descriptions=("ground", "surface"))
    write("left.tif", left, nodata=np.nan)
    write("right.tif", right_guide, AROUND, nodata=0)
    write("empty.tif", missing, nodata=np.nan)
    write("part.tif", texture(2, 40, 76), AROUND)
    write("elsewhere.tif", texture(), AROUND * Affine.translation(500, 0))
    write("far.tif", scene(), PLACE * Affine.translation(500, 0))
    write("polar.tif", scene(26, 24), Affine(1e5, 0, -1.2e6, 0, -1e5, 1.3e6), crs="EPSG:3413")
    write("world.tif", texture(1, 36, 72), Affine(5, 0, -180, 0, -5, 90), crs="EPSG:4326")
    write("south.tif", scene(26, 24), Affine(5, 0, -60, 0, -5, 45), crs="EPSG:4326")
    write("north.tif", texture(1, 100, 100), Affine(1e5, 0, -5e6, 0, -1e5, 5e6), crs="ESRI:102035")
    write("moon.tif", texture(), AROUND, crs="IAU_2015:30100")
    colours = texture(4).astype(np.uint8)
    write("naip.tif", colours, AROUND, photometric="RGB", alpha="YES")
    write("cut_naip.tif", colours, AROUND, photometric="RGB", alpha="YES", compress="deflate")
    Path("cut_naip.tif").write_bytes(Path("cut_naip.tif").read_bytes()[:-300])
    colours[3] = 255
    write("opaque.tif", colours, AROUND, photometric="RGB", alpha="YES")
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
    parts = np.random.default_rng(1).integers(0, 256, (68, 76), np.uint8)
    write("picture.tif", parts, AROUND)
    with rasterio.open("picture.tif", "r+") as dataset:
        dataset.write_colormap(1, {value: (value, 255 - value, value // 2, 255) for value in range(256)})
    fields = (texture(1)[0] > 500).astype(np.uint8)
    write("fields.tif", 1 + fields, AROUND)
    fields[:8, :40] = 2
    write("later.tif", 1 + fields, AROUND)
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
    Path("modis.hdf").write_bytes(bytes.fromhex("0e031301") + bytes(400))
    swath().rename("heat").to_dataset().to_netcdf("swath.nc", engine="scipy")
    heat = in_kilometres().rename("heat")
    for dim in ("x", "y"):
        heat[dim].attrs["standard_name"] = f"projection_{dim}_coordinate"
    heat.to_dataset().to_netcdf("kilometres.nc", engine="scipy")
    write_sharded()
    Path("theirs.zarr").mkdir()
    Path("theirs.zarr/notes.txt").write_bytes(MINE)
    Path("ours.zarr").mkdir()
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"MMSR_GEO_VERSION": "0.1.0"}}
    Path("ours.zarr/zarr.json").write_text(json.dumps(group))
    Path("tiles").mkdir()
    write("tiles/ortho.tif", texture(), AROUND)


def write_sharded() -> None:
    """Write the metadata of a Zarr array with shards, as outputs have them."""
    chunks = {"name": "regular", "configuration": {"chunk_shape": list(SHAPE)}}
    shards = {"chunk_shape": list(SHAPE), "codecs": [{"name": "bytes"}], "index_codecs": [{"name": "bytes"}]}
    Path("sharded.zarr").mkdir()
    Path("sharded.zarr/zarr.json").write_text(
        json.dumps(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": SHAPE,
                "data_type": "float32",
                "chunk_grid": chunks,
                "chunk_key_encoding": {"name": "default"},
                "fill_value": 0,
                "codecs": [{"name": "sharding_indexed", "configuration": shards}],
            }
        )
    )


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
    Path("netcdf.toml").write_text('output = "a.nc"\n' + pair.format("dem.tif"))
    Path("slurm.toml").write_text('output = "a.tif"\n' + pair.format("dem.tif") + '[cluster]\nkind = "slurm"\n')
    Path("held.toml").write_text('output = "a.tif"\n' + pair.format("dem.tif"))
    Path("held.record.jsonl").mkdir()


def write_models() -> None:
    """Save a model for two guide bands and scale 2, one whose guide did not help, and files that hold none."""
    save_file({"weights": np.zeros(3, np.float32)}, "other.mmsr")
    for name, file_format in (("damaged", FORMAT), ("old", 5)):
        description = {"mmsr_geo": json.dumps({"format": file_format})}
        save_file({"weights": np.zeros(3, np.float32)}, f"{name}.mmsr", metadata=description)
    Path("text.mmsr").write_text("Dear colleague, please find the model attached.\n")
    model = mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=replace(QUICK, ensemble=False))
    replace(model, check=mmsr_geo.GuideCheck()).save("scene.mmsr")
    of_classes = mmsr_geo.fit("dem.tif", "fields.tif", 2, params=replace(QUICK, ensemble=False), guide_classes=1)
    replace(of_classes, check=mmsr_geo.GuideCheck()).save("fields.mmsr")
    draft = mmsr_geo.fit("dem.tif", "ortho.tif", 2, quality="draft", threads=1)
    draft.save("draft.mmsr")
    assert draft.members is not None
    sensed = replace(draft.members, sensor=Sensor((0.4, 0.4)))
    replace(model, members=sensed, stacking=StackingWeights(0.5, 0.5)).save("sensed.mmsr")
    judged = Region(WINDOW, validated_px=90, sum_squares=144.0, baseline_sum_squares=100.0)
    replace(model, check=mmsr_geo.GuideCheck((judged,))).save("unhelpful.mmsr")
    replace(model, check=mmsr_geo.GuideCheck(), interval=None).save("uncalibrated.mmsr")


def array(values: Values | None = None, **options: Any) -> xr.DataArray:
    return georeferenced(scene() if values is None else values, PLACE, **options)


def swath(*dims: str) -> xr.DataArray:
    """An array with a latitude and a longitude for each pixel, of the dimensions y and x unless others are given."""
    dims = dims or ("y", "x")
    lat, lon = np.meshgrid(np.linspace(38, 37, SHAPE[0]), np.linspace(-76, -75, SHAPE[1]), indexing="ij")
    made = xr.DataArray(scene(), dims=dims, coords={"lat": (dims, lat), "lon": (dims, lon)})
    made.lat.attrs.update(units="degrees_north", standard_name="latitude")
    made.lon.attrs.update(units="degrees_east", standard_name="longitude")
    return made


def _with_units(x: Values, y: Values, units: str, crs: object) -> xr.DataArray:
    made: xr.DataArray = xr.DataArray(scene(), dims=("y", "x"), coords={"y": y, "x": x})
    made = made.rio.write_crs(crs)
    for dim in ("x", "y"):
        made[dim].attrs["units"] = units
    return made


def in_degrees(*, west: float, crs: object = 4326) -> xr.DataArray:
    """An array of hundredths of degrees, which jump at 180."""
    x = (west + 0.01 * np.arange(SHAPE[1]) + 180) % 360 - 180
    return _with_units(x, 38 - 0.01 * np.arange(SHAPE[0]), "degrees", crs)


def in_kilometres() -> xr.DataArray:
    x, y = 435.745 + 0.03 * np.arange(SHAPE[1]), 4176.885 - 0.03 * np.arange(SHAPE[0])
    return _with_units(x, y, "km", 32618)


def bare(name: str, transform: Affine) -> xr.DataArray:
    """An array without coordinates, whose place is reported by a grid mapping of its own."""
    made: xr.DataArray = array().drop_vars(["x", "y", "spatial_ref"]).rename(name)
    mapping = f"{name}_crs"
    made = made.rio.write_crs(32618, grid_mapping_name=mapping)
    placed: xr.DataArray = made.rio.write_transform(transform, grid_mapping_name=mapping)
    return placed


def of_corners() -> xr.DataArray:
    """An array whose x and y are the corners of its pixels, on whole multiples of their size, as stackstac has them."""
    place = PLACE * Affine.translation(2 / 3, 0)
    coords = {"y": place.f + place.e * np.arange(SHAPE[0]), "x": place.c + place.a * np.arange(SHAPE[1]), "epsg": 32618}
    return xr.DataArray(scene(), dims=("y", "x"), coords=coords, attrs={"transform": place})


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


def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the rules of Windows for names of files."""
    monkeypatch.setattr("mmsr_geo.raster.write.destination.WINDOWS", True)


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
