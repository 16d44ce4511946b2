"""Jobs that are refused or fail."""

from __future__ import annotations

import sys
from functools import partial

from filelock import Timeout

import mmsr_geo
from mmsr_geo.errors import (
    JobError,
    OptionError,
    OutputError,
)
from support.refusals.cases import (
    Doors,
    arrays,
    batching,
    case,
    upsampling,
)
from support.refusals.inputs import (
    DENIED,
    NO_SPACE,
    raising,
    unsaved_model,
)

case(
    "no model to save",
    OptionError,
    'made.tif was computed without a model of the scene, so there is none to save: use ⟨method="mmsr"⟩ with '
    '⟨fit="scene"⟩',
    "`outcome.model` is used, and the method has no model of the scene.",
    "Use mmsr with one model for the scene.",
    arrays(unsaved_model, "the command tells before"),
)


case(
    "no job",
    JobError,
    "none.toml cannot be read (No such file or directory): give a job file; mmsr-geo batch --init writes an example",
    "There is no job file of that name, or it is not text.",
    "Correct the path, or write an example with `--init`.",
    batching("none.toml"),
)


case(
    "a job that is not TOML",
    JobError,
    "text.toml is not valid TOML (…): fix that line; mmsr-geo batch --init writes an example",
    "The job file is not valid TOML.",
    "Fix the line in the message.",
    batching("text.toml"),
)


case(
    "a job with wrong values",
    JobError,
    "wrong.toml has 2 mistakes: options.seed: input should be a valid integer, unable to parse string as "
    "an integer, not 'x'; options.sharpness: unknown name, not 3",
    "Names or values in the job file are wrong. All mistakes are reported at once.",
    "Fix each at its position.",
    batching("wrong.toml"),
)


case(
    "a job without its files",
    JobError,
    "missing.toml has 2 mistakes: pairs[0].source: there is no file gone.tif; output: all 2 pairs would be written to "
    "a.tif: add {name} to it",
    "Files of the job are missing, or several pairs have one output.",
    "Fix each at its position.",
    batching("missing.toml"),
)


case(
    "a job of another format",
    JobError,
    "netcdf.toml has 1 mistake: output: a.nc ends in .nc, and outputs are Cloud Optimized GeoTIFFs (.tif) or Zarr "
    "stores (.zarr): give a name that ends so, and convert that file with gdal_translate",
    "The name of the outputs in a job file ends as those of another format do.",
    "Give a name that ends in .tif or .zarr.",
    batching("netcdf.toml"),
)


case(
    "a job whose pair fails",
    JobError,
    "waves: …/waves.tif holds complex numbers: give its amplitude or another real "
    'quantity; fix it and run the job again, or skip it (⟨on_error="skip"⟩)',
    "A pair fails, and the job stops at errors.",
    "Fix what the message of the pair says. What was done stays done.",
    batching("failing.toml"),
    job="failing",
)


case(
    "a job whose outputs have no folder",
    JobError,
    "dem: the folder …/qa.tif cannot be created (File exists): choose another folder for output and qa in the job "
    'file, or remove what is in its place; fix it and run the job again, or skip it (⟨on_error="skip"⟩)',
    "The folder of an output cannot be created: a file has its name, or the folder above cannot be written.",
    "Choose another folder in the job file, or move the file.",
    batching("blocked.toml"),
    job="blocked",
)


case(
    "a job for a cluster whose library is missing",
    JobError,
    "this kind of cluster needs dask-jobqueue (…): install it with pip install dask-jobqueue",
    "`kind` in `[cluster]` of the job file needs dask-jobqueue or dask-cuda.",
    "Install it.",
    batching("slurm.toml"),
    fault=lambda monkeypatch: monkeypatch.setitem(sys.modules, "dask_jobqueue", None),
)


case(
    "a job whose record cannot be written",
    JobError,
    "held.record.jsonl cannot be written (Is a directory): put the job file into a folder where you may write",
    "The journal next to the job file cannot be written.",
    "Put the job file into a folder where you may write.",
    batching("held.toml"),
)


