"""Rasters by window against reading them whole, and the guide's warp against the whole warp and a plain mean."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from dask.base import tokenize
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from mmsr_geo.errors import GridError, InputError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.raster.base import Pixels, Raster
from mmsr_geo.raster.grids import refined
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.read.open import open_guide, open_source
from mmsr_geo.raster.views.warp import GridWarp, Warped
from support.rasters import LANDSAT_GUIDE, LANDSAT_TRUTH, SENTINEL_GUIDE, SENTINEL_TRUTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

UTM = "EPSG:32618"
PLACE = Affine(10.1, 0, 435_730.3, 0, -9.9, 4_176_900.7)
ROTATED = PLACE * Affine.rotation(20)


def write(path: Path, values: NDArray[Any], **profile: Any) -> Path:
    """Write (bands, h, w) as a GeoTIFF."""
    bands, height, width = values.shape
    options = {"driver": "GTiff", "crs": UTM, "transform": PLACE, "dtype": values.dtype, **profile}
    with rasterio.open(path, "w", count=bands, height=height, width=width, **options) as dataset:
        dataset.write(values)
    return path


def picture(dtype: str = "uint16", bands: int = 2, height: int = 31, width: int = 45) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 200, (bands, height, width)).astype(dtype)


def array(values: NDArray[Any] | da.Array, crs: str | None = UTM, **attrs: Any) -> xr.DataArray:
    """An xarray raster with coordinates of pixel centres, as people make them: no transform stored."""
    height, width = values.shape[-2:]
    dims = ("band", "y", "x")[-values.ndim :]
    x = PLACE.c + PLACE.a * (np.arange(width) + 0.5)
    y = PLACE.f + PLACE.e * (np.arange(height) + 0.5)
    made = xr.DataArray(values, dims=dims, coords={"y": y, "x": x}, attrs=attrs, name="made")
    return made if crs is None else made.rio.write_crs(crs)


def opened_by_rioxarray(path: Path, **options: Any) -> xr.DataArray:
    made = rioxarray.open_rasterio(path, **options)
    assert isinstance(made, xr.DataArray)
    return made


def nodata_of(pixels: Pixels) -> NDArray[np.bool_]:
    assert pixels.values.dtype == np.float32
    assert (np.isnan(pixels.values).any(axis=0) == ~pixels.valid).all()
    return ~pixels.valid


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_a_files_window_is_the_same_part_of_the_whole(tmp_path: Path, dtype: str) -> None:
    values = picture(dtype)
    raster = FileRaster.open(write(tmp_path / "a.tif", values))
    part = raster.read(Window(3, 5, 11, 13))
    assert (part.values == values[:, 3:14, 5:18]).all()
    assert part.valid.all()
    assert raster.dtype == np.dtype(dtype)
    assert (raster.bands, raster.nodata, raster.name) == (("1", "2"), None, str(tmp_path / "a.tif"))
    assert raster.grid.affine == PLACE
    assert raster.grid.shape.yx == (31, 45)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 7), ("int16", -9999), ("float32", -3.4028234663852886e38), ("float32", math.nan)]
)
def test_declared_nodata_and_nan_are_masked_in_files_and_arrays(tmp_path: Path, dtype: str, nodata: float) -> None:
    values = picture(dtype)
    values[values == 7] = 8
    values[1, 4, 5] = nodata
    expected = np.zeros((31, 45), bool)
    expected[4, 5] = True
    if dtype == "float32":
        values[0, 9, 9] = math.nan
        values[0, 9, 10] = math.inf
        expected[9, 9:11] = True
    path = write(tmp_path / "a.tif", values, nodata=nodata)
    whole = Window(0, 0, 31, 45)
    opened = opened_by_rioxarray(path)
    masked = opened_by_rioxarray(path, masked=True)
    for source in (path, opened, masked, opened.chunk({"x": 10, "y": 7}), array(values, _FillValue=nodata)):
        raster = open_guide(source)
        pixels = raster.read(whole)
        assert (nodata_of(pixels) == expected).all()
        assert (pixels.values[:, pixels.valid] == values[:, ~expected].astype(np.float32)).all()
        assert raster.nodata == nodata or (math.isnan(nodata) and raster.nodata is not None)


def test_an_alpha_band_is_a_mask_and_no_data(tmp_path: Path) -> None:
    values = picture("uint8", bands=4)
    values[3] = 255
    values[3, 2, 3] = 0
    path = write(tmp_path / "a.tif", values)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    raster = FileRaster.open(path)
    assert raster.indexes == (1, 2, 3)
    assert np.argwhere(nodata_of(raster.read(Window(0, 0, 31, 45)))).tolist() == [[2, 3]]
    with pytest.raises(InputError, match="no data band 4"):
        FileRaster.open(path, (4,))


def test_a_mask_band_is_a_mask(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture())
    mask = np.full((31, 45), 255, "uint8")
    mask[20, 30] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(mask)
    pixels = FileRaster.open(path).read(Window(19, 29, 3, 3))
    assert np.argwhere(nodata_of(pixels)).tolist() == [[1, 1]]


def test_scale_and_offset_are_carried_and_not_applied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(bands=1))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.01,), (273.15,)
        dataset.set_band_unit(1, "K")
        dataset.set_band_description(1, "surface temperature")
    for source in (path, opened_by_rioxarray(path)):
        raster = open_source(source)
        tags = raster.band_tags[0]
        assert (tags.description, tags.unit, tags.scale, tags.offset) == ("surface temperature", "K", 0.01, 273.15)
        assert (raster.read(Window(0, 0, 31, 45)).values == picture(bands=1)).all()
        assert raster.bands == ("surface temperature",)


@pytest.mark.parametrize("dims", [("y", "x"), ("x", "y"), ("band", "y", "x"), ("y", "x", "band"), ("lat", "lon")])
def test_dims_in_any_order_and_of_any_known_name(dims: tuple[str, ...]) -> None:
    values = picture(bands=1)
    made = array(values).transpose("band", "y", "x")
    if "band" not in dims:
        made = made.isel(band=0)
    if "lat" in dims:
        made = made.rename(y="latitude", x="longitude").rio.set_spatial_dims("longitude", "latitude")
    else:
        made = made.transpose(*dims)
    assert (open_source(made).read(Window(2, 3, 4, 5)).values == values[:, 2:6, 3:8]).all()


def test_the_stored_transform_is_kept_to_the_bit_and_follows_a_selection(tmp_path: Path) -> None:
    opened = opened_by_rioxarray(write(tmp_path / "a.tif", picture()))
    whole = open_guide(opened).grid
    assert whole.affine == PLACE
    part = open_guide(opened.isel(y=slice(4, 20), x=slice(7, None)))
    assert part.grid == whole[4:20, 7:]
    assert (part.read(Window(0, 0, 3, 3)).values == picture()[:, 4:7, 7:10]).all()
    coarse = open_guide(opened.isel(y=slice(1, None, 3), x=slice(1, None, 3)))
    assert coarse.grid.affine * (0.5, 0.5) == pytest.approx(PLACE * (1.5, 1.5))
    assert coarse.grid.resolution.xy == pytest.approx((30.3, -29.7))
    flipped = open_guide(opened.isel(y=slice(None, None, -1)))
    assert flipped.grid.affine * (0, 0) == pytest.approx(PLACE * (0, 31))
    assert open_guide(opened.isel(y=[4])).grid == whole[4:5, :]
    assert open_guide(array(picture())).grid.affine == pytest.approx(PLACE)


def test_a_rotated_raster_follows_a_selection(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(), transform=ROTATED)
    assert open_guide(path).grid.affine == ROTATED
    opened = opened_by_rioxarray(path)
    assert open_guide(opened).grid.affine == ROTATED
    assert open_guide(opened.isel(y=slice(4, 20), x=slice(7, None))).grid == open_guide(path).grid[4:20, 7:]
    assert open_guide(opened.drop_vars(["xc", "yc"])).grid.affine == ROTATED


def test_a_dask_window_reads_its_own_chunks_only() -> None:
    read = []

    def chunk(block_info: Any = None) -> NDArray[np.float32]:
        place = block_info[None]["chunk-location"]
        read.append(place)
        return np.full((10, 10), place[0] * 10 + place[1], np.float32)

    values = da.map_blocks(chunk, chunks=((10,) * 4, (10,) * 4), dtype=np.float32, meta=np.empty((0, 0), np.float32))
    raster = open_source(array(values))
    read.clear()
    pixels = raster.read(Window(8, 12, 4, 5))
    assert sorted(read) == [(0, 1), (1, 1)]
    assert pixels.values[0, :, 0].tolist() == [1, 1, 11, 11]


def both(tmp_path: Path) -> list[Raster]:
    values = picture("int16")
    values[0, 3, 4] = -1
    path = write(tmp_path / "a.tif", values, nodata=-1)
    opened = opened_by_rioxarray(path)
    return [open_guide(kind) for kind in (path, opened, opened.chunk({"x": 16}), opened.load())]


def test_what_a_window_needs_is_small_and_comes_to_what_a_read_gives(tmp_path: Path) -> None:
    window = Window(1, 2, 10, 20)
    for raster in both(tmp_path):
        read_plan = Warped(raster, raster.grid).read_plan(window)
        parts = [leaf.read(part) for leaf, part in read_plan.reads]
        make = pickle.loads(pickle.dumps(read_plan.combine))  # noqa: S301  (our own bytes)
        got, expected = make(parts), raster.read(window)
        assert np.array_equal(got.values, expected.values, equal_nan=True)
        assert (got.valid == expected.valid).all()
        assert not got.valid[2, 2]
        assert len(pickle.dumps(read_plan.combine)) < 10_000


def test_rasters_are_pickled_and_read_from_many_threads(tmp_path: Path) -> None:
    windows = [Window(i, j, 6, 7) for i in range(0, 25, 5) for j in range(0, 35, 5)]
    for raster in both(tmp_path):
        again = pickle.loads(pickle.dumps(raster))  # noqa: S301  (our own bytes)
        with ThreadPoolExecutor(8) as executor:
            found = list(executor.map(again.read, windows))
        for window, pixels in zip(windows, found, strict=True):
            assert np.array_equal(pixels.values, raster.read(window).values, equal_nan=True)


def test_a_persisted_array_is_read_within_a_task_of_a_cluster() -> None:
    distributed = pytest.importorskip("distributed")
    values = picture(bands=1)
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        lazy = array(values).chunk({"x": 10, "y": 10}).persist()
        raster = open_source(lazy)
        window = Window(5, 6, 20, 20)
        part = client.submit(raster.read, window, pure=False).result(timeout=60)
        assert (part.values == values[:, 5:25, 6:26]).all()


def test_different_contents_have_different_tokens(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture())
    first = tokenize(FileRaster.open(path))
    assert tokenize(FileRaster.open(path)) == first
    assert tokenize(FileRaster.open(path, (1,))) != first
    write(path, picture() + 1)
    assert tokenize(FileRaster.open(path)) != first
    one = tokenize(open_guide(array(picture())))
    assert tokenize(open_guide(array(picture()))) == one
    assert tokenize(open_guide(array(picture() + 1))) != one
    assert tokenize(open_guide(array(picture()).isel(x=slice(1, None)))) != one


def test_a_dataset_is_a_guide_of_its_variables() -> None:
    values = picture(bands=2)
    dataset = xr.Dataset({"red": array(values[0], _FillValue=3), "nir": array(values[1].astype("float32"))})
    raster = open_guide(dataset)
    assert raster.bands == ("red", "nir")
    pixels = raster.read(Window(0, 0, 31, 45))
    assert (nodata_of(pixels) == (values[0] == 3)).all()
    assert (pixels.values[1][pixels.valid] == values[1][pixels.valid]).all()


def test_one_band_of_several_must_be_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture())
    for source in (path, array(picture())):
        with pytest.raises(InputError, match=r"2 bands.*choose"):
            open_source(source)
        with pytest.raises(InputError, match=r"no (data )?band 3"):
            open_source(source, 3)
        assert (open_source(source, 2).read(Window(0, 0, 31, 45)).values == picture()[1:]).all()


def refused(tmp_path: Path) -> dict[str, tuple[Any, type[Exception], str]]:
    """What no one can sharpen: by its kind, the thing, the exception, what is said."""
    (tmp_path / "text.tif").write_text("no raster")
    palette = write(tmp_path / "palette.tif", picture("uint8", 1))
    with rasterio.open(palette, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255)})
    thematic = write(tmp_path / "thematic.tif", picture("uint8", 1))
    with rasterio.open(thematic, "r+") as dataset:
        dataset.update_tags(1, LAYER_TYPE="thematic")
    gcps = [GroundControlPoint(row, col, col * 30, -row * 30) for row, col in [(0, 0), (0, 40), (30, 0), (30, 40)]]
    points = write(tmp_path / "gcps.tif", picture(bands=1), gcps=gcps, transform=Affine.identity())
    plain = picture(bands=1)
    uneven = array(plain[0]).assign_coords(x=np.arange(45.0) ** 1.1)
    return {
        "missing": (tmp_path / "none.tif", InputError, "cannot be opened.*No such file"),
        "no raster": (tmp_path / "text.tif", InputError, "cannot be opened.*not recognized"),
        "no CRS": (write(tmp_path / "crs.tif", plain, crs=None), GridError, "no CRS: assign"),
        "no transform": (write(tmp_path / "t.tif", plain, transform=Affine.identity()), GridError, "not georeferenced"),
        "points": (points, GridError, "ground control points only"),
        "palette": (palette, InputError, "colour table"),
        "thematic": (thematic, InputError, "classes"),
        "thematic array": (opened_by_rioxarray(thematic), InputError, "classes"),
        "complex": (write(tmp_path / "c.tif", plain.astype("complex64")), InputError, "complex"),
        "number": (3, InputError, "not int"),
        "bool": (array(plain[0] > 3), InputError, "bool"),
        "flags": (array(plain[0], flag_values=[1, 2]), InputError, "classes"),
        "array without CRS": (array(plain[0], crs=None), GridError, "no CRS: assign.*write_crs"),
        "array without place": (xr.DataArray(plain[0], dims=("y", "x")).rio.write_crs(UTM), GridError, "not georef"),
        "uneven": (uneven, GridError, "unevenly spaced coordinates"),
        "empty": (array(plain[0]).isel(x=slice(0, 0)), InputError, "no pixels"),
        "time": (array(plain[0]).expand_dims("time"), InputError, "dimensions time, y, x"),
        "dims": (xr.DataArray(plain[0], dims=("a", "b")), GridError, "set_spatial_dims"),
    }


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_cannot_be_sharpened_is_refused_in_one_line(tmp_path: Path) -> None:
    for kind, (thing, error, said) in refused(tmp_path).items():
        doors = (
            (open_source,) if kind in {"palette", "thematic", "thematic array", "flags"} else (open_source, open_guide)
        )
        for door in doors:
            with pytest.raises(error, match=said) as caught:
                door(thing)
            assert "\n" not in str(caught.value), kind


def degrees(**coords: NDArray[Any]) -> xr.DataArray:
    """An array on (lat, lon), or on (rows, columns) where these are of two dimensions."""
    flat = all(values.ndim == 1 for values in coords.values())
    dims = ("lat", "lon") if flat else ("rows", "columns")
    made = xr.DataArray(
        picture(bands=1)[0].astype("float32"),
        dims=dims,
        coords={name: (name if flat else dims, values) for name, values in coords.items()},
        name="heat",
    )
    made.lat.attrs.update(units="degrees_north", standard_name="latitude")
    made.lon.attrs.update(units="degrees_east", standard_name="longitude")
    return made


LAT, LON = np.linspace(38, 37, 31), np.linspace(-76, -75, 45)
EACH_LAT, EACH_LON = np.meshgrid(LAT, LON, indexing="ij")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_netcdf_files_are_refused_with_the_fix_that_is_right_for_them(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    swath = degrees(lat=EACH_LAT, lon=EACH_LON)
    each = {"heat": swath.values, "latitude_in": EACH_LAT, "longitude_in": EACH_LON}
    separate = xr.Dataset({name: (("rows", "columns"), values) for name, values in each.items()})
    part, without = f"netcdf:{path}:heat", swath.reset_coords(drop=True).to_dataset()
    cases: list[tuple[xr.Dataset, str, str]] = [
        (swath.to_dataset(), part, r"of each pixel \(a swath\) in place of a grid: warp it .* gdalwarp -geoloc$"),
        (separate, part, "a swath.*in netcdf:.*:longitude_in and netcdf:.*:latitude_in: .*src_geoloc_array"),
        (
            without,
            str(path),
            "not georeferenced: if it is a swath, .*in another file.* -geoloc; if it is a grid.*-a_ullr",
        ),
        (
            degrees(lat=np.sin(LAT) * 80, lon=LON).to_dataset(),
            str(path),
            "unevenly spaced coordinates.*gdalwarp -geoloc",
        ),
        (degrees(lat=LAT, lon=LON).to_dataset(), str(path), r"no CRS: copy it .*gdal_translate -a_srs EPSG:4326 \(its"),
    ]
    for dataset, name, said in cases:
        path.unlink(missing_ok=True)
        dataset.to_netcdf(path, engine="scipy")
        with pytest.raises(GridError, match=said) as caught:
            FileRaster.open(name)
        assert "a_ullr" not in str(caught.value) or dataset is without
        assert "gdal_edit" not in str(caught.value)


def test_an_array_of_a_swath_on_a_projected_grid_too_is_a_grid() -> None:
    corner = {"y": 4e6 - 30.0 * np.arange(31), "x": 5e5 + 30.0 * np.arange(45)}
    swath = degrees(lat=EACH_LAT, lon=EACH_LON).rename(rows="y", columns="x")
    assert ArrayRaster.of(swath.assign_coords(corner).rio.write_crs(UTM)).grid.affine.c == 5e5 - 15
    with pytest.raises(GridError, match="a swath"):
        ArrayRaster.of(swath.rio.write_crs(4326))


@pytest.mark.parametrize(
    ("west", "said"),
    [
        (179.9, "from 179.99 to -180: .* % 360.$"),
        (-180.1, r"from 359.* to 0: .*\(lon=\(array.lon \+ 180\) % 360 - 180\)$"),
    ],
)
def test_longitudes_that_jump_are_refused_with_what_makes_them_continuous(west: float, said: str) -> None:
    lon = np.round((west + 0.01 * np.arange(45) + 180) % 360 - 180, 6)
    if west < -180:
        lon = np.round((lon + 180) % 360, 6)
    made = degrees(lat=LAT, lon=lon).rio.write_crs(4326)
    with pytest.raises(GridError, match=f"longitudes that jump {said}"):
        ArrayRaster.of(made)
    mended = made.assign_coords(lon=made.lon % 360 if west > 0 else (made.lon + 180) % 360 - 180)
    assert ArrayRaster.of(mended).grid.affine.a == pytest.approx(0.01)


def test_a_thematic_tag_that_is_changed_for_the_file_is_no_longer_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(bands=1))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, LAYER_TYPE="thematic")
    with pytest.raises(InputError, match=r"its tag LAYER_TYPE is thematic.*gdal_edit.py -mo LAYER_TYPE=athematic"):
        FileRaster.open(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(LAYER_TYPE="athematic")
    assert FileRaster.open(path).bands == ("1",)


def test_a_file_that_breaks_later_says_where(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture(height=300, width=300), compress="deflate")
    raster = FileRaster.open(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.tif"):
        raster.read(Window(0, 0, 300, 300))


# The guide on the target grid.


def guide_of(crs: str, res: float, offset: tuple[float, float], shape: tuple[int, int], missing: int) -> ArrayRaster:
    """A random guide in UTM or degrees with its north-western corner `offset` metres from the target's."""
    rng = np.random.default_rng(7)
    values = rng.normal(100, 30, (2, *shape)).astype(np.float32)
    values.reshape(2, -1)[:, rng.integers(0, values[0].size, missing)] = np.nan
    if crs == UTM:
        place = Affine(res, 0, 500_000 + offset[0], 0, -res, 4_000_000 + offset[1])
    else:
        degree = 111_320.0
        place = Affine(res / 9e4, 0, -75 + offset[0] / 9e4, 0, -res / degree, 36.1447 + offset[1] / degree)
    return ArrayRaster(
        da.from_array(values, chunks=-1),
        GeoBox(shape, place, crs),
        ("1", "2"),
        (None, None),
        None,
        (),
        "guide",
    )


