"""Warnings: the work goes on."""

from __future__ import annotations

from dataclasses import replace

import mmsr_geo
from mmsr_geo.errors import (
    GuideWarning,
    MmsrWarning,
    NodataWarning,
)
from support.refusals.cases import (
    QUICK,
    arrays,
    case,
    upsampling,
)
from support.refusals.inputs import (
    array,
    of_corners,
)

case(
    "a guide coarser than the target",
    GuideWarning,
    "the guide's pixels (15.01 m) are larger than the target's (7.503 m): the target will hold no detail finer than "
    "the guide's; give a finer guide, or a smaller ⟨scale⟩",
    "The scale is larger than the ratio of the resolutions.",
    "Give a finer guide, or a smaller scale. The target has the detail of the guide.",
    upsampling("--scale 4", scale=4),
)


case(
    "a guide that did not help is left out",
    GuideWarning,
    "ortho.tif for dem.tif: the guide did not help: the error is expected to be 1.20 times that of the bicubic "
    "baseline (measured: 1.20 at reduced resolution on validation blocks); the target is interpolated from the source "
    "alone",
    "At reduced resolution, on validation blocks, the model was not better than the bicubic baseline.",
    "Use another guide. The target is an interpolation; its tags record this.",
    upsampling("--model unhelpful.mmsr", method="mmsr", model="unhelpful.mmsr"),
)


case(
    "a guide that did not help is used",
    GuideWarning,
    "ortho.tif for dem.tif: the guide did not help: the error is expected to be 1.20 times that of the bicubic "
    "baseline (measured: 1.20 at reduced resolution on validation blocks); the guide is used anyway",
    "The guide did not help, and `--if-unhelpful warn` is given.",
    "Check the target with care, or leave out the option.",
    upsampling(
        "--model unhelpful.mmsr --if-unhelpful warn", method="mmsr", model="unhelpful.mmsr", if_unhelpful="warn"
    ),
)


case(
    "a value that looks like nodata",
    NodataWarning,
    "undeclared.tif: -9999 is the value of 64 of 1152 sampled pixels (5.6 %), far from all others, and no nodata is "
    "declared: pass ⟨source_nodata=-9999⟩ if it means nodata",
    "At least 1 % of the pixels have values that are far from all others, or that lie along the border, and they are "
    "not declared as nodata.",
    "Declare them if they mean nodata. They were used as valid values.",
    upsampling("--scale 2", source="undeclared.tif", scale=2),
)


case(
    "a band declared as alpha that holds data",
    MmsrWarning,
    "naip.tif: band 4 is declared as alpha, and has many values from 0 to 255: it is read as a band of data, not as a "
    "mask; declare it so with gdal_edit.py -colorinterp_4 undefined",
    "A band is declared as alpha, and most of its pixels lie between 0 and its largest value, as those of a near "
    "infrared band. GDAL and rasterio declare the fourth band of uint8 so unless they are told otherwise.",
    "Change the declaration. The band was used as data, and masked nothing.",
    upsampling("--scale 2", guide="naip.tif", scale=2),
)


case(
    "coordinates of corners",
    MmsrWarning,
    "the array: x and y are the pixels' top left corners by its transform, which decides: the centres are 15 "
    "and 15 further, half a pixel; give stackstac xy_coords='center' for x and y of centres",
    "The coordinates of an array are those of its pixels' corners by its attribute `transform`, as stackstac's are.",
    "Nothing, if the attribute is right. To be sure, give coordinates of centres.",
    arrays(lambda: mmsr_geo.upsample_to_file(of_corners(), "ortho.tif", "sharp.tif", 2, method="bicubic")),
)


