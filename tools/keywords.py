"""Write mmsr_geo/keywords.py: the options as keyword arguments that type checkers and editors see.

python tools/keywords.py           write the module
python tools/keywords.py --check   fail if it is another one
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from mmsr_geo import options

LINE = 120
MODULE = Path(options.__file__).with_name("keywords.py")
HEAD = '''"""Options as keyword arguments, for type checkers; written by `make options` from options.py: do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from mmsr_geo.network.fit_params import FitParams
    from mmsr_geo.options import (
        {names},
    )
'''


def module() -> str:
    """Return the source of keywords.py."""
    tree = ast.parse(Path(options.__file__).read_text("utf-8"))
    groups = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    used = dict.fromkeys(group.__name__ for taken in options.FUNCTIONS.values() for group in taken)
    names, blocks = set[str](), list[str]()
    for group in used:
        lines = [
            f"class {_keywords(group)}(TypedDict, total=False):",
            f'    """{ast.get_docstring(groups[group])}"""',
            "",
        ]
        for node in groups[group].body:
            if isinstance(node, ast.AnnAssign):
                annotation = node.annotation
                text = str(annotation.value) if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
                names |= {part.id for part in ast.walk(ast.parse(text)) if isinstance(part, ast.Name)}
                lines.append(f"    {ast.unparse(node.target)}: {text}")
        blocks.append("\n".join(lines))
    for function, taken in options.FUNCTIONS.items():
        bases = ", ".join(_keywords(group.__name__) for group in taken)
        title = "".join(word.capitalize() for word in function.split("_"))
        head = f"class {title}Arguments({bases}):"
        if len(head) > LINE:
            head = f"class {title}Arguments(\n    {bases}\n):"
        blocks.append(f'{head}\n    """Options of `mmsr_geo.{function}`."""')
    known = ",\n        ".join(sorted(name for name in names if hasattr(options, name) and name != "Sequence"))
    return "\n\n\n".join([HEAD.format(names=known).rstrip(), *blocks]) + "\n"


def _keywords(group: str) -> str:
    return group.replace("Options", "Keywords")


if __name__ == "__main__":
    if "--check" not in sys.argv:
        MODULE.write_text(module(), "utf-8")
    elif MODULE.read_text("utf-8") != module():
        sys.exit(f"{MODULE} is not what options.py makes: run make options")
