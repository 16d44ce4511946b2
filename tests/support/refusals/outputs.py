"""Outputs that are refused, and disks that fail."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError

from mmsr_geo.errors import (
    OptionError,
    OutputError,
)
from mmsr_geo.raster.write.object_store import ObjectUrl
from support.refusals.cases import (
    case,
    upsampling,
)
from support.refusals.inputs import (
    DENIED,
    LONG,
    MINE,
    NO_SPACE,
    closed_folder,
    full,
    on_windows,
    raising,
    unwritable_drafts,
)

case(
    "another format",
    OutputError,
    "sharp.nc ends in .nc, and outputs are Cloud Optimized GeoTIFFs (.tif) or Zarr stores (.zarr): give a name that "
    "ends so, and convert that file with gdal_translate",
    "The name of an output ends as those of another format do.",
    "Give a name that ends in .tif or .zarr.",
    upsampling(output="sharp.nc"),
)


case(
    "no dtype",
    OptionError,
    "a target cannot be stored as int64: choose one of uint8, int8, uint16, int16, "
    "uint32, int32, float32, float64 for ⟨dtype⟩",
    "`--dtype` is not a dtype of outputs.",
    "Choose one of those listed.",
    upsampling("--dtype int64", dtype="int64"),
)


case(
    "a scale factor of 0",
    OptionError,
    "⟨scale_factor=0.0⟩ is not allowed: give a finite number other than 0, as in 0.1",
    "`--scale-factor` is 0 or not finite.",
    "Give another number.",
    upsampling("--scale-factor 0", scale_factor=0),
)


case(
    "no offset",
    OptionError,
    "⟨add_offset=NaN⟩ is not allowed: give a finite number, as in 273.15",
    "`--add-offset` is not finite.",
    "Give another number.",
    upsampling("--add-offset nan", add_offset=float("nan")),
)


case(
    "a source that cannot be rescaled",
    OptionError,
    "the source declares scale nan and offset 0, from which values cannot be rescaled: correct its tags, or leave out "
    "⟨scale_factor⟩ and ⟨add_offset⟩",
    "`--scale-factor` or `--add-offset` is given, and the source's own scale or offset is not finite.",
    "Correct the source's tags, or leave the options out.",
    upsampling("--scale-factor 0.1 --scale 2", source="scaled.tif", scale_factor=0.1, scale=2),
)


case(
    "no creation option",
    OptionError,
    "the creation option 'LZW' is not KEY=VALUE: write it as in COMPRESS=LZW",
    "`--co` has no `=`.",
    "Write KEY=VALUE.",
    upsampling("--co LZW", creation_options=["LZW"]),
)


case(
    "a creation option without a value",
    OptionError,
    "the creation option 'COMPRESS=' is not KEY=VALUE: write it as in COMPRESS=LZW",
    "`--co` has no key or no value.",
    "Write KEY=VALUE.",
    upsampling("--co COMPRESS=", creation_options=["COMPRESS="]),
)


case(
    "a creation option twice",
    OptionError,
    "the creation option COMPRESS is given 2 times: keep one",
    "`--co` gives a key more than once.",
    "Keep one.",
    upsampling("--co COMPRESS=LZW --co compress=ZSTD", creation_options=["COMPRESS=LZW", "compress=ZSTD"]),
)


case(
    "a creation option that resamples",
    OptionError,
    "the creation option RES would resample the target, whose block means would no longer equal the "
    "source: leave it out, and pass it to gdal_translate -of COG for the finished file",
    "`--co` makes the COG driver resample.",
    "Leave it out.",
    upsampling("--co RES=10", creation_options=["RES=10"]),
)


case(
    "no size of a block",
    OptionError,
    "BLOCKSIZE=100: give a multiple of 16 from 128 to 4096, as in 512",
    "`--co BLOCKSIZE` is not a block size of a COG.",
    "Give another number.",
    upsampling("--co BLOCKSIZE=100", creation_options=["BLOCKSIZE=100"]),
)


case(
    "a creation option that GDAL does not know",
    OptionError,
    "GDAL cannot write a COG of 1 float32 band with COMPRESS=ZIP (…): use the options that "
    "https://gdal.org/en/stable/drivers/raster/cog.html lists",
    "GDAL's COG driver refuses a creation option, or would ignore it.",
    "Use the options that its page lists.",
    upsampling("--co COMPRESS=ZIP", creation_options=["COMPRESS=ZIP"]),
)


case(
    "a compression that loses nodata",
    OptionError,
    "with COMPRESS=JPEG nodata is not preserved (… of 8448 pixels are wrong after reading): choose a lossless "
    "compression, as in COMPRESS=DEFLATE",
    "A lossy compression changes nodata.",
    "Choose a lossless compression.",
    upsampling("--dtype uint8 --co COMPRESS=JPEG", dtype="uint8", creation_options=["COMPRESS=JPEG"]),
)


case(
    "an output that exists",
    OutputError,
    "south.tif exists: choose another name, or pass ⟨overwrite=true⟩",
    "The output exists.",
    "Choose another name, or overwrite it.",
    upsampling(output="south.tif"),
    stays=False,
)


case(
    "an output that is an input",
    OutputError,
    "dem.tif is also an input (dem.tif), which would be lost: give the output another name",
    "An output is also an input (source, guide, mask, model or the raster of `like`), perhaps under another name.",
    "Give it another name.",
    upsampling(output="dem.tif"),
)


case(
    "an output that is a folder",
    OutputError,
    "tiles is a folder: give the name of a file in it",
    "The output is a folder.",
    "Name a file in it.",
    upsampling(output="tiles"),
)


case(
    "an output that is a pipe",
    OutputError,
    "pipe.tif is a pipe or a device, which a raster cannot replace: give the name of a file",
    "The output is a pipe or a device.",
    "Name a file.",
    upsampling(output="pipe.tif"),
)


case(
    "a folder that is missing",
    OutputError,
    "the folder none does not exist: create it first",
    "The output's folder does not exist.",
    "Create the folder.",
    upsampling(output="none/sharp.tif"),
)


case(
    "a name too long",
    OutputError,
    f"{LONG} is a name of 244 bytes: give one of at most 240",
    "The output's name is too long for a temporary folder next to it.",
    "Give a shorter name.",
    upsampling(output=LONG),
)


case(
    "a place out of reach",
    OutputError,
    "closed/sharp.tif cannot be accessed (Permission denied): choose another folder",
    "The output's folder may not be read.",
    "Choose another folder, or change its access rights.",
    upsampling(output="closed/sharp.tif"),
    fault=closed_folder,
)


case(
    "one file for two",
    OutputError,
    "sharp.tif is also another output (sharp.tif), which would be lost: give the output another name",
    "Two outputs have the same path, such as `--qa` and the target.",
    "Give one of them another name.",
    upsampling("--qa sharp.tif", qa="sharp.tif"),
)


case(
    "a name that Windows reserves",
    OutputError,
    "aux.tif is a name that Windows reserves for a device: give the output another name",
    "On Windows, the output has the name of a device (CON, PRN, AUX, NUL, COM1, LPT1, ...), with any extension.",
    "Give another name.",
    upsampling(output="aux.tif"),
    fault=on_windows,
)


case(
    "a name that Windows does not allow",
    OutputError,
    "'sharp?.tif' cannot be the name of a file on Windows ('?' in it): give the output another name",
    "On Windows, the output's name has one of the characters < > : \" \\| ? * or ends in a dot or a space.",
    "Give another name.",
    upsampling(output="sharp?.tif"),
    fault=on_windows,
)


case(
    "an output that is open elsewhere",
    OutputError,
    "sharp.tif cannot be written or replaced (Permission denied): close the programs that have it open, or choose "
    "another name",
    "Windows does not replace a file that another program has open; elsewhere its access rights forbid it.",
    "Close it in QGIS or other viewers, or choose another name.",
    upsampling(),
    fault=raising("mmsr_geo.raster.write.staged.replace", DENIED),
)


case(
    "a disk without room",
    OutputError,
    "sharp.tif needs 0.0 GB to be written, and 0.0 GB are free: free disk space, or write to another disk",
    "The disk has less free space than the uncompressed pixels need.",
    "Delete other files, or write to another disk.",
    upsampling(),
    fault=full,
)


case(
    "a folder closed to writing",
    OutputError,
    "the folder . cannot be written to (Permission denied): choose another folder for the output",
    "The output's folder may not be written to.",
    "Choose another folder, or change its access rights.",
    upsampling(),
    fault=raising("tempfile.mkdtemp", DENIED),
)


case(
    "a draft that fails",
    OutputError,
    "sharp.tif cannot be written (Write failed; 5.0 GB free): free disk space, or write to another disk",
    "GDAL cannot create the file.",
    "Delete other files, or write to another disk.",
    upsampling("--like 5", like=5.0),
    fault=unwritable_drafts,
)


case(
    "a disk that fills up",
    OutputError,
    "sharp.tif cannot be written ([Errno 28] No space left on device; 5.0 GB free): free disk space, or write to "
    "another disk",
    "The disk or GDAL fails while the file is written.",
    "Delete other files, or write to another disk.",
    upsampling(),
    fault=raising("mmsr_geo.raster.write.cog.sync", NO_SPACE),
)


case(
    "a Zarr store without the library",
    OutputError,
    "sharp.zarr cannot be written without zarr 3: install it with pip install 'mmsr-geo[zarr]', or write a .tif",
    "The output ends in .zarr, and the package zarr is missing or older than version 3.",
    "Install it, or write a GeoTIFF.",
    upsampling(output="sharp.zarr"),
    fault=raising("mmsr_geo.raster.write.destination.version", PackageNotFoundError()),
)


case(
    "a Zarr store without a folder",
    OutputError,
    "the folder none does not exist: create it first",
    "The folder of the Zarr store does not exist.",
    "Create the folder.",
    upsampling(output="none/sharp.zarr"),
)


case(
    "a Zarr store out of reach",
    OutputError,
    "closed/sharp.zarr cannot be accessed (Permission denied): choose another folder",
    "The folder of the Zarr store may not be read.",
    "Choose another folder, or change its access rights.",
    upsampling(output="closed/sharp.zarr"),
    fault=closed_folder,
)


case(
    "a folder that ends in .zarr",
    OutputError,
    "theirs.zarr exists and was not written by mmsr_geo, so it is not replaced: remove it, or choose another name",
    "The output is a file, a folder or a Zarr store that was not written by this package.",
    "Remove it, or choose another name.",
    upsampling(output="theirs.zarr"),
)


case(
    "a Zarr store that is there",
    OutputError,
    "ours.zarr exists: choose another name, or pass ⟨overwrite=true⟩",
    "The Zarr store exists and is a target of this package.",
    "Choose another name, or overwrite it.",
    upsampling(output="ours.zarr"),
    stays=False,
)


case(
    "a Zarr store on a disk that fills up",
    OutputError,
    "sharp.zarr cannot be written ([Errno 28] No space left on device; 5.0 GB free): free disk space, or write to "
    "another disk",
    "The disk fails while the store is written.",
    "Delete other files, or write to another disk.",
    replace(
        upsampling(output="sharp.zarr"),
        words="upsample dem.tif ortho.tif --output sharp.zarr --method bicubic",  # no file shall be in its place before
    ),
    fault=raising("mmsr_geo.raster.write.zarr.sync", NO_SPACE),
)


case(
    "bands that are no one variable",
    OptionError,
    "the source's 2 bands differ in scale or offset, and a variable of a Zarr store has one scale and one offset: pass "
    "⟨scale_factor⟩ for all bands, or write a .tif",
    "The output is a Zarr store, and the source's bands differ in their scale or offset.",
    "Pass one scale factor for all bands, or write a GeoTIFF.",
    replace(
        upsampling(source="scales.tif", output="sharp.zarr"),
        words="upsample scales.tif ortho.tif --output sharp.zarr --method bicubic",
    ),
)


case(
    "an object that is there",
    OutputError,
    "memory://there/sharp.tif exists: choose another name, or pass ⟨overwrite=true⟩",
    "The output is a URL, and the object exists.",
    "Choose another name, or overwrite it.",
    upsampling(output="memory://there/sharp.tif"),
    fault=lambda _: ObjectUrl("memory://there/sharp.tif").write(MINE),
    stays=False,
)


case(
    "an object store out of reach",
    OutputError,
    "memory://gone/sharp.tif cannot be reached or written to (The specified bucket does not exist): check the address "
    "and the credentials, and run again",
    "The URL of an output or of a job's tiles cannot be reached: the bucket does not exist, the credentials are "
    "missing or have no right to write, or there is no network.",
    "Correct the address, or the settings of the library (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...).",
    upsampling(output="memory://gone/sharp.tif"),
    fault=raising(
        "fsspec.implementations.memory.MemoryFileSystem.pipe_file", ValueError("The specified bucket does not exist")
    ),
)


case(
    "a URL of no known kind",
    OutputError,
    "nowhere://a/sharp.tif cannot be opened (…): install the package for such URLs, or name a folder",
    "No installed package opens such URLs. For S3 the extra s3 is needed.",
    "`pip install 'mmsr-geo[s3]'`, or name a folder.",
    upsampling(output="nowhere://a/sharp.tif"),
)
