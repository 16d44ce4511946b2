"""Models, fits and methods that are refused."""

from __future__ import annotations

import mmsr_geo
from mmsr_geo.errors import (
    GridError,
    ModelFileError,
    NothingInCommonError,
    OptionError,
    OutputError,
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
    "⟨method⟩ is 'lanczos': choose one of mmsr, nearest, bilinear, bicubic, guided-filter, p2p",
    "`--method` is no name of a method.",
    "Choose one.",
    upsampling(method="lanczos"),
)


case(
    "no such method to evaluate",
    OptionError,
    "⟨methods⟩ names 'lanczos': choose of nearest, bilinear, bicubic, guided-filter, p2p, mmsr, mmsr-always, "
    "mmsr-adapt, mmsr-tile, published",
    "`--methods` names one that there is not.",
    "Choose one.",
    evaluating(methods="bicubic,lanczos"),
)


case(
    "no fit",
    OptionError,
    "⟨fit⟩ is 'forest': choose one of scene, adapt, tile, published",
    "`fit` or `if_unhelpful` is another word.",
    "Choose one.",
    arrays(shown("dem.tif", fit="forest"), "the command offers the choices"),
)


case(
    "a fit of no steps",
    OptionError,
    "⟨steps⟩ is 0: give a number of 1 or more",
    "`--steps` is below 1.",
    "Pass a larger number.",
    Doors(lambda: mmsr_geo.FitParams(steps=0), "upsample dem.tif ortho.tif -o sharp.tif --steps 0"),
)


case(
    "a patch that is too small",
    OptionError,
    "patch_px is 7: give a number of 8 or more",
    "A number of `FitParams` is too small.",
    "Pass a larger number.",
    arrays(lambda: mmsr_geo.FitParams(patch_px=7), "no option of the command"),
)


case(
    "no threads",
    OptionError,
    "⟨threads⟩ is 0: give a number of 1 or more",
    "`--threads` is below 1.",
    "Pass 1 or more; the number of cores is enough.",
    Doors(lambda: mmsr_geo.FitParams(threads=0), "fit dem.tif ortho.tif -o new.mmsr --threads 0"),
)


case(
    "too many threads",
    OptionError,
    "⟨threads⟩ is 5000: give a number of 1024 or less",
    "`--threads` is so large that the process would end.",
    "Pass a smaller number; the number of cores is enough.",
    Doors(lambda: mmsr_geo.FitParams(threads=5000), "fit dem.tif ortho.tif -o new.mmsr --threads 5000"),
)


case(
    "an unknown quality",
    OptionError,
    "⟨quality⟩ is 'superb': choose one of draft, fast, balanced, best",
    "`quality` is an unknown name.",
    "Pass one of the four names.",
    arrays(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", quality="superb"),  # type: ignore[arg-type]
        "the command offers the choices",
    ),
)


case(
    "steps without a network",
    OptionError,
    "without a network there are no steps: leave out ⟨steps⟩, or choose another ⟨quality⟩ than draft",
    "`--quality draft` together with `--steps`.",
    "Leave out one of the two.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", quality="draft", steps=3),
        "fit dem.tif ortho.tif -o new.mmsr --quality draft --steps 3",
    ),
)


case(
    "a draft of each tile",
    OptionError,
    '⟨quality="draft"⟩ fits no network, and ⟨fit="adapt"⟩ and ⟨fit="tile"⟩ fit one to each tile: choose another '
    "⟨quality⟩, or leave out ⟨fit⟩",
    "`--quality draft` together with `--fit adapt` or `--fit tile`.",
    "Leave out one of the two.",
    upsampling("--quality draft --fit tile", method="mmsr", quality="draft", fit="tile"),
)


case(
    "a draft's model to be adapted",
    OptionError,
    '⟨fit="adapt"⟩ adapts a model\'s network, and this model predicts without one: leave out ⟨fit⟩, or leave out '
    "⟨model⟩",
    "`--fit adapt` together with a model that `--quality draft` fitted, or one whose network has no weight.",
    "Leave out one of the two.",
    upsampling("--scale 2 --fit adapt --model draft.mmsr", method="mmsr", scale=2, fit="adapt", model="draft.mmsr"),
)


