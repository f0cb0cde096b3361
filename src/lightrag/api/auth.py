"""Access by API key, checked before anything of a request is read."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = "X-API-Key"
OPEN_PATHS = ("/", "/health", "/livez", "/readyz", "/docs", "/docs/*", "/redoc", "/openapi.json", "/static/*")
"""Reachable without a key. `/health` tells callers without a key less."""

_AUTHORIZED = "lightrag.authorized"


class KeyGuard:
    """Answers 403 to requests that need a key and do not bring it."""

    def __init__(self, app: ASGIApp, *, api_key: str | None, whitelist: Sequence[str]) -> None:
        self._app = app
        self._api_key = api_key.encode() if api_key else None
        self._open_paths = (*OPEN_PATHS, *whitelist)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get(HEADER)
        scope[_AUTHORIZED] = authorized = self._is_right(sent)
        if not authorized and not is_listed(path_below_root(scope), self._open_paths):
            detail = "Invalid API Key" if sent else "API Key required"
            await JSONResponse({"detail": detail}, status_code=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_right(self, sent: str | None) -> bool:
        if self._api_key is None:
            return True
        # Headers are Latin-1 on the wire; a key in UTF-8 compares by its bytes.
        return sent is not None and secrets.compare_digest(sent.encode("latin-1"), self._api_key)


def is_authorized(scope: Scope) -> bool:
    """Return what `KeyGuard` found out about the caller."""
    authorized: Any = scope.get(_AUTHORIZED, False)
    return bool(authorized)


def path_below_root(scope: Scope) -> str:
    """Return the request's path without the prefix under which a proxy serves this server."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :] or "/"
    return path


def is_listed(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a path equals a pattern, or lies below one that ends with `/*`, by whole segments."""
    return any(_matches(path, pattern) for pattern in patterns)


def _matches(path: str, pattern: str) -> bool:
    if pattern.endswith("/*"):
        base = pattern[:-2]
        return path == base or path.startswith(base + "/")
    return path == pattern
