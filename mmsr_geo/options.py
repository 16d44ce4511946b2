"""Every user option once: name, type, default, unit, help and limits; knows no click, pydantic, xarray or torch.

Each group is a frozen dataclass. The signatures of the Python functions (signatures.py), the keywords that type
checkers see (keywords.py, written by `make options`), the options of the command, the schema of job files and the
output of `mmsr-geo describe` are derived from these fields. To add an option that is only passed on, add a field here,
run `make options plugin-commands` and add its label to the QGIS dialog.
"""
# Annotations are evaluated here, but for those in quotes: the command and the job file derive their types from them.

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from mmsr_geo import nodata
from mmsr_geo.errors import OptionError
from mmsr_geo.geometry import Scale
from mmsr_geo.spelling import option

if TYPE_CHECKING:
    import xarray as xr
    from odc.geo.geobox import GeoBox

    from mmsr_geo.network.fit_params import FitParams
    from mmsr_geo.network.fitted import FittedModel

Fit = Literal["scene", "adapt", "tile", "published"]
IfUnhelpful = Literal["interpolate", "warn", "error"]
OnGrid = Literal["source", "guide"]
Quality = Literal["draft", "fast", "balanced", "best"]

Bounds = tuple[float, float, float, float]
ScaleLike = Scale | int | tuple[int, int] | None
LikeLike: TypeAlias = "str | PathLike[str] | xr.DataArray | GeoBox | float | tuple[float, float]"
MaskLike: TypeAlias = "str | PathLike[str] | xr.DataArray"
NodataLike: TypeAlias = nodata.NodataLike
PsfLike = str | float | tuple[float, float]
RegisterLike = str | tuple[float, float]
SourceNoiseLike = str | float
ModelLike: TypeAlias = "FittedModel | str | PathLike[str]"

METHODS = ("nearest", "bilinear", "bicubic", "guided-filter", "p2p")
"""Methods other than mmsr."""
CONSISTENT = "+consistency"
"""Suffix of a method whose target is corrected so that its block means are the source."""
EVALUATED = ("nearest", "bilinear", "bicubic", "bicubic+consistency", "guided-filter", "mmsr")
"""Methods that an evaluation compares by default; p2p and published take many minutes."""
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Data types that a target can be stored as."""
SENSORS = (
    "landsat-tirs",
    "landsat-etm-thermal",
    "landsat-tm-thermal",
    "ecostress",
    "modis",
    "viirs-i5",
    "viirs",
    "sentinel-3-slstr",
    "aster-tir",
)
"""Sensors whose resolution is known by name."""
BLURS = (
    *(f"sentinel-2-b{band}" for band in ("01", "02", "03", "04", "05", "06", "07", "08", "8a", "09", "11", "12")),
    "modis",
    "landsat-tirs-b10",
    "landsat-tirs-b11",
)
"""Sensors whose blur is known by name."""
DERIVED = ("ndvi", "gndvi", "ndre", "ndwi", "mndwi", "ndmi", "ndbi", "nbr", "ndsi", "slope", "aspect")
"""Names of derived bands that need no expression."""
MIN_COVERAGE = 0.95
"""Default of `min_coverage`."""
SEED_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """All that is known of an option but its name, type and default."""

    help: str
    """What it does, its unit, and when to change it: at most two sentences, for every door."""
    metavar: str | None = None
    """What a value looks like; None: as its type says."""
    choices: tuple[str, ...] = ()
    """All values that it can have; none: any of its type."""
    suggestions: tuple[str, ...] = ()
    """Values to offer, where others are possible too."""
    least: float | None = None
    most: float | None = None
    multiple: bool = False
    """Whether it takes several values."""
    job_type: object = None
    """Its type in a job file and on the command line, where that is another than in Python."""
    python_only: bool = False
    """Whether it is an object that only Python can pass."""
    path: bool = False
    """Whether it may name a file: a job file's folder is then the start of a relative path, and the file an input."""


def option_of(declared: "Field[Any]") -> Option:
    """Return what is known of the option that a field declares."""
    known: Option = declared.metadata["option"]
    return known


def _declare(default: Any, text: str, **known: Any) -> Any:  # noqa: ANN401  (a field of any type)
    return field(default=default, metadata={"option": Option(help=text, **known)})


class _Checked:
    """A group whose choices and limits are checked."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Refuse values that are not among the choices or not within the limits (OptionError)."""
        for declared in fields(self):  # type: ignore[arg-type]  # each group is a dataclass
            _check(declared.name, getattr(self, declared.name), option_of(declared))


