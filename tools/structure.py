"""Measure the structure of the package and print it next to the figures before the redesign and those of its draft.

    python tools/structure.py             this checkout
    python tools/structure.py --at DIR    another checkout

A room is a module or folder at the top of `mmsr_geo/`, or another folder of the repository whose Python code imports
the package; tests are not a room. `__init__.py` is the room `mmsr_geo`. Imports inside functions count as others do.
So do imports by `import_module` with a literal name, except in circles. Imports for type checking are arrows, but
neither arrows upward nor part of a circle.

Measured so, commit b7e9c5e has the figures of the review, but for two. It has no layers contract, so that upward arrows
cannot be counted. The review counted 39 isinstance tests: 40 lines have 42.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import grimp

PACKAGE = "mmsr_geo"
SMALL_LINES, LONG_LINES = 40, 60
"""Lines below which a module counts as small, and above which a function counts as long."""
METHOD_CLASSES = frozenset(
    {
        *("TileFit", "SceneFit", "SavedModel", "BaselineMethod", "FittedModel"),
        *("SavedNet", "OtherMethod", "FittedNet"),  # their names before the redesign
    }
)
"""Classes that a method or its model may be of."""
Graph = Mapping[str, frozenset[str]]
"""The names that each name imports."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of the structure."""

    name: str
    before: str
    """Figure before the redesign, at commit b7e9c5e: from the review, or measured with this tool."""
    draft: str
    """Figure of the redesign's draft; empty if it has none."""
    now: str


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file."""

    path: Path
    """Relative to the checkout."""
    lines: int
    tree: ast.Module


@click.command(help=__doc__)
@click.option(
    "--at",
    "checkout",
    metavar="DIR",
    default=Path(__file__).parents[1],
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Checkout to measure; this one by default.",
)
def main(checkout: Path) -> None:
    """Print the table."""
    for line in table(measure(checkout.resolve())):
        click.echo(line)


def table(figures: list[Figure]) -> list[str]:
    """Return the figures as a table in Markdown."""
    rows = [("", "before", "draft", "now"), *((f.name, f.before, f.draft, f.now) for f in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    return [lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]]


def measure(checkout: Path) -> list[Figure]:
    """Return the figures of a checkout."""
    sources = [_source(checkout, path) for path in sorted((checkout / PACKAGE).rglob("*.py"))]
    outside = list(_outside(checkout))
    modules, running = _modules(checkout), _modules(checkout, type_checking=False)
    rooms = _rooms(modules, sources, outside)
    longest = max(sources, key=lambda source: source.lines)
    named = [source for source in sources if ast.get_docstring(source.tree)]
    small = [source.path.as_posix() for source in sources if _is_small(source)]
    long = [name for source in (*sources, *outside) for name in _long_functions(source)]
    tests = [number for source in sources if (number := _class_tests(source))]
    return [
        Figure("rooms seen at the top level", "40", "22", str(len(rooms))),
        Figure("floors: rooms in the longest chain of imports", "16", "11", str(_floors(rooms))),
        Figure(
            "arrows: pairs of rooms of which one imports the other", "230", "107", str(sum(map(len, rooms.values())))
        ),
        Figure(
            "arrows upward, against the layers of pyproject.toml",
            "4",
            "0",
            _upward(checkout, _rooms(running, sources, outside)),
        ),
        Figure("circles of modules", "1", "0", str(len(_circles(running)))),
        Figure(f"entries at the top of {PACKAGE}/", "40", "23", str(len(_entries(checkout)))),
        Figure("lines of the longest file", "519", "473", f"{longest.lines} ({longest.path.as_posix()})"),
        Figure("modules", "103", "", str(len(sources))),
        Figure("modules with a first line", "103", "", str(len(named))),
        Figure(f"modules under {SMALL_LINES} lines, without __init__ and the like", "5", "0", _listed(small)),
        Figure(f"functions over {LONG_LINES} lines, tests excluded", "7", "0", _listed(long)),
        Figure("isinstance tests on the classes of methods", "39", "8", f"{sum(tests)} in {len(tests)} files"),
    ]


_MARKERS = frozenset({"__init__.py", "__main__.py", "_version.py"})
"""Files that Python or the build asks for."""
_FEW = 2
"""Number of names up to which they are printed."""


def _source(checkout: Path, path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    return Source(path.relative_to(checkout), len(text.splitlines()), ast.parse(text))


def _outside(checkout: Path) -> Iterator[Source]:
    """Yield the Python files outside the package, without tests and hidden folders."""
    for path in sorted(checkout.rglob("*.py")):
        parts = path.relative_to(checkout).parts
        if parts[0] != PACKAGE and "tests" not in parts and not any(part.startswith(".") for part in parts):
            yield _source(checkout, path)


def _listed(names: list[str]) -> str:
    """Return the number of names, and the names if they are few."""
    return f"{len(names)} ({', '.join(names)})" if 0 < len(names) <= _FEW else str(len(names))


def _is_small(source: Source) -> bool:
    return source.lines < SMALL_LINES and source.path.name not in _MARKERS


def _modules(checkout: Path, *, type_checking: bool = True) -> Graph:
    """Return which modules of the package each of them imports; type_checking: also for type checking only."""
    sys.path.insert(0, str(checkout))
    graph = grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=not type_checking)
    sys.path.remove(str(checkout))
    return {module: frozenset(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _dynamic(source: Source) -> Iterator[str]:
    """Yield the names of modules that a file imports by `import_module` with a literal name."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _called(node) == "import_module":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def _called(call: ast.Call) -> str:
    """Return the last name of what is called."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _rooms(modules: Graph, sources: list[Source], outside: list[Source]) -> Graph:
    """Return which rooms each room imports."""
    rooms: dict[str, set[str]] = {}
    for module, imported in modules.items():
        rooms.setdefault(_room(module), set()).update(map(_room, imported))
    for source in sources:
        rooms[_room(_name(source.path))] |= {_room(name) for name in _dynamic(source) if name in modules}
    for source in outside:
        imported_rooms = {_room(name) for name in _imported(source, modules)}
        if imported_rooms and len(source.path.parts) > 1:
            rooms.setdefault(source.path.parts[0], set()).update(imported_rooms)
    return {room: frozenset(others - {room}) for room, others in rooms.items()}


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _imported(source: Source, modules: Graph) -> Iterator[str]:
    """Yield the modules of the package that a file outside it imports."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module in modules:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in modules else node.module


