"""The pairs of pairs.py: which rasters, of which kind and place, at which scale, and to which half each belongs.

A half is a property of the place: no place is in both, and each kind of at least two places is in both. Images of
canopy heights and of depth count as places. The halves were assigned before any method was run on the pairs. A pair
whose pixels change gets another name, because stored runs are found by the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from cases import Case
from pair_readers import (
    Reader,
    dangermond,
    fortbragg_by_land_cover,
    fortbragg_of_two_dates,
    judged_by_b08,
    known,
    modis_by_aster,
    saomiguel_by_land_cover,
    sentinel_20m,
    stacked,
    swellendam,
    warped,
)

from mmsr_geo.geometry import Scale, Window

Kind = Literal[
    "temperature", "bare-earth DEM", "surface model", "reflectance", "canopy height", "lights and population", "depth"
]
Half = Literal["choosing", "reserved"]

LARGEST_PX = 512
"""Most target pixels along a side."""
CHOOSING = frozenset(
    {
        *("virginia", "romania", "austria"),
        *("pennsylvania", "zhangye", "pyrenees", "po"),
        *("fort bragg", "rocky mountains"),
        "autzen",
        *("canopy 0", "canopy 1"),
        "puerto rico",
        *("depth 1", "depth 3", "depth 5"),
    }
)
"""Places of the half that methods and constants are chosen on; all others are reserved."""


@dataclass(frozen=True, slots=True, eq=False)
class PairOfKind:
    """A pair of the benchmark, as a plan: nothing is read."""

    name: str
    kind: Kind
    place: str
    scale: int
    reader: Reader
    crop: Window | None = None
    """Part of the truth, in its pixels; None: all of it. Sides are cut to whole multiples of the scale."""
    core: bool = False
    """True for the pairs of --core."""
    two_sensor: bool = False
    """True if the truth is another sensor's (or another date's), and not what the source was averaged from."""

    def __post_init__(self) -> None:
        """Refuse an unknown kind, and a crop larger than LARGEST_PX or off the source's grid (ValueError)."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"{self.name} is of the kind {self.kind!r}: choose one of {', '.join(get_args(Kind))}")
        if self.crop is not None and (
            max(self.crop.shape) > LARGEST_PX
            or any(at % self.scale for at in (self.crop.row, self.crop.col, *self.crop.shape))
        ):
            raise ValueError(
                f"{self.name}: the crop {self.crop} must have at most {LARGEST_PX} pixels along a side, and its "
                f"numbers must be multiples of the scale, {self.scale}"
            )

    @property
    def half(self) -> Half:
        """Half of the benchmark that the place belongs to."""
        return "choosing" if self.place in CHOOSING else "reserved"

    def read(self, data: Path) -> Case:
        """Read the pair from the folder of the data sets.

        Raises:
            ValueError: The pair is larger than LARGEST_PX.
        """
        rasters, step = self.reader(data), self.scale
        crop = self.crop or Window(0, 0, *(side // step * step for side in rasters.truth.shape))
        if max(crop.shape) > LARGEST_PX:
            raise ValueError(f"{self.name} has {crop.shape} pixels: crop it to {LARGEST_PX} x {LARGEST_PX}")
        truth, guide = rasters.truth[crop.slices], rasters.guide[:, *crop.slices]
        if truth.shape != crop.shape or guide.shape[1:] != crop.shape:
            raise ValueError(f"{self.name}: the crop {crop} does not lie within {rasters.truth.shape} pixels")
        coarse = Window(crop.row // step, crop.col // step, crop.height // step, crop.width // step)
        source = None if rasters.source is None else rasters.source[coarse.slices].astype(np.float32)
        return Case(self.name, Scale(step, step), truth.astype(np.float32), guide.astype(np.float32), source)


def _small(row: int, col: int, scale: int) -> Window:
    """Return the crop of a source of 17 x 23 pixels: thin evidence."""
    return Window(row, col, 17 * scale, 23 * scale)


_temperature = partial(PairOfKind, kind="temperature")
_dem = partial(PairOfKind, kind="bare-earth DEM")
_surface = partial(PairOfKind, kind="surface model", place="autzen")
_reflectance = partial(PairOfKind, kind="reflectance")
_canopy = partial(PairOfKind, kind="canopy height")
_lights = partial(PairOfKind, kind="lights and population")
_depth = partial(PairOfKind, kind="depth")

_ROMANIA = "sentinel2_romania_series/"
_BIGEARTH = "sentinel2_bigearthnet/"
_ELKTON = "elkton_landsat8_pan/"
_PENNSYLVANIA = "landsat7_pennsylvania/"
_TALCA = "talca_landsat7_srtm/"
_FORTBRAGG = "fortbragg_lidar_naip/"
_NTL = "nightlights_kenya_puertorico/"
_zhangye = warped("zhangye_lst_ndvi/lst_30m", "zhangye_lst_ndvi/ndvi_30m")
_MIDDLE_OF_ZHANGYE = Window(96, 96, 512, 512)
"""Oasis, desert and their border."""
_pennsylvania_dem = stacked(f"{_PENNSYLVANIA}dem_30m", f"{_PENNSYLVANIA}optical_30m")
_fortbragg_naip = stacked(f"{_FORTBRAGG}dem_2016_1m", f"{_FORTBRAGG}naip_2014_1m")
_fortbragg_older = stacked(f"{_FORTBRAGG}dem_2016_1m", f"{_FORTBRAGG}dem_2004_1m")
_puertorico = stacked(f"{_NTL}puertorico_ntl_201710", f"{_NTL}puertorico_ntl_201709")
_EAST_OF_PUERTORICO = Window(0, 96, 152, 512)
"""The west end is left out; San Juan is inside."""
_talca_dem = stacked(f"{_TALCA}dem_30m", f"{_TALCA}optical_30m")
_talca_thermal = stacked(f"{_TALCA}thermal_30m", f"{_TALCA}optical_30m")
_olinda = warped("olinda_landsat7_srtm/dem_90m", "olinda_landsat7_srtm/landsat7_28m")
_elkton_thermal = warped(f"{_ELKTON}thermal_30m", f"{_ELKTON}optical_30m", f"{_ELKTON}pan_15m")
_nairobi = stacked(f"{_NTL}nairobi_ntl_2023", f"{_NTL}nairobi_ntl_2020")
_PICTURES_OF_SWELLENDAM = Window(66, 72, 90, 30)
"""The part of the DEM that lies under the two pictures, from their northern end."""
_MIDDLE_OF_AUTZEN = Window(256, 256, 512, 512)
"""Counted from row 600, column 300 of the DSM, where the reader begins."""


def _aster(scene: str) -> Reader:
    return stacked(f"modis_aster_lst/{scene}_aster_lst_250m", f"modis_aster_lst/{scene}_ndvi_250m")


PAIRS: Mapping[str, PairOfKind] = {
    pair.name: pair
    for pair in (
        # Reflectance
        _reflectance("virginia-B05-x2", place="virginia", scale=2, reader=known("s2-B05")),
        _reflectance("virginia-B11-x4", place="virginia", scale=4, reader=known("s2-B11"), core=True),
        _reflectance("virginia-B8A-x8", place="virginia", scale=8, reader=known("s2-B8A")),
        _reflectance(
            "virginia-B12-x16-small", place="virginia", scale=16, reader=known("s2-B12"), crop=_small(64, 16, 16)
        ),
        _reflectance(
            "virginia-B8A-by-B08-x2",
            place="virginia",
            scale=2,
            reader=judged_by_b08("sentinel2_virginia", first=1),
            crop=Window(64, 64, 512, 512),
            two_sensor=True,
        ),
        _reflectance("romania-B11-x2", place="romania", scale=2, reader=sentinel_20m(_ROMANIA, 2, of="20170606_")),
        _reflectance(
            "romania-B11-x2-older-guide",
            place="romania",
            scale=2,
            reader=sentinel_20m(_ROMANIA, 2, of="20200829_", guided_by="20180427_"),
        ),
        _reflectance("romania-B8A-x4", place="romania", scale=4, reader=sentinel_20m(_ROMANIA, 1, of="20190701_")),
        _reflectance(
            "austria-B11-x2", place="austria", scale=2, reader=sentinel_20m(f"{_BIGEARTH}austria_", 5), core=True
        ),
        _reflectance("austria-B05-x4", place="austria", scale=4, reader=sentinel_20m(f"{_BIGEARTH}austria_", 1)),
        _reflectance(
            "brandenburg-B11-x2", place="brandenburg", scale=2, reader=sentinel_20m("sentinel2_brandenburg/bands_", 5)
        ),
        _reflectance(
            "brandenburg-B05-x4", place="brandenburg", scale=4, reader=sentinel_20m("sentinel2_brandenburg/bands_", 1)
        ),
        _reflectance(
            "brandenburg-B12-x8", place="brandenburg", scale=8, reader=sentinel_20m("sentinel2_brandenburg/bands_", 6)
        ),
        _reflectance(
            "brandenburg-B11-x16", place="brandenburg", scale=16, reader=sentinel_20m("sentinel2_brandenburg/bands_", 5)
        ),
        _reflectance(
            "brandenburg-B8A-by-B08-x2",
            place="brandenburg",
            scale=2,
            reader=judged_by_b08("sentinel2_brandenburg"),
            crop=Window(44, 44, 512, 512),
            two_sensor=True,
        ),
        _reflectance("wexford-B11-x2", place="wexford", scale=2, reader=sentinel_20m(f"{_BIGEARTH}ireland_1_", 5)),
        _reflectance("wexford-B05-x4", place="wexford", scale=4, reader=sentinel_20m(f"{_BIGEARTH}ireland_1_", 1)),
        _reflectance("kilkenny-B11-x2", place="kilkenny", scale=2, reader=sentinel_20m(f"{_BIGEARTH}ireland_2_", 5)),
        _reflectance("kilkenny-B8A-x4", place="kilkenny", scale=4, reader=sentinel_20m(f"{_BIGEARTH}ireland_2_", 4)),
        _reflectance(
            "elkton-red-x2",
            place="elkton",
            scale=2,
            reader=warped(f"{_ELKTON}optical_30m", f"{_ELKTON}pan_15m", band=4),
        ),
        _reflectance(
            "elkton-nir-x4",
            place="elkton",
            scale=4,
            reader=warped(f"{_ELKTON}optical_30m", f"{_ELKTON}pan_15m", band=5),
        ),
        # Temperature
        _temperature("pennsylvania-thermal-x4", place="pennsylvania", scale=4, reader=known("l7"), core=True),
        _temperature("pennsylvania-thermal-x8", place="pennsylvania", scale=8, reader=known("l7")),
        _temperature(
            "pennsylvania-thermal-x8-small", place="pennsylvania", scale=8, reader=known("l7"), crop=_small(80, 80, 8)
        ),
        _temperature("zhangye-lst-x8", place="zhangye", scale=8, reader=_zhangye, crop=_MIDDLE_OF_ZHANGYE, core=True),
        _temperature("zhangye-lst-x16", place="zhangye", scale=16, reader=_zhangye, crop=_MIDDLE_OF_ZHANGYE),
        _temperature(
            "zhangye-lst-x16-small", place="zhangye", scale=16, reader=_zhangye, crop=_small(160, 160, 16), core=True
        ),
        _temperature("pyrenees-aster-1-x4", place="pyrenees", scale=4, reader=_aster("pyrenees_1")),
        _temperature("pyrenees-aster-3-x8", place="pyrenees", scale=8, reader=_aster("pyrenees_3")),
        _temperature("po-aster-1-x4", place="po", scale=4, reader=_aster("po_1")),
        _temperature("po-aster-2-x2", place="po", scale=2, reader=_aster("po_2")),
        *(
            _temperature(
                f"{place}-modis-{date}-x4",
                place=place,
                scale=4,
                reader=modis_by_aster(f"{place}_{date}"),
                two_sensor=True,
            )
            for place, date in (*(("pyrenees", 1), ("pyrenees", 2), ("pyrenees", 3)), ("po", 1), ("po", 2))
        ),
        _temperature("talca-thermal-x4", place="talca", scale=4, reader=_talca_thermal),
        _temperature("talca-thermal-x8", place="talca", scale=8, reader=_talca_thermal),
        _temperature("talca-thermal-x16", place="talca", scale=16, reader=_talca_thermal),
        _temperature("elkton-B10-x4", place="elkton", scale=4, reader=_elkton_thermal),
        _temperature("elkton-B10-x8", place="elkton", scale=8, reader=_elkton_thermal),
        _temperature(
            "dangermond-0401-x4",
            place="dangermond",
            scale=4,
            reader=dangermond("20230401T2037", guided_by="cwc_20230401"),
        ),
        _temperature(
            "dangermond-1014-x2",
            place="dangermond",
            scale=2,
            reader=dangermond("20231014T2239", guided_by="cwc_20231014"),
        ),
        _temperature(
            "dangermond-0629-x8-other-date",
            place="dangermond",
            scale=8,
            reader=dangermond("20230629T1704", guided_by="lst_20230923T2321"),
        ),
        _temperature("gers-aster-1-x4", place="gers", scale=4, reader=_aster("gers_1")),
        _temperature("gers-aster-2-x8-small", place="gers", scale=8, reader=_aster("gers_2"), crop=_small(56, 32, 8)),
        *(
            _temperature(
                f"gers-modis-{date}-x4", place="gers", scale=4, reader=modis_by_aster(f"gers_{date}"), two_sensor=True
            )
            for date in (1, 2)
        ),
        # Bare-earth DEM
        _dem("pennsylvania-dem-x4", place="pennsylvania", scale=4, reader=_pennsylvania_dem),
        _dem("pennsylvania-dem-x8", place="pennsylvania", scale=8, reader=_pennsylvania_dem),
        _dem("fortbragg-dem-x4-land-cover", place="fort bragg", scale=4, reader=fortbragg_by_land_cover),
        _dem("fortbragg-dem-x8", place="fort bragg", scale=8, reader=_fortbragg_naip, core=True),
        _dem("fortbragg-dem-x16-older-guide", place="fort bragg", scale=16, reader=_fortbragg_older),
        _dem("fortbragg-dem-x16-small", place="fort bragg", scale=16, reader=_fortbragg_naip, crop=_small(80, 32, 16)),
        _dem(
            "fortbragg-2004-by-2016-x16",
            place="fort bragg",
            scale=16,
            reader=fortbragg_of_two_dates(16),
            two_sensor=True,
        ),
        _dem("rocky-dem-x2", place="rocky mountains", scale=2, reader=known("rmnp"), core=True),
        _dem("rocky-dem-x3", place="rocky mountains", scale=3, reader=known("rmnp")),
        _dem("rocky-dem-x8", place="rocky mountains", scale=8, reader=known("rmnp")),
        _dem("talca-dem-x4", place="talca", scale=4, reader=_talca_dem),
        _dem("talca-dem-x8", place="talca", scale=8, reader=_talca_dem),
        _dem("talca-dem-x16-small", place="talca", scale=16, reader=_talca_dem, crop=_small(64, 112, 16)),
        _dem("olinda-dem-x3", place="olinda", scale=3, reader=_olinda),
        _dem("olinda-dem-x4", place="olinda", scale=4, reader=_olinda),
        _dem("olinda-dem-x8", place="olinda", scale=8, reader=_olinda),
        _dem("saomiguel-dem-x4", place="sao miguel", scale=4, reader=saomiguel_by_land_cover("dem_225m", 10)),
        _dem("saomiguel-dem-x8", place="sao miguel", scale=8, reader=saomiguel_by_land_cover("dem_225m", 10)),
        _dem("swellendam-dem-x2", place="swellendam", scale=2, reader=swellendam, crop=_PICTURES_OF_SWELLENDAM),
        _dem("swellendam-dem-x3", place="swellendam", scale=3, reader=swellendam, crop=_PICTURES_OF_SWELLENDAM),
        # Surface model
        _surface("autzen-dsm-x2", scale=2, reader=known("autzen"), crop=_MIDDLE_OF_AUTZEN),
        _surface("autzen-dsm-x4", scale=4, reader=known("autzen"), crop=_MIDDLE_OF_AUTZEN),
        _surface("autzen-dsm-x8", scale=8, reader=known("autzen"), crop=_MIDDLE_OF_AUTZEN, core=True),
        _surface("autzen-dsm-x16-small", scale=16, reader=known("autzen"), crop=_small(256, 256, 16)),
        # Canopy height
        _canopy("canopy0-x4", place="canopy 0", scale=4, reader=known("vhm0"), core=True),
        _canopy("canopy0-x16", place="canopy 0", scale=16, reader=known("vhm0")),
        _canopy("canopy1-x2", place="canopy 1", scale=2, reader=known("vhm1")),
        _canopy("canopy1-x8", place="canopy 1", scale=8, reader=known("vhm1")),
        _canopy("canopy2-x4", place="canopy 2", scale=4, reader=known("vhm2")),
        _canopy("canopy2-x8", place="canopy 2", scale=8, reader=known("vhm2")),
        _canopy("canopy2-x16", place="canopy 2", scale=16, reader=known("vhm2")),
        # Lights and population
        _lights("puertorico-lights-x2", place="puerto rico", scale=2, reader=_puertorico, crop=_EAST_OF_PUERTORICO),
        _lights(
            "puertorico-lights-x4",
            place="puerto rico",
            scale=4,
            reader=_puertorico,
            crop=_EAST_OF_PUERTORICO,
            core=True,
        ),
        _lights("puertorico-lights-x8", place="puerto rico", scale=8, reader=_puertorico, crop=_EAST_OF_PUERTORICO),
        _lights("nairobi-lights-x4", place="nairobi", scale=4, reader=_nairobi),
        _lights("nairobi-lights-x8", place="nairobi", scale=8, reader=_nairobi),
        _lights("nairobi-lights-x16", place="nairobi", scale=16, reader=_nairobi),
        _lights(
            "saomiguel-density-x2",
            place="sao miguel",
            scale=2,
            reader=saomiguel_by_land_cover("population_density_1km", 40),
        ),
        # Depth
        _depth("depth1-x4", place="depth 1", scale=4, reader=known("depth1"), core=True),
        _depth("depth3-x4", place="depth 3", scale=4, reader=known("depth3")),
        _depth("depth5-x4", place="depth 5", scale=4, reader=known("depth5"), core=True),
        _depth("depth1-x8", place="depth 1", scale=8, reader=known("depth1")),
        _depth("depth3-x16", place="depth 3", scale=16, reader=known("depth3")),
        _depth("depth2-x4", place="depth 2", scale=4, reader=known("depth2")),
        _depth("depth4-x4", place="depth 4", scale=4, reader=known("depth4")),
        _depth("depth6-x4", place="depth 6", scale=4, reader=known("depth6")),
        _depth("depth4-x8", place="depth 4", scale=8, reader=known("depth4")),
        _depth("depth6-x16", place="depth 6", scale=16, reader=known("depth6")),
    )
}
"""All pairs by name."""
