"""Georeferenced grids: refined and coarsened ones, scale and overlap of two; knows CRSs, no pixels or files."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from odc.geo import resxy_
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import CRS as ProjCRS  # noqa: N811  (odc's is CRS)
from pyproj import Geod
from pyproj.exceptions import ProjError
from shapely import Polygon, box

from mmsr_geo.errors import GridError, GuideCoverageError, GuideWarning, OptionError
from mmsr_geo.geometry import Scale, Window
from mmsr_geo.spelling import option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from affine import Affine
    from numpy.typing import ArrayLike, NDArray

    Coordinates = NDArray[np.float64]

COARSER = 1.05
"""Size of guide pixels over target pixels above which a warning says that the guide is coarser."""
LARGEST_LIKE_PX = 10**11
"""Pixels of a grid of `like` above which the resolution is taken for a mistake in its unit."""
LARGEST_LIKE_SIDE = 1000
"""Size of a pixel of `like` over the target's longer side above which it is taken for such a mistake too."""
SNAP_PX = 1e-6
"""Distance in pixels within which a point is on a pixel's edge: the rounding of a transform stored as text."""
_POINTS_PER_SIDE = 65


def refined(grid: GeoBox, scale: Scale) -> GeoBox:
    """Return the target grid: each pixel split into scale.y x scale.x; CRS, origin, rotation and orientation stay."""
    return grid.zoom_to((grid.shape.y * scale.y, grid.shape.x * scale.x))


def check_transform(transform: Affine, name: str) -> None:
    """Refuse a transform under which pixels have no size or no finite position (GridError)."""
    numbers = transform[:6]
    if not all(map(math.isfinite, numbers)) or transform.is_degenerate:
        raise GridError(
            f"{name} has the transform {_listed(numbers)}, under which its pixels have no size or no finite position: "
            "give it a valid one with gdal_edit.py -a_ullr or .rio.write_transform(...)"
        )


def window_grid(grid: GeoBox, window: Window) -> GeoBox:
    """Return the grid of a window, which may reach beyond the raster's border."""
    return GeoBox(window.shape, grid.affine * grid.affine.translation(window.col, window.row), grid.crs)


def pixel_coordinates(grid: GeoBox, other: GeoBox, x: ArrayLike, y: ArrayLike) -> Coordinates:
    """Transform points from the pixel coordinates of one grid to those of another.

    Args:
        grid: The grid of the points.
        other: The grid to transform to. Longitudes are taken in its range: 181 degrees are -179.
        x: Columns, (n,); the centre of a pixel is at .5.
        y: Rows, (n,).

    Returns:
        Columns and rows, (2, n); not finite where a point lies outside the domain of the other CRS.

    Raises:
        GridError: No transformation between the two CRSs is known.
    """
    other = near(other, grid)
    east, north = _world(grid, np.asarray(x, np.float64), np.asarray(y, np.float64))
    if grid.crs != other.crs:
        if grid.crs is None or other.crs is None:
            raise GridError("a raster without a CRS cannot be located: assign the right one with .rio.write_crs(...)")
        try:
            east, north = grid.crs.transformer_to_crs(other.crs)(east, north)
        except ProjError as error:
            raise GridError(
                f"no transformation from {_crs_name(grid)} to {_crs_name(other)} is known ({_proj_reason(error)}): "
                "warp one of the rasters first"
            ) from error
        if circle := circle_of(other):
            middle, _ = _middle(other)
            with np.errstate(invalid="ignore"):  # points outside the domain are infinite
                east = east - circle * np.round((east - middle) / circle * (1 - SNAP_PX))  # 180 itself is on both sides
    return np.stack(_pixels(other, east, north))


def circle_of(grid: GeoBox) -> float:
    """Return the length of a full circle of longitude in a grid's units; 0 if its CRS is not geographic."""
    if grid.crs is None or not grid.crs.geographic:
        return 0.0
    return 2 * math.pi / float(grid.crs.proj.axis_info[0].unit_conversion_factor)


def near(grid: GeoBox, other: GeoBox, *, datums: bool = False) -> GeoBox:
    """Return a grid in degrees shifted by full circles to the range of the other's longitudes; others unchanged.

    Args:
        grid: The grid to shift.
        other: The grid whose range is taken.
        datums: Whether to shift also if the two have different geographic CRSs.
    """
    circle = circle_of(grid)
    if not circle or not (grid.crs == other.crs or (datums and circle_of(other))):
        return grid
    turns = round((_middle(other)[0] - _middle(grid)[0]) / circle)
    return GeoBox(grid.shape, grid.affine.translation(turns * circle, 0) * grid.affine, grid.crs) if turns else grid


