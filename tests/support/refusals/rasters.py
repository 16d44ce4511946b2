"""Rasters that are refused: files, arrays, bands, masks and derived bands."""

from __future__ import annotations

import numpy as np
import rasterio
import xarray as xr
from rasterio.control import GroundControlPoint

import mmsr_geo
from mmsr_geo.errors import (
    ChangedInputError,
    GridError,
    InputError,
    OptionError,
)
from support.refusals.cases import (
    QUICK,
    arrays,
    case,
    evaluating,
    fitting,
    shown,
    upsampling,
)
from support.refusals.inputs import (
    AROUND,
    PLACE,
    SHAPE,
    array,
    bare,
    changing_files,
    in_degrees,
    scene,
    swath,
    torn,
)

case(
    "no raster",
    InputError,
    "text.tif cannot be opened as a raster (…): check the path and the format",
    "A file is missing, may not be read, is truncated in its header, or has a format that GDAL does not know.",
    "Correct the path, or convert the file.",
    upsampling(source="text.tif"),
)


case(
    "an HDF4 file",
    InputError,
    "modis.hdf is an HDF4 file, which this GDAL (…) cannot read: convert it to a GeoTIFF with the gdal_translate of "
    "conda-forge (conda install -c conda-forge gdal libgdal-hdf4)",
    "A file is HDF4, such as one of MODIS, and the GDAL of rasterio's wheels cannot read that format.",
    "Convert the file, or one of its parts, with a GDAL that reads HDF4.",
    upsampling(source="modis.hdf"),
)


case(
    "a model as a raster",
    InputError,
    "scene.mmsr is a saved model, not a raster: give a raster here, and the model as ⟨model⟩",
    "A saved model is given as a source or a guide.",
    "Give it with `--model`.",
    upsampling(source="scene.mmsr"),
)


case(
    "a store of shards",
    InputError,
    "sharded.zarr is a Zarr array that this GDAL (…) cannot read (…): open it in Python with xarray.open_zarr and pass "
    "the array, or write a .tif instead of a .zarr",
    "A Zarr array has an encoding that GDAL cannot read, such as the shards of the outputs of mmsr_geo.",
    "Pass it as an array, or write a GeoTIFF.",
    upsampling(source="sharded.zarr"),
)


case(
    "a file that changes meanwhile",
    ChangedInputError,
    "dem.tif has changed since it was opened: restore it, or start again with the new file",
    "An input is replaced or removed while it is processed.",
    "Restore it, or start again.",
    upsampling(),
    fault=changing_files,
)


case(
    "a pipe",
    InputError,
    "pipe.tif is a pipe or a device, from which a raster cannot be read by window: save it to a file first",
    "A source, guide or mask is a pipe or a device.",
    "Save it to a file.",
    upsampling(source="pipe.tif"),
)


case(
    "a file cut short",
    InputError,
    "cut.tif cannot be read at row 0, column 0 (…): it may be truncated; download or create it again",
    "GDAL cannot read the pixels: the file is truncated or damaged, or a part of a mosaic is missing.",
    "Download or create the file again.",
    upsampling("--scale 2", source="cut.tif", scale=2),
)


case(
    "a file with alpha cut short",
    InputError,
    "cut_naip.tif cannot be read at row 0, column 0 (…): it may be truncated; download or create it again",
    "GDAL cannot read the pixels of a band that is declared as alpha: the file is truncated or damaged.",
    "Download or create the file again.",
    upsampling("--scale 2", guide="cut_naip.tif", scale=2),
)


case(
    "no bands",
    InputError,
    "two.nc holds no bands: name one of its parts, as in netcdf:two.nc:rain",
    "A file holds no bands. If it is a container (netCDF, HDF), the message names one of its parts.",
    "Give a raster, or one of the parts.",
    upsampling(source="two.nc"),
)


case(
    "complex numbers",
    InputError,
    "waves.tif holds complex numbers: give its amplitude or another real quantity",
    "A raster holds complex numbers.",
    "Give the amplitude, the phase or another real quantity.",
    upsampling(source="waves.tif"),
)


case(
    "no numbers",
    InputError,
    "the array has the dtype bool, which holds no numbers: convert it first, as in .astype('float32')",
    "An array holds dates, texts, objects or booleans.",
    "Convert it to numbers.",
    arrays(shown(lambda: array(scene() > 280))),
)


