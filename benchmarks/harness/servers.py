"""Starts and stops the programs that are measured: a stand-in model server, our server, LightRAG's server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

START_LIMIT_S = 120.0
STOP_LIMIT_S = 20.0
EMBEDDING_DIM = 1024
OURS, PEER = "ours", "peer"


@dataclasses.dataclass(frozen=True)
class Product:
    """A server program that speaks LightRAG's REST dialect."""

    name: str
    command: tuple[str, ...]
    version: str
    extra_env: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Running:
    """A started process and where it listens."""

    pid: int
    url: str
    start_s: float
    """Seconds from the start of the process to the first answer."""
    folder: Path
    """Its working directory."""


def our_server() -> Product:
    """Return this repository's server, run by the Python that runs the benchmark."""
    script = Path(sys.executable).with_name("lightrag-server")
    return Product(OURS, (str(script),), _version(Path(sys.executable), "lightrag-server"))


def peer_server(venv: Path, tiktoken_cache: Path | None) -> Product:
    """Return LightRAG's server from its own environment; raises FileNotFoundError where it is missing."""
    script = venv / "bin" / "lightrag-server"
    if not script.exists():
        raise FileNotFoundError(f"no LightRAG server at {script}; see benchmarks/README.md for the steps")
    extra = (("TIKTOKEN_CACHE_DIR", str(tiktoken_cache)),) if tiktoken_cache else ()
    return Product(PEER, (str(script),), _version(venv / "bin" / "python", "lightrag-hku"), extra)


def _version(python: Path, distribution: str) -> str:
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    answer = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


@contextlib.asynccontextmanager
async def model_server(command: tuple[str, ...], *, latency_ms: int = 0) -> AsyncIterator[str]:
    """Run the stand-in model server; yields its base URL (without `/v1`)."""
    port = free_port()
    options = ["--port", str(port), "--dim", str(EMBEDDING_DIM)]
    options += ["--latency", str(latency_ms), "--embed-latency", "0"]
    with tempfile.TemporaryDirectory(prefix="bench-model-") as folder:
        async with _process((*command, *options), port, "/v1/models", Path(folder), {}) as running:
            yield running.url


@contextlib.asynccontextmanager
async def rag_server(
    product: Product, model_url: str | None, *, slots: int = 4, folder: Path | None = None
) -> AsyncIterator[Running]:
    """Run a RAG server against the model server, or with nothing configured where `model_url` is None.

    Without `folder` it works in an empty temporary directory that is removed at the end.
    """
    home = folder or Path(tempfile.mkdtemp(prefix="bench-rag-"))
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port)]
    options += ["--working-dir", str(home / "rag_storage"), "--input-dir", str(home / "inputs")]
    env = {"MAX_ASYNC": str(slots), **dict(product.extra_env)}
    if model_url is not None:
        options += ["--llm-binding", "openai", "--embedding-binding", "openai"]
        env |= model_environment(model_url)
    try:
        async with _process((*product.command, *options), port, "/health", home, env) as running:
            yield running
    finally:
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def model_environment(model_url: str) -> dict[str, str]:
    """Return the settings that point a LightRAG-compatible server at an OpenAI-compatible one."""
    return {
        "LLM_BINDING": "openai",
        "LLM_BINDING_HOST": f"{model_url}/v1",
        "LLM_BINDING_API_KEY": "none",
        "LLM_MODEL": "stand-in",
        "EMBEDDING_BINDING": "openai",
        "EMBEDDING_BINDING_HOST": f"{model_url}/v1",
        "EMBEDDING_BINDING_API_KEY": "none",
        "EMBEDDING_MODEL": "stand-in",
        "EMBEDDING_DIM": str(EMBEDDING_DIM),
    }


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def _process(
    command: tuple[str, ...], port: int, health: str, folder: Path, env: dict[str, str]
) -> AsyncIterator[Running]:
    # A clean environment: nothing that the caller has set may reach one product and not the other.
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    log = folder / f"{Path(command[0]).name}.{port}.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={**kept, "HOME": str(folder), **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            start_s = await _first_answer(process, url + health, started, log)
            yield Running(process.pid, url, start_s, folder)
        finally:
            await _stop(process)


async def _first_answer(process: asyncio.subprocess.Process, url: str, started: float, log: Path) -> float:
    async with httpx.AsyncClient(timeout=5) as client:
        while time.perf_counter() - started < START_LIMIT_S:
            if process.returncode is not None:
                raise RuntimeError(f"{url} ended with {process.returncode} at its start:\n{_tail(log)}")
            with contextlib.suppress(httpx.TransportError):
                answer = await client.get(url)
                if answer.status_code == 200:
                    return time.perf_counter() - started
            await asyncio.sleep(0.005)
    raise RuntimeError(f"{url} did not answer within {START_LIMIT_S:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-25:])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    # Its own session, so the group is exactly what this program started.
    os.killpg(process.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
