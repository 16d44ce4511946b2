"""Sizes, durations and text that is safe to print."""

from __future__ import annotations

from dask.utils import parse_bytes

from mmsr_geo.errors import OptionError


def printable(text: str) -> str:
    """Return a text without control characters and line breaks."""
    return "".join(character if character.isprintable() else " " for character in text)


def bytes_of(size: str | int) -> int:
    """Return the number of bytes of a size: a number, or text such as 4 GB, 512MiB or 2e9. Raises OptionError."""
    try:
        count = int(size) if isinstance(size, int) else int(parse_bytes(size))
    except ValueError:
        count = 0
    if isinstance(size, bool) or count < 1:
        raise OptionError(f"{size!r} is not a size in bytes: write it as 4GB, 512MiB or 2e9")
    return count


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: 1 band, 2 bands."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size_text(count: float) -> str:
    """Return a number of bytes with three digits and a unit.

    Units are powers of 1000, as people write them in `memory_limit`; dask's format_bytes prints 100 MB as 95.37 MiB.
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration_text(seconds: float) -> str:
    """Return a duration rounded to one unit: an estimate, which dask's format_time prints as 600.00 s."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86400:.0f} days"
