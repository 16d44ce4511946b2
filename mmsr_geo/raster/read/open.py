"""What a user gives as a source or as guides, opened as rasters: paths, arrays, Datasets, and bands chosen of them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import TypeAlias, cast

import xarray as xr

from mmsr_geo.errors import InputError, OptionError
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.read.arrays import BAND_DIMS, ArrayRaster, array_name
from mmsr_geo.raster.read.band_names import goes_by, listed
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.spelling import option

OneGuide: TypeAlias = "str | PathLike[str] | xr.DataArray | xr.Dataset"

_DATASET = "the guide Dataset"


def open_source(
    source: str | PathLike[str] | xr.DataArray,
    band: int | str | None = None,
    *,
    nodata: float | None = None,
    truth: bool = False,
) -> Raster:
    """Open the one band to be sharpened, or, as a `truth`, to be compared with.

    band: its number, from 1, or its description; needed where there are several. nodata: the value that is a hole, in
    the units of the stored pixels, whatever the source declares; NaN, a mask band and alpha hold all the same.
    Raises InputError for what cannot be opened or is no picture of a quantity, GridError for what is not georeferenced.
    """
    raster: Raster
    which = "the one to compare with" if truth else "the one to sharpen"
    match source:
        case xr.DataArray():
            raster = ArrayRaster.of(source, nodata=nodata)
            dim = next((dim for dim in source.dims if dim in BAND_DIMS), None)
            mend = f"choose {which}, as in .isel({dim}=0)"
            if band is not None:
                raster = raster.taking([band])
        case str() | PathLike():
            raster = FileRaster.open(source, None if band is None else [band], nodata=nodata)
            example = "gdal_translate -b 1" if truth else option("band", 1)
            mend = f"choose {which}, as in {example}"
        case _:
            msg = f"a source is a path or a DataArray, not {type(source).__name__}: select one variable of a Dataset"
            raise InputError(msg)
    if len(raster.bands) > 1:
        there = listed(raster.bands, raster.numbers)
        msg = f"{raster.name} has {len(raster.bands)} bands ({there}): {mend}"
        raise InputError(msg)
    return raster


def open_guides(
    guide: OneGuide | Sequence[OneGuide],
    *,
    guide_band: Sequence[str | int] | str | int = (),
    guide_nodata: float | None = None,
) -> tuple[Raster, ...]:
    """Open one guide or several, each on a grid of its own; a Dataset's variables are its bands.

    Args:
        guide: a path, a DataArray or a Dataset, or several of them.
        guide_band: which bands to take: "FILE:BAND" or, where there is one guide, "BAND" or a number. FILE is one of
            the guides as given, its file name where that is unique, or an array's name; BAND is a number from 1 or a
            description, several with commas between ("a.tif:4,3"). Of a guide that is not named all bands are taken;
            of one that is, the named ones, in this order.
        guide_nodata: the value that is a hole in every guide, in the units of the stored pixels, whatever it declares.

    Raises InputError for what cannot be opened or is no picture of a quantity and for a band that there is not,
    GridError for what is not georeferenced, OptionError for a `guide_band` that names no guide.
    """
    guides: list[OneGuide] = list(guide) if isinstance(guide, list | tuple) else [cast("OneGuide", guide)]
    if not guides:
        raise OptionError("there is no guide: give one path or array at least")
    names = [_name_of(one) for one in guides]
    wanted: list[list[str | int]] = [[] for _ in guides]
    for spec in [guide_band] if isinstance(guide_band, str | int) else guide_band:
        place, bands = _guide_and_bands(spec, names)
        wanted[place].append(bands)
    return tuple(_open_guide(one, bands or None, guide_nodata) for one, bands in zip(guides, wanted, strict=True))


def open_guide(guide: OneGuide) -> Raster:
    """Open one guide with all its bands; raises what `open_guides` does."""
    return _open_guide(guide, None, None)


def _open_guide(guide: OneGuide, bands: Sequence[int | str] | None, nodata: float | None) -> Raster:
    match guide:
        case xr.Dataset():
            variables = [guide[name] for name in guide.data_vars if guide[name].ndim > 1]
            if not variables:
                msg = "the guide Dataset holds no raster variables: give one with dims y and x"
                raise InputError(msg)
            rasters = [ArrayRaster.of(_variable(variable, guide), nodata=nodata) for variable in variables]
            raster = rasters[0] if len(rasters) == 1 else ArrayRaster.stacked(rasters, _DATASET)
            return raster if bands is None else raster.taking(bands)
        case xr.DataArray():
            raster = ArrayRaster.of(guide, nodata=nodata)
            return raster if bands is None else raster.taking(bands)
        case str() | PathLike():
            return FileRaster.open(guide, bands, nodata=nodata)
        case _:
            msg = f"a guide is a path, a DataArray or a Dataset, not {type(guide).__name__}: give one of these"
            raise InputError(msg)


def _name_of(guide: OneGuide) -> str:
    match guide:
        case str() | PathLike():
            return fspath(guide)
        case xr.DataArray():
            return array_name(guide)
        case _:
            return _DATASET


def _guide_and_bands(spec: str | int, names: Sequence[str]) -> tuple[int, str | int]:
    """Return which guide is meant, and what is said of its bands; a path may hold colons itself."""
    text = str(spec)
    for colon in (place for place in range(len(text) - 1, 0, -1) if text[place] == ":"):
        called, bands = text[:colon], text[colon + 1 :]
        found = [place for place, name in enumerate(names) if name == called] or [
            place for place, name in enumerate(names) if goes_by(name, called)
        ]
        if len(found) > 1:
            msg = (
                f"{option('guide_band')} {text!r}: {len(found)} guides go by {called}: write the path as it was "
                "given, each once"
            )
            raise OptionError(msg)
        if found:
            return found[0], bands
    if len(names) == 1:
        return 0, spec
    msg = f"{option('guide_band')} {text!r} names none of the {len(names)} guides: write FILE:BAND, as in {names[0]}:1"
    raise OptionError(msg)


def _variable(array: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    """Return a variable with the CRS that only its Dataset names, called by its own name where it is one band."""
    if array.rio.crs is None and dataset.rio.crs is not None:
        array = array.rio.write_crs(dataset.rio.crs)
    return array.squeeze([dim for dim in BAND_DIMS if array.sizes.get(dim) == 1], drop=True)
