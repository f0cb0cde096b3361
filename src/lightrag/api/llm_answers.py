"""The form of answers below `/llm/`: one envelope for success and failure, with both spellings of its fields.

What goes wrong with a request is told with HTTP 200 in the envelope, as clients of this interface expect; what the
caller may not do, what contradicts the present state and what is broken on our side has the HTTP status of its kind.
`code` is fine-grained, `retcode` is 1 wherever `code` is one of the 100s.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from lightrag.errors import Conflict, Forbidden, InvalidInput, LightRAGError, NotFound, StorageError

ARGUMENT_ERROR, DATA_ERROR = 101, 102
PATHS = ("/llm/", "/v1/llm/")
_UNAUTHORISED = "<Unauthorized '401: Unauthorized'>"


class CallFailed(LightRAGError):
    """Models were tried and did not answer. `short` is what `retmsg` says."""

    def __init__(self, short: str, message: str) -> None:
        super().__init__(message)
        self.short = short


def succeeded(data: Any) -> Response:
    """Return the answer that carries data."""
    return _response({"retcode": 0, "retmsg": "success", "code": 0, "message": "success", "data": data})


def failed(code: int, message: str, *, short: str | None = None, status: int = HTTPStatus.OK) -> Response:
    """Return the answer that says what is wrong."""
    body = envelope(code, message, short)
    return _response(body | ({"detail": message} if status >= HTTPStatus.BAD_REQUEST else {}), status)


def envelope(code: int, message: str, short: str | None = None) -> dict[str, Any]:
    """Return the fields of a failure."""
    retcode = 1 if 100 <= code < 200 else code
    return {"retcode": retcode, "retmsg": short or message, "code": code, "message": message, "data": None}


def envelope_of_status(status: int, detail: object) -> bytes:
    """Return a failure that another layer has answered."""
    text = detail if isinstance(detail, str) else orjson.dumps(detail).decode()
    message = _UNAUTHORISED if status == HTTPStatus.UNAUTHORIZED else text
    return orjson.dumps(envelope(status, message, text) | {"detail": detail})


class EnvelopeRoute(APIRoute):
    """A route whose function raises our errors, which are put in the envelope."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except LightRAGError as error:
                response = _failure(error)
                if response is None:
                    raise
                return response

        return answered


def _failure(error: LightRAGError) -> Response | None:
    from lightrag.tenancy.registry_keys import MissingParameter

    text = str(error).encode("utf-8", "backslashreplace").decode()
    if isinstance(error, CallFailed):
        return failed(DATA_ERROR, text, short=error.short)
    if isinstance(error, MissingParameter):
        return failed(ARGUMENT_ERROR, text)
    if isinstance(error, InvalidInput | NotFound):
        return failed(DATA_ERROR, text)
    if isinstance(error, Conflict):
        return failed(HTTPStatus.CONFLICT, text, status=HTTPStatus.CONFLICT)
    if isinstance(error, Forbidden):
        return failed(HTTPStatus.FORBIDDEN, text, status=HTTPStatus.FORBIDDEN)
    if isinstance(error, StorageError):
        return failed(HTTPStatus.SERVICE_UNAVAILABLE, text, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return None


def _response(body: dict[str, Any], status: int = HTTPStatus.OK) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
