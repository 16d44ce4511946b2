"""A job's report: what its record and its outputs tell, as JSON, as a page and as quick looks; computes nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ValidationError

from mmsr_geo._version import __version__
from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.flags import MEANINGS, Flag
from mmsr_geo.errors import OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.jobs.log import report_page
from mmsr_geo.jobs.status import JobStatus, PairStatus
from mmsr_geo.maps import Map, Values, draw_maps, hillshade, relief, shared_limits, sounds_like_elevation
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.inspect.preview import Preview, preview_of, preview_on
from mmsr_geo.text import duration_text

MOST_LOOKS = 200
"""Quick looks of a report, unless more are asked for: they take about half a second each."""
LOOK_PX, DETAIL_PX = 480, 160
"""Sides of a quick look and of the part of it that is shown pixel by pixel."""
EMBEDDED_BYTES = 20_000_000
"""Of quick looks within report.html; those beyond are shown from their files."""
_LOOK = re.compile(r".+-[0-9a-f]{16}\.png")


class FailedTile(BaseModel):
    """A tile that is a hole, and why."""

    band: int
    index: int
    message: str


class Facts(BaseModel):
    """What the record tells of a pair that was made; see `jobs.batch`."""

    scale: str | None = None
    shape: tuple[int, int] | None = None
    tiles: int | None = None
    tiles_failed: int = 0
    failures: tuple[FailedTile, ...] = ()
    stage_seconds: dict[str, float] = {}
    guide_check: tuple[str, ...] = ()
    guide_gain: tuple[float | None, ...] = ()
    flag_shares: dict[str, float] = {}
    consistency_rmse: tuple[float | None, ...] = ()
    uncertainty: tuple[str, ...] = ()


@dataclass(frozen=True)
class PairReport:
    """A pair's row."""

    status: PairStatus
    facts: Facts
    picture: Path | None = None
    """Its quick look."""
    note: str = ""
    """Why there is none, or what could not be read of it."""

    @property
    def name(self) -> str:
        """The pair's."""
        return self.status.entry.name

    @property
    def seconds(self) -> float | None:
        """What it took when it was tried last."""
        return None if self.status.line is None else self.status.line.seconds

    @property
    def message(self) -> str:
        """What went wrong."""
        return "" if self.status.line is None else self.status.line.message

    @property
    def guide(self) -> list[dict[str, Any]]:
        """Of each band: whether the guide helped, and by how much of the interpolation's error."""
        both = zip(self.facts.guide_check, self.facts.guide_gain, strict=False)
        return [{"result": result, "gain": gain} for result, gain in both]

    @property
    def flags(self) -> list[tuple[str, float]]:
        """What its flags mean, and how much of its pixels has each, where any has."""
        shares = self.facts.flag_shares
        return [(MEANINGS[flag], share) for flag in Flag if (share := shares.get(str(flag.name).lower(), 0.0)) > 0]

    def as_dict(self, folder: Path) -> dict[str, Any]:
        """Return all of it as JSON values."""
        entry = self.status.entry
        told = self.facts.model_dump(mode="json", exclude={"guide_check", "guide_gain", "failures"})
        return {
            "name": entry.name,
            "state": self.status.state,
            "source": entry.source,
            "guides": list(entry.guides),
            "output": str(entry.output),
            "qa": None if entry.qa is None else str(entry.qa),
            "seconds": self.seconds,
            "message": self.message,
            **told,
            "tiles": self.facts.tiles or self.status.tiles,
            "failed_tiles": [tile.model_dump() for tile in self.facts.failures],
            "guide": self.guide,
            "picture": None if self.picture is None else self.picture.relative_to(folder).as_posix(),
            "note": self.note,
        }


def write_report(job: Job, status: JobStatus, *, looks: int | None = None, progress: Progress = no_progress) -> Path:
    """Write the report of where a job stands, and return the path of report.html.

    looks: quick looks of so many pairs at most, MOST_LOOKS if None; those of what has not changed are taken over. A
    pair of which something cannot be read has a note instead. Each file is whole or as it was. Raises OutputError where
    the folder cannot be written to.
    """
    page = report_page(job.path)
    folder = page.parent
    try:
        pictures = folder / "looks"
        pictures.mkdir(parents=True, exist_ok=True)
        shown = [pair for pair in status.pairs if pair.state in {"done", "incomplete", "changed"}]
        shown = shown[: MOST_LOOKS if looks is None else looks]
        rows: list[PairReport] = []
        for pair in status.pairs:
            drawn = pair in shown
            progress("report", len(rows), len(status.pairs))
            rows.append(_row(pair, pictures if drawn else None))
        progress("report", len(rows), len(rows))
        told = _told(job, status, rows, folder)
        _replace(folder / "report.json", [json.dumps(_finite(told), indent=2, allow_nan=False), "\n"])
        template = _PAGES.get_template("report.html.jinja")
        _replace(page, template.stream(**told["summary"], job=told["job"], rows=rows, image=_images(folder)))
        current = {row.picture for row in rows}
        for path in pictures.iterdir():
            if _LOOK.fullmatch(path.name) and path not in current:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"the report cannot be written to {folder} ({error.strerror}): make room there, or mend the folder's "
            "rights, and call mmsr-geo report"
        ) from error
    return page


