"""A job's log: a line a happening, in a file beside the job file and to python's logging; knows no job."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from mmsr_geo.errors import MmsrWarning
from mmsr_geo.text import printable

Log: TypeAlias = "logging.LoggerAdapter[logging.Logger]"
"""What a part of a job tells its happenings to; each of its records carries the pair's name as `pair`."""
LOGGER = "mmsr_geo.jobs"
"""Python's own logger of that name gets all that the file gets, at the level and by the handlers its user gives it."""
NO_PAIR = "-"
NO_LOG: Log = logging.LoggerAdapter(logging.getLogger(f"{LOGGER}.none"), {"pair": NO_PAIR})
"""Of work that is no job's."""
NO_LOG.logger.disabled = True


class LoggedWarning(MmsrWarning):
    """A warning of what the log has as a happening of its own."""


@contextmanager
def log_beside(job: Path) -> Iterator[logging.Logger]:
    """Append to a job file's log, job.toml's is job.log; of all warnings too, which go where they go besides.

    A log that cannot be written is warned of, and the job goes on without.
    """
    # Not python's own of that name, whose level and handlers are its user's.
    logger = logging.Logger(LOGGER, logging.DEBUG)  # noqa: LOG001  (that would be python's own)
    path = log_path(job)
    try:
        logger.addHandler(_File(path))
    except OSError as error:
        msg = f"the log {path} cannot be written ({error.strerror}): the job goes on without it"
        warnings.warn(msg, MmsrWarning, stacklevel=3)
    logger.addHandler(_Onward())
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:  # noqa: ANN401  (warnings' own)
        if issubclass(category, MmsrWarning) and not issubclass(category, LoggedWarning):
            logger.warning("%s", message)
        shown(message, category, *rest)

    warnings.showwarning = show  # type: ignore[assignment]  # its last four arguments are passed on as they are
    try:
        yield logger
    finally:
        warnings.showwarning = shown
        for handler in logger.handlers:
            handler.close()


def log_path(job: Path) -> Path:
    """Return where a job file's log is."""
    return job.with_name(f"{job.stem}.log")


def report_page(job: Path) -> Path:
    """Return where a job file's report is, in a folder of its own: job.toml's is job.report/report.html."""
    return job.with_name(f"{job.stem}.report") / "report.html"


class _File(logging.FileHandler):
    """Lines of time, level, pair and what happened, with tabs between; each is with the system when it is told."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(_Line())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Let the job go on where its disk is full: what the job itself writes tells that."""


class _Line(logging.Formatter):
    """One line, whatever stands in names and messages."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time to the millisecond with its zone, level, pair and message."""
        at = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        parts = at, record.levelname, getattr(record, "pair", NO_PAIR), record.getMessage()
        return "\t".join(printable(part) for part in parts)


class _Onward(logging.Handler):
    """To python's own logger, as far as its user wants to hear."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand it on."""
        public = logging.getLogger(LOGGER)
        if public.isEnabledFor(record.levelno):
            public.handle(record)


logging.getLogger(LOGGER).addHandler(logging.NullHandler())  # silence unless a user gives it, or one above, a handler
