"""The report of a job from its journal and its outputs: JSON, a page and previews; computes no target."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ValidationError

from mmsr_geo._version import __version__
from mmsr_geo.atomic import replace, write_whole
from mmsr_geo.callbacks import Progress, no_progress
from mmsr_geo.engine.flags import MEANINGS, Flag
from mmsr_geo.errors import MmsrError, OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.jobs.job import Entry, Job
from mmsr_geo.jobs.log import report_page
from mmsr_geo.jobs.status import JobStatus, PairStatus
from mmsr_geo.maps import Map, Values, draw_maps, hillshade, relief, shared_limits, sounds_like_elevation
from mmsr_geo.raster.grids import resolution_m
from mmsr_geo.raster.inspect.preview import Preview, preview_of, preview_on
from mmsr_geo.text import duration_text

MOST_PREVIEWS = 200
"""Default number of previews of a report; each takes about half a second."""
PREVIEW_PX, DETAIL_PX = 480, 160
"""Longer side of a preview, and side of the detail at full resolution, in pixels."""
EMBEDDED_BYTES = 20_000_000
"""Bytes of previews that report.html contains; further ones are linked as files."""
_PREVIEW = re.compile(r".+-[0-9a-f]{16}\.png")


class FailedTile(BaseModel):
    """A tile without data, and the reason."""

    band: int
    index: int
    message: str


class Facts(BaseModel):
    """Facts of a finished pair in the journal; see `mmsr_geo.jobs.run_job`."""

    scale: str | None = None
    shape: tuple[int, int] | None = None
    tiles: int | None = None
    tiles_failed: int = 0
    failures: tuple[FailedTile, ...] = ()
    stage_seconds: dict[str, float] = {}
    guide_check: tuple[str, ...] = ()
    guide_gain: tuple[float | None, ...] = ()
    guide_alignment: tuple[str, ...] = ()
    measurement: tuple[str, ...] = ()
    flag_shares: dict[str, float] = {}
    consistency_rmse: tuple[float | None, ...] = ()
    uncertainty: tuple[str, ...] = ()


_OF_GUIDE = {"guide_check", "guide_gain", "guide_alignment", "measurement"}
"""Facts that are shown band by band."""


@dataclass(frozen=True)
class PairReport:
    """A row of the report."""

    status: PairStatus
    facts: Facts
    picture: Path | None = None
    """Path of its preview."""
    note: str = ""
    """Reason why there is no preview, or what could not be read."""

    @property
    def name(self) -> str:
        """Name of the pair."""
        return self.status.entry.name

    @property
    def seconds(self) -> float | None:
        """Duration of its last run."""
        return None if self.status.line is None else self.status.line.seconds

    @property
    def message(self) -> str:
        """Reason of its failure."""
        return "" if self.status.line is None else self.status.line.message

    @property
    def guide(self) -> list[dict[str, Any]]:
        """Guide check of each band: its result, the gain as a share of the baseline's error, alignment and sensor."""
        facts = self.facts
        checks = zip_longest(facts.guide_check, facts.guide_gain, facts.guide_alignment, facts.measurement)
        return [
            {"result": result, "gain": gain, "alignment": alignment or "", "measurement": measurement or ""}
            for result, gain, alignment, measurement in checks
        ]

    @property
    def flags(self) -> list[tuple[str, float]]:
        """Meaning of each QA flag that occurs, and the share of pixels with it."""
        shares = self.facts.flag_shares
        return [(MEANINGS[flag], share) for flag in Flag if (share := shares.get(str(flag.name).lower(), 0.0)) > 0]

    def as_dict(self, folder: Path) -> dict[str, Any]:
        """Return the row as JSON values."""
        entry = self.status.entry
        facts = self.facts.model_dump(mode="json", exclude=_OF_GUIDE | {"failures"})
        return {
            "name": entry.name,
            "state": self.status.state,
            "source": entry.source,
            "guides": list(entry.guides),
            "output": str(entry.output),
            "qa": None if entry.qa is None else str(entry.qa),
            "seconds": self.seconds,
            "message": self.message,
            **facts,
            "tiles": self.facts.tiles or self.status.tiles,
            "failed_tiles": [tile.model_dump() for tile in self.facts.failures],
            "guide": self.guide,
            "picture": None if self.picture is None else self.picture.relative_to(folder).as_posix(),
            "note": self.note,
        }


