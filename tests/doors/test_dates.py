"""Sources with dates through files, stores and arrays: a band a date, and masks by date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

import mmsr_geo
from support.rasters import block_means

PLACE = Affine(100, 0, 435_700, 0, -100, 4_176_900)
FINE = PLACE * Affine.scale(0.25)
DAYS = np.array(["2024-06-01", "2024-06-02T10:30"], "datetime64[ns]")
METHOD: dict[str, Any] = {"method": "bicubic+consistency"}


def dated(values: np.ndarray, place: Affine = PLACE, **coords: Any) -> xr.DataArray:
    """Layers (dates, h, w) as an array, at DAYS unless other dates are given."""
    height, width = values.shape[-2:]
    y, x = place.f + (np.arange(height) + 0.5) * place.e, place.c + (np.arange(width) + 0.5) * place.a
    coords = {"time": DAYS[: len(values)], **coords, "y": y, "x": x}
    array = xr.DataArray(values, dims=("time", "y", "x"), coords=coords, name="lst", attrs={"units": "K"})
    placed: xr.DataArray = array.rio.write_crs("EPSG:32618")
    return placed


@pytest.fixture
def layers() -> np.ndarray:
    y, x = np.mgrid[0:20, 0:24]
    waves = 280 + 9 * np.sin(x / 6 + 0.4) * np.cos(y / 7)
    return np.stack([waves, waves + 1]).astype(np.float32)


@pytest.fixture
def guide() -> xr.DataArray:
    return dated(np.random.default_rng(3).random((1, 80, 96)).astype(np.float32), FINE).isel(time=0, drop=True)


def stored(array: xr.DataArray, path: Path) -> str:
    array.rio.write_coordinate_system().to_dataset().to_netcdf(path, engine="scipy")
    return f"netcdf:{path}:{array.name}"


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("from_file", [True, False])
def test_a_file_has_a_band_a_date_and_a_store_the_dates(
    tmp_path: Path, layers: np.ndarray, guide: xr.DataArray, count: int, *, from_file: bool
) -> None:
    array = dated(layers[:count]).assign_attrs(long_name="surface temperature")
    source = stored(array, tmp_path / "lst.nc") if from_file else array
    mmsr_geo.upsample_to_file(source, guide, tmp_path / "a.tif", 4, **METHOD)
    with rasterio.open(tmp_path / "a.tif") as file:
        said, values = file.descriptions, file.read()
    assert len(said) == count
    for text, date in zip(said, ("2024-06-01", "2024-06-02T10:30"), strict=False):
        assert date in text
    for band, layer in zip(values, layers, strict=False):
        assert np.abs(block_means(band, 4) - layer).max() < 1e-3
    mmsr_geo.upsample_to_file(source, guide, tmp_path / "a.zarr", 4, **METHOD)
    with xr.open_zarr(tmp_path / "a.zarr") as group:
        assert group["lst"].dims == group["qa"].dims == ("time", "y", "x")
        assert (group["time"].values == DAYS[:count]).all()
        assert group["lst"].attrs["units"] == "K"
        assert group["lst"].attrs["long_name"] == "surface temperature"
        assert group["lst"].values.tobytes() == values.tobytes()
    assert (mmsr_geo.upsample(source, guide, 4, **METHOD).time.values == DAYS[:count]).all()


def test_a_store_of_dates_and_levels_has_both_along_its_bands(
    tmp_path: Path, layers: np.ndarray, guide: xr.DataArray
) -> None:
    low, high = dated(layers).expand_dims(level=[850.0]), dated(layers + 5).expand_dims(level=[500.0])
    both = xr.concat([low, high], "level").transpose("time", "level", "y", "x")
    mmsr_geo.upsample_to_file(both, guide, tmp_path / "a.zarr", 4, **METHOD)
    with xr.open_zarr(tmp_path / "a.zarr") as group:
        assert group["lst"].dims == ("band", "y", "x")
        assert group["level"].values.tolist() == [850, 500, 850, 500]
        assert (group["time"].values == DAYS[[0, 0, 1, 1]]).all()
        names = group["band"].attrs["names"]
    assert names[1] == "2024-06-01, level 500"


@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize("source_from_file", [True, False])
def test_a_mask_with_dates_is_taken_by_date(
    tmp_path: Path, layers: np.ndarray, guide: xr.DataArray, *, from_file: bool, source_from_file: bool
) -> None:
    clouds = np.zeros((3, 80, 96), np.uint8)
    clouds[0, :40] = 1
    clouds[2] = 1
    # Another order of the dates, and one that the source has not.
    times = np.array([DAYS[1], DAYS[0], np.datetime64("2024-07-01")])
    mask = dated(clouds, FINE, time=times).rename("clouds")
    given: Any = stored(mask, tmp_path / "clouds.nc") if from_file else mask
    source: Any = stored(dated(layers), tmp_path / "lst.nc") if source_from_file else dated(layers)
    made = mmsr_geo.upsample(source, guide, 4, guide_mask=given, method="guided-filter", qa=True).compute()
    missing = (made.qa.values & mmsr_geo.Flag.GUIDE_GAP) > 0
    assert not missing[0].any()
    assert missing[1, :36].all()
    assert not missing[1, 60:].any()
    hidden = np.isnan(mmsr_geo.upsample(source, guide, 4, source_mask=given, **METHOD).values)
    assert not hidden[0].any()
    assert (hidden[1] == (np.arange(80) < 40)[:, None]).all()


def test_a_mask_of_one_date_masks_a_source_without_dates(layers: np.ndarray, guide: xr.DataArray) -> None:
    clouds = np.zeros((1, 20, 24), np.uint8)
    clouds[0, :10] = 1
    source = dated(layers).isel(time=0, drop=True)
    made = mmsr_geo.upsample(source, guide, 4, source_mask=dated(clouds), **METHOD)
    assert (np.isnan(made.values) == (np.arange(80) < 40)[:, None]).all()


def test_a_mask_without_the_sources_date_is_refused(layers: np.ndarray, guide: xr.DataArray) -> None:
    late = dated(np.zeros((2, 20, 24), np.uint8), time=DAYS + np.timedelta64(1, "D"))
    with pytest.raises(mmsr_geo.InputError, match=r"the mask has no slices at time 2024-06-01"):
        mmsr_geo.upsample(dated(layers), guide, 4, source_mask=late, **METHOD)
    with pytest.raises(mmsr_geo.InputError, match=r"the mask has 2 slices along time, and the source has no time"):
        mmsr_geo.upsample(dated(layers)[0].drop_vars("time"), guide, 4, source_mask=late, **METHOD)


def test_the_former_name_of_a_flag_is_kept() -> None:
    assert mmsr_geo.Flag["GUIDE_MISSING"] is mmsr_geo.Flag.GUIDE_GAP
    assert "GUIDE_MISSING" not in [flag.name for flag in mmsr_geo.Flag]
