"""A target and what is known of it as a group of a Zarr store, with overviews; knows zarr and CF, no tile."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import rioxarray  # noqa: F401  (the accessor)
import xarray as xr
import zarr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from xarray.backends.zarr import FillValueCoder
from zarr.codecs import BloscCodec
from zarr.errors import BaseZarrError

from mmsr_geo.atomic import sync
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.destination import QA, UNCERTAINTY, ZarrGroupPath, check_disk, check_output, not_written
from mmsr_geo.raster.write.encoding import Encoding, clipping_of
from mmsr_geo.raster.write.staged import staged_output
from mmsr_geo.spelling import option

SHARD_PX = 1024
"""Smaller tiles share a shard: a file, or an object, for each small one would be many."""
CHUNK_PX = 512
"""What is fetched by itself, about."""
OVERVIEW_PX = 512
"""The side from which on a raster has an overview."""
GRID = "spatial_ref"
_CONVENTION = {
    "uuid": "d35379db-88df-4056-af3a-620245f8e347",
    "name": "multiscales",
    "description": "Multiscale layout of zarr datasets",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v1/README.md",
}
"""As GDAL 3.13 writes it and finds overviews by."""
_FAILURES = (OSError, BaseZarrError)
"""What zarr and its codecs fail with."""


def shard_side(tile_px: int, length_px: int) -> int:
    """Return a shard's side: a whole number of tiles, or all of the length."""
    return min(tile_px * max(1, SHARD_PX // tile_px), length_px)


def chunk_side(shard_px: int) -> int:
    """Return a chunk's side within a shard: what divides it and is nearest to 512 by ratio."""
    divisors = [side for side in range(1, shard_px + 1) if shard_px % side == 0]
    return min(divisors, key=lambda side: abs(math.log(side / CHUNK_PX)))


class ZarrWriter:
    """Whole shards in, a group of a Zarr store out, under its name only once it is whole.

    Windows are written by one thread, each a shard of `shard_yx` or several of them: `values`, `flags` and, if asked
    for, `uncertainty` take them.
    A context manager: leaving it removes what was begun and leaves what was there before as it was.
    """

    def __init__(  # noqa: PLR0913  (what a group holds)
        self,
        place: ZarrGroupPath,
        grid: GeoBox,
        *,
        variable: str,
        tile_yx: tuple[int, int],
        bands: int,
        nodata: float,
        band_tags: Sequence[BandTags],
        encoding: Encoding,
        flag_attrs: Mapping[str, Any],
        uncertainty_attrs: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Begin a group beside the output.

        variable: the target's name. tile_yx: what comes at once, in pixels; shards are whole multiples of it. nodata:
        as `storage.nodata` chooses it. band_tags: the source's. flag_attrs: what is said of the flags.
        uncertainty_attrs: what is said of the target's uncertainty; None: none is kept.

        Raises OutputError as a CogFile does, OptionError for bands that no one variable of CF can hold.
        """
        self.path = place
        self._grid, self._variable, self._nodata, self._storage = grid, variable, nodata, encoding
        self._tags, self._flag_attrs = encoding.tags(band_tags), dict(flag_attrs)
        uncertainty, half_tags = uncertainty_attrs is not None, [tags.of_uncertainty() for tags in band_tags]
        if len({(tags.scale, tags.offset) for tags in self._tags}) > 1:
            raise OptionError(
                f"the source's {bands} bands have scales or offsets of their own, and a variable of a Zarr store has "
                f"one: pass one for all ({option('scale_factor')}), or write a .tif"
            )
        check_output(place, overwrite=overwrite)
        height, width = grid.shape.yx
        check_disk(place, height * width * bands * (np.dtype(encoding.dtype).itemsize * (1 + uncertainty) + 1))
        self.shard_yx = shard_side(tile_yx[0], height), shard_side(tile_yx[1], width)
        self._staged = staged_output(place)
        self._made = self._staged.scratch / "group"
        try:
            with self._telling():
                self._group = zarr.create_group(self._made, zarr_format=3)
                _georeference(self._group, grid)
                if bands > 1:
                    self._number_bands()
                self._kinds = [self._kind_of_values(uncertainty=uncertainty), self._kind_of_flags()]
                if uncertainty_attrs is not None:
                    self._kinds.append(self._kind(self._uncertainty, encoding.tags(half_tags), uncertainty_attrs))
                values, flags, *half = (self._create(self._group, grid, kind) for kind in self._kinds)
                self.values, self.flags = Values(values, nodata, band_tags, encoding), Variable(flags)
                self.uncertainty = Values(half[0], nodata, half_tags, encoding) if half else None
        except BaseException:
            self.discard()
            raise

    def make(self, tags: Mapping[str, str]) -> None:
        """Add overviews, statistics and what is to be said of it, and have it all on the disk."""
        with self._telling():
            for counted in filter(None, (self.values, self.uncertainty)):
                counted.array.update_attributes(counted.statistics)
            layout = self._add_overviews()
            said: dict[str, Any] = {"Conventions": "CF-1.11", **tags}
            if len(layout) > 1:
                said |= {"zarr_conventions": [_CONVENTION], "multiscales": {"layout": layout}}
            self._group.attrs.update(said)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that this is not of the format's specification, which allows it
                zarr.consolidate_metadata(self._group.store)
            for path in (*self._made.rglob("*"), self._made):
                sync(path)

    def publish(self, *, keep: bool) -> None:
        """Put what `make_output` made in the output's place; keep: so that it can be taken back."""
        with self._telling():
            self._staged.publish(self._made, keep=keep)

    def roll_back(self) -> None:
        """Undo `place`, also where it failed midway."""
        with self._telling():
            self._staged.roll_back(self._made)

    def finalize(self) -> None:
        """Have the folder's entries on the disk."""
        with self._telling():
            self._staged.finalize(self._made)

    def discard(self) -> None:
        """Remove what is unfinished."""
        self._staged.discard()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what is unfinished."""
        self.discard()

    @property
    def clipping(self) -> str | None:
        """One line that says how many of the values stored were clipped, and the mend; None where none was."""
        counted = filter(None, (self.values, self.uncertainty))
        return clipping_of(self._storage, [each for values in counted for each in values.counts])

    def _create(self, group: zarr.Group, grid: GeoBox, kind: _Kind) -> zarr.Array[Any]:
        dims, shape = ("y", "x"), grid.shape.yx
        shards = self.shard_yx
        chunks = chunk_side(shards[0]), chunk_side(shards[1])
        several = (len(self._tags),) if len(self._tags) > 1 else ()
        one = (1,) * len(several)
        return group.create_array(
            kind.name,
            shape=(*several, *shape),
            dtype=kind.dtype,
            chunks=(*one, *chunks),
            shards=(*one, *shards),
            fill_value=kind.dtype.type(kind.hole),
            dimension_names=(*("band",) * len(several), *dims),
            compressors=BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"),
            attributes={**kind.attributes, "grid_mapping": GRID, "coordinates": GRID},
        )

    def _kind_of_flags(self) -> _Kind:
        return _Kind(QA, np.dtype(np.uint8), 0, self._flag_attrs, _every_second)

    def _kind_of_values(self, *, uncertainty: bool) -> _Kind:
        said = {"ancillary_variables": f"{QA} {self._uncertainty}" if uncertainty else QA}
        first = self._tags[0]
        if len(self._tags) == 1 and first.description:
            said["long_name"] = first.description
        return self._kind(self._variable, self._tags, said)

    def _kind(self, name: str, tags: Sequence[BandTags], said: Mapping[str, Any]) -> _Kind:
        """Return an array of the storage's dtype, and what it says of itself, as CF and xarray have it."""
        dtype, first, units = np.dtype(self._storage.dtype), tags[0], [each.unit for each in tags]
        attributes = {"_FillValue": FillValueCoder.encode(dtype.type(self._nodata), dtype), **said}
        if first.scale != 1 or first.offset != 0:
            attributes |= {"scale_factor": first.scale, "add_offset": first.offset}
        if len(set(units)) > 1:
            attributes["band_units"] = units
        elif first.unit:
            attributes["units"] = first.unit
        return _Kind(name, dtype, self._nodata, attributes, self._mean)

    @property
    def _uncertainty(self) -> str:
        return UNCERTAINTY.format(variable=self._variable)

    def _number_bands(self) -> None:
        names = [tags.description or str(number) for number, tags in enumerate(self._tags, start=1)]
        said: dict[str, Any] = {"long_name": "band of the source", "names": names}
        numbers = np.arange(1, len(names) + 1)
        self._group.create_array("band", data=numbers, dimension_names=("band",), attributes=said)

    def _add_overviews(self) -> list[dict[str, Any]]:
        """Halve until a screen holds it, each level from the one before; return how they hang together."""
        grid, finer, name, factor = self._grid, self._group, self._variable, 1
        dims = len(self.values.array.shape)
        layout: list[dict[str, Any]] = [{"asset": name, "transform": {"scale": [1.0] * dims}}]
        while max(grid.shape.yx) > OVERVIEW_PX:
            factor *= 2
            height, width = grid.shape.yx
            grid = GeoBox((-(-height // 2), -(-width // 2)), grid.affine * Affine.scale(2), grid.crs)
            coarser = self._group.create_group(f"ovr_{factor}x")
            _georeference(coarser, grid)
            for kind in self._kinds:
                made = self._create(coarser, grid, kind)
                _halve(Variable(finer[made.basename]), Variable(made), self.shard_yx, kind.halve)  # type: ignore[arg-type]
            layout.append(
                {
                    "asset": coarser.basename,
                    "derived_from": layout[-1]["asset"],
                    "transform": {"scale": [1.0] * (dims - 2) + [2.0, 2.0], "translation": [0.0] * dims},
                    "resampling_method": "average",
                }
            )
            finer = coarser
        return layout

    def _mean(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the means of 2 x 2 stored values, holes left out: (H, W), even, to (H / 2, W / 2)."""
        height, width = values.shape
        blocks = values.reshape(height // 2, 2, width // 2, 2)
        valid = _is_valid(blocks, self._nodata)
        count = valid.sum(axis=(1, 3))
        total = np.where(valid, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
        means = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return Encoding(self._storage.dtype).encode(means, self._nodata)[0]

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what the disk or zarr fails with into an OutputError."""
        try:
            yield
        except _FAILURES as error:
            raise not_written(self.path, error) from error


@dataclass(frozen=True, slots=True)
class _Kind:
    """An array of the group and of its overviews."""

    name: str
    dtype: np.dtype[Any]
    hole: float
    """What stands where nothing is written."""
    attributes: Mapping[str, Any]
    halve: Callable[[NDArray[Any]], NDArray[Any]]
    """Makes an overview of it: (H, W), even, to (H / 2, W / 2)."""


@dataclass(slots=True)
class Variable:
    """An array of the group, by band and window."""

    array: zarr.Array[Any]

    def write(self, window: Window, values: NDArray[Any], bands: Sequence[int] | None = None) -> None:
        """Write (bands, h, w) of `window` as it is, into all bands or the ones named (from 1)."""
        for band, each in zip(bands or range(1, len(values) + 1), values, strict=True):
            self.array[self._at(band, window)] = each

    def read(self, band: int, window: Window) -> NDArray[Any]:
        """Return (h, w) of a band (from 1)."""
        return np.asarray(self.array[self._at(band, window)])

    @property
    def bands(self) -> int:
        """How many there are."""
        return self.array.shape[0] if self.array.ndim == 3 else 1

    @property
    def whole(self) -> Window:
        """All of a band."""
        height, width = self.array.shape[-2:]
        return Window(0, 0, height, width)

    def _at(self, band: int, window: Window) -> tuple[Any, ...]:
        return (band - 1, *window.slices) if self.array.ndim == 3 else window.slices


@dataclass(slots=True)
class _Moments:
    """Statistics of what has come so far."""

    count: int = 0
    pixels: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squares of the deviations from the mean."""
    least: float = math.inf
    most: float = -math.inf

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take more into account (Chan et al. 1979)."""
        self.pixels += values.size
        some = values[valid].astype(np.float64)
        if not some.size:
            return
        mean, count = float(some.mean()), self.count + some.size
        apart = mean - self.mean
        self.squares += float(((some - mean) ** 2).sum()) + apart**2 * self.count * some.size / count
        self.mean += apart * some.size / count
        self.count = count
        self.least, self.most = min(self.least, float(some.min())), max(self.most, float(some.max()))

    @property
    def as_gdal(self) -> dict[str, float | None]:
        """Return them by GDAL's names; None where nothing is valid."""
        known = bool(self.count)
        return {
            "STATISTICS_MINIMUM": self.least if known else None,
            "STATISTICS_MAXIMUM": self.most if known else None,
            "STATISTICS_MEAN": self.mean if known else None,
            "STATISTICS_STDDEV": math.sqrt(self.squares / self.count) if known else None,
            "STATISTICS_VALID_PERCENT": 100 * self.count / max(self.pixels, 1),
        }


class Values(Variable):
    """The target, or its uncertainty: it counts what it is given."""

    def __init__(
        self, array: zarr.Array[Any], nodata: float, source_tags: Sequence[BandTags], encoding: Encoding
    ) -> None:
        """Take an array that holds nothing yet."""
        super().__init__(array)
        self._nodata, self._source_tags, self._storage = nodata, source_tags, encoding
        self._moments = [_Moments() for _ in source_tags]
        self._clipped = [0 for _ in source_tags]

    def write(self, window: Window, values: NDArray[Any], bands: Sequence[int] | None = None) -> None:
        """Write (bands, h, w) of `window` as it is, into all bands or the ones named (from 1)."""
        for band, each in zip(bands or range(1, len(values) + 1), values, strict=True):
            self._moments[band - 1].add(each, _is_valid(each, self._nodata))
        super().write(window, values, bands)

    def store(self, window: Window, values: NDArray[np.float32], bands: Sequence[int] | None = None) -> None:
        """Write (bands, h, w) of `window`, raw values of the source and NaN in holes, as the storage has it."""
        numbers = bands or range(1, len(values) + 1)
        encoded = [
            self._storage.encode(each, self._nodata, self._source_tags[number - 1])
            for number, each in zip(numbers, values, strict=True)
        ]
        for number, (_, clipped) in zip(numbers, encoded, strict=True):
            self._clipped[number - 1] += clipped
        self.write(window, np.stack([stored for stored, _ in encoded]), bands)

    @property
    def counts(self) -> list[tuple[BandTags, int, int]]:
        """Of each band its tags, how many of the values stored were clipped, and how many are valid."""
        each = zip(self._source_tags, self._clipped, self._moments, strict=True)
        return [(tags, clipped, moments.count) for tags, clipped, moments in each]

    @property
    def statistics(self) -> dict[str, Any]:
        """Return them as GDAL has them, of the stored values: of several bands a list each."""
        of_bands = [moments.as_gdal for moments in self._moments]
        if len(of_bands) == 1:
            return {name: value for name, value in of_bands[0].items() if value is not None}
        return {name: [each[name] for each in of_bands] for name in of_bands[0]}


def _halve(
    finer: Variable, coarser: Variable, shard_yx: tuple[int, int], halve: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    """Fill a level of half the size, shard by shard, from blocks that take little memory."""
    within, whole = finer.whole, coarser.whole
    for band in range(1, coarser.bands + 1):
        for shard in _parts(whole, shard_yx):
            made = np.empty(shard.shape, coarser.array.dtype)
            for block in _parts(shard, (CHUNK_PX, CHUNK_PX)):
                below = Window(2 * block.row, 2 * block.col, 2 * block.height, 2 * block.width).intersection(within)
                beyond = [(0, 2 * want - have) for want, have in zip(block.shape, below.shape, strict=True)]
                read = np.pad(finer.read(band, below), beyond, constant_values=finer.array.fill_value)
                made[block.relative_to(shard).slices] = halve(read)
            coarser.write(shard, made[np.newaxis], (band,))


def _every_second(flags: NDArray[Any]) -> NDArray[Any]:
    return flags[::2, ::2]


def _parts(whole: Window, sides: tuple[int, int]) -> Iterator[Window]:
    for row in range(whole.row, whole.row + whole.height, sides[0]):
        for col in range(whole.col, whole.col + whole.width, sides[1]):
            yield Window(row, col, *sides).intersection(whole)


def _is_valid(stored: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    valid: NDArray[np.bool_] = ~np.isnan(stored) if math.isnan(nodata) else stored != stored.dtype.type(nodata)
    return valid


def _georeference(group: zarr.Group, grid: GeoBox) -> None:
    """Say where the pixels lie: x and y where the grid has such, and CRS and transform as rioxarray reads them."""
    axes = zip(("y", "x"), (grid.coordinates[name].values for name in grid.dimensions), strict=True)
    empty = xr.Dataset(coords=dict(axes) if grid.axis_aligned else {})  # an array of its shape would be copied
    placed = empty.rio.write_crs(str(grid.crs)).rio.write_transform(grid.affine)
    if grid.axis_aligned:
        placed = placed.rio.write_coordinate_system()
        for name in ("y", "x"):
            said: dict[str, Any] = {str(key): value for key, value in placed[name].attrs.items()}
            group.create_array(name, data=placed[name].to_numpy(), dimension_names=(name,), attributes=said)
    group.create_array(GRID, data=np.array(0), attributes=dict(placed[GRID].attrs))
