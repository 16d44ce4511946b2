"""Writes the descriptions of the plugin's commands, from `mmsr-geo describe --json`, to mmsr_qgis/commands.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COMMANDS = ("upsample", "evaluate", "fit")
FILE = Path(__file__).parent / "mmsr_qgis" / "commands.json"

if __name__ == "__main__":
    describe = [sys.executable, "-m", "mmsr_geo", "describe", "--json"]
    done = subprocess.run(describe, check=True, stdout=subprocess.PIPE)  # noqa: S603  (the project's own command)
    described = json.loads(done.stdout)
    described["commands"] = {name: described["commands"][name] for name in COMMANDS}
    FILE.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")
