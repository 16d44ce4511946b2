"""An output made of its tiles and verified against them; knows the writers and the store, computes nothing."""

from __future__ import annotations

import warnings
from contextlib import ExitStack

from mmsr_geo.errors import MmsrWarning
from mmsr_geo.jobs.output.assemble_cog import assemble_cogs, cog_options
from mmsr_geo.jobs.output.assemble_zarr import assemble_group, open_group
from mmsr_geo.jobs.output.outcome import Outcome, output_result
from mmsr_geo.jobs.output.output_job import Course
from mmsr_geo.jobs.output.tasks import Work
from mmsr_geo.raster.write.cog import CogFile
from mmsr_geo.raster.write.destination import ZarrPlace
from mmsr_geo.raster.write.staged import scratch_beside


def check_room(work: Work) -> None:
    """Refuse, before anything is computed, outputs that exist, cannot be written or have no room (OutputError)."""
    with ExitStack() as stack:
        if isinstance(work.output.path, ZarrPlace):
            stack.enter_context(open_group(work, work.output.path))
            return
        for options in cog_options(work).values():
            stack.enter_context(CogFile(**options))


def finish(course: Course) -> Outcome | None:
    """Make the outputs of a course's tiles: they appear, all or none, when they are whole.

    Returns None, and has written nothing, where tiles' files turn out damaged: those are to be computed again.
    Raises OutputError where the disk, GDAL or Zarr fails.
    """
    output = course.work.output
    course.progress("write", 0, 1)
    with scratch_beside(output.path) as scratch:
        made = assemble_group if isinstance(output.path, ZarrPlace) else assemble_cogs
        finished = made(course, scratch)
    if finished is None:
        return None
    course.progress("write", 1, 1)
    if finished.clipping is not None:
        warnings.warn(finished.clipping, MmsrWarning, stacklevel=2)
    return output_result(course, finished.missed)
