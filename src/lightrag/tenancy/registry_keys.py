"""Keys as they are entered and as they are kept: one text, or several fields.

Fields come flat, or as a JSON object in `api_key`, as some clients send them; flat ones win.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from lightrag.errors import InvalidInput
from lightrag.tenancy.catalogue import Provider
from lightrag.tenancy.catalogue.fields import MODEL_FIELDS, REFUSED, Field

LONGEST_KEY = 16_384
_HINT_CHARS = 4
_SHORTEST_HINTED = 16
"""The end of a shorter one would tell too much of it."""
_LONGEST_HINTED = 1000
"""A longer one is a document with a key in it, whose end says nothing."""
_SERVICE_ACCOUNT = "google_service_account_key"


class MissingParameter(InvalidInput):
    """Something that must be entered was not."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Missing required parameter: {name}")
        self.name = name


@dataclasses.dataclass(frozen=True, slots=True)
class EnteredKey:
    """What was entered for a credential."""

    secrets: Mapping[str, str] = dataclasses.field(repr=False)
    """By field; empty where nothing secret was entered."""
    extra: Mapping[str, str]
    of_model: Mapping[str, str]
    """What is about one model rather than the account."""

    @property
    def text(self) -> str | None:
        """The secret as it is sealed: the key itself, or several fields as JSON; None for none."""
        return secret_text(self.secrets)


def secret_text(secrets: Mapping[str, str]) -> str | None:
    """Return secret fields as one text; None for none."""
    if not secrets:
        return None
    if len(secrets) == 1:
        return next(iter(secrets.values()))
    return json.dumps(dict(secrets), sort_keys=True)


def secret_fields(provider: Provider | None, text: str) -> dict[str, str]:
    """Return the secret fields of a text that `secret_text` made."""
    names = [field.name for field in provider.fields if field.is_secret] if provider is not None else []
    if len(names) < 2:
        return {names[0] if names else "api_key": text}
    return {str(name): str(value) for name, value in json.loads(text).items()}


def hint(secrets: Mapping[str, str]) -> str:
    """Return what reminds the owner of a key and helps nobody else: its end, where it is long enough for that."""
    key = next(iter(secrets.values()), "")
    if not key:
        return ""
    return f"…{key[-_HINT_CHARS:]}" if _SHORTEST_HINTED <= len(key) <= _LONGEST_HINTED else "…"


def read_key(provider: Provider, given: Mapping[str, Any]) -> EnteredKey:
    """Return what was entered for a credential of a provider; fields that are absent or blank are left out.

    Raises `InvalidInput` for what is malformed or of another way of authentication; what is missing is not judged.
    """
    inside = _inside(given.get("api_key"))
    main = provider.key_field
    values: dict[str, str] = {}
    for field in provider.fields:
        value = _text(field, given.get(field.name) if field.name != "api_key" else None)
        value = value or _text(field, inside.get(field.name))
        if not value and field is main:
            value = _text(field, inside.get("api_key"))
        if value:
            values[field.name] = value
    for name, advice in REFUSED.get(provider.name, {}).items():
        if (given.get(name) or inside.get(name)) and (main is None or main.name not in values):
            raise InvalidInput(advice)
    if _SERVICE_ACCOUNT in values:
        values[_SERVICE_ACCOUNT] = _service_account(values[_SERVICE_ACCOUNT])
    secret_names = {field.name for field in provider.fields if field.is_secret}
    return EnteredKey(
        {name: value for name, value in values.items() if name in secret_names},
        {name: value for name, value in values.items() if name not in secret_names | MODEL_FIELDS},
        {name: value for name, value in values.items() if name in MODEL_FIELDS},
    )


def check_complete(provider: Provider, secrets: Mapping[str, str], extra: Mapping[str, str]) -> None:
    """Raise `MissingParameter` where a provider needs more than what is there."""
    for field in provider.fields:
        if field.is_required and not (secrets.get(field.name) or extra.get(field.name)):
            raise MissingParameter(field.name)


def with_defaults(provider: Provider, extra: Mapping[str, str]) -> dict[str, str]:
    """Return fields that are not secret, with what goes without saying."""
    plain = [field for field in provider.fields if not field.is_secret and field.default]
    return {field.name: field.default for field in plain} | dict(extra)


def _inside(raw: Any) -> Mapping[str, Any]:
    """Return the fields in `api_key`: those of a JSON object, or the key alone."""
    if isinstance(raw, Mapping):
        return raw
    if raw is None:
        return {}
    if not isinstance(raw, str):
        raise InvalidInput("api_key must be a text")
    if not raw.lstrip().startswith("{"):
        return {"api_key": raw}
    try:
        found = json.loads(raw)
    except ValueError:
        raise InvalidInput("api_key begins like a JSON object and is none; correct it, or send its fields") from None
    if not isinstance(found, dict):
        raise InvalidInput("api_key must be a key or a JSON object of fields")
    if found.get("type") == "service_account":
        return {_SERVICE_ACCOUNT: raw}
    return found


def _text(field: Field, raw: Any) -> str:
    if isinstance(raw, Mapping) and field.name == _SERVICE_ACCOUNT:
        raw = json.dumps(dict(raw))
    if isinstance(raw, list) and field.name == "provider_order":
        raw = ",".join(map(str, raw))
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise InvalidInput(f"{field.name} must be a text")
    value = raw.strip()
    if not value:
        return ""
    if len(value) > LONGEST_KEY:
        raise InvalidInput(f"{field.name} is longer than {LONGEST_KEY} characters")
    if field.name != _SERVICE_ACCOUNT and not (value.isascii() and value.isprintable()):
        raise InvalidInput(f"{field.name} holds characters that no key has")
    if field.is_secret and field.name != _SERVICE_ACCOUNT and " " in value:
        raise InvalidInput(f"{field.name} must not hold spaces")
    if field.pattern and not re.fullmatch(field.pattern, value):
        raise InvalidInput(f"{field.name} is not of the form that is expected")
    return value


def _service_account(text: str) -> str:
    """Return a Google service account's key as JSON; it comes as JSON or in base64."""
    if not text.lstrip().startswith("{"):
        try:
            text = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidInput(
                f"{_SERVICE_ACCOUNT} must be the JSON of a service account's key, or that in base64"
            ) from None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not (
        isinstance(found.get("client_email"), str) and isinstance(found.get("private_key"), str)
    ):
        raise InvalidInput(f"{_SERVICE_ACCOUNT} must be the JSON of a service account's key, or that in base64")
    return json.dumps({name: found[name] for name in ("client_email", "private_key")}, sort_keys=True)
