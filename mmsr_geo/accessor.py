"""`.mmsr` on a DataArray: explicit arguments, one call into the api each; imports torch and GDAL only when called."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmsr_geo.network.fitted import FittedModel
    from mmsr_geo.network.params import FitParams
    from mmsr_geo.options import Bounds, Fit, IfUnhelpful, OnGrid, Quality, ScaleLike
    from mmsr_geo.pipeline.inputs import GuideLike, LikeLike
    from mmsr_geo.raster.views.mask import MaskLike


@xr.register_dataarray_accessor("mmsr")
class MmsrAccessor:
    """Guided super-resolution of this array."""

    def __init__(self, array: xr.DataArray) -> None:
        """Keep the array; nothing is looked at before it is asked for."""
        self._array = array

    def upsample(  # noqa: PLR0913  (the api's own)
        self,
        guide: GuideLike,
        scale: ScaleLike = None,
        *,
        like: LikeLike | None = None,
        method: str = "mmsr",
        fit: Fit = "scene",
        model: FittedModel | str | PathLike[str] | None = None,
        params: FitParams | None = None,
        quality: Quality | None = None,
        if_unhelpful: IfUnhelpful = "bicubic",
        bounds: Bounds | None = None,
        source_resolution: float | str | None = None,
        grid: OnGrid = "source",
        guide_band: Sequence[str | int] | str | int = (),
        derive: Sequence[str] | str = (),
        source_mask: MaskLike | None = None,
        guide_mask: MaskLike | None = None,
        mask_share: float = 0.5,
        source_nodata: float | None = None,
        guide_nodata: float | None = None,
        valid_range: tuple[float, float] | None = None,
        qa: bool = False,
        uncertainty: bool = False,
        tile_size: int | None = None,
        device: str = "auto",
        seed: int = 0,
        keep_statistics: bool = False,
        min_coverage: float = 0.95,
    ) -> xr.DataArray:
        """Return this array at the guide's detail, lazily; see `mmsr_geo.upsample`."""
        from mmsr_geo import api  # noqa: PLC0415  (torch and GDAL, only when asked for)

        return api.upsample(
            self._array,
            guide,
            scale,
            like=like,
            method=method,
            fit=fit,
            model=model,
            params=params,
            quality=quality,
            if_unhelpful=if_unhelpful,
            bounds=bounds,
            source_resolution=source_resolution,
            grid=grid,
            guide_band=guide_band,
            derive=derive,
            source_mask=source_mask,
            guide_mask=guide_mask,
            mask_share=mask_share,
            source_nodata=source_nodata,
            guide_nodata=guide_nodata,
            valid_range=valid_range,
            qa=qa,
            uncertainty=uncertainty,
            tile_size=tile_size,
            device=device,
            seed=seed,
            keep_statistics=keep_statistics,
            min_coverage=min_coverage,
        )
