"""`.mmsr` on a DataArray: one call into the api each; imports torch and GDAL only when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import xarray as xr

from mmsr_geo.signatures import documented

if TYPE_CHECKING:
    from mmsr_geo.keywords import UpsampleArguments
    from mmsr_geo.options import ScaleLike
    from mmsr_geo.pipeline.inputs import GuideLike


@xr.register_dataarray_accessor("mmsr")
class MmsrAccessor:
    """Guided super-resolution of this array."""

    def __init__(self, array: xr.DataArray) -> None:
        """Keep the array."""
        self._array = array

    @documented("upsample")
    def upsample(
        self, guide: GuideLike, scale: ScaleLike = None, *, qa: bool = False, **options: Unpack[UpsampleArguments]
    ) -> xr.DataArray:
        """Return this array at the guide's resolution, lazily: see `mmsr_geo.upsample`.

        Args:
            guide: Finer raster in any CRS: a path, an array, a Dataset whose variables are bands, or a list of them.
            scale: {scale}
            qa: Also return the QA flags of each target pixel (`mmsr_geo.Flag`), as the lazy coordinate `qa`.
            **options: Any of the following.

            {options}

        Returns:
            A float32 DataArray on this array's grid refined by the scale, with one dask chunk per tile.

        Raises:
            MmsrError: As for `mmsr_geo.upsample`.
        """
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)

        return api.upsample(self._array, guide, scale, qa=qa, **options)
