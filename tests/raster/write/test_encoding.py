"""Targets stored as other dtypes, with scales, creation options and flags: exact values, and what GDAL reads back."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from mmsr_geo.errors import OptionError, OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.options import DTYPES
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.cog import CogWriter
from mmsr_geo.raster.write.cog_driver import check_creation
from mmsr_geo.raster.write.encoding import Encoding, parse_creation_options, with_nodata
from mmsr_geo.raster.write.staged import finish_together

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAN = math.nan
GRID = GeoBox((700, 1100), Affine(10, 0, 435_730, 0, -10, 4_176_900), "EPSG:32618")
WHOLE = Window(0, 0, 700, 1100)
INTEGERS = [dtype for dtype in DTYPES if "int" in dtype]


def raw(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.fixture(scope="module")
def values() -> NDArray[np.float32]:
    made = np.random.default_rng(0).normal(20, 9, (2, 700, 1100)).astype(np.float32)
    made[:, 100:140, 300:380] = np.nan
    return made


# what is stored


def test_tenths_are_exact_in_int16() -> None:
    stored, clipped = Encoding("int16", 0.1).encode(raw(20.0, 20.04, 20.06, -0.3, 0, NAN), -32768)
    assert stored.dtype == np.int16
    assert stored.tolist() == [200, 200, 201, -3, 0, -32768]
    assert clipped == 0


def test_integers_are_rounded_half_to_even() -> None:
    stored, clipped = Encoding("uint8").encode(raw(0.5, 1.5, 2.5, 2.51, 254.4, NAN), 255)
    assert stored.tolist() == [0, 2, 2, 3, 254, 255]
    assert clipped == 0


def test_a_sources_own_scale_and_offset_are_applied_before_those_asked_for() -> None:
    landsat = BandTags("surface temperature", "K", 0.00341802, 149.0)
    counts = raw(44_177, 43_000, NAN)  # 300.0 K, 295.97 K
    stored, _ = Encoding("int16", 0.01, 273.15).encode(counts, -32768, landsat)
    kelvin = counts.astype(np.float64) * 0.00341802 + 149
    assert stored[:2].tolist() == [round((k - 273.15) / 0.01) for k in kelvin[:2].tolist()] == [2685, 2282]
    assert stored[2] == -32768
    (tags,) = Encoding("int16", 0.01, 273.15).tags([landsat])
    assert tags == BandTags("surface temperature", "K", 0.01, 273.15)


def test_without_a_scale_raw_values_and_the_sources_tags_are_kept() -> None:
    landsat = BandTags("surface temperature", "K", 0.00341802, 149.0)
    stored, _ = Encoding("uint16").encode(raw(44_177.4, NAN), 0, landsat)
    assert stored.tolist() == [44_177, 0]
    assert Encoding("uint16").tags([landsat]) == (landsat,)


def test_widths_have_the_scale_and_no_offset() -> None:
    """A source whose stored value falls as the quantity grows, too: a width is not negative."""
    source = BandTags("heat", "K", scale=-0.5, offset=100.0)
    half = source.of_uncertainty("uncertainty")
    values = np.array([[3.0, np.nan]], np.float32)
    assert half == BandTags("uncertainty", "K", scale=0.5, offset=0.0, is_width=True)
    assert Encoding().tags([half]) == (half,)
    assert Encoding().encode(values, -1.0, half)[0].tolist() == [[3.0, -1.0]]
    for encoding, scale in ((Encoding("int16", -0.01, 273.15), 0.01), (Encoding("float64", add_offset=5.0), 1.0)):
        (reported,) = encoding.tags([half])
        assert (reported.scale, reported.offset, reported.unit, reported.description) == (
            scale,
            0.0,
            "K",
            "uncertainty",
        )
        stored, clipped = encoding.encode(values, -32768, half)
        assert (stored * reported.scale).tolist()[0][0] == pytest.approx(1.5)
        assert (stored[0, 1], clipped) == (-32768, 0)
    narrow = Encoding("uint8", 0.001, 273.15)
    assert narrow.encode(values, 0, half)[1] == 1
    said = narrow.clipping(1, 2, half)
    assert said.startswith("1 of 2 uncertainty values (50 %) are outside 0 to 0.255, the range of uint8 with scale")


def test_an_offset_alone_has_scale_one_and_a_scale_alone_no_offset() -> None:
    assert Encoding("int16", add_offset=100.0).encode(raw(17.2), -32768)[0].tolist() == [-83]
    assert Encoding("int16", add_offset=100.0).tags([BandTags("b", "K", 0.5, 3)]) == (BandTags("b", "K", 1.0, 100.0),)
    assert Encoding("int16", 2.0).tags([BandTags("b", "K", 0.5, 3)]) == (BandTags("b", "K", 2.0, 0.0),)


def test_floats_are_rescaled_too_and_not_rounded() -> None:
    stored, clipped = Encoding("float32", 1.0).encode(raw(10.25, NAN), NAN, BandTags(scale=0.5, offset=100))
    assert stored.dtype == np.float32
    assert (stored[0], clipped) == (105.125, 0)
    assert np.isnan(stored[1])
    huge, clipped = Encoding("float32", 1e-30).encode(raw(1e20, -1e20, 1), NAN)
    assert clipped == 2
    assert huge[:2].tolist() == [np.finfo(np.float32).max, np.finfo(np.float32).min]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_what_lies_outside_is_clipped_at_both_ends_and_counted(dtype: str) -> None:
    encoding = Encoding(dtype)
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    nodata = encoding.nodata(None)
    outside = raw(low * 2.0 - 1000, high * 2.0, np.inf, -np.inf)
    stored, clipped = encoding.encode(np.append(outside, raw(1, NAN)), nodata)
    first, last = low + (nodata == low), high - (nodata == high)
    assert stored.tolist() == [first, last, last, first, 1, int(nodata)]
    assert clipped == 4


def test_clipping_is_reported_with_numbers_and_a_fix() -> None:
    line = Encoding("int16", 0.1, 5.0).clipping(3, 1000)
    assert line.startswith(
        "3 of 1000 values (0.3 %) are outside -3271.8 to 3281.7, the range of int16 with scale factor 0.1 "
    )
    assert "⟨dtype⟩" in line
    assert "\n" not in line
    assert "-128 to 127, the range of int8" in Encoding("int8").clipping(1, 7)


@pytest.mark.parametrize(
    ("encoding", "source", "nodata"),
    [
        (Encoding("int16"), -9999.0, -9999),
        (Encoding("int16"), None, -32768),
        (Encoding("int16"), NAN, -32768),
        (Encoding("int16"), -9999.5, -32768),
        (Encoding("int16"), 65535.0, -32768),
        (Encoding("int16"), -3.4028234663852886e38, -32768),
        (Encoding("int16"), math.inf, -32768),
        (Encoding("int16", 0.1), -9999.0, -32768),
        (Encoding("int16", add_offset=1.0), 0.0, -32768),
        (Encoding("uint8"), 0.0, 0),
        (Encoding("uint8"), -1.0, 255),
        (Encoding("int8"), None, -128),
        (Encoding("uint16"), None, 65535),
        (Encoding("uint32"), None, 4294967295),
        (Encoding("int32"), None, -2147483648),
        (Encoding(), -9999.0, -9999),
        (Encoding(), -9999.9, NAN),
        (Encoding("float32", 0.5), None, NAN),
        (Encoding("float64"), -9999.9, -9999.9),
        (Encoding("float64"), -1.7976931348623157e308, -1.7976931348623157e308),
        (Encoding("float64"), -math.inf, NAN),
    ],
)
def test_nodata_is_the_sources_where_the_dtype_holds_it(
    encoding: Encoding, source: float | None, nodata: float
) -> None:
    assert encoding.nodata(source) == pytest.approx(nodata, rel=0, nan_ok=True)


@given(
    st.lists(st.floats(width=32) | st.sampled_from([-9999.0, 0.0, 255.0, 65535.0, -32768.0, 127.5]), min_size=1),
    st.sampled_from(DTYPES),
    st.sampled_from([None, -9999.0, 0.0, 255.0, 127.0]),
    st.sampled_from([None, 0.1, -3.0, 1e-40]),
)
def test_masked_pixels_and_no_others_equal_nodata(
    floats: list[float], dtype: str, source: float | None, scale: float | None
) -> None:
    before = raw(*floats)
    encoding = Encoding(dtype, scale)
    nodata = encoding.nodata(source)
    after, clipped = encoding.encode(before, nodata)
    assert after.dtype == dtype
    missing = np.isnan(before)
    found = np.isnan(after) if math.isnan(nodata) else after == nodata
    assert (found == missing).all()
    assert 0 <= clipped <= (~missing).sum()
    with np.errstate(over="ignore"):
        wanted = before.astype(np.float64) / (scale or 1.0)
    inside = ~missing & (wanted >= encoding.range[0]) & (wanted <= encoding.range[1])
    if encoding.is_integer:  # half a step from rounding, one from a value that would be nodata
        assert (np.abs(after[inside] - wanted[inside]) <= 1.5).all()
    elif dtype == "float64":
        assert np.allclose(after[inside], wanted[inside], rtol=1e-6, atol=1e-300)


@given(st.lists(st.floats(width=32), min_size=1), st.sampled_from([-9999.0, 0.0, NAN]))
def test_the_default_stores_what_it_always_did(floats: list[float], nodata: float) -> None:
    stored, clipped = Encoding().encode(raw(*floats), nodata)
    assert stored.tobytes() == with_nodata(raw(*floats), nodata).tobytes()
    assert clipped == 0


# what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "complex64"}, "complex64: choose one of uint8"),
        ({"dtype": "bool"}, "choose one of uint8"),
        ({"dtype": "int64"}, "choose one of uint8"),
        ({"dtype": "short"}, "choose one of uint8"),
        ({"scale_factor": 0.0}, r"scale_factor=0.0 is not allowed: give"),
        ({"scale_factor": NAN}, "scale_factor=nan is not allowed"),
        ({"add_offset": math.inf}, "add_offset=inf is not allowed"),
        ({"creation_options": (("COMPRESS", "LZW"), ("compress", "ZSTD"))}, "COMPRESS is given 2 times"),
        ({"creation_options": (("", "LZW"),)}, "not KEY=VALUE"),
        ({"creation_options": (("COMPRESS", ""),)}, "not KEY=VALUE"),
        ({"creation_options": (("TILING_SCHEME", "GoogleMapsCompatible"),)}, "would resample"),
        ({"creation_options": (("blocksize", "abc"),)}, "multiple of 16"),
        ({"creation_options": (("BLOCKSIZE", "0"),)}, "multiple of 16"),
        ({"creation_options": (("BLOCKSIZE", "65536"),)}, "multiple of 16"),
    ],
)
def test_what_no_file_can_hold_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as refused:
        Encoding(**options)
    assert "\n" not in str(refused.value)


def test_creation_options_are_parsed_from_texts() -> None:
    assert parse_creation_options(["compress=LZW", "LEVEL = 3"]) == (("COMPRESS", "LZW"), ("LEVEL", "3"))
    for text in ("COMPRESS", "=LZW", "COMPRESS=", "a b=c"):
        with pytest.raises(OptionError, match="is not KEY=VALUE: write it as in COMPRESS=LZW"):
            parse_creation_options([text])


def test_a_source_whose_scale_is_no_number_is_not_rescaled() -> None:
    with pytest.raises(OptionError, match="declares scale nan"):
        Encoding("int16", 0.1).tags([BandTags(scale=NAN)])
    assert len(Encoding("int16").tags([BandTags(scale=NAN)])) == 1


@pytest.mark.parametrize(
    ("dtype", "option", "message"),
    [
        ("float32", "FOO=1", "does not support creation option FOO"),
        ("float32", "TILED=YES", "does not support creation option TILED"),
        ("float32", "COMPRESS=BEST", "unexpected value for COMPRESS"),
        ("float32", "LEVEL=high", "LEVEL"),
        ("float32", "OVERVIEW_RESAMPLING=SMOOTH", 'Unsupported resampling method "SMOOTH"'),
        ("float32", "OVERVIEW_COUNT=abc", "OVERVIEW_COUNT"),
        ("int16", "PREDICTOR=FLOATING_POINT", "only supported with Float"),
        ("float32", "COMPRESS=JPEG", "JPEG"),
        ("uint8", "NBITS=4 PREDICTOR=NO", "clipped to fit 4 bit"),
        ("uint8", "COMPRESS=WEBP", "3 .RGB. or 4"),
        ("int16", "COMPRESS=LERC MAX_Z_ERROR=1", "nodata is not preserved"),
        ("uint8", "COMPRESS=JPEG", "nodata is not preserved .*COMPRESS=DEFLATE"),
        ("float32", "NBITS=16", "nodata is not preserved"),
    ],
)
def test_what_gdal_would_pass_over_is_refused_before_any_work(
    tmp_path: Path, dtype: str, option: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    encoding = Encoding(dtype, creation_options=parse_creation_options(option.split()))
    nodata = encoding.nodata(-9999)
    with pytest.raises(OptionError, match=message) as refused:
        CogWriter(tmp_path / "a.tif", GRID, encoding=encoding, nodata=nodata)
    assert "\n" not in str(refused.value)
    assert option in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert names(tmp_path) == set()


def test_an_option_is_refused_also_where_logging_is_silenced(capfd: pytest.CaptureFixture[str]) -> None:
    encoding = Encoding(creation_options=(("FOO", "1"),))
    logger = logging.getLogger("rasterio")
    handlers = list(logger.handlers)
    logger.setLevel(logging.CRITICAL)
    logging.disable(logging.CRITICAL)
    try:
        with pytest.raises(OptionError, match="FOO"):
            check_creation(encoding)
        assert logger.level == logging.CRITICAL
        assert logging.root.manager.disable == logging.CRITICAL
    finally:
        logging.disable(logging.NOTSET)
        logger.setLevel(logging.NOTSET)
    assert capfd.readouterr() == ("", "")
    assert logger.handlers == handlers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [1, 4])
def test_every_dtype_can_be_made(dtype: str, bands: int) -> None:
    check_creation(Encoding(dtype), bands, Encoding(dtype).nodata(None))


# what is read back


def test_a_cog_of_tenths_is_read_back_as_it_was_meant(tmp_path: Path, values: NDArray[np.float32]) -> None:
    path = tmp_path / "sharp.tif"
    encoding = Encoding("int16", 0.1, 5.0)
    tags = [BandTags("air", "degC"), BandTags("ground", "degC", 0.5, 1.0)]
    nodata = encoding.nodata(-9999.0)
    given = values.copy()
    given[0, 0, :3] = 1e9, -1e9, 3281.7
    with CogWriter(path, GRID, bands=2, encoding=encoding, nodata=nodata, band_tags=tags) as writer:
        writer.store(Window(0, 0, 300, 1100), given[:, :300])
        for band in (1, 2):
            writer.store(Window(300, 0, 400, 1100), given[band - 1 : band, 300:], bands=[band])
        writer.finish({"MMSR_GEO_SEED": "3"})
    assert writer.clipped == 2
    assert (writer.clipping or "").startswith(f"2 of {(~np.isnan(given)).sum()} values")
    with rasterio.open(path) as dataset:
        assert dataset.dtypes == ("int16", "int16")
        assert (dataset.nodata, dataset.scales, dataset.offsets) == (-32768, (0.1, 0.1), (5, 5))
        assert (dataset.descriptions, dataset.units) == (("air", "ground"), ("degC", "degC"))
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"], structure["PREDICTOR"]) == ("COG", "DEFLATE", "2")
        read = dataset.read(masked=True)
        assert (read.mask == np.isnan(given)).all()
        physical = read.data * 0.1 + 5
        assert np.nanmax(np.abs(physical[0] - given[0])[1:]) <= 0.0501
        assert np.nanmax(np.abs(physical[1] - (given[1] * 0.5 + 1))[~read.mask[1]]) <= 0.0501
        assert physical[0, 0, :3] == pytest.approx([3281.7, -3271.7, 3281.7])
        assert dataset.tags()["MMSR_GEO_SEED"] == "3"
        with rasterio.open(path, overview_level=0) as overview:
            mean = read.data[0, 10:12, 10:12].mean()
            assert overview.read(1)[5, 5] == pytest.approx(mean, abs=0.5)
    assert names(tmp_path) == {"sharp.tif"}


def test_scales_are_declared_also_where_the_source_has_no_tags(tmp_path: Path, values: NDArray[np.float32]) -> None:
    with CogWriter(tmp_path / "a.tif", GRID, encoding=Encoding("float64", 2.0), nodata=NAN) as writer:
        writer.store(WHOLE, values[:1])
        writer.finish()
    assert (writer.clipped, writer.clipping) == (0, None)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert (dataset.dtypes, dataset.scales, dataset.offsets) == (("float64",), (2,), (0,))
        assert np.array_equal(dataset.read(1), values[0].astype(np.float64) / 2, equal_nan=True)


def test_four_bands_of_uint8_are_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with CogWriter(path, GRID, bands=4, encoding=Encoding("uint8"), nodata=255) as writer:
        writer.store(WHOLE, np.full((4, 700, 1100), 7, np.float32))
        writer.finish()
    with rasterio.open(path) as dataset:
        assert rasterio.enums.ColorInterp.alpha not in dataset.colorinterp
        assert (dataset.read() == 7).all()


def test_creation_options_are_honoured(tmp_path: Path, values: NDArray[np.float32]) -> None:
    options = parse_creation_options(["COMPRESS=LZW", "blocksize=256", "RESAMPLING=nearest"])
    with CogWriter(tmp_path / "a.tif", GRID, bands=2, encoding=Encoding(creation_options=options)) as writer:
        writer.store(WHOLE, values)
        writer.finish()
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "LZW"
        assert dataset.block_shapes == [(256, 256), (256, 256)]
        assert np.array_equal(dataset.read(), values, equal_nan=True)
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as overview:
        assert np.isin(overview.read(1)[:40, :40], values[0]).all()


def test_the_disk_needs_room_for_the_dtype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enough = 2 * 3 * 512**2
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": enough})())
    with CogWriter(tmp_path / "a.tif", GRID, encoding=Encoding("uint8"), nodata=255):
        pass
    with pytest.raises(OutputError, match="free disk space"):
        CogWriter(tmp_path / "a.tif", GRID, encoding=Encoding("int16"), nodata=-32768)


# flags


@pytest.fixture(scope="module")
def flags() -> NDArray[np.uint8]:
    return np.random.default_rng(1).choice(np.array([0, 1, 2, 12, 16], np.uint8), (700, 1100))


def test_flags_keep_their_bits_in_overviews_too(tmp_path: Path, flags: NDArray[np.uint8]) -> None:
    asked = Encoding("int16", 0.1, creation_options=parse_creation_options(["COMPRESS=LERC", "BLOCKSIZE=256"]))
    with CogWriter.of_flags(tmp_path / "qa.tif", GRID, encoding=asked) as writer:
        writer.write(WHOLE, flags[np.newaxis])
        writer.finish({"BIT_0": "nodata of the source"})
    with rasterio.open(tmp_path / "qa.tif") as dataset:
        assert (dataset.dtypes, dataset.nodata, dataset.descriptions) == (("uint8",), None, ("qa",))
        assert (dataset.scales, dataset.offsets) == ((1,), (0,))
        assert dataset.tags()["BIT_0"] == "nodata of the source"
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert (dataset.read(1) == flags).all()
        assert not dataset.read(1, masked=True).mask.any()
        levels = range(len(dataset.overviews(1)))
    assert len(levels) >= 2
    for level in levels:
        with rasterio.open(tmp_path / "qa.tif", overview_level=level) as overview:
            assert set(np.unique(overview.read(1))) <= {0, 1, 2, 12, 16}


@pytest.mark.parametrize("options", ["NUM_THREADS=1", "SPARSE_OK=YES"])
def test_a_file_without_a_flag_is_whole(tmp_path: Path, options: str) -> None:
    encoding = Encoding(creation_options=parse_creation_options([options]))
    with CogWriter.of_flags(tmp_path / "qa.tif", GRID, descriptions=("a", "b"), encoding=encoding) as writer:
        writer.write(Window(0, 0, 9, 9), np.zeros((1, 9, 9), np.uint8), bands=[2])
        writer.finish()
    with rasterio.open(tmp_path / "qa.tif") as dataset:
        assert dataset.descriptions == ("a", "b")
        assert not dataset.read().any()


def test_flags_take_a_lossless_compression_of_the_target() -> None:
    asked = Encoding(creation_options=(("compress", "zstd"), ("LEVEL", "3"), ("PREDICTOR", "FLOATING_POINT")))
    assert asked.for_flags().creation_options == (
        ("COMPRESS", "zstd"),
        ("LEVEL", "3"),
        ("OVERVIEW_RESAMPLING", "NEAREST"),
        ("STATISTICS", "NO"),
    )
    lossy = Encoding(creation_options=(("COMPRESS", "LERC"), ("LEVEL", "3"), ("MAX_Z_ERROR", "0.1")))
    assert lossy.for_flags() == Encoding().for_flags()


# two files or none


def both(folder: Path, values: NDArray[np.float32], flags: NDArray[np.uint8]) -> None:
    with (
        CogWriter(folder / "sharp.tif", GRID, overwrite=True) as target,
        CogWriter.of_flags(folder / "sharp_qa.tif", GRID, overwrite=True) as qa,
    ):
        target.store(WHOLE, values[:1])
        qa.write(WHOLE, flags[np.newaxis])
        finish_together([(target, {"A": "1"}), (qa, {"B": "2"})])


def test_two_files_appear_together(tmp_path: Path, values: NDArray[np.float32], flags: NDArray[np.uint8]) -> None:
    (tmp_path / "sharp.tif").write_text("mine")
    (tmp_path / "sharp_qa.tif.ovr").write_text("of an old one")
    both(tmp_path, values, flags)
    assert names(tmp_path) == {"sharp.tif", "sharp_qa.tif"}
    with rasterio.open(tmp_path / "sharp.tif") as target, rasterio.open(tmp_path / "sharp_qa.tif") as qa:
        assert (target.tags()["A"], qa.tags()["B"]) == ("1", "2")
        assert np.array_equal(target.read(1), values[0], equal_nan=True)
        assert (qa.read(1) == flags).all()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["copy", "replace"])
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("before", [{"sharp.tif": "mine", "sharp_qa.tif": "mine too"}, {"sharp.tif": "mine"}, {}])
def test_neither_appears_where_the_second_fails(
    tmp_path: Path,
    values: NDArray[np.float32],
    flags: NDArray[np.uint8],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    step: str,
    *,
    links: bool,
    before: dict[str, str],
) -> None:
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    copy, replace = rasterio.shutil.copy, Path.replace
    failed: list[str] = []

    def failing_copy(draft: Path, *arguments: Any, **options: Any) -> None:
        copy(draft, *arguments, **options)
        if "sharp_qa" in str(draft):
            failed.append(str(draft))
            raise error

    def failing_replace(made: Path, target: Path) -> Path:
        if made.name == "cog.tif" and target.name == "sharp_qa.tif":
            failed.append(str(made))
            raise error
        return replace(made, target)

    def no_links(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    if step == "copy":
        monkeypatch.setattr(rasterio.shutil, "copy", failing_copy)
    else:
        monkeypatch.setattr(Path, "replace", failing_replace)
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        both(tmp_path, values, flags)
    assert len(failed) == 1
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == before


def test_what_cannot_be_put_back_is_not_thrown_away(
    tmp_path: Path, values: NDArray[np.float32], flags: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sharp.tif").write_text("mine")
    replace = Path.replace

    def broken(made: Path, target: Path) -> Path:
        if made.name == "before.tif" or target.name == "sharp_qa.tif":
            raise OSError(30, "Read-only file system")
        return replace(made, target)

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OutputError, match=r"sharp_qa.tif cannot be written \(.*Read-only"):
        both(tmp_path, values, flags)
    (kept,) = tmp_path.glob(".sharp.tif.*/before.tif")
    assert kept.read_text() == "mine"


def test_a_file_says_its_statistics_and_flags_have_none(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(280, 9, (1, *GRID.shape.yx)).astype(np.float32)
    values[:, :3] = NAN
    path = tmp_path / "a.tif"
    with CogWriter(path, GRID) as writer:
        writer.store(Window.whole(GRID.shape.yx), values)
        writer.finish()
    with rasterio.open(path) as dataset:
        said = {key: float(value) for key, value in dataset.tags(1).items()}
    assert said["STATISTICS_MEAN"] == pytest.approx(float(np.nanmean(values.astype(np.float64))))
    assert said["STATISTICS_MAXIMUM"] == pytest.approx(float(np.nanmax(values)))
    assert said["STATISTICS_VALID_PERCENT"] == pytest.approx(100 * float(np.isfinite(values).mean()), abs=0.01)
    with CogWriter.of_flags(tmp_path / "qa.tif", GRID) as writer:
        writer.write(Window.whole(GRID.shape.yx), np.ones((1, *GRID.shape.yx), np.uint8))
        writer.finish()
    with rasterio.open(tmp_path / "qa.tif") as dataset:
        assert not [key for key in dataset.tags(1) if key.startswith("STATISTICS")]
    assert {each.name for each in tmp_path.iterdir()} == {"a.tif", "qa.tif"}