TARGET = GeoBox((40, 50), Affine(10, 0, 500_000, 0, -10, 4_000_000), UTM)
TARGET_DEGREES = GeoBox((40, 50), Affine(11e-5, 0, -75, 0, -9e-5, 36.1447), "EPSG:4326")


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from([TARGET, TARGET_DEGREES, GeoBox((40, 50), TARGET.affine * Affine.rotation(25), UTM)]),
    st.sampled_from([UTM, "EPSG:4326"]),
    st.sampled_from([2.5, 3.3, 5.0, 7.1, 9.9, 10.0, 16.0, 31.0]),
    st.tuples(st.sampled_from([-300.0, -33.3, -5.0, 0.0, 2.5, 5.0, 103.7]), st.sampled_from([-61.5, 0.0, 5.0, 70.0])),
    st.tuples(st.integers(10, 90), st.integers(10, 90)),
    st.sampled_from([0, 30]),
    st.tuples(st.integers(0, 39), st.integers(0, 49), st.integers(1, 40), st.integers(1, 50)),
)
def test_a_window_of_the_warped_guide_is_the_same_window_of_the_whole(
    grid: GeoBox,
    crs: str,
    res: float,
    offset: tuple[float, float],
    shape: tuple[int, int],
    missing: int,
    part: tuple[int, int, int, int],
) -> None:
    on_grid = Warped(guide_of(crs, res, offset, shape, missing), grid)
    window = Window(*part).intersection(Window.whole((40, 50)))
    whole = on_grid.read(Window.whole((40, 50)))
    found = on_grid.read(window)
    assert (found.valid == whole.valid[window.slices]).all()
    expected = whole.values[(slice(None), *window.slices)]
    assert np.allclose(found.values, expected, rtol=0, atol=3e-5, equal_nan=True)


