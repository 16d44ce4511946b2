"""A target with its flags and uncertainty as a group of a Zarr store, whole or not at all; knows no tile."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from odc.geo.geobox import GeoBox
from xarray.backends.zarr import FillValueCoder
from zarr.errors import BaseZarrError

from mmsr_geo.atomic import sync
from mmsr_geo.errors import OptionError
from mmsr_geo.raster.base import BandTags
from mmsr_geo.raster.write.destination import QA, UNCERTAINTY, ZarrGroupPath, check_disk, check_output
from mmsr_geo.raster.write.encoding import Encoding, clipping_of
from mmsr_geo.raster.write.staged import StagedWriter
from mmsr_geo.raster.write.zarr_arrays import ArraySpec, BandAxis, Values, Variable, georeference, shard_side
from mmsr_geo.raster.write.zarr_overviews import CONVENTION, add_overviews, averaging, every_second
from mmsr_geo.spelling import option

_FAILURES = (OSError, BaseZarrError)
"""Exceptions of zarr and its codecs."""


class ZarrWriter(StagedWriter):
    """A group of a Zarr store that is written shard by shard and appears under its name once it is complete.

    `values`, `flags` and, if wanted, `uncertainty` take windows of one or several whole shards of `shard_yx` pixels,
    from one thread.

    A context manager: leaving it removes what is unfinished, and an output that was there before stays as it was.
    """

    failures = _FAILURES

    def __init__(  # noqa: PLR0913  (what a group holds)
        self,
        place: ZarrGroupPath,
        grid: GeoBox,
        *,
        variable: str,
        tile_yx: tuple[int, int],
        bands: BandAxis,
        nodata: float,
        band_tags: Sequence[BandTags],
        encoding: Encoding,
        flag_attrs: Mapping[str, Any],
        uncertainty_attrs: Mapping[str, Any] | None = None,
        target_attrs: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Begin a group next to the output.

        Args:
            place: The output.
            grid: The grid of the target.
            variable: The name of the target's array.
            tile_yx: Height and width of a tile, in pixels; shards are whole multiples of it.
            bands: The bands of the target.
            nodata: The nodata value that `encoding.nodata` chooses.
            band_tags: The tags of the source's bands.
            encoding: How values are stored.
            flag_attrs: Attributes of the QA flags.
            uncertainty_attrs: Attributes of the uncertainty; None: the group has none.
            target_attrs: Further attributes of the target.
            overwrite: Whether an output that exists is replaced.

        Raises:
            OutputError: As for a CogFile.
            OptionError: The bands differ in scale or offset, which one variable of CF cannot hold.
        """
        self._grid, self._variable, self._nodata, self._encoding = grid, variable, nodata, encoding
        self._bands, self._target_attrs = bands, dict(target_attrs or {})
        self._tags = encoding.tags(band_tags)
        if len({(tags.scale, tags.offset) for tags in self._tags}) > 1:
            raise OptionError(
                f"the source's {bands.count} bands differ in scale or offset, and a variable of a Zarr store has one "
                f"scale and one offset: pass {option('scale_factor')} for all bands, or write a .tif"
            )
        check_output(place, overwrite=overwrite)
        height, width = grid.shape.yx
        arrays = 1 if uncertainty_attrs is None else 2
        check_disk(place, height * width * bands.count * (np.dtype(encoding.dtype).itemsize * arrays + 1))
        self.shard_yx = shard_side(tile_yx[0], height), shard_side(tile_yx[1], width)
        super().__init__(place, "group")
        try:
            with self.converting_errors():
                self._create(band_tags, flag_attrs, uncertainty_attrs)
        except BaseException:
            self.discard()
            raise

    def _create(
        self,
        band_tags: Sequence[BandTags],
        flag_attrs: Mapping[str, Any],
        uncertainty_attrs: Mapping[str, Any] | None,
    ) -> None:
        """Create the group and its arrays."""
        half_tags = [tags.of_uncertainty() for tags in band_tags]
        self._group = zarr.create_group(self.draft, zarr_format=3)
        georeference(self._group, self._grid)
        self._bands.write(self._group, [tags.description or str(i) for i, tags in enumerate(self._tags, start=1)])
        self._specs = [
            self._values_spec(has_uncertainty=uncertainty_attrs is not None),
            self._flags_spec(flag_attrs),
        ]
        if uncertainty_attrs is not None:
            tags = self._encoding.tags(half_tags)
            self._specs.append(self._float_spec(self._uncertainty, tags, uncertainty_attrs))
        values, flags, *half = (
            spec.create(self._group, self._grid, self._bands, self.shard_yx) for spec in self._specs
        )
        self.values = Values(values, self._nodata, band_tags, self._encoding)
        self.flags = Variable(flags)
        self.uncertainty = Values(half[0], self._nodata, half_tags, self._encoding) if half else None

    def make(self, tags: Mapping[str, str]) -> None:
        """Add overviews, statistics and attributes, and wait until all of it is on the disk."""
        with self.converting_errors():
            for values in filter(None, (self.values, self.uncertainty)):
                values.array.update_attributes(values.statistics)
            layout = add_overviews(self._group, self._grid, self._specs, self._bands, self.shard_yx)
            attributes: dict[str, Any] = {"Conventions": "CF-1.11", **tags}
            if len(layout) > 1:
                attributes |= {"zarr_conventions": [CONVENTION], "multiscales": {"layout": layout}}
            self._group.attrs.update(attributes)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the format's specification allows it, and does not describe it
                zarr.consolidate_metadata(self._group.store)
            for path in (*self.draft.rglob("*"), self.draft):
                sync(path)

    @property
    def clipping(self) -> str | None:
        """Message on values that were clipped: how many, to what range, and what to do; None where none was."""
        arrays = filter(None, (self.values, self.uncertainty))
        return clipping_of(self._encoding, [counts for values in arrays for counts in values.counts])

    def _flags_spec(self, attributes: Mapping[str, Any]) -> ArraySpec:
        return ArraySpec(QA, np.dtype(np.uint8), 0, dict(attributes), every_second)

    def _values_spec(self, *, has_uncertainty: bool) -> ArraySpec:
        attributes = self._target_attrs | {
            "ancillary_variables": f"{QA} {self._uncertainty}" if has_uncertainty else QA
        }
        first = self._tags[0]
        if len(self._tags) == 1 and first.description and not self._bands.coordinates:
            attributes["long_name"] = first.description
        return self._float_spec(self._variable, self._tags, attributes)

    def _float_spec(self, name: str, tags: Sequence[BandTags], more: Mapping[str, Any]) -> ArraySpec:
        """Return an array of the encoding's dtype, with attributes as CF and xarray have them."""
        dtype, first, units = np.dtype(self._encoding.dtype), tags[0], [band.unit for band in tags]
        attributes = {"_FillValue": FillValueCoder.encode(dtype.type(self._nodata), dtype), **more}
        if first.scale != 1 or first.offset != 0:
            attributes |= {"scale_factor": first.scale, "add_offset": first.offset}
        if len(set(units)) > 1:
            attributes["band_units"] = units
        elif first.unit:
            attributes["units"] = first.unit
        halve = averaging(self._nodata, self._encoding.dtype)
        return ArraySpec(name, dtype, self._nodata, attributes, halve)

    @property
    def _uncertainty(self) -> str:
        return UNCERTAINTY.format(variable=self._variable)
