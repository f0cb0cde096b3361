"""Measure chat over HTTP: against the engine alone, and beside llama-cpp-python's server on the same file.

    LLMSERVICE_PEER_LLAMA=ENV/bin/python python benchmarks/llmservice/chat.py [--model FILE.gguf] [--rounds 5]

Engine and servers take turns on the same model file with the same number of threads; ratios are of the medians, and of
the best rounds, which other work on the machine disturbed least. Without `--model` a language model with random weights
is made, so small that what is spent on each token besides computing it weighs more than it would with a real one. The
variable names the interpreter of an environment with `llama-cpp-python[server]`; without it only this service is
measured. Besides: memory of the front process, cold load, cache hits, what HTTP costs, and what is left of a model that
was unloaded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import Connection, Server, children, cpu_seconds, memory_mb, peer, service, stream

from llmservice.backends.contracts import ChatRequest, ModelSource, Sampling
from llmservice.backends.factory import load_backend
from llmservice.testing.tiny_llama import LlamaShape, make_tiny_llama

MESSAGES = [{"role": "user", "content": "Tell me a story about the sea."}]
CONTEXT = 512
PATH = "/v1/chat/completions"


async def main() -> None:
    """Run everything and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = LlamaShape(vocabulary=2000, width=256, layers=8, heads=4, inner=768)
        model = given.model or make_tiny_llama(folder, shape).gguf
        sys.stdout.write(json.dumps(await measure(folder, model, given), indent=2, ensure_ascii=False) + "\n")