def test_windows_agree_beside_nodata_where_centres_fall_on_the_edges_of_guide_pixels() -> None:
    """In metres the origin of each window is rounded anew, and another pixel is the nearest one."""
    place = Affine(0.3, 0, 435_730.37, 0, -0.3, 4_176_900.71)
    grid = GeoBox((60, 60), place, UTM)
    native = GeoBox((60, 60), place * Affine.translation(0.5, 0.5), UTM)
    rng = np.random.default_rng(0)
    values = np.where(rng.random((1, 60, 60)) < 0.3, np.nan, rng.normal(size=(1, 60, 60))).astype(np.float32)
    warper = GridWarp(native, grid)

    def warped(window: Window) -> Pixels:
        needed = warper.native_window(window)
        return warper.warp(Pixels.masked(values[(slice(None), *needed.slices)]), needed, window)

    whole = warped(Window(0, 0, 60, 60))
    for start in range(1, 50, 3):
        window = Window(start, 50 - start, 10, 10)
        assert (warped(window).valid == whole.valid[window.slices]).all()


def test_a_finer_guide_on_nested_pixels_is_their_plain_mean() -> None:
    guide = guide_of(UTM, 2.5, (0, 0), (160, 200), 0)
    pixels = Warped(guide, TARGET).read(Window.whole((40, 50)))
    mean = guide.read(Window.whole((160, 200))).values.reshape(2, 40, 4, 50, 4).mean(axis=(2, 4))
    assert pixels.valid.all()
    assert np.allclose(pixels.values, mean, rtol=1e-6)


