"""Bounds on request bodies, enforced while they arrive: nothing beyond a limit is read or kept."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightrag.api.auth import path_below_root
from lightrag.settings import ServerSettings

UPLOAD_PATHS = frozenset({"/documents/upload", "/documents/file"})
BATCH_PATHS = frozenset({"/documents/batch", "/documents/file_batch"})
BATCH_FILES = 10
"""A request with several files may be as large as so many of the largest ones."""
IMPORTED_UPLOADS = 100
"""An imported workspace may be as large as so many of the largest files."""
TEXT_PATHS = frozenset({"/documents/text", "/documents/texts"})
FORM_OVERHEAD = 1024 * 1024
"""Bytes of an upload beside the file: boundaries, headers, tags."""
_MIB = 1024 * 1024


class BodyLimit:
    """Answers 413 to bodies that are too large: at once where the length is announced, else when it is reached."""

    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = path_below_root(scope) in UPLOAD_PATHS
        limit = self._limit(scope, is_upload)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            detail = self._message(is_upload, limit, int(announced))
            await JSONResponse({"detail": detail}, status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)(
                scope, receive, send
            )
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._message(is_upload, limit, received))
            return message

        await self._app(scope, receive_within_limit, send)

    def _limit(self, scope: Scope, is_upload: bool) -> int:
        if is_upload:
            return self._settings.max_upload_bytes + FORM_OVERHEAD
        path = path_below_root(scope)
        if path in BATCH_PATHS:
            return BATCH_FILES * self._settings.max_upload_bytes + FORM_OVERHEAD
        if path.startswith("/workspaces/") and path.endswith("/import"):
            return IMPORTED_UPLOADS * self._settings.max_upload_bytes
        takes_text = path in TEXT_PATHS or (scope["method"] == "PUT" and path.startswith("/documents/"))
        return self._settings.max_text_body_bytes if takes_text else self._settings.max_body_bytes

    def _message(self, is_upload: bool, limit: int, size: int) -> str:
        what, most = ("File", self._settings.max_upload_bytes) if is_upload else ("Request body", limit)
        return f"{what} too large. Maximum size: {most / _MIB:.1f}MB, uploaded: {size / _MIB:.1f}MB"
