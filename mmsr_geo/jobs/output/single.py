"""One output here and now: its tiles in a folder beside it that goes with them; whole or nothing."""

from __future__ import annotations

from contextlib import ExitStack

from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.jobs.executors.base import Executor
from mmsr_geo.jobs.executors.local import SerialExecutor, ThreadExecutor
from mmsr_geo.jobs.output.assemble import check_room, finish
from mmsr_geo.jobs.output.outcome import OutputResult
from mmsr_geo.jobs.output.output_job import OutputJob, TaskKey
from mmsr_geo.jobs.output.scheduler import run_outputs
from mmsr_geo.jobs.output.tasks import OutputSpec
from mmsr_geo.jobs.tiles.tile_store import FolderStore
from mmsr_geo.raster.write.staged import scratch_folder


def make_output(
    spec: OutputSpec, *, progress: Progress = no_progress, executor: Executor[TaskKey] | None = None
) -> OutputResult:
    """Make an output; it appears under its name, with its flags, when it is whole, and an exception leaves nothing.

    pool: where its tasks run; None: this process. Raises OutputError where it cannot be written, PixelError where there
    is nothing to fit.
    """
    check_room(spec)
    made: list[OutputResult] = []

    def done(output_job: OutputJob) -> None:
        outcome = finish(output_job)
        if outcome is not None:
            made.append(outcome)

    def failed(output_job: OutputJob, error: Exception) -> None:  # noqa: ARG001  (there is but one)
        raise error

    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder(spec.output.path))
        where = stack.enter_context(executor or local_executor(spec))
        output_job = OutputJob("", spec, FolderStore(folder), progress)
        run_outputs(iter([lambda: output_job]), where, done, failed)
    return made[-1]


def local_executor(spec: OutputSpec) -> Executor[TaskKey]:
    """Return this process: tiles with fits of their own side by side, all else one after another."""
    return SerialExecutor[TaskKey]() if spec.method.tile_fits is None else ThreadExecutor[TaskKey](spec.threads)
