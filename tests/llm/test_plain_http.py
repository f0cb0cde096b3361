"""The transport for model servers near by, against servers that say exactly what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from lightrag.llm.plain_http import PlainHttpTransport, mounts

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server of one test: how many connections it had, and what was asked."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.connections = 0
        self.has_closed = asyncio.Event()
        self.asked: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # Cancelled where the test ends before its client.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._talk(reader, writer)
        writer.close()
        self.has_closed.set()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
        self.asked.append(head + body)
        return body


@contextlib.asynccontextmanager
async def serving(*answers: bytes, close: bool = False) -> AsyncIterator[Server]:
    """Serve one answer to each request of a connection; with `close` end the connection after the last one."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await server.request(reader)
            writer.write(answer)
            await writer.drain()
        if not close:
            await reader.read()

    server = Server(talk)
    async with listening(server):
        yield server


@contextlib.asynccontextmanager
async def listening(server: Server) -> AsyncIterator[None]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        yield


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=PlainHttpTransport(), timeout=5) as client:
        yield client


def whole(body: bytes, *lines: bytes) -> bytes:
    head = (b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *lines)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def test_requests_are_sent_as_they_are_and_share_a_connection(http: httpx2.AsyncClient) -> None:
    async with serving(whole(b"one"), whole(b"two", b"X-Kind: a, b")) as server:
        first = await http.post(f"{server.url}/embeddings?a=%20b", content=b'{"x": 1}', headers={"X-Mine": "yes"})
        second = await http.get(server.url)

    assert (first.status_code, first.content, second.content) == (200, b"one", b"two")
    assert second.headers["x-kind"] == "a, b"
    assert server.connections == 1
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/embeddings?a=%20b HTTP/1.1\r\n")
    assert b"X-Mine: yes" in head
    assert head.lower().count(b"host: 127.0.0.1:") == 1
    assert body == b'{"x": 1}'


def test_the_servers_own_event_loop_will_do() -> None:
    uvloop = pytest.importorskip("uvloop", reason="not for this system")

    async def talk() -> str:
        async with (
            serving(whole(b"here"), whole(b"here")) as server,
            httpx2.AsyncClient(transport=PlainHttpTransport()) as http,
        ):
            return (await http.get(server.url)).text + (await http.get(server.url)).text

    assert uvloop.run(talk()) == "herehere"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\nX-T: 1\r\n\r\n",
            id="chunks",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nwhole", id="until the connection ends"),
        pytest.param(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nwhole", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"whole"), id="after an interim answer"),
        pytest.param(whole(gzip.compress(b"whole"), b"Content-Encoding: gzip"), id="compressed"),
    ],
)
async def test_bodies_are_read_however_they_are_framed(http: httpx2.AsyncClient, answer: bytes) -> None:
    async with serving(answer, close=True) as server:
        response = await http.post(server.url, content=b"{}")
    assert (response.status_code, response.text) == (200, "whole")


async def test_answers_without_a_body_leave_the_connection_usable(http: httpx2.AsyncClient) -> None:
    async with serving(b"HTTP/1.1 204 No Content\r\n\r\n", whole(b"next")) as server:
        assert (await http.get(server.url)).status_code == 204
        assert (await http.get(server.url)).text == "next"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(b"", "without an answer", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "without an answer", id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "while it answered", id="half a body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "while it answered",
            id="no last chunk",
        ),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", "does not answer in HTTP/1.1", id="another protocol"),
    ],
)
async def test_broken_answers_are_errors(http: httpx2.AsyncClient, answer: bytes, says: str) -> None:
    async with serving(answer, close=True) as server:
        with pytest.raises(httpx2.RemoteProtocolError, match=says):
            await http.post(server.url, content=b"{}")


async def test_a_connection_that_the_server_has_closed_is_not_used_again(http: httpx2.AsyncClient) -> None:
    async with serving(whole(b"bye"), close=True) as server:
        assert (await http.get(server.url)).text == "bye"
        await server.has_closed.wait()
        await asyncio.sleep(0.05)  # what the server has sent is read when the loop comes round
        assert (await http.get(server.url)).text == "bye"
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer", [whole(b"bye", b"Connection: close"), whole(b"bye") + whole(b"not asked for")], ids=["close", "too much"]
)
async def test_a_connection_is_not_used_again_where_that_is_not_safe(http: httpx2.AsyncClient, answer: bytes) -> None:
    async with serving(answer) as server:
        for _ in range(2):
            assert (await http.get(server.url)).text == "bye"
    assert server.connections == 2


async def test_a_server_that_says_nothing_is_late(http: httpx2.AsyncClient) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf") as server:
        for _ in range(2):
            with pytest.raises(httpx2.ReadTimeout, match="sent nothing"):
                await http.get(server.url, timeout=httpx2.Timeout(60, read=0.05))
    assert server.connections == 2


async def test_nobody_there_is_said(http: httpx2.AsyncClient) -> None:
    async with serving() as server:
        pass
    with pytest.raises(httpx2.ConnectError):
        await http.get(server.url)


async def test_a_large_body_is_taken_as_fast_as_it_is_read(http: httpx2.AsyncClient) -> None:
    written = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n")
        for _ in range(64):
            writer.write(bytes(1_000_000))
            await writer.drain()
            written += 1_000_000

    server = Server(talk)
    async with listening(server), http.stream("GET", server.url) as response:
        pieces = response.aiter_raw()
        size = len(await anext(pieces))
        await asyncio.sleep(0.1)
        assert written < 40_000_000
        async for piece in pieces:
            size += len(piece)
    assert size == 64_000_000


async def test_a_stream_that_is_closed_early_ends_the_connection(http: httpx2.AsyncClient) -> None:
    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await reader.read()
        gone.set()

    server = Server(talk)
    async with listening(server):
        async with http.stream("GET", server.url) as response:
            assert await anext(response.aiter_bytes()) == b"first"
        await asyncio.wait_for(gone.wait(), 60)


async def test_a_cancelled_call_ends_the_connection(http: httpx2.AsyncClient) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    server = Server(talk)
    async with listening(server):
        call = asyncio.create_task(http.get(server.url))
        await asked.wait()
        call.cancel()
        await asyncio.wait_for(gone.wait(), 60)
        assert (await asyncio.gather(call, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_an_answer_before_the_request_is_read_counts(http: httpx2.AsyncClient) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await asyncio.sleep(0.05)

    server = Server(talk)
    async with listening(server):
        response = await http.post(server.url, content=bytes(1000))
    assert (response.status_code, response.text) == (413, "big")


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\0b"])
async def test_a_header_cannot_hold_another_one(http: httpx2.AsyncClient, value: str) -> None:
    async with serving(whole(b"")) as server:
        with pytest.raises(httpx2.LocalProtocolError):
            await http.get(server.url, headers={"X-Key": value})
    assert server.asked == []


def test_proxies_of_the_environment_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert list(mounts()) == ["http://"]
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert mounts() == {}
