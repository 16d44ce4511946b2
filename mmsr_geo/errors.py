"""What can go wrong through a user's input: one tree of exceptions, each message with its numbers and its mend."""

from __future__ import annotations


class MmsrError(Exception):
    """Something the user can mend; the message is one line that says what is wrong and what to do."""

    def __init__(self, message: str = "") -> None:
        """Keep to one line: a path or a name may hold line breaks."""
        super().__init__(" ".join(message.splitlines()))


class InputError(MmsrError):
    """A raster that cannot be opened, or is not of a kind that can be sharpened or guide."""


class ChangedInputError(InputError):
    """A raster that is not what it was when it was opened, or has gone."""


class GridError(MmsrError):
    """Two grids that do not fit: no CRS, no overlap, a scale that cannot be."""


class GuideCoverageError(GridError):
    """The guide covers too little of the source."""


class PixelError(MmsrError):
    """Pixels that leave nothing to work on: all nodata, nothing valid in common."""


class ModelFileError(MmsrError):
    """A file that holds no model, a damaged one, or one for another kind of pair."""


class OptionError(MmsrError):
    """An option out of its range, or two that contradict each other."""


class OutputError(MmsrError):
    """An output that exists already or cannot be written."""


class JobError(MmsrError):
    """A job file with mistakes, or a pair of a job that failed."""


class UnhelpfulGuideError(PixelError):
    """A guide that did not help, where that was to be an error."""


class MmsrWarning(UserWarning):
    """Something the user may want to mend, said once in one line; the work goes on."""


class GuideWarning(MmsrWarning):
    """A guide that did not help."""


class NodataWarning(MmsrWarning):
    """A value that looks like nodata and is not declared as such."""
