"""Whom a model client may connect to, where that is not for the operator alone to choose.

Addresses that tenants enter must not lead into the operator's network. A `Gatekeeper` judges where a name leads; the
transport here asks it before every request, connects to the addresses that were judged and to no others (a name that
changes between check and use gains nothing), and never follows a server to another origin. Proxies of the environment
are left aside: they would resolve the name themselves. Answers are read up to a bound, for a tenant's server shall not
fill the memory that all tenants share.

Clients capture the gatekeeper when they are made (`behind`), and use it when they connect.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Protocol

from lightrag.errors import AccessRefused, UnusableAnswer

KEEP_SECONDS = 30.0
"""For this long a judged name is not looked up again."""


MOST_BYTES = 32 * 1024 * 1024
"""Of one answer, unpacked; a batch of vectors and half an hour of speech have less."""
_GZIP = 31
"""`wbits` of zlib for gzip's form."""


class AddressRefused(AccessRefused):
    """A server's address must not be connected to."""


class AnswerTooLong(UnusableAnswer):
    """A server sends more than any model has to say."""

    retryable = False


class Gatekeeper(Protocol):
    """Judges addresses."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the IP addresses of a host that may be connected to.

        Raises `AddressRefused` where there are none, OSError where the name leads nowhere.
        """
        ...


_GATEKEEPER: ContextVar[Gatekeeper | None] = ContextVar("lightrag_gatekeeper", default=None)


@contextlib.contextmanager
def behind(gatekeeper: Gatekeeper | None) -> Iterator[None]:
    """Make clients inside the block that connect only where a gatekeeper lets them."""
    token = _GATEKEEPER.set(gatekeeper)
    try:
        yield
    finally:
        _GATEKEEPER.reset(token)


def current_gatekeeper() -> Gatekeeper | None:
    """Return who watches over clients that are made here; None for nobody."""
    return _GATEKEEPER.get()


def client_options(library: ModuleType, gatekeeper: Gatekeeper | None) -> dict[str, Any]:
    """Return what an asynchronous client of `library` (httpx or httpx2) needs for its gatekeeper; nothing for none."""
    return {} if gatekeeper is None else {"transport": GuardedTransport(library, gatekeeper)}


class GuardedTransport:
    """Connects to judged addresses of one origin. Works for httpx and httpx2 alike.

    Names stay in the Host header and in TLS, so that certificates are checked against them.
    """

    def __init__(self, library: ModuleType, gatekeeper: Gatekeeper) -> None:
        self._library: Any = library
        self._inner: Any = self._library.AsyncHTTPTransport(trust_env=False)
        self._gatekeeper = gatekeeper
        self._origin: tuple[str, str, int] | None = None
        self._judged: tuple[float, Sequence[str]] = (0.0, ())

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request. Raises `AddressRefused`, and the library's errors."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        origin = (url.scheme, url.host, port)
        if self._origin is None:
            self._origin = origin
        elif origin != self._origin:
            raise AddressRefused(
                f"the server sends on to another address ({url.scheme}://{url.host}), which is not followed; give the "
                "address that it sends to as base URL"
            )
        addresses = await self._addresses(url.host, port)
        headers = request.headers.copy()
        # What is unpacked is counted, so it has to be of the one form that is unpacked here.
        headers["accept-encoding"] = "gzip"
        for left, address in reversed(list(enumerate(reversed(addresses)))):
            pinned = self._library.Request(
                request.method,
                url.copy_with(host=address),
                headers=headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": url.host},
            )
            try:
                return self._bounded(await self._inner.handle_async_request(pinned))
            except (self._library.ConnectError, self._library.ConnectTimeout):
                self._judged = (0.0, ())
                if not left:
                    raise
        raise self._library.ConnectError(f"no address of {url.host} answers")

    async def aclose(self) -> None:
        """Release connections."""
        await self._inner.aclose()

    async def __aenter__(self) -> GuardedTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._inner.__aexit__(*error)

    def _bounded(self, response: Any) -> Any:
        encoding = response.headers.pop("content-encoding", "identity").strip().lower()
        kind = type("BoundedStream", (_Bounded, self._library.AsyncByteStream), {})
        response.stream = kind(response.stream, encoding)
        return response

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        until, known = self._judged
        if time.monotonic() < until:
            return known
        try:
            found = await self._gatekeeper.addresses(host, port)
        except OSError as error:
            raise self._library.ConnectError(f"the name '{host}' cannot be resolved ({error})") from None
        self._judged = (time.monotonic() + KEEP_SECONDS, found)
        return found


class _Bounded:
    """The body of an answer, unpacked, up to `MOST_BYTES`; becomes a stream of the library that reads it."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        self._encoding = encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces. Raises `AnswerTooLong`, `UnusableAnswer` for a form of packing that was not asked for."""
        if self._encoding not in ("identity", "gzip", "x-gzip", ""):
            raise UnusableAnswer(f"the server packs its answer as '{self._encoding[:40]}', which it was not asked for")
        unpacked = None if self._encoding in ("identity", "") else zlib.decompressobj(_GZIP)
        left = MOST_BYTES
        async for piece in self._stream:
            try:
                data = piece if unpacked is None else unpacked.decompress(piece, left + 1)
            except zlib.error:
                raise UnusableAnswer("the server's answer is not of the form (gzip) that it says") from None
            left -= len(data)
            if left < 0:
                raise AnswerTooLong(f"the server's answer is longer than {MOST_BYTES >> 20} MiB; no model says so much")
            yield data

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._stream.aclose()
