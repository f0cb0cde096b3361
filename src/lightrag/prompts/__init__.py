"""Prompt templates, one file each; `{name}` marks what is filled in."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def template(name: str) -> str:
    """Return the template of this name (a file `<name>.txt` of this package)."""
    return files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8").strip()


def fill(name: str, **values: str) -> str:
    """Return the template with its `{name}` marks replaced; braces in the values are left alone."""
    text = template(name)
    for key, value in values.items():
        text = text.replace("{" + key + "}", value)
    return text
