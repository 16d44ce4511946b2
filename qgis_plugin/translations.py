"""Collects what the plugin shows into mmsr_qgis.ts, from which translators begin; lupdate alone would miss the options.

What goes through `tr` is written in the modules, or stands in the command's description and in the help pages.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

PLUGIN = Path(__file__).parent / "mmsr_qgis"
FILE = PLUGIN / "i18n" / "mmsr_qgis.ts"


def texts() -> list[str]:
    """Return every text that is shown, each once, in order."""
    return list(dict.fromkeys([*_written(), *_labels(), *_described(), *_pages(), *_tables()]))


def xml() -> str:
    """Return the texts as Qt's translation file, without translations."""
    messages = "".join(
        f"    <message>\n        <source>{escape(text)}</source>\n"
        '        <translation type="unfinished"></translation>\n    </message>\n'
        for text in texts()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n<TS version="2.1" sourcelanguage="en">\n<context>\n'
        f"    <name>mmsr_qgis</name>\n{messages}</context>\n</TS>\n"
    )


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _literals(nodes: Iterable[ast.AST]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _written() -> Iterator[str]:
    """Give the literals of calls of `tr`."""
    for path in sorted(PLUGIN.rglob("*.py")):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr":
                yield from _literals(node.args)


def _assigned(path: Path, *names: str) -> Iterator[ast.expr]:
    """Give what is assigned to these names, in a module or its classes."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names:
            yield node.value


def _labels() -> Iterator[str]:
    """Give the labels of the options, which their kinds pass to `tr`, and the algorithms' titles and tags."""
    for node in ast.walk(_tree(PLUGIN / "dialog.py")):
        if isinstance(node, ast.Call):
            named = (each.value for each in node.keywords if each.arg in {"more", "bits", "text", "help"})
            yield from _literals([*node.args[:1], *named])
    yield from _literals(_assigned(PLUGIN / "dialog.py", "_NET"))
    yield from _literals(_assigned(PLUGIN / "algorithms.py", "TITLE", "TAGS"))


def _described() -> Iterator[str]:
    """Give the command's own words: help, and the stages."""
    told = json.loads((PLUGIN / "commands.json").read_text("utf-8"))
    for command in told["commands"].values():
        yield command["help"]
        yield from (parameter["help"] for parameter in command["parameters"] if parameter["help"])
    yield from told["stages"].values()


def _pages() -> Iterator[str]:
    """Give the introductions of the help pages, as help.py passes them to `tr`."""
    for path in sorted((PLUGIN / "pages").glob("*.html")):
        page = path.read_text("utf-8")
        yield " ".join(page[page.index("<body>") + len("<body>") : page.index("</body>")].split())


def _tables() -> Iterator[str]:
    """Give the meanings of the flags."""
    (flags,) = _assigned(PLUGIN / "styling.py", "FLAGS")
    yield from (meaning for meaning, _ in ast.literal_eval(flags).values())


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(xml(), "utf-8")