async def measure(folder: Path, model: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    variables = {
        "LIGHT_MODEL_PATH": str(model),
        "LIGHT_SLOTS": str(given.streams),
        "LIGHT_N_CTX": str(CONTEXT),
        "LIGHT_N_THREADS": str(given.threads),
    }
    figures: dict[str, Any] = {"model_mb": round(model.stat().st_size / 1e6, 1), "streams": given.streams}
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(service(folder, variables))
        figures["front idle, MB"] = ours.memory_mb
        started = time.perf_counter()
        await stream(ours.port, PATH, body(1))
        figures["cold load and first token, s"] = round(time.perf_counter() - started, 2)
        theirs = _start_llama(stack, model, given)
        figures |= await rounds(ours, theirs, model, given)
        figures["cache hit, ms"] = await cache_hits(ours)
        figures["front after all, MB"] = ours.memory_mb
        figures |= await unload(ours)
    return figures


def _start_llama(stack: contextlib.ExitStack, model: Path, given: argparse.Namespace) -> Server | None:
    interpreter = os.environ.get("LLMSERVICE_PEER_LLAMA")
    if not interpreter:
        return None
    command = [
        interpreter,
        "-m",
        "llama_cpp.server",
        "--model",
        str(model),
        "--port",
        "{port}",
        "--n_ctx",
        str(CONTEXT),
    ]
    # By default it breaks a running answer off when another request arrives.
    command += ["--interrupt_requests", "false", "--n_threads", str(given.threads), "--model_alias", "light"]
    command += ["--n_threads_batch", str(given.threads)]
    return stack.enter_context(peer(command, "/v1/models"))


async def rounds(ours: Server, theirs: Server | None, model: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Return what engine, service and peer reach in turn."""
    engine, http, front, firsts = [], [], [], []
    peer_rates: list[float] = []
    peer_firsts: list[float] = []
    alone: dict[str, list[float]] = {"ours": [], "peer": []}
    await together(ours, given.streams, 16)
    for _ in range(given.rounds):
        engine.append(await asyncio.to_thread(engine_in_own_process, model, given))
        before = own_cpu_seconds(ours.process.pid)
        rate, waits, tokens = await together(ours, given.streams, given.tokens)
        front.append((own_cpu_seconds(ours.process.pid) - before) / tokens * 1e6)
        http.append(rate)
        firsts += waits
        alone["ours"].append((await together(ours, 1, given.tokens))[0])
        if theirs:
            rate, waits, _ = await together(theirs, given.streams, given.tokens)
            peer_rates.append(rate)
            peer_firsts += waits
            alone["peer"].append((await together(theirs, 1, given.tokens))[0])
    figures: dict[str, Any] = {
        "engine alone, tokens/s": spread(engine),
        "over HTTP, tokens/s": spread(http),
        # Other work on the machine only ever slows down, so that the best rounds are the least disturbed ones.
        "HTTP costs": {
            "by medians": round(1 - statistics.median(http) / statistics.median(engine), 3),
            "by best rounds": round(1 - max(http) / max(engine), 3),
        },
        "front, processor µs a token": spread(front),
        "first token, ms": spread([1000 * one for one in firsts], 1),
        "one stream, tokens/s": spread(alone["ours"]),
    }
    if theirs:
        figures["llama-cpp-python"] = {
            "tokens/s": spread(peer_rates),
            "first token, ms": spread([1000 * one for one in peer_firsts], 1),
            "one stream, tokens/s": spread(alone["peer"]),
        }
        figures["ours ÷ llama-cpp-python"] = {
            "tokens/s": round(statistics.median(http) / statistics.median(peer_rates), 2),
            "tokens/s, best rounds": round(max(http) / max(peer_rates), 2),
            "first token": round(statistics.median(firsts) / statistics.median(peer_firsts), 4),
            "one stream, tokens/s": round(statistics.median(alone["ours"]) / statistics.median(alone["peer"]), 2),
        }
    return figures


def body(tokens: int, **more: object) -> dict[str, object]:
    """Return a chat request."""
    sampling = {"temperature": 0.7, "top_k": 40, "top_p": 0.95, "repeat_penalty": 1.1}
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": "light", "messages": MESSAGES, "max_tokens": tokens, **sampling, **usage, **more}


async def together(server: Server, streams: int, tokens: int) -> tuple[float, list[float], int]:
    """Return tokens a second of streams at once, the seconds to their first tokens, and all tokens."""
    started = time.perf_counter()
    results = await asyncio.gather(*(stream(server.port, PATH, body(tokens)) for _ in range(streams)))
    total = sum(count for count, _ in results)
    return total / (time.perf_counter() - started), [wait for _, wait in results], total


def engine_in_own_process(model: Path, given: argparse.Namespace) -> float:
    """Return the engine's tokens a second, measured in a process of its own as a worker is."""
    words = [str(one) for one in (model, given.streams, given.tokens, given.threads)]
    command = [sys.executable, __file__, "--engine", *words]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def engine_rate(model: Path, streams: int, tokens: int, threads: int) -> float:
    """Return tokens a second of many streams on the engine itself."""
    source = ModelSource(model, "bench", threads, slots=streams, context_length=CONTEXT)
    backend = await asyncio.to_thread(load_backend, "chat", source, "llamacpp")
    request = ChatRequest(MESSAGES, Sampling(tokens, temperature=0.7, top_k=40, top_p=0.95, repeat_penalty=1.1))

    async def one() -> int:
        return sum([piece.completion_tokens async for piece in backend.chat(request)])

    await asyncio.gather(*(one() for _ in range(streams)))
    started = time.perf_counter()
    counts = await asyncio.gather(*(one() for _ in range(streams)))
    rate = sum(counts) / (time.perf_counter() - started)
    await backend.aclose()
    return rate


async def cache_hits(server: Server) -> dict[str, float]:
    """Return how long an answer from the cache takes, whole and with all its events, in milliseconds."""
    found = {}
    for name, streams in (("whole", False), ("streamed", True)):
        sent = {"model": "light", "messages": MESSAGES, "temperature": 0, "max_tokens": 64, "stream": streams}
        connection = Connection(server.port)
        times = []
        for _ in range(301):
            started = time.perf_counter()
            await connection.post(PATH, json.dumps(sent).encode())
            times.append(1000 * (time.perf_counter() - started))
        await connection.aclose()
        found[f"{name}, p50"] = round(statistics.median(times[1:]), 2)
        found[f"{name}, p95"] = round(sorted(times[1:])[285], 2)
    return found


async def unload(server: Server) -> dict[str, Any]:
    """Return the memory of the worker before, and how many processes are left after its model was let go."""
    connection = Connection(server.port)
    before = sum(memory_mb(one) for one in children(server.process.pid))
    await connection.post("/admin/unload", b'{"model": "light"}')
    left = len(children(server.process.pid))
    return {"worker before unload, MB": round(before, 1), "worker processes after unload": left}


def own_cpu_seconds(pid: int) -> float:
    """Return the processor time of a process without its children."""
    return cpu_seconds(pid, with_children=False)


def spread(values: Sequence[float], digits: int = 0) -> dict[str, float]:
    """Return the median, the lowest and the highest."""
    shown = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, digits) for name, value in shown.items()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        numbers = [int(word) for word in sys.argv[3:6]]
        sys.stdout.write(str(asyncio.run(engine_rate(Path(sys.argv[2]), *numbers))))
    else:
        asyncio.run(main())
