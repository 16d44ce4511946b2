"""Places of outputs: names that systems do not allow, and outputs that are inputs by another name."""

from __future__ import annotations

import errno
import ntpath
import os
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from mmsr_geo import atomic
from mmsr_geo.errors import OutputError
from mmsr_geo.geometry import Window
from mmsr_geo.raster.write import destination
from mmsr_geo.raster.write.cog import CogWriter
from mmsr_geo.raster.write.destination import (
    ZarrGroupPath,
    address_of,
    check_apart,
    check_format,
    check_name,
    check_output,
)

GRID = GeoBox((4, 4), Affine(10, 0, 0, 0, -10, 0), "EPSG:32618")


@pytest.mark.parametrize(
    "name", ["CON", "nul", "aux.tif", "Com1.tif", "LPT9.tar.gz", "prn .tif", "COM¹.tif", "CONIN$", "aux.zarr"]
)
def test_a_name_that_windows_reserves_is_refused_there(name: str) -> None:
    with pytest.raises(OutputError, match="is a name that Windows reserves for a device: give the output another name"):
        check_name(name, windows=True)
    check_name(name, windows=False)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("a:b.tif", "':' in it"),
        ("a?.tif", "'\\?' in it"),
        ('a".tif', "'\"' in it"),
        ("a\n.tif", r"'\\n' in it"),
        ("a.tif.", "'\\.' at its end"),
        ("a ", "' ' at its end"),
    ],
)
def test_a_name_that_windows_does_not_allow_is_refused_there(name: str, part: str) -> None:
    with pytest.raises(OutputError, match=rf"cannot be the name of a file on Windows \({part}\)"):
        check_name(name, windows=True)
    check_name(name, windows=False)


@pytest.mark.parametrize(
    "name", ["console.tif", "aux2.tif", "com10.tif", "a.aux", "nul_.tif", "é ü.tif", ".tif", "COM"]
)
def test_other_names_are_allowed_on_windows(name: str) -> None:
    check_name(name, windows=True)


def test_files_stores_and_groups_are_checked_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination, "WINDOWS", True)
    for output in (
        tmp_path / "aux.tif",
        ZarrGroupPath(tmp_path / "nul.zarr"),
        ZarrGroupPath(tmp_path / "a.zarr", "con"),
    ):
        with pytest.raises(OutputError, match="reserves for a device"):
            check_output(output, overwrite=False)
    check_output(tmp_path / "sharp.tif", overwrite=False)
    check_output(ZarrGroupPath(tmp_path / "a.zarr", "2024-06"), overwrite=False)


@pytest.mark.parametrize(
    "name", ["a.nc", "a.IMG", "a.jp2", "a.vrt", "a.tif.gz", "s3://bucket/a.nc", "{name}.png", "a.nc/"]
)
def test_a_name_that_promises_another_format_is_refused(name: str) -> None:
    with pytest.raises(OutputError, match=r"GeoTIFFs \(\.tif\) or Zarr stores \(\.zarr\): give a name that ends so"):
        check_format(name)


@pytest.mark.parametrize(
    "name", ["a.tif", "a.TIFF", "a", "a.zarr", "a.zarr/", "s3://b/a.tif", "LST_2021.07", "out.d/a"]
)
def test_names_of_geotiffs_and_stores_are_taken(name: str) -> None:
    check_format(name)


def test_a_drive_letter_is_no_scheme_of_a_url() -> None:
    for text in (r"C:\x\a.tif", "C:/x/a.tif", r"\\server\share\a.tif"):
        assert address_of(text) == Path(text)
    assert isinstance(address_of(r"C:\x\a.zarr"), ZarrGroupPath)


def test_an_output_that_differs_from_an_input_in_case_alone_is_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "dem.tif"
    source.touch()
    other = tmp_path / "DEM.tif"
    check_apart([other], [source])
    with monkeypatch.context() as patch:  # Windows
        patch.setattr(os.path, "normcase", ntpath.normcase)
        with pytest.raises(OutputError, match=r"DEM.tif is also an input \(.*dem.tif\), which would be lost"):
            check_apart([other], [source])
        with pytest.raises(OutputError, match="is also another output"):
            check_apart([tmp_path / "a.tif", tmp_path / "A.TIF"], [])
    other.hardlink_to(source)  # as another system that ignores case shows it
    with pytest.raises(OutputError, match="is also an input"):
        check_apart([other], [source])
    other.unlink()
    other.touch()  # two files, on a system that heeds case
    check_apart([other], [source])


def test_an_output_that_is_open_elsewhere_is_named_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not replace a file that another program has open."""
    output, replace = tmp_path / "sharp.tif", Path.replace
    output.write_bytes(b"open in a viewer")

    def refusing(path: Path, target: Path) -> Path:
        if target == output:
            raise PermissionError(errno.EACCES, "Access is denied")
        return replace(path, target)

    monkeypatch.setattr(atomic, "RETRIES_S", (0, 0))
    monkeypatch.setattr(Path, "replace", refusing)
    with CogWriter(output, GRID, overwrite=True) as writer:
        writer.write(Window(0, 0, 4, 4), np.ones((1, 4, 4), np.float32))
        with pytest.raises(
            OutputError, match=r"sharp.tif cannot be written or replaced \(sharp.tif .* is open in another"
        ):
            writer.finish()
    assert output.read_bytes() == b"open in a viewer"
    assert list(tmp_path.iterdir()) == [output]
