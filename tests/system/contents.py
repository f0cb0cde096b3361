"""What a working directory holds, read from its files while no server runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lightrag.storage.contracts import Namespace, Storage, VectorKind
from lightrag.storage.registry import StorageNames, open_storage

ALL = 100_000


@dataclasses.dataclass(frozen=True)
class Contents:
    """Everything that must not depend on how documents came to be there: times and track ids are left out."""

    documents: dict[str, Any]
    chunks: dict[str, Any]
    extractions: dict[str, Any]
    entities: list[Any]
    relations: list[Any]
    vectors: dict[str, list[tuple[str, str]]]
    """Key and hash of the text that the vector stands for."""
    indexed_texts: int
    due: list[str]
    """Vectors and summaries that are still to be made."""


async def contents_of(working_dir: Path) -> Contents:
    """Return what a workspace holds."""
    storage = open_storage(StorageNames(), working_dir, "")
    await storage.open()
    try:
        return await _read(storage)
    finally:
        await storage.close()


async def stored_answers(working_dir: Path) -> list[str]:
    """Return the model's answers that are durable."""
    storage = open_storage(StorageNames(), working_dir, "")
    await storage.open()
    try:
        rows = await storage.kv(Namespace.LLM_CACHE).scan(limit=ALL)
        return [row["return"] for _, row in rows]
    finally:
        await storage.close()


async def _read(storage: Storage) -> Contents:
    records, _ = await storage.documents.page(limit=ALL)
    extractions = dict(await storage.kv(Namespace.EXTRACTIONS).scan(limit=ALL))
    for row in extractions.values():
        # The time, and the name of the model with its address.
        del row["created_at"], row["fingerprint"]
    assert storage.lexical is not None
    return Contents(
        documents={
            record.id: (
                record.file_path,
                record.status.value,
                record.error_msg,
                record.content_hash,
                record.source_hash,
                record.chunks_list,
                record.failed_chunks,
                dict(record.tags),
            )
            for record in records
        },
        chunks=dict(await storage.kv(Namespace.TEXT_CHUNKS).scan(limit=ALL)),
        extractions=extractions,
        entities=[dataclasses.replace(e, created_at=0) for e in await storage.graph.scan_entities(limit=ALL)],
        relations=[dataclasses.replace(r, created_at=0) for r in await storage.graph.scan_relations(limit=ALL)],
        vectors={kind.value: await storage.vectors(kind).scan(limit=ALL) for kind in VectorKind},
        indexed_texts=await storage.lexical.count(),
        due=[key for key, _ in await storage.kv(Namespace.STALE).scan(limit=ALL)],
    )
