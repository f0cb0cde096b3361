"""HTTP/1.1 without TLS to servers near by: a transport for httpx2 on the event loop's own connections.

Questions wait for one call of the embedding model, which near by takes less time than httpx2's own transport needs to
send it: its parser is written in Python, and each read and write passes a dozen objects. The parser here is that of
Node.js. TLS and proxies are left to httpx2, which a call over the internet does not feel.

Extension point: https://www.python-httpx.org/advanced/transports/; protocol: RFC 9112.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import cast

import httptools
import httpx2

KEEP_SECONDS = 5.0
"""For which an idle connection is used again; servers close theirs after that or more."""
MOST_IDLE = 100
READ_AHEAD = 256 * 1024
"""Bytes of a body that wait to be read before the server is slowed down."""
CONNECT_PATIENCE = 2.0
"""Seconds after which the next address of a name is tried."""

_Address = tuple[str, int]


def mounts() -> dict[str, httpx2.AsyncBaseTransport]:
    """Return what an `httpx2.AsyncClient` sends with by the start of an address; nothing where proxies are set."""
    return {} if urllib.request.getproxies() else {"http://": PlainHttpTransport()}


class PlainHttpTransport(httpx2.AsyncBaseTransport):
    """Sends requests to `http://` addresses; connections are kept and used again. Not shared between event loops.

    How many there are at a time is for the caller to limit. Not made for `HEAD` and `CONNECT`.
    """

    def __init__(self) -> None:
        self._idle: dict[_Address, list[_Connection]] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return its response as soon as the headers are there. Raises `httpx2.TransportError`."""
        limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
        head = _head(request)
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        address = (request.url.raw_host.decode("ascii"), request.url.port or 80)
        connection = self._kept(address) or await _connected(address, limits.get("connect"))
        try:
            await connection.send(head, request.stream, limits)
            status, headers = await connection.response()
        except BaseException:
            connection.close()
            raise
        return httpx2.Response(
            status,
            headers=headers,
            stream=_Body(self, address, connection),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close the connections that are idle; the others are closed when they come back."""
        self._closed = True
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def give_back(self, address: _Address, connection: _Connection) -> None:
        """Keep a connection whose exchange is over, where it can carry another one."""
        idle = self._idle.setdefault(address, [])
        if self._closed or not connection.is_reusable or len(idle) >= MOST_IDLE:
            connection.close()
        else:
            connection.rest()
            idle.append(connection)

    def _kept(self, address: _Address) -> _Connection | None:
        idle = self._idle.get(address, [])
        while idle:
            connection = idle.pop()
            if connection.is_fresh:
                return connection
            connection.close()
        return None


class _Body(httpx2.AsyncByteStream):
    """The body of a response; gives the connection back when it is closed."""

    def __init__(self, transport: PlainHttpTransport, address: _Address, connection: _Connection) -> None:
        self._transport = transport
        self._address = address
        self._connection: _Connection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._connection is not None and (piece := await self._connection.piece()):
            yield piece

    async def aclose(self) -> None:
        """End the exchange; a connection with an unread rest is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.give_back(self._address, connection)


class _Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._patience: float | None = None
        self._rests_since: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._status = 0
        self._is_sent = self._is_complete = self._has_length = self._keeps_open = False
        self._error: httpx2.TransportError | None = None

    @property
    def is_reusable(self) -> bool:
        """Whether the server has said all, and listens for more."""
        whole = self._is_sent and self._is_complete
        return whole and self._keeps_open and self._error is None and not self._is_closed

    @property
    def is_fresh(self) -> bool:
        """Whether a connection that rested can be trusted to be open still."""
        return (
            not self._is_closed
            and self._rests_since is not None
            and self._loop.time() - self._rests_since < KEEP_SECONDS
        )

    @property
    def _is_closed(self) -> bool:
        return self._wire is None or self._wire.is_closing()

    def rest(self) -> None:
        """Wait for the next exchange."""
        self._rests_since = self._loop.time()

    def close(self) -> None:
        """End the connection at once."""
        if self._wire is not None:
            self._wire.abort()

    async def send(self, head: bytes, body: httpx2.AsyncByteStream, limits: Mapping[str, float | None]) -> None:
        """Begin an exchange. A server that answers before it has read everything is listened to."""
        if self._rests_since is not None:
            self._begin()
            self._rests_since = None
        self._patience = limits.get("read")
        wire = self._wire
        assert wire is not None
        begun = head
        async for piece in body:
            wire.write(begun + piece if begun else piece)
            begun = b""
            if not self._writable.is_set():
                try:
                    async with asyncio.timeout(limits.get("write")):
                        await self._writable.wait()
                except TimeoutError:
                    raise httpx2.WriteTimeout("the server takes no more of the request") from None
            if self._is_closed or self._status:
                return
        if begun:
            wire.write(begun)
        self._is_sent = True

    async def response(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return status and headers."""
        while not self._status:
            await self._wait()
        return self._status, self._headers

    async def piece(self) -> bytes:
        """Return what has come of the body since the last call; empty at its end."""
        while not self._pieces and not self._is_complete:
            await self._wait()
        found = b"".join(self._pieces)
        self._pieces.clear()
        if self._unread > READ_AHEAD and self._wire is not None:
            self._wire.resume_reading()
        self._unread = 0
        return found

    async def _wait(self) -> None:
        """Wait until the server has sent something. Raises what has ended the exchange."""
        if self._error is not None:
            raise self._error
        self._waiting = self._loop.create_future()
        try:
            async with asyncio.timeout(self._patience):
                await self._waiting
        except TimeoutError:
            raise httpx2.ReadTimeout(f"the server sent nothing for {self._patience} s") from None
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # (Those of uvloop are no subclasses.)
        self._wire = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._rests_since is not None or self._is_complete:
            # Nobody has asked for this: what follows could be taken for the answer to the next request.
            self._keeps_open = False
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._error = httpx2.RemoteProtocolError(f"the server does not answer in HTTP/1.1 ({error})")
            self.close()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire = None
        self._writable.set()
        if self._status and not self._has_length and exc is None:
            self._is_complete = True  # this body ends where the connection does
        elif not self._is_complete and self._error is None:
            what = "while it answered" if self._status else "without an answer"
            cause = f" ({exc})" if exc is not None else ""
            self._error = httpx2.RemoteProtocolError(f"the server closed the connection {what}{cause}")
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise ValueError("more than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = []  # an interim answer (RFC 9110, 15.2): the one that counts follows
            return
        names = {name.lower() for name, _ in self._headers}
        self._has_length = bool(names & {b"content-length", b"transfer-encoding"})
        self._status = status

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._unread += len(body)
        if self._unread > READ_AHEAD and self._wire is not None:
            self._wire.pause_reading()

    def on_message_complete(self) -> None:
        if self._status:
            self._is_complete = True
            self._keeps_open = self._parser.should_keep_alive()


async def _connected(address: _Address, patience: float | None) -> _Connection:
    """Connect to the first address of a name that answers."""
    host, port = address
    try:
        async with asyncio.timeout(patience):
            return await _first_that_answers(host, port)
    except TimeoutError:
        raise httpx2.ConnectTimeout(f"{host} port {port} did not answer in {patience} s") from None
    except OSError as error:
        raise httpx2.ConnectError(str(error)) from error


async def _first_that_answers(host: str, port: int) -> _Connection:
    """Raises `OSError`; the last address may take as long as it likes."""
    loop = asyncio.get_running_loop()
    *others, last = [str(where[0]) for *_, where in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for other in others:
        with contextlib.suppress(OSError):  # as is `TimeoutError`
            async with asyncio.timeout(CONNECT_PATIENCE):
                return (await loop.create_connection(_Connection, other, port))[1]
    return (await loop.create_connection(_Connection, last, port))[1]


def _head(request: httpx2.Request) -> bytes:
    """Return the request up to its body."""
    if "transfer-encoding" in request.headers:
        raise httpx2.LocalProtocolError("a body of unknown length is not sent")
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
        raise httpx2.LocalProtocolError("a header holds a line break or a zero byte")
    return head + b"\r\n\r\n"
