"""Many outputs' tasks in one pool: each is begun when there is room, finished when its last tile is there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from mmsr_geo.jobs.executors.base import Ended, Pool
from mmsr_geo.jobs.output.output_job import Course, TaskKey
from mmsr_geo.jobs.tiles.tile_store import Made

Begin = Callable[[], Course | None]
"""Opens an output's rasters; None where there is nothing to do for it after all."""


def run(
    begins: Iterator[Begin],
    pool: Pool[TaskKey],
    finish: Callable[[Course], None],
    failed: Callable[[Course, Exception], None],
) -> None:
    """Do all of them.

    begins: opened one after another, when the tasks of those before leave room. finish: called with each course whose
    tiles are all there; it may ask for some `again`. failed: called with a course that cannot go on and why; what it
    raises ends all.
    """
    under_way: list[Course] = []
    more = True
    while more or under_way:
        _finish(under_way, finish, failed)  # before another pair is opened, which may end all
        _fill(pool, under_way, failed)
        while more and pool.room > 0 and not any(course.is_complete for course in under_way):
            begin = next(begins, None)
            more = begin is not None
            if begin is not None and (course := begin()) is not None:
                under_way.append(course)
                _fill(pool, under_way, failed)
        # Tasks of a course that has failed still fill the pool: room for others comes as they end.
        if any(course.is_running for course in under_way) or (pool.is_busy and pool.room <= 0):
            _take(pool.ended(), under_way, failed)


def _finish(
    under_way: list[Course], finish: Callable[[Course], None], failed: Callable[[Course, Exception], None]
) -> None:
    for course in [course for course in under_way if course.is_complete]:
        try:
            finish(course)
        except Exception as error:  # noqa: BLE001  (the caller tells them apart)
            under_way.remove(course)
            failed(course, error)
            continue
        if course.is_complete:
            under_way.remove(course)


def _fill(pool: Pool[TaskKey], under_way: list[Course], failed: Callable[[Course, Exception], None]) -> None:
    for course in list(under_way):
        if pool.room <= 0:
            return
        try:
            calls = course.calls(pool, pool.room)
        except Exception as error:  # noqa: BLE001  (the caller tells them apart)
            under_way.remove(course)
            failed(course, error)
            continue
        pool.submit(calls)


def _take(ended: list[Ended[TaskKey]], under_way: list[Course], failed: Callable[[Course, Exception], None]) -> None:
    """Hand what has ended to its courses, and have their tiles recorded together."""
    made: dict[Course, list[Made]] = defaultdict(list)
    broken: dict[Course, Exception] = {}
    for each in ended:
        course = each.call.key.course
        if course not in under_way or course in broken:
            if (tile := course.left(each)) is not None:
                made[course].append(tile)
            continue
        try:
            tile = course.took(each)
        except Exception as error:  # noqa: BLE001  (the caller tells them apart)
            broken[course] = error
            continue
        if tile is not None:
            made[course].append(tile)
    for course, tiles in made.items():
        try:
            course.store.record(tiles)
        except Exception as error:  # noqa: BLE001  (the caller tells them apart)
            if course in under_way:
                broken.setdefault(course, error)
    for course, reason in broken.items():
        under_way.remove(course)
        failed(course, reason)
