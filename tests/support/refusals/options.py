"""Options and words of the command that are refused."""

from __future__ import annotations

from pathlib import Path

import click

import mmsr_geo
from mmsr_geo.cli.demo import run_demo
from mmsr_geo.errors import (
    InputError,
    OptionError,
    OutputError,
    PixelError,
)
from mmsr_geo.evaluation.report import save_report
from support.refusals.cases import (
    Doors,
    arrays,
    case,
    evaluating,
    shown,
    upsampling,
    wording,
)
from support.refusals.inputs import (
    NO_SPACE,
    array,
    raising,
    texture,
)

case(
    "several rasters in a file",
    InputError,
    "pages.tif contains several rasters: pass the name of one of them, as in GTIFF_DIR:1:pages.tif",
    "A source's file contains several rasters, such as the pages of a TIFF.",
    "Pass the name of one of them, as in the message.",
    upsampling(source="pages.tif"),
)


case(
    "no slices",
    InputError,
    "the source is empty: one of its dimensions has length 0",
    "An array has length 0 along a dimension such as time.",
    "Fix the selection that it comes from.",
    arrays(shown(lambda: array().expand_dims(time=2).isel(time=slice(0, 0)))),
)


case(
    "a guide with dates of its own",
    InputError,
    "the guide has 2 slices along time, and the source has no time coordinate to choose one by: select one, as in "
    "guide.isel(time=0)",
    "A guide has a dimension that the source has no coordinate for.",
    "Select one slice of the guide.",
    arrays(shown(array, lambda: array(texture()).rename(band="time").assign_coords(time=[1, 2]))),
)


case(
    "a date that the guide has not",
    InputError,
    "the guide has no slices at time 2024 of the source: use a guide with exactly one, or select one, as in "
    "guide.isel(time=0)",
    "A slice of the source has a coordinate that the guide has not exactly once.",
    "Use a guide that has it, or select one of its slices.",
    arrays(
        shown(
            lambda: array().expand_dims(time=[2024]),
            lambda: array(texture()).rename(band="time").assign_coords(time=[2022, 2023]),
        )
    ),
)


case(
    "a share beyond 1",
    OptionError,
    "⟨min_coverage⟩ is 95: give a number from 0 to 1",
    "`--min-coverage` or `--mask-share` lies outside of 0 to 1; 95 % are 0.95.",
    "Give a share.",
    upsampling("--min-coverage 95", min_coverage=95),
)


case(
    "no grid",
    OptionError,
    "⟨grid⟩ is 'both': choose one of source, guide",
    "`grid` is another word.",
    "Choose one.",
    arrays(shown("dem.tif", grid="both"), "the command offers the choices"),
)


case(
    "an empty range",
    OptionError,
    "⟨valid_range⟩ is 60,0: give the smallest value and then the largest, as in ⟨valid_range=[0, 60]⟩",
    "The two ends of the range are exchanged, equal, or no numbers.",
    "Exchange them.",
    upsampling("--valid-range 60,0", valid_range=(60, 0)),
)


case(
    "nodata that is no value and no range",
    OptionError,
    "⟨source_nodata⟩: 'none' is neither a number nor a range: give values and ranges as in -9999,>100,101..103,nan",
    "`--source-nodata` or `--guide-nodata` has a part that is neither, or a range that is empty.",
    "Give numbers and ranges with commas between them.",
    upsampling("--source-nodata none", source_nodata="none"),
)


case(
    "bounds that are not four",
    OptionError,
    "bounds= takes 4 numbers (west, south, east, north), not 3",
    "`bounds` or `valid_range` has more or fewer numbers.",
    "Give as many as it says.",
    arrays(shown("dem.tif", bounds=(1, 2, 3)), "the command reads numbers or tells its own"),
)


case(
    "no method to evaluate",
    OptionError,
    "⟨methods⟩ is empty: name methods to compare, such as "
    "nearest,bilinear,bicubic,bicubic+consistency,guided-filter,mmsr",
    "`--methods` names none.",
    "Name some.",
    evaluating(methods=""),
)


case(
    "a seed beyond 64 bits",
    OptionError,
    "⟨seed⟩ is 18446744073709551616: give a whole number of 64 bits, as in ⟨seed=1⟩",
    "`--seed` is larger than torch takes.",
    "Give a smaller one.",
    upsampling(f"--seed {2**64}", seed=2**64),
)


case(
    "a model to save that is given",
    OptionError,
    "--save-model needs a fit: leave out --model, or copy its file",
    "`--save-model` with `--model`.",
    "Leave one out.",
    Doors(
        None,
        "upsample dem.tif ortho.tif -o sharp.tif --model scene.mmsr --save-model again.mmsr",
        alone="command only: it saves the model as well",
    ),
)


case(
    "a model to save of another method",
    OptionError,
    "--save-model needs one model for the scene: leave it out, or leave out --method and --fit",
    "`--save-model` with another `--method`, or `--fit tile`.",
    "Leave one out.",
    Doors(
        None,
        "upsample dem.tif ortho.tif -o sharp.tif --method bicubic --save-model again.mmsr",
        alone="command only: it saves the model as well",
    ),
)


