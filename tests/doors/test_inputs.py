"""Rasters as archives have them, through every door: what is said of them arrives where it counts."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

import mmsr_geo
from mmsr_geo.geometry import Window
from mmsr_geo.network.guide_check import Region
from mmsr_geo.raster.grids import coarsened
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.mask import SENTINEL2_SCL
from mmsr_geo.raster.views.warp import GridWarp
from support.command import CommandResult
from support.rasters import SENTINEL_GUIDE, block_means, georeferenced, sentinel_crop, sentinel_guide

pytestmark = pytest.mark.slow

Command = Callable[..., CommandResult]
Values = NDArray[np.float32]

SCALE = 4
CROP = sentinel_crop(40, 40, 24, 28, SCALE)
"""480 m of the truth, in source pixels of 80 m."""
QUICK = mmsr_geo.FitParams(steps=6, patch_px=32, threads=1)
SMOOTH = "bicubic+consistency"
PLAIN = ["--progress", "none", "--threads", "1"]


def consistent(target: Values, source: Values, scale: int = SCALE) -> None:
    """The block means are the source: to 1e-5 of its deviation or two float32 ULP."""
    means = block_means(target, scale)
    known = np.isfinite(source)
    tolerance = max(1e-5 * float(source[known].std()), 2 * float(np.spacing(np.abs(source[known]).max())))
    assert (np.isfinite(means) == known).all()
    assert np.abs(means[known] - source[known]).max() <= tolerance


def read(path: Path | str) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.tif"
    CROP.source.rio.to_raster(path)
    return path


@pytest.fixture
def on_target() -> GeoBox:
    return GeoBox((96, 112), CROP.source.rio.transform() * Affine.scale(1 / SCALE), "EPSG:32618")


def on_grid(values: NDArray[Any], grid: GeoBox, path: Path, **profile: Any) -> Path:
    stacked = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(stacked),
        height=grid.shape.y,
        width=grid.shape.x,
        dtype=stacked.dtype,
        crs=str(grid.crs),
        transform=grid.affine,
        **profile,
    ) as dataset:
        dataset.write(stacked)
    return path


def test_one_band_of_a_source_is_upsampled_as_if_it_were_alone(here: Command, tmp_path: Path) -> None:
    values = np.stack([CROP.source.values, CROP.source.values + 1000])
    place = GeoBox(values.shape[1:], CROP.source.rio.transform(), "EPSG:32618")
    both = on_grid(values, place, tmp_path / "both.tif")
    with rasterio.open(both, "r+") as dataset:
        dataset.descriptions = ("low", "high")
        dataset.units = ("m", "mm")
        dataset.scales, dataset.offsets = (1, 0.5), (0, 7)
    on_grid(values[1], place, tmp_path / "high.tif")
    with rasterio.open("high.tif", "r+") as dataset:
        dataset.descriptions, dataset.units, dataset.scales, dataset.offsets = ("high",), ("mm",), (0.5,), (7,)
    options: dict[str, Any] = {"method": SMOOTH}
    alone = mmsr_geo.upsample(tmp_path / "high.tif", SENTINEL_GUIDE, SCALE, **options)
    status, _, reported = here(
        *("upsample", both, SENTINEL_GUIDE, "-o", "out.tif", "--scale", SCALE, "--method", SMOOTH, "--band", 2, *PLAIN)
    )
    assert (status, reported) == (0, "")
    with rasterio.open("out.tif") as made:
        assert (made.descriptions, made.units, made.scales, made.offsets) == (("high",), ("mm",), (0.5,), (7,))
        assert (made.read(1) == alone.values).all()
    Path("job.toml").write_text(
        f'output = "job.tif"\npairs = [{{source = "both.tif", guide = "{SENTINEL_GUIDE}"}}]\n'
        f'[options]\nscale = {SCALE}\nmethod = "{SMOOTH}"\nband = 2\n'
    )
    assert mmsr_geo.batch("job.toml").count("done") == 1
    assert (read("job.tif") == alone.values).all()
    assert mmsr_geo.plan(both, SENTINEL_GUIDE, SCALE, band=2, timed=False, **options).bands == 1
    lazy = mmsr_geo.upsample(both, SENTINEL_GUIDE, SCALE, band=2, **options)
    assert lazy.dims == ("y", "x")
    assert sorted(map(str, lazy.attrs.items())) == sorted(map(str, alone.attrs.items()))
    assert (lazy.attrs["long_name"], lazy.attrs["units"], lazy.attrs["scale_factor"]) == ("high", "mm", 0.5)
    assert (lazy.values == alone.values).all()
    array = xr.DataArray(values, dims=("band", *CROP.source.dims), coords=CROP.source.coords).assign_coords(band=[5, 7])
    for given, band in ((array, 7), (array.drop_vars("band"), 2), (array.transpose("y", "x", "band"), 7)):
        assert (given.mmsr.upsample(SENTINEL_GUIDE, SCALE, band=band, **options).values == alone.values).all()
    dates = xr.concat([array, array + 1], "time").assign_coords(time=[1, 2])
    each = dates.mmsr.upsample(SENTINEL_GUIDE, SCALE, band=5, **options)
    assert each.dims == ("time", "y", "x")
    for wrong, name in ((both, 3), (array, 2), (CROP.source, 2)):
        with pytest.raises(mmsr_geo.InputError, match=f"no data band {name}: its bands are"):
            mmsr_geo.upsample(wrong, SENTINEL_GUIDE, SCALE, band=name, **options)


def test_bounds_over_the_antimeridian_are_that_part_of_the_whole(here: Command, tmp_path: Path) -> None:
    place = Affine(0.01, 0, 179.8, 0, -0.01, -16.5)
    on_grid(CROP.source.values, GeoBox((24, 28), place, "EPSG:4326"), tmp_path / "source.tif")
    on_grid(
        np.random.default_rng(0).integers(1, 200, (96, 112)).astype("uint8"),
        GeoBox((96, 112), place * Affine.scale(1 / SCALE), "EPSG:4326"),
        tmp_path / "guide.tif",
    )
    options: dict[str, Any] = {"method": SMOOTH, "scale": SCALE}
    whole = mmsr_geo.upsample("source.tif", "guide.tif", **options).values
    part = mmsr_geo.upsample("source.tif", "guide.tif", bounds=(179.9, -16.7, -179.97, -16.6), **options)
    assert part.shape == (40, 52)
    assert np.allclose(part.x[[0, -1]], [179.90125, 180.02875])
    assert np.allclose(part.values, whole[40:80, 40:92], atol=1e-3)
    words = "--method", SMOOTH, "--scale", SCALE, "--bounds", "179.9,-16.7,-179.97,-16.6"
    assert here("upsample", "source.tif", "guide.tif", "-o", "out.tif", *words, *PLAIN)[0] == 0
    assert (read("out.tif")[0] == part.values).all()


def test_a_threshold_masks_at_every_door(here: Command, source: Path, tmp_path: Path, on_target: GeoBox) -> None:
    probability = np.zeros((96, 112), "uint8")
    probability[20:60, 30:70] = 67
    probability[70:, 80:] = 66
    on_grid(probability, on_target, tmp_path / "clouds.tif")
    on_grid((probability > 66).astype("uint8"), on_target, tmp_path / "mask.tif")
    expected = mmsr_geo.upsample(source, SENTINEL_GUIDE, SCALE, method=SMOOTH, source_mask="mask.tif").values
    assert np.isnan(expected).any()
    for rule in ("clouds.tif>66", "clouds.tif >= 67"):
        found = mmsr_geo.upsample(source, SENTINEL_GUIDE, SCALE, method=SMOOTH, source_mask=rule).values
        assert np.array_equal(found, expected, equal_nan=True)
    words = "--method", SMOOTH, "--scale", SCALE, "--source-mask", "clouds.tif>66", *PLAIN
    assert here("upsample", source, SENTINEL_GUIDE, "-o", "out.tif", *words)[0] == 0
    Path("job.toml").write_text(
        f'output = "job.tif"\npairs = [{{source = "{source}", guide = "{SENTINEL_GUIDE}"}}]\n'
        f'[options]\nscale = {SCALE}\nmethod = "{SMOOTH}"\nsource_mask = "clouds.tif>66"\n'
    )
    assert mmsr_geo.batch("job.toml").count("done") == 1
    for path in ("out.tif", "job.tif"):
        assert np.array_equal(read(path)[0], expected, equal_nan=True), path


def test_guides_on_grids_of_their_own_are_one_guide(here: Command, source: Path, tmp_path: Path) -> None:
    optical = sentinel_guide()
    coarse = georeferenced(
        block_means(optical.values[3].astype(np.float32), 2).astype(np.float32),
        optical.rio.transform() * Affine.scale(2),
    )
    coarse.rio.to_raster(tmp_path / "coarse nir.tif")
    bands = (f"{SENTINEL_GUIDE.name}:B04,1", "coarse nir.tif:1")
    options: dict[str, Any] = {"guide_band": bands, "derive": "ndvi:nir=coarse nir.tif:1,red=B04", "params": QUICK}
    lazy = mmsr_geo.upsample(source, [SENTINEL_GUIDE, tmp_path / "coarse nir.tif"], SCALE, **options).values
    mmsr_geo.upsample_to_file(
        source, [SENTINEL_GUIDE, tmp_path / "coarse nir.tif"], tmp_path / "python.tif", SCALE, **options
    )
    assert (read(tmp_path / "python.tif")[0] == lazy).all()
    consistent(lazy, CROP.source.values)
    model = mmsr_geo.fit(source, [SENTINEL_GUIDE, tmp_path / "coarse nir.tif"], SCALE, **options)
    assert [band.rpartition(":")[2] for band in model.guide_bands] == ["B04", "B02", "1", "ndvi"]
    status, _, reported = here(
        *("upsample", source, SENTINEL_GUIDE, "coarse nir.tif", "-o", "out.tif", "--scale", SCALE),
        *("--guide-band", bands[0], "--guide-band", bands[1], "--derive", options["derive"]),
        *("--method", SMOOTH, *PLAIN),
    )
    assert (status, reported) == (0, "")


def test_what_a_mask_hides_is_nodata_in_the_source_and_interpolated_in_the_guide(
    here: Command, source: Path, tmp_path: Path, on_target: GeoBox
) -> None:
    clouds = np.full((96, 112), 4, "uint8")  # vegetation
    clouds[20:60, 30:70] = 9
    scl = on_grid(clouds, on_target, tmp_path / "SCL.tif")
    water = np.zeros((96, 112), "uint16")
    water[80:, :16] = 0b100
    water[:3, 100:] = 0b100  # three rows of four: more than half of the uppermost blocks
    mask = on_grid(water, on_target, tmp_path / "water.tif")
    model = mmsr_geo.fit(source, SENTINEL_GUIDE, SCALE, params=QUICK)
    model.save(tmp_path / "model.mmsr")
    options = ("--source-mask", f"{mask}:2", "--guide-mask", scl, "--if-unhelpful", "warn", "--model", "model.mmsr")
    status, _, reported = here(
        "upsample", source, SENTINEL_GUIDE, "-o", "out.tif", "--scale", SCALE, "--qa", "qa.tif", *options, *PLAIN
    )
    assert (status, reported) == (0, "")
    target, qa = read("out.tif")[0], read("qa.tif")[0]
    shares = {flag: float((qa & flag > 0).mean()) for flag in mmsr_geo.Flag}
    outcome = mmsr_geo.upsample_to_file(
        source,
        SENTINEL_GUIDE,
        tmp_path / "again.tif",
        model=model,
        source_mask=f"{mask}:2",
        guide_mask=scl,
        if_unhelpful="warn",
        tile_size=40,
    )
    assert outcome.flag_shares == pytest.approx(shares)
    hidden = CROP.source.values.copy()
    hidden[20:, :4] = hidden[:1, 25:] = np.nan
    consistent(target, hidden)
    flag = mmsr_geo.Flag
    assert ((qa & flag.SOURCE_NODATA > 0) == np.isnan(target)).all()
    missing = qa & flag.GUIDE_GAP > 0
    assert missing[20:60, 30:70].all()
    assert not missing[:10].any()
    # Beyond the correction's reach from the cloud's edge it is an interpolation, and elsewhere it is not.
    smooth = mmsr_geo.upsample(
        source, SENTINEL_GUIDE, SCALE, model=model.unguided, if_unhelpful="warn", source_mask=f"{mask}:2"
    ).values
    middle, beside = np.s_[36:44, 46:54], np.s_[30:50, 80:100]
    assert 10 * np.abs(target - smooth)[middle].max() < np.abs(target - smooth)[beside].max()

    lazy = mmsr_geo.upsample(
        source,
        SENTINEL_GUIDE,
        SCALE,
        model=tmp_path / "model.mmsr",
        if_unhelpful="warn",
        source_mask=f"{mask}:2",
        guide_mask=xr.DataArray(
            clouds, coords=georeferenced(clouds, on_target.affine).coords, dims=("y", "x"), name="SCL"
        ),
        qa=True,
        tile_size=32,
    )
    assert (lazy.qa.values == qa).all()
    assert lazy.qa.attrs["flag_meanings"].split()[0] == "source_nodata"
    assert np.nanmax(np.abs(lazy.values - target)) < 1e-5 * np.nanstd(smooth)
    assert SENTINEL2_SCL.classes[-2] == 9


def test_undeclared_nodata_is_reported_and_fixed(here: Command, tmp_path: Path) -> None:
    values = CROP.source.values.copy()
    values[5:9, 10:20] = -9999
    georeferenced(values, CROP.source.rio.transform()).rio.to_raster(tmp_path / "dem.tif")
    sentence = "dem.tif: -9999 is the value of 40 of 672 sampled pixels (6.0 %)"
    arguments = ("upsample", "dem.tif", SENTINEL_GUIDE, "--scale", SCALE, "--method", SMOOTH, "--threads", 1)
    status, reported, _ = here(*arguments, "-o", "bad.tif", "--progress", "json")
    warned = [each["message"] for each in map(json.loads, reported.splitlines()) if each["event"] == "warning"]
    assert status == 0
    (message,) = warned
    assert message.startswith(sentence)
    assert "--source-nodata -9999" in message
    status, reported, _ = here(*arguments, "-o", "out.tif", "--progress", "json", "--source-nodata", "-9999")
    assert status == 0
    assert "warning" not in reported
    with rasterio.open("out.tif") as dataset:
        assert dataset.nodata == -9999
        target = dataset.read(1, masked=True).filled(np.nan)
    missing = np.where(values == -9999, np.nan, values)
    consistent(target, missing)
    with pytest.warns(mmsr_geo.NodataWarning, match=re.escape(sentence)):
        mmsr_geo.upsample("dem.tif", SENTINEL_GUIDE, SCALE, method=SMOOTH).compute()
    lazy = mmsr_geo.upsample("dem.tif", SENTINEL_GUIDE, SCALE, method=SMOOTH, source_nodata=-9999)
    assert lazy.rio.nodata == -9999
    with warnings.catch_warnings():
        warnings.simplefilter("error", mmsr_geo.MmsrWarning)
        assert (lazy.values[np.isfinite(target)] == target[np.isfinite(target)]).all()


def test_a_target_can_lie_on_the_guides_pixels(here: Command, source: Path) -> None:
    guide = FileRaster.open(SENTINEL_GUIDE)
    options: dict[str, Any] = {"grid": "guide", "method": SMOOTH}
    lazy = mmsr_geo.upsample(source, SENTINEL_GUIDE, 8, **options)
    status, _, reported = here(
        "upsample", source, SENTINEL_GUIDE, "-o", "out.tif", "--grid", "guide", "--scale", 8, "--method", SMOOTH, *PLAIN
    )
    assert (status, reported) == (0, "")
    with rasterio.open("out.tif") as dataset:
        target, transform = dataset.read(1), dataset.transform
    step = ~guide.grid.affine * transform
    assert step.almost_equals(Affine.translation(round(step.c), round(step.f)))
    assert lazy.rio.transform() == pytest.approx(transform)
    assert np.array_equal(lazy.values, target, equal_nan=True)
    # The source warped onto blocks of the guide's pixels is what it averages to.
    height, width = target.shape
    top, left = round(step.f), round(step.c)
    grid = coarsened(guide.grid, mmsr_geo.Scale(8, 8), Window(top, left, height, width))
    raster = FileRaster.open(source)
    warp = GridWarp(raster.grid, grid)
    whole = Window.whole((height // 8, width // 8))
    native = warp.native_window(whole)
    consistent(target, warp.warp(raster.read(native), native, whole).values[0], 8)


def test_a_target_can_be_brought_onto_any_grid(here: Command, source: Path, tmp_path: Path) -> None:
    plain = mmsr_geo.upsample(source, SENTINEL_GUIDE, SCALE, method=SMOOTH, qa=True)
    other = GeoBox((150, 140), Affine(0.0002, 0, -75.727, 0, -0.0002, 37.716), "EPSG:4326")
    on_grid(np.zeros((150, 140), "uint8"), other, tmp_path / "other.tif")
    like = mmsr_geo.upsample(source, SENTINEL_GUIDE, SCALE, method=SMOOTH, like=other, qa=True, tile_size=48)
    assert like.rio.transform() == other.affine
    assert like.rio.crs == "EPSG:4326"
    expected = plain.drop_vars("qa").rio.reproject(
        "EPSG:4326", shape=(150, 140), transform=other.affine, resampling=Resampling.cubic
    )
    inner = np.s_[20:-20, 20:-20]
    both = np.isfinite(like.values) & np.isfinite(expected.values)
    assert both.mean() > 0.4
    off = np.abs(like.values - expected.values)[inner][both[inner]]  # GDAL itself moves by up to an eighth of a pixel
    assert off.mean() < 0.003 * float(plain.std())
    assert off.max() < 0.08 * float(plain.std())
    missed = float(like.consistency_rmse)
    assert 0 < missed < 0.2 * float(CROP.source.std())
    assert ((like.qa.values & mmsr_geo.Flag.SOURCE_NODATA > 0) >= np.isnan(like.values)).mean() > 0.99
    status, reported, _ = here(
        *("upsample", source, SENTINEL_GUIDE, "-o", "out.tif", "--qa", "qa.tif", "--scale", SCALE, "--method", SMOOTH),
        *("--like", "other.tif", "--threads", 1, "--tile-size", 48),
    )
    assert status == 0
    assert f"differ from the source by {missed:.4g} (RMSE)" in " ".join(reported.split())
    assert np.array_equal(read("out.tif")[0], like.values, equal_nan=True)
    assert (read("qa.tif")[0] == like.qa.values).all()
    with rasterio.open("out.tif") as dataset:
        assert float(dataset.tags()["MMSR_GEO_CONSISTENCY_RMSE"]) == pytest.approx(missed, rel=1e-4)
    status, _, _ = here(
        "upsample", source, SENTINEL_GUIDE, "-o", "r.tif", "--scale", SCALE, "--method", SMOOTH, "--like", 25, *PLAIN
    )
    assert status == 0
    with rasterio.open("r.tif") as dataset:
        assert dataset.res == (25, 25)
        assert dataset.transform.c % 25 == dataset.transform.f % 25 == 0
        assert dataset.bounds.left <= plain.rio.bounds()[0] < dataset.bounds.left + 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.tif", "out.tif", "qa.tif", "r.tif", "source.tif"]


def test_a_valid_range_holds_and_what_cannot_is_flagged(here: Command, source: Path) -> None:
    low, high = (float(each) for each in np.percentile(CROP.source.values, [10, 95]))
    status, _, reported = here(
        *("upsample", source, SENTINEL_GUIDE, "-o", "out.tif", "--qa", "qa.tif", "--scale", SCALE),
        *("--valid-range", f"{low},{high}", "--steps", 6, *PLAIN),
    )
    assert (status, reported) == (0, "")
    target, qa = read("out.tif")[0], read("qa.tif")[0]
    impossible = np.kron((CROP.source.values < low) | (CROP.source.values > high), np.ones((SCALE, SCALE), bool))
    assert ((qa & mmsr_geo.Flag.OUT_OF_RANGE > 0) == impossible).all()
    assert 0 < impossible.mean() < 0.3
    assert target[~impossible].min() >= np.float32(low)
    assert target[~impossible].max() <= np.float32(high)
    consistent(target, CROP.source.values)


def test_targets_are_stored_as_asked(here: Command, source: Path) -> None:
    status, _, reported = here(
        *("upsample", source, SENTINEL_GUIDE, "-o", "out.tif", "--scale", SCALE, "--method", SMOOTH, *PLAIN),
        *(
            "--dtype",
            "int16",
            "--scale-factor",
            0.5,
            "--add-offset",
            100,
            "--co",
            "COMPRESS=LZW",
            "--co",
            "BLOCKSIZE=256",
        ),
    )
    assert (status, reported) == (0, "")
    target = mmsr_geo.upsample(source, SENTINEL_GUIDE, SCALE, method=SMOOTH).values
    with rasterio.open("out.tif") as dataset:
        assert (dataset.dtypes[0], dataset.scales[0], dataset.offsets[0]) == ("int16", 0.5, 100)
        assert dataset.compression.name == "lzw"
        assert dataset.block_shapes[0] == (256, 256)
        assert np.abs(dataset.read(1) * 0.5 + 100 - target).max() <= 0.25 + 1e-3


def test_a_clipped_value_is_reported(here: Command, source: Path) -> None:
    status, reported, _ = here(
        *("upsample", source, SENTINEL_GUIDE, "-o", "b.tif", "--scale", SCALE, "--method", SMOOTH, "--dtype", "uint8"),
        *("--progress", "json", "--threads", 1),
    )
    assert status == 0
    assert "were clipped: pass a wider --dtype" in reported
    assert read("b.tif").max() <= 255


def test_a_guide_coarser_than_the_target_is_used_and_reported(source: Path) -> None:
    coarse = sentinel_guide().coarsen(x=4, y=4).mean().rio.write_crs(32618)
    with pytest.warns(mmsr_geo.GuideWarning, match=r"pixels \(40.01 m\) are larger than the target's"):
        sharp = mmsr_geo.upsample(source, coarse.astype("float32"), SCALE, params=QUICK)
    consistent(sharp.values, CROP.source.values)
    with warnings.catch_warnings():
        warnings.simplefilter("error", mmsr_geo.GuideWarning)
        mmsr_geo.upsample(source, SENTINEL_GUIDE, SCALE, method=SMOOTH)


def oversampled(truth: Values, transform: Affine) -> xr.DataArray:
    """Return 100 m means of a 10 m band, resampled to 30 m by cubic convolution, as Landsat's thermal bands are."""
    coarse = georeferenced(block_means(truth, 10).astype(np.float32), transform * Affine.scale(10))
    height, width = (side * 100 // 30 for side in coarse.shape)
    made: xr.DataArray = coarse.rio.reproject(
        "EPSG:32618", shape=(height, width), transform=transform * Affine.scale(3), resampling=Resampling.cubic
    )
    return made


def test_a_resampled_source_is_better_averaged_to_what_its_sensor_saw() -> None:
    guide = sentinel_guide().rio.write_crs(32618)
    truth = guide.sel(band=3).values.astype(np.float32)[:360, :360]
    source = oversampled(truth, guide.rio.transform())
    optical = guide.sel(band=[1, 2, 4])
    errors = []
    for resolution in (None, "landsat-tirs"):
        sharp = mmsr_geo.upsample(
            source, optical, source_resolution=resolution, quality="draft", threads=1, if_unhelpful="warn"
        )
        assert sharp.rio.resolution() == pytest.approx((10, -10))
        missed = (sharp.values[:360, :360] - truth)[30:-30, 30:-30]
        errors.append(float(np.sqrt(np.mean(missed.astype(np.float64) ** 2))))
    as_delivered, averaged = errors
    assert averaged < 0.98 * as_delivered  # benchmarks/source_resolution.py has the figures of whole fits


@pytest.mark.parametrize(("share", "kept"), [(0.1, [True, False, False, False]), (0.5, [True, True, True, False])])
def test_a_masks_share_counts_on_the_pixels_that_a_coarser_source_has(share: float, kept: list[bool]) -> None:
    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    place = Affine(20, 0, 436_520, 0, -20, 4_174_180)
    mask = np.zeros((8, 8), "uint8")
    mask[0, 2:3] = mask[0, 4:6] = mask[0, 6:8] = mask[1, 6] = 1  # none, a quarter, half, three quarters
    guide = sentinel_guide()
    made = mmsr_geo.upsample(
        georeferenced(values, place),
        guide,
        2,
        method="nearest",
        source_resolution=40,
        source_mask=georeferenced(mask, place),
        mask_share=share,
    )
    assert np.isfinite(made.values[0, ::2]).tolist() == kept


def test_numbers_of_numpy_are_numbers(source: Path, tmp_path: Path) -> None:
    mmsr_geo.upsample_to_file(
        source,
        SENTINEL_GUIDE,
        tmp_path / "out.tif",
        SCALE,
        method=SMOOTH,
        bounds=np.array(CROP.source.rio.bounds()),  # type: ignore[arg-type]  # as .rio.bounds() in an array
        valid_range=(np.float32(0), np.float32(20_000)),  # type: ignore[arg-type]  # as of an array
        source_nodata=np.int16(-9999),  # type: ignore[arg-type]  # as .rio.nodata
        guide_band=np.int64(1),  # type: ignore[arg-type]  # as an index
        seed=np.int64(3),  # type: ignore[arg-type]  # as of a sequence of them
    )
    with rasterio.open(tmp_path / "out.tif") as dataset:
        said = json.loads(dataset.tags()["MMSR_GEO_OPTIONS"])
    assert said["source_nodata"] == -9999
    assert said["valid_range"] == [0, 20_000]
    assert said["seed"] == 3


@pytest.mark.parametrize("lost", ["source", "guide", "mask", "model", "like"])
def test_an_output_is_no_input_whatever_it_is_called(source: Path, tmp_path: Path, lost: str) -> None:
    (tmp_path / "guide.tif").symlink_to(SENTINEL_GUIDE)
    paths = {"source": source, "guide": tmp_path / "guide.tif"}
    mask = on_grid(np.zeros((4, 4), "uint8"), GeoBox((4, 4), CROP.source.rio.transform(), 32618), tmp_path / "m.tif")
    options: dict[str, Any] = {"guide_mask": f"{mask}:0", "like": tmp_path / "like.tif"}
    paths |= {"mask": mask, "like": options["like"], "model": tmp_path / "model.tif"}
    if lost == "model":
        mmsr_geo.fit(source, SENTINEL_GUIDE, SCALE, params=QUICK).save(paths["model"])
        options |= {"model": paths["model"]}
    paths["like"].write_bytes(source.read_bytes())
    before = paths[lost].read_bytes()
    other = tmp_path / "beside" / ".." / paths[lost].name
    (tmp_path / "beside").mkdir()
    for outputs in [(other, None), (tmp_path / "out.tif", other)]:
        with pytest.raises(mmsr_geo.OutputError, match=r"is also an input \(.*, which would be lost"):
            mmsr_geo.upsample_to_file(
                source, paths["guide"], outputs[0], qa=outputs[1], scale=SCALE, overwrite=True, **options
            )
    assert paths[lost].read_bytes() == before
    with pytest.raises(mmsr_geo.OutputError, match=r"is also another output \(.*, which would be lost"):
        mmsr_geo.upsample_to_file(
            source, SENTINEL_GUIDE, tmp_path / "out.tif", SCALE, qa=tmp_path / "beside" / ".." / "out.tif"
        )


def test_a_saved_models_regions_are_not_of_another_raster(source: Path) -> None:
    model = mmsr_geo.fit(source, SENTINEL_GUIDE, SCALE, params=QUICK)
    bad, good = Region(Window(0, 0, 24, 6), 99, 4.0, 1.0), Region(Window(0, 6, 24, 22), 99, 1.0, 9.0)
    reported = replace(model, check=mmsr_geo.GuideCheck((bad, good)))
    sharp = mmsr_geo.upsample(source, SENTINEL_GUIDE, model=reported, qa=True, if_unhelpful="warn")
    assert not (sharp.qa.values & mmsr_geo.Flag.UNHELPFUL).any()