def turned_frame(grid: GeoBox) -> GeoBox | None:
    """Return a grid in degrees that reaches beyond 180 with its centre as the prime meridian; None for others.

    PROJ returns longitudes in -180..180: counted from the centre, none of the grid's lies outside. This is done for
    degrees from Greenwich only, because the datum loses its code, and with it the shifts that PROJ knows by it.
    """
    if circle_of(grid) != 360 or grid.crs is None or max(map(abs, grid.boundingbox.bbox[::2])) <= 180 + SNAP_PX:
        return None
    definition = {
        key: value for key, value in grid.crs.proj.to_json_dict().items() if key not in {"id", "bbox", "scope", "area"}
    }
    ensemble = definition.pop("datum_ensemble", None)
    if ensemble is not None:
        name = str(ensemble["name"]).removesuffix(" ensemble")
        definition["datum"] = {"type": "GeodeticReferenceFrame", "name": name, "ellipsoid": ensemble["ellipsoid"]}
    datum = {key: value for key, value in definition.get("datum", {}).items() if key != "id"}
    if not datum or "prime_meridian" in datum:
        return None
    middle = _middle(grid)[0]
    definition["datum"] = datum | {"prime_meridian": {"name": "the middle", "longitude": middle}}
    crs = CRS(ProjCRS.from_json_dict(definition).to_wkt())
    return GeoBox(grid.shape, grid.affine.translation(-middle, 0) * grid.affine, crs)


def steps_across(grid: GeoBox, other: GeoBox) -> tuple[float, float]:
    """Return the pixels of another grid per pixel of this one, down and across, at the grid's centre.

    For grids that are aligned this is the ratio of their resolutions in metres. Not finite if the centre lies outside
    the domain of the other CRS.
    """
    y, x = grid.shape.y / 2, grid.shape.x / 2
    points = pixel_coordinates(grid, other, [x, x, x - 0.5, x + 0.5], [y - 0.5, y + 0.5, y, y])
    down, across = points[:, 1] - points[:, 0], points[:, 3] - points[:, 2]
    return float(np.hypot(*down)), float(np.hypot(*across))


def nearest_scale(source_grid: GeoBox, guide_grid: GeoBox) -> Scale:
    """Return the integers nearest to the ratio of resolutions at the source's centre, halves rounded up, at least 1.

    Raises:
        GridError: The scale is 1 in both directions, or the centre lies outside the domain of the guide's CRS.
    """
    ratios = steps_across(source_grid, guide_grid)
    if not all(map(math.isfinite, ratios)):
        raise GridError(
            f"the scale cannot be determined: the source's centre lies outside the domain of the guide's CRS, "
            f"{_crs_name(guide_grid)}; give the scale, as in {option('scale', 4)}, or warp the guide first"
        )
    # A half measured through a transform falls short by rounding: it counts as the half that it is.
    y, x = (max(1, math.floor(ratio + 0.5 + SNAP_PX)) for ratio in ratios)
    if max(y, x) < 2:
        raise GridError(
            f"scale under 2: the guide's pixels ({_metres(guide_grid)}) are hardly finer than the source's "
            f"({_metres(source_grid)}); give a finer guide, or the scale, as in {option('scale', 2)}"
        )
    return Scale(y, x).checked


def coverage(source_grid: GeoBox, guide_grid: GeoBox) -> float:
    """Return the share of the source's area within the guide's extent, 0 to 1, measured in source pixels."""
    source, guide = box(0, 0, *source_grid.shape.xy), box(0, 0, *guide_grid.shape.xy)
    # The smaller extent is transformed: the outline of the world in a national CRS is finite, but folded.
    if _ground_area(source_grid) > _ground_area(guide_grid):
        outline = _carried(_ring(*guide_grid.shape.xy), guide_grid, source_grid)
        area = _polygon(outline).intersection(source).area
    else:
        outline = _carried(_ring(*source_grid.shape.xy), source_grid, guide_grid)
        shared = _polygon(outline).intersection(guide)
        parts = [part for part in getattr(shared, "geoms", [shared]) if isinstance(part, Polygon)]
        step = max(*source_grid.shape.xy, *guide_grid.shape.xy) / _POINTS_PER_SIDE
        rings = [np.asarray(part.segmentize(step).exterior.coords) for part in parts if not part.is_empty]
        area = sum(_polygon(_carried(ring, guide_grid, source_grid)).intersection(source).area for ring in rings)
    share = area / source.area
    return 1.0 if share > 1 - SNAP_PX else float(share)


