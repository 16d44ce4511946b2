"""Which options of the command are offered, how and in which order, and which are not, and why.

A test holds this against the command: an option that is in neither table fails it. To offer a new one, run
`make plugin-commands`, and write one line here.
"""

from __future__ import annotations

from collections.abc import Mapping

from .parameters import (
    Band,
    Choice,
    Choices,
    Extent,
    File,
    Flag,
    GuideBands,
    Guides,
    Layer,
    LayerOrText,
    Mask,
    Number,
    Offer,
    Output,
    Range,
    Text,
)

METHODS = ("nearest", "bilinear", "bicubic", "guided-filter", "p2p")
EVALUATED = ("mmsr", "mmsr-adapt", "mmsr-tile", "mmsr-always", "published")
CONSISTENT = "+consistency"
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""The command takes these as text; a test holds them equal to its own tables."""

_WITH_CONSISTENCY = tuple(name + end for name in METHODS for end in ("", CONSISTENT))
_NET = "MMSR nets (*.mmsr)"

_PAIR: Mapping[str, Offer] = {
    "source": Layer("Source: the coarse raster", basic=True),
    "guide": Guides("Guide: a finer raster of the same place", basic=True, more="More guides"),
    "scale": Text("Scale: target pixels per source pixel (chosen from the two, if empty)", basic=True),
}
_INPUTS: Mapping[str, Offer] = {
    "bounds": Extent("Only this part"),
    "source_resolution": Text("What the source resolves, if delivered finer: metres or a sensor"),
    "grid": Choice("Whose pixels the target lies on"),
    "guide_band": GuideBands(
        "Bands of the guide (all, if none)", more="Bands of more guides, as in b.tif:4,3; c.tif:1"
    ),
    "derive": Text("Bands to derive of the guide's, as in ndvi:nir=4,red=3; slope:dem=1"),
    "source_mask": Mask("Mask of the source", bits="Bits that count in the mask of the source"),
    "guide_mask": Mask("Mask of clouds in the guide", bits="Bits that count in the mask of clouds"),
    "mask_share": Number("Share of a pixel that makes it a hole, if masked", least=0, most=1),
    "source_nodata": Number("Value that is a hole in the source"),
    "guide_nodata": Number("Value that is a hole in the guides"),
    "valid_range": Range("Least and largest value that the target can have"),
    "min_coverage": Number("Share of the source that the guide must cover", least=0, most=1),
}
_FITTING: Mapping[str, Offer] = {
    "quality": Choice("Quality: more work for less error"),
    "steps": Number("Steps of the fit (as measured, if not set)", least=1),
    "threads": Number("Threads on a CPU (the cores there are, if not set)", least=1),
    "device": Text("Device: auto, cpu, cuda or cuda:N"),
    "seed": Number("Seed of every random choice"),
}

OFFERED: Mapping[str, Mapping[str, Offer]] = {
    "upsample": {
        **_PAIR,
        "method": Choice("Method", basic=True, among=("mmsr", *_WITH_CONSISTENCY)),
        **_INPUTS,
        "fit": Choice("How to fit"),
        "if_unhelpful": Choice("Where the guide turns out not to help"),
        "net": File("Use a saved net", ending=_NET),
        "keep_statistics": Flag("Use the saved net's statistics, not this pair's"),
        "tile_size": Number("A tile's side in target pixels (chosen from the free memory, if not set)", least=1),
        "like": LayerOrText(
            "Bring the target onto the grid of this raster",
            text="... or onto pixels of this size, in the source's units",
        ),
        "uncertainty": Flag("Write the uncertainty, half of a 90 % interval's width, in a further band"),
        "dtype": Choice("Data type of the target", among=DTYPES),
        "scale_factor": Number("Stored values times this ..."),
        "add_offset": Number("... plus this are the target's"),
        "creation_options": Text("Creation options of the COG, as in COMPRESS=ZSTD; LEVEL=9"),
        **_FITTING,
        "workers": Number("Processes that share the tiles (one, if not set)", least=1),
        "memory_limit": Text("Memory of each process, as in 4GB"),
        "output": Output("Target", help="The Cloud Optimized GeoTIFF to write."),
        "qa": Output("Flags of each target pixel (QA)", is_asked=False),
        "save_net": Output("Save the net", basic=False, ending=_NET, is_asked=False),
    },
    "evaluate": {
        **_PAIR,
        "band": Band("Band of the source", basic=True),
        "truth": Layer("Truth to compare with (one level down with the source itself, if none)", basic=True),
        "methods": Choices(
            "Methods (all quick ones and mmsr, if none)", basic=True, among=(*_WITH_CONSISTENCY, *EVALUATED)
        ),
        **_INPUTS,
        "hillshade": Flag("Show targets lit (where it is an elevation, if not set)"),
        "if_unhelpful": Choice("What mmsr does where the guide turns out not to help"),
        "tile_size": Number("A tile's side in target pixels (chosen from the free memory, if not set)", least=1),
        **_FITTING,
        "output": Output("Report", is_folder=True),
    },
    "fit": {
        **_PAIR,
        "band": Band("Band of the source", basic=True),
        **_INPUTS,
        **_FITTING,
        "output": Output("Net", ending=_NET),
    },
}
"""Command → option → how it is offered, in the dialog's order."""

LEFT_OUT: Mapping[str, str] = {
    "overwrite": "QGIS asks before a file is replaced, so the command is always told to",
    "progress_kind": "the plugin reads the command's JSON lines, so the command is always told to write them",
}
"""Options that are not offered, by any command, and why."""
