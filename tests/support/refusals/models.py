"""Models, fits and methods that are refused."""

from __future__ import annotations

import mmsr_geo
from mmsr_geo.errors import (
    GridError,
    ModelFileError,
    OptionError,
    OutputError,
    PixelError,
    UnhelpfulGuideError,
)
from support.refusals.cases import (
    QUICK,
    Doors,
    arrays,
    case,
    evaluating,
    fitting,
    loading,
    shown,
    upsampling,
)
from support.refusals.inputs import (
    DENIED,
    NO_SPACE,
    large_raster,
    raising,
)

case(
    "a scale of 1",
    GridError,
    "scale 1 refines nothing: pass a whole number of 2 or more, as in ⟨scale=4⟩",
    "The scale is 1 or less.",
    "Pass a larger one.",
    upsampling("--scale 1", scale=1),
)


case(
    "a scale beyond 64",
    GridError,
    "scale 65 is above 64: pass a smaller ⟨scale⟩, or first average the guide to larger pixels",
    "The scale is above 64.",
    "Pass a smaller one, or a coarser guide.",
    upsampling("--scale 65", scale=65),
)


case(
    "no whole number as the scale",
    OptionError,
    "the scale must be a whole number or a pair (down, across) of whole numbers, as in ⟨scale=4⟩, not 2.5",
    "`scale` is a fraction or of another type.",
    "Pass whole numbers.",
    arrays(shown("dem.tif", scale=2.5), "the command's words are numbers or refused"),
)


case(
    "no method",
    OptionError,
    "there is no method 'lanczos': choose one of mmsr, nearest, bilinear, bicubic, guided-filter, p2p",
    "`--method` is no name of a method.",
    "Choose one.",
    upsampling(method="lanczos"),
)


case(
    "no such method to evaluate",
    OptionError,
    "there is no method 'lanczos': choose of nearest, bilinear, bicubic, guided-filter, p2p, mmsr, "
    "mmsr-always, mmsr-adapt, mmsr-tile, published",
    "`--methods` names one that there is not.",
    "Choose one.",
    evaluating(methods="bicubic,lanczos"),
)


case(
    "no fit",
    OptionError,
    "fit is one of scene, adapt, tile, published, not 'forest'",
    "`fit` or `if_unhelpful` is another word.",
    "Choose one.",
    arrays(shown("dem.tif", fit="forest"), "the command offers the choices"),
)


case(
    "a fit of no steps",
    OptionError,
    "steps must be 1 or more, not 0",
    "`--steps` or another number of a fit is too small.",
    "Give a larger one.",
    Doors(lambda: mmsr_geo.FitParams(steps=0), "upsample dem.tif ortho.tif -o sharp.tif --steps 0"),
)


case(
    "no threads",
    OptionError,
    "threads must be 1 or more, and 1024 at most, not 0",
    "`--threads` is below 1, or so large that the process would end.",
    "Give 1 or more; the processor's cores are enough.",
    Doors(lambda: mmsr_geo.FitParams(threads=0), "fit dem.tif ortho.tif -o new.mmsr --threads 0"),
)


case(
    "no quality",
    OptionError,
    "quality is one of fast, balanced, best, not 'superb'",
    "`quality` is another word.",
    "Choose one.",
    arrays(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", quality="superb"),  # type: ignore[arg-type]
        "the command offers the choices",
    ),
)


case(
    "a quality and params",
    OptionError,
    "params= says how to fit, and so does quality=: pass one of them",
    "`quality` and `params` together.",
    "Leave one of them out.",
    arrays(
        lambda: mmsr_geo.upsample("dem.tif", "ortho.tif", quality="best", params=QUICK), "no params for the command"
    ),
)


case(
    "no schedule",
    OptionError,
    "schedule is one-cycle or published, not 'slow'",
    "`schedule` is another word.",
    "Choose one.",
    arrays(
        lambda: mmsr_geo.FitParams(schedule="slow"),  # type: ignore[arg-type]
        "no option of the command",
    ),
)


case(
    "no learning rate",
    OptionError,
    "lr must lie between 0 and 1, not 2",
    "`lr` is not between 0 and 1.",
    "Give one that is.",
    arrays(lambda: mmsr_geo.FitParams(lr=2), "no option of the command"),
)


case(
    "no gain that is enough",
    OptionError,
    "enough_gain must lie between 0 and 1, not 2",
    "`enough_gain` is no share.",
    "Give one from 0 to 1.",
    arrays(lambda: mmsr_geo.FitParams(enough_gain=2), "no option of the command"),
)


case(
    "no weight decay",
    OptionError,
    "guide_weight_decay must be 0 or more, not -1",
    "`guide_weight_decay` is below 0 or no number.",
    "Give 0 or more.",
    arrays(lambda: mmsr_geo.FitParams(guide_weight_decay=-1), "no option of the command"),
)


