"""The log of a job: one line per event, in a file next to the job file and in Python's logging; knows no job."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from mmsr_geo.errors import MmsrError, MmsrWarning, template_of
from mmsr_geo.spelling import spelled
from mmsr_geo.text import printable

Log: TypeAlias = "logging.LoggerAdapter[logging.Logger]"
"""Logger of one pair: each of its records has the name of the pair as `pair`."""
LOGGER = "mmsr_geo.jobs"
"""Name of the public logger. It gets the same records as the file, if its level permits."""
NO_PAIR = "-"
"""Name in lines that concern the whole job."""
NO_LOG: Log = logging.LoggerAdapter(logging.getLogger(f"{LOGGER}.none"), {"pair": NO_PAIR})
"""Logger of outputs that belong to no job; it logs nothing."""
NO_LOG.logger.disabled = True


class LoggedWarning(MmsrWarning):
    """A warning about an event that the log has already."""


@contextmanager
def open_log(job: Path) -> Iterator[logging.Logger]:
    """Yield a logger that appends to the log of a job file, and log warnings of this package as well.

    The warnings are also shown as usual. If the log cannot be written, a warning says so and the job continues.
    """
    # A logger of its own: the public one has the level and the handlers that its user has chosen.
    logger = logging.Logger(LOGGER, logging.DEBUG)  # noqa: LOG001  (getLogger would return the public one)
    logger.addFilter(_as_in_job_file)
    path = log_path(job)
    try:
        logger.addHandler(_File(path))
    except OSError as error:
        msg = f"the log {path} cannot be written ({error.strerror}): the job continues without it"
        warnings.warn(msg, MmsrWarning, stacklevel=3)
    logger.addHandler(_Public())
    # logging.captureWarnings would not show them any more, and passes on a text without the warning's class.
    show_before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:  # noqa: ANN401  (warnings' own)
        if issubclass(category, MmsrWarning) and not issubclass(category, LoggedWarning):
            logger.warning("%s", template_of(message) if isinstance(message, Warning) else message)
        show_before(message, category, *rest)

    warnings.showwarning = show  # type: ignore[assignment]  # its last four arguments are passed on as they are
    try:
        yield logger
    finally:
        warnings.showwarning = show_before
        for handler in logger.handlers:
            handler.close()


def log_traceback(log: Log, error: BaseException) -> None:
    """Log the traceback of an error that is not one of this package's, line by line."""
    if isinstance(error, MmsrError):
        return
    for line in "".join(traceback.format_exception(error)).splitlines():
        log.error("%s", line)


def log_path(job: Path) -> Path:
    """Return the path of the log of a job file: job.log for job.toml."""
    return job.with_name(f"{job.stem}.log")


def report_page(job: Path) -> Path:
    """Return the path of the report of a job file: job.report/report.html for job.toml."""
    return job.with_name(f"{job.stem}.report") / "report.html"


def _as_in_job_file(record: logging.LogRecord) -> bool:
    """Write options in a message as a job file has them."""
    record.msg, record.args = spelled(record.getMessage(), "job"), ()
    return True


class _File(logging.FileHandler):
    """Lines of time, level, pair and message, separated by tabs; each is written at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(_Line())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Ignore a full disk: the job reports it when it writes its own files."""


class _Line(logging.Formatter):
    """One line per record, whatever characters names and messages have."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the time to the millisecond with its zone, the level, the pair and the message."""
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        parts = time, record.levelname, getattr(record, "pair", NO_PAIR), record.getMessage()
        return "\t".join(printable(part) for part in parts)


class _Public(logging.Handler):
    """Pass records on to the public logger, if its level permits."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        public = logging.getLogger(LOGGER)
        if public.isEnabledFor(record.levelno):
            public.handle(record)


logging.getLogger(LOGGER).addHandler(logging.NullHandler())  # silent unless a user adds a handler
