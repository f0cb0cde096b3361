"""Tags as they are written on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable

import typer

from lightrag.types import TagValue

_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,15}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
"""What else Python takes for a number, such as 2024_05 and infinity, is a text; so are longer numbers."""


def tags_of(pairs: Iterable[str] | None, option: str) -> dict[str, TagValue]:
    """Return the tags of `key=value` pairs; numbers, true and false are what they look like, repeated keys are lists.

    Raises `typer.BadParameter` for `option` where a pair is none.
    """
    tags: dict[str, TagValue] = {}
    for pair in pairs or ():
        key, sign, text = pair.partition("=")
        if not key or not sign:
            raise typer.BadParameter(f"'{pair}' should be key=value", param_hint=option)
        before = tags.get(key)
        if before is None:
            tags[key] = _value(text)
        else:
            tags[key] = [*(before if isinstance(before, list) else [str(before)]), text]
    return tags


def _value(text: str) -> TagValue:
    if text in {"true", "false"}:
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
