"""Files that are cut off, empty, tiny, or not rasters, and their paths."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine

from mmsr_geo.errors import GridError, GuideCoverageError, InputError
from support.hostile.cases import (
    ARRAYS,
    PLACE,
    SHAPE,
    UTM,
    Job,
    Refusal,
    Target,
    array,
    guide_array,
    refused,
    result,
    scene,
    texture,
    vrt,
    vrt_band,
    with_nodata,
    write,
    write_guide,
    write_source,
)


@refused("truncated file")
def cut_within_the_header(at: Path) -> Job:
    source = write_source(at)
    source.write_bytes(source.read_bytes()[:6])
    return Job(source, write_guide(at), Refusal(InputError, r"source\.tif cannot be opened.*check the path"))


@refused("truncated file")
def cut_within_the_pixels(at: Path) -> Job:
    source = write_source(at, compress="deflate")
    source.write_bytes(source.read_bytes()[:-300])
    return Job(source, write_guide(at), Refusal(InputError, r"source\.tif cannot be read at row 0, column 0"))


@refused("truncated file")
def a_guide_cut_within_the_pixels_of_a_fit(at: Path) -> Job:
    guide = write_guide(at)
    guide.write_bytes(guide.read_bytes()[:-2000])
    refusal = Refusal(InputError, r"guide\.tif cannot be read at row")
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
    return Job(empty, guide_array(), Refusal(InputError, "has length 0"))


@refused("zero size", ARRAYS)
def a_guide_without_bands(_: Path) -> Job:
    return Job(array(), guide_array().isel(band=slice(0, 0)), Refusal(InputError, "no pixels"))


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
    return Job(write_source(at), guide, Refusal(GuideCoverageError, r"covers 2\.5 % of the source.*bounds"))


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


@refused("made of parts")
def a_part_that_is_missing(at: Path) -> Job:
    source = vrt(at / "source.vrt", SHAPE, vrt_band("gone.tif"))
    return Job(source, write_guide(at), Refusal(InputError, r"cannot be read|cannot be opened"))


@refused("made of parts")
def a_part_missing_from_the_guide_of_a_fit(at: Path) -> Job:
    corner = PLACE * Affine.scale(0.5) * Affine.translation(-2, -2)
    guide = vrt(at / "guide.vrt", (44, 52), vrt_band("gone.tif", dtype="UInt16"), corner)
    return Job(write_source(at), guide, Refusal(InputError, r"cannot be read|cannot be opened"), method="mmsr")


@refused("made of parts")
def a_mosaic_of_itself(at: Path) -> Job:
    source = vrt(at / "source.vrt", SHAPE, vrt_band("source.vrt"))
    return Job(source, write_guide(at), Refusal(InputError, r"cannot be read|cannot be opened"))


@result("made of parts")
def a_mosaic_that_its_parts_cover_in_part(at: Path) -> Job:
    write(at / "part.tif", scene())
    place = '<SrcRect xOff="0" yOff="0" xSize="24" ySize="12"/><DstRect xOff="0" yOff="0" xSize="24" ySize="12"/>'
    band = vrt_band("part.tif", inside="<NoDataValue>-5</NoDataValue>", place=place)
    source = vrt(at / "source.vrt", SHAPE, band)
    return Job(source, write_guide(at), Target(with_nodata(scene(), np.s_[12:])), method="mmsr")


@refused("made of parts")
def a_container_whose_part_is_not_named(at: Path) -> Job:
    both = xr.Dataset({"rain": array(), "heat": array()})
    both.to_netcdf(at / "source.nc", engine="scipy")
    return Job(at / "source.nc", write_guide(at), Refusal(InputError, r"name one of its parts, as in"))