def _row(pair: PairStatus, pictures: Path | None) -> PairReport:
    facts, note, picture = Facts(), "", None
    try:
        facts = Facts.model_validate({} if pair.line is None else pair.line.facts)
    except ValidationError as error:
        places = sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]})
        note = f"its line in the record cannot be read ({', '.join(places)})"
    if pictures is not None:
        try:
            picture = _look_of(pair.entry, pictures)
        except OSError as error:
            if error.filename is not None and Path(error.filename).is_relative_to(pictures):
                raise  # the report's own folder
            note = f"no quick look: {_words(error)}"
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one pair's rasters, the others are told of)
            note = f"no quick look: {_words(error)}"
    return PairReport(pair, facts, picture, note)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _look_of(entry: Entry, pictures: Path) -> Path:
    """Return a pair's quick look, which is drawn where there is none of what the files are now."""
    output = entry.output
    if not isinstance(output, Path) or not output.exists():
        raise FileNotFoundError(f"{entry.output} is no file of this machine")
    state = output.stat()
    told = json.dumps([__version__, entry.name, entry.source, str(output), state.st_size, state.st_mtime_ns])
    slug = re.sub(r"[^\w.-]+", "_", entry.name)[:60].lstrip(".-") or "pair"
    path = pictures / f"{slug}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.png"
    if not path.exists():
        draft = path.with_name(f".{secrets.token_hex(4)}.part.png")
        try:
            draw_look(entry, draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def draw_look(entry: Entry, path: Path) -> None:
    """Draw a pair's source and target side by side in one range of colours, and of large ones a part pixel by pixel.

    Elevations are shown lit besides. Raises what reading them raises.
    """
    target = preview_of(str(entry.output), LOOK_PX)
    looks = [target]
    if max(target.shape_yx) > 1.5 * LOOK_PX:
        looks.append(preview_of(str(entry.output), DETAIL_PX, _telling_part(target)))
    nodata = entry.options.get("source_nodata")
    band = f", band {target.bands[0]} of {len(target.bands)}" if len(target.bands) > 1 else ""
    panels: list[Map | None] = []
    for look in looks:
        source = preview_on(entry.source, look.grid, nodata)
        limits = shared_limits(np.concatenate([source.ravel(), look.values.ravel()]))
        for what, shown in (("source", source), ("target", look.values)):
            title = f"{what}{band}{_missing(shown)}" if look is target else f"{what}, a part"
            panels.append(Map(title, shown, resolution_m(look.grid)[1], limits, unit=look.unit))
    if sounds_like_elevation(Path(entry.source).stem, *target.bands):
        pixel = resolution_m(look.grid)
        steep = relief(look.values, pixel)
        surface = preview_on(entry.source, look.grid, nodata, smooth=True)  # the edges of its pixels are no cliffs
        for what, shown in (("source", surface), ("target", look.values)):
            title = f"{what}{'' if look is target else ', a part'}, lit"
            panels.append(Map(title, hillshade(shown, pixel, steep), pixel[1], (0, 1), "gray"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that matplotlib's font has not
        draw_maps(panels, path, title=entry.name, columns=2)


def _missing(values: Values) -> str:
    share = float(np.isnan(values).mean())
    return f" (grey: {share:.1%} nodata)" if share else ""


def _telling_part(look: Preview) -> Window:
    """Return the part of a file where there is most to be seen, DETAIL_PX a side: valid, and of many values."""
    height, width = look.shape_yx
    down, across = look.values.shape
    side = min(DETAIL_PX, height), min(DETAIL_PX, width)
    cell = max(1, round(side[0] * down / height)), max(1, round(side[1] * across / width))
    best, found = -1.0, (0, 0)
    for row in range(0, max(down - cell[0], 0) + 1, cell[0]):
        for col in range(0, max(across - cell[1], 0) + 1, cell[1]):
            part = look.values[row : row + cell[0], col : col + cell[1]]
            valid = part[np.isfinite(part)]
            worth = float(valid.std()) * (valid.size / part.size) ** 2 if valid.size else -0.5
            if worth > best:
                best, found = worth, (row, col)
    row, col = round(found[0] * height / down), round(found[1] * width / across)
    return Window(min(row, height - side[0]), min(col, width - side[1]), *side)


def _told(job: Job, status: JobStatus, rows: Sequence[PairReport], folder: Path) -> dict[str, Any]:
    guide_checks = Counter(result for row in rows for result in row.facts.guide_check)
    took = sum(row.seconds or 0.0 for row in rows if row.status.state == "done")
    return {
        "job": str(job.path.absolute()),
        "summary": {
            "version": __version__,
            "written": datetime.now().astimezone().isoformat(timespec="seconds"),
            "sentence": status.sentence,
            "pairs": len(rows),
            "states": dict(Counter(row.status.state for row in rows)),
            "seconds": took,
            "guide_checks": dict(guide_checks),
        },
        "pairs": [row.as_dict(folder) for row in rows],
    }


def _finite(told: Any) -> Any:  # noqa: ANN401  (JSON values)
    """Return the same with null for what JSON has no number for."""
    if isinstance(told, Mapping):
        return {key: _finite(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [_finite(value) for value in told]
    return None if isinstance(told, float) and not math.isfinite(told) else told


def _images(folder: Path) -> Callable[[Path], str]:
    """Return what gives a quick look's address: its content, until there is much of it, or its file's."""
    left = EMBEDDED_BYTES

    def address(path: Path) -> str:
        nonlocal left
        left -= path.stat().st_size
        if left < 0:
            return quote(path.relative_to(folder).as_posix())
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"

    return address


def _replace(path: Path, parts: Any) -> None:  # noqa: ANN401  (strings, one after another)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(parts)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _share_text(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


_PAGES = Environment(
    loader=PackageLoader("mmsr_geo.jobs", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Names, paths and messages are the user's: all are escaped."""
_PAGES.filters |= {"duration": duration_text, "share": _share_text}
