"""Values that look like undeclared nodata, found in a few windows of a raster; and the warnings about them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmsr_geo.errors import InputError, NodataWarning
from mmsr_geo.geometry import Window
from mmsr_geo.nodata import Nodata, shown_number
from mmsr_geo.raster.base import Raster
from mmsr_geo.raster.inspect.suspicions import NodataSuspicion, ProbeWindow, shared_collar, suspected_nodata
from mmsr_geo.raster.read.arrays import ArrayRaster
from mmsr_geo.raster.read.files import FileRaster
from mmsr_geo.raster.views.base import RasterView
from mmsr_geo.spelling import option

_PROBES = 5
"""Number of sampled windows down, and across."""
_PROBE_PX = 128
"""Side of a sampled window in pixels."""


def find_undeclared_nodata(raster: Raster) -> tuple[NodataSuspicion, ...]:
    """Return the values that look like undeclared nodata in at most 25 windows of 128 x 128 pixels.

    If the raster is derived from one other (masked, coarsened, resampled), that one is read. What it declares as nodata
    is left out.
    """
    raster = stored_raster(raster)
    return _suspicions(raster, _probes(raster))


def stored_raster(raster: Raster) -> Raster:
    """Return the raster that another is derived from, or the raster itself if it is not derived from one other."""
    while isinstance(raster, RasterView):
        raster = raster.raster
    return raster


def warn_undeclared_nodata(source: Raster, guides: Sequence[Raster], *, arrays: bool = True) -> None:
    """Warn (NodataWarning) for each raster in which a value looks like undeclared nodata.

    Guides on one grid, such as bands that are files of their own, are also looked at together.

    Args:
        source: The source.
        guides: The guides.
        arrays: Whether arrays are sampled too, whose windows may take long to compute.
    """
    for name, rasters in (("source_nodata", [source]), ("guide_nodata", guides)):
        looked_at = [stored_raster(one) for one in rasters]
        looked_at = [one for one in looked_at if arrays or not isinstance(one, ArrayRaster)]
        probes = {at: _probes(one) for at, one in enumerate(looked_at)}
        reported: dict[int, set[float]] = {at: set() for at in probes}
        for suspicion, members in _shared_collars(looked_at, probes):
            together = [looked_at[at] for at in members]
            for at in members:
                reported[at].update(suspicion.values)
            warnings.warn(nodata_message(together, [suspicion], name, looked_at), NodataWarning, stacklevel=2)
        for at, one in enumerate(looked_at):
            found = [each for each in _suspicions(one, probes[at]) if not reported[at] & set(each.values)]
            if found:
                warnings.warn(nodata_message([one], found, name, looked_at), NodataWarning, stacklevel=2)


def nodata_message(
    rasters: Sequence[Raster], suspicions: Sequence[NodataSuspicion], name: str, all_rasters: Sequence[Raster] = ()
) -> str:
    """Return the warning of undeclared nodata.

    Args:
        rasters: The rasters in which the values were found.
        suspicions: What was found in them.
        name: The option, "source_nodata" or "guide_nodata".
        all_rasters: All rasters that the option applies to, so that it keeps what any of them declares; none: those of
            `rasters`.
    """
    values = [value for suspicion in suspicions for value in suspicion.values]
    kept = [declared for one in all_rasters or rasters for declared in _declared(one)]
    items = dict.fromkeys([*map(_exact, values), *(item for declared in kept for item in _listed(declared))])
    names = ", ".join(dict.fromkeys(one.name for one in rasters))
    fix = option(name, list(items) if len(items) > 1 else next(iter(items)))
    it_means = "it means" if len(values) == 1 else "they mean"
    return f"{names}: {'; '.join(map(str, suspicions))}, and {_declared_text(rasters)}: pass {fix} if {it_means} nodata"


def _declared_text(rasters: Sequence[Raster]) -> str:
    """Return what is declared as nodata in some rasters: "no nodata is declared", "only -9999 is declared"."""
    items = dict.fromkeys(str(item) for one in rasters for declared in _declared(one) for item in _listed(declared))
    hidden = [one.nodata for one in rasters if isinstance(one, ArrayRaster) and one.nodata is not None]
    shown = ", ".join(items) or ", ".join(dict.fromkeys(map(shown_number, hidden)))
    if shown:
        return f"only {shown} is declared"
    masked = any(isinstance(one, FileRaster) and one.declares_nodata for one in rasters)
    return "only a mask or alpha band is declared" if masked else "no nodata is declared"


def _declared(raster: Raster) -> list[Nodata]:
    """Return what a raster declares as nodata: each of its bands' once."""
    match raster:
        case FileRaster():
            bands = raster.nodatavals
        case ArrayRaster():
            bands = raster.raw_nodata
        case _:
            bands = ()
    return list(dict.fromkeys(nodata for nodata in bands if nodata is not None))


