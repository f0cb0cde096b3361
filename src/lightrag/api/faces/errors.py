"""Errors in the form that each face's clients read, wherever on the way they arise.

Below `/llm/` the envelope of that interface; under `/v1/` OpenAI's error object; under `/api/` Ollama's `error` text,
with `detail` beside it as LightRAG has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lightrag.api.auth import path_below_root
from lightrag.api.llm_answers import PATHS as LLM_PATHS
from lightrag.api.llm_answers import envelope_of_status

OPENAI_PATHS = "/v1/"
OLLAMA_PATHS = "/api/"

_TYPES = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("service_unavailable_error", "service_unavailable"),
    504: ("timeout_error", "timeout"),
}


class FaceError(Exception):
    """A request that a face refuses.

    Args:
        status: The HTTP status.
        message: What is wrong and how to mend it.
        param: The field of the request that is wrong.
        code: OpenAI's word for the kind of mistake.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


def openai_error(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    """Return OpenAI's error object."""
    kind, usual = _TYPES.get(status, ("server_error", None) if status >= 500 else ("invalid_request_error", None))
    return {"error": {"message": message, "type": kind, "param": param, "code": code or usual}}


def face_body(path: str, status: int, detail: object) -> bytes | None:
    """Return an error's body in the form of the face that serves `path`; None where none does."""
    text = detail if isinstance(detail, str) else orjson.dumps(detail).decode()
    if path.startswith(LLM_PATHS):
        return envelope_of_status(status, detail)
    if path.startswith(OPENAI_PATHS):
        return orjson.dumps(openai_error(status, text))
    if path.startswith(OLLAMA_PATHS):
        return orjson.dumps({"error": text, "detail": detail})
    return None


def install_face_errors(app: FastAPI) -> None:
    """Make the application answer `FaceError`."""
    app.add_exception_handler(FaceError, _refused)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, FaceError)
    body: Mapping[str, Any]
    if path_below_root(request.scope).startswith(OPENAI_PATHS):
        body = openai_error(error.status, str(error), param=error.param, code=error.code)
    else:
        body = {"error": str(error), "detail": str(error)}
    return Response(orjson.dumps(body), status_code=error.status, media_type="application/json")


class FaceErrors:
    """Puts the errors of other layers (`{"detail": …}`) in the form of the face whose path was called."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_below_root(scope) if scope["type"] == "http" else ""
        if not path.startswith((*LLM_PATHS, OPENAI_PATHS, OLLAMA_PATHS)):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Rewriter(path, send))


class _Rewriter:
    """Passes a response on; the body of a JSON error is gathered and put in the form of the path's face."""

    def __init__(self, path: str, send: Send) -> None:
        self._path = path
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        start, self._start = self._start, None
        body = self._rewritten(start)
        headers = MutableHeaders(raw=list(start.get("headers", [])))
        headers["content-length"] = str(len(body))
        headers["content-type"] = "application/json"
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})

    def _rewritten(self, start: Message) -> bytes:
        try:
            found = orjson.loads(self._body)
        except orjson.JSONDecodeError:
            found = {"detail": self._body.decode("utf-8", "replace") or "The request failed"}
        if isinstance(found, dict) and ("error" in found or "retcode" in found):
            return self._body
        detail = found.get("detail", found) if isinstance(found, dict) else found
        return face_body(self._path, start["status"], detail) or self._body
