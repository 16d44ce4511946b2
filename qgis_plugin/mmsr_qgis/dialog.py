"""The fields of each dialog: which options are shown, in which order, with which labels and help.

A test compares these tables with the command: an option that is in neither FIELDS nor HIDDEN fails it. To show a new
option, run `make plugin-commands` and add one line here: a kind of field with a label. The help is that of the command.
A field has its own help text only where that of the command is not right in QGIS.
"""

from __future__ import annotations

from collections.abc import Mapping

from .parameters import (
    Band,
    Choice,
    Choices,
    Extent,
    Extra,
    Field,
    File,
    Flag,
    GuideBands,
    Guides,
    Layer,
    LayerOrResolution,
    Mask,
    Number,
    Output,
    Range,
    Text,
)
from .values import Values

METHODS = ("nearest", "bilinear", "bicubic", "guided-filter", "p2p")
EVALUATED = ("mmsr", "mmsr-adapt", "mmsr-tile", "mmsr-always", "published")
CONSISTENT = "+consistency"
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Values of options that `commands.json` describes as text; a test compares them with the library's tables."""

_WITH_CONSISTENCY = tuple(name + suffix for name in METHODS for suffix in ("", CONSISTENT))
_MODEL = "MMSR models (*.mmsr)"
_BITS = (
    "Bits that mark a pixel, counted from 0, such as 3,4, or a threshold such as >66 or <=2 for its values. If empty, "
    "every value except 0 marks it."
)

_PAIR: Mapping[str, Field] = {
    "source": Layer(
        "Source (coarse raster)",
        "Raster to sharpen, for example a thermal band, an elevation model or canopy height.",
        basic=True,
    ),
    "guide": Guides(
        "Guide (finer raster of the same place)",
        "Raster with smaller pixels, for example an optical image. It may have another CRS, resolution and extent.",
        basic=True,
        more=Extra(
            "Additional guides", "Rasters whose bands are used together with those of the guide, each on its own grid."
        ),
    ),
    "scale": Text(
        "Scale (target pixels per source pixel)",
        "An integer such as 4, or 2x3 for 2 down and 3 across. If empty, it is the integer nearest to the ratio of the "
        "two resolutions, or the scale of the saved model.",
        basic=True,
    ),
}
_INPUTS: Mapping[str, Field] = {
    "bounds": Extent(
        "Extent",
        "Area to compute, in any CRS; it is extended to whole source pixels. If empty, the whole source is computed.",
    ),
    "source_resolution": Text(
        "Native resolution of the source",
        "Pixel size at which the source was measured, if the provider resampled it to smaller pixels. It is a number "
        "of metres or a sensor: landsat-tirs, landsat-etm-thermal, landsat-tm-thermal, ecostress, modis, viirs-i5, "
        "viirs, sentinel-3-slstr or aster-tir.",
    ),
    "grid": Choice("Grid alignment"),
    "guide_band": GuideBands(
        "Guide bands",
        "Bands to use. If none is ticked, all are used.",
        more=Extra(
            "Bands of additional guides",
            "File name and band numbers or names, such as b.tif:4,3; c.tif:1. All bands of other files are used.",
        ),
    ),
    "guide_classes": Text(
        "Guide bands with classes",
        "Bands that hold classes, such as land cover: numbers or names, and with additional guides b.tif:1; c.tif:2. "
        "Bands with a colour table, category names or flag meanings are found without it.",
    ),
    "derive": Text("Derived guide bands"),
    "source_mask": Mask("Source mask", bits=Extra("Bits or threshold of the source mask", _BITS)),
    "guide_mask": Mask("Guide mask", bits=Extra("Bits or threshold of the guide mask", _BITS)),
    "mask_share": Number("Maximum masked share (0 to 1)", least=0, most=1),
    "source_nodata": Text(
        "No data values of the source",
        "Stored values and ranges that mean no data, such as -9999,>100, instead of what the file declares. If empty, "
        "the additional no data values of the layer's properties are used as well.",
    ),
    "guide_nodata": Text(
        "No data values of the guides",
        "Stored values and ranges that mean no data in all guides, such as -9999,>100, instead of what they declare.",
    ),
    "valid_range": Range("Valid range"),
    "min_coverage": Number("Minimum guide coverage (0 to 1)", least=0, most=1),
}
_FITTING: Mapping[str, Field] = {
    "quality": Choice("Quality"),
    "work": Number("Fitting work (million pixels x steps)", least=0),
    "steps": Number("Fitting steps", least=1),
    "from_model": File("Begin the fit with a saved model", ending=_MODEL),
    "psf": Text(
        "Point spread function of the source",
        "Blur of the sensor before the mean over a source pixel: auto (estimated), none, a sensor's name such as "
        "sentinel-2-b11 or modis, or a width in source pixels such as 0.4 (or down,across). Too wide a blur does more "
        "harm than too narrow a one.",
    ),
    "source_noise": Text(
        "Noise of the source",
        "auto (estimated), none, or its standard deviation in the units of the source.",
    ),
    "register": Text(
        "Registration of the guide",
        "subpixel, whole (by whole pixels), none, or the target pixels by which the guide is moved right and down, "
        "such as 0.5,-1.",
    ),
    "threads": Number("CPU threads", least=1),
    "device": Text("Device"),
    "seed": Number("Random seed"),
}