case(
    "a colour table",
    InputError,
    "palette.tif has a colour table: give the quantity itself, or expand it to RGB (gdal_translate -expand rgb)",
    "A raster has a colour table: its values stand for colours.",
    "Give the quantity itself. A guide with a colour table is used as classes.",
    upsampling(source="palette.tif"),
)


case(
    "a picture with a colour table",
    InputError,
    "picture.tif has a colour table of which 256 colours are in use, as a picture has: expand it to RGB "
    "(gdal_translate -expand rgb), or pass ⟨guide_classes=1⟩ if they are classes",
    "A guide has a colour table with more than 32 colours in use and no names, and most neighbours differ or the "
    "colours are a ramp.",
    "Expand it to RGB, give the quantity itself, or say that it holds classes.",
    upsampling(guide="picture.tif"),
)


case(
    "classes that are no whole numbers",
    InputError,
    "shares.tif holds 0.5, and classes need whole numbers: give the original classes, not resampled ones",
    "`--guide-classes` names a band with fractions.",
    "Give the original classes.",
    upsampling("--guide-classes 1", guide="shares.tif", guide_classes=1),
)


case(
    "a band derived from classes",
    OptionError,
    '⟨derive="slope:dem=1"⟩ is of class 1, which is the share of a class: name a band of a quantity',
    "A derived band uses a band of classes.",
    "Name a band of a quantity.",
    upsampling("--guide-classes 1 --derive slope:dem=1", guide="fields.tif", guide_classes=1, derive="slope:dem=1"),
)


case(
    "a class with a large number",
    InputError,
    "words.tif holds the class 1073741824: renumber its classes to numbers up to 16777216",
    "A class has a number that float32 does not hold exactly.",
    "Renumber the classes.",
    upsampling("--guide-classes 1", guide="words.tif", guide_classes=1),
)


case(
    "classes in a file",
    InputError,
    "classes.tif holds classes (its tag LAYER_TYPE is thematic), which cannot be averaged: give a measured quantity, "
    "or, if these values are one, change that tag with gdal_edit.py -mo LAYER_TYPE=athematic",
    "A source's tags say that it is thematic.",
    "Give a measured quantity; a guide may hold classes. If the tag is wrong, change it.",
    upsampling(source="classes.tif"),
)


case(
    "classes in an array",
    InputError,
    "the array holds classes (it has the attribute flag_values), which cannot be averaged: give a measured quantity, "
    "or, if these values are one, delete that attribute, as in del array.attrs['flag_values']",
    "The attributes of a source say that it holds flags.",
    "Give a measured quantity. If the attribute is wrong, delete it.",
    arrays(shown(lambda: array().assign_attrs(flag_values=[1, 2]))),
)


case(
    "a thematic array",
    InputError,
    "the array holds classes (its attribute LAYER_TYPE is thematic), which cannot be averaged: give a measured "
    "quantity, or, if these values are one, delete that attribute, as in del array.attrs['LAYER_TYPE']",
    "An array's attributes say that it is thematic.",
    "Give a measured quantity. If the attribute is wrong, delete it.",
    arrays(shown(lambda: array().assign_attrs(LAYER_TYPE="thematic"))),
)


case(
    "a band that there is not",
    InputError,
    "dem.tif has no data band 9: its bands are 1",
    "The source or a guide does not have a band that an option names.",
    "Choose one of the bands listed.",
    fitting("--band 9", band=9),
)


case(
    "opacity asked for as a band",
    InputError,
    "opaque.tif has no data band 4: it is declared as alpha, which masks; if it holds data, declare it so with "
    "gdal_edit.py -colorinterp_4 undefined",
    "An option names a band that is declared as alpha and holds opacity: few values, or 0 and the largest nearly "
    "everywhere.",
    "Leave it out: it masks the others. If it holds data, change its declaration.",
    fitting("--guide-band 1,4", guide="opaque.tif", guide_band="1,4"),
)


case(
    "several bands",
    InputError,
    "two.tif has 2 bands (1 (ground), 2 (surface)): choose the one to sharpen, as in ⟨band=1⟩",
    "`fit` or `evaluate` is called with a source of several bands.",
    "Choose one with `--band` (`band=`). `upsample` processes all of them.",
    fitting(source="two.tif"),
)


