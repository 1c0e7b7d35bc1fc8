"""HTML pages from templates, in one file each beside their pictures."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

FILE: Final = "report.html"
"""The page's name in its folder: by it the search service finds what it links."""


def percent(share: float) -> str:
    """A share from 0 to 1 as a percentage."""
    return f"{100 * share:.1f} %"


def render(template: str, path: Path, **values: Any) -> None:
    """Write the page that a template of this package makes of values; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("trainer.reports"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    page = environment.get_template(template).render(**values)
    path.write_text(page, encoding="utf-8")
