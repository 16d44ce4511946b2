"""Georeferenced grids: the target's, the scale between two, what they share; knows CRSs, no pixels and no files."""

from __future__ import annotations

import math
import warnings
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
    from collections.abc import Iterable

    from affine import Affine
    from numpy.typing import ArrayLike, NDArray

    Coordinates = NDArray[np.float64]

COARSER = 1.05
"""Guide pixels to a target pixel, below the inverse of which the guide is told to be coarser."""
LARGEST_LIKE_PX = 10**11
"""A grid of more pixels is a mistake in the unit, metres for degrees."""
LARGEST_LIKE_SIDE = 1000
"""Times the target's own sides: so large a pixel is such a mistake too, and its place is lost in rounding."""
SNAP_PX = 1e-6
"""Nearer than this to a pixel's edge is on the edge: what a round trip through a file's text leaves."""
_POINTS_PER_SIDE = 65


def refined(grid: GeoBox, scale: Scale) -> GeoBox:
    """Return the target grid: each pixel cut into scale.y x scale.x; CRS, origin, rotation and orientation stay."""
    return grid.zoom_to((grid.shape.y * scale.y, grid.shape.x * scale.x))


def check_transform(transform: Affine, name: str) -> None:
    """Refuse a transform by which pixels have no size or no place (GridError)."""
    numbers = transform[:6]
    if not all(map(math.isfinite, numbers)) or transform.is_degenerate:
        msg = (
            f"{name} has the transform {_listed(numbers)}, by which its pixels have no size or no place: give it a "
            "real one, as gdal_edit.py -a_ullr or .rio.write_transform(...) does"
        )
        raise GridError(msg)


def window_grid(grid: GeoBox, window: Window) -> GeoBox:
    """Return the grid of a window; it may reach beyond the raster's border."""
    return GeoBox(window.shape, grid.affine * grid.affine.translation(window.col, window.row), grid.crs)


def pixel_coordinates(grid: GeoBox, other: GeoBox, x: ArrayLike, y: ArrayLike) -> Coordinates:
    """Carry points from one grid's pixel coordinates (column, row; a pixel's centre at .5) to the other's.

    x, y: (n,). Returns (2, n); not finite where a point has no place in the other's CRS. A place's longitude is taken
    where the other's are: 181 degrees are -179. Raises GridError where no transformation between the two CRSs is known.
    """
    other = near(other, grid)
    east, north = _world(grid, np.asarray(x, np.float64), np.asarray(y, np.float64))
    if grid.crs != other.crs:
        if grid.crs is None or other.crs is None:
            msg = "a raster without a CRS cannot be placed: assign the one it is in, as .rio.write_crs(...) does"
            raise GridError(msg)
        try:
            east, north = grid.crs.transformer_to_crs(other.crs)(east, north)
        except ProjError as error:
            between = f"no way from {_crs_name(grid)} to {_crs_name(other)} is known"
            msg = f"{between} ({_proj_reason(error)}): warp one raster first"
            raise GridError(msg) from error
        if circle := circle_of(other):
            middle, _ = _middle(other)
            with np.errstate(invalid="ignore"):  # points without a place are infinite
                east = east - circle * np.round((east - middle) / circle * (1 - SNAP_PX))  # 180 itself is on both sides
    return np.stack(_pixels(other, east, north))


def circle_of(grid: GeoBox) -> float:
    """Return what a full circle of longitude measures in a grid's coordinates; 0 where they are no angles."""
    if grid.crs is None or not grid.crs.geographic:
        return 0.0
    return 2 * math.pi / float(grid.crs.proj.axis_info[0].unit_conversion_factor)


def near(grid: GeoBox, other: GeoBox, *, datums: bool = False) -> GeoBox:
    """Return a grid in degrees turned by whole circles to where the other's longitudes are; any other as it is.

    datums: whether also where the two are degrees of different CRSs.
    """
    circle = circle_of(grid)
    if not circle or not (grid.crs == other.crs or (datums and circle_of(other))):
        return grid
    turns = round((_middle(other)[0] - _middle(grid)[0]) / circle)
    return GeoBox(grid.shape, grid.affine.translation(turns * circle, 0) * grid.affine, grid.crs) if turns else grid


