"""A server of several processes, and a client that knows which of them it talks to."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from ..system.server import PATIENCE, environment

_ADDRESS = re.compile(r"serves at (https?://\S+)")


def command(*arguments: str) -> list[str]:
    """Return the command line of the server."""
    return [sys.executable, "-m", "lightrag.api.run_with_gunicorn", "--host", "127.0.0.1", "--port", "0", *arguments]


class Worker:
    """One of the processes: requests are sent over a connection that it has accepted."""

    def __init__(self, url: str, pid: int) -> None:
        self.pid = pid
        self._url = url

    async def request(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Return what this process answers."""
        while True:
            async with _one_connection(self._url) as client:
                if await _pid(client) == self.pid:
                    return await client.request(method, path, json=body)

    async def get(self, path: str) -> Any:
        """Return what a GET answers; it must be a 200."""
        return _body(await self.request("GET", path))

    async def post(self, path: str, body: object = None) -> Any:
        """Return what a POST answers; it must be a 200."""
        return _body(await self.request("POST", path, body))


class GunicornProcess:
    """The master with its workers, on the folders below `folder`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, folder: Path) -> None:
        self.process = process
        self.url = url
        self.folder = folder

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        url = httpx.URL(self.url)
        assert url.port is not None
        return url.host, url.port

    @property
    def log(self) -> str:
        """Everything that was logged."""
        return (self.folder / "server.log").read_text(errors="replace")

    async def workers(self, count: int = 2) -> list[Worker]:
        """Return the workers, once there are `count` of them that serve."""
        found: set[int] = set()
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                async with _one_connection(self.url) as client:
                    found.add(await _pid(client))
                found = {pid for pid in found if _lives(pid)}
        return [Worker(self.url, pid) for pid in sorted(found)]

    async def stop(self) -> int:
        """Ask the master to end; return its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def running(folder: Path, environ: Mapping[str, str], *arguments: str) -> AsyncIterator[GunicornProcess]:
    """Run the server until the block ends."""
    with (folder / "server.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command(*arguments),
            cwd=folder,
            env=environment(environ),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    server = GunicornProcess(process, "", folder)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            announced = _ADDRESS.search((await process.stdout.readline()).decode())
        assert announced is not None, server.log[-5000:]
        server.url = announced[1]
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def _one_connection(url: str) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=1, keepalive_expiry=60)
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=PATIENCE, trust_env=False, verify=False
    ) as client:
        yield client


async def _pid(client: httpx.AsyncClient) -> int:
    return int((await client.get("/health")).json()["keyed_locks"]["process_id"])


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _body(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()