case(
    "a model of a sensor to be adapted",
    OptionError,
    '⟨fit="adapt"⟩ keeps to block means, and this model takes blur or noise into account: leave out ⟨fit⟩, or fit the '
    'model with ⟨psf="none"⟩ and ⟨source_noise="none"⟩',
    "`--fit adapt` together with a model whose fit found a sensor's blur, or noise.",
    "Leave out `--fit`, or fit the model without them.",
    upsampling("--scale 2 --fit adapt --model sensed.mmsr", method="mmsr", scale=2, fit="adapt", model="sensed.mmsr"),
)


case(
    "a quality and params",
    OptionError,
    "⟨params⟩ holds the parameters of the fit: leave out ⟨quality⟩, ⟨work⟩, ⟨steps⟩, ⟨threads⟩, ⟨psf⟩, ⟨source_noise⟩ "
    "and ⟨register⟩, or leave out ⟨params⟩",
    "`quality` and `params` together.",
    "Leave one of them out.",
    arrays(
        lambda: mmsr_geo.upsample("dem.tif", "ortho.tif", quality="best", params=QUICK), "no params for the command"
    ),
)


case(
    "a sensor without a known blur",
    OptionError,
    "⟨psf⟩ is 'landsat-oli', and no point spread function is known by that name: pass auto, or its width in source "
    "pixels as in ⟨psf=0.4⟩, or none, or one of sentinel-2-b01, sentinel-2-b02, sentinel-2-b03, sentinel-2-b04, "
    "sentinel-2-b05, sentinel-2-b06, sentinel-2-b07, sentinel-2-b08, sentinel-2-b8a, sentinel-2-b09, sentinel-2-b11, "
    "sentinel-2-b12, modis, landsat-tirs-b10, landsat-tirs-b11",
    "`--psf` is a sensor or band of which no figure is at hand, or no number.",
    "Pass `auto` or a width.",
    upsampling("--psf landsat-oli", method="mmsr", psf="landsat-oli"),
)


case(
    "a blur wider than any sensor's",
    OptionError,
    "⟨psf⟩ is 1.5: give the standard deviation of a Gaussian before the mean over the pixel, from 0 to 1 source "
    "pixels, as one number or as down,across",
    "`--psf` is below 0 or above 1.",
    "Give the width in source pixels, not in metres or target pixels.",
    upsampling("--psf 1.5", method="mmsr", psf="1.5"),
)


case(
    "a noise below 0",
    OptionError,
    "⟨source_noise⟩ is '-2': pass auto, none, or the standard deviation of the noise in the units of the source, as in "
    "⟨source_noise=0.5⟩",
    "`--source-noise` is a word, or below 0.",
    "Pass one of these.",
    upsampling("--source-noise=-2", method="mmsr", source_noise="-2"),
)


case(
    "a shift of the guide that is too far",
    OptionError,
    "⟨register⟩ is '5,0': pass subpixel, whole, none, or the target pixels by which the guide is moved right and down, "
    "at most 3 each, as in ⟨register=[0.5, -1]⟩",
    "`--register` is another word, one number alone, or more than 3 target pixels.",
    "Pass one of these; move a guide that lies farther off beforehand.",
    upsampling("--register 5,0", method="mmsr", register="5,0"),
)


case(
    "a blur for the published fit",
    OptionError,
    '⟨psf="0.4"⟩ cannot be used with ⟨fit="published"⟩: it takes source and guide as they are; leave out one of them',
    "`--psf`, `--source-noise` or `--register` together with `--fit published`.",
    "Leave out one of the two.",
    upsampling("--fit published --psf 0.4", method="mmsr", fit="published", psf="0.4"),
)


case(
    "a blur for a model of each tile",
    OptionError,
    '⟨psf="0.4"⟩ cannot be used with ⟨fit="tile"⟩: its targets keep to block means; leave out one of them',
    "`--psf` or `--source-noise` together with `--fit adapt` or `--fit tile`.",
    "Leave out one of the two.",
    upsampling("--fit tile --psf 0.4", method="mmsr", fit="tile", psf="0.4"),
)


