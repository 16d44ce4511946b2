"""Bands derived from a guide's on the target grid: normalised differences, slope and aspect, expressions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Geod

from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Halo, Window
from mmsr_geo.raster.base import BandTags, Combine, Pixels, Raster, ReadPlan
from mmsr_geo.raster.read.band_names import listed, place_of, positions_called, split_candidates
from mmsr_geo.raster.read.units import METRES
from mmsr_geo.raster.views.base import RasterView
from mmsr_geo.raster.views.expressions import EXAMPLE, BandExpression
from mmsr_geo.raster.views.stack import Stacked, band_choices
from mmsr_geo.spelling import option

NORMALISED_DIFFERENCES = {
    "ndvi": ("nir", "red"),
    "gndvi": ("nir", "green"),
    "ndre": ("nir", "rededge"),
    "ndwi": ("green", "nir"),
    "mndwi": ("green", "swir"),
    "ndmi": ("nir", "swir"),
    "ndbi": ("swir", "nir"),
    "nbr": ("nir", "swir2"),
    "ndsi": ("green", "swir"),
}
"""Indices (a - b) / (a + b) of bands a and b. NDVI Rouse et al. 1974; GNDVI Gitelson et al. 1996; NDRE Gitelson and
Merzlyak 1994; NDWI (open water) McFeeters 1996; MNDWI Xu 2006; NDMI Wilson and Sader 2002, which Gao 1996 calls
NDWI; NDBI Zha et al. 2003; NBR Lopez Garcia and Caselles 1991, Key and Benson 2006; NDSI (snow) Hall et al. 1995."""
_TERRAIN = {"slope": ("slope",), "aspect": ("northness", "eastness")}
"""Derivations from an elevation, and the names of their bands."""
_ROLES = {**NORMALISED_DIFFERENCES, **dict.fromkeys(_TERRAIN, ("dem",))}
_FLAT = 0.001
"""Gradient (rise over run) below which northness and eastness go to 0, so that rounding gives no direction."""
_NEIGHBOURS = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if row or col]


@dataclass(frozen=True, slots=True)
class Derivation:
    """A known derivation and the bands that it uses, before they are looked up in a guide."""

    kind: str
    """Name of the derivation: a normalised difference, slope or aspect."""
    given: tuple[tuple[str, str], ...] = ()
    """(role, band) as given; a role that is not given is the band of its name, or the only band of the guide."""

    def __post_init__(self) -> None:
        """Refuse an unknown derivation, and a role that it does not have."""
        if self.kind not in _ROLES:
            raise OptionError(
                f"there is no derivation {self.kind!r}: there are {', '.join(_ROLES)}, and expressions, as in "
                f"{option('derive', EXAMPLE)}"
            )
        roles = _ROLES[self.kind]
        names = [role for role, _ in self.given]
        if wrong := [name for name in names if name not in roles or names.count(name) > 1]:
            takes = " and ".join(roles)
            raise OptionError(
                f"{option('derive', str(self))}: {self.kind} takes {takes}, each once, not {wrong[0]}; "
                f"{self._example()}"
            )

    @classmethod
    def parse(cls, text: str) -> Derivation:
        """Read "ndvi:nir=4,red=3", "slope:dem=1", "slope:1" or "slope"; a band is a number, a name or FILE:BAND.

        Raises:
            OptionError: The derivation is not known, or does not have such a role.
        """
        kind, _, rest = text.partition(":")
        kind, rest = kind.strip().lower(), rest.strip()
        if not rest:
            return cls(kind)
        if "=" not in rest and len(_ROLES.get(kind, ())) == 1:
            return cls(kind, ((_ROLES[kind][0], rest),))
        before, *parts = re.split(r"(?:^|,)\s*([A-Za-z]\w*)\s*=", rest)
        if before or not parts:
            example = f"; {cls(kind)._example()}"  # noqa: SLF001  (of the same class)
            raise OptionError(f"{option('derive', text)} does not say which band is which{example}")
        return cls(
            kind, tuple((role.lower(), band.strip()) for role, band in zip(parts[::2], parts[1::2], strict=True))
        )

    @property
    def bands(self) -> tuple[str, ...]:
        """The names of the new bands: one, or two for an aspect."""
        return _TERRAIN.get(self.kind, (self.kind,))

    @property
    def units(self) -> tuple[str | None, ...]:
        """The units of the new bands; None for numbers without one."""
        return tuple("degree" if band == "slope" else None for band in self.bands)

    @property
    def halo_px(self) -> int:
        """Pixels around a window that it needs."""
        return 1 if self.kind in _TERRAIN else 0

    def places(self, rasters: Sequence[Raster]) -> tuple[int, ...]:
        """Return the positions of its bands among all bands of the rasters, from 0, in the order of its roles.

        A number is the band's own where there is one raster, and counts through all bands where there are several.

        Raises:
            OptionError: A band does not exist; the message lists those there are.
        """
        bands, numbers = band_choices(rasters)
        given, places = dict(self.given), []
        for role in _ROLES[self.kind]:
            band = given.get(role, role)
            place = _place_in_file(band, rasters) if ":" in band else None
            if place is None:
                place = place_of(band, bands, numbers)
            if place is None and role not in given and role == "dem" and len(bands) == 1:
                place = 0
            if place is None:
                raise OptionError(
                    f"{option('derive', str(self))}: no band of the guide is called {band}; there are "
                    f"{listed(bands, numbers)}: "
                    f"{self._example()}"
                )
            places.append(place)
        return tuple(places)

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return ":".join([self.kind, ",".join(f"{role}={band}" for role, band in self.given)]).rstrip(":")

    def _example(self) -> str:
        roles = _ROLES[self.kind]
        bands = ",".join(f"{role}={number}" for role, number in zip(roles, (4, 3) if roles[1:] else (1,), strict=True))
        return f"write {option('derive', f'{self.kind}:{bands}')}"


def parse_derivation(text: str) -> Derivation | BandExpression:
    """Read one value of the option derive: an expression such as "evi=2.5*(nir-red)/(nir+1)", or a known derivation.

    Raises:
        OptionError: The text is neither, or an expression uses something that is not allowed.
    """
    name, equals, _ = text.partition("=")
    return BandExpression.parse(text) if equals and ":" not in name else Derivation.parse(text)


@dataclass(frozen=True)
class Derived(RasterView):
    """A raster's bands and bands derived from them on its grid; each window equals the same part of the whole.

    Scale and offset of the bands are applied within a derivation: an index is one of reflectances, a slope of heights.

    A normalised difference is clipped to -1..1, which values below zero exceed. It is 0 where the sum of its bands is
    not positive, so that dark pixels do not become nodata.

    The slope is in degrees, of the plane of Horn 1981 through a pixel's eight neighbours (weights 1, 2, 1), on ground
    distances at the grid's centre. Heights are in metres unless the band's unit is feet or another known one. Next to
    nodata and at the border the plane is fitted to the valid neighbours, by least squares with the same weights: no
    pixel is lost. The aspect is the direction that a slope faces, as northness (its cosine) and eastness (its sine)
    from true north at the grid's centre. Both go to 0 where the ground is flat (a gradient below 0.001).
    """

    raster: Raster
    derivations: tuple[Derivation | BandExpression, ...]

    def __post_init__(self) -> None:
        """Refuse bands that do not exist (OptionError)."""
        _ = self._works

    @property
    def grid(self) -> GeoBox:
        """The raster's grid."""
        return self.raster.grid

    @property
    def bands(self) -> tuple[str, ...]:
        """The raster's bands, then ndvi, slope, ...; with the whole derivation if two bands have the same name."""
        all_names = [*self.raster.bands, *(name for derivation in self.derivations for name in derivation.bands)]
        derived = (
            name if all_names.count(name) == 1 else f"{name} ({derivation})"
            for derivation in self.derivations
            for name in derivation.bands
        )
        return (*self.raster.bands, *derived)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the raster's bands, and the following numbers for the new bands."""
        numbers = self.raster.numbers
        return (*numbers, *range(max(numbers) + 1, max(numbers) + 1 + len(self.bands) - len(numbers)))

    @property
    def band_tags(self) -> tuple[BandTags, ...]:
        """The metadata of each band."""
        units = [unit for derivation in self.derivations for unit in derivation.units]
        names = self.bands[len(self.raster.bands) :]
        derived = (BandTags(name, unit) for name, unit in zip(names, units, strict=True))
        return (*self.raster.band_tags, *derived)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that holds the values of all bands."""
        return np.result_type(self.raster.dtype, np.float32)

    def read_plan(self, window: Window) -> ReadPlan:
        """Return the reads that a window needs, with one pixel around it if there is a slope or an aspect."""
        halo = max((derivation.halo_px for derivation in self.derivations), default=0)
        around = window.padded(Halo(halo, halo), Window.whole(self.grid.shape.yx))
        under = self.raster.read_plan(around)
        return ReadPlan(under.reads, _Derive(under.combine, self._works, window.relative_to(around)))

    @cached_property
    def _works(self) -> tuple[_Work, ...]:
        rasters = self.raster.rasters if isinstance(self.raster, Stacked) else (self.raster,)
        tags = self.raster.band_tags
        works: list[_Work] = []
        for derivation in self.derivations:
            terms = tuple(_Term(place, tags[place].scale, tags[place].offset) for place in derivation.places(rasters))
            if isinstance(derivation, BandExpression):
                works.append(_Formula(derivation, terms))
            elif derivation.kind in _TERRAIN:
                # Other units and none are taken for metres.
                metres = METRES.get((tags[terms[0].band].unit or "").strip().lower(), 1.0)
                works.append(_Terrain(derivation.kind, terms[0], metres, _gradient_of_steps(self.grid)))
            else:
                works.append(_Difference(*terms))
        return tuple(works)


@dataclass(frozen=True, slots=True)
class _Term:
    band: int
    """Position of the band, from 0."""
    scale: float
    offset: float

    def of(self, pixels: Pixels) -> NDArray[np.float64]:
        return np.asarray(pixels.values[self.band].astype(np.float64) * self.scale + self.offset)


@dataclass(frozen=True, slots=True)
class _Difference:
    a: _Term
    b: _Term

    def __call__(self, pixels: Pixels) -> NDArray[np.float64]:
        return normalised_difference(self.a.of(pixels), self.b.of(pixels))[None]


@dataclass(frozen=True, slots=True)
class _Terrain:
    kind: str
    height: _Term
    metres: float
    gradient_of_steps: tuple[float, float, float, float]

    def __call__(self, pixels: Pixels) -> NDArray[np.float64]:
        across, down = steps_of_plane(self.height.of(pixels) * self.metres, pixels.valid)
        a, b, c, d = self.gradient_of_steps
        east, north = a * across + b * down, c * across + d * down
        length = np.hypot(east, north)
        if self.kind == "slope":
            return np.asarray(np.degrees(np.arctan(length)), np.float64)[np.newaxis]
        facing: NDArray[np.float64] = -np.stack([north, east]) / np.maximum(length, _FLAT)
        return facing


@dataclass(frozen=True, slots=True)
class _Formula:
    expression: BandExpression
    terms: tuple[_Term, ...]

    def __call__(self, pixels: Pixels) -> NDArray[np.float32]:
        return self.expression.evaluate([term.of(pixels).astype(np.float32) for term in self.terms])[np.newaxis]


_Work: TypeAlias = _Difference | _Terrain | _Formula


@dataclass(frozen=True, slots=True)
class _Derive:
    under: Combine
    works: tuple[_Work, ...]
    place: Window
    """The part of the pixels read that the window covers."""

    def __call__(self, parts: Sequence[Pixels]) -> Pixels:
        pixels = self.under(parts)
        values = [pixels.values, *(work(pixels).astype(np.float32) for work in self.works)]
        return Pixels.masked(np.concatenate([part[:, *self.place.slices] for part in values]))


def normalised_difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (a - b) / (a + b), clipped to -1..1; 0 where a + b is not positive, NaN where a or b is NaN."""
    total = a + b
    dark = total <= 0
    ratio = np.where(dark, 0, a - b) / np.where(dark, 1, total)
    return np.clip(ratio, -1, 1)