case(
    "several bands in an array",
    InputError,
    "the array has 2 bands (1, 2): choose the one to sharpen, as in .isel(band=0)",
    "`fit` or `evaluate` is called with an array of several bands.",
    "Select one.",
    arrays(lambda: mmsr_geo.fit(array(np.stack([scene(), scene()])), "ortho.tif", params=QUICK)),
)


case(
    "several bands in a truth",
    InputError,
    "two.tif has 2 bands (1 (ground), 2 (surface)): choose the one to compare with, as in gdal_translate -b 1",
    "A truth has several bands.",
    "Choose one.",
    evaluating("--truth two.tif", truth="two.tif"),
)


case(
    "no source",
    InputError,
    "a source is a path or a DataArray, not Dataset: select one variable of a Dataset",
    "A source is neither a path nor a DataArray.",
    "Give one; of a Dataset, select a variable.",
    arrays(shown(lambda: xr.Dataset({"dem": array()}))),
)


case(
    "no kind of guide",
    InputError,
    "a guide is a path, a DataArray or a Dataset, not int: give one of these",
    "A guide is none of what guides can be.",
    "Give one of them.",
    arrays(shown("dem.tif", 3)),
)


case(
    "no kind of mask",
    InputError,
    "a mask is a path or a DataArray, not Dataset: select one variable of a Dataset",
    "A mask is neither a path nor a DataArray.",
    "Give one; of a Dataset, select a variable.",
    arrays(shown("dem.tif", source_mask=xr.Dataset())),
)


case(
    "no variables",
    InputError,
    "the guide Dataset has no raster variable: give one with dimensions y and x",
    "A guide is a Dataset without a variable on y and x.",
    "Give one that has rasters.",
    arrays(shown("dem.tif", xr.Dataset({"when": 3}))),
)


case(
    "dims beyond band",
    InputError,
    "the array has the dimensions time, y, x: select one index of each but y, x and band with .isel",
    "An array has dimensions other than y, x and band.",
    "Select one index of each other dimension with `.isel`.",
    arrays(lambda: mmsr_geo.fit(array().expand_dims(time=2), "ortho.tif", params=QUICK)),
)


case(
    "no pixels",
    InputError,
    "the array has no pixels, its shape is (32, 0): check the selection that it comes from",
    "An array has length 0 along y or x.",
    "Correct the selection that it comes from.",
    arrays(shown(lambda: array().isel(x=slice(0, 0)))),
)


case(
    "a mask of several bands",
    InputError,
    "masks.tif has 2 bands (1, 2), and none of them are called QA_PIXEL or SCL: extract the mask's band with "
    "gdal_translate -b or .isel(band=0)",
    "A mask has several bands, and none or several of them have a known name.",
    "Extract the band that is the mask.",
    upsampling("--source-mask masks.tif", source_mask="masks.tif"),
)


case(
    "bits of fractions",
    InputError,
    "shares.tif holds 0.5, and bits and classes need integers: give the original mask, not a resampled one",
    "A mask that is read by bits or classes holds fractions.",
    "Give the original mask, not a resampled one.",
    upsampling("--source-mask shares.tif:1", source_mask="shares.tif:1"),
)


case(
    "bits beyond a float's",
    InputError,
    "words.tif holds float32 values above 16777216, whose lowest bits are lost: store it as integers",
    "A mask that is read by bits holds floats so large that their lowest bits are lost.",
    "Store it as integers.",
    upsampling("--source-mask words.tif:1", source_mask="words.tif:1"),
)


case(
    "an array that fails",
    InputError,
    "the array cannot be computed at row 0, column 0 (the tape is torn): check what it is computed from",
    "A lazy array cannot be computed, for example because its file was removed.",
    "Check what it is computed from.",
    arrays(lambda: mmsr_geo.upsample_to_file(torn(), "ortho.tif", "sharp.tif", 2, method="bicubic")),
)


case(
    "not georeferenced",
    GridError,
    "unplaced.tif is not georeferenced: give it a geotransform with gdal_translate -a_ullr",
    "A file has no geotransform.",
    "Assign the coordinates of its corners.",
    upsampling(source="unplaced.tif"),
)