def test_a_guide_on_the_targets_own_grid_is_itself_and_moves_by_whole_pixels() -> None:
    guide = guide_of(UTM, 10, (0, 0), (40, 50), 5)
    values = guide.read(Window.whole((40, 50))).values
    assert np.array_equal(Warped(guide, TARGET).read(Window.whole((40, 50))).values, values, equal_nan=True)
    guide = guide_of(UTM, 10, (30, -20), (40, 50), 0)
    pixels = Warped(guide, TARGET).read(Window.whole((40, 50)))
    assert (pixels.values[:, 2:, 3:] == guide.read(Window(0, 0, 38, 47)).values).all()
    assert pixels.valid.sum() == 38 * 47


def test_a_plane_is_kept_by_a_warp_between_crs() -> None:
    """The value of a guide that is its own easting must be the target pixel's easting: no half pixel is lost."""
    for res in (3.0, 10.0, 30.0):
        guide = guide_of("EPSG:4326", res, (-600, 600), (400, 500), 0)
        rows, cols = np.mgrid[:400, :500] + 0.5
        lon, lat = guide.grid.pix2wld(cols, rows)  # type: ignore[no-untyped-call]
        assert guide.grid.crs is not None
        assert TARGET.crs is not None
        east, _ = guide.grid.crs.transformer_to_crs(TARGET.crs)(lon, lat)
        made = ArrayRaster(
            da.from_array((east[None] - 5e5).astype(np.float32), chunks=-1),
            guide.grid,
            ("1",),
            (None,),
            None,
            (),
            "plane",
        )
        pixels = Warped(made, TARGET).read(Window.whole((40, 50)))
        assert pixels.valid.all()
        expected = 10 * (np.arange(50) + 0.5)
        assert np.abs(pixels.values[0] - expected).max() < (2.0 if res == 3 else 0.05)
        assert np.abs((pixels.values[0] - expected).mean()) < 0.05


