"""Sources and guides opened as rasters: from paths, arrays and Datasets, with the bands that options choose."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import TypeAlias, cast

import xarray as xr

from mmsr_geo.errors import InputError, OptionError
from mmsr_geo.nodata import NodataLike
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.arrays import BAND_DIMS, ArrayRaster, array_name
from mmsr_geo.raster.read.band_names import listed, positions_called, split_candidates
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.spelling import option

OneGuide: TypeAlias = "str | PathLike[str] | xr.DataArray | xr.Dataset"

_DATASET = "the guide Dataset"


def open_source(
    source: str | PathLike[str] | xr.DataArray,
    band: int | str | None = None,
    *,
    nodata: NodataLike | None = None,
    truth: bool = False,
) -> Raster:
    """Open the band to be sharpened or, as `truth`, to be compared with.

    Args:
        source: A path or an array.
        band: The number of the band, from 1, or its description; required if there are several bands.
        nodata: Nodata values and ranges in stored units, in place of the declared ones, such as -9999 or
            "-9999,>100"; NaN, a mask band and an alpha band count as nodata in any case.
        truth: Whether the raster is a truth, for the messages.

    Raises:
        InputError: The raster cannot be opened, holds no measured quantity, or has several bands and none is chosen.
        GridError: The raster is not georeferenced.
    """
    raster: Raster
    which = "the one to compare with" if truth else "the one to sharpen"
    match source:
        case xr.DataArray():
            raster = ArrayRaster.of(source, nodata=nodata)
            dim = next((dim for dim in source.dims if dim in BAND_DIMS), None)
            advice = f"choose {which}, as in .isel({dim}=0)"
            if band is not None:
                raster = raster.taking([band])
        case str() | PathLike():
            raster = FileRaster.open(source, None if band is None else [band], nodata=nodata)
            example = "gdal_translate -b 1" if truth else option("band", 1)
            advice = f"choose {which}, as in {example}"
        case _:
            kind = type(source).__name__
            raise InputError(f"a source is a path or a DataArray, not {kind}: select one variable of a Dataset")
    if len(raster.bands) > 1:
        bands = listed(raster.bands, raster.numbers)
        raise InputError(f"{raster.name} has {len(raster.bands)} bands ({bands}): {advice}")
    return raster


def open_guides(
    guide: OneGuide | Sequence[OneGuide],
    *,
    guide_band: Sequence[str | int] | str | int = (),
    guide_nodata: NodataLike | None = None,
    guide_classes: Sequence[str | int] | str | int = (),
) -> tuple[Raster, ...]:
    """Open one guide or several, each on a grid of its own; a Dataset's variables are its bands.

    Args:
        guide: A path, a DataArray or a Dataset, or several of them.
        guide_band: The bands to take: "FILE:BAND" or, if there is one guide, "BAND" or a number. FILE is a guide as
            given, its file name if that is unique, or the name of an array. BAND is a number from 1 or a description;
            several are separated by commas ("a.tif:4,3"). All bands are taken from a guide that is not named; from a
            guide that is named, the given bands in this order.
        guide_nodata: Nodata values and ranges of all guides in stored units, in place of the declared ones.
        guide_classes: The bands that hold classes, as in `guide_band`, next to those whose metadata say so. They have
            legends.

    Raises:
        InputError: A guide cannot be opened or holds no measured quantity, or a band does not exist.
        GridError: A guide is not georeferenced.
        OptionError: `guide_band` or `guide_classes` names no guide.
    """
    guides: list[OneGuide] = list(guide) if isinstance(guide, list | tuple) else [cast("OneGuide", guide)]
    if not guides:
        raise OptionError("there is no guide: give at least one path or array")
    names = [_name_of(one) for one in guides]
    wanted = _by_guide("guide_band", guide_band, names)
    classes = _by_guide("guide_classes", guide_classes, names)
    return tuple(
        _open_guide(one, bands or None, guide_nodata, said)
        for one, bands, said in zip(guides, wanted, classes, strict=True)
    )


def open_guide(guide: OneGuide) -> Raster:
    """Open one guide with all its bands; raises the errors of `open_guides`."""
    return _open_guide(guide, None, None, ())


def _open_guide(
    guide: OneGuide, bands: Sequence[int | str] | None, nodata: NodataLike | None, classes: Sequence[int | str]
) -> Raster:
    match guide:
        case xr.Dataset():
            variables = [guide[name] for name in guide.data_vars if guide[name].ndim > 1]
            if not variables:
                raise InputError("the guide Dataset has no raster variable: give one with dimensions y and x")
            rasters = [
                ArrayRaster.of(_variable(variable, guide), nodata=nodata, classes=True) for variable in variables
            ]
            raster = rasters[0] if len(rasters) == 1 else ArrayRaster.stacked(rasters, _DATASET)
            return (raster if bands is None else raster.taking(bands)).with_classes(classes)
        case xr.DataArray():
            raster = ArrayRaster.of(guide, nodata=nodata, classes=True)
            return (raster if bands is None else raster.taking(bands)).with_classes(classes)
        case str() | PathLike():
            return FileRaster.open(guide, bands, nodata=nodata, classes=classes)
        case _:
            kind = type(guide).__name__
            raise InputError(f"a guide is a path, a DataArray or a Dataset, not {kind}: give one of these")


def _name_of(guide: OneGuide) -> str:
    match guide:
        case str() | PathLike():
            return fspath(guide)
        case xr.DataArray():
            return array_name(guide)
        case _:
            return _DATASET


def _by_guide(name: str, specs: Sequence[str | int] | str | int, names: Sequence[str]) -> tuple[list[str | int], ...]:
    """Return the bands that an option names of each guide."""
    bands: tuple[list[str | int], ...] = tuple([] for _ in names)
    for spec in [specs] if isinstance(specs, str | int) else specs:
        place, band = _guide_and_bands(name, spec, names)
        bands[place].append(band)
    return bands


def _guide_and_bands(name: str, spec: str | int, names: Sequence[str]) -> tuple[int, str | int]:
    """Return the position of the guide in FILE:BAND, and BAND; if there is one guide, FILE may be missing."""
    text = str(spec)
    for called, bands in split_candidates(text):
        matches = positions_called(called, names)
        if len(matches) > 1:
            raise OptionError(
                f"{option(name, text)}: {len(matches)} guides are called {called}; write the whole path as it "
                "was given, and give each guide once"
            )
        if matches:
            return matches[0], bands
    if len(names) == 1:
        return 0, spec
    raise OptionError(
        f"{option(name, text)} names none of the {len(names)} guides: write FILE:BAND, as in {names[0]}:1"
    )


def _variable(array: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    """Return a variable with the CRS and the transform of its Dataset; without a band dimension if it has one band."""
    if "transform" in dataset.attrs and "transform" not in array.attrs:  # stackstac's, after .to_dataset("band")
        array = array.assign_attrs(transform=dataset.attrs["transform"])
    if array.rio.crs is None and dataset.rio.crs is not None:
        array = array.rio.write_crs(dataset.rio.crs)
    return array.squeeze([dim for dim in BAND_DIMS if array.sizes.get(dim) == 1], drop=True)
