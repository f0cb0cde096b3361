"""Writes what was found as the text that a model reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from lightrag.types import UNKNOWN_SOURCE, Chunk, Entity, RankedChunk, Reference, Relation, Retrieved


def entity_line(entity: Entity) -> str:
    """Return an entity as one line of JSON."""
    return _json({"entity": entity.name, "type": entity.type, "description": entity.description})


def relation_line(relation: Relation) -> str:
    """Return a relation as one line of JSON."""
    return _json({"entity1": relation.source, "entity2": relation.target, "description": relation.description})


def chunk_line(chunk: RankedChunk) -> str:
    """Return a passage as one line of JSON; without a reference id where its document has no path."""
    content = {"content": chunk.chunk.content}
    return _json({"reference_id": chunk.reference_id, **content} if chunk.reference_id else content)


def reference_ids(chunks: Sequence[Chunk]) -> dict[str, str]:
    """Number the documents of passages, "1" for the one with most, ties by first appearance.

    Documents without a path get no number: "".
    """
    counts = Counter(chunk.doc_id for chunk in chunks)
    first = {doc_id: place for place, doc_id in enumerate(counts)}
    unknown = {chunk.doc_id for chunk in chunks if chunk.file_path in ("", UNKNOWN_SOURCE)}
    cited = sorted(counts.keys() - unknown, key=lambda doc_id: (-counts[doc_id], first[doc_id]))
    return {**dict.fromkeys(unknown, ""), **{doc_id: str(number) for number, doc_id in enumerate(cited, 1)}}


def references_of(chunks: Sequence[RankedChunk]) -> tuple[Reference, ...]:
    """Return the cited documents with their passages, by number."""
    by_id: dict[str, list[Chunk]] = {}
    for ranked in chunks:
        if ranked.reference_id:
            by_id.setdefault(ranked.reference_id, []).append(ranked.chunk)
    return tuple(
        Reference(number, found[0].file_path, found[0].doc_id, tuple(found))
        for number, found in sorted(by_id.items(), key=lambda item: int(item[0]))
    )


def context_text(retrieved: Retrieved) -> str:
    """Return everything that was found as text; sections that would be empty are left out."""
    sections = (
        ("Entities", [entity_line(entity) for entity in retrieved.entities]),
        ("Relations", [relation_line(relation) for relation in retrieved.relations]),
        ("Passages", [chunk_line(chunk) for chunk in retrieved.chunks]),
        ("Reference list", [f"[{reference.reference_id}] {reference.file_path}" for reference in retrieved.references]),
    )
    return "\n\n".join("\n".join((f"### {title}", *lines)) for title, lines in sections if lines)


def _json(row: dict[str, str]) -> str:
    return orjson.dumps(row).decode()
