"""A server that answers byte by byte what a test says, and closes connections when it says so."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Self


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-cased name."""
    body: bytes

    @property
    def json(self) -> Any:
        """Its body as JSON."""
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True)
class Says:
    """How the server answers a request."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pieces: tuple[bytes, ...] | None = None
    """Sent as chunks instead of a body."""
    is_cut: bool = False
    """The connection is closed before the answer is complete; without pieces, before it has begun."""
    waits: bool = False
    """Nothing more comes after the pieces; the connection stays open until the client closes it."""


class ScriptedServer:
    """Answers requests in turn; the last answer is repeated."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self.client_left = asyncio.Event()
        """Set when a client closes a connection on which the server waits."""
        self._answers: deque[Says] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()

    def says(self, *answers: Says) -> None:
        """Set the coming answers."""
        self._answers = deque(answers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.asked.append(Asked(method, path, headers, await _body(reader, headers)))
        says = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        if says.pieces is None and says.is_cut:
            return False
        await self._answer(says, writer)
        if says.waits:
            await reader.read()
            self.client_left.set()
        return not (says.is_cut or says.waits)

    async def _answer(self, says: Says, writer: asyncio.StreamWriter) -> None:
        body = says.body if isinstance(says.body, bytes) else json.dumps(says.body).encode()
        length = {"Transfer-Encoding": "chunked"} if says.pieces is not None else {"Content-Length": str(len(body))}
        headers = {"Content-Type": "application/json"} | length | dict(says.headers)
        lines = [f"HTTP/1.1 {says.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        for piece in says.pieces or ():
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if says.pieces is None:
            writer.write(body)
        elif not says.is_cut and not says.waits:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return body