def _check(name: str, value: object, known: Option) -> None:
    if value is None:
        return
    if known.choices and value not in known.choices:
        raise OptionError(f"{option(name)} is {value!r}: choose one of {', '.join(known.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = known.least, known.most
        within = (low is None or value >= low) and (high is None or value <= high)
        if not within:
            limits = f"from {low:g} to {high:g}" if low is not None and high is not None else f"of {low:g} or more"
            raise OptionError(f"{option(name)} is {value:g}: give a number {limits}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions(_Checked):
    """How source and guide are related."""

    scale: ScaleLike = _declare(
        None,
        "Target pixels per source pixel: a whole number, or one number down and one across. "
        "Default: the integer nearest to the ratio of the two resolutions, or the scale of a saved model.",
        metavar="N|NxM",
        job_type=int | tuple[int, int] | None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions(_Checked):
    """How source and guide are read."""

    band: int | None = _declare(
        None,
        "Band of the source to use alone, counted from 1. Default: all bands; a fit or an evaluation takes one band, "
        "and needs this if the source has several.",
        least=1,
    )
    bounds: Bounds | None = _declare(
        None,
        "Area to compute, as west, south, east, north in the CRS of the source (west is greater than east across the "
        "antimeridian). It is extended to whole source pixels.",
        metavar="W,S,E,N",
    )
    min_coverage: float = _declare(
        MIN_COVERAGE,
        "Smallest part of the source's valid pixels, from 0 to 1, that the guide must cover. Lower it to accept a "
        "guide that covers less: the target is interpolated from the source alone where there is no guide.",
        least=0,
        most=1,
    )
    source_resolution: float | str | None = _declare(
        None,
        "Resolution in metres at which the source was measured, or a sensor name, if the provider resampled it to "
        "smaller pixels. The pixels of the source are first averaged to that resolution.",
        metavar="M|SENSOR",
        suggestions=SENSORS,
    )
    grid: OnGrid = _declare(
        "source",
        "Grid that the target is aligned with. With guide, the source is first warped to the grid of the guide, "
        "coarsened by the scale.",
        choices=get_args(OnGrid),
    )
    guide_band: Sequence[str | int] | str | int = _declare(
        (),
        "Guide bands to use, as numbers from 1 or descriptions; with several guides as FILE:BAND. Default: all bands.",
        metavar="[FILE:]BAND",
        multiple=True,
        job_type=tuple[str | int, ...] | str | int,
    )
    guide_classes: Sequence[str | int] | str | int = _declare(
        (),
        "Guide bands that hold classes such as land cover, named as in guide bands, each used as one band per class. "
        "Default: those with a colour table, category names or flag meanings.",
        metavar="[FILE:]BAND",
        multiple=True,
        job_type=tuple[str | int, ...] | str | int,
    )
    derive: Sequence[str] | str = _declare(
        (),
        "Bands to compute from the guide and to use as well: an index or terrain band such as ndvi:nir=4,red=3 or "
        "slope:dem=1, or NAME=EXPRESSION such as evi=2.5*(nir-red)/(nir+6*red-7.5*blue+1).",
        metavar="NAME[:ROLE=BAND,...]|NAME=EXPRESSION",
        multiple=True,
        suggestions=DERIVED,
        job_type=tuple[str, ...] | str,
    )
    source_mask: "MaskLike | None" = _declare(
        None,
        "Mask of the source: pixels with a value other than 0, with one of the given bits, or beyond the given "
        "threshold are treated as nodata. Landsat QA_PIXEL and Sentinel-2 SCL files are recognised by name.",
        metavar="FILE[:BITS|>N]",
        path=True,
        job_type=str | None,
    )
    guide_mask: "MaskLike | None" = _declare(
        None,
        "Mask of the guide, as for the source, for example of clouds. Where it masks the guide, the target is "
        "interpolated from the source alone.",
        metavar="FILE[:BITS|>N]",
        path=True,
        job_type=str | None,
    )
    mask_share: float = _declare(
        0.5,
        "Part of a pixel's area, from 0 to 1, above which a masked pixel is treated as nodata. It matters where a mask "
        "has smaller pixels than the raster.",
        least=0,
        most=1,
    )
    source_nodata: "NodataLike | None" = _declare(
        None,
        "Nodata of the source, as stored: values and ranges such as -9999,>100,nan (quoted in a shell). They replace "
        "what the source declares.",
        metavar="VALUE|RANGE,...",
        job_type=float | str | tuple[float | str, ...] | None,
    )
    guide_nodata: "NodataLike | None" = _declare(
        None,
        "Nodata of all guides, as stored: values and ranges as for the source. They replace what the guides declare.",
        metavar="VALUE|RANGE,...",
        job_type=float | str | tuple[float | str, ...] | None,
    )
    valid_range: tuple[float, float] | None = _declare(
        None,
        "Smallest and largest value that the target can have, in stored units of the source. Values beyond are set to "
        "the limit.",
        metavar="MIN,MAX",
    )

    def __post_init__(self) -> None:
        """Refuse what no raster can be read by, and keep sequences as tuples and numbers as floats (OptionError)."""
        _Checked.__post_init__(self)
        for name in ("guide_band", "guide_classes", "derive"):
            value = getattr(self, name)
            several = tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
            _set(self, name, tuple(item if isinstance(item, str) else int(item) for item in several))
        for name, count, shape in (("bounds", 4, "west, south, east, north"), ("valid_range", 2, "smallest, largest")):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise OptionError(f"{option(name)} takes {count} numbers ({shape}), not {len(value)}")
            _set(self, name, None if value is None else tuple(map(float, value)))
        for name in ("source_nodata", "guide_nodata"):
            value = getattr(self, name)
            _set(self, name, None if value is None else nodata.checked_nodata(name, value))
        for name in ("mask_share", "min_coverage"):
            _set(self, name, float(getattr(self, name)))
        if self.valid_range is not None:
            low, high = self.valid_range
            if math.isnan(low) or math.isnan(high) or not low < high:
                raise OptionError(
                    f"{option('valid_range')} is {low:g},{high:g}: give the smallest value and then the largest, as in "
                    f"{option('valid_range', [0, 60])}"
                )


def _set(group: object, name: str, value: object) -> None:
    object.__setattr__(group, name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions(_Checked):
    """How a model is fitted, and on what."""

    quality: Quality = _declare(
        "balanced",
        "Quality of the fit: draft fits no network and takes seconds, each of the others takes more steps than the one "
        "before. The fidelity page of the documentation has the figures.",
        choices=get_args(Quality),
    )
    work: float | None = _declare(
        None,
        "Work that the fit of a network may take, in million target pixels times steps. Default: that of the quality, "
        "which is 0 for draft, 1.2 for fast, 7.4 for balanced and 37 for best.",
        metavar="N",
        least=0,
    )
    steps: int | None = _declare(
        None,
        "Number of steps of the fit, instead of its work. Default: the number that belongs to the quality.",
        least=1,
    )
    from_model: "ModelLike | None" = _declare(
        None,
        "Saved model of another date, whose network the fit begins with. It must have the same guide bands.",
        metavar="FILE",
        path=True,
        job_type=str | None,
    )
    threads: int | None = _declare(
        None,
        "Number of torch threads on a CPU. Default: the number of cores, at most 8; another number changes the last "
        "digits of the result.",
        least=1,
    )
    psf: PsfLike = _declare(
        "auto",
        "Point spread function of the source, its blur before the mean over a pixel: auto (estimated from the pair), "
        "none, a sensor's name, or the standard deviation of a Gaussian in source pixels (one number, or down,across). "
        "Too wide a blur does more harm than too narrow a one.",
        metavar="auto|none|SENSOR|W[,W]",
        suggestions=("auto", "none", *BLURS),
    )
    source_noise: SourceNoiseLike = _declare(
        "auto",
        "Noise of the source, which the target need not repeat: auto (estimated from the source), none, or its "
        "standard deviation in the units of the source.",
        metavar="auto|none|VALUE",
        suggestions=("auto", "none"),
    )
    register: RegisterLike = _declare(
        "subpixel",
        "Registration of the guide with the source: subpixel (by parts of target pixels), whole (by whole ones), none, "
        "or the target pixels by which the guide is moved right and down. A shift is taken only where it is certain.",
        metavar="none|whole|subpixel|DX,DY",
        suggestions=("subpixel", "whole", "none"),
    )
    params: "FitParams | None" = _declare(
        None,
        "All parameters of the fit as one object, instead of quality, work, steps, threads, psf, source_noise and "
        "register.",
        python_only=True,
    )
    device: str = _declare(
        "auto",
        "Device for the computation: auto (a GPU if there is one), cpu, cuda or cuda:N.",
        suggestions=("auto", "cpu", "cuda"),
    )
    seed: int = _declare(0, "Seed of all random numbers. Equal seeds give equal results on the same kind of device.")

    def __post_init__(self) -> None:
        """Refuse a seed that torch does not take, and parameters that are given twice (OptionError)."""
        _Checked.__post_init__(self)
        check_seed(self.seed)
        of_params = self.quality, self.work, self.steps, self.threads, self.psf, self.source_noise, self.register
        if self.params is not None and of_params != ("balanced", None, None, None, "auto", "auto", "subpixel"):
            raise OptionError(
                f"{option('params')} holds the parameters of the fit: leave out {option('quality')}, {option('work')}, "
                f"{option('steps')}, {option('threads')}, {option('psf')}, {option('source_noise')} and "
                f"{option('register')}, or leave out {option('params')}"
            )
        if self.work is not None and self.steps is not None:
            raise OptionError(
                f"{option('work')} and {option('steps')} both say how long the fit is: leave out one of them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodOptions(_Checked):
    """Where the model of a pair comes from."""

    method: str = _declare(
        "mmsr",
        f"Method: mmsr, {', '.join(METHODS[:-1])} or {METHODS[-1]}. Add {CONSISTENT} to any but mmsr to correct the "
        "target so that its block means are the source, as those of mmsr are.",
        suggestions=("mmsr", *(name + end for name in METHODS for end in ("", CONSISTENT))),
    )
    fit: Fit = _declare(
        "scene",
        "How mmsr is fitted: scene (one model for all tiles), adapt (that model takes more steps on each tile), tile "
        "(a model for each tile) or published (the fit of the paper, on the whole raster).",
        choices=get_args(Fit),
    )
    model: "ModelLike | None" = _declare(
        None,
        "Saved model to use instead of fitting one. It must have the same scale and the same guide bands.",
        metavar="FILE",
        path=True,
        job_type=str | None,
    )
    keep_statistics: bool = _declare(
        default=False,
        text="Use the statistics of the saved model instead of those of this pair. Default: they are computed anew, as "
        "another date needs.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionOptions(_Checked):
    """How a target is predicted."""

    if_unhelpful: IfUnhelpful = _declare(
        "interpolate",
        "What to do if the guide check says that the guide did not help: interpolate (the source alone), warn (use the "
        "model and warn) or error.",
        choices=get_args(IfUnhelpful),
    )
    tile_size: int | None = _declare(
        None,
        "Side of a tile in target pixels. Default: chosen to fit in memory; the result does not depend on it, unless "
        "each tile has a model of its own.",
        least=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions(_Checked):
    """What the target is."""

    like: "LikeLike | None" = _declare(
        None,
        "Grid to warp the target to in the end: a raster, or a pixel size in units of the source's CRS. The block "
        "means of the result are then not exactly the source; how far they differ is reported.",
        metavar="FILE|R|DxA",
        path=True,
        job_type=float | tuple[float, float] | str | None,
    )
    uncertainty: bool = _declare(
        default=False,
        text="Also compute half the width of a 90 % interval for each target pixel, in the units of the source. It "
        "needs mmsr with one model for the scene.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions(_Checked):
    """How the target is stored."""

    dtype: str = _declare(
        "float32", "Data type of the output. Integers are rounded.", metavar="DTYPE", suggestions=DTYPES
    )
    scale_factor: float | None = _declare(
        None, "Scale factor of the stored values: value = stored x scale factor + offset. Default: that of the source."
    )
    add_offset: float | None = _declare(
        None, "Offset of the stored values: value = stored x scale factor + offset. Default: that of the source."
    )
    creation_options: Sequence[str] = _declare(
        (),
        "Creation options of GDAL's COG driver, such as COMPRESS=ZSTD.",
        metavar="KEY=VALUE",
        multiple=True,
        job_type=tuple[str, ...],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions(_Checked):
    """How many processes of this machine work."""

    workers: int | None = _declare(
        None, "Number of processes of this machine that share the tiles. Default: this process alone.", least=1
    )
    memory_limit: int | str | None = _declare(
        None,
        "Memory limit of each process, such as 4GB. Tiles are chosen to fit.",
        metavar="SIZE",
        job_type=str | None,
    )


UPSAMPLE = (InputOptions, FitOptions, MethodOptions, PredictionOptions, TargetOptions)
"""Groups of `mmsr_geo.upsample` and of the accessor."""
FUNCTIONS: Mapping[str, tuple[type, ...]] = {
    "upsample": UPSAMPLE,
    "upsample_to_file": (*UPSAMPLE, FileOptions, WorkerOptions),
    "plan": (*UPSAMPLE, FileOptions),
    "fit": (InputOptions, FitOptions),
    "evaluate": (InputOptions, FitOptions, PredictionOptions),
}
"""Groups that each public function takes as keyword arguments."""
OPTIONS: tuple[type, ...] = (PairOptions, *UPSAMPLE, FileOptions, WorkerOptions)
"""All groups."""


PATHS = tuple(declared.name for group in OPTIONS for declared in fields(group) if option_of(declared).path)
"""Names of options that may name a file."""


def check_seed(seed: int) -> None:
    """Refuse a seed that torch does not take (OptionError)."""
    if not -(2 ** (SEED_BITS - 1)) <= seed < 2**SEED_BITS:
        raise OptionError(
            f"{option('seed')} is {seed}: give a whole number of {SEED_BITS} bits, as in {option('seed', 1)}"
        )
