"""One output without a job: its tiles are in a temporary folder next to it; written completely or not at all."""

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
    """Compute an output, which appears under its name, with its QA flags, when it is complete.

    Args:
        spec: The output.
        progress: Called as progress(stage, done, total).
        executor: Where its tasks run; None: this process.

    Raises:
        OutputError: It cannot be written.
        PixelError: Source and guide have no valid pixel in common.
    """
    check_room(spec)
    results: list[OutputResult] = []

    def done(output_job: OutputJob) -> None:
        result = finish(output_job)
        if result is not None:
            results.append(result)

    def failed(output_job: OutputJob, error: Exception) -> None:  # noqa: ARG001  (there is only one)
        raise error

    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder(spec.output.path))
        running = stack.enter_context(executor or local_executor(spec))
        output_job = OutputJob("", spec, FolderStore(folder), progress)
        run_outputs(iter([lambda: output_job]), running, done, failed)
    return results[-1]


def local_executor(spec: OutputSpec) -> Executor[TaskKey]:
    """Return an executor in this process: threads for models per tile, one task after another for other methods."""
    return SerialExecutor[TaskKey]() if spec.method.tile_fits is None else ThreadExecutor[TaskKey](spec.threads)
