"""What the command gave back, as the fixture `here` returns it."""

from __future__ import annotations

from pathlib import Path

CommandResult = tuple[int, str, str]
"""Exit status, stdout and stderr."""
SUPPORT = Path(__file__).parent
"""Where modules lie that a worker's process loads."""
