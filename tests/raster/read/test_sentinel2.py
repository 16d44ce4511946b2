"""Scale and offset of Sentinel-2's bands, from the tags of its products, of copies, and next to a band's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from mmsr_geo.geometry import Window
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.sentinel2 import product_of, reflectance_scale
from mmsr_geo.raster.views.derived_bands import Derived, parse_derivation

PLACE = Affine(10, 0, 600_000, 0, -10, 6_400_020)
L2A = {"BOA_QUANTIFICATION_VALUE": "10000", "BOA_ADD_OFFSET": "-1000"}
L1C = {"QUANTIFICATION_VALUE": "10000", "RADIO_ADD_OFFSET": "-1000"}
OLD = {"BOA_QUANTIFICATION_VALUE": "10000"}


def tagged(path: Path, tags: dict[str, str], dtype: str = "uint16", *, packed: bool = False) -> NDArray[Any]:
    """Write red, near infrared and aerosol as gdal_translate copies them from a product; returns the stored values."""
    random = np.random.default_rng(4)
    values = np.stack([random.integers(1100, 2000, (8, 9)), random.integers(2500, 5000, (8, 9)), np.full((8, 9), 90)])
    profile = {"crs": "EPSG:32634", "transform": PLACE, "dtype": dtype, "count": 3, "height": 8, "width": 9}
    with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
        dataset.write(values.astype(dtype))
        dataset.update_tags(**{key: value for key, value in tags.items() if "QUANTIFICATION" in key})
        for band, name in enumerate(("B4", "B8A", "AOT"), start=1):
            offsets = {key: value for key, value in tags.items() if "OFFSET" in key and name != "AOT"}
            dataset.update_tags(band, BANDNAME=name, **offsets)
            dataset.set_band_description(band, f"{name}, central wavelength")
        if packed:
            dataset.scales, dataset.offsets = (0.5,) * 3, (3.0,) * 3
    return values


@pytest.mark.parametrize(("tags", "offset"), [(L2A, -0.1), (L1C, -0.1), (OLD, 0)], ids=["2A", "1C", "before 04.00"])
@pytest.mark.parametrize("as_array", [False, True])
def test_an_index_is_one_of_reflectances(
    tmp_path: Path, tags: dict[str, str], offset: float, *, as_array: bool
) -> None:
    stored = tagged(tmp_path / "s2.tif", tags)
    opened = rioxarray.open_rasterio(tmp_path / "s2.tif")
    assert isinstance(opened, xr.DataArray)
    raster = ArrayRaster.of(opened) if as_array else FileRaster.open(tmp_path / "s2.tif")
    red, nir = (stored[band] / 10_000 + offset for band in (0, 1))
    derived = Derived(
        raster, (parse_derivation("ndvi:nir=2,red=1"), parse_derivation("evi2=2.5*(b2-b1)/(b2+2.4*b1+1)"))
    )
    values = derived.read(Window(0, 0, 8, 9)).values
    assert np.allclose(values[3], (nir - red) / (nir + red), atol=1e-6)
    assert np.allclose(values[4], 2.5 * (nir - red) / (nir + 2.4 * red + 1), atol=1e-6)
    assert (values[:2] == stored[:2]).all()  # the bands themselves stay as they are stored
    scales = [(band.scale, band.offset) for band in raster.band_tags]
    assert scales == [(1e-4, offset), (1e-4, offset), (1, 0)]  # aerosol is no reflectance


def test_what_a_file_declares_itself_goes_before(tmp_path: Path) -> None:
    tagged(tmp_path / "s2.tif", L2A, packed=True)
    assert {(tags.scale, tags.offset) for tags in FileRaster.open(tmp_path / "s2.tif").band_tags} == {(0.5, 3.0)}


def test_tags_that_outlived_a_conversion_to_reflectances_do_not_count(tmp_path: Path) -> None:
    tagged(tmp_path / "s2.tif", L2A, "float32")
    assert {tags.scale for tags in FileRaster.open(tmp_path / "s2.tif").band_tags} == {1}
    opened = rioxarray.open_rasterio(tmp_path / "s2.tif")
    assert isinstance(opened, xr.DataArray)
    assert {tags.scale for tags in ArrayRaster.of(opened).band_tags} == {1}


def test_an_offset_that_was_subtracted_is_not_subtracted_again(tmp_path: Path) -> None:
    tagged(tmp_path / "s2.tif", L2A)
    opened = rioxarray.open_rasterio(tmp_path / "s2.tif")
    masked = rioxarray.open_rasterio(tmp_path / "s2.tif", masked=True)
    assert isinstance(opened, xr.DataArray)
    assert isinstance(masked, xr.DataArray)
    with xr.set_options(keep_attrs=True):
        harmonised = opened.astype("int32") - 1000
    assert "BOA_ADD_OFFSET" in harmonised.attrs
    offsets = [ArrayRaster.of(array).band_tags[0].offset for array in (opened, masked, harmonised)]
    assert offsets == [-0.1, -0.1, 0]


def test_a_selected_band_of_an_array_is_known_by_its_own_name(tmp_path: Path) -> None:
    tagged(tmp_path / "s2.tif", L2A)
    opened = rioxarray.open_rasterio(tmp_path / "s2.tif")
    assert isinstance(opened, xr.DataArray)
    assert [ArrayRaster.of(opened.sel(band=band)).band_tags[0].offset for band in (1, 2, 3)] == [-0.1, -0.1, 0]


@pytest.mark.parametrize(
    ("tags", "band", "dtype", "found"),
    [
        (L2A, "B8A, central wavelength 865 nm", "uint16", (1e-4, -0.1)),
        (L2A, "SCL", "uint8", None),
        (L2A, "B4", "uint8", None),
        (L2A, "WVP, Scene-average", "uint16", None),
        (L2A | {"BOA_ADD_OFFSET": "many"}, "B4", "uint16", (1e-4, 0)),
        ({"BOA_QUANTIFICATION_VALUE": "0"}, "B4", "uint16", None),
        ({"BOA_ADD_OFFSET": "-1000"}, "B4", "uint16", (1e-4, -0.1)),
        (OLD | {"BOA_ADD_OFFSET_B4": "-500", "BOA_ADD_OFFSET_B8": "-1000"}, "B4", "uint16", (1e-4, -0.05)),
        (L2A, "", "uint16", (1e-4, -0.1)),
        (L2A, "near infrared", "uint16", (1e-4, -0.1)),
        (OLD, "near infrared", "uint16", None),
        (OLD, "", "uint16", None),
        ({}, "B4", "uint16", None),
    ],
)
def test_which_bands_have_reflectances(
    tags: dict[str, str], band: str, dtype: str, found: tuple[float, float] | None
) -> None:
    assert reflectance_scale(tags, band, dtype) == found


NAME = "S2A_MSIL2A_20230823T095031_N0509_R079_T34VFJ_20230823T120345.SAFE"
GRANULE = "GRANULE/L2A_T34VFJ_A016478_20230823T095030"


def test_the_product_of_a_bands_own_file() -> None:
    folder = f"/data/{NAME}/{GRANULE}/IMG_DATA"
    metadata = (f"/data/{NAME}/MTD_MSIL2A.xml", f"/data/{NAME}/MTD_MSIL1C.xml")
    assert product_of(f"{folder}/R10m/T34VFJ_20230823T095031_B04_10m.jp2") == (metadata, "B4")
    assert product_of(f"{folder}/R20m/T34VFJ_20230823T095031_B8A_20m.jp2") == (metadata, "B8A")
    assert product_of(f"{folder}/T34VFJ_20230823T095031_B12.jp2") == (metadata, "B12")
    assert product_of(f"{folder}/R10m/T34VFJ_20230823T095031_AOT_10m.jp2") is None
    assert product_of("/data/T34VFJ_20230823T095031_B04_10m.jp2") is None


def test_a_bands_own_file_has_the_offset_of_the_product_around_it(tmp_path: Path) -> None:
    stem = f"{GRANULE}/IMG_DATA/R10m/T34VFJ_20230823T095031_B04_10m"
    band = tmp_path / NAME / f"{stem}.jp2"
    band.parent.mkdir(parents=True)
    values = np.random.default_rng(0).integers(1100, 2000, (1, 64, 64)).astype(np.uint16)
    profile = {"crs": "EPSG:32634", "transform": PLACE, "dtype": "uint16", "count": 1, "height": 64, "width": 64}
    with rasterio.open(band, "w", driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", **profile) as dataset:
        dataset.write(values)
    assert FileRaster.open(band).band_tags[0].scale == 1  # no product around it
    psd = "https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{number}">{-1000 - number}</BOA_ADD_OFFSET>' for number in range(13))
    (tmp_path / NAME / "MTD_MSIL2A.xml").write_text(
        f'<n1:Level-2A_User_Product xmlns:n1="{psd}"><n1:General_Info><Product_Info>'
        f"<PRODUCT_URI>{NAME}</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL><PRODUCT_TYPE>S2MSI2A"
        "</PRODUCT_TYPE><Query_Options><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>"
        '<Product_Organisation><Granule_List><Granule granuleIdentifier="S2A_T34VFJ" imageFormat="JPEG2000">'
        f"<IMAGE_FILE>{stem}</IMAGE_FILE></Granule></Granule_List></Product_Organisation></Product_Info>"
        "<Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>"
        '<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        f"<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST></Product_Image_Characteristics>"
        "</n1:General_Info></n1:Level-2A_User_Product>"
    )
    sizes = "".join(
        f'<Size resolution="{step}"><NROWS>{640 // step}</NROWS><NCOLS>{640 // step}</NCOLS></Size><Geoposition '
        f'resolution="{step}"><ULX>600000</ULX><ULY>6400020</ULY><XDIM>{step}</XDIM><YDIM>-{step}</YDIM></Geoposition>'
        for step in (10, 20, 60)
    )
    (tmp_path / NAME / GRANULE / "MTD_TL.xml").write_text(
        '<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">'
        "<n1:General_Info><TILE_ID>T34VFJ</TILE_ID></n1:General_Info><n1:Geometric_Info><Tile_Geocoding>"
        f"<HORIZONTAL_CS_NAME>WGS84 / UTM zone 34N</HORIZONTAL_CS_NAME><HORIZONTAL_CS_CODE>EPSG:32634"
        f"</HORIZONTAL_CS_CODE>{sizes}</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>"
    )
    (tags,) = FileRaster.open(band).band_tags
    assert (tags.scale, tags.offset) == (1e-4, -0.1003)  # B4 is the band with the number 3
