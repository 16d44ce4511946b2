"""The tasks of many outputs on one executor: outputs begin when there is room and finish after their last tile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from mmsr_geo.jobs.executors.base import Executor, TaskResult
from mmsr_geo.jobs.output.output_job import OutputJob, TaskKey
from mmsr_geo.jobs.tiles.tile_store import TileRecord

Begin = Callable[[], OutputJob | None]
"""Function that opens the rasters of an output; None if it has nothing to do."""


def run_outputs(
    begins: Iterator[Begin],
    executor: Executor[TaskKey],
    finish: Callable[[OutputJob], None],
    failed: Callable[[OutputJob, Exception], None],
) -> None:
    """Run outputs until all are finished or have failed.

    Args:
        begins: Called one after another, when the tasks of earlier outputs leave room.
        executor: Where the tasks run.
        finish: Called with each output whose tiles are done; it may put damaged tiles back into the queue.
        failed: Called with an output that cannot continue, and its error. What it raises ends the run.
    """
    under_way: list[OutputJob] = []
    more = True
    while more or under_way:
        _finish(under_way, finish, failed)  # before another pair is opened, which may end the run
        _fill(executor, under_way, failed)
        while more and executor.room > 0 and not any(output_job.is_complete for output_job in under_way):
            begin = next(begins, None)
            more = begin is not None
            if begin is not None and (output_job := begin()) is not None:
                under_way.append(output_job)
                _fill(executor, under_way, failed)
        # Tasks of an output that has failed still occupy the executor: it has room for others when they end.
        if any(output_job.is_running for output_job in under_way) or (executor.is_busy and executor.room <= 0):
            _take(executor.ended(), under_way, failed)


def _finish(
    under_way: list[OutputJob], finish: Callable[[OutputJob], None], failed: Callable[[OutputJob, Exception], None]
) -> None:
    for output_job in [output_job for output_job in under_way if output_job.is_complete]:
        try:
            finish(output_job)
        except Exception as error:  # noqa: BLE001  (the caller distinguishes errors)
            under_way.remove(output_job)
            failed(output_job, error)
            continue
        if output_job.is_complete:
            under_way.remove(output_job)


def _fill(
    executor: Executor[TaskKey], under_way: list[OutputJob], failed: Callable[[OutputJob, Exception], None]
) -> None:
    for output_job in list(under_way):
        if executor.room <= 0:
            return
        try:
            tasks = output_job.tasks(executor, executor.room)
        except Exception as error:  # noqa: BLE001  (the caller distinguishes errors)
            under_way.remove(output_job)
            failed(output_job, error)
            continue
        executor.submit(tasks)


def _take(
    ended: list[TaskResult[TaskKey]], under_way: list[OutputJob], failed: Callable[[OutputJob, Exception], None]
) -> None:
    """Pass ended tasks to their outputs, and record the tiles of each output together."""
    records: dict[OutputJob, list[TileRecord]] = defaultdict(list)
    broken: dict[OutputJob, Exception] = {}
    for result in ended:
        output_job = result.task.key.output_job
        if output_job not in under_way or output_job in broken:
            if (record := output_job.on_late_task(result)) is not None:
                records[output_job].append(record)
            continue
        try:
            record = output_job.on_task_done(result)
        except Exception as error:  # noqa: BLE001  (the caller distinguishes errors)
            broken[output_job] = error
            continue
        if record is not None:
            records[output_job].append(record)
    for output_job, tiles in records.items():
        try:
            output_job.store.record(tiles)
        except Exception as error:  # noqa: BLE001  (the caller distinguishes errors)
            if output_job in under_way:
                broken.setdefault(output_job, error)
    for output_job, reason in broken.items():
        under_way.remove(output_job)
        failed(output_job, reason)
