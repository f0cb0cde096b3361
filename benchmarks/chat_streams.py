#!/usr/bin/env python3
"""Measure how long after the model's first token the first line of a chat stream arrives, alone and among many.

Starts a stand-in model server whose first token is the time at which it was written, and this server; each is a
process of its own, and so is the client. Prints percentiles in milliseconds. Linux: one monotonic clock for all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvicorn

from lightrag.testing.model_server import ModelServer

TOKENS = "and so it goes on for a while, "
FIRST_LINE = b'"done":false}\n'
STAMP = re.compile(rb'"(?:content|response)":"(\d{6,})')


async def serve_models(port: int, latency: float, tps: float, length: int) -> None:
    """Run the stand-in model server until this process is ended."""
    server = ModelServer(
        latency=latency, tps=tps, answer=lambda _: f"{time.monotonic_ns()} " + TOKENS * length, record=False
    )
    await server.start(port)
    await asyncio.Event().wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def chat(port: int, content: str, *, to_end: bool = True) -> tuple[float, int]:
    """Ask, and read the stream (to its end); return the delay of the first line in ms and the number of lines."""
    body = json.dumps({"model": "lightrag", "messages": [{"role": "user", "content": content}]}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    head = await reader.readuntil(FIRST_LINE)
    arrived = time.monotonic_ns()
    rest = await reader.read(-1) if to_end else b'"done":true'
    writer.close()
    stamp = STAMP.search(head)
    if not head.startswith(b"HTTP/1.1 200") or stamp is None or b'"error"' in rest or b'"done":true' not in rest:
        raise RuntimeError((head + rest)[-400:].decode())
    return (arrived - int(stamp[1])) / 1e6, rest.count(b'"done":')


def report(name: str, delays: list[float], **more: Any) -> None:
    """Print one line of figures."""
    cuts = statistics.quantiles(delays, n=100)
    figures = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(delays)} | more
    print(name.ljust(28), "  ".join(f"{key} {value:.2f}" for key, value in figures.items()))


async def measure(port: int, plan: argparse.Namespace) -> bool:
    """Run all measurements; return whether none failed and the bar was met."""
    for _ in range(5):
        await chat(port, "/bypass warm up")
    met = True
    for mode in ("bypass", "naive", "mix"):
        delays = [(await chat(port, f"/{mode} Question {number}?", to_end=False))[0] for number in range(plan.repeats)]
        report(f"one at a time, {mode}", delays)
        met = met and statistics.quantiles(delays, n=100)[94] < plan.bar
    begun = time.monotonic()
    found = await asyncio.gather(
        *(chat(port, f"/{plan.mode} Question {number}?") for number in range(plan.streams)), return_exceptions=True
    )
    wall = time.monotonic() - begun
    errors = [item for item in found if isinstance(item, BaseException)]
    fine = [item for item in found if not isinstance(item, BaseException)]
    for error in errors[:3]:
        print("failed:", error)
    lines = sum(count for _, count in fine)
    report(
        f"{plan.streams} at once, {plan.mode}",
        [delay for delay, _ in fine],
        wall_s=wall,
        lines_per_s=lines / wall,
        errors=len(errors),
    )
    return met and not errors


def main() -> int:
    """Start everything, measure, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200, help="conversations at once")
    parser.add_argument(
        "--repeats",
        type=int,
        default=100,
        help="conversations one after another, per mode; each is left after its first line",
    )
    parser.add_argument("--mode", default="naive", help="query mode of the conversations at once")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds until the model's first token")
    parser.add_argument("--tps", type=float, default=200, help="tokens per second of the model")
    parser.add_argument("--length", type=int, default=10, help="how often the answer repeats its eight words")
    parser.add_argument("--bar", type=float, default=5.0, help="ms that the first line may take (p95, one at a time)")
    parser.add_argument("--models-port", type=int, default=0, help=argparse.SUPPRESS)
    plan = parser.parse_args()
    if plan.models_port:
        loop_factory = uvicorn.Config("", loop="auto").get_loop_factory()
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(serve_models(plan.models_port, plan.latency, plan.tps, plan.length))
    models_port, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        models = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--models-port", str(models_port)])
        server = start_server(Path(folder), port, models_port, plan.streams)
        try:
            prepare(port)
            return 0 if asyncio.run(measure(port, plan)) else 1
        finally:
            for process in (server, models):
                process.terminate()
                process.wait(30)


def start_server(folder: Path, port: int, models_port: int, streams: int) -> subprocess.Popen[bytes]:
    """Start this server on the stand-in models."""
    url = f"http://127.0.0.1:{models_port}/v1"
    environ = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}} | {
        "LLM_BINDING": "openai",
        "LLM_BINDING_HOST": url,
        "LLM_BINDING_API_KEY": "key",
        "LLM_MODEL": "stand-in",
        "EMBEDDING_BINDING": "openai",
        "EMBEDDING_BINDING_HOST": url,
        "EMBEDDING_MODEL": "stand-in",
        "EMBEDDING_DIM": "64",
        "COSINE_THRESHOLD": "-1",
        "LIGHTRAG_EXTRACTOR": "nlp",
        "ENABLE_LLM_CACHE": "false",
        "MAX_ASYNC": str(streams),
        "WORKERS": "1",
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "lightrag.api.lightrag_server", "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)


def prepare(port: int) -> None:
    """Wait for the server and give it a document."""
    import httpx

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        for _ in range(200):
            try:
                client.get("/readyz").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        client.post("/documents/text", json={"text": "Ada Lovelace wrote the first program.", "file_source": "a.txt"})
        while client.get("/documents/pipeline_status").json()["busy"]:
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
