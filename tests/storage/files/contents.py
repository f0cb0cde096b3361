"""Everything that a storage holds, read through its contract."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightrag.storage.contracts import Namespace, Storage, VectorKind

MANY = 100_000


async def contents(storage: Storage) -> dict[str, Any]:
    """Return all data of a workspace in a form that can be compared; vectors are rounded."""
    graph = storage.graph
    found: dict[str, Any] = {f"kv {name}": dict(await storage.kv(name).scan(limit=MANY)) for name in Namespace}
    rows, _ = await storage.documents.page(limit=MANY)
    found["documents"] = {row.id: row for row in rows}
    found["entities"] = {entity.name: entity for entity in await graph.scan_entities(limit=MANY)}
    found["relations"] = {edge.pair: edge for edge in await graph.scan_relations(limit=MANY)}
    found["mentions"] = await graph.entity_evidence(await graph.scan_mention_keys(limit=MANY), MANY)
    found["pairs"] = await graph.relation_evidence(await graph.scan_mention_pairs(limit=MANY), MANY)
    for kind in VectorKind:
        hashes = await storage.vectors(kind).scan(limit=MANY)
        numbers = await storage.vectors(kind).get([key for key, _ in hashes])
        found[f"vectors {kind}"] = {key: (digest, np.round(numbers[key], 5).tolist()) for key, digest in hashes}
    if storage.lexical is not None:
        found["terms"] = await storage.lexical.count()
        found["hits"] = {hit.key for hit in await storage.lexical.search(["term", "alice", "acm"], MANY)}
    return found
