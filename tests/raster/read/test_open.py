"""Sources and guides as people name them: several files, bands by number or name, a nodata value of their own."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from dask.base import tokenize
from numpy.typing import NDArray

from mmsr_geo.errors import InputError, MmsrError, OptionError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.open import OneGuide, open_guides, open_source
from support.rasters import georeferenced

PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
WHOLE = Window(0, 0, 5, 6)
NAMES = ("Blue", "Green", "Red", "NIR")


def picture(bands: int = 4, dtype: str = "int16") -> NDArray[Any]:
    """Band i (from 1) holds 100 * i and a pixel's number."""
    return (100 * np.arange(1, bands + 1)[:, None, None] + np.arange(30).reshape(5, 6)).astype(dtype)


def write(path: Path, values: NDArray[Any], names: tuple[str, ...] = (), **profile: Any) -> Path:
    bands, height, width = values.shape
    options = {"driver": "GTiff", "crs": 32618, "transform": PLACE, "dtype": values.dtype, **profile}
    with rasterio.open(path, "w", count=bands, height=height, width=width, **options) as dataset:
        dataset.write(values)
        for i, name in enumerate(names, start=1):
            dataset.set_band_description(i, name)
    return path


def taken(raster: Raster) -> list[int]:
    """Which bands these are, by their pixels."""
    return [int(band[0, 0]) // 100 for band in raster.read(WHOLE).values]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "deep").mkdir()
    return {
        "plain": write(tmp_path / "plain.tif", picture()),
        "named": write(tmp_path / "named.tif", picture(), NAMES),
        "deep": write(tmp_path / "deep" / "other.tif", picture(2)),
        "colon": write(tmp_path / "a:b.tif", picture(3)),
        "twin": write(tmp_path / "deep" / "plain.tif", picture(1)),
    }


@pytest.mark.parametrize(
    ("said", "bands"),
    [
        ([], [1, 2, 3, 4]),
        ([4], [4]),
        (["4"], [4]),
        (["4,3"], [4, 3]),
        (["4", 2], [4, 2]),
        (["Red"], [3]),
        (["red", "NIR,blue"], [3, 4, 1]),
        (["2,green,2"], [2]),
        (["named.tif:nir,1"], [4, 1]),
        ("NIR", [4]),
        (3, [3]),
    ],
)
def test_bands_are_taken_by_number_and_name_in_the_order_named(
    files: dict[str, Path], said: Any, bands: list[int]
) -> None:
    (raster,) = open_guides(files["named"], guide_band=said)
    assert taken(raster) == bands
    assert raster.bands == tuple(NAMES[i - 1] for i in bands)
    assert raster.numbers == tuple(bands)
    assert [tags.description for tags in raster.band_tags] == list(raster.bands)


def test_of_several_guides_only_the_named_ones_are_cut_down(files: dict[str, Path]) -> None:
    guides: list[OneGuide] = [files["plain"], str(files["deep"]), files["colon"]]
    first, second, third = open_guides(guides, guide_band=["other.tif:2", f"{files['plain']}:3,1"])
    assert (taken(first), taken(second), taken(third)) == ([3, 1], [2], [1, 2, 3])
    assert (first.bands, first.numbers) == (("3", "1"), (3, 1))
    (_, colon) = open_guides((files["plain"], files["colon"]), guide_band=[f"{files['colon']}:2"])
    assert taken(colon) == [2]


def test_a_description_may_hold_commas_and_colons(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(2), ("1: blue, clear", "red"))
    (raster,) = open_guides(path, guide_band=["1: blue, clear"])
    assert taken(raster) == [1]
    (raster,) = open_guides(path, guide_band=["a.tif:1: blue, clear", "red"])
    assert taken(raster) == [1, 2]


def test_a_number_that_is_no_bands_may_be_a_description(tmp_path: Path) -> None:
    path = write(tmp_path / "years.tif", picture(2), ("2001", "1"))
    assert [taken(open_guides(path, guide_band=[said])[0]) for said in ("2001", "1", 2)] == [[1], [1], [2]]


def test_a_part_of_a_container_is_named_with_its_colons(tmp_path: Path) -> None:
    made = xr.Dataset({"rain": georeferenced(picture(2)[0], PLACE), "heat": georeferenced(picture(2)[1], PLACE)})
    made.to_netcdf(tmp_path / "c.nc", engine="scipy")
    rain, heat = (f'NETCDF:"{tmp_path / "c.nc"}":{name}' for name in ("rain", "heat"))
    assert [taken(raster) for raster in open_guides([rain, heat], guide_band=[f"{heat}:1"])] == [[1], [2]]


def array(**options: Any) -> xr.DataArray:
    return georeferenced(picture(), PLACE, **options)


@pytest.mark.parametrize(
    ("made", "said", "bands"),
    [
        (array(), [3, "1"], [3, 1]),
        (array().assign_coords(band=list(NAMES)), ["nir,Red"], [4, 3]),
        (array().assign_coords(band=[1, 2, 3, 4]).sel(band=[4, 3]), [3], [3]),
        (array().assign_coords(band=[0, 1, 2, 3]), [1], [1]),
        (array(name="dem"), ["dem:2"], [2]),
        (array().assign_attrs(long_name=NAMES), ["nir"], [4]),
        (array().assign_coords(band=list(NAMES)).to_dataset("band"), ["NIR,2"], [4, 2]),
        (array().isel(band=[1]).to_dataset(name="only"), ["only"], [2]),
        (array().transpose("y", "x", "band").chunk({"band": 1}), ["4,1"], [4, 1]),
    ],
)
def test_bands_of_arrays_and_datasets(made: xr.DataArray | xr.Dataset, said: list[str | int], bands: list[int]) -> None:
    (raster,) = open_guides(made, guide_band=said)
    assert taken(raster) == bands
    assert len(raster.bands) == len(raster.numbers) == len(raster.band_tags) == len(bands)
    again = pickle.loads(pickle.dumps(raster))  # noqa: S301  (our own bytes)
    assert taken(again) == bands


def test_arrays_and_files_guide_together(files: dict[str, Path]) -> None:
    first, second, third = open_guides(
        [array(name="dem"), files["named"], array(name="slope")], guide_band=["dem:1", "named.tif:NIR", "slope:2,4"]
    )
    assert (taken(first), taken(second), taken(third)) == ([1], [4], [2, 4])


def test_what_names_no_band_or_no_guide_is_refused_with_those_there_are(files: dict[str, Path]) -> None:
    plain, named, twin = files["plain"], files["named"], files["twin"]
    refused: list[tuple[Any, Any, type[MmsrError], str]] = [
        (
            named,
            ["swir"],
            InputError,
            r"no data band swir: its bands are 1 \(Blue\), 2 \(Green\), 3 \(Red\), 4 \(NIR\)",
        ),
        (named, ["1,7"], InputError, "no data band 7"),
        (plain, [0], InputError, "no data band 0: its bands are 1, 2, 3, 4"),
        ([plain, named], ["4"], OptionError, "names none of the 2 guides: write FILE:BAND"),
        ([plain, named], [4], OptionError, "names none of the 2 guides"),
        ([plain, named], ["none.tif:4"], OptionError, "names none"),
        ([plain, twin], ["plain.tif:1"], OptionError, "2 guides are called plain.tif"),
        ([named, named], [f"{named}:1"], OptionError, "2 guides are called"),
        (array(), ["nir"], InputError, "no data band nir"),
        ([], [], OptionError, "no guide"),
        ([plain, 3], [], InputError, "not int"),
    ]
    for guide, said, error, words in refused:
        with pytest.raises(error, match=words) as caught:
            open_guides(guide, guide_band=said)
        assert "\n" not in str(caught.value)
    first, _ = open_guides([plain, twin], guide_band=[f"{plain}:1"])
    assert taken(first) == [1]


def test_a_source_is_one_band_by_number_or_name(files: dict[str, Path]) -> None:
    labelled = array().assign_coords(band=list(NAMES))
    for source in (files["named"], os.fspath(files["named"]), labelled):
        assert taken(open_source(source, 4)) == taken(open_source(source, "nir")) == [4]
        with pytest.raises(InputError, match=r"4 bands \(1 \(Blue\).*choose the one"):
            open_source(source)
        with pytest.raises(InputError, match="no data band 5"):
            open_source(source, 5)


def test_a_band_that_is_no_quantity_may_stand_beside_the_ones_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(2))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(2, LAYER_TYPE="thematic")
    assert taken(open_guides(path, guide_band=[1])[0]) == [1]
    with pytest.raises(InputError, match="classes"):
        open_source(path, 2)


@pytest.mark.parametrize("declared", [None, 105])
def test_a_nodata_value_given_is_the_one(tmp_path: Path, declared: int | None) -> None:
    path = write(tmp_path / "a.tif", picture(), nodata=declared)
    opened = georeferenced(picture(), PLACE, nodata=declared)
    masked = opened.where(opened != (declared or 1e9)).astype("float32")
    for guide in (path, opened, masked, opened.to_dataset("band")):
        (raster,) = open_guides(guide, guide_nodata=203)
        pixels = raster.read(WHOLE)
        expected = picture()[1] == 203
        if guide is masked and declared:
            expected |= picture()[0] == declared
        assert (~pixels.valid == expected).all()
        assert raster.nodata == 203
        if not isinstance(guide, xr.Dataset):
            source = open_source(guide, 2, nodata=203)
            assert (~source.read(WHOLE).valid == (picture()[1] == 203)).sum() >= 29
            assert source.nodata == 203
        assert tokenize(raster) != tokenize(open_guides(guide, guide_nodata=204)[0])
    assert open_guides(path)[0].nodata == declared
