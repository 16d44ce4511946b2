"""A job's report: what it says, whatever the pairs are called and whatever has become of them, and its previews."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import rasterio

import mmsr_geo
from mmsr_geo.engine.flags import MEANINGS
from mmsr_geo.geometry import Window
from mmsr_geo.jobs import report as reporting
from mmsr_geo.jobs.journal import Journal, JournalEntry
from mmsr_geo.jobs.report import _detail_window
from mmsr_geo.maps import draw_maps
from mmsr_geo.raster.inspect.preview import preview_of, preview_on
from support.command import CommandResult
from support.dates_job import DATES, SMOOTH, folder, job, with_bad_tiles
from support.rasters import SENTINEL_GUIDE, SENTINEL_TRUTH, sentinel_crop

pytestmark = pytest.mark.slow

__all__ = ["folder"]

Command = Callable[..., CommandResult]
HOSTILE = "<img src=x onerror=alert(1)> & 'q' \"d\" $\\frac{1$ {{ 7 * 7 }} 日本"


class Page(HTMLParser):
    """A page's tags with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def images(self) -> list[str]:
        return [str(attributes["src"]) for tag, attributes in self.tags if tag == "img"]


def reported(folder: Path) -> Any:
    """Read report.json, in which there is nothing that JSON has not."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads((folder / "job.report" / "report.json").read_text(), parse_constant=refuse)


def page(folder: Path) -> Page:
    return Page(folder / "job.report" / "report.html")


def previews(folder: Path) -> dict[str, int]:
    """The previews, each a PNG, and when they were drawn."""
    found = {}
    for path in (folder / "job.report" / "previews").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
        found[path.name] = path.stat().st_mtime_ns
    return found


def test_a_job_leaves_a_report_of_what_is_done_and_what_failed(folder: Path, here: Command) -> None:
    with_bad_tiles(folder, DATES[1])
    (folder / "thermal" / f"{DATES[0]}.tif").write_bytes(b"no raster")
    job(folder, 'qa = "out/{name}_qa.tif"\n' + SMOOTH)
    assert here("batch", "job.toml", "--progress", "none", "--on-error", "skip")[0] == 1
    report = reported(folder)
    assert report["job"] == str(folder / "job.toml")
    assert report["summary"]["states"] == {"failed": 1, "incomplete": 1, "done": 1}
    failed, incomplete, done = report["pairs"]
    assert (failed["name"], failed["state"], failed["picture"]) == (DATES[0], "failed", None)
    assert "cannot be opened" in failed["message"]
    assert incomplete["tiles_failed"] == len(incomplete["failed_tiles"]) > 0
    assert "cannot be read" in incomplete["failed_tiles"][0]["message"]
    assert incomplete["flag_shares"]["failed"] > 0
    assert (done["state"], done["scale"], done["shape"], done["tiles"]) == ("done", "4", [64, 72], 6)
    assert done["guide"] == [{"result": "unknown", "gain": None, "alignment": "", "measurement": ""}]
    assert set(done["flag_shares"]) == {flag.name.lower() for flag in mmsr_geo.Flag if flag.name}
    assert set(done["stage_seconds"]) == {"fit", "tiles", "write"}
    assert done["qa"] == str(folder / "out" / f"{DATES[2]}_qa.tif")
    assert sorted(previews(folder)) == sorted(Path(pair["picture"]).name for pair in (incomplete, done))
    shown = page(folder)
    for said in (
        failed["message"],
        incomplete["failed_tiles"][-1]["message"],
        MEANINGS[mmsr_geo.Flag.FAILED],
        "1 failed",
    ):
        assert said in " ".join(shown.text.split())
    assert len(shown.images) == 2
    assert all(image.startswith("data:image/png;base64,") for image in shown.images)
    assert not list((folder / "job.report").rglob("*.part*"))


def test_a_job_that_stops_leaves_a_report_too(folder: Path, here: Command) -> None:
    (folder / "thermal" / f"{DATES[0]}.tif").write_bytes(b"no raster")
    job(folder)
    assert here("batch", "job.toml", "--progress", "none")[0] == 2
    assert [pair["state"] for pair in reported(folder)["pairs"]] == ["failed", "waiting", "waiting"]
    assert "cannot be opened" in page(folder).text


def test_names_and_messages_are_text(folder: Path, here: Command) -> None:
    source = folder / "<script>alert(2)<!--.tif"
    (folder / "thermal" / f"{DATES[0]}.tif").rename(source)
    quoted = json.dumps(HOSTILE, ensure_ascii=False)
    pair = f'[[pairs]]\nname = {quoted}\nsource = "{source.name}"\nguide = "optical/{DATES[0]}.tif"\n'
    broken = f'[[pairs]]\nname = "b"\nsource = "<b>.tif"\nguide = "optical/{DATES[0]}.tif"\n'
    (folder / "<b>.tif").write_bytes(b"no raster")
    options = SMOOTH[SMOOTH.index("[options]") :]
    job(folder, f'on_error = "skip"\noutput = "out/{{name}}.tif"\n{pair}{broken}{options}')
    assert here("batch", "job.toml", "--progress", "none")[0] == 1
    shown = page(folder)
    assert {tag for tag, _ in shown.tags}.isdisjoint({"script", "iframe", "object", "link"})
    assert shown.text.count(HOSTILE) == 3  # its name, its output's, and below its preview
    assert "<b>.tif cannot be opened" in shown.text
    assert not any(name.startswith("on") for _, attributes in shown.tags for name in attributes)
    (image,) = shown.images
    assert image.startswith("data:")
    assert [pair["name"] for pair in reported(folder)["pairs"]] == [HOSTILE, "b"]
    (preview,) = previews(folder)
    assert preview.startswith("_img_src_x_onerror_alert_1_")
    status, text, _ = here("status", "job.toml")
    assert (status, HOSTILE[:10] in text) == (0, True)


def test_what_has_become_of_one_pair_does_not_break_the_report(folder: Path, here: Command) -> None:
    path = job(folder)
    assert mmsr_geo.batch(path).count("done") == 3
    first, second, third = DATES
    (folder / "out" / f"{first}.tif").write_bytes(b"overwritten by another")
    (folder / "out" / f"{second}.tif").unlink()
    status, said, _ = here("report", "job.toml")
    assert (status, said) == (0, "job.report/report.html\n")
    one, two, three = reported(folder)["pairs"]
    assert (one["state"], one["picture"]) == ("done", None)
    assert one["note"].startswith("no preview: ")
    assert (two["state"], two["picture"], two["note"]) == ("waiting", None, "")
    assert three["picture"] is not None
    # A line that something else has written.
    record = Journal.of(path)
    line = record.last()[third]
    facts = {"tiles": "many", "shape": [1], "flag_shares": {"failed": float("nan")}}
    record.append(JournalEntry(third, line.key, "done", float("inf"), facts=facts))
    assert here("report", "job.toml")[0] == 0
    one, two, three = reported(folder)["pairs"]
    assert three["note"] == "its line in the record cannot be read (shape, tiles)"
    assert (three["seconds"], three["tiles"]) == (None, None)
    assert "cannot be read (shape, tiles)" in page(folder).text


def test_before_anything_was_done_there_is_a_report(folder: Path) -> None:
    path = mmsr_geo.report_batch(job(folder))
    assert path == folder / "job.report" / "report.html"
    assert [pair["state"] for pair in reported(folder)["pairs"]] == ["waiting"] * 3
    assert not previews(folder)


def test_previews_are_kept_until_an_output_changes(folder: Path) -> None:
    path = job(folder)
    mmsr_geo.batch(path)
    before = previews(folder)
    assert len(before) == 3
    mine = folder / "job.report" / "previews" / "mine.png"
    mine.write_bytes(b"\x89PNG")
    mmsr_geo.report_batch(path)
    assert previews(folder).items() >= before.items()
    sentinel_crop(30, 30, 16, 18, 4).source.rio.to_raster(folder / "thermal" / f"{DATES[1]}.tif")
    mmsr_geo.batch(path)
    after = previews(folder)
    assert mine.name in after
    assert len(after) == 4
    assert len(after.items() & before.items()) == 2
    mmsr_geo.report_batch(path, previews=1)
    assert len(previews(folder)) == 2
    assert [pair["picture"] is None for pair in reported(folder)["pairs"]] == [False, True, True]


def test_of_many_previews_the_last_are_shown_from_their_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "EMBEDDED_BYTES", 0)
    mmsr_geo.batch(job(folder, SMOOTH.replace("[[pairs]]", '[[pairs]]\nname = "{key} ?#%"')))
    images = page(folder).images
    assert len(images) == 3
    assert all((folder / "job.report" / unquote(image)).is_file() for image in images)


def test_a_report_that_cannot_be_written_is_reported_and_the_job_is_done(folder: Path) -> None:
    (folder / "job.report").write_bytes(b"a file")
    with pytest.warns(mmsr_geo.MmsrWarning, match=r"the report cannot be written to .*job\.report \("):
        assert mmsr_geo.batch(job(folder)).count("done") == 3
    with pytest.raises(mmsr_geo.OutputError, match="the report cannot be written to"):
        mmsr_geo.report_batch(folder / "job.toml")


def test_json_has_null_where_there_is_no_number(folder: Path) -> None:
    path = job(folder, SMOOTH + "like = 25.0\n")
    mmsr_geo.batch(path)
    record = Journal.of(path)
    line = record.last()[DATES[0]]
    record.append(
        JournalEntry(line.name, line.key, "done", 1.0, facts=dict(line.facts) | {"consistency_rmse": [float("nan")]})
    )
    mmsr_geo.report_batch(path)
    first, second, _ = reported(folder)["pairs"]
    assert first["consistency_rmse"] == [None]
    assert second["consistency_rmse"][0] > 0


# Previews.


def test_a_preview_is_in_units_with_nodata_and_of_a_window(tmp_path: Path) -> None:
    stored = np.arange(60 * 40, dtype=np.int16).reshape(60, 40)
    stored[:6] = -1
    with rasterio.open(SENTINEL_TRUTH) as like:
        profile = {"driver": "GTiff", "crs": like.crs, "transform": like.transform}
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", width=40, height=60, count=1, dtype="int16", nodata=-1, **profile) as dataset:
        dataset.write(stored, 1)
        dataset.scales, dataset.offsets, dataset.units = (0.1,), (200.0,), ("K",)
    preview = preview_of(str(path), 20)
    assert (preview.values.shape, preview.shape_yx, preview.unit) == ((20, 13), (60, 40), "K")
    assert np.isnan(preview.values[:2]).all()
    assert np.isfinite(preview.values[2:]).all()
    assert 200 < preview.values[2:].min() < preview.values[2:].max() <= 200 + 0.1 * stored.max()
    part = preview_of(str(path), 100, Window(20, 10, 8, 8))
    assert part.values == pytest.approx(200 + 0.1 * stored[20:28, 10:18])
    assert preview_on(str(path), part.grid) == pytest.approx(part.values)
    finer = part.grid.zoom_to(shape=(32, 32))
    assert preview_on(str(path), finer) == pytest.approx(part.values.repeat(4, 0).repeat(4, 1))
    assert np.isnan(preview_on(str(path), part.grid, nodata=int(stored[21, 11]))).sum() == 1
    beside = part.grid.translate_pix(-14, 0)
    assert np.isnan(preview_on(str(path), beside)).sum() == 8 * 4  # beyond the file


def test_what_lies_beyond_a_source_is_nodata(tmp_path: Path) -> None:
    preview = preview_of(str(SENTINEL_TRUTH), 32, Window(0, 0, 32, 32))
    with rasterio.open(SENTINEL_TRUTH) as dataset:
        values, profile = dataset.read(1), dataset.profile
    profile.pop("nodata", None)
    with rasterio.open(tmp_path / "bare.tif", "w", **profile | {"driver": "GTiff"}) as dataset:
        dataset.write(values, 1)
    shown = preview_on(str(tmp_path / "bare.tif"), preview.grid.translate_pix(-16, 0))
    assert np.isnan(shown[:, :16]).all()
    assert shown[:, 16:] == pytest.approx(values[:32, :16])


def test_the_part_shown_is_where_there_is_something_to_see(tmp_path: Path) -> None:
    values = np.zeros((1200, 900), np.float32)
    values[:200] = np.nan
    values[640:800, 320:480] = np.random.default_rng(0).normal(size=(160, 160))
    with rasterio.open(SENTINEL_TRUTH) as like:
        profile = {"driver": "GTiff", "crs": like.crs, "transform": like.transform, "nodata": np.nan}
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", width=900, height=1200, count=1, dtype="float32", **profile) as dataset:
        dataset.write(values, 1)
    part = _detail_window(preview_of(str(path), 480))
    seen = values[part.slices]
    assert seen.shape == (160, 160)
    assert np.count_nonzero(seen) > 0.5 * seen.size


@pytest.mark.parametrize("name", ["dem", "thermal"])
def test_an_elevation_is_shown_as_hillshade(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    titles: list[str] = []

    def drawn(maps: Any, path: Path, **more: Any) -> None:
        titles.extend(each.title for each in maps)
        assert maps[0].limits == maps[1].limits
        draw_maps(maps, path, **more)

    monkeypatch.setattr(reporting, "draw_maps", drawn)
    (folder / "thermal" / f"{DATES[0]}.tif").rename(folder / f"{name}.tif")
    (folder / "ortho.tif").symlink_to(SENTINEL_GUIDE)
    mmsr_geo.batch(job(folder, SMOOTH.replace("thermal/{key}", name).replace("optical/{key}", "ortho")))
    assert titles == ["source", "target"] + (["source, hillshade", "target, hillshade"] if name == "dem" else [])
    assert reported(folder)["pairs"][0]["note"] == ""
