"""Builds the plugin's zip, which QGIS installs; the same files give the same bytes."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

HERE = Path(__file__).parent
PLUGIN = HERE / "mmsr_qgis"
SUFFIXES = {".html", ".json", ".py", ".qm", ".svg", ".ts", ".txt"}
"""Files of the zip, besides LICENSE; compiled modules are not among them."""
_WRITTEN = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16


def version() -> str:
    """Return the version in metadata.txt."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(PLUGIN / "metadata.txt", "utf-8")
    return metadata["general"]["version"]


def build(folder: Path) -> Path:
    """Write the zip into `folder`, which is created if it is missing, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"mmsr_qgis-{version()}.zip"
    files = [file for file in PLUGIN.rglob("*") if file.suffix in SUFFIXES or file.name == "LICENSE"]
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=9) as held:
        for file in sorted(files, key=lambda each: each.relative_to(HERE).as_posix()):
            entry = ZipInfo(file.relative_to(HERE).as_posix(), _WRITTEN)
            entry.compress_type, entry.external_attr, entry.create_system = ZIP_DEFLATED, _READABLE, 3
            held.writestr(entry, file.read_bytes())
    return path


if __name__ == "__main__":
    built = build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dist")
    print(f"{built} ({built.stat().st_size // 1000} kB)")