case(
    "coordinates that may be of corners",
    MmsrWarning,
    "the array: x and y are whole multiples of the pixel size, as the pixels' corners are that stackstac gives, but "
    "the attribute transform is missing: they are taken for centres; if they are corners, keep the attributes "
    "(keep_attrs=True), or give stackstac xy_coords='center'",
    "An array has stackstac's coordinate `epsg`, no transform, and coordinates on whole multiples of its pixel size.",
    "Keep the attributes where the array is computed, or give coordinates of centres.",
    arrays(lambda: mmsr_geo.upsample_to_file(of_corners().drop_attrs(), "ortho.tif", "sharp.tif", 2, method="bicubic")),
)


case(
    "codes next to a quantity",
    MmsrWarning,
    "the array: the flag values 500 lie outside the valid range 200 to 400: they are read as nodata, and the other "
    "values as a quantity",
    "The flag values (CF attribute `flag_values`) of a raster all lie outside its valid range.",
    "Nothing. If the raster holds classes, correct its valid range.",
    arrays(
        lambda: mmsr_geo.upsample_to_file(
            array().assign_attrs(valid_range=[200, 400], flag_values=500), "ortho.tif", "sharp.tif", 2, method="bicubic"
        )
    ),
)


case(
    "an uncertainty that the fit could not calibrate",
    MmsrWarning,
    "dem.tif: the uncertainty is not calibrated and its band is all nodata: the source has too few valid pixels to "
    "compare predictions with it; choose a larger part (⟨bounds⟩) or a smaller ⟨scale⟩",
    "Fewer than 100 source pixels can be compared with predictions from an averaged source, or these have no error.",
    "Choose a larger part or a smaller scale. The target itself does not depend on `--uncertainty`.",
    arrays(
        lambda: mmsr_geo.upsample_to_file(
            "dem.tif",
            "ortho.tif",
            "sharp.tif",
            2,
            bounds=(435_730, 4_176_300, 436_330, 4_176_900),
            uncertainty=True,
            params=replace(QUICK, ensemble=False),
        ),
        "the command warns of the guide as well",
    ),
)


case(
    "a saved model that knows no uncertainty",
    MmsrWarning,
    "dem.tif: the uncertainty is not calibrated and its band is all nodata: the saved model has no calibration; fit a "
    "model again, to a larger part or at a smaller scale",
    "`--uncertainty` with a model whose fit could not calibrate it.",
    "Fit a model again. The target itself does not depend on `--uncertainty`.",
    upsampling("--model uncalibrated.mmsr --uncertainty", method="mmsr", model="uncalibrated.mmsr", uncertainty=True),
)


case(
    "an uncertainty without a guide check",
    MmsrWarning,
    "dem.tif: the uncertainty is not calibrated and its band is all nodata: first_stage=False leaves out the guide "
    "check; leave first_stage out of ⟨params⟩",
    "`FitParams(first_stage=False)` with `uncertainty=True`.",
    "Leave first_stage out of the params. The target itself does not depend on `uncertainty`.",
    arrays(
        lambda: mmsr_geo.upsample_to_file(
            "dem.tif", "ortho.tif", "sharp.tif", 2, uncertainty=True, params=replace(QUICK, first_stage=False)
        ),
        "the command has no such option",
    ),
)


case(
    "values that were clipped",
    MmsrWarning,
    "4598 of 4608 values (99.8 %) are outside 0 to 255, the range of uint8, and were clipped: pass a wider "
    "⟨dtype⟩, or another ⟨scale_factor⟩ or ⟨add_offset⟩",
    "Values of the target lie outside of what `--dtype` holds.",
    "Choose another dtype, or a scale factor and an offset.",
    upsampling("--scale 2 --dtype uint8", scale=2, dtype="uint8"),
)


case(
    "classes that a model does not know",
    GuideWarning,
    "later.tif holds class 3 (4.9% of its pixels), and the model has bands of classes 1, 2 only: the guide has a gap "
    "there; fit a new model to use all",
    "A saved model is used with a guide that holds further classes, and the model has no band for others.",
    "Fit a new model. The target is interpolated from the source alone where those classes are.",
    upsampling(
        "--model fields.mmsr --guide-classes 1", method="mmsr", guide="later.tif", model="fields.mmsr", guide_classes=1
    ),
)
