"""Random operations on a storage and on the one in memory: what both answer must be the same.

Part of the contract suite, see `lightrag.testing.storage_contract`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from lightrag.storage.contracts import GraphChanges, Hit, Namespace, Storage, VectorKind, VectorRow
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.storage_graph_contract import edge, entity_mention, node, relation_mention
from lightrag.types import DocStatus, DocumentFilter, DocumentRecord, Pair

NAMES = ["A", "b", "B", "Ä", "中", "中文", "a b", 'q"', "z'", "%"]
CHUNKS = [f"c{i}" for i in range(8)]
KEYS = [f"{prefix}:{i}" for prefix in "xyz" for i in range(4)]
TERMS = ["red", "Red", "blue", "知识", "a b", "C++", "x"]
STATUSES = list(DocStatus)
DIMENSION = 6
STEPS = 80

Operation = Callable[[Storage], Awaitable[object]]


class GraphReader:
    """Keeps the structure of the graph in memory from what `GraphStore.changes` tells."""

    def __init__(self) -> None:
        self.seq = 0
        self._entities: dict[int, str] = {}
        self._chunks: dict[int, tuple[str, str]] = {}
        self._mentions: dict[int, set[int]] = {}
        self._relations: dict[tuple[int, int], float] = {}

    def apply(self, changes: GraphChanges) -> None:
        """Take in changes: removals first, then additions."""
        if changes.complete:
            self._entities, self._chunks, self._mentions, self._relations = {}, {}, {}, {}
        self.seq = changes.seq
        for id in changes.removed_entities.tolist():
            self._entities.pop(id, None)
        for id in changes.removed_chunks.tolist():
            self._chunks.pop(id, None)
            self._mentions.pop(id, None)
        for source, target in changes.removed_relations.tolist():
            self._relations.pop((source, target), None)
        self._entities.update(changes.entities)
        for id, key, doc in changes.chunks:
            self._chunks[id] = (key, doc)
            self._mentions[id] = set()
        for entity, chunk in changes.mentions.tolist():
            self._mentions[chunk].add(entity)
        ends = map(tuple, changes.relations.tolist())
        self._relations.update(zip(ends, changes.relation_weights.tolist(), strict=True))

    def view(self) -> tuple[set[str], set[tuple[str, str]], set[tuple[str, str]], dict[Pair, float]]:
        """Return names, (chunk, document), (name, chunk) and weights of edges, without ids."""
        names = self._entities
        return (
            set(names.values()),
            set(self._chunks.values()),
            {(names[e], self._chunks[c][0]) for c, entities in self._mentions.items() for e in entities},
            {(names[s], names[t]): weight for (s, t), weight in self._relations.items()},
        )


class CongruenceContract:
    """Any sequence of operations gives what the storage in memory gives."""

    @pytest.mark.parametrize("seed", range(4))
    async def test_random_operations(self, storage: Storage, seed: int) -> None:
        oracle, choose, reader = MemoryStorage("oracle"), random.Random(seed), GraphReader()
        for target in (storage, oracle):
            await target.set_dimension(DIMENSION)
        for step in range(STEPS):
            operations = [await _operation(choose, oracle) for _ in range(choose.randint(1, 3))]
            keep = choose.random() < 0.8
            outcomes = [await _run(target, operations, keep) for target in (storage, oracle)]
            assert outcomes[0] == outcomes[1], f"seed {seed}, step {step}"
            await _compare(storage, oracle, choose)
            reader.apply(await storage.graph.changes(reader.seq))
            fresh, expected = GraphReader(), GraphReader()
            fresh.apply(await storage.graph.changes(0))
            expected.apply(await oracle.graph.changes(0))
            assert reader.view() == fresh.view() == expected.view()


class _Undo(Exception):
    pass


async def _run(storage: Storage, operations: list[Operation], keep: bool) -> list[object]:
    """Run operations in one transaction; return what they return."""
    outcomes: list[object] = []
    try:
        async with storage.transaction() as work:
            for operation in operations:
                try:
                    outcomes.append(await operation(work))
                except Exception as error:
                    outcomes.append(type(error))
            if not keep:
                raise _Undo
    except _Undo:
        pass
    return outcomes


async def _operation(choose: random.Random, oracle: Storage) -> Operation:
    kinds = [_graph_operation, _graph_operation, _kv_operation, _vector_operation, _lexical_operation]
    return choose.choice([*kinds, _document_operation])(choose)


def _some(choose: random.Random, values: list[Any], most: int = 4) -> list[Any]:
    return choose.sample(values, choose.randint(0, min(most, len(values))))


def _pairs(choose: random.Random) -> list[Pair]:
    pairs = [tuple(sorted(choose.sample(NAMES, 2))) for _ in range(choose.randint(0, 4))]
    return [(a, b) for a, b in dict.fromkeys(pairs)]


def _graph_operation(choose: random.Random) -> Operation:
    names, pairs, chunks = _some(choose, NAMES), _pairs(choose), _some(choose, CHUNKS, 2)
    weight = choose.choice([0.1, 0.25, 1.0, 3.0])
    mentions = [entity_mention(name, chunk, _doc(chunk), str(weight)) for name in names for chunk in chunks]
    of_pairs = [relation_mention(pair, chunk, _doc(chunk), weight) for pair in pairs for chunk in chunks]
    ends = [node(name, str(weight)) for name in {name for pair in pairs for name in pair}]

    async def put_edges(storage: Storage) -> None:
        await storage.graph.put_entities(ends)
        await storage.graph.put_relations([edge(*pair, weight) for pair in pairs])

    operations: list[Operation] = [
        lambda storage: storage.graph.put_mentions(mentions, of_pairs),
        lambda storage: storage.graph.put_mentions(mentions, of_pairs),
        lambda storage: storage.graph.delete_mentions(chunks),
        lambda storage: storage.graph.put_entities([node(name, str(weight)) for name in names]),
        put_edges,
        lambda storage: storage.graph.put_relations([edge(*pair, weight) for pair in pairs]),
        lambda storage: storage.graph.delete_entities(names[:2]),
        lambda storage: storage.graph.delete_relations(pairs),
    ]
    return choose.choice(operations)


def _doc(chunk: str) -> str:
    return f"d{int(chunk[1:]) % 3}"


def _kv_operation(choose: random.Random) -> Operation:
    rows = {key: {"v": choose.randint(0, 3)} for key in _some(choose, KEYS)}
    operations: list[Operation] = [
        lambda storage: storage.kv(Namespace.META).put(rows),
        lambda storage: storage.kv(Namespace.META).delete(list(rows)),
    ]
    return choose.choice(operations)


def _vector_operation(choose: random.Random) -> Operation:
    rows = [VectorRow(key, str(choose.random()), _vector(choose)) for key in _some(choose, KEYS)]
    operations: list[Operation] = [
        lambda storage: storage.vectors(VectorKind.CHUNKS).put(rows),
        lambda storage: storage.vectors(VectorKind.CHUNKS).put(rows),
        lambda storage: storage.vectors(VectorKind.CHUNKS).delete([row.key for row in rows]),
    ]
    return choose.choice(operations)


def _vector(choose: random.Random) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([choose.gauss(0, 1) for _ in range(DIMENSION)], np.float32)


def _lexical_operation(choose: random.Random) -> Operation:
    rows = {key: choose.choices(TERMS, k=choose.randint(0, 6)) for key in _some(choose, KEYS)}

    async def put(storage: Storage) -> None:
        if storage.lexical is not None:
            await storage.lexical.put(rows)

    async def delete(storage: Storage) -> None:
        if storage.lexical is not None:
            await storage.lexical.delete(list(rows))

    return choose.choice([put, put, delete])


def _document_operation(choose: random.Random) -> Operation:
    ids = _some(choose, [f"d{i}" for i in range(6)])
    rows = [
        DocumentRecord(
            id,
            choose.choice(STATUSES),
            file_path=f"{choose.choice('ab')}/{id}.txt",
            created_at=str(choose.randint(0, 3)),
            updated_at=str(choose.randint(0, 3)),
            track_id=choose.choice(["", "t"]),
            content_hash=choose.choice(["", "h"]),
            tags={"n": choose.randint(0, 2)},
            delete_requested=choose.random() < 0.1,
        )
        for id in ids
    ]
    owner, seconds = choose.choice("op"), choose.choice([0, 1000])
    operations: list[Operation] = [
        lambda storage: storage.documents.put(rows),
        lambda storage: storage.documents.put(rows),
        lambda storage: storage.documents.delete(ids[:1]),
        lambda storage: storage.documents.claim(
            owner, limit=2, lease_seconds=seconds, statuses=[DocStatus.PENDING, DocStatus.FAILED]
        ),
        lambda storage: storage.documents.heartbeat(owner, seconds),
        lambda storage: storage.documents.release(owner, ids),
        lambda storage: storage.documents.release(owner),
    ]
    return choose.choice(operations)


async def _compare(storage: Storage, oracle: Storage, choose: random.Random) -> None:
    for read in (*_graph_reads(choose), *_other_reads(choose)):
        assert await read(storage) == await read(oracle)
    query, within = np.stack([_vector(choose) for _ in range(choose.randint(1, 2))]), _some(choose, KEYS, 9)
    for allowed in (None, within):
        pairs = zip(
            await storage.vectors(VectorKind.CHUNKS).search(query, 5, within=allowed, threshold=-0.5),
            await oracle.vectors(VectorKind.CHUNKS).search(query, 5, within=allowed, threshold=-0.5),
            strict=True,
        )
        for found, expected in pairs:
            _assert_same_hits(found, expected)
        if storage.lexical is not None and oracle.lexical is not None:
            terms = _some(choose, TERMS)
            _assert_same_hits(
                await storage.lexical.search(terms, 50, within=allowed),
                await oracle.lexical.search(terms, 50, within=allowed),
            )


def _graph_reads(choose: random.Random) -> list[Operation]:
    names, pairs = _some(choose, NAMES, 10), _pairs(choose)
    limit, docs = choose.randint(1, 4), _some(choose, ["d0", "d1", "d2"])
    text = choose.choice(["a", "ä", "中", "", "Q"])
    return [
        lambda s: s.graph.entity_evidence(names, limit),
        lambda s: s.graph.relation_evidence(pairs, limit),
        lambda s: s.graph.entity_evidence(names, limit, doc_ids=docs),
        lambda s: s.graph.relation_evidence(pairs, limit, doc_ids=docs),
        lambda s: s.graph.mentioned_by(CHUNKS[:limit]),
        lambda s: s.graph.scan_mention_keys(),
        lambda s: s.graph.scan_mention_pairs(after=pairs[0] if pairs else None, limit=limit),
        lambda s: s.graph.scan_entities(limit=50),
        lambda s: s.graph.scan_relations(after=pairs[0] if pairs else None, limit=limit),
        lambda s: s.graph.get_relations(pairs),
        lambda s: s.graph.degrees(NAMES),
        lambda s: s.graph.relations_of(names, limit),
        lambda s: s.graph.popular_labels(limit),
        lambda s: _as_set(s.graph.labels_containing(text, 99)),
        lambda s: s.graph.counts(),
    ]


def _other_reads(choose: random.Random) -> list[Operation]:
    after, limit = choose.choice(KEYS), choose.randint(1, 9)
    filter = DocumentFilter(file_paths=("a/*",), tags={"n": choose.randint(0, 2)})
    sort: Any = choose.choice(["created_at", "updated_at", "id", "file_path"])
    descending, statuses = choose.random() < 0.5, choose.choice([None, [DocStatus.PENDING]])
    return [
        lambda s: s.kv(Namespace.META).scan(prefix="x", after=after, limit=limit),
        lambda s: s.kv(Namespace.META).get(KEYS),
        lambda s: s.vectors(VectorKind.CHUNKS).scan(after=after, limit=limit),
        lambda s: s.documents.page(statuses=statuses, offset=1, limit=3, sort=sort, descending=descending),
        lambda s: s.documents.matching(filter),
        lambda s: s.documents.counts(),
        lambda s: s.documents.by_content_hash("h"),
        lambda s: s.documents.by_track_id("t"),
    ]


async def _as_set(labels: Awaitable[list[str]]) -> set[str]:
    return set(await labels)


def _assert_same_hits(found: list[Hit], expected: list[Hit]) -> None:
    """Compare scores in order, and keys where scores differ enough to rank them."""
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    scores = {hit.key: hit.score for hit in expected}
    last = expected[-1].score if expected else 0.0
    for hit in found:
        assert hit.score == pytest.approx(scores.get(hit.key, last), abs=1e-5)