case(
    "a noise for another method",
    OptionError,
    '⟨source_noise="2"⟩ cannot be used with ⟨method="bicubic"⟩: it has no effect there; leave out one of them',
    "`--psf`, `--source-noise` or `--register` together with another method than mmsr. `--psf` is possible with "
    "`+consistency`.",
    "Leave out one of the two.",
    upsampling("--source-noise 2", source_noise="2"),
)


case(
    "a registration for a saved model",
    OptionError,
    '⟨register="none"⟩ cannot be used with ⟨model⟩: it holds its own; leave out one of them',
    "`--psf`, `--source-noise` or `--register` together with a saved model.",
    "Leave out one of the two.",
    upsampling("--model scene.mmsr --register none", method="mmsr", model="scene.mmsr", register="none"),
)


case(
    "work and steps",
    OptionError,
    "⟨work⟩ and ⟨steps⟩ both say how long the fit is: leave out one of them",
    "`--work` together with `--steps`.",
    "Leave out one of the two.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", work=2, steps=3),
        "fit dem.tif ortho.tif -o new.mmsr --work 2 --steps 3",
    ),
)


case(
    "a start without a network to fit",
    OptionError,
    '⟨from_model⟩ begins the fit of one network for all tiles: leave it out, or leave out ⟨quality="draft"⟩',
    "`--from` together with `--quality draft`, `--work 0` or `--fit tile`.",
    "Leave out one of the two.",
    upsampling("--quality draft --from scene.mmsr", method="mmsr", quality="draft", from_model="scene.mmsr"),
)


case(
    "a start from a model without a network",
    ModelFileError,
    "the model of ⟨from_model⟩ has no network to begin with: leave it out, or pass ⟨model⟩ to use it as it is",
    "`--from` with a model that `--quality draft` fitted, or one whose network has no weight.",
    "Leave it out, or use the model as it is.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, from_model="draft.mmsr", params=QUICK),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --from draft.mmsr --steps 2 --threads 1",
    ),
)


case(
    "a start from a model of other bands",
    ModelFileError,
    "the network of ⟨from_model⟩ is for 2 guide bands, and this guide has 1: use a guide with the same bands, or leave "
    "out ⟨from_model⟩",
    "`--from` with a model for a guide with another number of bands.",
    "Choose the same bands with `--guide-band`.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, from_model="scene.mmsr", guide_band=1, params=QUICK),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --from scene.mmsr --guide-band 1 --steps 2 --threads 1",
    ),
)


case(
    "a saved model and a start",
    OptionError,
    "a saved model is not fitted again: leave out ⟨model⟩, or leave out ⟨from_model⟩",
    "`--model` together with `--from`.",
    "Leave out one of the two.",
    upsampling(
        "--scale 2 --model scene.mmsr --from scene.mmsr",
        method="mmsr",
        scale=2,
        model="scene.mmsr",
        from_model="scene.mmsr",
    ),
)


case(
    "an unknown schedule",
    OptionError,
    "schedule is 'slow': choose one-cycle or published",
    "`schedule` is an unknown name.",
    "Pass one of the two names.",
    arrays(
        lambda: mmsr_geo.FitParams(schedule="slow"),  # type: ignore[arg-type]
        "no option of the command",
    ),
)


case(
    "a learning rate out of range",
    OptionError,
    "lr is 2: give a number between 0 and 1",
    "`lr` is not between 0 and 1.",
    "Pass a number between 0 and 1.",
    arrays(lambda: mmsr_geo.FitParams(lr=2), "no option of the command"),
)


case(
    "a weight decay out of range",
    OptionError,
    "guide_weight_decay is -1: give a number of 0 or more",
    "`guide_weight_decay` is below 0 or not a number.",
    "Pass 0 or more.",
    arrays(lambda: mmsr_geo.FitParams(guide_weight_decay=-1), "no option of the command"),
)


