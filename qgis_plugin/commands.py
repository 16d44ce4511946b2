"""Writes down what `mmsr-geo describe --json` says of the commands that the plugin offers, into the plugin."""

from __future__ import annotations

import json
from pathlib import Path

from mmsr_geo.cli.describe import description
from mmsr_geo.cli.main import cli

OFFERED = ("upsample", "evaluate", "fit")
FILE = Path(__file__).parent / "mmsr_qgis" / "commands.json"

if __name__ == "__main__":
    told = description(cli)
    told["commands"] = {name: told["commands"][name] for name in OFFERED}
    FILE.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
