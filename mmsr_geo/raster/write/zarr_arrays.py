"""The arrays of a Zarr group that holds a target: layout, georeferencing, statistics; knows zarr and CF, no tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (the accessor)
import xarray as xr
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from zarr.codecs import BloscCodec

from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.encoding import Encoding

SHARD_PX = 1024
"""Side in pixels up to which small tiles are put together in one shard: each shard is a file or an object."""
CHUNK_PX = 512
"""Approximate side in pixels of a chunk, which is the smallest part that a reader fetches."""
GRID = "spatial_ref"
"""Name of the array whose attributes hold CRS and transform, as rioxarray writes it."""

BAND = "band"
"""Dimension of bands that are only numbered."""


def shard_side(tile_px: int, length_px: int) -> int:
    """Return the side of a shard in pixels: a whole number of tiles, or the whole length."""
    return min(tile_px * max(1, SHARD_PX // tile_px), length_px)


def chunk_side(shard_px: int) -> int:
    """Return the side of a chunk in pixels: the divisor of the shard's side that is nearest to 512 by ratio."""
    divisors = [side for side in range(1, shard_px + 1) if shard_px % side == 0]
    return min(divisors, key=lambda side: abs(math.log(side / CHUNK_PX)))


@dataclass(frozen=True, slots=True)
class BandAxis:
    """The dimension of a group's bands: numbers from 1 along `band`, or a dimension of the source such as time."""

    count: int
    coordinates: Mapping[str, xr.Variable] = field(default_factory=dict)
    """Coordinates of the bands by name, all along one dimension; empty: the bands are only numbered."""

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimension; empty for one band that has no coordinates."""
        if self.coordinates:
            return tuple(str(dim) for dim in next(iter(self.coordinates.values())).dims)
        return (BAND,) if self.count > 1 else ()

    @property
    def others(self) -> list[str]:
        """Names of the coordinates that are not the dimension's own."""
        return [name for name in self.coordinates if name not in self.dims]

    def write(self, group: zarr.Group, names: Sequence[str] = ()) -> None:
        """Write the coordinates to a group as CF has them, and the numbers of bands that have `names` only."""
        for name, values in self.coordinates.items():
            encoded = xr.conventions.encode_cf_variable(values, name=name)
            attributes = {str(key): _plain(value) for key, value in encoded.attrs.items() if key != "_FillValue"}
            group.create_array(name, data=np.asarray(encoded.values), dimension_names=self.dims, attributes=attributes)
        if names and self.dims == (BAND,):
            numbers: dict[str, Any] = {"long_name": "band of the source", "names": list(names)}
            group.create_array(BAND, data=np.arange(1, self.count + 1), dimension_names=(BAND,), attributes=numbers)


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """An array that a group and each of its overviews have, before it is created."""

    name: str
    dtype: np.dtype[Any]
    fill_value: float
    """Value of pixels that nothing is written to."""
    attributes: Mapping[str, Any]
    halve: Callable[[NDArray[Any]], NDArray[Any]]
    """Function that makes an overview's pixels: (H, W), even, to (H / 2, W / 2)."""

    def create(self, group: zarr.Group, grid: GeoBox, bands: BandAxis, shard_yx: tuple[int, int]) -> zarr.Array[Any]:
        """Create the array in a group: (bands, h, w), or (h, w) for one band without coordinates."""
        several, one = ((bands.count,), (1,)) if bands.dims else ((), ())
        return group.create_array(
            self.name,
            shape=(*several, *grid.shape.yx),
            dtype=self.dtype,
            chunks=(*one, chunk_side(shard_yx[0]), chunk_side(shard_yx[1])),
            shards=(*one, *shard_yx),
            fill_value=self.dtype.type(self.fill_value),
            dimension_names=(*bands.dims, "y", "x"),
            compressors=BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"),
            attributes={**self.attributes, "grid_mapping": GRID, "coordinates": " ".join([GRID, *bands.others])},
        )


@dataclass(slots=True)
class Variable:
    """An array of the group, read and written by band and window."""

    array: zarr.Array[Any]

    def write(self, window: Window, values: NDArray[Any], bands: Sequence[int] | None = None) -> None:
        """Write (bands, h, w) of `window` without conversion, into all bands or those given by number (from 1)."""
        for number, band in zip(bands or range(1, len(values) + 1), values, strict=True):
            self.array[self._at(number, window)] = band

    def read(self, band: int, window: Window) -> NDArray[Any]:
        """Return (h, w) of a band, given by number (from 1)."""
        return np.asarray(self.array[self._at(band, window)])

    @property
    def bands(self) -> int:
        """Number of bands."""
        return self.array.shape[0] if self.array.ndim == 3 else 1

    @property
    def whole(self) -> Window:
        """Window of all pixels of a band."""
        height, width = self.array.shape[-2:]
        return Window(0, 0, height, width)

    def _at(self, band: int, window: Window) -> tuple[Any, ...]:
        return (band - 1, *window.slices) if self.array.ndim == 3 else window.slices


