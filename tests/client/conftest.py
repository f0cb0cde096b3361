from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lightrag.client import AsyncLightRAGClient, LightRAGClient, RetryPolicy
from tests.api.server_process import running_server

from .scripted_server import ScriptedServer

KEY = "server-key"
ADMIN, PASSWORD = "ada", "a long password"


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real server in a process of its own, with a key and an account; one for all tests."""
    folder = tmp_path_factory.mktemp("server")
    environ = {
        "LIGHTRAG_API_KEY": KEY,
        "AUTH_ACCOUNTS": f"{ADMIN}:{PASSWORD}",
        "TOKEN_SECRET": "a-secret-for-tests-only-of-some-length",
        "LOG_LEVEL": "ERROR",
    }
    with running_server(folder, **environ) as (url, _):
        yield url


@pytest.fixture(params=["blocking", "awaited"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients a test is about."""
    return str(request.param)


class Client:
    """Either client, called in the same way: `await client(lambda c: c.documents.list())`."""

    def __init__(self, real: LightRAGClient | AsyncLightRAGClient) -> None:
        self.real: Any = real

    async def __call__(self, call: Callable[[Any], Any]) -> Any:
        """Return what the call returns; a blocking one runs in a thread, as the test's server needs the loop."""
        if isinstance(self.real, AsyncLightRAGClient):
            result = call(self.real)
            return await result if isinstance(result, Awaitable) else result
        return await asyncio.to_thread(call, self.real)

    def in_workspace(self, name: str) -> Client:
        """Return a view of the client."""
        return Client(self.real.in_workspace(name))

    async def text_of(self, stream: Any) -> str:
        """Return the whole text of a streamed answer."""
        if isinstance(self.real, AsyncLightRAGClient):
            return "".join([piece async for piece in stream])
        return await asyncio.to_thread(lambda: "".join(stream))


Connect = Callable[..., Any]


@pytest.fixture
def connect(kind: str) -> Connect:
    """Open a client of this kind; arguments are those of the class."""

    @asynccontextmanager
    async def opened(url: str, **options: Any) -> AsyncIterator[Client]:
        options = {"retries": RetryPolicy(jitter=lambda: 0.0), "timeout": 30} | options
        if kind == "awaited":
            async with AsyncLightRAGClient(url, **options) as asynchronous:
                yield Client(asynchronous)
        else:
            with LightRAGClient(url, **options) as blocking:
                yield Client(blocking)

    return opened


@pytest.fixture
async def client(connect: Connect, url: str) -> AsyncIterator[Client]:
    """A client of the real server with its key."""
    async with connect(url, api_key=KEY) as client:
        yield client


@pytest.fixture
def workspace(request: pytest.FixtureRequest) -> str:
    """A name that no other test has."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)
    return name.strip("-")[-60:].lstrip("-")


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    """A server that answers as it is told, at the level of bytes."""
    async with ScriptedServer() as server:
        yield server
