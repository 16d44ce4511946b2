"""What can go wrong through a user's input: one tree of exceptions and one of warnings, each a one-line message."""

from __future__ import annotations

from mmsr_geo.spelling import Door, spelled


class _Message(Exception):  # noqa: N818  (what errors and warnings share)
    """A one-line message whose options are written as each door has them."""

    def __init__(self, message: str = "") -> None:
        """Keep to one line: a path or a name may hold line breaks."""
        super().__init__(" ".join(message.splitlines()))

    def __str__(self) -> str:
        """Return the message with options as Python has them."""
        return self.at("python")

    @property
    def template(self) -> str:
        """The message with its markers of options."""
        return str(self.args[0])

    def at(self, door: Door) -> str:
        """Return the message with options as a door has them."""
        return spelled(self.template, door)


def template_of(error: BaseException) -> str:
    """Return an error's message for use within another message: with its markers, if it has such."""
    return error.template if isinstance(error, _Message) else str(error)


def reason_of(error: BaseException) -> str:
    """Return why a pair or a tile failed, for use within another message: an unforeseen error with its kind."""
    if isinstance(error, MmsrError):
        return error.template
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class MmsrError(_Message):
    """A mistake that the user can fix: the message says in one line what is wrong and what to do."""


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


class NothingInCommonError(PixelError):
    """No pixel that is valid in source, guide and masks."""


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


class MmsrWarning(_Message, UserWarning):
    """Something that the user may want to fix, in one line; the work goes on."""


class GuideWarning(MmsrWarning):
    """A guide that did not help."""


class NodataWarning(MmsrWarning):
    """A value that looks like nodata and is not declared as such."""