case(
    "nothing to learn from at reduced resolution",
    OptionError,
    "first_stage=True has nothing to learn from at reduced resolution: 1 x 1 source pixels are too few "
    "at scale 2, or they are nodata; leave out first_stage",
    "`first_stage=True` for a source that is too small, or has too few valid pixels.",
    "Leave it out: the fit then decides by itself.",
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
    "the published fit uses the whole raster at every step, and this raster is too large to be read whole "
    '(4 parts of 12 x 12 target pixels were read): choose a smaller part with ⟨bounds⟩, or pass ⟨fit="tile"⟩',
    "`--fit published` for a raster of more than 8 million target pixels.",
    "Choose a part with `--bounds`, or another fit.",
    upsampling(
        "--fit published --scale 2 --steps 2 --threads 1", method="mmsr", fit="published", scale=2, params=QUICK
    ),
    fault=large_raster,
)


case(
    "a published fit with params",
    OptionError,
    '⟨fit="published"⟩ has parameters of its own: leave out ⟨quality⟩, ⟨work⟩ and all of ⟨params⟩ but steps and '
    "threads",
    "`--fit published` with `--quality`, or with other params than steps and threads.",
    "Leave them out.",
    upsampling("--fit published --quality best", method="mmsr", fit="published", quality="best"),
)


case(
    "another method's params",
    OptionError,
    "the method p2p is not fitted as mmsr is: leave out ⟨quality⟩ and all of ⟨params⟩ but steps and threads",
    "`--quality`, or params of a fit, for a method that has none of them.",
    "Give steps and threads alone.",
    upsampling("--method p2p --quality fast", method="p2p", quality="fast"),
)


case(
    "work of another method",
    OptionError,
    "⟨work⟩ belongs to mmsr, and the method is p2p: leave out ⟨work⟩ or ⟨method⟩",
    "`--work` or `--from` with another `--method` than mmsr.",
    "Leave one out.",
    upsampling("--method p2p --work 2", method="p2p", work=2),
)


case(
    "steps of an interpolation",
    OptionError,
    "the method bicubic has no steps: leave out ⟨steps⟩",
    "`--steps` for a method that has none.",
    "Leave it out.",
    upsampling("--steps 2 --threads 1", params=QUICK),
)


case(
    "a model of another method",
    OptionError,
    "⟨model⟩ belongs to mmsr, and the method is bicubic: leave out ⟨model⟩ or ⟨method⟩",
    "`--model` or `--fit` with another `--method` than mmsr.",
    "Leave one out.",
    upsampling("--model scene.mmsr", model="scene.mmsr"),
)


case(
    "the uncertainty of another method",
    OptionError,
    '⟨uncertainty⟩ needs mmsr with one model for the scene: leave it out, or leave out ⟨method="bicubic"⟩',
    "`--uncertainty` with another `--method` than mmsr.",
    "Leave one out.",
    upsampling("--uncertainty", uncertainty=True),
)


case(
    "the uncertainty of a model a tile",
    OptionError,
    '⟨uncertainty⟩ needs mmsr with one model for the scene: leave it out, or leave out ⟨fit="tile"⟩',
    "`--uncertainty` with `--fit tile`, `adapt` or `published`.",
    "Leave one out.",
    upsampling("--fit tile --uncertainty", method="mmsr", fit="tile", uncertainty=True),
)


case(
    "a model for fits of tiles",
    OptionError,
    '⟨fit="tile"⟩ fits a new model: leave out ⟨model⟩, or pass ⟨fit="scene"⟩ or ⟨fit="adapt"⟩',
    "`--model` with a `--fit` that has no use for one.",
    "Leave one out.",
    upsampling("--model scene.mmsr --fit tile", method="mmsr", model="scene.mmsr", fit="tile"),
)


case(
    "a model that is to be fitted again",
    OptionError,
    "a saved model is not fitted again: leave out ⟨model⟩, or leave out ⟨quality⟩, ⟨work⟩, ⟨steps⟩ and ⟨params⟩",
    "`--model` with `--steps`.",
    "Leave one out, or adapt the model with `--fit adapt`.",
    upsampling("--model scene.mmsr --steps 2 --threads 1", method="mmsr", model="scene.mmsr", params=QUICK),
)


