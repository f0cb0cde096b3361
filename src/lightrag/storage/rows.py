"""How chunks and keys of relations are written in stores, the same in every family."""

from __future__ import annotations

from lightrag.types import FIELD_SEPARATOR, Chunk, JsonObject, Pair


def chunk_row(chunk: Chunk) -> JsonObject:
    """Return a chunk's row in the namespace `text_chunks` (LightRAG's field names beside our own)."""
    return {
        "id": chunk.id,
        "full_doc_id": chunk.doc_id,
        "chunk_order_index": chunk.order,
        "content": chunk.content,
        "tokens": chunk.tokens,
        "start": chunk.start,
        "end": chunk.end,
        "file_path": chunk.file_path,
        "page_start": chunk.page_start,
        "page_end": chunk.page_end,
    }


def chunk_of_row(key: str, row: JsonObject) -> Chunk:
    """Return a chunk from its row."""
    return Chunk(
        id=key,
        doc_id=row["full_doc_id"],
        order=row["chunk_order_index"],
        content=row["content"],
        tokens=row["tokens"],
        start=row["start"],
        end=row["end"],
        file_path=row["file_path"],
        page_start=row.get("page_start"),
        page_end=row.get("page_end"),
    )


def pair_of_key(key: str) -> Pair:
    """Return both ends of a relation from the key of its vector."""
    source, _, target = key.partition(FIELD_SEPARATOR)
    return (source, target)


def key_of_pair(pair: Pair) -> str:
    """Return the key of a relation's vector."""
    return f"{pair[0]}{FIELD_SEPARATOR}{pair[1]}"
