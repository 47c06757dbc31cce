"""Render the pages' templates: everything is escaped, and a name that is missing is an error."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from oqvl_shards.errors import require_extra


def render(name: str, **values: Any) -> bytes:
    """Return a template of `pages/templates`, filled in.

    Args:
        name: File name of the template.
        **values: What the template may name.

    Raises:
        MissingExtraError: If the extra `report` is not installed.
    """
    with require_extra("oqvl-filter", "report"):
        import jinja2
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("oqvl_filter.pages").joinpath("templates", name).read_text(encoding="utf-8")
    return environment.from_string(source).render(**values).encode()