case(
    "nothing to learn from one level down",
    OptionError,
    "first_stage=True finds nothing to learn from one level down: the source's 1 x 1 pixels are too few "
    "at scale 2, or holes; leave first_stage to be decided from the data",
    "`first_stage=True` for a source too small.",
    "Leave it out.",
    arrays(
        lambda: mmsr_geo.fit(
            "dem.tif",
            "ortho.tif",
            2,
            bounds=(435740, 4176880, 435741, 4176890),
            params=mmsr_geo.FitParams(steps=2, first_stage=True, threads=1),
        ),
        "no option of the command",
    ),
)


case(
    "a published fit of a large raster",
    OptionError,
    "the published fit takes the whole raster at every step, and this one was too large to be read whole "
    '(4 parts of 12 x 12 target pixels were): give ⟨bounds⟩, or choose ⟨fit="tile"⟩',
    "`--fit published` for a raster beyond 8 million target pixels.",
    "Give a part, or another fit.",
    upsampling(
        "--fit published --scale 2 --steps 2 --threads 1", method="mmsr", fit="published", scale=2, params=QUICK
    ),
    fault=large_raster,
)


case(
    "a published fit with params",
    OptionError,
    '⟨fit="published"⟩ has params of its own: leave out ⟨quality⟩, or all but steps and threads',
    "`--fit published` with `--quality`, or with other params than steps and threads.",
    "Leave them out.",
    upsampling("--fit published --quality best", method="mmsr", fit="published", quality="best"),
)


case(
    "another method's params",
    OptionError,
    "of the params of a fit, p2p takes steps and threads alone: leave out ⟨quality⟩, or the others",
    "`--quality`, or params of a fit, for a method that has none of them.",
    "Give steps and threads alone.",
    upsampling("--method p2p --quality fast", method="p2p", quality="fast"),
)


case(
    "steps of an interpolation",
    OptionError,
    "bicubic is not fitted by steps: leave them out",
    "`--steps` for a method that has none.",
    "Leave it out.",
    upsampling("--steps 2 --threads 1", params=QUICK),
)


case(
    "a model of another method",
    OptionError,
    "a model and a fit are of mmsr, not of bicubic: leave them out, or the method",
    "`--model` or `--fit` with another `--method` than mmsr.",
    "Leave one out.",
    upsampling("--model scene.mmsr", model="scene.mmsr"),
)


case(
    "the uncertainty of another method",
    OptionError,
    "--method bicubic (method=) calibrates no uncertainty, mmsr with one model for the scene does: leave it out, or "
    "⟨uncertainty⟩",
    "`--uncertainty` with another `--method` than mmsr.",
    "Leave one out.",
    upsampling("--uncertainty", uncertainty=True),
)


case(
    "the uncertainty of a model a tile",
    OptionError,
    "--fit tile (fit=) calibrates no uncertainty, mmsr with one model for the scene does: leave it out, or "
    "⟨uncertainty⟩"
    "",
    "`--uncertainty` with `--fit tile`, `adapt` or `published`.",
    "Leave one out.",
    upsampling("--fit tile --uncertainty", method="mmsr", fit="tile", uncertainty=True),
)


case(
    "a model for fits of tiles",
    OptionError,
    '⟨fit="tile"⟩ begins afresh: leave out ⟨model⟩, or choose scene or adapt',
    "`--model` with a `--fit` that has no use for one.",
    "Leave one out.",
    upsampling("--model scene.mmsr --fit tile", method="mmsr", model="scene.mmsr", fit="tile"),
)


case(
    "a model that is to be fitted again",
    OptionError,
    "a saved model is not fitted again: leave out ⟨model⟩, or the options of a fit, as ⟨params⟩",
    "`--model` with `--steps`.",
    "Leave one out, or adapt the model with `--fit adapt`.",
    upsampling("--model scene.mmsr --steps 2 --threads 1", method="mmsr", model="scene.mmsr", params=QUICK),
)


case(
    "statistics of no model",
    OptionError,
    "⟨keep_statistics⟩ goes with a saved model: pass ⟨model⟩ as well, or leave it out",
    "`--keep-statistics` without `--model`.",
    "Give both or none.",
    upsampling("--keep-statistics", method="mmsr", keep_statistics=True),
)


case(
    "no device",
    OptionError,
    "there is no device 'gpu': choose ⟨device⟩ auto, cpu, cuda or cuda:N",
    "`--device` is no name of a device.",
    "Choose one.",
    upsampling("--device gpu", device="gpu"),
)


case(
    "a device that is not there",
    OptionError,
    "there is no cuda:99 on this machine: choose ⟨device⟩ auto or cpu",
    "This machine has no such GPU.",
    "Choose another.",
    upsampling("--device cuda:99", device="cuda:99"),
)


case(
    "a device of another kind",
    OptionError,
    "the device 'xpu' is not supported: choose ⟨device⟩ auto, cpu, cuda or cuda:N",
    "torch knows the device, and it was never tried.",
    "Choose another.",
    upsampling("--device xpu", device="xpu"),
)


