"""What a document contributes to a workspace, and the only ways in which that changes.

Inserting, updating and deleting are one operation: replace what a document contributed by something else, then fold
again the names and pairs that were touched. Every function runs inside one storage transaction and leaves derived
data either right or listed as stale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from lightrag.indexing.fold import (
    FoldRules,
    SummaryNeed,
    draft_entity,
    draft_relation,
    entity_vector_text,
    relation_vector_text,
    text_hash,
)
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText
from lightrag.storage.contracts import Namespace, Storage, Touched, VectorKind
from lightrag.storage.rows import chunk_of_row, chunk_row, key_of_pair
from lightrag.text.words import index_terms
from lightrag.types import (
    Chunk,
    Entity,
    EntityMention,
    ExtractedEntity,
    ExtractedRelation,
    Extraction,
    JsonObject,
    MentionSource,
    Pair,
    Relation,
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


def extraction_row(extracted: ExtractedChunk) -> JsonObject:
    """Return an extraction as it is stored."""
    return {
        "fingerprint": extracted.fingerprint,
        "entities": [[e.name, e.type, e.description] for e in extracted.extraction.entities],
        "relations": [
            [r.source, r.target, r.keywords, r.description, r.weight] for r in extracted.extraction.relations
        ],
        "created_at": extracted.created_at,
    }


def extraction_from_row(row: JsonObject) -> Extraction:
    """Return an extraction from its stored form."""
    return Extraction(
        tuple(ExtractedEntity(*fields) for fields in row["entities"]),
        tuple(ExtractedRelation(*fields) for fields in row["relations"]),
    )


def mentions_of(extracted: ExtractedChunk) -> tuple[list[EntityMention], list[RelationMention]]:
    """Return what a chunk says as mention rows."""
    chunk = extracted.chunk
    source = MentionSource(chunk.id, chunk.doc_id, chunk.order, chunk.file_path, extracted.created_at)
    return (
        [EntityMention(entity, source) for entity in extracted.extraction.entities],
        [RelationMention(relation, source) for relation in extracted.extraction.relations],
    )


async def add_chunks(tx: Storage, chunks: Sequence[Chunk]) -> list[StaleText]:
    """Make chunks findable by text at once, and list their vectors as stale."""
    if not chunks:
        return []
    await tx.kv(Namespace.TEXT_CHUNKS).put({chunk.id: chunk_row(chunk) for chunk in chunks})
    if tx.lexical is not None:
        await tx.lexical.put({chunk.id: index_terms(chunk.content) for chunk in chunks})
    stale = [StaleText(StaleKey(StaleKind.CHUNK, chunk.id), chunk.content) for chunk in chunks]
    await _mark_stale(tx, stale)
    return stale


async def move_chunks(tx: Storage, chunks: Sequence[Chunk]) -> None:
    """Store new positions of chunks whose text is the same."""
    await tx.kv(Namespace.TEXT_CHUNKS).put({chunk.id: chunk_row(chunk) for chunk in chunks})


async def remove_chunks(tx: Storage, chunk_ids: Sequence[str], fold: Folder) -> list[StaleText]:
    """Take chunks and everything that they said out of the workspace."""
    if not chunk_ids:
        return []
    touched = await tx.graph.delete_mentions(chunk_ids)
    await tx.kv(Namespace.TEXT_CHUNKS).delete(chunk_ids)
    await tx.kv(Namespace.EXTRACTIONS).delete(chunk_ids)
    await tx.kv(Namespace.STALE).delete([str(StaleKey(StaleKind.CHUNK, key)) for key in chunk_ids])
    if tx.lexical is not None:
        await tx.lexical.delete(chunk_ids)
    await tx.vectors(VectorKind.CHUNKS).delete(chunk_ids)
    return await fold.refold(tx, touched)


async def add_extractions(tx: Storage, extracted: Sequence[ExtractedChunk], fold: Folder) -> list[StaleText]:
    """Store what was found in chunks and fold it into the graph.

    Chunks that are gone by then (their document was updated or deleted) are left out.
    """
    live = await tx.kv(Namespace.TEXT_CHUNKS).get([item.chunk.id for item in extracted])
    kept = [item for item in extracted if item.chunk.id in live]
    if not kept:
        return []
    await tx.kv(Namespace.EXTRACTIONS).put({item.chunk.id: extraction_row(item) for item in kept})
    return await put_mentions(tx, kept, fold)


async def put_mentions(tx: Storage, extracted: Iterable[ExtractedChunk], fold: Folder) -> list[StaleText]:
    """Store the mentions of extractions and fold what they touch."""
    entities: list[EntityMention] = []
    relations: list[RelationMention] = []
    for item in extracted:
        more_entities, more_relations = mentions_of(item)
        entities += more_entities
        relations += more_relations
    return await fold.refold(tx, await tx.graph.put_mentions(entities, relations))


async def put_mentions_again(tx: Storage, chunk_ids: Sequence[str], fold: Folder) -> list[StaleText]:
    """Store the mentions of chunks from their kept extractions."""
    rows = await tx.kv(Namespace.EXTRACTIONS).get(chunk_ids)
    chunks = await tx.kv(Namespace.TEXT_CHUNKS).get(list(rows))
    said = [
        ExtractedChunk(
            chunk_of_row(key, chunk),
            extraction_from_row(rows[key]),
            rows[key]["created_at"],
            rows[key]["fingerprint"],
        )
        for key, chunk in chunks.items()
    ]
    return await put_mentions(tx, said, fold)


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """Folds the graph anew where mentions changed."""

    rules: FoldRules
    summarises: bool = False
    """Whether there is a model that will summarise long descriptions."""

    async def refold(self, tx: Storage, touched: Touched) -> list[StaleText]:
        """Bring nodes and edges in line with their mentions; return the vectors that became stale.

        Nodes and edges without mentions vanish, with their vectors.
        """
        names, pairs = sorted(touched.names), sorted(touched.pairs)
        if not names and not pairs:
            return []
        entities, relations = await self._fold(tx, names, pairs)
        stale = await self._write_entities(tx, names, entities)
        return stale + await self._write_relations(tx, pairs, relations)

    async def folded_entities(self, storage: Storage, names: Sequence[str]) -> dict[str, Entity]:
        """Return what the nodes ought to be; changes nothing."""
        evidence = await storage.graph.entity_evidence(names, self.rules.evidence_limit)
        drafts = {name: draft_entity(name, found, self.rules) for name, found in evidence.items()}
        summaries = await self._known(storage, [draft.need for draft in drafts.values() if draft.need])
        return {name: draft.resolved(summaries) for name, draft in drafts.items()}

    async def folded_relations(self, storage: Storage, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
        """Return what the edges ought to be; changes nothing."""
        evidence = await storage.graph.relation_evidence(pairs, self.rules.evidence_limit)
        drafts = {pair: draft_relation(pair, found, self.rules) for pair, found in evidence.items()}
        summaries = await self._known(storage, [draft.need for draft in drafts.values() if draft.need])
        return {pair: draft.resolved(summaries) for pair, draft in drafts.items()}

    async def _fold(
        self, tx: Storage, names: Sequence[str], pairs: Sequence[Pair]
    ) -> tuple[dict[str, Entity], dict[Pair, Relation]]:
        limit, rules = self.rules.evidence_limit, self.rules
        of_names = await tx.graph.entity_evidence(names, limit) if names else {}
        of_pairs = await tx.graph.relation_evidence(pairs, limit) if pairs else {}
        entities = {name: draft_entity(name, found, rules) for name, found in of_names.items()}
        relations = {pair: draft_relation(pair, found, rules) for pair, found in of_pairs.items()}
        needs: list[tuple[StaleKey, SummaryNeed]] = [
            (StaleKey(StaleKind.ENTITY_SUMMARY, name), draft.need) for name, draft in entities.items() if draft.need
        ]
        needs += [
            (StaleKey(StaleKind.RELATION_SUMMARY, key_of_pair(pair)), draft.need)
            for pair, draft in relations.items()
            if draft.need
        ]
        summaries = await self._known(tx, [need for _, need in needs])
        due: dict[str, JsonObject] = {str(key): {} for key, need in needs if need.key not in summaries}
        if self.summarises and due:
            await tx.kv(Namespace.STALE).put(due)
        return (
            {name: draft.resolved(summaries) for name, draft in entities.items()},
            {pair: draft.resolved(summaries) for pair, draft in relations.items()},
        )

    async def _known(self, storage: Storage, needs: Sequence[SummaryNeed]) -> dict[str, str]:
        if not needs:
            return {}
        rows = await storage.kv(Namespace.SUMMARIES).get([need.key for need in needs])
        return {key: row["text"] for key, row in rows.items()}

    async def _write_entities(
        self, tx: Storage, names: Sequence[str], entities: Mapping[str, Entity]
    ) -> list[StaleText]:
        old = await tx.graph.get_entities(names)
        changed = [entity for name, entity in entities.items() if old.get(name) != entity]
        await tx.graph.put_entities(changed)
        stale = [
            StaleText(StaleKey(StaleKind.ENTITY, entity.name), entity_vector_text(entity))
            for entity in changed
            if entity.name not in old or entity_vector_text(old[entity.name]) != entity_vector_text(entity)
        ]
        await _mark_stale(tx, stale)
        gone = [name for name in names if name not in entities]
        if gone:
            await tx.graph.delete_entities(gone)
            await tx.vectors(VectorKind.ENTITIES).delete(gone)
            await _forget_stale(tx, [StaleKind.ENTITY, StaleKind.ENTITY_SUMMARY], gone)
        return stale

    async def _write_relations(
        self, tx: Storage, pairs: Sequence[Pair], relations: Mapping[Pair, Relation]
    ) -> list[StaleText]:
        old = await tx.graph.get_relations(pairs)
        changed = [relation for pair, relation in relations.items() if old.get(pair) != relation]
        await tx.graph.put_relations(changed)
        stale = [
            StaleText(
                StaleKey(StaleKind.RELATION, key_of_pair(relation.pair)),
                relation_vector_text(relation),
            )
            for relation in changed
            if relation.pair not in old or relation_vector_text(old[relation.pair]) != relation_vector_text(relation)
        ]
        await _mark_stale(tx, stale)
        gone = [pair for pair in pairs if pair not in relations]
        if gone:
            await tx.graph.delete_relations(gone)
            keys = [key_of_pair(pair) for pair in gone]
            await tx.vectors(VectorKind.RELATIONS).delete(keys)
            await _forget_stale(tx, [StaleKind.RELATION, StaleKind.RELATION_SUMMARY], keys)
        return stale


async def _mark_stale(tx: Storage, stale: Sequence[StaleText]) -> None:
    if stale:
        await tx.kv(Namespace.STALE).put({str(item.key): {"hash": text_hash(item.text)} for item in stale})


async def _forget_stale(tx: Storage, kinds: Sequence[StaleKind], keys: Sequence[str]) -> None:
    await tx.kv(Namespace.STALE).delete([str(StaleKey(kind, key)) for kind in kinds for key in keys])
