#!/usr/bin/env python3
"""Measure what many workspaces cost one server process.

Makes workspaces with one document each, sends requests to them through a small pool, and prints errors, times, and
memory, file handles and threads at every quarter of the way; then what routing adds to a warm request, how often a
cold workspace is opened for many first requests, and what open workspaces cost that nobody uses.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI

from harness.procfs import resident_mb
from lightrag.api.app import create_app
from lightrag.api.routers.documents import status_counts
from lightrag.api.schemas.documents import StatusCounts
from lightrag.settings import load_settings

Answer = tuple[int, bytes]
PATHS = ("/documents/status_counts", "/graph/label/list", "/graph/label/popular")


async def ask(app: FastAPI, method: str, path: str, workspace: str, body: Any = None) -> Answer:
    """Send one request straight into the application."""
    content = b"" if body is None else json.dumps(body).encode()
    headers = [(b"host", b"server"), (b"content-type", b"application/json")]
    if workspace:
        headers.append((b"lightrag-workspace", workspace.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("server", 80),
        "scheme": "http",
        "root_path": "",
    }
    status, pieces, sent = 0, [], False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            pieces.append(message.get("body", b""))

    await app(scope, receive, send)  # type: ignore[arg-type]
    return status, b"".join(pieces)


def usage() -> str:
    """Return what the process holds at this moment."""
    gc.collect()
    handles = len(os.listdir("/proc/self/fd"))
    return f"{resident_mb(os.getpid()):7.0f} MB  {handles:5d} handles  {threading.active_count():4d} threads"


async def in_turn(count: int, at_once: int, work: Callable[[int], Awaitable[None]]) -> None:
    """Do numbered work, so much of it at once."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())


async def fill(app: FastAPI, count: int) -> None:
    """Make workspaces with one document each."""

    async def add(number: int) -> None:
        text = f"Doctor Canary{number} built the engine of Works{number} in London."
        status, said = await ask(app, "POST", "/documents/text", f"w{number}", {"text": text, "file_source": "a.txt"})
        assert status == 200, said
        await app.state.server.tenants.pool.peek(f"w{number}").wait_until_idle()

    await in_turn(count, 8, add)


async def visit(app: FastAPI, options: argparse.Namespace) -> None:
    """Send requests to all workspaces, to some of them more often, and look at what comes back."""
    rng = random.Random(options.seed)
    times: list[float] = []
    wrong: list[str] = []

    async def one(_number: int) -> None:
        few = min(options.pool // 2, options.workspaces)
        number = rng.randrange(few) if rng.random() < options.skew else rng.randrange(options.workspaces)
        path = rng.choice(PATHS)
        begun = time.perf_counter()
        status, said = await ask(app, "GET", path, f"w{number}")
        times.append(time.perf_counter() - begun)
        right = PATHS[0] == path and b'"processed":1' in said
        if status != 200 or not (right or f"Canary{number}".encode() in said):
            wrong.append(f"{status} {path} w{number}: {said[:200]!r}")

    print(f"before            {usage()}")
    for quarter in range(1, 5):
        begun = time.perf_counter()
        await in_turn(options.requests // 4, options.at_once, one)
        rate = options.requests / 4 / (time.perf_counter() - begun)
        print(f"{quarter * options.requests // 4:6d} requests   {usage()}   {rate:6.0f} requests/s")
    times.sort()
    p50, p95, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.95, 0.99))
    print(f"errors or strangers' answers: {len(wrong)}   p50 {p50:.1f} ms  p95 {p95:.1f} ms  p99 {p99:.1f} ms")
    for line in wrong[:5]:
        print("  ", line)


async def overhead(app: FastAPI, rounds: int) -> None:
    """Print what routing adds to a warm request: against a route that does the same with an engine it knows already."""
    engine = app.state.server.tenants.pool.peek("w0")

    @app.get("/bare")
    async def bare() -> StatusCounts:
        return await status_counts(engine)

    async def measured(path: str) -> float:
        begun = time.perf_counter()
        for _ in range(200):
            status, said = await ask(app, "GET", path, "w0")
            assert status == 200, said
        return (time.perf_counter() - begun) / 200 * 1e6

    pairs = [(await measured(PATHS[0]), await measured("/bare")) for _ in range(rounds)]
    routed, direct = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(a - b for a, b in pairs)
    print(
        f"a warm request: {routed:.0f} us with routing, {direct:.0f} us without; routing adds {added:.0f} us (bar: 300)"
    )


async def cold(app: FastAPI) -> None:
    """Print how often one workspace is opened for a hundred first requests at once."""
    tenants = app.state.server.tenants
    await tenants.pool.evict("w1")
    opened = 0
    inner = tenants.pool._open_engine

    async def counted(name: str) -> Any:
        nonlocal opened
        opened += 1
        return await inner(name)

    tenants.pool._open_engine = counted
    begun = time.perf_counter()
    answers = await asyncio.gather(*(ask(app, "GET", PATHS[0], "w1") for _ in range(100)))
    tenants.pool._open_engine = inner
    good = sum(status == 200 for status, _ in answers)
    taken = 1000 * (time.perf_counter() - begun)
    print(f"100 first requests at once: {good} answered, opened {opened} times, {taken:.0f} ms")


async def idle(app: FastAPI, seconds: float) -> None:
    """Print what open workspaces cost that nobody uses."""
    await asyncio.sleep(3)
    begun, before = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - before) / (time.perf_counter() - begun) * 100
    count = len(app.state.server.tenants.open_engines())
    print(f"{count} open workspaces at rest: {share:.2f} % of one core   {usage()}")


async def measure(folder: Path, options: argparse.Namespace) -> None:
    """Run everything in a folder."""
    environ = {
        "LLM_BINDING": "none",
        "EMBEDDING_BINDING": "embedded",
        "LIGHTRAG_MAX_WORKSPACES_IN_POOL": str(options.pool),
    }
    app = create_app(load_settings(None, environ, folder))
    async with app.router.lifespan_context(app):
        if options.control:
            status, said = await ask(app, "POST", "/workspaces", "", {"name": "entered"})
            assert status == 201, said
        print(f"started           {usage()}")
        begun = time.perf_counter()
        await fill(app, options.workspaces)
        print(f"{options.workspaces} workspaces made and filled in {time.perf_counter() - begun:.0f} s")
        await visit(app, options)
        await ask(app, "GET", PATHS[0], "w0")
        await overhead(app, 25)
        await cold(app)
        await idle(app, options.rest)
    print(f"closed            {usage()}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspaces", type=int, default=500)
    parser.add_argument("--pool", type=int, default=50)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--skew", type=float, default=0.8, help="share of the requests that go to few workspaces")
    parser.add_argument("--rest", type=float, default=10.0, help="seconds for which nothing is asked at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="with a control plane, which knows the workspaces")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), options))


if __name__ == "__main__":
    sys.exit(main())