def check_pair(
    source_grid: GeoBox,
    guide_grid: GeoBox,
    min_coverage: float = 0.95,
    of_valid: Callable[[], float | None] = lambda: None,
) -> None:
    """Refuse a guide that does not overlap (GridError) or covers too little of the source (GuideCoverageError).

    Args:
        source_grid: The grid of the source's requested part.
        guide_grid: The guide's grid.
        min_coverage: Least share of the source that the guide must cover, 0 to 1.
        of_valid: Called if the guide covers less of the source's extent: the share of the source's valid pixels that it
            covers, or None if the extents say as much.
    """
    refuse_seam(source_grid, guide_grid)
    share = coverage(source_grid, guide_grid)
    if share == 0:
        raise _no_overlap(source_grid, guide_grid)
    if share >= min_coverage:
        return
    valid_share = of_valid()
    share = share if valid_share is None else valid_share
    if share < min_coverage:
        percent, least = math.floor(share * 1000) / 10, math.floor(share * 100) / 100
        what = "source" if valid_share is None else "source's valid pixels"
        raise GuideCoverageError(
            f"the guide covers {percent:g} % of the {what} (needs {min_coverage * 100:g} %); crop the source with "
            f"{option('bounds')} or .rio.clip_box(...), or pass {option('min_coverage', round(least, 6))}"
        )


def centres_within(grid: GeoBox, other: GeoBox) -> NDArray[np.bool_]:
    """Return True, (h, w), where the centre of a grid's pixel lies within another grid's extent."""
    height, width = grid.shape.yx
    y, x = np.mgrid[:height, :width] + 0.5
    columns, rows = _carried(np.stack([x.ravel(), y.ravel()], axis=1), grid, other).T
    with np.errstate(invalid="ignore"):
        within = (columns >= 0) & (columns <= other.shape.x) & (rows >= 0) & (rows <= other.shape.y)
    return np.asarray(within.reshape(height, width))


def refuse_seam(source_grid: GeoBox, guide_grid: GeoBox, what: str = "guide") -> None:
    """Refuse a source around a pole, or across the edge of a world-wide guide or mask, if that is in degrees."""
    circle = circle_of(guide_grid)
    if not circle or circle_of(source_grid):
        return
    ring = _carried(_ring(*source_grid.shape.xy), source_grid, guide_grid)
    ring = ring[np.isfinite(ring).all(axis=1)]
    if len(ring) < 3:
        return
    across = circle / float(np.hypot(guide_grid.affine.a, guide_grid.affine.d))
    steps = np.diff(ring[:, 0], append=ring[0, 0])
    jumps = np.round(steps / across)
    around = jumps.sum() != 0
    if around or (jumps.any() and guide_grid.shape.x > 0.9 * across):
        where = "lies around a pole" if around else f"crosses the edge of the {what}'s longitudes"
        raise GridError(
            f"the source {where}, where a {what} in degrees ({_crs_name(guide_grid)}) is cut: warp the {what} to the "
            f"source's CRS first with gdalwarp -t_srs, or choose a part that avoids it with {option('bounds')}"
        )


def warn_of_coarse_guide(target_grid: GeoBox, guide_grid: GeoBox) -> None:
    """Warn (GuideWarning) if the guide's pixels are larger than the target's."""
    down, across = steps_across(target_grid, guide_grid)
    if min(down, across) * COARSER < 1:
        warnings.warn(
            f"the guide's pixels ({_metres(guide_grid)}) are larger than the target's ({_metres(target_grid)}): the "
            f"target will hold no detail finer than the guide's; give a finer guide, or a smaller {option('scale')}",
            GuideWarning,
            stacklevel=2,
        )


def like_grid(target_grid: GeoBox, resolution: float | tuple[float, float]) -> GeoBox:
    """Return a grid in the target's CRS that covers the target, with edges on multiples of its resolution.

    Args:
        target_grid: The grid of the target.
        resolution: The size of a pixel, or (down, across), in units of the CRS.

    Raises:
        OptionError: The resolution is not one or two numbers above zero, or is probably in another unit.
    """
    sides = tuple(resolution) if isinstance(resolution, tuple | list) else (resolution, resolution)
    if len(sides) != 2 or not all(math.isfinite(side) and side > 0 for side in sides):
        raise OptionError(
            f"{option('like', resolution)} is not a resolution: give a number above zero, or two (down, "
            "across), in units of the source's CRS"
        )
    down, across = sides
    grid = GeoBox.from_bbox(target_grid.boundingbox, resolution=resxy_(across, -down), tight=False)
    box = target_grid.boundingbox
    largest = LARGEST_LIKE_SIDE * max(box.right - box.left, box.top - box.bottom)
    if grid.shape.y * grid.shape.x > LARGEST_LIKE_PX or max(sides) > largest:
        raise OptionError(
            f"{option('like', resolution)} gives {grid.shape.y} x {grid.shape.x} pixels: write the resolution "
            f"in units of the source's CRS, {_crs_name(target_grid)}"
        )
    return grid


