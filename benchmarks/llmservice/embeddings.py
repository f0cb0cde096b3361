"""Measure embeddings over HTTP beside infinity-emb: texts a second in fp32 and int8, and how near the vectors are.

    LLMSERVICE_PEER_INFINITY=ENV/bin/python python benchmarks/llmservice/embeddings.py --model DIR [--rounds 5]

`DIR` is the Hugging Face directory of all-MiniLM-L6-v2; its ONNX forms are made of it by `llmservice convert`. The
variable names the interpreter of an environment with `infinity-emb[server,torch]`; without it only this service is
measured. Servers take turns with the same texts, all with the same number of threads, and the ratio of the medians
counts. The peer's sentence-transformers also gives the vectors that ours are compared with.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from processes import Connection, Server, cpu_seconds, peer, service

from llmservice.convert.cli import main as convert
from llmservice.testing.corpus import CORPUS

LENGTHS = (8, 24, 60, 100, 130)
"""Words of the texts to embed, mixed."""
BATCH = 32
WAYS = {
    "batches of 32": (BATCH, 1),
    "batches of 32, 4 at once": (BATCH, 4),
    "one by one": (1, 1),
    "16 at once": (1, 16),
}
"""Texts a request, and requests at once."""
ST_VECTORS = """
import json, sys
from sentence_transformers import SentenceTransformer
texts = json.load(sys.stdin)
vectors = SentenceTransformer(sys.argv[1], device="cpu").encode(texts, normalize_embeddings=True)
json.dump(vectors.tolist(), sys.stdout)
"""


class Texts:
    """Texts of mixed lengths, none of them twice, so that no cache can know them."""

    def __init__(self) -> None:
        self._chosen = random.Random(0)
        self._words = " ".join(CORPUS).split()
        self._count = 0

    def take(self, count: int) -> list[str]:
        """Return the next texts; the lengths come round in the same order."""
        self._count += count
        numbers = range(self._count - count, self._count)
        return [
            " ".join([str(number), *self._chosen.choices(self._words, k=LENGTHS[number % len(LENGTHS)])])
            for number in numbers
        ]


async def rate(server: Server, path: str, bodies: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """Return requests a second and a CPU-second."""
    left = list(bodies)

    async def one() -> None:
        connection = Connection(server.port)
        while left:
            await connection.post(path, left.pop())
        await connection.aclose()

    started, processor = time.perf_counter(), cpu_seconds(server.process.pid)
    await asyncio.gather(*(one() for _ in range(at_once)))
    seconds = time.perf_counter() - started
    return len(bodies) / seconds, len(bodies) / (cpu_seconds(server.process.pid) - processor)


async def measure(servers: dict[str, tuple[Server, str, str]], rounds: int, texts: int) -> dict[str, Any]:
    """Return texts a second by way and server, with the lowest and highest round."""
    source = Texts()
    found: dict[str, dict[str, list[tuple[float, float]]]] = {way: {name: [] for name in servers} for way in WAYS}
    for turn in range(rounds + 1):
        for way, (size, at_once) in WAYS.items():
            groups = [source.take(size) for _ in range(max(at_once, texts // size))]
            for name, (server, path, model) in servers.items():
                bodies = [json.dumps({"model": model, "input": group}).encode() for group in groups]
                by_wall, by_cpu = await rate(server, path, bodies, at_once)
                if turn:  # the first round warms up
                    found[way][name].append((by_wall * size, by_cpu * size))
    return {
        way: {
            name: {
                "texts_per_s": round(statistics.median(one[0] for one in results), 1),
                "lowest": round(min(one[0] for one in results), 1),
                "highest": round(max(one[0] for one in results), 1),
                "texts_per_cpu_s": round(statistics.median(one[1] for one in results), 1),
            }
            for name, results in by_name.items()
        }
        for way, by_name in found.items()
    }


async def cosines(port: int, infinity: str, model: Path) -> dict[str, float]:
    """Return the lowest and mean cosine of our fp32 vectors to those of sentence-transformers."""
    texts = Texts().take(96)
    answer = await Connection(port).post(
        "/v1/embeddings",
        json.dumps({"model": "embedding", "input": texts, "encoding_format": "base64"}).encode(),
    )
    data = json.loads(answer)["data"]
    ours = np.stack([np.frombuffer(base64.b64decode(item["embedding"]), np.float32) for item in data])
    command = [infinity, "-c", ST_VECTORS, str(model)]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=True)
    said = (await asyncio.to_thread(run, command, input=json.dumps(texts), env=environ)).stdout
    theirs = np.asarray(json.loads(said[said.index("[[") :]), np.float32)
    values = (ours * theirs).sum(axis=1)
    return {"lowest": round(float(values.min()), 6), "mean": round(float(values.mean()), 6)}


async def main() -> None:
    """Run everything and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="directory of all-MiniLM-L6-v2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=320, help="texts of a round, way and server")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    infinity = os.environ.get("LLMSERVICE_PEER_INFINITY")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        servers: dict[str, tuple[Server, str, str]] = {}
        for form, options in (("fp32", []), ("int8", ["--int8"])):
            folder = Path(name) / form
            convert([str(given.model), str(folder), *options])
            variables = {"EMBEDDING_MODEL_PATH": str(folder), "EMBEDDING_N_THREADS": str(given.threads)}
            servers[form] = (stack.enter_context(service(folder, variables)), "/v1/embeddings", "embedding")
        if infinity:
            command = [Path(infinity).parent / "infinity_emb", "v2", "--model-id", given.model, "--device", "cpu"]
            command += ["--served-model-name", "minilm", "--host", "127.0.0.1", "--port", "{port}", "--engine", "torch"]
            variables = {"OMP_NUM_THREADS": str(given.threads), "INFINITY_ANONYMOUS_USAGE_STATS": "0"}
            servers["infinity"] = (stack.enter_context(peer(command, "/health", variables)), "/embeddings", "minilm")
        figures = await measure(servers, given.rounds, given.texts)
        if infinity:
            for by_name in figures.values():
                for form in ("fp32", "int8"):
                    ratio = by_name[form]["texts_per_s"] / by_name["infinity"]["texts_per_s"]
                    by_name[f"{form} ÷ infinity"] = round(ratio, 2)
            figures["cosine to sentence-transformers"] = await cosines(servers["fp32"][0].port, infinity, given.model)
        sys.stdout.write(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