def steps_of_plane(
    heights: NDArray[np.float64], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rise per pixel across and per pixel down of a plane through each pixel and its neighbours.

    The plane is fitted to the valid neighbours by least squares, with weight 2 for those at a side and 1 at a corner.
    With all eight neighbours this is the method of Horn 1981.

    Args:
        heights: (h, w).
        valid: (h, w), True where a height is valid.

    Returns:
        Two arrays (h, w); 0 in a direction without valid neighbours, NaN where the pixel itself is not valid.
    """
    height, width = heights.shape
    padded = np.pad(heights, 1, constant_values=np.nan)
    known = np.pad(valid, 1)
    xx, xy, yy, x, y = (np.zeros(heights.shape) for _ in range(5))
    for row, col in _NEIGHBOURS:
        part = slice(1 + row, 1 + row + height), slice(1 + col, 1 + col + width)
        weight = (1.0 if row and col else 2.0) * known[part]
        rise = np.where(known[part], padded[part] - heights, 0)
        xx += weight * col * col
        xy += weight * col * row
        yy += weight * row * row
        x += weight * col * rise
        y += weight * row * rise
    determinant = xx * yy - xy * xy  # of whole numbers: 0 is 0
    line = determinant == 0
    divisor = np.where(line, np.maximum(xx + yy, 1), determinant)
    across = np.where(line, x, yy * x - xy * y) / divisor
    down = np.where(line, y, xx * y - xy * x) / divisor
    return np.where(valid, across, np.nan), np.where(valid, down, np.nan)


def ground_steps_m(grid: GeoBox) -> NDArray[np.float64]:
    """Return the length on the ground of a step of one pixel at the grid's centre, in metres.

    Returns:
        (2, 2): rows are east and true north, columns are a step across and a step down.
    """
    y, x = grid.shape.y / 2, grid.shape.x / 2
    # A step across, then one down.
    cols, rows = np.array([x - 0.5, x + 0.5, x, x]), np.array([y, y, y - 0.5, y + 0.5])
    east, north = grid.pix2wld(cols, rows)  # type: ignore[no-untyped-call]
    crs = grid.crs.proj if grid.crs is not None else None
    if grid.crs is None or crs is None or crs.geodetic_crs is None:
        metres = crs.axis_info[0].unit_conversion_factor if crs is not None and crs.axis_info else 1.0
        return np.stack([east[1::2] - east[::2], north[1::2] - north[::2]]) * metres
    if not crs.is_geographic:
        east, north = grid.crs.transformer_to_crs(crs.geodetic_crs)(east, north)
    azimuths, _, lengths = (crs.get_geod() or Geod(ellps="WGS84")).inv(east[::2], north[::2], east[1::2], north[1::2])
    steps: NDArray[np.float64] = np.stack([np.sin(np.radians(azimuths)), np.cos(np.radians(azimuths))]) * lengths
    return steps


def _gradient_of_steps(grid: GeoBox) -> tuple[float, float, float, float]:
    """Return the matrix from (rise per pixel across, down) to (rise per metre east, north), row by row."""
    a, b, c, d = np.linalg.inv(ground_steps_m(grid).T).ravel().tolist()
    return a, b, c, d


def _place_in_file(band: str, rasters: Sequence[Raster]) -> int | None:
    """Return the position of FILE:BAND among all bands; None if no raster, or several, are called FILE or have BAND."""
    for called, name in split_candidates(band):
        matches = positions_called(called, [raster.name for raster in rasters])
        if len(matches) == 1:
            raster = rasters[matches[0]]
            place = place_of(name, raster.bands, raster.numbers)
            return None if place is None else sum(len(before.bands) for before in rasters[: matches[0]]) + place
    return None
