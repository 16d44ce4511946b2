"""The plugin's virtual environment: venv, the size of the download, pip; opens no windows."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import runner
from .files import Scratch
from .interpreter import environment_python
from .translation import tr

Log = Callable[[str], None]
Progress = Callable[[float], None]
Cancelled = Callable[[], bool]

UNPACKED = 4.2
"""Size of an environment divided by that of its download; measured with torch's CPU wheel."""
RAW_PROGRESS = (24, 1)
"""The first version of pip that reports its progress to other programs."""

_SIZES = """
import json, os, pip, ssl, sys, urllib.parse, urllib.request
from concurrent.futures import ThreadPoolExecutor
trust = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
def size(url):
    parts = urllib.parse.urlsplit(url)
    try:
        if parts.scheme == "file":
            return os.path.getsize(urllib.request.url2pathname(parts.path))
        head = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(head, timeout=30, context=trust) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, TypeError, ValueError):
        return None
with open(sys.argv[1], encoding="utf-8") as file:
    items = json.load(file)["install"]
with ThreadPoolExecutor(8) as pool:
    sizes = list(pool.map(size, [item["download_info"]["url"] for item in items]))
named = [[item["metadata"]["name"], item["metadata"]["version"], size] for item, size in zip(items, sizes)]
print(json.dumps({"pip": pip.__version__, "packages": named}))
"""

_UNREACHABLE = re.compile(
    r"NewConnectionError|Failed to establish|name resolution|getaddrinfo|Name or service|timed out|ConnectTimeout|"
    r"Connection (refused|reset|aborted)|ProxyError|Network is unreachable|Max retries",
    re.IGNORECASE,
)
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError")
_FETCHED = re.compile(
    r"(?:Downloading|Using cached|Processing) (?:\S*[/\\])?(?P<file>[^\s/\\]+\.(?:whl|tar\.gz|zip))(?!\.metadata)"
)
_PROGRESS = re.compile(r"Progress (?P<done>\d+) of (?P<total>\d+)")


class SetUpError(Exception):
    """The environment cannot be created; the exception's text says why and what to do, in one sentence."""


@dataclass(frozen=True)
class Package:
    """A package that pip would install."""

    name: str
    version: str
    size_bytes: int | None
    """Size of its file; None if the index does not give it."""


@dataclass(frozen=True)
class Download:
    """All packages that pip would install."""

    packages: tuple[Package, ...]
    pip_version: tuple[int, ...] = (0,)

    @property
    def size_bytes(self) -> int:
        """Sum of the known sizes."""
        return sum(package.size_bytes or 0 for package in self.packages)

    def sentence(self, folder: Path) -> str:
        """Return the number of packages, their size and the free space in a sentence."""
        unknown = sum(package.size_bytes is None for package in self.packages)
        least = tr("at least ") if unknown else ""
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        return tr("{} packages, {}{} to download. They need about {} on the disk, and {} are free.").format(
            len(self.packages),
            least,
            size_text(self.size_bytes),
            size_text(self.size_bytes * UNPACKED),
            size_text(shutil.disk_usage(existing).free),
        )


def pip_arguments(package: str, index: str) -> list[str]:
    """Return pip's arguments for what to install.

    Args:
        package: a file, or names and versions with blanks between them.
        index: the address of a package index; empty for pip's default.
    """
    named = [package] if Path(package).is_file() else package.split()
    return [*named, *(["--index-url", index] if index else [])]


