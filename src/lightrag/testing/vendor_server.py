"""A stand-in server that speaks the interface of one vendor: paths, credentials, requests, answers, errors, streams.

It is the stand-in model server with another face: what a vendor's client sends is checked and read by a `Vendor`,
answered by the same machinery (so that everything that can be scripted there can be scripted here), and written in the
vendor's form. Requests are recorded as they were sent; `bodies` returns what was understood of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

import orjson

from lightrag.testing.model_dialects import Dialect
from lightrag.testing.model_server import JsonBody, ModelServer, Receive, RecordedRequest, Scope, Send

CHAT, EMBEDDING = "/chat/completions", "/embeddings"


@dataclasses.dataclass(frozen=True, slots=True)
class VendorRequest:
    """A request as it was sent."""

    method: str
    path: str
    """Below the host, with its percent escapes."""
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The decoded JSON; None where it is none."""
        try:
            return orjson.loads(self.raw)
        except orjson.JSONDecodeError:
            return None

    @property
    def words(self) -> list[str]:
        """The parts of the path, decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]


@dataclasses.dataclass(frozen=True, slots=True)
class Understood:
    """What a vendor's server makes of a request: a call in OpenAI's words."""

    kind: str
    """`CHAT` or `EMBEDDING`."""
    body: JsonBody


class Rejected(Exception):
    """A request that the vendor's server would not take."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Vendor(Dialect, Protocol):
    """One vendor's interface. As a dialect it writes answers for bodies that it has read."""

    def read(self, request: VendorRequest) -> Understood:
        """Return what a request asks for; raises `Rejected`."""
        ...

    def key(self, request: VendorRequest) -> str:
        """Return the credential that a request carries; the empty string for none."""
        ...

    def failure(self, status: int, message: str, code: str | None) -> bytes:
        """Return the body of an error."""
        ...


class VendorServer(ModelServer):
    """The server of one vendor; the options are those of `ModelServer`."""

    def __init__(self, vendor: Vendor, **options: Any) -> None:
        super().__init__(**options)
        self._vendor = vendor
        self.received: list[VendorRequest] = []
        """All requests, as they were sent."""
        self.understood: list[JsonBody] = []

    def bodies(self, path_end: str) -> list[JsonBody]:
        """Return what was understood of the requests, in OpenAI's words."""
        return self.understood

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await _received(scope, receive)
        self.received.append(request)
        self.requests.append(RecordedRequest(request.path, request.headers, request.body or {}))
        try:
            call = self._vendor.read(request)
        except Rejected as error:
            await _refuse(send, error.status, self._vendor.failure(error.status, error.message, None))
            return
        self.understood.append(call.body)
        named = {**scope, "headers": [(b"authorization", f"Bearer {self._vendor.key(request)}".encode())]}
        await self._model_call(call.kind, self._vendor, named, call.body, _Failing(send, self._vendor))


class _Failing:
    """Rewrites the errors of the stand-in server, which do not know their status, in the vendor's form."""

    def __init__(self, send: Send, vendor: Vendor) -> None:
        self._send = send
        self._vendor = vendor
        self._start: dict[str, Any] | None = None

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        said = orjson.loads(message["body"])
        body = self._vendor.failure(self._start["status"], said["message"], said.get("code"))
        headers = [pair for pair in self._start["headers"] if pair[0] != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await self._send({**self._start, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": body})


def plain_error(message: str, code: str | None) -> bytes:
    """Return an error as vendors hand it to `failure`: what went wrong, and the code where there is one."""
    return orjson.dumps({"message": message, "code": code})


def require(condition: object, status: int, message: str) -> None:
    """Reject a request unless something holds."""
    if not condition:
        raise Rejected(status, message)


async def _received(scope: Scope, receive: Receive) -> VendorRequest:
    raw = b""
    while True:
        message = await receive()
        raw += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode()))
    return VendorRequest(scope["method"], scope["raw_path"].decode(), query, headers, raw)


async def _refuse(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
