"""The guard at the door: finds out who calls before anything of a request's body is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightrag.api.auth_access import Access
from lightrag.api.auth_principal import (
    ANYBODY,
    NOTHING_SHOWN,
    STRANGER,
    Credentials,
    Principal,
    Refusal,
)
from lightrag.callers import calling_as, current_caller

NEW_TOKEN = "X-New-Token"  # noqa: S105 - the name of a header
OPEN_PATHS = (
    "/",
    "/health",
    "/livez",
    "/readyz",
    "/login",
    "/auth-status",
    "/docs",
    "/docs/*",
    "/redoc",
    "/openapi.json",
    "/static/*",
)
"""Reachable without credentials. `/health` tells callers without them less."""
NEVER_OPEN = frozenset({"/auth/verify"})
"""Asks whether credentials are good; WHITELIST_PATHS does not open it."""
NO_RENEWAL = frozenset({"/health", "/documents/paginated", "/documents/pipeline_status"})
"""Pages that are left open poll these; polling alone must not keep a session alive."""
PLACEHOLDER_PATHS = ("/v1/", "/llm/")
"""Clients of these routes always send some bearer token; where nothing is configured, it need not mean anything."""

_PRINCIPAL = "lightrag.principal"


class AccessGuard:
    """Answers 401 or 403 to requests without the right credentials; the others carry who makes them."""

    def __init__(self, app: ASGIApp, *, access: Access, whitelist: Sequence[str]) -> None:
        self._app = app
        self._access = access
        self._open_paths = OpenPaths((*OPEN_PATHS, *whitelist))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind != "http":
            # There are no such routes; what is added one day shall not be open by accident.
            await send({"type": "websocket.close", "code": 1008})
            return
        path = path_below_root(scope)
        shown = read_credentials(scope)
        if shown.bearer is not None and self._is_placeholder(path, shown):
            shown = Credentials(None, shown.api_key)
        verdict = await self._access.admit(shown)
        if isinstance(verdict, Refusal):
            if not self._is_open(path):
                await _refuse(verdict)(scope, receive, send)
                return
            scope[_PRINCIPAL] = STRANGER if self._access.is_closed else ANYBODY
        else:
            scope[_PRINCIPAL] = verdict.principal
            if verdict.renew is not None and path not in NO_RENEWAL and not self._is_open(path):
                token = verdict.renew()
                send = send if token is None else _with_new_token(token, send)
        with calling_as(dataclasses.replace(current_caller(), token_id=principal_of(scope).key or None)):
            await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path not in NEVER_OPEN and self._open_paths.opens(path)

    def _is_placeholder(self, path: str, shown: Credentials) -> bool:
        return path.startswith(PLACEHOLDER_PATHS) and not self._access.is_closed and not shown.looks_signed


class OpenPaths:
    """The paths that need no credentials: exact ones, and all below those that end with `/*`, by whole segments."""

    def __init__(self, patterns: Sequence[str]) -> None:
        below = [pattern[:-1] for pattern in patterns if pattern.endswith("/*")]
        self._exact = frozenset(pattern for pattern in patterns if not pattern.endswith("/*")) | {
            prefix[:-1] or "/" for prefix in below
        }
        self._below = tuple(below)

    def opens(self, path: str) -> bool:
        """Return whether a path is open; one that could be read in two ways never is."""
        return path in self._exact or (path.startswith(self._below) and not _is_crooked(path))


def _is_crooked(path: str) -> bool:
    """Return whether something behind us might take a path for another one: dots, empty segments, leftover escapes."""
    if "//" in path or "\\" in path or "%" in path or not path.isprintable():
        return True
    return "/." in path and any(segment in {".", ".."} for segment in path.split("/"))


def principal_of(scope: Scope) -> Principal:
    """Return who makes a request; a stranger where no guard has looked."""
    principal: Any = scope.get(_PRINCIPAL)
    return principal if isinstance(principal, Principal) else STRANGER


def read_credentials(scope: Scope) -> Credentials:
    """Return what a request shows; of a header that comes twice, the first."""
    authorization: bytes | None = None
    api_key: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value if authorization is None else authorization
        elif name == b"x-api-key":
            api_key = value if api_key is None else api_key
    if authorization is None and not api_key:
        return NOTHING_SHOWN
    return Credentials(_bearer(authorization), api_key or None)


def _bearer(authorization: bytes | None) -> str | None:
    if authorization is None:
        return None
    scheme, _, token = authorization.decode("latin-1").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def path_below_root(scope: Scope) -> str:
    """Return the request's path without the prefix under which a proxy serves this server."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :] or "/"
    return path


def _with_new_token(token: str, send: Send) -> Send:
    async def send_with_token(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers[NEW_TOKEN] = token
            # A token is for one reader: no cache on the way may keep it.
            headers["Cache-Control"] = "no-store"
        await send(message)

    return send_with_token


def _refuse(refusal: Refusal) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse({"detail": refusal.detail}, status_code=refusal.status, headers=headers)