def test_how_pixels_are_combined_follows_the_resolutions() -> None:
    names = {
        res: GridWarp(guide_of(UTM, res, (0, 0), (9, 9), 0).grid, TARGET).resampling.name for res in (5, 9.8, 10, 20)
    }
    assert names == {5: "average", 9.8: "cubic", 10: "cubic", 20: "cubic"}


def test_where_the_guide_does_not_reach_there_is_nothing_to_read_and_nothing_valid() -> None:
    on_grid = Warped(guide_of(UTM, 5, (0, 0), (20, 20), 0), TARGET)
    window = Window(30, 30, 5, 6)
    assert not on_grid.read_plan(window).reads
    pixels = on_grid.read(window)
    assert pixels.values.shape == (2, 5, 6)
    assert not pixels.valid.any()
    assert np.isnan(pixels.values).all()


def test_the_native_window_is_no_larger_than_it_must_be() -> None:
    on_grid = Warped(guide_of(UTM, 5, (-1000, 1000), (500, 600), 0), TARGET)
    ((_, native),) = on_grid.read_plan(Window(0, 0, 10, 10)).reads
    assert native.height <= 20 + 2 * 8
    assert native.intersection(Window(200, 200, 20, 20)) == Window(200, 200, 20, 20)


def test_an_empty_window_is_read_as_nothing(tmp_path: Path) -> None:
    for raster in both(tmp_path):
        pixels = raster.read(Window(0, 0, 0, 0))
        assert (pixels.values.shape, pixels.valid.shape) == ((2, 0, 0), (0, 0))


def test_what_makes_a_window_carries_no_pixels() -> None:
    on_grid = Warped(guide_of(UTM, 5, (0, 0), (500, 600), 0), TARGET)
    assert len(pickle.dumps(on_grid.read_plan(Window(0, 0, 10, 10)).combine)) < 5_000


@pytest.mark.parametrize(
    ("guide", "truth"), [(SENTINEL_GUIDE, SENTINEL_TRUTH), (LANDSAT_GUIDE, LANDSAT_TRUTH)], ids=["sentinel", "landsat"]
)
def test_real_guides_by_window(guide: Path, truth: Path) -> None:
    coarse = FileRaster.open(truth, (1,)).grid[:60, :60].zoom_out(4)
    on_grid = Warped(open_guide(guide), refined(coarse, Scale(4, 4)))
    whole = on_grid.read(Window.whole((60, 60)))
    for window in (Window(0, 0, 17, 60), Window(31, 9, 20, 20)):
        part = on_grid.read(window)
        expected = whole.values[(slice(None), *window.slices)]
        assert np.allclose(part.values, expected, rtol=1e-6, equal_nan=True)
