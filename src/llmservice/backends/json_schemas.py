"""JSON schemas as the engines' grammar library, llguidance, wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WHITESPACE = r"\n? {0,8}"
"""Between JSON's parts; unbounded, a model may go on with blanks until its tokens are spent."""


def guided(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that also bounds the blanks between parts; the empty one stands for any object."""
    wanted = dict(schema) if schema else {"type": "object"}
    return {**wanted, "x-guidance": {"whitespace_pattern": _WHITESPACE}}
