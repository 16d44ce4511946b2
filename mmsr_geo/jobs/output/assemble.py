"""An output assembled from its tiles and verified against them; knows writers and store, computes nothing."""

from __future__ import annotations

import warnings
from contextlib import ExitStack

from mmsr_geo.errors import MmsrWarning
from mmsr_geo.jobs.output.assemble_cog import assemble_cogs, cog_options
from mmsr_geo.jobs.output.assemble_zarr import assemble_group, open_group
from mmsr_geo.jobs.output.outcome import OutputResult, output_result
from mmsr_geo.jobs.output.output_job import OutputJob
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.raster.write.cog import CogFile
from mmsr_geo.raster.write.destination import ZarrGroupPath
from mmsr_geo.raster.write.staged import scratch_folder


def check_room(spec: OutputSpec) -> None:
    """Refuse outputs that exist, cannot be written or have no space, before anything is computed (OutputError)."""
    with ExitStack() as stack:
        if isinstance(spec.output.path, ZarrGroupPath):
            stack.enter_context(open_group(spec, spec.output.path))
            return
        for options in cog_options(spec).values():
            stack.enter_context(CogFile(**options))


def finish(output_job: OutputJob) -> OutputResult | None:
    """Write the files of an output from its tiles. All of them appear when they are complete, or none.

    Returns None, and writes nothing, if tile files are damaged: these tiles are put back into the queue.

    Raises:
        OutputError: The disk, GDAL or Zarr fails.
    """
    output = output_job.spec.output
    output_job.progress("write", 0, 1)
    with scratch_folder(output.path) as scratch:
        assemble = assemble_group if isinstance(output.path, ZarrGroupPath) else assemble_cogs
        finished = assemble(output_job, scratch)
    if finished is None:
        return None
    output_job.progress("write", 1, 1)
    if finished.clipping is not None:
        warnings.warn(finished.clipping, MmsrWarning, stacklevel=2)
    return output_result(output_job, finished.missed)
