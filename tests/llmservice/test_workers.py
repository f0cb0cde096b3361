"""The worker's side of the wire: every request ends, whenever it is given up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from llmservice.testing.fake_worker import load_fake
from llmservice.workers.frames import FrameProtocol, encode
from llmservice.workers.serving import WorkerServer

SAMPLING = {"max_tokens": 900, "temperature": 0.0}


class Wire(asyncio.Transport):
    """Keeps the frames that a worker sends."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, Any]] = []
        self._frames = FrameProtocol(lambda header, payload: self.headers.append(header), lambda: None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._frames.data_received(bytes(data))

    def is_closing(self) -> bool:
        return False

    @property
    def ended(self) -> list[int]:
        """Requests that the worker says are over."""
        events = [event for header in self.headers if header["t"] == "events" for event in header["e"]]
        return [event[0] for event in events if event[1] in ("end", "error")]


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_a_request_that_is_given_up_ends_whenever_that_comes(tmp_path: Path, turns: int) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    wire, server = Wire(), WorkerServer(load_fake)
    server.protocol.connection_made(wire)
    source = {"path": str(tmp_path / "m.gguf"), "name": "m", "threads": 1}
    server.protocol.data_received(encode({"t": "load", "kind": "chat", "engine": "llamacpp", "source": source}))
    while not wire.headers:
        await asyncio.sleep(0.001)
    parameters = {"messages": [{"role": "user", "content": "say 900 0.05"}], "sampling": SAMPLING}
    server.protocol.data_received(encode({"t": "request", "id": 7, "op": "chat", "p": parameters}))
    for _ in range(turns):
        await asyncio.sleep(0)
    server.protocol.data_received(encode({"t": "cancel", "id": 7}))
    async with asyncio.timeout(60):
        while not wire.ended:
            await asyncio.sleep(0.001)
    assert wire.ended == [7]
