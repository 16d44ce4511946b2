"""Codes next to a quantity, such as cloud and water in a product of snow: nodata, and the rest is no class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from mmsr_geo import upsample
from mmsr_geo.errors import InputError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.codes import codes_of
from mmsr_geo.raster.read.files import FileRaster
from support.rasters import georeferenced

PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
WHOLE = Window(0, 0, 12, 14)
ATTRS = {"valid_range": np.array([0, 100], np.uint8), "flag_values": np.array([200, 237, 250], np.uint8)}
MEANINGS = {"flag_meanings": "missing water cloud"}


def snow() -> NDArray[np.uint8]:
    values = np.random.default_rng(0).integers(0, 101, (12, 14)).astype(np.uint8)
    values[2:4, 5], values[9, 9], values[0, :3] = 250, 237, 200
    return values


def array(values: NDArray[Any], **attrs: Any) -> xr.DataArray:
    return georeferenced(values, PLACE, name="snow").assign_attrs(**attrs)


@pytest.mark.parametrize(
    ("attrs", "codes"),
    [
        (ATTRS | MEANINGS, (200, 237, 250)),
        ({"valid_range": "0, 100", "flag_values": "{200,237}"}, (200, 237)),
        ({"valid_range": "{0,100}", "flag_values": "200b, 237b"}, (200, 237)),
        ({"valid_min": 0, "valid_max": 1, "flag_values": [-3, 2]}, (-3, 2)),
        ({"valid_max": 100, "flag_values": 255}, (255,)),
        ({"valid_range": [0, 4], "flag_values": [1, 2, 3]}, ()),
        ({"valid_range": [0, 100], "flag_values": [0, 200]}, ()),
        ({"flag_values": [1, 2, 3]}, ()),
        ({"valid_range": [0, 100]}, ()),
        ({"valid_range": [0, 100], "flag_values": [200], "flag_masks": [1]}, ()),
        ({"valid_range": "none", "flag_values": [200]}, ()),
        ({}, ()),
    ],
)
def test_flag_values_are_codes_where_all_lie_outside_the_valid_range(
    attrs: dict[str, Any], codes: tuple[float, ...]
) -> None:
    assert codes_of(attrs) == codes


@pytest.mark.parametrize("declared", [None, 255])
@pytest.mark.parametrize("given", [None, 13])
def test_codes_of_an_array_are_nodata_next_to_the_declared_value(declared: int | None, given: int | None) -> None:
    values = snow()
    values[11, 0] = 255
    made = array(values, **ATTRS, **MEANINGS)
    if declared is not None:
        made = made.rio.write_nodata(declared)
    raster = ArrayRaster.of(made, nodata=given)
    missing = values > 100
    missing[11, 0] = declared is not None and given is None
    if given is not None:
        missing |= values == given
    pixels = raster.read(WHOLE)
    assert (pixels.valid == ~missing).all()
    assert (pixels.values[0][~missing] == values[~missing]).all()
    assert raster.dtype == np.uint8
    assert "flag values 200, 237, 250 lie outside the valid range 0 to 100" in raster.notes[0]


def test_codes_that_xarray_has_decoded_are_found_by_the_encoding(tmp_path: Path) -> None:
    stored = (snow().astype(np.int16) * 7).astype(np.int16)
    stored[snow() > 100] = 12345
    attrs = {"valid_range": np.array([0, 700], np.int16), "flag_values": np.int16(12345)}
    packed = array(stored, **attrs, scale_factor=0.013, add_offset=-2.7)
    packed.to_netcdf(tmp_path / "snow.nc", engine="scipy")
    dataset = xr.open_dataset(tmp_path / "snow.nc", engine="scipy", decode_coords="all")
    for opened in (dataset["snow"], dataset.chunk({"y": 5})["snow"]):
        assert opened.dtype.kind == "f"
        pixels = ArrayRaster.of(opened).read(WHOLE)
        assert (pixels.valid == (snow() <= 100)).all()
        assert np.allclose(pixels.values[0][pixels.valid], (stored * 0.013 - 2.7)[pixels.valid], atol=1e-4)


def test_codes_of_a_file_are_nodata(tmp_path: Path) -> None:
    made = array(snow().astype(np.int16), valid_range=np.array([0, 100], np.int16))
    made.attrs["flag_values"] = np.array([200, 237, 250], np.int16)
    made.to_netcdf(tmp_path / "snow.nc", engine="scipy")
    raster = FileRaster.open(f"netcdf:{tmp_path / 'snow.nc'}:snow")
    assert (raster.read(WHOLE).valid == (snow() <= 100)).all()
    assert "they are read as nodata" in raster.notes[0]
    assert FileRaster.open(f"netcdf:{tmp_path / 'snow.nc'}:snow", quantity=False).codes == ()


def test_classes_are_refused_as_before() -> None:
    for attrs in ({"flag_values": [1, 2], "valid_range": [0, 4]}, MEANINGS, {"flag_masks": [1, 2]}):
        with pytest.raises(InputError, match="classes"):
            ArrayRaster.of(array(snow(), **attrs))


def test_the_target_has_no_codes_and_can_be_a_source() -> None:
    source = array(snow(), **ATTRS, **MEANINGS)
    guide = georeferenced(np.random.default_rng(1).normal(size=(24, 28)), PLACE * Affine.scale(0.5))
    target = upsample(source, guide, 2, method="bicubic").compute()
    fine = np.kron(snow(), np.ones((2, 2)))
    # The array's own dtype is an integer, so that nodata is a number in the target.
    assert ((target.values == target.rio.nodata) == (fine > 100)).all()
    assert not {"flag_values", "flag_meanings", "valid_range"} & target.attrs.keys()
    assert ArrayRaster.of(target).notes == ()
