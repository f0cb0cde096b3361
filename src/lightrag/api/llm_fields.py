"""Fields of requests below `/llm/`: JSON whatever the content type says, else a form; strings for numbers are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from lightrag.errors import InvalidInput
from lightrag.tenancy.registry_keys import MissingParameter

_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", ""})
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
MOST_TOKENS = 100_000_000


async def read_fields(request: Request) -> Mapping[str, Any]:
    """Return the fields of a request's body. Raises `InvalidInput`."""
    raw = await request.body()
    is_form = request.headers.get("content-type", "").split(";")[0].strip().lower() in _FORMS
    # `curl -d` says that JSON is a form; what is one begins neither with a brace nor with a bracket.
    if is_form and not raw.lstrip().startswith((b"{", b"[")):
        form = await request.form(max_files=0, max_fields=100)
        return {name: value for name, value in form.items() if isinstance(value, str)}
    if not raw.strip():
        return {}
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not a JSON object") from None
    if not isinstance(found, dict):
        raise InvalidInput("The body must be a JSON object")
    return found


def text(fields: Mapping[str, Any], name: str) -> str:
    """Return a text that must be there. Raises `MissingParameter`, `InvalidInput`."""
    value = optional_text(fields, name)
    if not value:
        raise MissingParameter(name)
    return value


def optional_text(fields: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of some texts that is there; None for none, or where it is blank."""
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidInput(f"{name} must be a text")
        if value.strip():
            return value.strip()
    return None


def integer(fields: Mapping[str, Any], name: str, *, least: int = 1, most: int = MOST_TOKENS) -> int | None:
    """Return a whole number; None where there is none. Raises `InvalidInput`."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) < 20 and value.strip().removeprefix("-").isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(f"{name} must be a whole number from {least} to {most}")
    return value


def number(fields: Mapping[str, Any], name: str, *, most: float) -> float | None:
    """Return a number from 0; None where there is none. Raises `InvalidInput`."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        found = float(value) if not isinstance(value, bool) else -1.0
    except (ValueError, TypeError, OverflowError):
        found = -1.0
    if not 0 <= found <= most:
        raise InvalidInput(f"{name} must be a number from 0 to {most:g}")
    return found


def flag(fields: Mapping[str, Any], name: str) -> bool | None:
    """Return a yes or no; None where there is none. Raises `InvalidInput`."""
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise InvalidInput(f"{name} must be true or false")