case(
    "a swath",
    GridError,
    "swath.nc has the coordinates of each pixel (a swath) in place of a grid: warp it to a grid first with gdalwarp "
    "-geoloc",
    "A file has a latitude and a longitude for each pixel, as GDAL's geolocation arrays.",
    "Warp it to a grid with `gdalwarp -geoloc`.",
    upsampling(source="swath.nc"),
)


case(
    "an array of a swath",
    GridError,
    "the array has the coordinates of each pixel (a swath) in place of a grid: warp it to a grid first with "
    ".rio.reproject('EPSG:4326', src_geoloc_array=(array.lon, array.lat)) or, in a file, with gdalwarp -geoloc",
    "An array has a latitude and a longitude for each pixel, and no x and y.",
    "Warp it to a grid with `.rio.reproject`, after `.rio.set_spatial_dims` and `.rio.write_crs('EPSG:4326')`.",
    arrays(shown(swath)),
)


case(
    "an array of a swath with dims that no one knows",
    GridError,
    "the array has the coordinates of each pixel (a swath) in place of a grid: warp it to a grid first with "
    ".rio.reproject('EPSG:4326', src_geoloc_array=(array.lon, array.lat)) or, in a file, with gdalwarp -geoloc",
    "The same, with rows and columns that have other names than y and x.",
    "The same.",
    arrays(shown(lambda: swath().rename(y="rows", x="columns"))),
)


case(
    "an array of a swath whose rows are counted",
    GridError,
    "the array has the coordinates of each pixel (a swath) in place of a grid: warp it to a grid first with "
    ".rio.reproject('EPSG:4326', src_geoloc_array=(array.lon, array.lat)) or, in a file, with gdalwarp -geoloc",
    "The same, with x and y that count the pixels.",
    "The same.",
    arrays(shown(lambda: swath().assign_coords(y=range(SHAPE[0]), x=range(SHAPE[1])).rio.write_crs(4326))),
)


case(
    "longitudes that jump",
    GridError,
    "the array has longitudes that jump from 179.99 to -180: make them continuous, as in .assign_coords(x=array.x % "
    "360)",
    "The longitudes of an array jump by a full circle, at 180 or at 0 degrees.",
    "Make them continuous.",
    arrays(shown(lambda: in_degrees(west=179.8))),
)


case(
    "kilometres",
    GridError,
    "netcdf:kilometres.nc:heat has x and y in km, and the unit of its CRS is metre: copy it to a GeoTIFF with "
    "gdal_translate -a_ullr and its corners (W N E S) times 1000, in metre",
    "The coordinates of a netCDF file are in another unit than the CRS has. Those of an array are converted.",
    "Convert the coordinates.",
    upsampling(source="netcdf:kilometres.nc:heat"),
)


case(
    "degrees in a CRS of metres",
    GridError,
    "the array has x and y in degrees, and the unit of its CRS is metre: assign the CRS that these coordinates are in",
    "The coordinates of an array are degrees, and its CRS has metres, or the other way round.",
    "Assign the CRS of the coordinates.",
    arrays(shown(lambda: in_degrees(west=-75.7, crs=32618))),
)


case(
    "control points only",
    GridError,
    "points.tif is georeferenced by ground control points only: warp it to a grid first with gdalwarp",
    "A file is georeferenced by ground control points or rational polynomials only.",
    "Warp it to a grid with `gdalwarp`.",
    upsampling(source="points.tif"),
)


case(
    "no CRS",
    GridError,
    "nowhere.tif has no CRS: assign the right one with gdal_edit.py -a_srs EPSG:...",
    "A file has no CRS.",
    "Find out which CRS its coordinates are in and assign it; this moves no pixel.",
    upsampling(source="nowhere.tif"),
)


case(
    "an array that is not georeferenced",
    GridError,
    "the array is not georeferenced: give it x and y coordinates, or a transform with .rio.write_transform(...)",
    "An array has no transform and no coordinates.",
    "Give it one of them.",
    arrays(shown(lambda: xr.DataArray(scene(), dims=("y", "x")))),
)


