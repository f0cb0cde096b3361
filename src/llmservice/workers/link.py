"""The front's side of a worker: starts its process, carries requests to it, and learns of its end."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from llmservice.errors import (
    BackendFailure,
    ContextOverflow,
    InvalidRequest,
    ModelLoadError,
    ServiceError,
    TierUnavailable,
    WorkerEndedLoading,
    WorkerLost,
)
from llmservice.workers.frames import FrameProtocol, encode

logger = logging.getLogger(__name__)

WORKER_COMMAND = (sys.executable, "-m", "llmservice.workers.main")
KEPT_LINES = 40
"""Lines of a worker's standard error that are kept to say why it failed."""
STOP_SECONDS = 5.0
"""A worker that has not ended so long after it was told to is killed."""


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedFacts:
    """What a worker says of its model."""

    backend: str
    context_length: int
    fingerprint: str
    dimension: int | None
    vectors: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of several texts as they travel: descriptions, and little-endian float32 bytes in their order."""

    rows: list[dict[str, Any]]
    data: bytes


class Channel:
    """One request's events: pieces (lists), or one result."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ended = asyncio.get_running_loop().create_future()
        """Done when the worker has finished with the request, or has ended."""
        self._events: list[Any] = []
        self._error: ServiceError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def receive(self) -> list[Any]:
        """Return what has come since the last call, waiting for something; an empty list at the end."""
        while not self._events:
            if self._error is not None:
                raise self._error
            if self.ended.done():
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        events, self._events = self._events, []
        return events

    def put(self, event: Any) -> None:
        """Add an event."""
        self._events.append(event)
        self._wake()

    def fail(self, error: ServiceError) -> None:
        """Give an error to the one who receives, while the worker goes on until it is told to stop."""
        self._error = self._error or error
        self._wake()

    def end(self, error: ServiceError | None = None) -> None:
        """Say that nothing more will come, after an error or not."""
        self._error = self._error or error
        if not self.ended.done():
            self.ended.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class WorkerLink:
    """A running worker process with one loaded model."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process
        self._channels: dict[int, Channel] = {}
        self._next_number = 1
        self._lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._ready: asyncio.Future[LoadedFacts] = asyncio.get_running_loop().create_future()
        self._protocol = FrameProtocol(self._on_frame, self._on_end)
        self._stderr = asyncio.create_task(self._read_stderr())
        self.closed = asyncio.Event()
        """Set when no request can be made any more."""
        self.facts: LoadedFacts | None = None

    @classmethod
    async def start(cls, name: str, load: Mapping[str, Any], seconds: float, command: Sequence[str]) -> WorkerLink:
        """Start a process and load a model in it.

        Raises:
            ModelLoadError: with the worker's own reason.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        link = cls(name, process)
        try:
            await asyncio.get_running_loop().create_connection(lambda: link._protocol, sock=ours)
            link._protocol.send(encode({"t": "load", **load}))
            async with asyncio.timeout(seconds):
                link.facts = await link._ready
        except WorkerLost:
            await link.stop()
            raise WorkerEndedLoading(link._why_it_ended()) from None
        except TimeoutError:
            await link.stop()
            raise ModelLoadError(f"the model was not loaded within {seconds:g} seconds") from None
        except BaseException:
            await asyncio.shield(link.stop())
            raise
        return link

    @property
    def exit_code(self) -> int | None:
        """How the process ended, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def last_lines(self) -> str:
        """What the process wrote last to standard error."""
        return "\n".join(self._lines)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def request(self, operation: str, parameters: Mapping[str, Any]) -> Channel:
        """Send a request; its events come from the channel."""
        channel = Channel(self._next_number)
        self._next_number += 1
        if self.closed.is_set():
            channel.end(self._lost())
            return channel
        self._channels[channel.number] = channel
        self._protocol.send(encode({"t": "request", "id": channel.number, "op": operation, "p": parameters}))
        return channel

    def cancel(self, channel: Channel) -> None:
        """Ask the worker to give up a request; `channel.ended` tells when it has."""
        if channel.number in self._channels:
            self._protocol.send(encode({"t": "cancel", "id": channel.number}))

    async def stop(self) -> None:
        """End the process and wait until it is gone, with all its memory."""
        self._protocol.send(encode({"t": "stop"}))
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        self._protocol.close()
        # What the process said last is still in the pipe; a grandchild may hold the pipe open.
        await asyncio.wait((self._stderr,), timeout=1.0)
        self._stderr.cancel()

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _on_frame(self, header: dict[str, Any], payload: bytes) -> None:
        kind = header["t"]
        if kind == "events":
            for event in header["e"]:
                self._on_event(event)
        elif kind == "vectors":
            channel = self._channels.get(header["id"])
            if channel is not None:
                channel.put(Vectors(header["rows"], payload))
        elif not self._ready.done():
            if kind == "ready":
                self._ready.set_result(
                    LoadedFacts(
                        header["backend"],
                        header["context_length"],
                        header["fingerprint"],
                        header["dimension"],
                        tuple(header["vectors"]),
                    )
                )
            elif kind == "failed":
                self._ready.set_exception(ModelLoadError(header["message"]))

    def _on_event(self, event: list[Any]) -> None:
        channel = self._channels.get(event[0])
        if channel is None:
            return
        if event[1] in ("piece", "result"):
            channel.put(event[2])
            return
        del self._channels[channel.number]
        channel.end(_error(event[2:]) if event[1] == "error" else None)

    def _on_end(self) -> None:
        self.closed.set()
        if not self._ready.done():
            self._ready.set_exception(self._lost())
            # Nobody may be waiting any more where the start was given up.
            self._ready.exception()
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.end(self._lost())

    def _lost(self) -> WorkerLost:
        return WorkerLost(f"The process of the model {self._name} ended while it worked on the request")

    def _why_it_ended(self) -> str:
        said = "\n".join(list(self._lines)[-5:])
        code = self._process.returncode
        return f"its process ended with code {code} while the model was being loaded{': ' + said if said else ''}"

    async def _read_stderr(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        while True:
            try:
                raw = await stream.readline()
            except ValueError:
                continue  # A line longer than the reader's limit; the reader has dropped it.
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            logger.info("%s: %s", self._name, line)


def _error(described: list[Any]) -> ServiceError:
    kind, *rest = described
    if kind == "context":
        return ContextOverflow(*rest)
    if kind == "invalid":
        return InvalidRequest(*rest)
    if kind == "lost":
        return TierUnavailable(*rest)
    return BackendFailure(*rest)
