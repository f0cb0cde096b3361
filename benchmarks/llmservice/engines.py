"""Measures the engines without the HTTP layer: tokens a second at 1, 4 and 16 streams, texts a CPU-second.

    python benchmarks/llmservice/engines.py [--gguf FILE] [--mlx DIR] [--onnx DIR ...] [--threads 1]

Without a file, language models are measured on a random Llama of 14 MB, made on the spot, and embeddings on the bundled
model. Compare runs of the same machine only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from pathlib import Path

from llmservice.backends.contracts import ChatBackend, ChatRequest, ModelSource, Sampling
from llmservice.backends.factory import bundled_embedder, load_backend
from llmservice.testing.corpus import CORPUS
from llmservice.testing.tiny_llama import LlamaShape, make_tiny_llama

STREAMS = (1, 4, 16)
TOKENS = 64
LENGTHS = (8, 24, 60, 110, 150)
"""Words of the texts to embed, mixed."""


async def stream(model: ChatBackend, seed: int) -> tuple[int, float]:
    """Read one answer; return its tokens and the seconds to its first piece."""
    sampling = Sampling(TOKENS, temperature=0.8, top_p=0.95, top_k=40, seed=seed)
    started, first, tokens = time.perf_counter(), 0.0, 0
    async for piece in model.chat(ChatRequest([{"role": "user", "content": "Tell me a story."}], sampling)):
        first = first or time.perf_counter() - started
        tokens = piece.completion_tokens or tokens
    return tokens, first


async def measure_chat(path: Path, threads: int) -> None:
    """Print tokens a second and the median time to the first token."""
    source = ModelSource(path, path.stem, threads, slots=max(STREAMS), context_length=1024)
    started = time.perf_counter()
    model = await asyncio.to_thread(load_backend, "chat", source)
    loaded = time.perf_counter() - started
    await stream(model, 0)
    print(f"{model.facts.backend} {path.name}: loaded in {loaded:.2f} s")
    for count in STREAMS:
        started = time.perf_counter()
        answers = await asyncio.gather(*(stream(model, seed) for seed in range(count)))
        rate = sum(tokens for tokens, _ in answers) / (time.perf_counter() - started)
        first = statistics.median(seconds for _, seconds in answers) * 1000
        print(f"  {count:2d} streams: {rate:8.0f} tokens/s, first token {first:6.1f} ms")
    await model.aclose()


async def measure_embedder(source: ModelSource, texts: list[str]) -> None:
    """Print texts a CPU-second and a second, in one batch and as single requests at once."""
    model = await asyncio.to_thread(load_backend, "embedding", source)
    dense = frozenset({"dense"})
    await model.embed(texts[:4], dense, truncate=True)
    wall, processor = time.perf_counter(), time.process_time()
    await model.embed(texts, dense, truncate=True)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    single = time.perf_counter()
    await asyncio.gather(*(model.embed([text], dense, truncate=True) for text in texts))
    single = time.perf_counter() - single
    print(
        f"onnx {source.name}: {len(texts) / processor:.1f} texts/CPU-second, {len(texts) / wall:.1f} texts/s in a "
        f"batch, {len(texts) / single:.1f} texts/s one by one at once"
    )
    await model.aclose()


def mixed_texts(count: int) -> list[str]:
    """Return texts of mixed lengths, the same each time."""
    chosen = random.Random(0)
    words = " ".join(CORPUS).split()
    return [" ".join(chosen.choices(words, k=chosen.choice(LENGTHS))) for _ in range(count)]


async def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--mlx", type=Path)
    parser.add_argument("--onnx", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts", type=int, default=192)
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        gguf, mlx = chosen.gguf, chosen.mlx
        if gguf is None and mlx is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            made = make_tiny_llama(folder, LlamaShape(width=256, layers=4, heads=4, kv_heads=4, inner=640))
            gguf, mlx = made.gguf, made.directory
        for path in (gguf, mlx):
            if path is not None:
                await measure_chat(path, chosen.threads)
    texts = mixed_texts(chosen.texts)
    sources = [ModelSource(path, path.name, chosen.threads) for path in chosen.onnx]
    for source in (*sources, bundled_embedder(chosen.threads)):
        await measure_embedder(source, texts)


if __name__ == "__main__":
    asyncio.run(main())
