"""Measure the model service: tokens a second, time to first token, what HTTP costs, cache hits, embeddings.

    python benchmarks/llmservice/run.py [--streams 16] [--tokens 64] [--model FILE.gguf]

Engine and service run the same model file with the same slots and threads, one after the other and then again, and
the ratio of the medians counts. Without `--model` a language model with random weights is made. `llama-cpp-python`
is measured beside it where it is installed (`python -m llama_cpp.server`).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llmservice.backends.contracts import ChatRequest, ModelSource, Sampling
from llmservice.backends.factory import load_backend
from llmservice.testing.tiny_llama import LlamaShape, make_tiny_llama

MESSAGES = [{"role": "user", "content": "Tell me a story about the sea."}]
WORDS = [
    "the",
    "ship",
    "left",
    "harbour",
    "at",
    "dawn",
    "and",
    "nobody",
    "on",
    "quay",
    "could",
    "say",
    "where",
    "bound",
]


async def main() -> None:
    """Run everything and print one JSON object."""
    parser = argparse.ArgumentParser(description="Measure the model service.")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = LlamaShape(vocabulary=2000, width=256, layers=8, heads=4, inner=768)
        model = given.model or make_tiny_llama(folder, shape).gguf
        sys.stdout.write(json.dumps(await measure(folder, model, given), indent=2) + "\n")


async def measure(folder: Path, model: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    streams, tokens = given.streams, given.tokens
    process, port = start_service(folder, model, streams)
    figures: dict[str, Any] = {"streams": streams, "tokens": tokens, "model_mb": round(model.stat().st_size / 1e6, 1)}
    try:
        figures["front_idle_mb"] = memory(process.pid)
        started = time.perf_counter()
        await http_stream(port, tokens)
        figures["cold_load_and_answer_s"] = round(time.perf_counter() - started, 2)
        await asyncio.gather(*(http_stream(port, tokens) for _ in range(streams)))
        engine: list[float] = []
        http: list[float] = []
        first: list[float] = []
        for _ in range(given.rounds):
            engine.append(await asyncio.to_thread(engine_in_own_process, model, streams, tokens))
            rate, waits = await http_round(port, streams, tokens)
            http.append(rate)
            first += waits
        figures["engine_tokens_per_s"] = round(statistics.median(engine))
        figures["http_tokens_per_s"] = round(statistics.median(http))
        figures["http_cost"] = round(1 - statistics.median(http) / statistics.median(engine), 3)
        figures["first_token_p50_ms"] = round(statistics.median(first) * 1000, 1)
        figures["cache_hit_p50_ms"] = await cache_hits(port)
        figures["embedding_texts_per_s"] = await embeddings(port)
        figures["front_after_mb"] = memory(process.pid)
    finally:
        process.terminate()
        process.wait()
    if importlib.util.find_spec("llama_cpp"):
        figures["llama_cpp_python"] = await peer(model, given, figures["http_tokens_per_s"])
    return figures


def start_service(folder: Path, model: Path, slots: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the service in a folder and return its process and port."""
    import minilm_int8

    environ = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "LIGHT_MODEL_PATH": str(model),
        "LIGHT_SLOTS": str(slots),
        "LIGHT_N_CTX": "512",
        "LIGHT_N_THREADS": "1",
        "EMBEDDING_MODEL_PATH": str(Path(minilm_int8.__file__).parent),
        "EMBEDDING_N_CTX": "256",
        "SHUTDOWN_TIMEOUT": "0",
        "LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "llmservice"], cwd=folder, env=environ)
    return process, wait_for_port(folder)


def wait_for_port(folder: Path) -> int:
    """Return the port once the service has written it."""
    while not (folder / ".port").exists():
        time.sleep(0.05)
    time.sleep(1.0)
    return int((folder / ".port").read_text())