def turned_frame(grid: GeoBox) -> GeoBox | None:
    """Return a grid in degrees that reaches beyond 180 with its own middle as the prime meridian; None for others.

    Longitudes that PROJ finds lie in -180..180: counted from there, none of the grid's lies beyond. Degrees from
    Greenwich alone: the datum loses its code, and with it shifts that PROJ knows by it.
    """
    if (
        circle_of(grid) != 360
        or grid.crs is None
        or max(abs(each) for each in grid.boundingbox.bbox[::2]) <= 180 + SNAP_PX
    ):
        return None
    told = {
        key: value for key, value in grid.crs.proj.to_json_dict().items() if key not in {"id", "bbox", "scope", "area"}
    }
    ensemble = told.pop("datum_ensemble", None)
    if ensemble is not None:
        name = str(ensemble["name"]).removesuffix(" ensemble")
        told["datum"] = {"type": "GeodeticReferenceFrame", "name": name, "ellipsoid": ensemble["ellipsoid"]}
    datum = {key: value for key, value in told.get("datum", {}).items() if key != "id"}
    if not datum or "prime_meridian" in datum:
        return None
    middle = _middle(grid)[0]
    told["datum"] = datum | {"prime_meridian": {"name": "the middle", "longitude": middle}}
    crs = CRS(ProjCRS.from_json_dict(told).to_wkt())
    return GeoBox(grid.shape, grid.affine.translation(-middle, 0) * grid.affine, crs)


def steps_across(grid: GeoBox, other: GeoBox) -> tuple[float, float]:
    """How many of the other's pixels one pixel's step down and one across cross, at the grid's centre.

    For grids aligned to each other this is the ratio of their resolutions in metres. Not finite where the centre has no
    place in the other's CRS.
    """
    y, x = grid.shape.y / 2, grid.shape.x / 2
    points = pixel_coordinates(grid, other, [x, x, x - 0.5, x + 0.5], [y - 0.5, y + 0.5, y, y])
    down, across = points[:, 1] - points[:, 0], points[:, 3] - points[:, 2]
    return float(np.hypot(*down)), float(np.hypot(*across))


def nearest_scale(source_grid: GeoBox, guide_grid: GeoBox) -> Scale:
    """Return the whole numbers nearest to the ratio of resolutions at the source's centre, halves up, 1 at least.

    Raises GridError where that refines in no direction.
    """
    ratios = steps_across(source_grid, guide_grid)
    if not all(map(math.isfinite, ratios)):
        msg = (
            f"the scale cannot be told: the source's centre has no place in the guide's CRS, {_crs_name(guide_grid)}; "
            f"give it yourself, as in {option('scale', 4)}, or warp the guide first"
        )
        raise GridError(msg)
    # A half measured through a transform falls short by rounding: it counts as the half that it is.
    y, x = (max(1, math.floor(ratio + 0.5 + SNAP_PX)) for ratio in ratios)
    if max(y, x) < 2:
        msg = (
            f"scale under 2: the guide's pixels ({_metres(guide_grid)}) are hardly finer than the source's "
            f"({_metres(source_grid)}); give a finer guide, or the scale yourself, as in {option('scale', 2)}"
        )
        raise GridError(msg)
    return Scale(y, x)


def coverage(source_grid: GeoBox, guide_grid: GeoBox) -> float:
    """Return the share (0 to 1) of the source's area that lies within the guide's extent, measured in source pixels."""
    source, guide = box(0, 0, *source_grid.shape.xy), box(0, 0, *guide_grid.shape.xy)
    # The smaller extent is carried to the larger: a world's outline in a country's CRS is finite, but folded.
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