def bounds_window(grid: GeoBox, bounds: tuple[float, float, float, float]) -> Window:
    """Return the window of all pixels that touch the bounds, within the raster.

    Args:
        grid: The grid of the raster.
        bounds: West, south, east, north, in the grid's CRS. In degrees west may be greater than east, as GeoJSON has it
            across the antimeridian, and longitudes may be a full circle away from those of the raster.

    Raises:
        GridError: The bounds are exchanged or not finite, do not intersect the raster, cross the antimeridian where the
            raster does not, or cross the longitude at which a world-wide raster is cut.
    """
    west, south, east, north = bounds
    circle, extent = circle_of(grid), grid.boundingbox
    if not (all(map(math.isfinite, bounds)) and south < north and (west < east or (circle and west > east))):
        raise GridError(f"bounds are finite numbers W,S,E,N with W < E and S < N, not {_listed(bounds)}")
    if west > east and not _crosses(extent.left, extent.right, circle):
        raise GridError(
            f"the bounds {_listed(bounds)} have W > E, so they cross the antimeridian, which the raster at "
            f"{_listed(extent)} does not: give W < E, with longitudes of the raster"
        )
    beyond = circle if west > east else 0.0
    windows = (
        _touched(grid, (west + turn, south, east + beyond + turn, north))
        for turn in ((0.0, -circle, circle) if circle else (0.0,))
    )
    found = sorted((window for window in windows if window.height and window.width), key=lambda window: window.col)
    if not found:
        raise GridError(
            f"the bounds {_listed(bounds)} do not intersect the raster at {_listed(extent)}: "
            f"give W,S,E,N in its CRS, {_crs_name(grid)}"
        )
    whole = found[0]
    for window in found[1:]:
        if window.col > whole.col + whole.width:
            raise GridError(
                f"the bounds {_listed(bounds)} cross the longitude at which the raster at {_listed(extent)} is cut: "
                "run the parts on both sides of it one by one"
            )
        whole = replace(whole, width=max(whole.width, window.col + window.width - whole.col))
    return whole


def _touched(grid: GeoBox, bounds: tuple[float, float, float, float]) -> Window:
    """Return the window of a raster's pixels that touch bounds; empty if there are none."""
    west, south, east, north = bounds
    cols, rows = _pixels(grid, np.array([west, east, east, west]), np.array([south, south, north, north]))
    left, right = math.floor(cols.min() + SNAP_PX), math.ceil(cols.max() - SNAP_PX)
    top, bottom = math.floor(rows.min() + SNAP_PX), math.ceil(rows.max() - SNAP_PX)
    return Window(top, left, bottom - top, right - left).intersection(Window.whole(grid.shape.yx))


def _crosses(west: float, east: float, circle: float) -> bool:
    """Return True if longitudes from west to east contain the antimeridian, not only as their edge."""
    first = circle / 2 + circle * math.floor((west - circle / 2) / circle + 1 + SNAP_PX)
    return first < east - SNAP_PX


def covering_window(grid: GeoBox, other: GeoBox) -> Window:
    """Return the window of whole pixels of a grid, also beyond its border, that covers another grid's extent.

    Raises:
        GridError: A part of the other grid lies outside the domain of this grid's CRS.
    """
    ring = _carried(_ring(*other.shape.xy), other, grid)
    if not np.isfinite(ring).all():
        raise GridError(
            f"a part of the raster at {_listed(other.boundingbox)} ({_crs_name(other)}) lies outside the domain of "
            f"{_crs_name(grid)}: crop the source, or leave out {option('grid', 'guide')}"
        )
    left, top = (math.floor(value + SNAP_PX) for value in ring.min(axis=0))
    right, bottom = (math.ceil(value - SNAP_PX) for value in ring.max(axis=0))
    return Window(top, left, bottom - top, right - left)


def coarsened(grid: GeoBox, scale: Scale, window: Window) -> GeoBox:
    """Return the grid of pixels of scale.y x scale.x that covers a window from its upper left corner."""
    shape = math.ceil(window.height / scale.y), math.ceil(window.width / scale.x)
    corner = grid.affine * grid.affine.translation(window.col, window.row)
    return GeoBox(shape, corner * corner.scale(scale.x, scale.y), grid.crs)