def engine_in_own_process(model: Path, streams: int, tokens: int) -> float:
    """Return the engine's tokens a second, measured in a process of its own as a worker is."""
    command = [sys.executable, __file__, "--engine", str(model), str(streams), str(tokens)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def engine_rate(model: Path, streams: int, tokens: int) -> float:
    """Return tokens a second of many streams on the engine itself."""
    source = ModelSource(model, "bench", threads=1, slots=streams, context_length=512)
    backend = await asyncio.to_thread(load_backend, "chat", source, "llamacpp")
    request = ChatRequest(
        MESSAGES, Sampling(max_tokens=tokens, temperature=0.7, top_k=40, top_p=0.95, repeat_penalty=1.1)
    )

    async def one() -> int:
        return sum([piece.completion_tokens async for piece in backend.chat(request)])

    await asyncio.gather(*(one() for _ in range(streams)))
    started = time.perf_counter()
    counts = await asyncio.gather(*(one() for _ in range(streams)))
    rate = sum(counts) / (time.perf_counter() - started)
    await backend.aclose()
    return rate


async def http_round(port: int, streams: int, tokens: int) -> tuple[float, list[float]]:
    """Return tokens a second of many streams over HTTP, and the times to first tokens."""
    started = time.perf_counter()
    results = await asyncio.gather(*(http_stream(port, tokens) for _ in range(streams)))
    rate = sum(count for count, _ in results) / (time.perf_counter() - started)
    return rate, [wait for _, wait in results]


async def http_stream(port: int, tokens: int, model: str = "light") -> tuple[int, float]:
    """Return an answer's tokens and the time to the first, with a client that costs next to nothing."""
    body = {
        "model": model,
        "messages": MESSAGES,
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(http_request("/v1/chat/completions", body))
    seen = b""
    first = 0.0
    while data := await reader.read(65536):
        if not first and b'"content"' in data:
            first = time.perf_counter() - started
        seen = seen[-2000:] + data
    writer.close()
    usage = seen[seen.rindex(b'"completion_tokens":') + 20 :]
    return int(usage[: usage.index(b",")]), first


def http_request(path: str, body: object) -> bytes:
    """Return a POST request as bytes."""
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(text)}\r\n\r\n".encode() + text


async def cache_hits(port: int) -> float:
    """Return the median time of an answer from the cache, in milliseconds."""
    import httpx

    times = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        body = {"model": "light", "messages": MESSAGES, "temperature": 0, "max_tokens": 64}
        for _ in range(201):
            started = time.perf_counter()
            (await client.post("/v1/chat/completions", json=body)).raise_for_status()
            times.append(time.perf_counter() - started)
    return round(statistics.median(times[1:]) * 1000, 2)


async def embeddings(port: int) -> dict[str, int]:
    """Return texts a second: one at a time, 16 clients at once, and in batches of 32 of mixed lengths."""
    import httpx

    def text(number: int) -> str:
        return " ".join([str(number), *(WORDS * 8)[: 8 + number * 37 % 112]])

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        async def send(texts: list[str]) -> None:
            (await client.post("/v1/embeddings", json={"model": "embedding", "input": texts})).raise_for_status()

        async def rate(groups: list[list[str]], at_once: int) -> int:
            gate = asyncio.Semaphore(at_once)

            async def gated(group: list[str]) -> None:
                async with gate:
                    await send(group)

            started = time.perf_counter()
            await asyncio.gather(*(gated(group) for group in groups))
            return round(sum(map(len, groups)) / (time.perf_counter() - started))

        await send(["warm up"])
        return {
            "one at a time": await rate([[text(i)] for i in range(100)], 1),
            "16 at once": await rate([[text(i)] for i in range(1000, 1200)], 16),
            "batches of 32": await rate([[text(i + j) for j in range(32)] for i in range(2000, 2320, 32)], 1),
        }


async def peer(model: Path, given: argparse.Namespace, ours: float) -> dict[str, float]:
    """Return llama-cpp-python's figures on the same file and our ratio to it."""
    port = 18999
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
    options = ["--n_ctx", "512", "--n_threads", "1", "--interrupt_requests", "false", "--model_alias", "light"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
    try:
        await asyncio.sleep(5)
        await http_stream(port, given.tokens)
        rate, waits = await http_round(port, given.streams, given.tokens)
    finally:
        process.terminate()
        process.wait()
    first = round(statistics.median(waits) * 1000, 1)
    return {"tokens_per_s": round(rate), "first_token_p50_ms": first, "our_ratio": round(ours / rate, 2)}


def memory(pid: int) -> float:
    """Return a process's resident memory in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000, 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        sys.stdout.write(str(asyncio.run(engine_rate(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))))
    else:
        asyncio.run(main())
