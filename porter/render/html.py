"""render_template: the HTML pages' templates, filled and escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from porter.files.installed import require_package

TEMPLATES = Path(__file__).parent / "templates"


def render_template(name: str, **values: Any) -> str:
    """Return the template ``name`` filled with ``values``; all text is escaped unless the template marks it safe.

    Raises MissingPackageError if jinja2 is not installed.
    """
    require_package("jinja2", "report", "writing an HTML page")
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(values)