case(
    "a job under way",
    JobError,
    "another process runs this job (.failing.lock is locked): wait until it ends, or stop it",
    "The same job is already running.",
    "Wait until it ends, or stop it.",
    batching("failing.toml"),
    fault=raising("filelock.BaseFileLock.acquire", Timeout(".failing.lock")),
    job="failing",
)


case(
    "two clusters",
    OptionError,
    "a running scheduler has its own workers: remove ⟨workers⟩ or ⟨scheduler⟩",
    "A scheduler and a number of workers are given.",
    "Remove one of them.",
    Doors(
        partial(mmsr_geo.batch, "failing.toml", scheduler="tcp://127.0.0.1:1", workers=2),
        "batch failing.toml --scheduler tcp://127.0.0.1:1 --workers 2",
    ),
)


case(
    "no workers",
    OptionError,
    "⟨workers⟩ is 0: give a number of 1 or more",
    "The number of workers is less than 1.",
    "Give 1 or more.",
    arrays(
        lambda: mmsr_geo.upsample_to_file("dem.tif", "ortho.tif", "sharp.tif", method="bicubic", workers=0),
        "the command names its range",
    ),
)


case(
    "too little memory",
    OptionError,
    "⟨memory_limit⟩ is 100 MB per process, and tiles of … px need …: raise it, or pass a smaller ⟨tile_size⟩, a part "
    "(⟨bounds⟩), fewer guide bands (⟨guide_band⟩) or a saved model (⟨model⟩)",
    "A process needs more memory than the limit, as `mmsr-geo plan` estimates it.",
    "Raise the limit, or use smaller tiles, a part of the source, fewer bands or a saved model.",
    upsampling("--memory-limit 100MB", memory_limit="100MB"),
)


case(
    "a report that cannot be written",
    OutputError,
    "the report cannot be written to failing.report (Permission denied): free disk space or fix the permissions of the "
    "folder, then run mmsr-geo report",
    "The folder of the report cannot be written, or a file has its name. At the end of a job this is a warning.",
    "Fix the folder, then write the report with `mmsr-geo report`.",
    Doors(partial(mmsr_geo.report_batch, "failing.toml"), "report failing.toml"),
    fault=raising("mmsr_geo.jobs.report.write_whole", DENIED),
    job="failing",
)


case(
    "a disk too full for tiles",
    OutputError,
    "tiles cannot be written to … (No space left on device): free disk space or fix the permissions, then run again",
    "The disk with the finished tiles is full, or its permissions do not allow writing.",
    "Free disk space or fix the permissions. A job continues from what is done.",
    upsampling(),
    fault=raising("os.fsync", NO_SPACE),
)


case(
    "a file of flags next to a Zarr store",
    OptionError,
    "sharp.zarr is a Zarr store, which contains the QA flags as the variable qa: remove ⟨qa⟩",
    "A file of QA flags is given, and the output is a Zarr store.",
    "Remove it.",
    upsampling("--qa qa2.tif", output="sharp.zarr", qa="qa2.tif"),
)


case(
    "a Zarr store of flags alone",
    OptionError,
    "qa2.zarr is a Zarr store, and QA flags need the target in the same one: give ⟨qa⟩ a name that ends in .tif, or "
    "⟨output⟩ one that ends in .zarr",
    "The file of the QA flags ends in .zarr, and the output does not.",
    "Give a file, or one store for both.",
    upsampling("--qa qa2.zarr", qa="qa2.zarr"),
)


case(
    "creation options for a Zarr store",
    OptionError,
    "sharp.zarr is a Zarr store, which takes no options of GDAL's COG driver: remove ⟨creation_options⟩",
    "Creation options are given, and the output is a Zarr store.",
    "Remove them.",
    upsampling("--co COMPRESS=ZSTD", output="sharp.zarr", creation_options=["COMPRESS=ZSTD"]),
)
