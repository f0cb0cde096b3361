"""From what was found in a chunk to what is stored of it: mentions, under the names that manual edits gave."""

from __future__ import annotations

import dataclasses

from lightrag.indexing.names import UNKNOWN_TYPE
from lightrag.indexing.overlay import Overlay
from lightrag.types import (
    FIELD_SEPARATOR,
    Chunk,
    EntityMention,
    ExtractedEntity,
    ExtractedRelation,
    Extraction,
    MentionSource,
    Pair,
    RelationMention,
)


@dataclasses.dataclass(frozen=True, slots=True)
class ExtractedChunk:
    """A chunk with what was found in it."""

    chunk: Chunk
    extraction: Extraction
    created_at: int
    """Unix seconds at which the document was accepted."""
    fingerprint: str


@dataclasses.dataclass(frozen=True, slots=True)
class Derived:
    """What a chunk says, as mention rows."""

    chunk_id: str
    entities: tuple[EntityMention, ...]
    relations: tuple[RelationMention, ...]
    edits: frozenset[int] = frozenset()
    """Numbers of the edits that decided any of it."""


def derive(extracted: ExtractedChunk, overlay: Overlay) -> Derived:
    """Return what a chunk says: each name and each pair at most once, what edits have ended left out."""
    chunk, extraction = extracted.chunk, extracted.extraction
    source = MentionSource(chunk.id, chunk.doc_id, chunk.order, chunk.file_path, extracted.created_at)
    entities, relations = extraction.entities, extraction.relations
    edits = frozenset[int]()
    if overlay.alters_mentions:
        entities, of_names = _entities_under(overlay, extraction)
        relations, of_pairs = _relations_under(overlay, extraction)
        edits = of_names | of_pairs
    return Derived(
        chunk.id,
        tuple([EntityMention(entity, source) for entity in entities]),
        tuple([RelationMention(relation, source) for relation in relations]),
        edits,
    )


def _entities_under(overlay: Overlay, extraction: Extraction) -> tuple[tuple[ExtractedEntity, ...], frozenset[int]]:
    found: dict[str, ExtractedEntity] = {}
    edits: set[int] = set()
    for entity in extraction.entities:
        fate = overlay.fate(entity.name)
        edits |= fate.edits
        if fate.name is None:
            continue
        description = "" if "description" in fate.muted else entity.description
        said, before = ExtractedEntity(fate.name, entity.type, description), found.get(fate.name)
        if before is not None:
            kind = before.type if before.type != UNKNOWN_TYPE else said.type
            said = ExtractedEntity(fate.name, kind, _joined(before.description, said.description))
        found[fate.name] = said
    return tuple(found.values()), frozenset(edits)


def _relations_under(overlay: Overlay, extraction: Extraction) -> tuple[tuple[ExtractedRelation, ...], frozenset[int]]:
    found: dict[Pair, ExtractedRelation] = {}
    edits: set[int] = set()
    for relation in extraction.relations:
        fate = overlay.fate_of_pair((relation.source, relation.target))
        edits |= fate.edits
        if fate.pair is None:
            continue
        said = ExtractedRelation(
            *fate.pair,
            "" if "keywords" in fate.muted else relation.keywords,
            "" if "description" in fate.muted else relation.description,
            0.0 if "weight" in fate.muted else relation.weight,
        )
        before = found.get(fate.pair)
        if before is not None:
            words = dict.fromkeys(word for word in f"{before.keywords},{said.keywords}".split(",") if word)
            description = _joined(before.description, said.description)
            said = ExtractedRelation(*fate.pair, ",".join(words), description, before.weight + said.weight)
        found[fate.pair] = said
    return tuple(found.values()), frozenset(edits)


def _joined(first: str, second: str) -> str:
    if not first or not second:
        return first or second
    return first if second in first.split(FIELD_SEPARATOR) else f"{first}{FIELD_SEPARATOR}{second}"