def _reachable(graph: Graph, start: str) -> set[str]:
    """Return the names that a name imports, directly or not."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def _groups(graph: Graph) -> dict[str, frozenset[str]]:
    """Return the group of each name: itself and the names that it imports and that import it, directly or not."""
    reachable = {name: _reachable(graph, name) for name in graph}
    return {name: frozenset({name, *(o for o in reachable[name] if name in reachable[o])}) for name in graph}


def _circles(graph: Graph) -> set[frozenset[str]]:
    return {group for group in _groups(graph).values() if len(group) > 1}


def _floors(graph: Graph) -> int:
    """Return the number of rooms in the longest chain of imports; a circle counts as one room."""
    groups = _groups(graph)
    depths: dict[frozenset[str], int] = {}

    def depth(group: frozenset[str]) -> int:
        if group not in depths:
            below = {groups[other] for room in group for other in graph[room]} - {group}
            depths[group] = 1 + max(map(depth, below), default=0)
        return depths[group]

    return max(map(depth, groups.values()))


def _upward(checkout: Path, rooms: Graph) -> str:
    """Return the arrows against the layers contract of import-linter, if the checkout has one.

    `__init__.py`, which imports for the user, is above all rooms of the package.
    """
    layers = _layers(tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8")))
    if not layers:
        return "no contract"
    top = len(layers)
    arrows = [(room, other) for room, others in rooms.items() for other in others if other in layers]
    return _listed(sorted(f"{room} -> {other}" for room, other in arrows if layers.get(room, top) < layers[other]))


def _layers(project: dict[str, Any]) -> dict[str, int]:
    """Return the height of each room in the layers contract of the package, 0 for the lowest; empty without one."""
    for contract in project.get("tool", {}).get("importlinter", {}).get("contracts", []):
        if contract["type"] == "layers" and contract.get("containers") == [PACKAGE]:
            heights = {
                f"{PACKAGE}.{name.strip(' ()')}": height
                for height, layer in enumerate(reversed(contract["layers"]))
                for name in layer.split("|")
            }
            return heights | {PACKAGE: len(contract["layers"])}
    return {}


def _entries(checkout: Path) -> list[Path]:
    return [path for path in (checkout / PACKAGE).iterdir() if path.name != "__pycache__"]


def _long_functions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if node.end_lineno - first >= LONG_LINES:
                yield f"{source.path.stem}.{node.name}"


def _class_tests(source: Source) -> int:
    """Return how many isinstance tests of a file name a class of `METHOD_CLASSES`."""
    return sum(
        any(isinstance(name, ast.Name | ast.Attribute) and _last(name) in METHOD_CLASSES for name in ast.walk(tested))
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _called(node) == "isinstance"
        for tested in node.args[1:]
    )


def _last(name: ast.Name | ast.Attribute) -> str:
    return name.attr if isinstance(name, ast.Attribute) else name.id


if __name__ == "__main__":
    main()