case(
    "tiles of no size",
    OptionError,
    "⟨tile_size⟩ must be at least 1 target pixel, not 0",
    "`--tile-size` is below 1.",
    "Pass a larger one.",
    upsampling("--tile-size 0", tile_size=0),
)


case(
    "no model",
    ModelFileError,
    "there is no model at none.mmsr: make one with mmsr-geo fit SOURCE GUIDE -o none.mmsr",
    "There is no file at `--model`.",
    "Mend the path, or fit one.",
    loading("none.mmsr"),
)


case(
    "a model that is a text",
    ModelFileError,
    "text.mmsr holds no model or is damaged (…): make it again with mmsr-geo fit",
    "The file is none of safetensors, or cut short.",
    "Fit one again.",
    loading("text.mmsr"),
)


case(
    "a model of something else",
    ModelFileError,
    "other.mmsr is a safetensors file, but not of mmsr_geo: give one from mmsr-geo fit",
    "The file is one of safetensors, and no model of this package.",
    "Give another.",
    loading("other.mmsr"),
)


case(
    "a damaged model",
    ModelFileError,
    "damaged.mmsr is damaged or from another version (format 99, this version reads 6): make it again",
    "The model does not hold together, or another version wrote it.",
    "Fit one again.",
    loading("damaged.mmsr"),
)


case(
    "a model for other bands",
    ModelFileError,
    "the model is for 2 guide bands (red, nir), this guide has 1 (red): use a guide with the same bands, or "
    "fit a new model",
    "The model was fitted to another number of guide bands.",
    "Use a guide with the model's bands.",
    upsampling("--model scene.mmsr --guide-band 1", method="mmsr", model="scene.mmsr", guide_band=1),
)


case(
    "a model for another scale",
    ModelFileError,
    "the model is for scale 2, this pair has scale 3: pass ⟨scale=2⟩, or fit a new model",
    "The model was fitted for another scale.",
    "Leave out the scale, or fit a new model.",
    upsampling("--model scene.mmsr --scale 3", method="mmsr", model="scene.mmsr", scale=3),
)


case(
    "nothing in common where it was looked for",
    PixelError,
    "source holes.tif and guide ortho.tif have no valid pixel in common in any sampled window: check their nodata "
    "values and that they show the same area",
    "None of the sampled windows has a pixel that is valid in source and guide.",
    "Declare the right nodata value (`--source-nodata`, `--guide-nodata`), or use a guide without clouds there.",
    fitting(source="holes.tif"),
)


case(
    "nothing in common",
    PixelError,
    "source and guide have no valid pixel in common: check that they show the same place",
    "Where the source is valid, the guide is a hole, and the other way round.",
    "Declare the right nodata, or give a guide that shows the same place.",
    fitting("--scale 2", source="left.tif", guide="right.tif", scale=2),
)


case(
    "nothing in common for p2p",
    PixelError,
    "source and guide have no valid pixel in common: check their nodata values and that they show the same area",
    "With `--method p2p`: where the source is valid, the guide has no data.",
    "Declare the right nodata value, or use a guide of the same area.",
    upsampling(
        "--scale 2 --steps 2 --threads 1", source="left.tif", guide="right.tif", method="p2p", scale=2, params=QUICK
    ),
)


case(
    "a guide that did not help",
    UnhelpfulGuideError,
    "ortho.tif for dem.tif: the guide did not help: one level down its error is 1.20 of the "
    'interpolation\'s, on blocks kept from the fit; use another guide, or pass ⟨if_unhelpful="bicubic"⟩ or '
    '⟨if_unhelpful="warn"⟩',
    "`--if-unhelpful error`, and the guide did not help.",
    "Use another guide, or the bicubic baseline.",
    upsampling(
        "--model unhelpful.mmsr --if-unhelpful error", method="mmsr", model="unhelpful.mmsr", if_unhelpful="error"
    ),
)


case(
    "a model that exists",
    OutputError,
    "scene.mmsr exists: choose another name, or pass overwrite=True",
    "`model.save(..., overwrite=False)`, and the file is there.",
    "Choose another name, or overwrite it.",
    arrays(lambda: mmsr_geo.load("scene.mmsr").save("scene.mmsr", overwrite=False), "the command looks before the fit"),
)


case(
    "a model's folder closed to writing",
    OutputError,
    "cannot write new.mmsr: Permission denied; check that its folder is there and can be written to",
    "No file can be made where a model shall be saved.",
    "Choose another place.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=QUICK).save("new.mmsr"),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --steps 2 --threads 1",
    ),
    fault=raising("tempfile.mkstemp", DENIED),
)


case(
    "a disk that fills up with a model",
    OutputError,
    "cannot write new.mmsr: [Errno 28] No space left on device; check the space and the rights there",
    "The disk fails while a model is saved.",
    "Make room.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=QUICK).save("new.mmsr"),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --steps 2 --threads 1",
    ),
    fault=raising("mmsr_geo.network.fitted.save_file", NO_SPACE),
)