case(
    "an array placed by control points",
    GridError,
    "the array is georeferenced by ground control points only: warp it to a grid first with .rio.reproject",
    "An array is georeferenced by ground control points only.",
    "Warp it with `.rio.reproject`.",
    arrays(
        shown(
            lambda: (
                xr.DataArray(scene(), dims=("y", "x"))
                .rio.write_crs(32618)
                .rio.write_gcps([GroundControlPoint(0, 0, 1, 1)], rasterio.CRS.from_epsg(32618))
            )
        )
    ),
)


case(
    "an array on the coordinates of each pixel",
    GridError,
    "the array has the coordinates of each pixel (a swath) in place of a grid: warp it to a grid first with "
    ".rio.reproject('EPSG:4326', src_geoloc_array=(array.lon, array.lat)) or, in a file, with gdalwarp -geoloc",
    "An array has 2-D latitudes and longitudes and no coordinates along y and x, or those count its pixels.",
    "Warp it to a grid.",
    arrays(shown(lambda: swath("y", "x"))),
)


case(
    "an array of lines and pixels",
    GridError,
    "the array has the coordinates of each pixel (a swath) in place of a grid: warp it to a grid first with "
    ".rio.reproject('EPSG:4326', src_geoloc_array=(array.lon, array.lat)) or, in a file, with gdalwarp -geoloc",
    "An array has 2-D latitudes and longitudes, and dimensions with other names than y and x.",
    "Warp it to a grid.",
    arrays(shown(lambda: swath("line", "pixel"))),
)


case(
    "an array without a CRS",
    GridError,
    "the array has no CRS: assign the right one with .rio.write_crs(...)",
    "An array has no CRS.",
    "Assign the CRS that its coordinates are in.",
    arrays(shown(lambda: array().drop_vars("spatial_ref"))),
)


case(
    "dims that no one knows",
    GridError,
    "the array has the dimensions a, b: name the spatial ones with .rio.set_spatial_dims(...)",
    "The spatial dimensions of an array are not known.",
    "Name them with `.rio.set_spatial_dims`.",
    arrays(shown(lambda: xr.DataArray(scene(), dims=("a", "b")))),
)


case(
    "one pixel wide",
    GridError,
    "the array is one pixel wide and has no transform: give it one with .rio.write_transform(...)",
    "An array of one row or column has no transform, so that the size of its pixels is not known.",
    "Give it a transform.",
    arrays(shown(lambda: array().isel(x=[0]).drop_vars("spatial_ref").rio.write_crs(32618))),
)


case(
    "coordinates that stand",
    GridError,
    "the array has the same coordinates in all pixels: give it valid x and y coordinates",
    "All coordinates of an array are the same.",
    "Assign valid coordinates.",
    arrays(shown(lambda: array().drop_vars("spatial_ref").rio.write_crs(32618).assign_coords(x=np.zeros(36)))),
)


case(
    "uneven coordinates",
    GridError,
    "the array has unevenly spaced coordinates (they deviate by 0.63 pixels): interpolate it to evenly spaced ones "
    "first",
    "The coordinates of an array are not evenly spaced.",
    "Interpolate it to evenly spaced coordinates.",
    arrays(shown(lambda: array().assign_coords(x=435_745 + 30 * np.arange(36.0) ** 1.05))),
)


case(
    "variables on different grids",
    GridError,
    "the guide Dataset: the array 'b' and the array 'a' are on different grids: resample them to one first",
    "The variables of a guide Dataset are on different grids.",
    "Resample them to one grid, or give them as several guides.",
    arrays(shown("dem.tif", lambda: xr.Dataset({"a": bare("a", PLACE), "b": bare("b", AROUND)}))),
)


case(
    "coordinates that are no numbers",
    GridError,
    "the array: 1 of 36 coordinates along x are not finite numbers: assign valid ones",
    "Coordinates of an array are texts, NaN or infinite.",
    "Assign valid coordinates.",
    arrays(shown(lambda: array().assign_coords(x=np.r_[np.nan, array().x.values[1:]]))),
)


case(
    "a resolution of nothing",
    OptionError,
    "⟨source_resolution⟩ takes a length in metres above zero, as in 100 or '0.1 km', "
    "or one of landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, viirs, "
    "sentinel-3-slstr, aster-tir; not '0'",
    "`--source-resolution` is a length of zero or below.",
    "Give a length above zero.",
    upsampling("--source-resolution 0", source_resolution="0"),
)