def check_pair(source_grid: GeoBox, guide_grid: GeoBox, min_coverage: float = 0.95) -> None:
    """Refuse a guide that lies elsewhere (GridError) or covers too little of the source (GuideCoverageError)."""
    refuse_seam(source_grid, guide_grid)
    share = coverage(source_grid, guide_grid)
    if share == 0:
        raise _no_overlap(source_grid, guide_grid)
    if share < min_coverage:
        percent, least = math.floor(share * 1000) / 10, math.floor(share * 100) / 100
        msg = (
            f"the guide covers {percent:g} % of the source (needs {min_coverage * 100:g} %); crop the source with "
            f"--bounds W,S,E,N or .rio.clip_box(...), or pass {option('min_coverage', round(least, 6))}"
        )
        raise GuideCoverageError(msg)


def refuse_seam(source_grid: GeoBox, guide_grid: GeoBox, what: str = "guide") -> None:
    """Refuse a source around a pole, or across the edge of a world-wide guide or mask, where that is in degrees."""
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
        msg = (
            f"the source {where}, and a {what} in degrees ({_crs_name(guide_grid)}) is cut there: bring the {what} "
            f"into the source's CRS first, as gdalwarp -t_srs does, or give a part beside it with {option('bounds')}"
        )
        raise GridError(msg)


def warn_of_coarse_guide(target_grid: GeoBox, guide_grid: GeoBox) -> None:
    """Say that a guide's pixels are larger than the target's: it can be used, but shows nothing that small."""
    down, across = steps_across(target_grid, guide_grid)
    if min(down, across) * COARSER < 1:
        warnings.warn(
            f"the guide's pixels ({_metres(guide_grid)}) are larger than the target's ({_metres(target_grid)}): the "
            f"target will hold no detail finer than the guide's; give a finer guide, or a smaller {option('scale')}",
            GuideWarning,
            stacklevel=2,
        )


def like_grid(target_grid: GeoBox, resolution: float | tuple[float, float]) -> GeoBox:
    """Return a grid in the target's CRS with pixels of a resolution (across, or down and across; the CRS's units).

    Its edges lie on multiples of the resolution and it covers the target. Raises OptionError for what is no resolution.
    """
    sides = tuple(resolution) if isinstance(resolution, tuple | list) else (resolution, resolution)
    if len(sides) != 2 or not all(math.isfinite(side) and side > 0 for side in sides):
        raise OptionError(
            f"{option('like')} {resolution} is no resolution: give a number above zero, or two (down, across), in "
            f"units "
            "of the source's CRS"
        )
    down, across = sides
    grid = GeoBox.from_bbox(target_grid.boundingbox, resolution=resxy_(across, -down), tight=False)
    box = target_grid.boundingbox
    largest = LARGEST_LIKE_SIDE * max(box.right - box.left, box.top - box.bottom)
    if grid.shape.y * grid.shape.x > LARGEST_LIKE_PX or max(sides) > largest:
        raise OptionError(
            f"{option('like')} {resolution} makes {grid.shape.y} x {grid.shape.x} pixels: a resolution is in units of "
            f"the source's CRS, {_crs_name(target_grid)}"
        )
    return grid


def bounds_window(grid: GeoBox, bounds: tuple[float, float, float, float]) -> Window:
    """Return the whole pixels that touch the bounds (west, south, east, north; in the grid's CRS), cut at the border.

    Raises GridError for bounds the wrong way round or beside the raster.
    """
    west, south, east, north = bounds
    if not (west < east and south < north and all(map(math.isfinite, bounds))):
        msg = f"bounds are finite numbers W,S,E,N with W < E and S < N, not {_listed(bounds)}"
        raise GridError(msg)
    cols, rows = _pixels(grid, np.array([west, east, east, west]), np.array([south, south, north, north]))
    left, right = math.floor(cols.min() + SNAP_PX), math.ceil(cols.max() - SNAP_PX)
    top, bottom = math.floor(rows.min() + SNAP_PX), math.ceil(rows.max() - SNAP_PX)
    window = Window(top, left, bottom - top, right - left).intersection(Window.whole(grid.shape.yx))
    if not (window.height and window.width):
        msg = (
            f"the bounds {_listed(bounds)} do not meet the raster at {_listed(grid.boundingbox)}: "
            f"give W,S,E,N in its CRS, {_crs_name(grid)}"
        )
        raise GridError(msg)
    return window


