"""The help pages, and what of them stands in an algorithm's panel."""

from __future__ import annotations

from html import escape
from pathlib import Path

from .dialog import OFFERED
from .parameters import command
from .translation import tr


def help_file(name: str) -> Path:
    """Return a command's page."""
    return Path(__file__).parent / "pages" / f"{name}.html"


def panel_text(name: str) -> str:
    """Return what stands beside an algorithm's parameters: the page's introduction, then each parameter."""
    page = help_file(name).read_text("utf-8")
    body = page[page.index("<body>") + len("<body>") : page.index("</body>")]
    options = command(name).options
    told = "".join(
        f"<p><b>{escape(tr(offer.label))}</b><br>{escape(tr(offer.told(options[option])))}</p>"
        for option, offer in OFFERED[name].items()
        if offer.told(options[option])
    )
    return f"{tr(' '.join(body.split()))}<h3>{tr('Parameters')}</h3>{told}"
