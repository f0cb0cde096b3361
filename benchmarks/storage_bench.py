"""Measure the SQLite storage: what a chunk's commit costs, and how long searches take.

    python benchmarks/storage_bench.py [--chunks 2000] [--vectors 65536]

CPU times are of the whole process (all threads); latencies are of single calls, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from lightrag.storage.contracts import Namespace, Storage, VectorKind, VectorRow
from lightrag.storage.sqlite import SQLiteStorage
from lightrag.types import (
    Entity,
    EntityMention,
    ExtractedEntity,
    ExtractedRelation,
    MentionSource,
    Relation,
    RelationMention,
)

DIMENSION = 1024
ENTITIES, RELATIONS, TERMS = 16, 14, 600
WORDS = 50_000
TEXT = "A sentence that says what this is and why it matters to the reader of the passage. "


def zipf(rng: np.random.Generator, size: int, most: int) -> list[int]:
    """Return numbers below `most`, small ones more often."""
    return [int(most ** rng.random()) - 1 for _ in range(size)]


async def commit_chunk(storage: Storage, number: int, rng: np.random.Generator, names: list[str]) -> float:
    """Commit what one chunk brings; return the CPU seconds that it took."""
    chunk, source = f"chunk-{number}", MentionSource(f"chunk-{number}", f"doc-{number // 3}", 0, "a.txt", 1)
    pairs = [(a, b) if a < b else (b, a) for a, b in itertools.pairwise(names)][:RELATIONS]
    vectors = rng.standard_normal((1 + ENTITIES + RELATIONS, DIMENSION), np.float32)
    terms = [f"w{i}" for i in zipf(rng, TERMS, WORDS)]
    mentions = [EntityMention(ExtractedEntity(name, "thing", TEXT), source) for name in names]
    of_pairs = [RelationMention(ExtractedRelation(*pair, "key, word", TEXT), source) for pair in pairs]
    start = time.process_time()
    async with storage.transaction() as work:
        assert work.lexical is not None
        await work.kv(Namespace.TEXT_CHUNKS).put({chunk: {"content": TEXT * 40}})
        await work.lexical.put({chunk: terms})
        await work.graph.put_mentions(mentions, of_pairs)
        evidence = await work.graph.entity_evidence(names, 10)
        of_pair = await work.graph.relation_evidence(pairs, 10)
        await work.graph.put_entities(
            [Entity(name, "thing", TEXT * 3, found.total) for name, found in evidence.items()]
        )
        await work.graph.put_relations(
            [Relation(*pair, "k", TEXT, found.weight, found.total) for pair, found in of_pair.items()]
        )
        rows = [VectorRow(name, chunk, vectors[i]) for i, name in enumerate(names)]
        await work.vectors(VectorKind.ENTITIES).put(rows)
        await work.vectors(VectorKind.RELATIONS).put(
            [VectorRow("<SEP>".join(pair), chunk, vectors[ENTITIES + i]) for i, pair in enumerate(pairs)]
        )
        await work.vectors(VectorKind.CHUNKS).put([VectorRow(chunk, chunk, vectors[-1])])
    return time.process_time() - start


async def bench_commits(folder: Path, chunks: int) -> None:
    """Print the CPU time per chunk of each quarter."""
    storage, rng = SQLiteStorage(folder, "bench"), np.random.default_rng(0)
    await storage.open()
    await storage.set_dimension(DIMENSION)
    costs: list[float] = []
    start = time.perf_counter()
    for number in range(chunks):
        # Half of the names are known ones, some of them very often.
        known = {f"Entity {i}" for i in zipf(rng, ENTITIES // 2, 1 + number * 8)}
        fresh = [f"Entity {number * 8 + i}" for i in range(ENTITIES - len(known))]
        names = list(dict.fromkeys([*known, *fresh]))
        costs.append(await commit_chunk(storage, number, rng, names))
    wall = (time.perf_counter() - start) / chunks
    size = max(1, chunks // 4)
    quarters = [statistics.fmean(costs[first : first + size]) for first in range(0, size * 4, size)]
    print(f"commit of a chunk: CPU ms by quarter {[round(1e3 * q, 2) for q in quarters]}, wall {1e3 * wall:.2f} ms")
    assert storage.lexical is not None
    lexical = storage.lexical
    queries = [[f"w{i}" for i in zipf(rng, 10, WORDS)] for _ in range(50)]
    await report(f"text query of 10 terms over {chunks} rows", lambda i: lexical.search(queries[i], 60), 50)
    reads = await storage.graph.changes(0)
    print(f"graph: {len(reads.entities)} names, {len(reads.mentions)} mentions, {len(reads.relations)} edges")
    await report("whole graph for a reader", lambda i: storage.graph.changes(0), 5)
    await report("labels containing 'ty 12'", lambda i: storage.graph.labels_containing("ty 12", 50), 20)
    await report("heaviest 20 of the 20 most connected", lambda i: hubs(storage), 20)
    await storage.close()


async def hubs(storage: Storage) -> None:
    """Read the neighbours of the most connected nodes."""
    await storage.graph.relations_of(await storage.graph.popular_labels(20), 20)


async def bench_search(folder: Path, count: int, dimension: int) -> None:
    """Print latencies and recall of vector search."""
    storage, rng = SQLiteStorage(folder, "bench"), np.random.default_rng(1)
    await storage.open()
    await storage.set_dimension(dimension)
    store, title = storage.vectors(VectorKind.CHUNKS), f"{count} x {dimension}"
    vectors = rng.standard_normal((count, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = time.perf_counter()
    for first in range(0, count, 4096):
        part = vectors[first : first + 4096]
        await store.put([VectorRow(str(first + i), "h", vector) for i, vector in enumerate(part)])
    print(f"{title}: {count / (time.perf_counter() - start):.0f} rows/s written")
    queries = rng.standard_normal((40, dimension), np.float32)
    start = time.perf_counter()
    await store.search(queries[:1], 60)
    print(f"{title}: first search (loads codes) {1e3 * (time.perf_counter() - start):.0f} ms")
    await report(f"{title}: top 60", lambda i: store.search(queries[i : i + 1], 60), 40)
    await report(f"{title}: top 20 of 8 queries at once", lambda i: store.search(queries[:8], 20), 20)
    half, few = [str(i) for i in range(0, count, 2)], [str(i) for i in range(0, count, 200)]
    await report(f"{title}: within half", lambda i: store.search(queries[i : i + 1], 20, within=half), 10)
    await report(f"{title}: within {len(few)}", lambda i: store.search(queries[i : i + 1], 20, within=few), 20)
    found = 0
    for query, hits in zip(queries, await store.search(queries, 60), strict=True):
        best = np.argpartition(-(vectors @ query), 60)[:60]
        found += len({hit.key for hit in hits} & {str(i) for i in best})
    print(f"{title}: recall at 60 {found / 60 / len(queries):.4f}")
    start = time.perf_counter()
    await asyncio.gather(*(store.search(queries[i % 40 : i % 40 + 1], 20) for i in range(160)))
    print(f"{title}: {160 / (time.perf_counter() - start):.0f} searches/s, 160 at once")
    await storage.close()


async def report(title: str, call: Callable[[int], Awaitable[object]], count: int) -> None:
    """Print the median and the 95th percentile of a call in milliseconds."""
    times = []
    for i in range(count):
        start = time.perf_counter()
        await call(i)
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    print(f"{title}: p50 {times[count // 2]:.2f} ms, p95 {times[int(count * 0.95)]:.2f} ms, min {times[0]:.2f} ms")


async def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--vectors", type=int, default=65_536)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        await bench_commits(Path(folder) / "commits", arguments.chunks)
        await bench_search(Path(folder) / "small", 10_000, 384)
        await bench_search(Path(folder) / "large", arguments.vectors, DIMENSION)


if __name__ == "__main__":
    asyncio.run(main())
