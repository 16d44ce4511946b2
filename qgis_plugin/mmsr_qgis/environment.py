"""Makes the virtual environment that the command runs in: venv, the download's size, pip; knows no windows."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import runner
from .interpreter import environment_python
from .scratch import Scratch
from .translation import tr

Tell = Callable[[str], None]
Progress = Callable[[float], None]
Cancelled = Callable[[], bool]

UNPACKED = 4.2
"""How much larger an environment is than its download; measured with torch's CPU wheel."""
RAW_PROGRESS = (24, 1)
"""The first pip that tells its progress to programs."""

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
    """The environment cannot be made; the message is one sentence with the mend."""


@dataclass(frozen=True)
class Package:
    """A package that pip would install."""

    name: str
    version: str
    size_bytes: int | None
    """Of its file; None: the index does not say."""


@dataclass(frozen=True)
class Download:
    """What pip would install."""

    packages: tuple[Package, ...]
    pip_version: tuple[int, ...] = (0,)

    @property
    def size_bytes(self) -> int:
        """All files together, as far as their sizes are known."""
        return sum(package.size_bytes or 0 for package in self.packages)

    def sentence(self, folder: Path) -> str:
        """Say it to a person, with the room that it takes."""
        unknown = sum(package.size_bytes is None for package in self.packages)
        least = tr("at least ") if unknown else ""
        there = next(path for path in (folder, *folder.parents) if path.exists())
        return tr("{} packages, {}{} to download; about {} on the disk, where {} are free.").format(
            len(self.packages),
            least,
            size_text(self.size_bytes),
            size_text(self.size_bytes * UNPACKED),
            size_text(shutil.disk_usage(there).free),
        )


def wanted(package: str, index: str) -> list[str]:
    """Return what pip is asked for: a file's path, or names and versions with blanks between; and from where."""
    named = [package] if Path(package).is_file() else package.split()
    return [*named, *(["--index-url", index] if index else [])]


def make(folder: Path, base: Path, tell: Tell, cancelled: Cancelled) -> None:
    """Make an empty virtual environment in place of what is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tell(tr("Making a virtual environment in {} with {}").format(folder, base))
    _run([str(base), "-m", "venv", "--clear", str(folder)], tell, cancelled)


def download_of(folder: Path, what: Sequence[str], tell: Tell, cancelled: Cancelled) -> Download:
    """Ask pip what it would install, and the index how large that is; nothing of it is installed."""
    python = str(environment_python(folder))
    with Scratch() as scratch:
        report = scratch / "report.json"
        ask = ["install", "--dry-run", "--quiet", "--report", str(report), *what]
        tell(tr("Asking what is needed"))
        _run([python, "-m", "pip", *_QUIETLY, *ask], tell, cancelled)
        said = _run([python, "-c", _SIZES, str(report)], lambda _: None, cancelled)
    told = json.loads(said[-1])
    version = tuple(int(part) for part in re.findall(r"\d+", told["pip"])[:2])
    return Download(tuple(Package(*each) for each in told["packages"]), version)


def install(  # noqa: PLR0913  (what is installed, and who is told)
    folder: Path, what: Sequence[str], download: Download, tell: Tell, progress: Progress, cancelled: Cancelled
) -> None:
    """Install it, telling pip's lines and how much of the download is there."""
    raw = ["--progress-bar", "raw"] if download.pip_version >= RAW_PROGRESS else []
    meter = _Meter(download, progress)

    def line(text: str) -> None:
        if meter.takes(text):
            tell(text)

    words = [str(environment_python(folder)), "-m", "pip", *_QUIETLY, "install", *raw, *what]
    _run(words, line, cancelled)
    progress(1.0)


def remove(folder: Path) -> None:
    """Remove an environment that is not whole."""
    shutil.rmtree(folder, ignore_errors=True)


def size_text(size_bytes: float) -> str:
    """Return a size as a person reads it."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


_QUIETLY = ["--disable-pip-version-check", "--no-input", "--retries", "2", "--timeout", "30"]


class _Meter:
    """Turns pip's lines into how much of a download is there."""

    def __init__(self, download: Download, progress: Progress) -> None:
        self._sizes = {_normal(each.name): each.size_bytes or 0 for each in download.packages}
        self._total = max(1, download.size_bytes)
        self._progress = progress
        self._whole, self._current = 0, 0

    def takes(self, text: str) -> bool:
        """Take a line in; return whether a person wants to read it."""
        told = _PROGRESS.search(text)
        if told:
            self._progress((self._whole + min(int(told["done"]), self._current)) / self._total)
            return False
        fetched = _FETCHED.search(text)
        if fetched:
            self._whole += self._current
            self._current = self._sizes.pop(_normal(fetched["file"].split("-")[0]), 0)  # each counts once
            self._progress(self._whole / self._total)
        return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _run(words: Sequence[str], tell: Tell, cancelled: Cancelled) -> list[str]:
    """Run a program to its end and return its lines; raises SetUpError where it fails, CommandStopped on a cancel."""
    try:
        status, told = runner.heard(words, cancelled, lambda event: tell(runner.line_of(event)))
    except OSError as error:
        raise SetUpError(tr("{} cannot be started ({})").format(words[0], error.strerror or error)) from error
    said = [runner.line_of(event) for event in told]
    if status:
        raise SetUpError(_reason(said))
    return said


def _reason(said: Sequence[str]) -> str:
    """Say why a program failed, and what to do."""
    text = "\n".join(said)
    if _UNTRUSTED.search(text):
        return tr("The package index's certificate is not trusted here: set PIP_CERT, or name another index")
    if _UNREACHABLE.search(text):
        return tr(
            "The package index cannot be reached: check the network and its proxy, name another index, or use a Python "
            "that has mmsr_geo"
        )
    missing = re.search(r"No matching distribution found for (?P<what>\S.*)", text)
    if missing:
        return tr(
            "The package index has no {} for this Python and system: name another version, index or wheel"
        ).format(missing["what"])
    if "No space left on device" in text:
        return tr("The disk is full: make room and try again")
    if "ensurepip" in text:
        return tr("This Python cannot make environments: install its venv (on Debian the package python3-venv)")
    errors = [line for line in said if line.startswith("ERROR")] or list(said[-1:]) or [tr("it said nothing")]
    return tr("That failed: {}").format(errors[-1])