case(
    "statistics of no model",
    OptionError,
    "⟨keep_statistics⟩ needs a saved model: pass ⟨model⟩, or leave out ⟨keep_statistics⟩",
    "`--keep-statistics` without `--model`.",
    "Give both or none.",
    upsampling("--keep-statistics", method="mmsr", keep_statistics=True),
)


case(
    "an unknown device",
    OptionError,
    "⟨device⟩ is 'gpu': choose auto, cpu, cuda or cuda:N",
    "`--device` is an unknown name.",
    "Pass one of the names listed.",
    upsampling("--device gpu", device="gpu"),
)


case(
    "a missing device",
    OptionError,
    "this machine has no device 'cuda:99': set ⟨device⟩ to auto or cpu",
    "The machine has no such GPU.",
    "Pass another device.",
    upsampling("--device cuda:99", device="cuda:99"),
)


case(
    "a device of another kind",
    OptionError,
    "the device 'xpu' is not supported: set ⟨device⟩ to auto, cpu, cuda or cuda:N",
    "The device is known to torch, but mmsr_geo is not tested on it.",
    "Pass another device.",
    upsampling("--device xpu", device="xpu"),
)


case(
    "tiles of no size",
    OptionError,
    "⟨tile_size⟩ is 0: give a number of 1 or more",
    "`--tile-size` is below 1.",
    "Pass a larger one.",
    upsampling("--tile-size 0", tile_size=0),
)


case(
    "a missing model",
    ModelFileError,
    "there is no model at none.mmsr: fit one with mmsr-geo fit SOURCE GUIDE -o none.mmsr",
    "The file of `--model` does not exist.",
    "Correct the path, or fit a model.",
    loading("none.mmsr"),
)


case(
    "a model that is a text",
    ModelFileError,
    "text.mmsr is not a saved model, or it is damaged (…): fit a new one with mmsr-geo fit",
    "The file is not in the safetensors format, or it is truncated.",
    "Fit a model again.",
    loading("text.mmsr"),
)


case(
    "a model of something else",
    ModelFileError,
    "other.mmsr is a safetensors file, but not a model of mmsr_geo: pass a file that mmsr-geo fit wrote",
    "The file is in the safetensors format, but another program wrote it.",
    "Pass a model of mmsr_geo.",
    loading("other.mmsr"),
)


case(
    "a damaged model",
    ModelFileError,
    "damaged.mmsr is damaged ('statistics' is missing): fit the model again with mmsr-geo fit",
    "The contents of the model contradict each other, or a part is missing.",
    "Fit the model again.",
    loading("damaged.mmsr"),
)


case(
    "a model of another format",
    ModelFileError,
    "old.mmsr has format 5, and this version of mmsr_geo reads format 10: fit the model again with mmsr-geo fit",
    "Another version of mmsr_geo wrote the model.",
    "Fit the model again.",
    loading("old.mmsr"),
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
    NothingInCommonError,
    "source and guide have no valid pixel in common: source empty.tif has no valid pixel (valid: source empty.tif 0 %; "
    "guide ortho.tif 100 %); check its nodata (⟨source_nodata⟩) and ⟨bounds⟩",
    "None of the sampled windows has a pixel that is valid in source and guide. The message names the raster, the band "
    "or the mask that has none, with the share of valid pixels of each.",
    "Declare the right nodata value (`--source-nodata`, `--guide-nodata`), leave out the band that is empty "
    "(`--guide-band`), or use a guide without clouds there.",
    fitting(source="empty.tif"),
)


case(
    "nothing in common",
    NothingInCommonError,
    "source and guide have no valid pixel in common: no pixel that is valid in source left.tif is valid in guide "
    "right.tif (valid: source left.tif 50.0 %; guide right.tif 36.1 %); check its nodata (⟨guide_nodata⟩) and that it "
    "shows the same area",
    "The guide is nodata wherever the source is valid.",
    "Declare the right nodata, or give a guide that shows the same place.",
    fitting("--scale 2", source="left.tif", guide="right.tif", scale=2),
)