def covering_window(grid: GeoBox, other: GeoBox) -> Window:
    """Return the whole pixels of a grid, beyond its border too, that cover the other's extent.

    Raises GridError where a part of the other has no place in the grid's CRS.
    """
    ring = _carried(_ring(*other.shape.xy), other, grid)
    if not np.isfinite(ring).all():
        msg = (
            f"a part of the raster at {_listed(other.boundingbox)} ({_crs_name(other)}) has no place in "
            f"{_crs_name(grid)}: crop the source, or leave out {option('grid', 'guide')}"
        )
        raise GridError(msg)
    left, top = (math.floor(value + SNAP_PX) for value in ring.min(axis=0))
    right, bottom = (math.ceil(value - SNAP_PX) for value in ring.max(axis=0))
    return Window(top, left, bottom - top, right - left)


def coarsened(grid: GeoBox, scale: Scale, window: Window) -> GeoBox:
    """Return the grid of pixels of scale.y x scale.x, from the window's corner on, that cover the window."""
    shape = -(-window.height // scale.y), -(-window.width // scale.x)
    corner = grid.affine * grid.affine.translation(window.col, window.row)
    return GeoBox(shape, corner * corner.scale(scale.x, scale.y), grid.crs)


def resolution_m(grid: GeoBox) -> tuple[float, float]:
    """Return the metres a pixel spans at the centre, (down, across), on the CRS's ellipsoid; for display."""
    y, x = grid.shape.y / 2, grid.shape.x / 2
    east, north = _world(grid, np.array([x, x, x - 0.5, x + 0.5]), np.array([y - 0.5, y + 0.5, y, y]))
    crs = grid.crs.proj if grid.crs is not None else None
    if crs is None or crs.geodetic_crs is None:
        # An engineering CRS has no place on Earth, but it has a unit.
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
    with np.errstate(invalid="ignore"):  # points outside a CRS's domain are infinite
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
    """A polygon of the points that have a place; buffering by nothing mends a ring that touches itself."""
    points = points[np.isfinite(points).all(axis=1)]
    return Polygon(points).buffer(0) if len(points) > 2 else Polygon()


def _no_overlap(source_grid: GeoBox, guide_grid: GeoBox) -> GridError:
    ring = _carried(_ring(*guide_grid.shape.xy), guide_grid, source_grid)
    ring = ring[np.isfinite(ring).all(axis=1)]
    if len(ring):
        east, north = _world(source_grid, ring[:, 0], ring[:, 1])
        guide = _listed((east.min(), north.min(), east.max(), north.max()))
    else:
        guide = f"{_listed(guide_grid.boundingbox)} of its own CRS, {_crs_name(guide_grid)}, outside the source's"
    return GridError(
        f"the guide does not overlap the source: the source lies at {_listed(source_grid.boundingbox)} (W,S,E,N in "
        f"{_crs_name(source_grid)}), the guide at {guide}; give a guide of the same place, or mend a wrong CRS"
    )


def _crs_name(grid: GeoBox) -> str:
    if grid.crs is None:
        return "no CRS"
    epsg = grid.crs.epsg
    return f"EPSG:{epsg}" if epsg else f"{grid.crs.proj.name}"


def _proj_reason(error: ProjError) -> str:
    """PROJ's words, without the names of its functions and what it adds for programmers."""
    words = str(error).rpartition("Internal Proj Error: ")[2].removeprefix("proj_create_operations: ")
    return words.partition(". ")[0] if ". " in words else words.removesuffix(")")


def _metres(grid: GeoBox) -> str:
    y, x = resolution_m(grid)
    return f"{y:.4g} m" if math.isclose(y, x, rel_tol=1e-3) else f"{y:.4g} x {x:.4g} m"


def _listed(bounds: Iterable[float]) -> str:
    return ",".join(f"{value:.10g}" for value in bounds)