case(
    "a resolution that is true",
    OptionError,
    "⟨source_resolution⟩ takes a length in metres above zero, as in 100 or '0.1 km', "
    "or one of landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, viirs, "
    "sentinel-3-slstr, aster-tir; not True",
    "`source_resolution` is True or False.",
    "Give metres, or a sensor's name.",
    arrays(shown("dem.tif", source_resolution=True), "the command reads no such value"),
)


case(
    "no guide",
    OptionError,
    "there is no guide: give at least one path or array",
    "The list of guides is empty.",
    "Give at least one.",
    arrays(shown("dem.tif", [])),
)


case(
    "a band of no guide",
    OptionError,
    '⟨guide_band="blue.tif:1"⟩ names none of the 2 guides: write FILE:BAND, as in ortho.tif:1',
    "`--guide-band` names none of several guides.",
    "Write FILE:BAND.",
    upsampling("--guide-band blue.tif:1", guide=["ortho.tif", "part.tif"], guide_band="blue.tif:1"),
)


case(
    "a band of two guides",
    OptionError,
    '⟨guide_band="ortho.tif:1"⟩: 2 guides are called ortho.tif; write the whole path as it was given, and give each '
    "guide once",
    "`--guide-band` names a file name that two guides have.",
    "Write the whole path of the guide.",
    upsampling("--guide-band ortho.tif:1", guide=["./ortho.tif", "tiles/ortho.tif"], guide_band="ortho.tif:1"),
)


case(
    "no derivation",
    OptionError,
    "there is no derivation 'evi': there are ndvi, gndvi, ndre, ndwi, mndwi, ndmi, ndbi, nbr, ndsi, slope, aspect, and "
    'expressions, as in ⟨derive="evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1)"⟩',
    "`--derive` is neither a known derivation nor an expression.",
    "Choose a derivation from the list, or write an expression.",
    upsampling("--derive evi", derive="evi"),
)


case(
    "a role that a derivation has not",
    OptionError,
    '⟨derive="ndvi:nir=2,blue=1"⟩: ndvi takes nir and red, each once, not blue; write ⟨derive="ndvi:nir=4,red=3"⟩',
    "`--derive` gives a band that the derivation does not use, or the same one twice.",
    "Write it as in the example.",
    upsampling("--derive ndvi:nir=2,blue=1", derive="ndvi:nir=2,blue=1"),
)


case(
    "bands without roles",
    OptionError,
    '⟨derive="ndvi:2,1"⟩ does not say which band is which; write ⟨derive="ndvi:nir=4,red=3"⟩',
    "`--derive` lists bands of a known derivation without saying which is which.",
    "Write it as in the example.",
    upsampling("--derive ndvi:2,1", derive="ndvi:2,1"),
)


case(
    "a derivation of bands that there are not",
    OptionError,
    '⟨derive="ndre"⟩: no band of the guide is called rededge; there are 1 (red), 2 (nir): write '
    '⟨derive="ndre:nir=4,rededge=3"⟩',
    "`--derive` needs a band that the guide does not have.",
    "Choose from the bands listed.",
    upsampling("--derive ndre", derive="ndre"),
)


case(
    "an expression of bands that there are not",
    OptionError,
    '⟨derive="x=nir/swir"⟩: no band of the guide is called swir; there are 1 (red), 2 (nir): write a name, or b1 for '
    "band 1",
    "An expression in `--derive` names a band that the guide does not have, or a name that several bands have.",
    "Choose from the bands listed, or write b1, b2, ... for a band by its number.",
    upsampling("--derive x=nir/swir", derive="x=nir/swir"),
)


case(
    "an expression that is more than a formula",
    OptionError,
    "⟨derive=\"x=abs(nir)\"⟩ uses 'abs(nir)', which is not allowed; use band names, numbers, + - * / **, min, max, "
    "sqrt and log",
    "An expression in `--derive` uses something other than band names, numbers, the operators + - * / ** and the "
    "functions min, max, sqrt and log.",
    "Write the formula with these.",
    upsampling("--derive 'x=abs(nir)'", derive="x=abs(nir)"),
)