def _listed(nodata: Nodata) -> list[float | int | str]:
    """Return the values of a nodata option, but NaN, which is nodata in any case."""
    return [*(_exact(value) for value in nodata.values if not math.isnan(value)), *map(str, nodata.ranges)]


def _exact(value: float) -> float | int:
    return int(value) if "." not in (text := shown_number(value)) and text.lstrip("-").isdigit() else value


def _shared_collars(
    rasters: Sequence[Raster], probes: Mapping[int, Sequence[ProbeWindow]]
) -> Iterator[tuple[NodataSuspicion, list[int]]]:
    """Yield the collars that rasters on one grid have in common, with the positions of these rasters."""
    left = list(range(len(rasters)))
    while left:
        first = rasters[left[0]]
        together = [at for at in left if rasters[at].grid == first.grid and rasters[at].dtype == first.dtype]
        left = [at for at in left if at not in together]
        if len(together) < 2:
            continue
        stacked = [
            ProbeWindow(np.concatenate([one.values for one in windows]), windows[0].border)
            for windows in zip(*(probes[at] for at in together), strict=True)
        ]
        owners = [at for at in together for _ in rasters[at].bands]
        found = shared_collar(stacked, first.dtype)
        if found is not None:
            suspicion, bands = found
            members = list(dict.fromkeys(owners[band] for band in bands))
            if len(members) > 1:
                yield suspicion, members


def _suspicions(raster: Raster, probes: Sequence[ProbeWindow]) -> tuple[NodataSuspicion, ...]:
    return tuple(_stored(raster, probes, one) for one in suspected_nodata(probes, raster.dtype))


def _probes(raster: Raster) -> list[ProbeWindow]:
    height, width = raster.grid.shape.yx
    probes = []
    for window in _windows(height, width):
        border = np.zeros(window.shape, np.bool_)
        rows = np.arange(window.row, window.row + window.height)
        cols = np.arange(window.col, window.col + window.width)
        border[(rows == 0) | (rows == height - 1)] = True
        border[:, (cols == 0) | (cols == width - 1)] = True
        probes.append(ProbeWindow(_values(raster, window), border))
    return probes


def _values(raster: Raster, window: Window) -> NDArray[np.float32]:
    """Return the values of a window; NaN if it cannot be read: what needs it says so, and a job goes on without it.

    GDAL reports a part that a VRT lacks once, and then reads zeros: that error is raised.
    """
    try:
        return raster.read(window).values
    except InputError:
        if raster.name.lower().endswith(".vrt"):
            raise
        return np.full((len(raster.bands), *window.shape), np.nan, np.float32)


def _windows(height: int, width: int) -> Iterator[Window]:
    for row in _starts(height):
        for col in _starts(width):
            yield Window(row, col, min(_PROBE_PX, height), min(_PROBE_PX, width))


def _starts(length: int) -> list[int]:
    count = min(_PROBES, math.ceil(length / _PROBE_PX))
    return [round(start) for start in np.linspace(0, max(length - _PROBE_PX, 0), count)]


def _stored(raster: Raster, probes: Sequence[ProbeWindow], suspicion: NodataSuspicion) -> NodataSuspicion:
    """Return a suspicion with its values as they are stored, without the rounding of float32."""
    windows = list(_windows(*raster.grid.shape.yx))
    exact = []
    for value in suspicion.values:
        counts = [np.count_nonzero(probe.values == np.float32(value)) for probe in probes]
        exact.append(_as_stored(raster, windows[int(np.argmax(counts))], value))
    return replace(suspicion, values=tuple(exact))


def _as_stored(raster: Raster, window: Window, value: float) -> float:
    if isinstance(raster, FileRaster):
        raw = raster.stored(window)[0]
    elif isinstance(raster, ArrayRaster):
        raw = raster.stored(window)
    else:
        return value
    stored = raw[raw.astype(np.float32) == np.float32(value)]
    # 1e20 is 100000002004087734272 as float32, and is written 1e+20.
    return float(str(stored[0])) if len(stored) else value
