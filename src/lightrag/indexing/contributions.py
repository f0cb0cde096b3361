"""What a document contributes to a workspace, and the only ways in which that changes.

Inserting, updating and deleting are one operation: replace what a document contributed by something else, then fold
again the names and pairs that were touched. Every function runs inside one storage transaction and leaves derived
data either right or listed as stale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from lightrag.indexing.arrivals import Arrivals, grown_entities, grown_relations
from lightrag.indexing.derivation import Derived, derive
from lightrag.indexing.derivation import ExtractedChunk as ExtractedChunk
from lightrag.indexing.edits import drop_traces, put_traces
from lightrag.indexing.fold import (
    Draft,
    FoldRules,
    SummaryNeed,
    draft_entity,
    draft_relation,
    entity_vector_text,
    relation_vector_text,
    text_hash,
)
from lightrag.indexing.overlay import Overlay
from lightrag.indexing.overlays import Overlays
from lightrag.indexing.records import EntityRecord, RelationRecord, join_entities
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText, stale_row
from lightrag.storage.contracts import EntityEvidence, Namespace, RelationEvidence, Storage, Touched, VectorKind
from lightrag.storage.rows import chunk_of_row, chunk_row, key_of_pair
from lightrag.text.words import index_terms
from lightrag.types import (
    Chunk,
    Entity,
    ExtractedEntity,
    ExtractedRelation,
    Extraction,
    JsonObject,
    Pair,
    Relation,
)


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
    overlay = await fold.overlays.current(tx)
    if overlay.alters_mentions:
        await drop_traces(tx.kv(Namespace.EDITS), chunk_ids)
    touched = await tx.graph.delete_mentions(chunk_ids)
    await tx.kv(Namespace.TEXT_CHUNKS).delete(chunk_ids)
    await tx.kv(Namespace.EXTRACTIONS).delete(chunk_ids)
    await tx.kv(Namespace.SPARSE).delete(chunk_ids)
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
    """Store what extractions become under the manual edits, and fold what they touch."""
    overlay = await fold.overlays.current(tx)
    derived = [derive(item, overlay) for item in extracted]
    touched = await store_derived(tx, derived, overlay)
    return await fold.refold_under(tx, touched, overlay, Arrivals.of(derived))


async def store_derived(tx: Storage, derived: Sequence[Derived], overlay: Overlay) -> Touched:
    """Store mentions, with a note of the edits that made them what they are; return the keys."""
    if overlay.alters_mentions:
        await put_traces(tx.kv(Namespace.EDITS), {item.chunk_id: item.edits for item in derived})
    return await tx.graph.put_mentions(
        [mention for item in derived for mention in item.entities],
        [mention for item in derived for mention in item.relations],
    )


async def put_mentions_again(tx: Storage, chunk_ids: Sequence[str], fold: Folder) -> list[StaleText]:
    """Store the mentions of chunks from their kept extractions, in place of those that are there."""
    overlay = await fold.overlays.current(tx)
    before = await tx.graph.delete_mentions(chunk_ids)
    derived = [derive(item, overlay) for item in await kept_extractions(tx, chunk_ids)]
    after = await store_derived(tx, derived, overlay)
    return await fold.refold(tx, Touched(before.names | after.names, before.pairs | after.pairs))


async def kept_extractions(tx: Storage, chunk_ids: Sequence[str]) -> list[ExtractedChunk]:
    """Return what was found in those of the chunks that have been extracted."""
    rows = await tx.kv(Namespace.EXTRACTIONS).get(chunk_ids)
    chunks = await tx.kv(Namespace.TEXT_CHUNKS).get(list(rows))
    found = {key: chunk_of_row(key, row) for key, row in chunks.items()}
    for key, row in rows.items():
        if key not in found and "source" in row:
            # A source in LightRAG's graph that is no chunk, such as its word for what was made by hand.
            doc_id, order, file_path = row["source"]
            found[key] = Chunk(key, doc_id, order, "", 0, 0, 0, file_path)
    return [
        ExtractedChunk(chunk, extraction_from_row(rows[key]), rows[key]["created_at"], rows[key]["fingerprint"])
        for key, chunk in found.items()
    ]


def _never() -> bool:
    return False


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """Folds the graph anew where mentions changed."""

    rules: FoldRules
    summarises: Callable[[], bool] = _never
    """Tells whether there is a model that will summarise long descriptions."""
    overlays: Overlays = dataclasses.field(default_factory=Overlays)
    """The manual edits of the workspace."""

    async def refold(self, tx: Storage, touched: Touched) -> list[StaleText]:
        """Bring nodes and edges in line with their mentions and the edits; return the vectors that became stale.

        Nodes and edges that are neither mentioned nor made by hand vanish, with their vectors.
        """
        return await self.refold_under(tx, touched, await self.overlays.current(tx))

    async def refold_under(
        self, tx: Storage, touched: Touched, overlay: Overlay, arrivals: Arrivals | None = None
    ) -> list[StaleText]:
        """Do as `refold`, under edits that are not committed yet.

        With `arrivals`, these are all that happened to the touched keys; what that cannot have changed but for its
        totals is not folded again.
        """
        names, pairs = sorted(touched.names), sorted(touched.pairs)
        if not names and not pairs:
            return []
        nodes, edges = await tx.graph.get_entities(names), await tx.graph.get_relations(pairs)
        entities: dict[str, Entity] = {}
        relations: dict[Pair, Relation] = {}
        if arrivals is not None:
            limit = self.rules.evidence_limit
            entities = await grown_entities(tx, arrivals.nodes_beside(nodes, overlay.entities, limit), limit)
            relations = await grown_relations(tx, arrivals.edges_beside(edges, overlay.relations, limit), limit)
        folded_entities, folded_relations = await self._fold(
            tx,
            [name for name in names if name not in entities],
            [pair for pair in pairs if pair not in relations],
            overlay,
        )
        stale = await self._write_entities(tx, names, nodes, entities | folded_entities)
        return stale + await self._write_relations(tx, pairs, edges, relations | folded_relations)

    async def folded_entities(self, storage: Storage, names: Sequence[str]) -> dict[str, Entity]:
        """Return what the nodes ought to be; changes nothing."""
        drafts = await self.entity_drafts(storage, names, await self.overlays.current(storage))
        summaries = await self._known(storage, [draft.need for draft in drafts.values() if draft.need])
        return {name: draft.resolved(summaries) for name, draft in drafts.items()}

    async def folded_relations(self, storage: Storage, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
        """Return what the edges ought to be; changes nothing."""
        drafts = await self.relation_drafts(storage, pairs, await self.overlays.current(storage))
        summaries = await self._known(storage, [draft.need for draft in drafts.values() if draft.need])
        return {pair: draft.resolved(summaries) for pair, draft in drafts.items()}

    async def entity_drafts(self, storage: Storage, names: Sequence[str], overlay: Overlay) -> dict[str, Draft[Entity]]:
        """Return the nodes that there ought to be, with what ought to be summarised of them."""
        evidence = await storage.graph.entity_evidence(names, self.rules.reach) if names else {}
        if not overlay.has_records:
            return {name: draft_entity(name, found, self.rules) for name, found in evidence.items()}
        drafts: dict[str, Draft[Entity]] = {}
        for name in names:
            found, record = evidence.get(name), overlay.entities.get(name, EntityRecord())
            if found is None and not record.created:
                stub = overlay.stub(name)
                if stub is None:
                    continue
                record = join_entities([record, stub])
            drafts[name] = draft_entity(name, found or EntityEvidence(0, ()), self.rules, record)
        return drafts

    async def relation_drafts(
        self, storage: Storage, pairs: Sequence[Pair], overlay: Overlay
    ) -> dict[Pair, Draft[Relation]]:
        """Return the edges that there ought to be, with what ought to be summarised of them."""
        evidence = await storage.graph.relation_evidence(pairs, self.rules.reach) if pairs else {}
        if not overlay.has_records:
            return {pair: draft_relation(pair, found, self.rules) for pair, found in evidence.items()}
        drafts: dict[Pair, Draft[Relation]] = {}
        for pair in pairs:
            found, record = evidence.get(pair), overlay.relations.get(pair, RelationRecord())
            if found is not None or record.created:
                drafts[pair] = draft_relation(pair, found or RelationEvidence(0, 0.0, ()), self.rules, record)
        return drafts

    async def _fold(
        self, tx: Storage, names: Sequence[str], pairs: Sequence[Pair], overlay: Overlay
    ) -> tuple[dict[str, Entity], dict[Pair, Relation]]:
        entities = await self.entity_drafts(tx, names, overlay)
        relations = await self.relation_drafts(tx, pairs, overlay)
        needs: list[tuple[StaleKey, SummaryNeed]] = [
            (StaleKey(StaleKind.ENTITY_SUMMARY, name), draft.need) for name, draft in entities.items() if draft.need
        ]
        needs += [
            (StaleKey(StaleKind.RELATION_SUMMARY, key_of_pair(pair)), draft.need)
            for pair, draft in relations.items()
            if draft.need
        ]
        summaries = await self._known(tx, [need for _, need in needs])
        due: dict[str, JsonObject] = {str(key): stale_row() for key, need in needs if need.key not in summaries}
        if self.summarises() and due:
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
        self, tx: Storage, names: Sequence[str], old: Mapping[str, Entity], entities: Mapping[str, Entity]
    ) -> list[StaleText]:
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
        self, tx: Storage, pairs: Sequence[Pair], old: Mapping[Pair, Relation], relations: Mapping[Pair, Relation]
    ) -> list[StaleText]:
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
        await tx.kv(Namespace.STALE).put({str(item.key): stale_row(hash=text_hash(item.text)) for item in stale})


async def _forget_stale(tx: Storage, kinds: Sequence[StaleKind], keys: Sequence[str]) -> None:
    await tx.kv(Namespace.STALE).delete([str(StaleKey(kind, key)) for kind in kinds for key in keys])
