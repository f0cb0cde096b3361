"""From the engine's errors to HTTP, in one place. Every error body is `{"detail": …}`."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from lightrag import errors
from lightrag.api.auth import path_below_root
from lightrag.api.context import ServerContext
from lightrag.api.faces.errors import face_body

log = structlog.get_logger(__name__)

STATUS: Sequence[tuple[type[errors.LightRAGError], HTTPStatus]] = (
    (errors.TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.InvalidInput, HTTPStatus.BAD_REQUEST),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.Forbidden, HTTPStatus.FORBIDDEN),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.StorageMismatch, HTTPStatus.CONFLICT),
    (errors.RateLimited, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.BudgetExceeded, HTTPStatus.PAYMENT_REQUIRED),
    (errors.ContextTooLong, HTTPStatus.BAD_REQUEST),
    (errors.ModelRateLimited, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.ModelUnreachable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.ModelError, HTTPStatus.BAD_GATEWAY),
    (errors.StorageUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.ConfigurationError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first class that fits decides; whatever is not listed is a 500."""

CLIENT_CLOSED = 499
"""Nobody reads this status but our own log and metrics."""

MAX_ECHO = 200
"""Characters of a rejected value that are sent back."""

DATA_PATH = "/query/data"

_VALIDATOR = re.compile(r"(function-(after|before|wrap|plain)|list|dict|set|tuple|constrained-[a-z]+|tagged-union)\[")
"""How pydantic names the types of a field that may be of several."""


def install_error_handlers(app: FastAPI) -> None:
    """Make the application answer every error in the same form."""
    app.add_exception_handler(errors.LightRAGError, _engine_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(TimeoutError, _timeout)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: errors.LightRAGError) -> HTTPStatus:
    """Return the status code of an error."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def validation_details(raw: Sequence[Any]) -> list[dict[str, Any]]:
    """Return FastAPI's list of what is wrong, safe to encode and without echoing large values.

    Where a field may be of several types, pydantic puts a description of the validator into its place; it is left out.
    """
    return [
        {key: _plain(_place(value) if key == "loc" else value) for key, value in item.items() if key != "url"}
        for item in raw
    ]


def _place(loc: Sequence[Any]) -> list[Any]:
    return [part for part in loc if not (isinstance(part, str) and _VALIDATOR.match(part))]


async def _engine_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.LightRAGError)
    if isinstance(error, errors.StorageError):
        server: ServerContext = request.app.state.server
        server.metrics.storage_errors.labels(kind=type(error).__name__).inc()
    status = status_of(error)
    headers = {}
    if isinstance(error, errors.ModelRateLimited | errors.LimitReached):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1)))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed", error=str(error), kind=type(error).__name__)
    return _answer(request, status, _encodable(str(error)), headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, UnicodeDecodeError):  # a JSON body: what is no text is no JSON
        wrong = {"type": "json_invalid", "msg": "JSON decode error", "input": {}, "ctx": {"error": "no valid UTF-8"}}
        place = ("body", error.__cause__.start)
        return await _validation_error(request, RequestValidationError([{**wrong, "loc": place}]))
    return _answer(request, error.status_code, _plain(error.detail), error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    details = validation_details(error.errors())
    if _is_data_query(request):
        message = "; ".join(f"{' -> '.join(map(str, item['loc']))}: {item['msg']}" for item in details)
        return _answer(request, HTTPStatus.BAD_REQUEST, f"Validation error: {message}")
    return JSONResponse({"detail": details}, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)


async def _timeout(request: Request, error: Exception) -> Response:
    server: ServerContext = request.app.state.server
    detail = (
        f"The request was not done within {server.settings.server.timeout} s and was given up; ask for less, or start "
        "the server with a larger --timeout"
    )
    return JSONResponse({"detail": detail}, status_code=HTTPStatus.GATEWAY_TIMEOUT)


async def _client_left(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED)


async def _unexpected(request: Request, error: Exception) -> Response:
    error_id = secrets.token_hex(6)
    log.error("unexpected error", error_id=error_id, path=request.url.path, exc_info=error)
    detail = f"Internal server error (error_id: {error_id})"
    # This answer is sent from outside of all middleware, so nobody else brings it into the form of a face.
    body = face_body(path_below_root(request.scope), HTTPStatus.INTERNAL_SERVER_ERROR, detail)
    if body is not None:
        return Response(body, HTTPStatus.INTERNAL_SERVER_ERROR, media_type="application/json")
    return JSONResponse({"detail": detail}, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)


def _answer(request: Request, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> Response:
    if status == HTTPStatus.BAD_REQUEST and _is_data_query(request):
        # What is wrong with a request is told in the form of this route's own answers.
        body = {"status": "failure", "message": detail, "data": {}, "metadata": {}}
        return JSONResponse(body, status_code=status, headers=headers)
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def _is_data_query(request: Request) -> bool:
    return getattr(request.scope.get("route"), "path", "") == DATA_PATH


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _encodable(value if len(value) <= MAX_ECHO * 5 else value[:MAX_ECHO] + "…")
    if isinstance(value, bool | int | None):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)[:MAX_ECHO]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:20]]
    if isinstance(value, dict):
        return {_encodable(str(key))[:MAX_ECHO]: _plain(item) for key, item in list(value.items())[:20]}
    return _encodable(str(value))[:MAX_ECHO]


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
