"""Checks what a manual edit is asked to say, before anything is changed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from lightrag.errors import InvalidInput
from lightrag.indexing.names import MAX_NAME_CHARS
from lightrag.types import FIELD_SEPARATOR

MAX_TEXT_CHARS = 100_000
MAX_WEIGHT = 1e6
ENTITY_FIELDS = frozenset({"description", "entity_type", "source_id", "file_path"})
RELATION_FIELDS = frozenset({"description", "keywords", "weight", "source_id", "file_path"})
ECHOED = frozenset({"created_at", "truncate", "rank", "mentions"})
"""What answers show and clients may send back; nobody sets it."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_LINE_BREAK = re.compile(r"[\t\n\r]")


def checked_name(name: Any, what: str = "Entity name") -> str:
    """Return a name that an entity may bear, without outer blanks; raises `InvalidInput`."""
    if not isinstance(name, str):
        raise InvalidInput(f"{what} must be a string")
    kept: str = name.strip()
    if not kept:
        raise InvalidInput(f"{what} cannot be empty")
    if len(kept) > MAX_NAME_CHARS:
        raise InvalidInput(f"{what} has {len(kept)} characters; at most {MAX_NAME_CHARS} are allowed")
    if _CONTROL.search(kept) or _LINE_BREAK.search(kept):
        raise InvalidInput(f"{what} holds control characters or line breaks; remove them")
    if FIELD_SEPARATOR in kept:
        raise InvalidInput(f"{what} must not hold {FIELD_SEPARATOR!r}, which separates names in files")
    return kept


def known_name(name: Any) -> str:
    """Return a name as it is looked up; what no entity can bear is found nowhere."""
    return name.strip() if isinstance(name, str) else ""


def entity_fields(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the fields of an entity that are to be set; raises `InvalidInput`."""
    kept = {key: value for key, value in data.items() if key not in ECHOED}
    if kept.get("entity_id") == name:
        # An answer sent back.
        del kept["entity_id"]
    _refuse_unknown(kept, ENTITY_FIELDS)
    fields = {key: _text(key, value) for key, value in kept.items()}
    if "entity_type" in fields and not fields["entity_type"].strip():
        raise InvalidInput("Field 'entity_type' cannot be empty; leave it out, or give UNKNOWN")
    if "entity_type" in fields:
        fields["entity_type"] = fields["entity_type"].strip()
    return fields


def relation_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a relation that are to be set; raises `InvalidInput`."""
    kept = {key: value for key, value in data.items() if key not in ECHOED}
    _refuse_unknown(kept, RELATION_FIELDS)
    return {key: _weight(value) if key == "weight" else _text(key, value) for key, value in kept.items()}


def _refuse_unknown(fields: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(key for key in fields if key not in known)
    if unknown:
        raise InvalidInput(f"Field '{unknown[0][:100]}' cannot be set; the fields are {', '.join(sorted(known))}")


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"Field '{key}' must be a string")
    if len(value) > MAX_TEXT_CHARS:
        raise InvalidInput(f"Field '{key}' has {len(value)} characters; at most {MAX_TEXT_CHARS} are allowed")
    if _CONTROL.search(value):
        raise InvalidInput(f"Field '{key}' holds control characters or is no valid Unicode text")
    return value


def _weight(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise InvalidInput("Field 'weight' must be a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput("Field 'weight' must be a number")
    if not (math.isfinite(value) and 0 < value <= MAX_WEIGHT):
        raise InvalidInput(f"Field 'weight' must be above 0 and at most {MAX_WEIGHT:g}")
    return float(value)