def write_report(job: Job, status: JobStatus, *, previews: int | None = None, progress: Progress = no_progress) -> Path:
    """Write the report of a job, and return the path of report.html.

    A pair whose rasters or journal line cannot be read gets a note. Each file is replaced completely or not at all.

    Args:
        job: The job.
        status: Its state.
        previews: Largest number of pairs with a preview; None: MOST_PREVIEWS. Previews of unchanged outputs are kept.
        progress: Called as progress("report", done, total).

    Raises:
        OutputError: The folder of the report cannot be written.
    """
    page = report_page(job.path)
    folder = page.parent
    try:
        pictures = folder / "previews"
        pictures.mkdir(parents=True, exist_ok=True)
        shown = [pair for pair in status.pairs if pair.state in {"done", "incomplete", "changed"}]
        shown = shown[: MOST_PREVIEWS if previews is None else previews]
        rows: list[PairReport] = []
        for pair in status.pairs:
            progress("report", len(rows), len(status.pairs))
            rows.append(_row(pair, pictures if pair in shown else None))
        progress("report", len(rows), len(rows))
        content = _content(job, status, rows, folder)
        _write(folder / "report.json", [json.dumps(_finite(content), indent=2, allow_nan=False), "\n"])
        template = _PAGES.get_template("report.html.jinja")
        _write(page, template.stream(**content["summary"], job=content["job"], rows=rows, image=_images(folder)))
        current = {row.picture for row in rows}
        for path in pictures.iterdir():
            if _PREVIEW.fullmatch(path.name) and path not in current:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"the report cannot be written to {folder} ({error.strerror}): free disk space or fix the permissions of "
            "the folder, then run mmsr-geo report"
        ) from error
    return page


def _row(pair: PairStatus, pictures: Path | None) -> PairReport:
    facts, note, picture = Facts(), "", None
    try:
        facts = Facts.model_validate({} if pair.line is None else pair.line.facts)
    except ValidationError as error:
        names = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        note = f"its line in the record cannot be read ({', '.join(names)})"
    if pictures is not None:
        try:
            picture = _preview_of(pair.entry, pictures)
        except OSError as error:
            if error.filename is not None and Path(error.filename).is_relative_to(pictures):
                raise  # the report's own folder
            note = f"no preview: {_reason(error)}"
        except Exception as error:  # noqa: BLE001  (whatever is wrong with the rasters of one pair, the others are reported)
            note = f"no preview: {_reason(error)}"
    return PairReport(pair, facts, picture, note)


def _reason(error: Exception) -> str:
    text = error.at("job") if isinstance(error, MmsrError) else str(error)
    return " ".join(text.split()) or type(error).__name__


