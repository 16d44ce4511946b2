"""Write docs/errors.md from the cases of tests/support/refusals, which reach each error and warning.

python tools/errors_page.py           write the page
python tools/errors_page.py --check   fail if the page is another one
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mmsr_geo.options import OPTIONS, option_of  # noqa: E402  (the tests' folder comes first)
from mmsr_geo.spelling import Door, flag, spelled  # noqa: E402  (the tests' folder comes first)
from support.refusals import CASES  # noqa: E402  (after its folder is on the path)
from support.refusals.cases import KINDS, Case  # noqa: E402  (after its folder is on the path)
from support.refusals.inputs import LONG  # noqa: E402  (after its folder is on the path)

PAGE = ROOT / "docs" / "errors.md"
HEAD = """# Errors and warnings

<!-- Made by `make errors-page` from tests/support/refusals: do not edit. -->

Every error is raised before anything is written. No output appears, not even a part of one, and a file that existed
before stays as it was. In Python an error is an exception: all are subclasses of `mmsr_geo.MmsrError`, and all warnings
are subclasses of `mmsr_geo.MmsrWarning`. The command prints one line to stderr (`Error: ...`) and exits with status 2.
With `--progress json` it writes an event as well.

The numbers and names are those of an example. … stands for text of GDAL, PROJ or another library, or for a folder. The
messages name options as the command line does; Python, a job file and QGIS show them under their own names. A note
after a message says where only one interface can show it. [Errors by option](#errors-by-option) is at the end.
"""


def page() -> str:
    """Return docs/errors.md."""
    parts = [HEAD]
    for kind in KINDS:
        own = [case for case in CASES if case.kind is kind]
        about = (kind.__doc__ or "").strip().splitlines()[0] if kind.__module__.startswith("mmsr_geo") else ""
        title = f"`{kind.__name__}`" if about else "Usage errors of the command"
        about = about or "Printed by the command alone, with exit status 2, before a file is opened."
        rows = [f'| <a id="{_anchor(case)}"></a>{_code(case)} | {case.when} | {case.mend} |' for case in own]
        parts.append(
            "\n".join([f"## {title}\n\n{about}\n", "| Message | When | What to do |", "|---|---|---|", *rows, ""])
        )
    return "\n".join([*parts, _index()])


def _index() -> str:
    """Return a table of options with the messages that name them."""
    named: dict[str, list[Case]] = defaultdict(list)
    for case in CASES:
        for name in dict.fromkeys(re.findall(r"⟨([a-z_0-9]+)", case.says)):
            named[name].append(case)
    rows = [
        f"| `{_option(name)}` | {', '.join(f'[{case.name}](#{_anchor(case)})' for case in cases)} |"
        for name, cases in sorted(named.items())
    ]
    return "\n".join(["## Errors by option\n", "| Option | Messages that name it |", "|---|---|", *rows, ""])


def _option(name: str) -> str:
    """Return an option as the command line has it, or as Python has it if it is Python's alone."""
    alone = {each.name for group in OPTIONS for each in fields(group) if option_of(each).python_only}
    return f"{name}=" if name in alone else flag(name)


def _anchor(case: Case) -> str:
    return re.sub(r"[^a-z0-9]+", "-", case.name.lower()).strip("-")


def _code(case: Case) -> str:
    """Return the sentence as code, and which interface shows it if not all do."""
    alone = case.doors.alone if case.kind is not click.UsageError else ""
    door: Door = "command" if case.doors.words is not None else "python"
    shown = spelled(case.says, door).replace(LONG, "sharpsharp….tif").replace("|", "\\|")
    return f"`{shown}`" + (f" ({alone.partition(':')[0]})" if alone else "")


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), "utf-8")
    elif PAGE.read_text("utf-8") != page():
        sys.exit(f"{PAGE} is not what the cases make: run make errors-page")
