"""Collects the texts that the plugin shows in mmsr_qgis.ts, the file that translators start from.

lupdate alone would miss the labels and help of the dialogs: they are in tables, in the command's description and in the
help pages, and reach `tr` as variables.
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
    """Return each text that is shown, once, in a fixed order."""
    found = [*_arguments_of_tr(), *_fields(), *_algorithms(), *_command(), *_pages(), *_flags(), *_columns()]
    return list(dict.fromkeys(found))


def xml() -> str:
    """Return the texts as a translation file of Qt, without translations."""
    messages = "".join(
        f"    <message>\n        <source>{escape(text)}</source>\n"
        '        <translation type="unfinished"></translation>\n    </message>\n'
        for text in texts()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n<TS version="2.1" sourcelanguage="en">\n<context>\n'
        f"    <name>mmsr_qgis</name>\n{messages}</context>\n</TS>\n"
    )


def _tree(name: str) -> ast.Module:
    return ast.parse((PLUGIN / name).read_text("utf-8"))


def _literals(nodes: Iterable[ast.AST]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a plain name with that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def _assigned(tree: ast.AST, *names: str) -> Iterator[ast.expr]:
    """Yield what is assigned to these names, in a module or its classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names:
            yield node.value


def _arguments_of_tr() -> Iterator[str]:
    for path in sorted(PLUGIN.rglob("*.py")):
        for name, call in _calls(_tree(path.name)):
            if name == "tr":
                yield from _literals(call.args)


def _fields() -> Iterator[str]:
    """Yield labels and help of the fields: the first two arguments of each kind of field."""
    tree = _tree("dialog.py")
    for name, call in _calls(tree):
        if name[0].isupper():
            yield from _literals(call.args[:2])
    yield from _literals(_assigned(tree, "_MODEL", "_BITS"))


def _algorithms() -> Iterator[str]:
    yield from _literals(_assigned(_tree("algorithms.py"), "TITLE", "SUMMARY", "TAGS"))


def _command() -> Iterator[str]:
    """Yield the command's help for fields that have none of their own, and the names of its stages."""
    described = json.loads((PLUGIN / "commands.json").read_text("utf-8"))
    shown = _fields_without_help()
    for command in described["commands"].values():
        for parameter in command["parameters"]:
            if parameter["name"] in shown and parameter["help"]:
                yield parameter["help"]
    yield from described["stages"].values()


def _fields_without_help() -> set[str]:
    """Return the options that have a field with a label alone."""
    entries = [
        (key.value, value)
        for node in ast.walk(_tree("dialog.py"))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Call)
    ]
    return {str(name) for name, call in entries if len(call.args) == 1}


def _pages() -> Iterator[str]:
    """Yield the introductions of the help pages, with one blank between words, as the panel shows them."""
    for path in sorted((PLUGIN / "pages").glob("*.html")):
        page = path.read_text("utf-8")
        yield " ".join(page[page.index("<body>") + len("<body>") : page.index("</body>")].split())


def _flags() -> Iterator[str]:
    (flags,) = _assigned(_tree("styling.py"), "FLAGS")
    yield from (label for label, _ in ast.literal_eval(flags).values())


def _columns() -> Iterator[str]:
    """Yield heading and meaning of the scores."""
    for name, call in _calls(_tree("report.py")):
        if name == "Column":
            yield from _literals([call.args[0], call.args[3]])


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(xml(), "utf-8")