def _preview_of(entry: Entry, pictures: Path) -> Path:
    """Return the preview of a pair; it is drawn if there is none of the present output."""
    output = entry.output
    if not isinstance(output, Path) or not output.exists():
        raise FileNotFoundError(f"{entry.output} is not a file on this machine")
    state = output.stat()
    version = json.dumps([__version__, entry.name, entry.source, str(output), state.st_size, state.st_mtime_ns])
    slug = re.sub(r"[^\w.-]+", "_", entry.name)[:60].lstrip(".-") or "pair"
    path = pictures / f"{slug}-{hashlib.sha256(version.encode()).hexdigest()[:16]}.png"
    if not path.exists():
        draft = path.with_name(f".{secrets.token_hex(4)}.part.png")
        try:
            draw_preview(entry, draft)
            replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def draw_preview(entry: Entry, path: Path) -> None:
    """Draw the source and the target of a pair side by side in one colour range.

    A large target also has a detail at full resolution, an elevation also has hillshades. Raises what reading the
    rasters raises.
    """
    target = preview_of(str(entry.output), PREVIEW_PX)
    views = [target]
    if max(target.shape_yx) > 1.5 * PREVIEW_PX:
        views.append(preview_of(str(entry.output), DETAIL_PX, _detail_window(target)))
    nodata = entry.options.get("source_nodata")
    band = f", band {target.bands[0]} of {len(target.bands)}" if len(target.bands) > 1 else ""
    panels: list[Map | None] = []
    for view in views:
        source = preview_on(entry.source, view.grid, nodata)
        limits = shared_limits(np.concatenate([source.ravel(), view.values.ravel()]))
        for name, shown in (("source", source), ("target", view.values)):
            title = f"{name}{band}{_nodata_share(shown)}" if view is target else f"{name}, detail"
            panels.append(Map(title, shown, resolution_m(view.grid)[1], limits, unit=view.unit))
    if sounds_like_elevation(Path(entry.source).stem, *target.bands):
        pixel = resolution_m(view.grid)
        steep = relief(view.values, pixel)
        surface = preview_on(entry.source, view.grid, nodata, smooth=True)  # the edges of its pixels are not cliffs
        detail = "" if view is target else ", detail"
        for name, shown in (("source", surface), ("target", view.values)):
            title = f"{name}{detail}, hillshade"
            panels.append(Map(title, hillshade(shown, pixel, steep), pixel[1], (0, 1), "gray"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about letters that the font of matplotlib lacks
        draw_maps(panels, path, title=entry.name, columns=2)


def _nodata_share(values: Values) -> str:
    share = float(np.isnan(values).mean())
    return f" (grey: {share:.1%} nodata)" if share else ""


def _detail_window(preview: Preview) -> Window:
    """Return the window of a file, DETAIL_PX wide, with the most valid pixels and the largest deviation."""
    height, width = preview.shape_yx
    down, across = preview.values.shape
    side = min(DETAIL_PX, height), min(DETAIL_PX, width)
    cell = max(1, round(side[0] * down / height)), max(1, round(side[1] * across / width))
    best, corner = -1.0, (0, 0)
    for row in range(0, max(down - cell[0], 0) + 1, cell[0]):
        for col in range(0, max(across - cell[1], 0) + 1, cell[1]):
            part = preview.values[row : row + cell[0], col : col + cell[1]]
            valid = part[np.isfinite(part)]
            worth = float(valid.std()) * (valid.size / part.size) ** 2 if valid.size else -0.5
            if worth > best:
                best, corner = worth, (row, col)
    row, col = round(corner[0] * height / down), round(corner[1] * width / across)
    return Window(min(row, height - side[0]), min(col, width - side[1]), *side)


def _content(job: Job, status: JobStatus, rows: Sequence[PairReport], folder: Path) -> dict[str, Any]:
    guide_checks = Counter(result for row in rows for result in row.facts.guide_check)
    seconds = sum(row.seconds or 0.0 for row in rows if row.status.state == "done")
    return {
        "job": str(job.path.absolute()),
        "summary": {
            "version": __version__,
            "written": datetime.now().astimezone().isoformat(timespec="seconds"),
            "sentence": status.sentence,
            "pairs": len(rows),
            "states": dict(Counter(row.status.state for row in rows)),
            "seconds": seconds,
            "guide_checks": dict(guide_checks),
        },
        "pairs": [row.as_dict(folder) for row in rows],
    }


def _finite(content: Any) -> Any:  # noqa: ANN401  (JSON values)
    """Return the same JSON values with null instead of infinity and NaN, which JSON does not have."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _images(folder: Path) -> Callable[[Path], str]:
    """Return the function that gives the address of a preview: its content up to EMBEDDED_BYTES, then its file."""
    left = EMBEDDED_BYTES

    def address(path: Path) -> str:
        nonlocal left
        left -= path.stat().st_size
        if left < 0:
            return quote(path.relative_to(folder).as_posix())
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"

    return address


def _write(path: Path, parts: Iterable[str]) -> None:
    def write(draft: Path) -> None:
        with draft.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(parts)

    write_whole(path, write)


def _share_text(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


_PAGES = Environment(
    loader=PackageLoader("mmsr_geo.jobs", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""Templates of the report. Names, paths and messages come from the user: all are escaped."""
_PAGES.filters |= {"duration": duration_text, "share": _share_text}