case(
    "a model in the target's place",
    OptionError,
    "sharp.tif is the file of -o as well: give --save-model another name",
    "`--save-model` is the output, or `--qa`.",
    "Give another name.",
    Doors(
        None,
        "upsample dem.tif ortho.tif -o sharp.tif --save-model sharp.tif",
        alone="command only: it saves the model as well",
    ),
)


case(
    "no amount of memory",
    OptionError,
    "'much' is not a size in bytes: write it as 4GB, 512MiB or 2e9",
    "`--memory-limit` is no size.",
    "Write a number with a unit.",
    upsampling("--memory-limit much", memory_limit="much"),
)


case(
    "a job's errors to be ignored",
    OptionError,
    "⟨on_error⟩ is 'ignore': choose one of stop, skip",
    "`on_error=` is a word that says nothing.",
    "`skip` to go on without what failed, `stop` to end there.",
    arrays(lambda: mmsr_geo.batch("failing.toml", on_error="ignore"), "the command names its choices"),  # type: ignore[arg-type]
)


case(
    "too small to be evaluated",
    PixelError,
    "dem.tif has 36 x 32 pixels, which leave fewer than 8 along a side at reduced resolution (scale 8): choose a "
    "larger part (⟨bounds⟩), a smaller ⟨scale⟩ or a ⟨truth⟩",
    "Without a truth, methods are compared at reduced resolution, which must leave 8 source pixels along a side.",
    "Choose a larger part, a smaller `--scale`, or a `--truth`.",
    evaluating("--scale 8", scale=8),
)


case(
    "no truth",
    PixelError,
    "dem.tif: the truth has no valid pixel in the compared part: check its nodata value and its georeference",
    "The truth has no data where it is compared.",
    "Fix its nodata value or its georeference.",
    evaluating("--scale 2 --truth far.tif", scale=2, truth="far.tif"),
)


case(
    "a report in a file",
    OutputError,
    "cannot write the report to dem.tif: dem.tif is not a folder; choose another folder",
    "The folder of a report is a file, lies in a file, or is not writable.",
    "Choose another folder.",
    Doors(
        lambda: save_report(
            mmsr_geo.evaluate("dem.tif", "ortho.tif", 2, methods=["bicubic"]), Path("dem.tif"), overwrite=False
        ),
        "evaluate dem.tif ortho.tif -o dem.tif --scale 2 --methods bicubic",
    ),
)


case(
    "a report on a full disk",
    OutputError,
    "cannot write the report to report (No space left on device): choose another folder",
    "The disk fails while a report is written.",
    "Choose another folder.",
    Doors(
        lambda: save_report(
            mmsr_geo.evaluate("dem.tif", "ortho.tif", 2, methods=["bicubic"]), Path("report"), overwrite=False
        ),
        "evaluate dem.tif ortho.tif -o report --scale 2 --methods bicubic",
    ),
    fault=raising("mmsr_geo.evaluation.report.draw_report", NO_SPACE),
)


case(
    "a demo in a file",
    OutputError,
    "cannot create the folder dem.tif/demo (Not a directory): choose another with -o",
    "The folder of the demo cannot be made.",
    "Choose another.",
    Doors(lambda: run_demo(Path("dem.tif/demo")), "demo -o dem.tif/demo"),
)


case(
    "no number as the scale",
    click.UsageError,
    "Invalid value for '--scale': 'four' is not a scale: give a whole number such as 4, or 2x1 (down x across)",
    "`--scale` is no whole number, nor two with an x between.",
    "Write it as in the message.",
    wording("--scale four"),
)


case(
    "no four numbers as the bounds",
    click.UsageError,
    "Invalid value for '--bounds': '1,2,3' is not W,S,E,N: give 4 numbers, as in 3.1,50.2,3.4,50.5",
    "`--bounds` are not four numbers with commas between.",
    "Write them as in the message.",
    wording("--bounds 1,2,3"),
)


case(
    "no two numbers as the range",
    click.UsageError,
    "Invalid value for '--valid-range': '60' is not MIN,MAX: give 2 numbers, as in 0,60",
    "`--valid-range` is not two numbers with a comma between.",
    "Write them as in the message.",
    wording("--valid-range 60"),
)


case(
    "none of the choices",
    click.UsageError,
    "Invalid value for '--grid': 'both' is not one of 'source', 'guide'.",
    "An option that offers choices is another word.",
    "Choose one.",
    wording("--grid both"),
)


case(
    "no number",
    click.UsageError,
    "Invalid value for '--seed': 'one' is not a valid integer.",
    "An option that takes a number is a word.",
    "Give a number.",
    wording("--seed one"),
)


case(
    "no such option",
    click.UsageError,
    "No such option '--zzz'.",
    "The command has no such option.",
    "See `mmsr-geo upsample --help`.",
    wording("--zzz 3"),
)
