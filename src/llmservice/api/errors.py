"""Every error as the service's error object; the one place where errors become HTTP."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from llmservice.api.schemas import BOUNDS
from llmservice.errors import (
    BackendFailure,
    ContextOverflow,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    ServiceError,
    TierUnavailable,
)

INVALID = "invalid_request_error"


@dataclasses.dataclass(frozen=True, slots=True)
class HttpError:
    """An error's status, body and headers."""

    status: int
    error: Mapping[str, Any]
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def response(self) -> Response:
        """Return it as a response."""
        return Response(self.body(), self.status, dict(self.headers), "application/json")

    def body(self) -> bytes:
        """Return the error object."""
        return orjson.dumps({"error": self.error})


def as_http(error: ServiceError) -> HttpError:
    """Return what a client is told of an error."""
    if isinstance(error, ContextOverflow):
        message = (
            f"Input exceeds maximum context length: it has {error.tokens} tokens and the model's context holds "
            f"{error.limit}; shorten it, or raise the tier's N_CTX"
        )
        numbers = {"n_prompt_tokens": error.tokens, "n_ctx": error.limit}
        return HttpError(400, {**_error(message, INVALID, "context_length_exceeded"), **numbers})
    if isinstance(error, InvalidRequest):
        return HttpError(400, _error(str(error), INVALID, "invalid_parameter", error.param))
    if isinstance(error, ModelNotFound):
        return HttpError(404, _error(str(error), INVALID, "model_not_found"))
    if isinstance(error, Overloaded):
        return HttpError(429, _error(str(error), "overloaded_error", "queue_full"), _retry(error.retry_after))
    if isinstance(error, TierUnavailable):
        return HttpError(503, _error(str(error), "model_error", error.code), _retry(error.retry_after))
    if isinstance(error, DeadlineExceeded):
        return HttpError(503, _error(str(error), "timeout_error", "deadline_exceeded"))
    if isinstance(error, BackendFailure):
        return HttpError(503, _error(f"The model failed at this request: {error}", "model_error", "backend_failure"))
    return HttpError(503, _error(str(error), "server_error"))


def refusal(status: int, message: str, kind: str = INVALID, code: str | None = None) -> HttpError:
    """Return an error that has no class of its own."""
    return HttpError(status, _error(message, kind, code))


def install(app: FastAPI) -> None:
    """Make an application answer every error in this form."""

    async def on_service_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return as_http(error).response()

    async def on_invalid_body(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _invalid(error.errors()).response()

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code == 404:
            message = f"There is nothing at {request.url.path}; see /docs"
        elif error.status_code == 405:
            message = f"{request.url.path} does not take {request.method}"
        one = refusal(error.status_code, message)
        return dataclasses.replace(one, headers=dict(error.headers or {})).response()

    async def on_bug(_request: Request, error: Exception) -> Response:
        return refusal(500, "Internal server error; the service's log has the reason", "server_error").response()

    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(RequestValidationError, on_invalid_body)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_bug)


def _error(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"message": message, "type": kind}
    if param is not None:
        error["param"] = param
    if code is not None:
        error["code"] = code
    return error


def _retry(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def _invalid(errors: Any) -> HttpError:
    first = errors[0]
    place = [str(part) for part in first["loc"][1:]]
    if first["type"] == "json_invalid":
        return HttpError(400, _error("The body is not valid JSON", INVALID, "invalid_json"))
    if not place:
        return HttpError(400, _error("The body must be a JSON object with Content-Type application/json", INVALID))
    field = place[0]
    name = _readable(place)
    kind = first["type"]
    if field in BOUNDS and kind in {"greater_than_equal", "less_than_equal", "finite_number", "int_too_big"}:
        low, high = BOUNDS[field]
        message = f"{field} must be between {low} and {high}"
    elif kind == "missing":
        message = f"{name} is missing"
    else:
        said = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
        message = f"{name}: {said[0].lower()}{said[1:]}"
    return HttpError(400, _error(message, INVALID, "invalid_parameter", field))


def _readable(place: list[str]) -> str:
    """Return a place in a body without the names that pydantic gives to the branches of a union."""
    words = [word for word in place if word.isidentifier() or word.isdigit()]
    text = words[0] if words else place[0]
    for word in words[1:]:
        if word in {"str", "int", "float", "bool", "NamedTool"}:
            continue
        text += f"[{word}]" if word.isdigit() else f".{word}"
    return text
