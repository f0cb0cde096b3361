"""The wire between the front process and a worker: frames of a JSON header and raw bytes over a socket pair.

A frame is two little-endian 32-bit lengths, the header's and the payload's, then both. Headers are small; vectors
travel as the payload, so that neither side turns floats into text for the other.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import orjson

_LENGTHS = struct.Struct("<II")
MAX_FRAME = 1 << 30
"""Bytes; a longer one means that the two sides lost step."""


def encode(header: Any, payload: bytes = b"") -> bytes:
    """Return a frame."""
    head = orjson.dumps(header)
    return _LENGTHS.pack(len(head), len(payload)) + head + payload


class FrameProtocol(asyncio.Protocol):
    """Hands whole frames to `on_frame`, and the end of the connection to `on_end`."""

    def __init__(self, on_frame: Callable[[Any, bytes], None], on_end: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for `send`."""
        # uvloop's transports have the methods and not the base class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Cut frames off what has come."""
        buffer = self._buffer
        buffer += data
        start, available = 0, len(buffer)
        while available - start >= _LENGTHS.size:
            head, body = _LENGTHS.unpack_from(buffer, start)
            if head + body > MAX_FRAME:
                self.close()
                return
            middle = start + _LENGTHS.size + head
            end = middle + body
            if end > available:
                break
            header = orjson.loads(memoryview(buffer)[middle - head : middle])
            payload = bytes(memoryview(buffer)[middle:end]) if body else b""
            start = end
            self._on_frame(header, payload)
        if start:
            del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that nothing more will come."""
        self._transport = None
        self._on_end()

    def send(self, frame: bytes) -> None:
        """Write a frame; dropped where the connection has ended, of which `on_end` tells."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def close(self) -> None:
        """End the connection after what was written."""
        if self._transport is not None:
            self._transport.close()
