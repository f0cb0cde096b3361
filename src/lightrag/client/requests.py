"""From a route and its arguments to a request, and from an answer to a value or an error."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lightrag.client import errors
from lightrag.client.steps import Handling, Outgoing, Reply, UploadBody

WORKSPACE = "LIGHTRAG-WORKSPACE"
NEW_TOKEN = "X-New-Token"  # noqa: S105 - the name of a header
REQUEST_ID = "X-Request-ID"
JSON_TYPE = "application/json"

_KINDS: Mapping[int, type[errors.ClientError]] = {
    400: errors.Invalid,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.Invalid,
    422: errors.Invalid,
}
_WAITING_KINDS: Mapping[int, type[errors.RateLimited] | type[errors.Unavailable]] = {
    402: errors.BudgetExceeded,
    429: errors.RateLimited,
    503: errors.Unavailable,
}
_MAX_SHOWN = 500
"""Characters of an answer that is no JSON, in an error message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """An operation of the REST API."""

    method: str
    path: str
    """With `{names}` for its variable parts, as the OpenAPI document has it."""
    is_repeatable: bool
    """Whether it may be sent again when it may have been carried out."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The arguments of one call. Parameters and form fields that are None are left out."""

    path: Mapping[str, str] = dataclasses.field(default_factory=dict)
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    json: Any = dataclasses.field(default=None, repr=False)
    form: Mapping[str, str] | None = dataclasses.field(default=None, repr=False)
    upload: UploadBody | None = None
    accept: str = JSON_TYPE
    handling: Handling = "read"
    target: Path | None = None


class Account:
    """How a client shows who it is: shared by all views of it, and renewed when the server sends a fresh token."""

    def __init__(self, api_key: str | None, token: str | None) -> None:
        self.api_key = _header_value("api_key", api_key)
        self.token = _header_value("token", token)

    def headers(self) -> dict[str, str]:
        """Return the headers that prove it."""
        shown = {"X-API-Key": self.api_key} if self.api_key else {}
        return shown | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    def note(self, reply: Reply) -> None:
        """Take over the token that replaces one which is about to expire."""
        fresh = reply.headers.get(NEW_TOKEN)
        if fresh and self.token:
            self.token = fresh


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where requests go, and what goes with all of them."""

    base_url: str
    account: Account
    workspace: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        url = self.base_url.strip().rstrip("/")
        if not url.startswith(("http://", "https://")) or not url.partition("://")[2]:
            raise errors.Invalid(f"base_url must begin with http:// or https://, not '{self.base_url}'")
        object.__setattr__(self, "base_url", url)
        _header_value("workspace", self.workspace)

    def request(self, route: Route, wish: Wish) -> Outgoing:
        """Return the request for a call. Raises `Invalid` for what cannot be sent."""
        headers = dict(self.headers) | {"Accept": wish.accept} | self.account.headers()
        if self.workspace:
            headers[WORKSPACE] = self.workspace
        content = None
        if wish.json is not None:
            content, headers["Content-Type"] = _encoded(wish.json), JSON_TYPE
        elif wish.form is not None:
            pairs = ((quote(name), quote(value)) for name, value in wish.form.items())
            content = "&".join(f"{name}={value}" for name, value in pairs).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif wish.upload is not None:
            headers["Content-Type"] = wish.upload.content_type
        return Outgoing(
            route.method,
            self.base_url + _filled(route.path, wish.path),
            headers,
            {name: value for name, value in wish.params.items() if value is not None},
            content,
            wish.upload,
            wish.handling,
            wish.target,
        )


def given(**values: Any) -> dict[str, Any]:
    """Return those values that are not None: what is left out has the server's defaults."""
    return {name: value for name, value in values.items() if value is not None}


def body_of(reply: Reply) -> Any:
    """Return the JSON of a successful answer. Raises `ServerError` where it is none."""
    try:
        return json.loads(reply.content)
    except ValueError:
        shown = reply.content[:100].decode("utf-8", "replace")
        raise errors.ServerError(
            f"The server answered with something other than JSON; does base_url lead to its API? It begins: {shown!r}",
            status=reply.status,
            request_id=reply.headers.get(REQUEST_ID),
        ) from None


def error_of(reply: Reply) -> errors.ClientError:
    """Return the error that an answer with another status than 2xx is."""
    try:
        body = json.loads(reply.content)
    except ValueError:
        body = reply.content[:_MAX_SHOWN].decode("utf-8", "replace")
    message = f"{_told(body) or 'The server gave no reason'} (HTTP {reply.status})"
    about: dict[str, Any] = {
        "status": reply.status,
        "body": body,
        "request_id": reply.headers.get(REQUEST_ID),
    }
    if reply.status in _WAITING_KINDS:
        return _WAITING_KINDS[reply.status](message, retry_after=retry_after(reply), **about)
    if 300 <= reply.status < 400:
        target = reply.headers.get("Location", "")
        return errors.ServerError(f"The server leads to '{target}' instead of answering; is base_url right?", **about)
    return _KINDS.get(reply.status, errors.ServerError if reply.status >= 500 else errors.ClientError)(message, **about)


def retry_after(reply: Reply) -> float | None:
    """Return the seconds of Retry-After (RFC 9110, 10.2.3: a number or a date), None where there is none."""
    value = reply.headers.get("Retry-After")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _told(body: Any) -> str:
    if not isinstance(body, dict):
        return str(body).strip()
    detail = next((body[name] for name in ("detail", "retmsg", "message", "error") if body.get(name)), "")
    if isinstance(detail, list):
        return "; ".join(_problem(item) for item in detail)
    return str(detail)


def _problem(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    where = ".".join(str(part) for part in item.get("loc", ())[1:])
    return f"{where}: {item.get('msg')}" if where else str(item.get("msg"))


def _encoded(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise errors.Invalid(f"The request cannot be written as JSON: {error}") from None


def _filled(template: str, parts: Mapping[str, str]) -> str:
    for name, value in parts.items():
        # A path of dots would lead to another route, as to the one that clears all documents.
        if not isinstance(value, str) or not value.strip() or value in (".", ".."):
            raise errors.Invalid(f"'{value}' cannot be a {name}")
        template = template.replace(f"{{{name}}}", quote(value, safe=""))
    return template


def _header_value(name: str, value: str | None) -> str | None:
    """Return a value that a header can hold: visible ASCII characters. Raises `Invalid`."""
    if value is not None and not (value.isascii() and value.isprintable()):
        raise errors.Invalid(f"{name} must consist of printable ASCII characters")
    return value or None