case(
    "a function with the wrong number of values",
    OptionError,
    '⟨derive="x=min(nir)"⟩: min takes two values or more, not 1; write it as in min(a, b)',
    "A function in an expression of `--derive` has too few or too many values.",
    "Write it as in the example.",
    upsampling("--derive 'x=min(nir)'", derive="x=min(nir)"),
)


case(
    "no expression",
    OptionError,
    '⟨derive="x=nir+"⟩ is not an expression (…); write one as in ⟨derive="evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1)"⟩',
    "The expression in `--derive` has a mistake, such as a bracket that is not closed.",
    "Correct it; the text in brackets says what is wrong.",
    upsampling("--derive x=nir+", derive="x=nir+"),
)


case(
    "an expression without a band",
    OptionError,
    '⟨derive="x=2*3"⟩ names no band of the guide; write it as in ⟨derive="evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1)"⟩',
    "An expression in `--derive` has numbers only.",
    "Name a band of the guide in it.",
    upsampling("--derive x=2*3", derive="x=2*3"),
)


case(
    "an expression without a name",
    OptionError,
    "⟨derive=\"1x=nir\"⟩: '1x' cannot be the name of a band; use letters, digits and _, as in "
    '⟨derive="evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1)"⟩',
    "The text before the `=` of an expression in `--derive` is not a name.",
    "Use letters, digits and `_`, and begin with a letter.",
    upsampling("--derive 1x=nir", derive="1x=nir"),
)


case(
    "an expression of many characters",
    OptionError,
    f'⟨derive="x={"nir+" * 23}nir..."⟩ has an expression of 1599 characters; write 1000 at most',
    "An expression in `--derive` is longer than 1000 characters.",
    "Split it into several bands, or use shorter names (b1).",
    upsampling(f"--derive x={'+'.join(['nir'] * 400)}", derive=f"x={'+'.join(['nir'] * 400)}"),
)


case(
    "an expression of many terms",
    OptionError,
    f'⟨derive="x={"b2+" * 31}b2..."⟩ has more than 200 names, numbers and operators; split it into several bands',
    "An expression in `--derive` has more than 200 names, numbers and operators.",
    "Split it into several bands.",
    upsampling(f"--derive x={'+'.join(['b2'] * 101)}", derive=f"x={'+'.join(['b2'] * 101)}"),
)


case(
    "no resolution",
    OptionError,
    "⟨source_resolution⟩ takes a length in metres above zero, as in 100 or '0.1 km', "
    "or one of landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, viirs, "
    "sentinel-3-slstr, aster-tir; not 'landsat'",
    "`--source-resolution` is neither a length nor the name of a sensor.",
    "Give metres, or a sensor's name.",
    upsampling("--source-resolution landsat", source_resolution="landsat"),
)


case(
    "a resolution finer than the pixels",
    OptionError,
    "⟨source_resolution⟩ is 10 m, which is finer than half of the source's pixels (30.01 x "
    "30.01 m): give the sensor's resolution, or leave the option out",
    "`--source-resolution` is finer than half of a source pixel.",
    "Give the sensor's resolution, or leave the option out.",
    upsampling("--source-resolution 10", source_resolution=10),
)


case(
    "a bit beyond 63",
    OptionError,
    "a mask has no bit 64: bits are numbered from 0 to 63, as in QA_PIXEL.TIF:3,4",
    "A bit of a mask is above 63.",
    "Number the bits from 0.",
    upsampling("--source-mask qa.tif:64", source_mask="qa.tif:64"),
)


case(
    "a bit beyond the type's",
    OptionError,
    "qa.tif has no bit 8: uint8 has 8 bits, from 0 to 7",
    "The dtype of a mask has no such bit.",
    "Number the bits from 0.",
    upsampling("--source-mask qa.tif:8", source_mask="qa.tif:8"),
)


case(
    "a threshold beyond the type's",
    OptionError,
    "qa.tif>300 masks no pixel: uint8 has values from 0 to 255; give a threshold between them, in the values as stored",
    "The threshold of a mask is met by no value of its dtype, or by all.",
    "Give a threshold in the values as stored.",
    upsampling("--source-mask 'qa.tif>300'", source_mask="qa.tif>300"),
)
