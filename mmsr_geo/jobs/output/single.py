"""One output here and now: its tiles in a folder beside it that goes with them; whole or nothing."""

from __future__ import annotations

from contextlib import ExitStack

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.jobs.executors.base import Pool
from mmsr_geo.jobs.executors.local import InProcess, InThreads
from mmsr_geo.jobs.output.assemble import check_room, finish
from mmsr_geo.jobs.output.outcome import Outcome
from mmsr_geo.jobs.output.output_job import Course, TaskKey
from mmsr_geo.jobs.output.scheduler import run
from mmsr_geo.jobs.output.tasks import Work
from mmsr_geo.jobs.tiles.tile_store import FolderStore
from mmsr_geo.methods.tile_fit import TileFit
from mmsr_geo.raster.write.staged import scratch_beside


def make(work: Work, *, progress: Progress = no_progress, pool: Pool[TaskKey] | None = None) -> Outcome:
    """Make an output; it appears under its name, with its flags, when it is whole, and an exception leaves nothing.

    pool: where its tasks run; None: this process. Raises OutputError where it cannot be written, PixelError where there
    is nothing to fit.
    """
    check_room(work)
    made: list[Outcome] = []

    def done(course: Course) -> None:
        outcome = finish(course)
        if outcome is not None:
            made.append(outcome)

    def failed(course: Course, error: Exception) -> None:  # noqa: ARG001  (there is but one)
        raise error

    with ExitStack() as stack:
        folder = stack.enter_context(scratch_beside(work.output.path))
        where = stack.enter_context(pool or pool_here(work))
        course = Course("", work, FolderStore(folder), progress)
        run(iter([lambda: course]), where, done, failed)
    return made[-1]


def pool_here(work: Work) -> Pool[TaskKey]:
    """Return this process: tiles with fits of their own side by side, all else one after another."""
    return InThreads[TaskKey](work.threads) if isinstance(work.method, TileFit) else InProcess[TaskKey]()