class Values(Variable):
    """The target or its uncertainty: keeps statistics of what is written to it."""

    def __init__(
        self, array: zarr.Array[Any], nodata: float, source_tags: Sequence[BandTags], encoding: Encoding
    ) -> None:
        """Begin the statistics of an array that nothing has been written to."""
        super().__init__(array)
        self._nodata, self._source_tags, self._encoding = nodata, source_tags, encoding
        self._moments = [_Moments() for _ in source_tags]
        self._clipped = [0 for _ in source_tags]

    def write(self, window: Window, values: NDArray[Any], bands: Sequence[int] | None = None) -> None:
        """Write (bands, h, w) of `window` without conversion, into all bands or those given by number (from 1)."""
        for number, band in zip(bands or range(1, len(values) + 1), values, strict=True):
            self._moments[number - 1].add(band, is_valid(band, self._nodata))
        super().write(window, values, bands)

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Encode and write (bands, h, w) of `window`.

        Args:
            window: The part of the array to write.
            values: (bands, h, w), in the source's stored units, NaN at nodata.
            bands: Numbers of the bands, from 1; None: all.
        """
        numbers = bands or range(1, len(values) + 1)
        encoded = [
            self._encoding.encode(band, self._nodata, self._source_tags[number - 1])
            for number, band in zip(numbers, values, strict=True)
        ]
        for number, (_, clipped) in zip(numbers, encoded, strict=True):
            self._clipped[number - 1] += clipped
        self.write(window, np.stack([stored for stored, _ in encoded]), bands)

    @property
    def counts(self) -> list[tuple[BandTags, int, int]]:
        """Tags, number of clipped values and number of valid values of each band."""
        bands = zip(self._source_tags, self._clipped, self._moments, strict=True)
        return [(tags, clipped, moments.count) for tags, clipped, moments in bands]

    @property
    def statistics(self) -> dict[str, Any]:
        """Statistics of the stored values by GDAL's names: numbers for one band, lists for several."""
        bands = [moments.as_gdal for moments in self._moments]
        if len(bands) == 1:
            return {name: value for name, value in bands[0].items() if value is not None}
        return {name: [band[name] for band in bands] for name in bands[0]}


@dataclass(slots=True)
class _Moments:
    """Running statistics of the values that were added."""

    count: int = 0
    pixels: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squares of the deviations from the mean."""
    least: float = math.inf
    most: float = -math.inf

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add values (Chan et al. 1979)."""
        self.pixels += values.size
        added = values[valid].astype(np.float64)
        if not added.size:
            return
        mean, count = float(added.mean()), self.count + added.size
        difference = mean - self.mean
        self.squares += float(((added - mean) ** 2).sum()) + difference**2 * self.count * added.size / count
        self.mean += difference * added.size / count
        self.count = count
        self.least, self.most = min(self.least, float(added.min())), max(self.most, float(added.max()))

    @property
    def as_gdal(self) -> dict[str, float | None]:
        """Statistics by GDAL's names; None where no value is valid."""
        known = bool(self.count)
        return {
            "STATISTICS_MINIMUM": self.least if known else None,
            "STATISTICS_MAXIMUM": self.most if known else None,
            "STATISTICS_MEAN": self.mean if known else None,
            "STATISTICS_STDDEV": math.sqrt(self.squares / self.count) if known else None,
            "STATISTICS_VALID_PERCENT": 100 * self.count / max(self.pixels, 1),
        }


def is_valid(stored: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Return True where stored values are not nodata; any shape."""
    valid: NDArray[np.bool_] = ~np.isnan(stored) if math.isnan(nodata) else stored != stored.dtype.type(nodata)
    return valid


def georeference(group: zarr.Group, grid: GeoBox) -> None:
    """Write CRS and transform as rioxarray reads them, and x and y coordinates where the grid is not rotated."""
    axes = zip(("y", "x"), (grid.coordinates[name].values for name in grid.dimensions), strict=True)
    empty = xr.Dataset(coords=dict(axes) if grid.axis_aligned else {})  # an array of its shape would be copied
    placed = empty.rio.write_crs(str(grid.crs)).rio.write_transform(grid.affine)
    if grid.axis_aligned:
        placed = placed.rio.write_coordinate_system()
        for name in ("y", "x"):
            attributes: dict[str, Any] = {str(key): value for key, value in placed[name].attrs.items()}
            group.create_array(name, data=placed[name].to_numpy(), dimension_names=(name,), attributes=attributes)
    group.create_array(GRID, data=np.array(0), attributes=dict(placed[GRID].attrs))


def _plain(value: object) -> Any:  # noqa: ANN401  (a JSON value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