def create(folder: Path, base: Path, log: Log, cancelled: Cancelled) -> None:
    """Create an empty virtual environment; an existing one in the same folder is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    log(tr("Creating a virtual environment in {} with {}").format(folder, base))
    _run([str(base), "-m", "venv", "--clear", str(folder)], log, cancelled)


def look_up(folder: Path, packages: Sequence[str], log: Log, cancelled: Cancelled) -> Download:
    """Return the packages that pip would install and their sizes; installs nothing."""
    python = str(environment_python(folder))
    with Scratch() as scratch:
        report = scratch / "report.json"
        arguments = ["install", "--dry-run", "--quiet", "--report", str(report), *packages]
        log(tr("Looking up the packages to install"))
        _run([python, "-m", "pip", *_QUIETLY, *arguments], log, cancelled)
        lines = _run([python, "-c", _SIZES, str(report)], lambda _: None, cancelled)
    found = json.loads(lines[-1])
    version = tuple(int(part) for part in re.findall(r"\d+", found["pip"])[:2])
    return Download(tuple(Package(*facts) for facts in found["packages"]), version)


def install(  # noqa: PLR0913  (what is installed, and who listens)
    folder: Path, packages: Sequence[str], download: Download, log: Log, progress: Progress, cancelled: Cancelled
) -> None:
    """Install packages into an environment; pip's lines go to `log`, the finished share to `progress`."""
    raw = ["--progress-bar", "raw"] if download.pip_version >= RAW_PROGRESS else []
    meter = _Meter(download, progress)

    def line(text: str) -> None:
        if meter.consume(text):
            log(text)

    arguments = [str(environment_python(folder)), "-m", "pip", *_QUIETLY, "install", *raw, *packages]
    _run(arguments, line, cancelled)
    progress(1.0)


def remove(folder: Path) -> None:
    """Remove an environment."""
    shutil.rmtree(folder, ignore_errors=True)


def size_text(size_bytes: float) -> str:
    """Return a size in GB or MB."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


_QUIETLY = ["--disable-pip-version-check", "--no-input", "--retries", "2", "--timeout", "30"]


class _Meter:
    """Converts pip's lines to the finished share of a download."""

    def __init__(self, download: Download, progress: Progress) -> None:
        self._sizes = {_normal(package.name): package.size_bytes or 0 for package in download.packages}
        self._total = max(1, download.size_bytes)
        self._progress = progress
        self._finished, self._current = 0, 0

    def consume(self, text: str) -> bool:
        """Read a line; return whether it belongs into the log."""
        progress = _PROGRESS.search(text)
        if progress:
            self._progress((self._finished + min(int(progress["done"]), self._current)) / self._total)
            return False
        fetched = _FETCHED.search(text)
        if fetched:
            self._finished += self._current
            self._current = self._sizes.pop(_normal(fetched["file"].split("-")[0]), 0)  # each counts once
            self._progress(self._finished / self._total)
        return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _run(arguments: Sequence[str], log: Log, cancelled: Cancelled) -> list[str]:
    """Run a program to its end and return its lines; raise SetUpError if it fails, CommandStopped on a cancel."""
    try:
        status, events = runner.output_of(arguments, cancelled, lambda event: log(runner.line_text(event)))
    except OSError as error:
        raise SetUpError(tr("{} cannot be started ({})").format(arguments[0], error.strerror or error)) from error
    lines = [runner.line_text(event) for event in events]
    if status:
        raise SetUpError(_reason(lines))
    return lines


def _reason(lines: Sequence[str]) -> str:
    """Return why a program failed, and what to do."""
    text = "\n".join(lines)
    if _UNTRUSTED.search(text):
        return tr("The certificate of the package index is not trusted: set PIP_CERT, or enter another index")
    if _UNREACHABLE.search(text):
        return tr(
            "The package index cannot be reached: check the network and proxy, enter another index, or use a Python "
            "that has mmsr_geo"
        )
    missing = re.search(r"No matching distribution found for (?P<what>\S.*)", text)
    if missing:
        return tr(
            "The package index has no {} for this Python and system: enter another version, another index or a wheel"
        ).format(missing["what"])
    if "No space left on device" in text:
        return tr("The disk is full: free some space and try again")
    if "ensurepip" in text:
        return tr(
            "This Python cannot create environments: install its venv module (the package python3-venv on Debian)"
        )
    errors = [line for line in lines if line.startswith("ERROR")] or list(lines[-1:]) or [tr("it printed nothing")]
    return tr("The environment could not be created: {}").format(errors[-1])
