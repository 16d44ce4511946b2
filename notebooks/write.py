"""Execute the notebooks in place, for readers on the web; leaves out metadata that differ from run to run.

python notebooks/write.py [NOTEBOOK ...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

CELL_SECONDS = 900
"""Time limit of a cell, with other work on the processor."""
LARGEST_BYTES = 1_500_000
"""Largest size of a notebook with its outputs."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> None:
    """Write the notebooks that are named, or all."""
    folder = Path(__file__).parent
    for path in [Path(name) for name in sys.argv[1:]] or sorted(folder.glob("*.ipynb")):
        started = time.monotonic()
        notebook = executed(path)
        nbformat.write(notebook, path)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB in {time.monotonic() - started:.0f} s", flush=True)


def executed(path: Path) -> NotebookNode:
    """Run a notebook in its own folder; exits if it prints a warning or grows too large."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=CELL_SECONDS, record_timing=False, coalesce_streams=True)
    client.execute(cwd=path.parent)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                sys.exit(f"{path}: {cell.id} writes to stderr: {output.text}")
    size = len(nbformat.writes(notebook))
    if size > LARGEST_BYTES:
        sys.exit(f"{path}: {size / 1e6:.2f} MB, and the limit is {LARGEST_BYTES / 1e6} MB: use fewer dots per inch")
    return notebook


if __name__ == "__main__":
    main()
