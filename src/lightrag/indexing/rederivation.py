"""Derives mentions of chunks anew from their kept extractions, when edits of the graph changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lightrag.indexing.contributions import extraction_row, kept_extractions, store_derived
from lightrag.indexing.derivation import Derived, ExtractedChunk, derive
from lightrag.indexing.overlay import Overlay
from lightrag.storage.contracts import Namespace, Storage, Touched
from lightrag.types import Chunk, ExtractedEntity, ExtractedRelation, Extraction, MentionSource, Pair

GROUP = 64
ALL = 2**31 - 1


async def chunks_that_mention(storage: Storage, names: Collection[str], pairs: Collection[Pair]) -> set[str]:
    """Return the chunks that mention any of these entities, a relation of theirs, or any of these relations."""
    graph, chunks = storage.graph, set[str]()
    wanted = set(pairs)
    if names:
        for found in (await graph.entity_evidence(sorted(names), ALL)).values():
            chunks |= {mention.source.chunk_id for mention in found.mentions}
        for name, neighbours in (await graph.relations_of(sorted(names), ALL)).items():
            wanted |= {(min(name, other), max(name, other)) for other, _ in neighbours}
    if wanted:
        for told in (await graph.relation_evidence(sorted(wanted), ALL)).values():
            chunks |= {mention.source.chunk_id for mention in told.mentions}
    return chunks


async def derive_again(tx: Storage, chunk_ids: Sequence[str], before: Overlay, after: Overlay) -> Touched:
    """Replace the mentions of chunks by what they are under other edits; return the keys that changed."""
    names: set[str] = set()
    pairs: set[Pair] = set()
    for start in range(0, len(chunk_ids), GROUP):
        touched = await _derive_group(tx, chunk_ids[start : start + GROUP], before, after)
        names |= touched.names
        pairs |= touched.pairs
    return Touched(frozenset(names), frozenset(pairs))


async def _derive_group(tx: Storage, chunk_ids: Sequence[str], before: Overlay, after: Overlay) -> Touched:
    extracted = await kept_extractions(tx, chunk_ids)
    known = {item.chunk.id for item in extracted}
    extracted += await keep_adopted(tx, [key for key in chunk_ids if key not in known])
    was = {item.chunk.id: derive(item, before) for item in extracted}
    now = {item.chunk.id: derive(item, after) for item in extracted}
    await tx.graph.delete_mentions(list(now))
    await store_derived(tx, list(now.values()), _either(before, after))
    names: set[str] = set()
    pairs: set[Pair] = set()
    for key in now:
        changed = _changed(was[key], now[key])
        names |= changed.names
        pairs |= changed.pairs
    return Touched(frozenset(names), frozenset(pairs))


def _either(before: Overlay, after: Overlay) -> Overlay:
    # Notes of what an edit did are to be taken back too when it was the last one.
    return after if after.alters_mentions else before


def _changed(was: Derived, now: Derived) -> Touched:
    entities = set(was.entities) ^ set(now.entities)
    relations = set(was.relations) ^ set(now.relations)
    return Touched(
        frozenset(mention.entity.name for mention in entities),
        frozenset((mention.relation.source, mention.relation.target) for mention in relations),
    )


async def keep_adopted(tx: Storage, chunk_ids: Sequence[str]) -> list[ExtractedChunk]:
    """Return what chunks said that have no extraction, and keep it as one.

    Graphs that LightRAG wrote mention chunks that are gone, and sources that never were chunks.
    """
    if not chunk_ids:
        return []
    wanted, touched = set(chunk_ids), await tx.graph.mentioned_by(chunk_ids)
    sources: dict[str, MentionSource] = {}
    entities: dict[str, list[ExtractedEntity]] = {}
    relations: dict[str, list[ExtractedRelation]] = {}
    for found in (await tx.graph.entity_evidence(sorted(touched.names), ALL)).values():
        for mention in found.mentions:
            if mention.source.chunk_id in wanted:
                sources[mention.source.chunk_id] = mention.source
                entities.setdefault(mention.source.chunk_id, []).append(mention.entity)
    for told in (await tx.graph.relation_evidence(sorted(touched.pairs), ALL)).values():
        for edge in told.mentions:
            if edge.source.chunk_id in wanted:
                sources[edge.source.chunk_id] = edge.source
                relations.setdefault(edge.source.chunk_id, []).append(edge.relation)
    kept: list[ExtractedChunk] = []
    for key, source in sources.items():
        chunk = Chunk(key, source.doc_id, source.order, "", 0, 0, 0, source.file_path)
        found_here = Extraction(tuple(entities.get(key, ())), tuple(relations.get(key, ())))
        kept.append(ExtractedChunk(chunk, found_here, source.created_at, "adopted"))
    await tx.kv(Namespace.EXTRACTIONS).put(
        {
            item.chunk.id: extraction_row(item)
            | {"source": [item.chunk.doc_id, item.chunk.order, item.chunk.file_path]}
            for item in kept
        }
    )
    return kept
