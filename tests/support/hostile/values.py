"""Values that break arithmetic, dtypes, scales, nodata and masks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

import mmsr_geo
from mmsr_geo.errors import InputError, PixelError
from support.hostile.cases import (
    ARRAYS,
    PLACE,
    SHAPE,
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


@result("infinite values")
def infinities_are_nodata(at: Path) -> Job:
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
    return Job(write_source(at, values, nodata=np.inf), write_guide(at), Target(with_nodata(scene(), np.s_[:5])))


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
    target = Target(values, warned="source_nodata=")
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
    target = Target(with_nodata(scene(), np.s_[4, 5], np.s_[12:14, 3]))
    return Job(write_source(at, values), write_guide(at), target)


@result("double precision")
def the_least_double_as_nodata(at: Path) -> Job:
    least = float(np.finfo(np.float64).min)
    values = scene().astype(np.float64)
    values[:, :6] = least
    return Job(write_source(at, values, nodata=least), write_guide(at), Target(with_nodata(scene(), np.s_[:, :6])))


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
    return Job(days, guide_array(), Refusal(InputError, "datetime64.*convert it first"))


@refused("no quantity", ARRAYS)
def objects_and_texts(_: Path) -> Job:
    texts = array().copy(data=scene().astype(object))
    return Job(texts, guide_array(), Refusal(InputError, "dtype object, which holds no numbers"))


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
    words = "scale nan and offset 0, from which values cannot be rescaled: correct its tags"
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
    target = Target(clipped, also=at_its_end, warned="were clipped: pass a wider dtype")
    return Job(write_source(at, values), write_guide(at), target, options=options, method="nearest")


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
    target = Target(with_nodata(scene(), np.s_[2:5, 2:5]))
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
            missing = (dataset.read(1) & int(mmsr_geo.Flag.GUIDE_GAP)) > 0
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
    target = Target(with_nodata(scene(), np.s_[:4]))
    return Job(write_source(at, values), write_guide(at), target, options={"source_nodata": -9999}, method="mmsr")


@result("masks")
def alpha_beside_a_source(at: Path) -> Job:
    values = scene().astype(np.uint16)
    alpha = np.full(SHAPE, 65535, np.uint16)
    alpha[5:9, 5:9] = 0
    source = write_source(at, np.stack([values, alpha]), photometric="MINISBLACK", alpha="YES")
    return Job(source, write_guide(at), Target(with_nodata(values, np.s_[5:9, 5:9])))


@result("masks")
def a_mask_band_within_the_file(at: Path) -> Job:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        source = write_source(at)
        with rasterio.open(source, "r+") as dataset:
            mask = np.full(SHAPE, 255, np.uint8)
            mask[0, 0], mask[12:, 20:] = 0, 0
            dataset.write_mask(mask)
    return Job(source, write_guide(at), Target(with_nodata(scene(), np.s_[0, 0], np.s_[12:, 20:])), method="mmsr")


@result("masks")
def a_mask_in_a_file_beside(at: Path) -> Job:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        source = write_source(at)
        with rasterio.open(source, "r+") as dataset:
            mask = np.full(SHAPE, 255, np.uint8)
            mask[3:6] = 0
            dataset.write_mask(mask)
    assert (at / "source.tif.msk").exists()
    return Job(source, write_guide(at), Target(with_nodata(scene(), np.s_[3:6])))


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


@refused("missing")
def a_guide_of_nodata_alone(at: Path) -> Job:
    guide = write_guide(at, np.zeros((2, 44, 52), np.uint16), nodata=0)
    return Job(write_source(at), guide, Refusal(PixelError, "no valid pixel in common"), method="mmsr")


@result("missing")
def a_guide_with_gaps_everywhere(at: Path) -> Job:
    texels = texture()
    texels[0, ::3, ::3], texels[1, 1::3, 1::3] = 0, 0
    return Job(write_source(at), write_guide(at, texels, nodata=0), Target(scene()), method="mmsr")


@result("missing")
def a_chessboard_of_nodata(at: Path) -> Job:
    board = np.indices(SHAPE).sum(axis=0) % 2 == 0
    values = np.where(board, -1, scene()).astype(np.float32)
    target = Target(np.where(board, np.nan, scene()))
    return Job(write_source(at, values, nodata=-1), write_guide(at), target, method="mmsr")


@refused("missing")
def a_source_of_nodata_alone(at: Path) -> Job:
    source = write_source(at, np.full(SHAPE, -9999, np.int16), nodata=-9999)
    return Job(source, write_guide(at), Refusal(PixelError, "no valid pixel"), method="mmsr")


@result("missing")
def a_source_of_nodata_alone_interpolated(at: Path) -> Job:
    source = write_source(at, np.full(SHAPE, -9999, np.int16), nodata=-9999)
    return Job(source, write_guide(at), Target(np.full(SHAPE, np.nan)))
