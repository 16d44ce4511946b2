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
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from mmsr_geo.errors import ChangedInputError, GridError, InputError
from mmsr_geo.raster.base import BandTags, Pixels, ReadPlan, with_nodata_as_nan
from mmsr_geo.raster.grids import check_transform
from mmsr_geo.raster.read.band_names import places_of
from mmsr_geo.raster.read.checks import refuse_bands
from mmsr_geo.raster.read.legends import Legend, file_legends

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    nodatavals: tuple[float | None, ...]
    band_tags: tuple[BandTags, ...]
    stamp: tuple[int, int] | None
    """Size in bytes and time of the last change in ns; None for anything but a local file."""
    mask_bands: bool = field(repr=False)
    """True if GDAL has a mask beyond nodata: an alpha band or a mask band."""
    alpha: int | None = field(default=None, repr=False)
    """Number of an alpha band that GDAL does not take for a mask: of int16, or next to an odd number of bands."""
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
        nodata: float | None = None,
        quantity: bool = True,
        classes: Sequence[int | str] | None = None,
    ) -> FileRaster:
        """Read the metadata of a file.

        Args:
            path: A path, a URL or the name of a subdataset.
            bands: Numbers from 1 or descriptions; None: all but an alpha band.
            nodata: The nodata value in stored units, in place of the declared one; a mask band or an alpha band
                counts in any case.
            quantity: Whether classes are refused.
            classes: Numbers or descriptions of bands that hold classes, next to those whose metadata say so: they are
                not refused, and have legends. None: there are no legends.

        Raises:
            InputError: The file cannot be opened or holds no measured quantity, or a band does not exist.
            GridError: The file is not georeferenced.
        """
        path = fspath(path)
        dataset = _opened(path)
        with dataset:
            if not dataset.count:
                advice = (
                    f"name one of its parts, as in {dataset.subdatasets[0]}" if dataset.subdatasets else "give a raster"
                )
                raise InputError(f"{path} holds no bands: {advice}")
            indexes = _chosen(path, dataset, bands)
            legends = () if classes is None else _legends(path, dataset, indexes, classes)
            refuse_bands(path, dataset, _measured(indexes, legends), quantity=quantity)
            at, flags = [i - 1 for i in indexes], dataset.mask_flag_enums
            dtypes, declared = dataset.dtypes, dataset.nodatavals
            alphas = [i for i, meaning in enumerate(dataset.colorinterp, start=1) if meaning == ColorInterp.alpha]
            return cls(
                path=path,
                indexes=indexes,
                grid=_file_grid(path, dataset),
                dtype=np.result_type(*{np.dtype(dtypes[i]) for i in at}),
                nodatavals=tuple(declared[i] if nodata is None else float(nodata) for i in at),
                band_tags=_tags(dataset, at),
                stamp=_stamp(path),
                mask_bands=any(flag in (MaskFlags.per_dataset, MaskFlags.alpha) for i in at for flag in flags[i]),
                alpha=next((i for i in alphas if MaskFlags.alpha not in flags[at[0]]), None),
                legends=legends,
            )

    def at(self, places: Sequence[int]) -> FileRaster:
        """Return the raster with the bands at some places, from 0, without their legends."""
        return replace(
            self,
            indexes=tuple(self.indexes[place] for place in places),
            nodatavals=tuple(self.nodatavals[place] for place in places),
            band_tags=tuple(self.band_tags[place] for place in places),
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
        return self.nodatavals[0]

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
            with _opened(self.path) as dataset:
                raw = dataset.read(self.indexes, window=part)
                hidden = dataset.read_masks(self.indexes, window=part) == 0 if self.mask_bands else None
                if self.alpha is not None:
                    hidden = (False if hidden is None else hidden) | (dataset.read([self.alpha], window=part) == 0)
                return raw, hidden
        except (RasterioError, CPLE_BaseError) as error:
            reason = _reason(self.path, error)
            raise InputError(
                f"{self.path} cannot be read at row {window.row}, column {window.col} ({reason}): it may be truncated; "
                "download or create it again"
            ) from error

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


def _opened(path: str) -> rasterio.DatasetReader:
    if _waits(path):
        raise InputError(
            f"{path} is a pipe or a device, from which a raster cannot be read by window: save it to a file first"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused later, with advice
        try:
            return rasterio.open(path)
        except (RasterioError, CPLE_BaseError, OSError) as error:
            raise InputError(
                f"{path} cannot be opened as a raster ({_reason(path, error)}): check the path and the format"
            ) from error


def _chosen(path: str, dataset: rasterio.DatasetReader, wanted: Sequence[int | str] | None) -> tuple[int, ...]:
    """Return the numbers of the bands that are wanted."""
    data = [i for i, meaning in enumerate(dataset.colorinterp, start=1) if meaning != ColorInterp.alpha]
    if wanted is None:
        return tuple(data)
    names = [dataset.descriptions[i - 1] or str(i) for i in data]
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


def _tags(dataset: rasterio.DatasetReader, at: Sequence[int]) -> tuple[BandTags, ...]:
    # Each of these reads all bands of the file: for each of 300 bands that would take seconds.
    rows = list(zip(dataset.descriptions, dataset.units, dataset.scales, dataset.offsets, strict=True))
    return tuple(BandTags(description, unit or None, *numbers) for description, unit, *numbers in (rows[i] for i in at))


def _reason(path: str, error: Exception) -> str:
    """Return GDAL's reason without the path, which the message names already."""
    text = str(error.__cause__ or error) if "Read failed" in str(error) else str(error)
    line = text.splitlines()[0] if text else type(error).__name__
    return line.replace(f"'{path}'", "").replace(f"{path}:", "").strip(" .")


def _file_grid(path: str, dataset: rasterio.DatasetReader) -> GeoBox:
    if not (dataset.width and dataset.height):
        raise InputError(f"{path} has no pixels ({dataset.height} x {dataset.width}): give another raster")
    if dataset.transform.is_identity:
        if dataset.gcps[0] or dataset.rpcs:
            kind = "ground control points" if dataset.gcps[0] else "rational polynomials"
            raise GridError(f"{path} is georeferenced by {kind} only: warp it to a grid first with gdalwarp")
        raise GridError(f"{path} is not georeferenced: give it a geotransform with gdal_translate -a_ullr")
    check_transform(dataset.transform, path)
    if dataset.crs is None:
        raise GridError(f"{path} has no CRS: assign the right one with gdal_edit.py -a_srs EPSG:...")
    return GeoBox((dataset.height, dataset.width), dataset.transform, dataset.crs)


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
