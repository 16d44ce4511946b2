"""What a user gives as a source or a guide, opened as a raster: a path, an array, a Dataset."""

from __future__ import annotations

from os import PathLike

import xarray as xr

from mmsr_geo.errors import InputError
from mmsr_geo.raster.arrays import ArrayRaster
from mmsr_geo.raster.files import FileRaster
from mmsr_geo.raster.protocol import Raster


def open_source(source: str | PathLike[str] | xr.DataArray, band: int | None = None) -> Raster:
    """Open the one band to be sharpened; `band` counts from 1 and is needed where there are several.

    Raises InputError for what cannot be opened or is no picture of a quantity, GridError for what is not georeferenced.
    """
    raster: Raster
    match source:
        case xr.DataArray():
            dim = next((dim for dim in source.dims if dim in ("band", "bands", "variable")), None)
            count = 1 if dim is None else source.sizes[dim]
            if dim is not None and band is not None and 1 <= band <= count:
                source = source.isel({dim: [band - 1]})
            raster = ArrayRaster.of(source)
            way = f".isel({dim}=0)"
        case str() | PathLike():
            if band is None:
                raster = FileRaster.open(source)
                count = len(raster.bands)
            else:
                return FileRaster.open(source, (band,))
            way = "band=1 (--band 1)"
        case _:
            msg = f"a source is a path or a DataArray, not {type(source).__name__}: select one variable of a Dataset"
            raise InputError(msg)
    if band is not None and not 1 <= band <= count:
        msg = f"{raster.name} has no band {band}: its bands are 1 to {count}"
        raise InputError(msg)
    if len(raster.bands) > 1:
        msg = f"{raster.name} has {count} bands ({', '.join(raster.bands)}): choose the one to sharpen, as in {way}"
        raise InputError(msg)
    return raster


def open_guide(guide: str | PathLike[str] | xr.DataArray | xr.Dataset) -> Raster:
    """Open the guide with all its bands; a Dataset's variables are its bands.

    Raises InputError for what cannot be opened or is no picture of a quantity, GridError for what is not georeferenced.
    """
    match guide:
        case xr.Dataset():
            variables = [guide[name] for name in guide.data_vars if guide[name].ndim > 1]
            if not variables:
                msg = "the guide Dataset holds no raster variables: give one with dims y and x"
                raise InputError(msg)
            # A variable of a Dataset finds the CRS that only the Dataset names.
            rasters = [ArrayRaster.of(_with_crs(variable, guide)) for variable in variables]
            return rasters[0] if len(rasters) == 1 else ArrayRaster.stacked(rasters, "the guide Dataset")
        case xr.DataArray():
            return ArrayRaster.of(guide)
        case str() | PathLike():
            return FileRaster.open(guide)
        case _:
            msg = f"a guide is a path, a DataArray or a Dataset, not {type(guide).__name__}"
            raise InputError(msg)


def _with_crs(array: xr.DataArray, dataset: xr.Dataset) -> xr.DataArray:
    if array.rio.crs is None and dataset.rio.crs is not None:
        array = array.rio.write_crs(dataset.rio.crs)
    return array