def resolution_m(grid: GeoBox) -> tuple[float, float]:
    """Return the size of the centre pixel in metres, (down, across), on the CRS's ellipsoid."""
    y, x = grid.shape.y / 2, grid.shape.x / 2
    east, north = _world(grid, np.array([x, x, x - 0.5, x + 0.5]), np.array([y - 0.5, y + 0.5, y, y]))
    crs = grid.crs.proj if grid.crs is not None else None
    if crs is None or crs.geodetic_crs is None:
        # An engineering CRS is not on Earth, but it has a unit.
        metres = crs.axis_info[0].unit_conversion_factor if crs is not None and crs.axis_info else 1.0
        return (
            float(np.hypot(east[1] - east[0], north[1] - north[0]) * metres),
            float(np.hypot(east[3] - east[2], north[3] - north[2]) * metres),
        )
    geod = crs.get_geod() or Geod(ellps="WGS84")
    if grid.crs is not None and not crs.is_geographic:
        east, north = grid.crs.transformer_to_crs(crs.geodetic_crs)(east, north)
    _, _, lengths = geod.inv(east[::2], north[::2], east[1::2], north[1::2])
    return float(lengths[0]), float(lengths[1])


def _middle(grid: GeoBox) -> tuple[float, float]:
    x, y = grid.affine * (grid.shape.x / 2, grid.shape.y / 2)
    return float(x), float(y)


def _world(grid: GeoBox, cols: Coordinates, rows: Coordinates) -> tuple[Coordinates, Coordinates]:
    x, y = grid.pix2wld(cols, rows)  # type: ignore[no-untyped-call]
    return x, y


def _pixels(grid: GeoBox, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
    with np.errstate(invalid="ignore"):  # points outside the CRS's domain are infinite
        cols, rows = grid.wld2pix(x, y)  # type: ignore[no-untyped-call]
    return cols, rows


def _ring(width: int, height: int) -> Coordinates:
    ring = box(0, 0, width, height).exterior
    along = np.linspace(0, 1, _POINTS_PER_SIDE)[:-1]
    corners = np.asarray(ring.coords)
    sides = [a + along[:, None] * (b - a) for a, b in pairwise(corners)]
    return np.concatenate(sides)


def _ground_area(grid: GeoBox) -> float:
    down, across = resolution_m(grid)
    return down * across * grid.shape.y * grid.shape.x


def _carried(points: Coordinates, grid: GeoBox, other: GeoBox) -> Coordinates:
    return pixel_coordinates(grid, other, points[:, 0], points[:, 1]).T


def _polygon(points: Coordinates) -> Polygon:
    """Return a polygon of the finite points; a buffer of 0 repairs a ring that touches itself."""
    points = points[np.isfinite(points).all(axis=1)]
    return Polygon(points).buffer(0) if len(points) > 2 else Polygon()


def _no_overlap(source_grid: GeoBox, guide_grid: GeoBox) -> GridError:
    ring = _carried(_ring(*guide_grid.shape.xy), guide_grid, source_grid)
    ring = ring[np.isfinite(ring).all(axis=1)]
    if len(ring):
        east, north = _world(source_grid, ring[:, 0], ring[:, 1])
        guide = _listed((east.min(), north.min(), east.max(), north.max()))
    else:
        guide = f"{_listed(guide_grid.boundingbox)} in {_crs_name(guide_grid)}, outside the domain of the source's CRS"
    return GridError(
        f"the guide does not overlap the source: the source lies at {_listed(source_grid.boundingbox)} (W,S,E,N in "
        f"{_crs_name(source_grid)}), the guide at {guide}; give a guide of the same area, or correct the CRS"
    )


def _crs_name(grid: GeoBox) -> str:
    if grid.crs is None:
        return "no CRS"
    epsg = grid.crs.epsg
    return f"EPSG:{epsg}" if epsg else f"{grid.crs.proj.name}"


def _proj_reason(error: ProjError) -> str:
    """Return PROJ's reason without the names of its functions and its notes for programmers."""
    reason = str(error).rpartition("Internal Proj Error: ")[2].removeprefix("proj_create_operations: ")
    return reason.partition(". ")[0] if ". " in reason else reason.removesuffix(")")


def _metres(grid: GeoBox) -> str:
    y, x = resolution_m(grid)
    return f"{y:.4g} m" if math.isclose(y, x, rel_tol=1e-3) else f"{y:.4g} x {x:.4g} m"


def _listed(bounds: Iterable[float]) -> str:
    return ",".join(f"{value:.10g}" for value in bounds)
