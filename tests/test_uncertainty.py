"""How far a target may be off, by every door: lazily, in files and stores, from workers, at every size of tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from conftest import Told
from numpy.typing import NDArray
from rasters import sentinel_crop, sentinel_guide, sentinel_net

import mmsr_geo

Command = Callable[..., Told]
SAID = "half of a 90 % interval's width"


@pytest.fixture(scope="module")
def net() -> mmsr_geo.FittedNet:
    net = sentinel_net(2)
    assert net.source_interval is not None
    return net


@pytest.fixture(scope="module")
def source() -> xr.DataArray:
    """Return 36 x 30 pixels with a hole, of digital numbers that have a scale and an offset."""
    array = sentinel_crop(90, 60, 36, 30, 2).source
    array[10:12, 7] = np.nan
    array.attrs |= {"units": "1", "scale_factor": 0.0001, "add_offset": -0.1}
    return array


def lazy(source: Any, net: mmsr_geo.FittedNet, **options: Any) -> xr.DataArray:
    given: dict[str, Any] = {"net": net, "keep_statistics": True, "uncertainty": True} | options
    return mmsr_geo.upsample(source, given.pop("guide", sentinel_guide()), 2, **given)


def expected(source: xr.DataArray, net: mmsr_geo.FittedNet, **options: Any) -> NDArray[np.float32]:
    halves: NDArray[np.float32] = lazy(source, net, **options).compute(scheduler="synchronous").uncertainty.values
    return halves


def test_it_is_a_lazy_coordinate_beside_the_flags(source: xr.DataArray, net: mmsr_geo.FittedNet) -> None:
    made = lazy(source, net, qa=True, tile_size=32)
    assert made.uncertainty.dims == made.dims == ("y", "x")
    assert made.uncertainty.chunks == made.chunks == made.qa.chunks
    assert made.uncertainty.dtype == np.float32
    assert SAID in made.uncertainty.attrs["comment"]
    told = {key: value for key, value in made.uncertainty.attrs.items() if key != "comment"}
    assert told == {"long_name": "uncertainty of B11", "units": "1", "scale_factor": 0.0001}
    assert made.uncertainty.rio.transform() == made.rio.transform()
    computed = made.compute(scheduler="synchronous")
    holes = np.isnan(source.values).repeat(2, 0).repeat(2, 1)
    assert (np.isnan(computed.uncertainty.values) == holes).all()
    assert (computed.uncertainty.values[~holes] > 0).all()
    assert np.ptp(computed.uncertainty.values[~holes]) > 0
    plain = lazy(source, net, uncertainty=False, tile_size=32)
    assert "uncertainty" not in plain.coords
    assert (plain.compute(scheduler="synchronous").values == computed.values)[~holes].all()


def test_computed_with_the_target_it_takes_no_second_tile(
    source: xr.DataArray, net: mmsr_geo.FittedNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, tiles = lazy(source, net, tile_size=32), list[object]()
    before = mmsr_geo.upsampling.Upsampler.upsample

    def counted(*arguments: Any) -> Any:
        tiles.append(arguments)
        return before(*arguments)

    monkeypatch.setattr("mmsr_geo.upsampling.Upsampler.upsample", counted)
    made.compute(scheduler="synchronous")
    assert len(tiles) == made.data.npartitions == 6


@pytest.mark.parametrize("tile_size", [17, 32, 50])
def test_tiles_of_any_size_say_the_same(source: xr.DataArray, net: mmsr_geo.FittedNet, tile_size: int) -> None:
    whole, parts = (expected(source, net, tile_size=size) for size in (10_000, tile_size))
    within = 1e-5 * max(float(np.nanmax(whole)), net.statistics.source_spread)
    assert (np.isnan(whole) == np.isnan(parts)).all()
    assert np.nanmax(np.abs(whole - parts)) <= within


def test_slices_have_an_uncertainty_each(source: xr.DataArray, net: mmsr_geo.FittedNet) -> None:
    both = xr.concat([source, 2 * source.where(source.x > source.x[3])], "time", combine_attrs="drop")
    both = both.rename("B11").assign_coords(time=[2024, 2025]).rio.write_crs(source.rio.crs)
    made = lazy(both, net, keep_statistics=False).compute(scheduler="synchronous")
    assert made.uncertainty.dims == made.dims == ("time", "y", "x")
    for index in range(2):
        alone = expected(both[index], net, keep_statistics=False)
        np.testing.assert_array_equal(made.uncertainty.values[index], alone)
    assert np.isnan(made.uncertainty.values).sum(axis=(1, 2)).tolist() == [8, 8 + 4 * 36 * 4]


def test_another_grid_has_it_too(source: xr.DataArray, net: mmsr_geo.FittedNet) -> None:
    """On the source's own it is the mean of each pixel's four."""
    own = expected(source, net)
    made = lazy(source, net, like=source).compute(scheduler="synchronous")
    assert made.uncertainty.dims == made.dims
    assert SAID in made.uncertainty.attrs["comment"]
    np.testing.assert_allclose(made.uncertainty.values, own.reshape(36, 2, 30, 2).mean(axis=(1, 3)), rtol=1e-5)


def test_where_it_is_not_calibrated_it_is_a_hole_and_told(source: xr.DataArray, net: mmsr_geo.FittedNet) -> None:
    unknown = replace(net, interval=None)
    made = lazy(source, unknown)
    with pytest.warns(mmsr_geo.MmsrWarning, match=r"the uncertainty is not calibrated \(the saved net knows none\)"):
        computed = made.compute(scheduler="synchronous")
    assert np.isnan(computed.uncertainty.values).all()
    assert made.data.name != lazy(source, net).data.name
    np.testing.assert_array_equal(computed.values, lazy(source, net).compute(scheduler="synchronous").values)


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, r"too little of the source is there to judge one level down\) and a hole everywhere: give a larger part"),
        ({"first_stage": False}, r"first_stage=False leaves its check one level down out\).*leave that out of params="),
    ],
    ids=["small", "unchecked"],
)
def test_a_fit_that_cannot_calibrate_says_why(source: xr.DataArray, params: dict[str, Any], why: str) -> None:
    made = mmsr_geo.upsample(
        source if params else source[:30, :30],
        sentinel_guide(),
        2,
        params=mmsr_geo.FitParams(steps=2, patch_px=24, threads=1, **params),
        uncertainty=True,
    )
    with pytest.warns(mmsr_geo.MmsrWarning, match=why):
        computed = made.compute(scheduler="synchronous")
    assert np.isnan(computed.uncertainty.values).all()
    assert np.isfinite(computed.values).any()
