"""Raster files read by window, with their masks; knows rasterio, no arrays of xarray."""

from __future__ import annotations

import stat
import warnings
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.errors import ChangedInputError, InputError
from mmsr_geo.nodata import Nodata, NodataLike
from mmsr_geo.raster.base import BandTags, Pixels, ReadPlan, with_nodata_as_nan
from mmsr_geo.raster.grids import check_transform
from mmsr_geo.raster.read.advice import unlocated, unopened, without_bands, without_crs
from mmsr_geo.raster.read.alpha import alpha_bands, quantity_in_alpha
from mmsr_geo.raster.read.axis_units import refuse_unit
from mmsr_geo.raster.read.band_names import places_of
from mmsr_geo.raster.read.checks import refuse_bands
from mmsr_geo.raster.read.codes import codes_of, is_code, note_of_codes
from mmsr_geo.raster.read.fills import declared_nodata
from mmsr_geo.raster.read.legends import Legend, file_legends
from mmsr_geo.raster.read.sentinel2 import has_reflectance_tags, product_of, reflectance_scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mmsr_geo.geometry import Window


@dataclass(frozen=True, slots=True)
class FileRaster:
    """Bands of a file or URL; opened again for each read (0.6 ms), so that it holds no handle."""

    path: str
    indexes: tuple[int, ...]
    """Numbers of the bands in the file, from 1."""
    grid: GeoBox
    dtype: np.dtype[Any]
    nodatavals: tuple[Nodata | None, ...]
    """What means nodata in each band; None if nothing is declared."""
    band_tags: tuple[BandTags, ...]
    stamp: tuple[int, int] | None
    """Size in bytes and time of the last change in ns; None for anything but a local file."""
    mask_bands: bool = field(repr=False)
    """True if GDAL has a mask beyond nodata: an alpha band or a mask band."""
    alpha: int | None = field(default=None, repr=False)
    """Number of an alpha band that GDAL does not take for a mask: of int16, or next to an odd number of bands."""
    codes: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    """The codes of each band, which are nodata next to its quantity; empty if no band has some."""
    notes: tuple[str, ...] = field(default=(), repr=False)
    """What a user should know of how the file is read, each a message."""
    legends: tuple[Legend | None, ...] = field(default=(), repr=False)
    """The legend of each band that holds classes; empty if there is none."""

    @property
    def declares_nodata(self) -> bool:
        """True if the file declares nodata: by a nodata value, a mask band or an alpha band."""
        return self.nodata is not None or self.mask_bands or self.alpha is not None

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        bands: Sequence[int | str] | None = None,
        *,
        nodata: NodataLike | None = None,
        quantity: bool = True,
        classes: Sequence[int | str] | None = None,
    ) -> FileRaster:
        """Read the metadata of a file.

        Args:
            path: A path, a URL or the name of a subdataset.
            bands: Numbers from 1 or descriptions; None: all but an alpha band.
            nodata: Nodata values and ranges in stored units, in place of the declared ones; a mask band or an alpha
                band counts in any case.
            quantity: Whether classes are refused.
            classes: Numbers or descriptions of bands that hold classes, next to those whose metadata say so: they are
                not refused, and have legends. None: there are no legends.

        Raises:
            InputError: The file cannot be opened or holds no measured quantity, or a band does not exist.
            GridError: The file is not georeferenced.
        """
        path = fspath(path)
        dataset = opened(path)
        with dataset:
            if not dataset.count:
                raise without_bands(path, dataset)
            stamp = _stamp(path)
            masking, notes = _masking(path, dataset, stamp) if quantity else (alpha_bands(dataset), ())
            indexes = _chosen(path, dataset, bands, masking)
            legends = () if classes is None else _legends(path, dataset, indexes, classes)
            refuse_bands(path, dataset, _measured(indexes, legends), quantity=quantity)
            codes, said = _codes(path, dataset, indexes) if quantity else ((), ())
            at, flags = [i - 1 for i in indexes], dataset.mask_flag_enums
            dtypes = dataset.dtypes
            return cls(
                path=path,
                indexes=indexes,
                grid=_file_grid(path, dataset),
                dtype=np.result_type(*{np.dtype(dtypes[i]) for i in at}),
                nodatavals=declared_nodata(dataset, at) if nodata is None else (Nodata.of(nodata),) * len(at),
                band_tags=_tags(path, dataset, at),
                stamp=stamp,
                # GDAL takes the last band alone for a mask of the others.
                mask_bands=any(_hides(flags[i], alpha=dataset.count in masking) for i in at),
                alpha=next((i for i in masking if MaskFlags.alpha not in flags[at[0]]), None),
                codes=codes,
                notes=notes + said,
                legends=legends,
            )

    def at(self, places: Sequence[int]) -> FileRaster:
        """Return the raster with the bands at some places, from 0, without their legends."""
        return replace(
            self,
            indexes=tuple(self.indexes[place] for place in places),
            nodatavals=tuple(self.nodatavals[place] for place in places),
            band_tags=tuple(self.band_tags[place] for place in places),
            codes=tuple(self.codes[place] for place in places) if self.codes else (),
            legends=(),
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the bands in the file, from 1."""
        return self.indexes

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands' descriptions, or their numbers in the file."""
        return tuple(tags.description or str(i) for tags, i in zip(self.band_tags, self.indexes, strict=True))

    @property
    def nodata(self) -> float | None:
        """The nodata value of the first band; None if it declares none."""
        return None if self.nodatavals[0] is None else self.nodatavals[0].value

    @property
    def name(self) -> str:
        """The path, as it was given."""
        return self.path

    def read(self, window: Window) -> Pixels:
        """Read a window within the raster; raises InputError if the file cannot be read."""
        raw, hidden = self.stored(window)
        values = with_nodata_as_nan(raw, self.nodatavals)
        if hidden is not None:
            values[np.broadcast_to(hidden, values.shape)] = np.nan
        return Pixels.masked(values)

    def stored(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the stored values of a window, and a mask of them.

        Returns:
            The values, (bands, h, w); and True where a mask band or an alpha band hides a pixel, of a shape that
            broadcasts to it, or None without such a band.

        Raises:
            InputError: The file cannot be read, or has changed since it was opened.
        """
        part = RasterioWindow(window.col, window.row, window.width, window.height)
        self._refuse_change()
        try:
            with opened(self.path) as dataset:
                raw = dataset.read(self.indexes, window=part)
                hidden = dataset.read_masks(self.indexes, window=part) == 0 if self.mask_bands else None
                if self.alpha is not None:
                    hidden = (False if hidden is None else hidden) | (dataset.read([self.alpha], window=part) == 0)
                if self.codes:
                    coded = np.stack([is_code(*pair) for pair in zip(raw, self.codes, strict=True)])
                    hidden = coded if hidden is None else hidden | coded
                return raw, hidden
        except (RasterioError, CPLE_BaseError) as error:
            raise _unreadable(self.path, error, window.row, window.col) from error

    def _refuse_change(self) -> None:
        """Refuse a file that has changed, so that a target is not made from two different files."""
        if self.stamp is None or (now := _stamp(self.path)) == self.stamp:
            return
        change = "was removed" if now is None else "has changed"
        raise ChangedInputError(
            f"{self.path} {change} since it was opened: restore it, or start again with the new file"
        )

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the plan that reads the window from this file."""
        return ReadPlan.of(self, window)

    def __dask_tokenize__(self) -> object:
        """Return the state of the file, its bands and their nodata values."""
        return type(self).__name__, self.path, self.stamp, self.indexes, self.nodatavals


def files_of(path: str) -> list[str]:
    """Return the files that a raster is read from, as GDAL lists them: the members of a VRT, the file of a subdataset.

    The list is empty for a URL, a /vsi... path, and a file that cannot be opened.
    """
    if "://" in path or path.startswith("/vsi"):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as dataset:
                return [str(file) for file in dataset.files]
    except (RasterioError, ValueError):
        return []


def opened(path: str) -> rasterio.DatasetReader:
    """Open a raster file; raises InputError for what cannot be opened, or may never end."""
    if _waits(path):
        raise InputError(
            f"{path} is a pipe or a device, from which a raster cannot be read by window: save it to a file first"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused later, with advice
        try:
            return rasterio.open(path)
        except (RasterioError, CPLE_BaseError, OSError) as error:
            raise unopened(path, _reason(path, error)) from error


def _masking(
    path: str, dataset: rasterio.DatasetReader, stamp: tuple[int, int] | None
) -> tuple[list[int], tuple[str, ...]]:
    """Return the numbers of the alpha bands that mask, and a note on each that holds a quantity."""
    try:
        found = {band: quantity_in_alpha(path, stamp, band) for band in alpha_bands(dataset)}
    except (RasterioError, CPLE_BaseError) as error:
        raise _unreadable(path, error) from error
    notes = tuple(
        f"{path}: band {band} is declared as alpha, and has many values from {values[0]:g} to {values[1]:g}: it is "
        f"read as a band of data, not as a mask; declare it so with gdal_edit.py -colorinterp_{band} undefined"
        for band, values in found.items()
        if values is not None
    )
    return [band for band, values in found.items() if values is None], notes


def _codes(
    path: str, dataset: rasterio.DatasetReader, indexes: Sequence[int]
) -> tuple[tuple[tuple[float, ...], ...], tuple[str, ...]]:
    """Return the codes of each band, or none if no band has some, and a note on them."""
    tags = [dataset.tags(i) for i in indexes]
    codes = tuple(codes_of(one) for one in tags)
    notes = tuple(dict.fromkeys(note for one in tags for note in note_of_codes(path, one)))
    return codes if any(codes) else (), notes


def _hides(flags: Sequence[MaskFlags], *, alpha: bool) -> bool:
    """Return True if GDAL has a mask of a band beyond nodata; `alpha`: whether the alpha band masks."""
    return alpha if MaskFlags.alpha in flags else MaskFlags.per_dataset in flags


def _chosen(
    path: str, dataset: rasterio.DatasetReader, wanted: Sequence[int | str] | None, masking: Sequence[int]
) -> tuple[int, ...]:
    """Return the numbers of the bands that are wanted."""
    data = [i for i in range(1, dataset.count + 1) if i not in masking]
    if wanted is None:
        return tuple(data)
    asked = {part.strip() for band in wanted for part in str(band).split(",")}
    names = [dataset.descriptions[i - 1] or str(i) for i in data]
    if alphas := [i for i in masking if str(i) in asked.difference(names)]:
        raise InputError(
            f"{path} has no data band {alphas[0]}: it is declared as alpha, which masks; if it holds data, declare it "
            f"so with gdal_edit.py -colorinterp_{alphas[0]} undefined"
        )
    return tuple(data[place] for place in places_of(path, wanted, names, data))


def _legends(
    path: str, dataset: rasterio.DatasetReader, indexes: Sequence[int], classes: Sequence[int | str]
) -> tuple[Legend | None, ...]:
    """Return the legends of the bands, of which some are said to be classes; an empty tuple if none holds classes."""
    names = [dataset.descriptions[i - 1] or str(i) for i in indexes]
    said = [indexes[place] for place in places_of(path, classes, names, indexes)]
    legends = file_legends(path, dataset, indexes, said)
    return legends if any(legends) else ()


def _measured(indexes: Sequence[int], legends: Sequence[Legend | None]) -> list[int]:
    """Return the numbers of the bands that hold no classes."""
    return [i for place, i in enumerate(indexes) if not legends or legends[place] is None]


def _tags(path: str, dataset: rasterio.DatasetReader, at: Sequence[int]) -> tuple[BandTags, ...]:
    # Each of these reads all bands of the file: for each of 300 bands that would take seconds.
    rows = list(zip(dataset.descriptions, dataset.units, dataset.scales, dataset.offsets, strict=True))
    tags = tuple(BandTags(description, unit or None, *numbers) for description, unit, *numbers in (rows[i] for i in at))
    found = _reflectances(path, dataset, at)
    return tuple(
        tag
        if numbers is None or (tag.scale, tag.offset) != (1, 0)
        else replace(tag, scale=numbers[0], offset=numbers[1])
        for tag, numbers in zip(tags, found, strict=True)
    )


def _reflectances(path: str, dataset: rasterio.DatasetReader, at: Sequence[int]) -> list[tuple[float, float] | None]:
    """Return scale and offset of each band of Sentinel-2's reflectances; None for any other band."""
    product = product_of(path)
    if product is None:
        whole = dataset.tags()
        declared = [{**whole, **dataset.tags(i + 1)} for i in at]
    else:
        declared = [_tags_in_product(*product)] * len(at)
    if not any(has_reflectance_tags(tags) for tags in declared):
        return [None] * len(at)
    dtypes, descriptions = dataset.dtypes, dataset.descriptions
    return [
        reflectance_scale(tags, tags.get("BANDNAME") or descriptions[i] or "", dtypes[i])
        for tags, i in zip(declared, at, strict=True)
    ]


def _tags_in_product(metadata: Sequence[str], band: str) -> dict[str, str]:
    """Return the tags of a product and of one of its bands, as GDAL reads them; nothing if there is no product."""
    for file in metadata:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(file) as dataset:
                    parts = dataset.subdatasets
                for part in parts:
                    with rasterio.open(part) as dataset:
                        tags = [dataset.tags(i) for i in dataset.indexes]
                        if found := [one for one in tags if one.get("BANDNAME") == band]:
                            return {**dataset.tags(), **found[0]}
        except (RasterioError, CPLE_BaseError):
            continue
    return {}


def _unreadable(path: str, error: Exception, row: int = 0, col: int = 0) -> InputError:
    """Return the error for a file whose pixels cannot be read."""
    return InputError(
        f"{path} cannot be read at row {row}, column {col} ({_reason(path, error)}): it may be truncated; download or "
        "create it again"
    )


def _reason(path: str, error: Exception) -> str:
    """Return GDAL's reason without the path, which the message names already."""
    text = str(error.__cause__ or error) if "Read failed" in str(error) else str(error)
    line = text.splitlines()[0] if text else type(error).__name__
    return line.replace(f"'{path}'", "").replace(f"{path}:", "").strip(" .")


def _file_grid(path: str, dataset: rasterio.DatasetReader) -> GeoBox:
    if not (dataset.width and dataset.height):
        raise InputError(f"{path} has no pixels ({dataset.height} x {dataset.width}): give another raster")
    if dataset.transform.is_identity:
        raise unlocated(path, dataset)
    check_transform(dataset.transform, path)
    if dataset.crs is None:
        raise without_crs(path, dataset)
    grid = GeoBox((dataset.height, dataset.width), dataset.transform, dataset.crs)
    if dataset.driver == "netCDF":
        advice = "copy it to a GeoTIFF with gdal_translate -a_ullr and its corners (W N E S) times {factor}, in {unit}"
        refuse_unit(_axis_units(dataset.tags()), grid, path, advice)
    return grid


def _axis_units(tags: Mapping[str, str]) -> list[str]:
    """Return the units of x and y that the tags of a netCDF file declare."""
    standard = {"projection_x_coordinate", "projection_y_coordinate"}
    names = {"x", "y"} | {key.partition("#")[0] for key, value in tags.items() if value in standard}
    return [tags[f"{name}#units"] for name in sorted(names) if f"{name}#units" in tags]


def _waits(path: str) -> bool:
    """Return True for a pipe or a device, whose opening may never end."""
    try:
        kind = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISBLK(kind))


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
