"""Server processes to measure, and a client that costs next to nothing beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 120.0


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    @property
    def memory_mb(self) -> float:
        """Resident memory of the server's first process."""
        return memory_mb(self.process.pid)


@contextlib.contextmanager
def service(folder: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    """Run llmservice in a folder until the block ends."""
    environ = {"HOST": "127.0.0.1", "PORT": "0", "SHUTDOWN_TIMEOUT": "0", "LOG_LEVEL": "WARNING", **variables}
    (folder / ".port").unlink(missing_ok=True)
    with _ended(
        subprocess.Popen([sys.executable, "-m", "llmservice"], cwd=folder, env={**os.environ, **environ})
    ) as one:
        _wait(one, lambda: (folder / ".port").exists())
        port = int((folder / ".port").read_text())
        _wait(one, lambda: _answers(port, "/health"))
        yield Server(one, port)


@contextlib.contextmanager
def peer(command: Sequence[str | Path], path: str, variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run another server until the block ends; `{port}` in the command is a free port, `path` answers when it is up."""
    port = _free_port()
    words = [str(word).replace("{port}", str(port)) for word in command]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", **(variables or {})}
    started = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with _ended(started) as one:
        _wait(one, lambda: _answers(port, path))
        yield Server(one, port)


class Connection:
    """One kept connection; bodies are not parsed, so that the client takes no processor from the servers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> bytes:
        """Return an answer's body. Raises `RuntimeError` for any status but 200."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        lines = answer.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        found = await _chunked(reader) if length is None else await reader.readexactly(length)
        if b" 200" not in lines[0]:
            raise RuntimeError(f"{lines[0].decode()}: {found[:300].decode()}")
        return found

    async def aclose(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()


async def stream(port: int, path: str, body: Mapping[str, object]) -> tuple[int, float]:
    """Return the tokens of a streamed answer and the seconds to the first; the connection is closed after it.

    Tokens are those of the `usage` at the end, or where a server sends none the events with text.
    """
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(text) + text)
    last, first, events = b"", 0.0, 0
    while data := await reader.read(1 << 16):
        if not first and b'"content":' in data.replace(b'"content":""', b"").replace(b'"content": ""', b""):
            first = time.perf_counter() - started
        events += data.count(b'"content":')
        last = last[-2000:] + data
    writer.close()
    place = last.rfind(b'"completion_tokens":')
    if place < 0:
        return events, first
    digits = last[place + 20 :].lstrip()
    return int(digits[: next(i for i, byte in enumerate(digits) if not 48 <= byte <= 57)]), first


def memory_mb(pid: int) -> float:
    """Return a process's resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000, 1)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int, *, with_children: bool = True) -> float:
    """Return the processor time that a process, or it and its children, have taken."""
    total = 0.0
    for one in (pid, *(children(pid) if with_children else ())):
        # The scheduler's own count, in nanoseconds, of every thread; `stat` counts in hundredths of a second.
        for task in Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    found = b""
    while size := int(await reader.readline(), 16):
        found += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return found


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], is_up: object) -> None:
    assert callable(is_up)
    end = time.monotonic() + START_SECONDS
    while not is_up():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"The server {process.args!r} did not start")
        time.sleep(0.05)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
