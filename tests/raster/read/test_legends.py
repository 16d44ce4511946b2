"""Legends: which bands hold classes, by palettes, categories, attribute tables, CF flags and names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from numpy.typing import NDArray

from mmsr_geo.errors import InputError
from mmsr_geo.raster.read.legends import SAID, Legend
from mmsr_geo.raster.read.open import open_guides, open_source
from support.rasters import georeferenced

UTM = "EPSG:32618"
PLACE = Affine(10, 0, 500_000, 0, -10, 4_000_000)
CODES = np.arange(60).reshape(6, 10) % 4 * 10
BYTES = CODES.astype(np.uint8)

CATEGORIES = "<CategoryNames><Category>none</Category><Category/><Category>water</Category></CategoryNames>"
ROWS = '<Row index="0"><F>10</F><F>trees</F></Row><Row index="1"><F>20</F><F>grass</F></Row>'


def table(kind: str = "thematic", usage: str = "5", text: str = "2", rows: str = ROWS) -> str:
    columns = (("Value", "0", usage), ("Class", text, "2"))
    fields = "".join(
        f'<FieldDefn index="{i}"><Name>{name}</Name><Type>{of}</Type><Usage>{use}</Usage></FieldDefn>'
        for i, (name, of, use) in enumerate(columns)
    )
    return f'<GDALRasterAttributeTable tableType="{kind}">{fields}{rows}</GDALRasterAttributeTable>'


def write(path: Path, values: NDArray[np.generic] = BYTES, *, aside: str = "", **profile: object) -> Path:
    """Write one band or (bands, h, w), with `aside` as what a file next to it says of band 1."""
    values = values if values.ndim == 3 else values[None]
    given = {"driver": "GTiff", "crs": UTM, "transform": PLACE, "dtype": values.dtype, **profile}
    with rasterio.open(path, "w", count=len(values), height=6, width=10, **given) as dataset:
        dataset.write(values)
    if aside:
        text = f'<PAMDataset><PAMRasterBand band="1">{aside}</PAMRasterBand></PAMDataset>'
        Path(f"{path}.aux.xml").write_text(text)
    return path


def legends(guide: object, **said: object) -> tuple[Legend | None, ...]:
    (raster,) = open_guides(guide, **said)  # type: ignore[arg-type]
    return raster.legends  # type: ignore[attr-defined, no-any-return]


def test_a_colour_table_is_a_legend_that_may_be_a_pictures(tmp_path: Path) -> None:
    path = write(tmp_path / "palette.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (1, 2, 3, 255), 30: (7, 8, 9, 255)})
    (legend,) = legends(path)
    assert legend is not None
    assert (legend.names, legend.colours[0], legend.colours[30]) == ((), (1, 2, 3), (7, 8, 9))
    assert legends(path, guide_classes=1) == (SAID,)
    with pytest.raises(InputError, match="colour table"):
        open_source(path)


def test_categories_and_attribute_tables_name_classes(tmp_path: Path) -> None:
    named = write(tmp_path / "categories.tif", aside=CATEGORIES)
    assert legends(named) == (Legend(((0, "none"), (2, "water"))),)
    attributes = write(tmp_path / "table.tif", aside=table())
    assert legends(attributes) == (Legend(((10, "trees"), (20, "grass"))),)


@pytest.mark.parametrize(
    "aside",
    [
        table("athematic"),
        table(usage="3"),  # the least value of a range
        table(text="1", rows="<Row><F>10</F><F>0.5</F></Row>"),  # without names, as of a DEM's counts
        "<Metadata><MDI key='STATISTICS_MEAN'>3</MDI></Metadata>",
    ],
)
def test_a_table_of_a_quantity_is_no_legend(tmp_path: Path, aside: str) -> None:
    assert legends(write(tmp_path / "dem.tif", aside=aside)) == ()


def test_a_table_of_a_band_of_fractions_is_not_looked_for(tmp_path: Path) -> None:
    assert legends(write(tmp_path / "dem.tif", CODES.astype(np.float32), aside=table())) == ()


def test_flag_meanings_name_classes(tmp_path: Path) -> None:
    flags = {"flag_values": np.array([0, 10, 20], np.int8), "flag_meanings": "none trees grass"}
    expected = (Legend(((0, "none"), (10, "trees"), (20, "grass"))),)
    assert legends(georeferenced(CODES, PLACE).assign_attrs(flags)) == expected
    assert legends(georeferenced(CODES, PLACE).assign_attrs(flag_masks=[1, 2])) == (SAID,)
    path = write(tmp_path / "flags.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, flag_values="{0,10,20}", flag_meanings="none trees grass")
    assert legends(path) == expected


@pytest.mark.parametrize(
    ("name", "dtype", "found"),
    [
        ("scl", "uint8", (None, SAID)),
        ("SCL_20m", "float32", (None, SAID)),
        ("pixel_qa", "uint16", (None, SAID)),
        ("QA_PIXEL", "float64", (None, SAID)),
        ("qa60", "uint16", (None, SAID)),
        ("qa", "float32", ()),
        ("qa", "int16", ()),
        ("mask", "uint8", ()),
        ("sclera", "uint8", ()),
        ("dem", "uint8", ()),
    ],
)
def test_scl_and_qa_among_the_variables_of_a_dataset_are_classes(
    name: str, dtype: str, found: tuple[Legend | None, ...]
) -> None:
    red = georeferenced(CODES.astype(np.float32), PLACE)
    dataset = xr.Dataset({"red": red, name: georeferenced(CODES.astype(dtype), PLACE)}).rio.write_crs(UTM)
    assert legends(dataset) == found
    assert legends(dataset, guide_band="red") == ()


def test_a_file_is_known_by_its_name_or_the_name_of_its_band(tmp_path: Path) -> None:
    assert legends(write(tmp_path / "T29SNC_20240601_SCL_20m.tif")) == (SAID,)
    assert legends(write(tmp_path / "qa_of_dem.tif")) == ()
    path = write(tmp_path / "scene_SCL.tif", np.stack([CODES, CODES]).astype(np.uint8))
    assert legends(path) == ()
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_description(2, "scl")
    assert legends(path) == (None, SAID)


def test_a_band_is_said_to_hold_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "two.tif", np.stack([CODES, CODES]).astype(np.float32))
    other = write(tmp_path / "one.tif")
    assert legends(path, guide_classes=[2]) == (None, SAID)
    assert legends(path, guide_band=[2], guide_classes="two.tif:2") == (SAID,)
    first, second = open_guides([path, other], guide_classes="one.tif:1")
    assert (first.legends, second.legends) == ((), (SAID,))  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"no data band 1: its bands are 2"):
        open_guides(path, guide_band=[2], guide_classes=[1])
    named = georeferenced(CODES, PLACE).rename("cover")
    assert legends(named, guide_classes="cover:1") == legends(named, guide_classes="cover") == (SAID,)


def test_an_array_that_rioxarray_has_opened_has_the_legend_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "two.tif", np.stack([CODES, CODES]).astype(np.uint8), nodata=0)
    Path(f"{path}.aux.xml").write_text(f'<PAMDataset><PAMRasterBand band="2">{CATEGORIES}</PAMRasterBand></PAMDataset>')
    named = Legend(((0, "none"), (2, "water")))
    for masked in (False, True):
        array = rioxarray.open_rasterio(path, masked=masked)
        assert isinstance(array, xr.DataArray)
        assert legends(array) == (None, named)
        assert legends(array.sel(band=2)) == (named,)
        assert legends(array.isel(band=0, drop=True)) == ()
        assert legends(array * 2) == ()  # no longer the codes of the file