case(
    "nothing in common for a draft",
    NothingInCommonError,
    "source and guide have no valid pixel in common: no pixel that is valid in source left.tif is valid in guide "
    "right.tif (valid: source left.tif 50.0 %; guide right.tif 36.1 %); check its nodata (⟨guide_nodata⟩) and that it "
    "shows the same area",
    "With `--quality draft`: no source pixel is valid that valid guide pixels cover by half.",
    "Declare the right nodata, or give a guide that shows the same place.",
    Doors(
        lambda: mmsr_geo.fit("left.tif", "right.tif", 2, quality="draft"),
        "fit left.tif right.tif -o new.mmsr --scale 2 --quality draft",
    ),
)


case(
    "nothing in common for p2p",
    NothingInCommonError,
    "source and guide have no valid pixel in common: no pixel that is valid in source left.tif is valid in guide "
    "right.tif (valid: source left.tif 50.0 %; guide right.tif 36.1 %); check its nodata (⟨guide_nodata⟩) and that it "
    "shows the same area",
    "With `--method p2p`: where the source is valid, the guide has no data.",
    "Declare the right nodata value, or use a guide of the same area.",
    upsampling(
        "--scale 2 --steps 2 --threads 1", source="left.tif", guide="right.tif", method="p2p", scale=2, params=QUICK
    ),
)


case(
    "a guide that did not help",
    UnhelpfulGuideError,
    "ortho.tif for dem.tif: the guide did not help: the error is expected to be 1.20 times that of the bicubic "
    "baseline (measured: 1.20 at reduced resolution on validation blocks); use another guide, or pass "
    '⟨if_unhelpful="interpolate"⟩ or ⟨if_unhelpful="warn"⟩',
    "`--if-unhelpful error`, and the guide did not help.",
    "Use another guide, or let the source alone be interpolated.",
    upsampling(
        "--model unhelpful.mmsr --if-unhelpful error", method="mmsr", model="unhelpful.mmsr", if_unhelpful="error"
    ),
)


case(
    "a model that exists",
    OutputError,
    "scene.mmsr exists: choose another name, or pass ⟨overwrite=true⟩",
    "`model.save(..., overwrite=False)`, and the file exists.",
    "Choose another name, or overwrite the file.",
    arrays(lambda: mmsr_geo.load("scene.mmsr").save("scene.mmsr", overwrite=False), "the command looks before the fit"),
)


case(
    "a model's folder closed to writing",
    OutputError,
    "cannot write new.mmsr: Permission denied; check that its folder exists, may be written to and has space left",
    "The folder of the saved model is missing or closed to writing.",
    "Choose another folder.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=QUICK).save("new.mmsr"),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --steps 2 --threads 1",
    ),
    fault=raising("mmsr_geo.network.model_file.write_whole", DENIED),
)


case(
    "a disk that fills up with a model",
    OutputError,
    "cannot write new.mmsr: No space left on device; check that its folder exists, may be written to and has "
    "space left",
    "The disk fails, or is full, while a model is saved.",
    "Free some space.",
    Doors(
        lambda: mmsr_geo.fit("dem.tif", "ortho.tif", 2, params=QUICK).save("new.mmsr"),
        "fit dem.tif ortho.tif -o new.mmsr --scale 2 --steps 2 --threads 1",
    ),
    fault=raising("mmsr_geo.network.model_file.write_whole", NO_SPACE),
)


case(
    "a model of other classes",
    ModelFileError,
    "the model is for the guide band red, and this guide has class 1 in its place: use a guide with the same classes, "
    "named in ⟨guide_classes⟩ if it does not declare them, or fit a new model",
    "`--model` or `--from` with a model for quantities and a guide of classes, or for another number of classes.",
    "Use a guide with the same classes, or fit a new model.",
    upsampling(
        "--model scene.mmsr --guide-classes 1", method="mmsr", guide="fields.tif", model="scene.mmsr", guide_classes=1
    ),
)
