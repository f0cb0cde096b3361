"""The real command `lightrag-server` in a process of its own, and what a client does with it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx

PATIENCE = 120.0
"""Seconds after which something that should have happened is taken for never happening."""

_COMMANDS = Path(sys.executable).parent
_ADDRESS = re.compile(rb"serves at (http://\S+)")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
_NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody listens at: whoever asks it for something gets nothing."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command: nothing of the developer's settings, and no way out to the network."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), _NOWHERE)
    return kept | proxies | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | dict(given)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Return when a condition holds; it is looked at again and again."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.03)


async def run_command(name: str, *arguments: str, folder: Path, environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command in `folder`; return its exit status, what it printed, and what it printed as errors."""
    process = await asyncio.create_subprocess_exec(
        _COMMANDS / name,
        *arguments,
        cwd=folder,
        env=environment(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class ServerProcess:
    """A server on the folders below `folder`; what is left out of `environ` has its default."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = dict(environ)
        self.inputs = folder / "inputs"
        self.working_dir = folder / "rag_storage"
        self.url = ""
        self.client = httpx.AsyncClient()
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    @property
    def log(self) -> str:
        """Everything that all servers of this folder have logged."""
        return (self.folder / "server.log").read_text(errors="replace")

    async def start(self) -> None:
        """Start and return when the server says that it serves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                _COMMANDS / "lightrag-server",
                *("--host", "127.0.0.1", "--port", "0"),
                cwd=self.folder,
                env=environment(self.environ),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            announced = _ADDRESS.search(await self._process.stdout.readline())
            if announced is None:
                raise AssertionError(f"the server ended with status {await self._process.wait()}:\n{self.log[-5000:]}")
        self.url = announced[1].decode()
        self.client = httpx.AsyncClient(base_url=self.url, timeout=PATIENCE, trust_env=False)

    async def kill(self) -> None:
        """End the process at once, as a power cut would."""
        await self._end(9)

    async def stop(self) -> None:
        """Ask the process to end and wait until it has."""
        await self._end(15)

    async def restart(self) -> None:
        """Stop in an orderly way and start again."""
        await self.stop()
        await self.start()

    async def _end(self, signal: int) -> None:
        process, self._process = self._process, None
        await self.client.aclose()
        if process is not None and process.returncode is None:
            process.send_signal(signal)
            async with asyncio.timeout(PATIENCE):
                await process.wait()

    async def get(self, path: str, **parameters: str) -> Any:
        """Return what a GET answers; it must be a 200."""
        return await self._json("GET", path, params=parameters)

    async def post(self, path: str, body: object = None) -> Any:
        """Return what a POST answers; it must be a 200."""
        return await self._json("POST", path, json=body)

    async def put(self, path: str, body: object) -> Any:
        """Return what a PUT answers; it must be a 200."""
        return await self._json("PUT", path, json=body)

    async def delete(self, path: str, body: object = None) -> Any:
        """Return what a DELETE answers; it must be a 200."""
        return await self._json("DELETE", path, json=body)

    async def add(self, text: str, source: str, **fields: object) -> str:
        """Send a text; return the id under which it was taken."""
        answer = await self.post("/documents/text", {"text": text, "file_source": source, **fields})
        return str(answer["documents"][0]["doc_id"])

    async def upload(self, name: str, content: bytes, **form: str) -> httpx.Response:
        """Send a file; return the answer, whatever it is."""
        return await self.client.post("/documents/upload", files={"file": (name, content)}, data=form)

    async def rows(self) -> dict[str, dict[str, Any]]:
        """Return the status rows of all documents by path."""
        page = await self.post("/documents/paginated", {"page_size": 200})
        return {row["file_path"]: row for row in page["documents"]}

    async def is_idle(self) -> bool:
        """Return whether the server says that nobody works on documents."""
        return not (await self.get("/documents/pipeline_status"))["busy"]

    async def settle(self) -> dict[str, dict[str, Any]]:
        """Wait until the server has nothing left to do; return all rows by path."""
        await until(self.is_idle)
        return await self.rows()

    async def ask(self, question: str, **fields: object) -> Any:
        """Return the answer to a question; it must be a 200."""
        return await self.post("/query", {"query": question, **fields})

    async def find(self, question: str, **fields: object) -> Any:
        """Return what is found for a question."""
        return (await self.post("/query/data", {"query": question, **fields}))["data"]

    @asynccontextmanager
    async def streaming(self, question: str, accept: str = "", **fields: object) -> AsyncIterator[httpx.Response]:
        """Ask for a streamed answer."""
        headers = {"Accept": accept} if accept else {}
        body = {"query": question, **fields}
        async with self.client.stream("POST", "/query/stream", json=body, headers=headers) as answer:
            yield answer

    async def _json(self, method: str, path: str, **request: Any) -> Any:
        answer = await self.client.request(method, path, **request)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


def openai_models(url: str, **more: str) -> dict[str, str]:
    """Return the settings for models behind an OpenAI-compatible server at `url` (with its /v1)."""
    return {
        "LLM_BINDING": "openai",
        "LLM_BINDING_HOST": url,
        "LLM_BINDING_API_KEY": "sk-stand-in-0123456789",
        "LLM_MODEL": "stand-in",
        "EMBEDDING_BINDING": "openai",
        "EMBEDDING_BINDING_HOST": url,
        "EMBEDDING_BINDING_API_KEY": "sk-stand-in-0123456789",
        "EMBEDDING_MODEL": "stand-in",
    } | more


def ollama_models(url: str, **more: str) -> dict[str, str]:
    """Return the settings for models behind an Ollama server at `url`."""
    return {
        "LLM_BINDING": "ollama",
        "LLM_BINDING_HOST": url,
        "LLM_MODEL": "stand-in",
        "EMBEDDING_BINDING": "ollama",
        "EMBEDDING_BINDING_HOST": url,
        "EMBEDDING_MODEL": "stand-in",
    } | more


@asynccontextmanager
async def serving(*servers: ServerProcess) -> AsyncIterator[Sequence[ServerProcess]]:
    """Start servers side by side and stop them at the end."""
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
    finally:
        await asyncio.gather(*(server.stop() for server in servers))
