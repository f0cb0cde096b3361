"""Reads stored rows."""

from __future__ import annotations

from lightrag.types import FIELD_SEPARATOR, Chunk, JsonObject, Pair


def chunk_of_row(key: str, row: JsonObject) -> Chunk:
    """Return a chunk from its row in the namespace `text_chunks`."""
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