FIELDS: Mapping[str, Mapping[str, Field]] = {
    "upsample": {
        **_PAIR,
        "method": Choice("Method", basic=True, among=("mmsr", *_WITH_CONSISTENCY)),
        "band": Band("Source band", "Band to compute alone. If none is chosen, all bands are computed."),
        **_INPUTS,
        "fit": Choice("Fitting strategy"),
        "if_unhelpful": Choice("If the guide does not help"),
        "model": File("Use a saved model", ending=_MODEL),
        "keep_statistics": Flag("Keep the statistics of the saved model"),
        "tile_size": Number("Tile size", least=1),
        "like": LayerOrResolution(
            "Output grid (raster to match)",
            "Raster to whose grid the target is warped in the end. The target then no longer averages to the source "
            "exactly.",
            resolution=Extra(
                "Output resolution",
                "Pixel size to which the target is warped in the end, in units of the source's CRS: 25, or 25x20 for "
                "25 down and 20 across.",
            ),
        ),
        "uncertainty": Flag("Add uncertainty bands"),
        "dtype": Choice("Output data type", among=DTYPES),
        "scale_factor": Number("Output scale factor"),
        "add_offset": Number("Output offset"),
        "creation_options": Text("Creation options"),
        **_FITTING,
        "workers": Number("Worker processes", least=1),
        "memory_limit": Text("Memory per process"),
        "output": Output("Target", "Cloud Optimized GeoTIFF to write."),
        "qa": Output(
            "QA flags",
            "Raster that marks pixels with no data, with a gap in the guide, or where the guide did not help. The "
            "legend of the layer names each flag.",
            by_default=False,
        ),
        "save_model": Output("Save the model", basic=False, ending=_MODEL, by_default=False),
    },
    "evaluate": {
        **_PAIR,
        "band": Band("Source band", basic=True),
        "truth": Layer(
            "Truth (reference raster)",
            "Raster of the source's quantity at the resolution of the target. If empty, source and guide are averaged "
            "by the scale, and the source itself is the reference (Wald's protocol).",
            basic=True,
        ),
        "methods": Choices(
            "Methods to compare",
            "If none is ticked: nearest, bilinear, bicubic, bicubic+consistency, guided-filter and mmsr. p2p and "
            "published take many minutes.",
            basic=True,
            among=(*_WITH_CONSISTENCY, *EVALUATED),
        ),
        **_INPUTS,
        "hillshade": Flag("Hillshade in the maps"),
        "if_unhelpful": Choice("If the guide does not help"),
        "tile_size": Number("Tile size", least=1),
        **_FITTING,
        "output": Output("Report", "Folder for report.html, report.json and report.png.", is_folder=True),
    },
    "fit": {
        **_PAIR,
        "band": Band("Source band", basic=True),
        **_INPUTS,
        **_FITTING,
        "output": Output("Model", "File to write, for “Use a saved model” in “Upsample raster”.", ending=_MODEL),
    },
}
"""Command → option → its field, in the order of the dialog."""

HIDDEN: Mapping[str, str] = {
    "overwrite": "QGIS asks before it replaces a file, so the plugin always passes this option",
    "progress_kind": "the plugin reads the command's JSON lines, so it always passes this option",
}
"""Options without a field, and why."""


def message_labels(command: str, values: Values) -> Mapping[str, str]:
    """Return each option's label for a message, of the parameter that has a value if an option has two."""
    return {name: field.message_label(name.upper(), values) for name, field in FIELDS[command].items()}
