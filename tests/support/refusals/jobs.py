"""Jobs that are refused or fail."""

from __future__ import annotations

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
    "made.tif was made without a scene's model: there is none to save",
    "The model of an outcome is asked for that has none.",
    "Fit a scene's model.",
    arrays(unsaved_model, "the command tells before"),
)


case(
    "no job",
    JobError,
    "none.toml cannot be read (No such file or directory): name a job file; mmsr-geo batch --init writes an example",
    "There is no job file of that name, or it is no text.",
    "Mend the path, or have an example written.",
    batching("none.toml"),
)


case(
    "a job that is no TOML",
    JobError,
    "text.toml is no TOML (…): mmsr-geo batch --init writes an example",
    "The job file is not TOML.",
    "Mend the line that is named.",
    batching("text.toml"),
)


case(
    "a job with wrong values",
    JobError,
    "wrong.toml has 2 mistakes: options.seed: input should be a valid integer, unable to parse string as "
    "an integer, not 'x'; options.sharpness: there is nothing of that name, not 3",
    "Names or values in the job file are wrong; all of them are told at once.",
    "Mend each where it stands.",
    batching("wrong.toml"),
)


case(
    "a job without its files",
    JobError,
    "missing.toml has 2 mistakes: pairs[0].source: there is no gone.tif; output: 2 pairs would be "
    "written to a.tif: put {name} in it",
    "Files of the job are missing, or two pairs would be one.",
    "Mend each where it stands.",
    batching("missing.toml"),
)


case(
    "a job whose pair fails",
    JobError,
    "waves: …/waves.tif holds complex numbers: give its amplitude or another real "
    'quantity; mend it and call again, or go on without it (⟨on_error="skip"⟩)',
    "A pair is refused, and the job does not say that the others go on.",
    "Mend what the pair's own message says. What was done stays done.",
    batching("failing.toml"),
    job="failing",
)


case(
    "a job whose outputs have no folder",
    JobError,
    "dem: cannot make the folder …/qa.tif (File exists): write another folder in the job file's output or qa, or make "
    'room for it; mend it and call again, or go on without it (⟨on_error="skip"⟩)',
    "A folder of a pair's outputs cannot be made: a file is in its place, or the one above is closed to writing.",
    "Write another folder in the job file, or move the file away.",
    batching("blocked.toml"),
    job="blocked",
)


case(
    "a job for a cluster whose library is missing",
    JobError,
    "this kind of cluster needs dask-jobqueue (No module named 'dask_jobqueue'): pip install dask-jobqueue",
    "`kind` in a job file's `[cluster]` needs dask-jobqueue or dask-cuda.",
    "Install it.",
    batching("slurm.toml"),
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
    "a scheduler that runs has its workers: leave out workers, or the address",
    "`--scheduler` and `--workers` are given.",
    "Leave one of them out.",
    Doors(
        partial(mmsr_geo.batch, "failing.toml", scheduler="tcp://127.0.0.1:1", workers=2),
        "batch failing.toml --scheduler tcp://127.0.0.1:1 --workers 2",
    ),
)


case(
    "no workers",
    OptionError,
    "⟨workers⟩ is 0: give a number of 1 or more",
    "`workers=` is no number of processes.",
    "Give 1 or more.",
    arrays(
        lambda: mmsr_geo.upsample_to_file("dem.tif", "ortho.tif", "sharp.tif", method="bicubic", workers=0),
        "the command names its range",
    ),
)


case(
    "too little memory",
    OptionError,
    "a process may take 100 MB (memory_limit), and this work takes … in tiles of … px: allow more, pass a smaller "
    "⟨tile_size⟩, a part (⟨bounds⟩), fewer guide bands (⟨guide_band⟩) or a saved "
    "model (⟨model⟩)",
    "What a process takes at its peak, as `plan` reckons it, is more than `--memory-limit`.",
    "Allow more, or take smaller tiles, a part, fewer bands or a saved model.",
    upsampling("--memory-limit 100MB", memory_limit="100MB"),
)


case(
    "a report that has no place",
    OutputError,
    "the report cannot be written to failing.report (Permission denied): make room there, or mend the folder's rights, "
    "and call mmsr-geo report",
    "The folder of a job's report is full or closed, or a file is in its place. At a job's end it is a warning.",
    "Mend the folder, and have the report written.",
    Doors(partial(mmsr_geo.report_batch, "failing.toml"), "report failing.toml"),
    fault=raising("mmsr_geo.jobs.report._replace", DENIED),
    job="failing",
)


case(
    "a disk too full for tiles",
    OutputError,
    "tiles could not be written to … (No space left on device): make room there, or mend the folder's rights, and "
    "call again",
    "The disk or its rights fail where finished tiles wait for the others.",
    "Make room or mend the rights; a job goes on from what is done.",
    upsampling(),
    fault=raising("os.fsync", NO_SPACE),
)


case(
    "a file of flags beside a Zarr store",
    OptionError,
    "sharp.zarr is a Zarr store, and the flags lie in it with the target, as qa: leave out ⟨qa⟩",
    "`--qa` with an output that ends in .zarr.",
    "Leave it out.",
    upsampling("--qa qa2.tif", output="sharp.zarr", qa="qa2.tif"),
)


case(
    "a Zarr store of flags alone",
    OptionError,
    "qa2.zarr is a Zarr store, and flags go into one with their target only: give ⟨qa⟩ a .tif, or the output a "
    "name that ends in .zarr",
    "`--qa` ends in .zarr, and the output does not.",
    "Name a file, or have both in one store.",
    upsampling("--qa qa2.zarr", qa="qa2.zarr"),
)


case(
    "creation options for a Zarr store",
    OptionError,
    "sharp.zarr is a Zarr store, and creation options are of GDAL's COG driver: leave out ⟨creation_options⟩",
    "`--co` with an output that ends in .zarr.",
    "Leave them out.",
    upsampling("--co COMPRESS=ZSTD", output="sharp.zarr", creation_options=["COMPRESS=ZSTD"]),
)
