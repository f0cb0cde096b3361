"""Compares derived data with what it is derived from, and mends it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from lightrag.indexing.contributions import Folder, put_mentions_again, remove_chunks
from lightrag.indexing.fold import entity_vector_text, relation_vector_text, text_hash
from lightrag.indexing.progress import now_iso
from lightrag.indexing.rebuilding import rebuild_graph
from lightrag.indexing.stale import StaleKey, StaleKind
from lightrag.storage.contracts import Disagreements, Namespace, Storage, Touched, VectorKind
from lightrag.storage.rows import chunk_of_row, key_of_pair
from lightrag.text.words import index_terms
from lightrag.types import Chunk, DocStatus, DocumentRecord, JsonObject, Pair

T = TypeVar("T")

PAGE = 500
SHOWN = 50
"""Problems that are spelled out; the rest is counted."""


@dataclasses.dataclass(slots=True)
class VerifyReport:
    """What was compared and what does not agree."""

    documents: int = 0
    chunks: int = 0
    entities: int = 0
    relations: int = 0
    vectors: int = 0
    stale: int = 0
    """Vectors and summaries that are known to be due; the pipeline makes them."""
    problem_count: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    repaired: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return self.problem_count == 0

    def note(self, problem: str) -> None:
        """Count a problem."""
        self.problem_count += 1
        if len(self.problems) < SHOWN:
            self.problems.append(problem)


@dataclasses.dataclass(slots=True)
class _Findings:
    """What to mend, by kind."""

    report: VerifyReport
    touched_names: set[str] = dataclasses.field(default_factory=set)
    touched_pairs: set[Pair] = dataclasses.field(default_factory=set)
    orphan_chunks: list[str] = dataclasses.field(default_factory=list)
    unindexed_chunks: list[Chunk] = dataclasses.field(default_factory=list)
    surplus_passages: list[str] = dataclasses.field(default_factory=list)
    unmentioned_chunks: list[str] = dataclasses.field(default_factory=list)
    missing_vectors: list[tuple[StaleKey, str]] = dataclasses.field(default_factory=list)
    surplus_vectors: list[tuple[VectorKind, str]] = dataclasses.field(default_factory=list)
    broken_documents: dict[str, DocumentRecord] = dataclasses.field(default_factory=dict)
    unlisted_chunks: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """By the id of the document that they are of, and that does not know them."""
    disagreements: Disagreements = dataclasses.field(default_factory=Disagreements)


class Verifier:
    """Checks one workspace. Run it when no document is being worked on, or it may report what is under way."""

    def __init__(self, storage: Storage, fold: Folder) -> None:
        self._storage = storage
        self._fold = fold

    async def verify(self) -> VerifyReport:
        """Return what does not agree; changes nothing."""
        return (await self._compare()).report

    async def repair(self) -> VerifyReport:
        """Mend what does not agree: fold again, remove orphans, list missing vectors as stale.

        Where tables contradict each other, the graph is built anew from what was found in chunks. The report tells
        the state before; `repaired` counts what was mended. Vectors are made by the pipeline.
        """
        before = await self._compare()
        found = before
        for kind in VectorKind:
            useless = [key for of, key in before.disagreements.vectors if of == kind]
            await self._storage.vectors(kind).delete(useless)
        if before.disagreements.indexes:
            await self._storage.mend_indexes()
        if before.disagreements.graph:
            await rebuild_graph(self._storage, self._fold)
            found = await self._compare()
        await self._mend(found)
        before.report.repaired = before.report.problem_count
        return before.report

    async def _mend(self, found: _Findings) -> None:
        for orphans in _pages(found.orphan_chunks):
            await self._remove(orphans)
        if self._storage.lexical is not None:
            await self._storage.lexical.delete(found.surplus_passages)
            for chunks in _pages(found.unindexed_chunks):
                await self._storage.lexical.put({chunk.id: index_terms(chunk.content) for chunk in chunks})
        for keys in _pages(found.unmentioned_chunks):
            async with self._storage.transaction() as tx:
                await put_mentions_again(tx, keys, self._fold)
        for names in _pages(sorted(found.touched_names)):
            async with self._storage.transaction() as tx:
                await self._fold.refold(tx, Touched(frozenset(names), frozenset()))
        for pairs in _pages(sorted(found.touched_pairs)):
            async with self._storage.transaction() as tx:
                await self._fold.refold(tx, Touched(frozenset(), frozenset(pairs)))
        for missing in _pages(found.missing_vectors):
            await self._storage.kv(Namespace.STALE).put({str(key): {"hash": digest} for key, digest in missing})
        for kind in VectorKind:
            surplus = [key for of, key in found.surplus_vectors if of == kind]
            await self._storage.vectors(kind).delete(surplus)
        for record in found.broken_documents.values():
            await self._index_again(record, found.unlisted_chunks.get(record.id, []))

    async def list_all_vectors(self) -> int:
        """List every vector of the workspace as stale; return how many."""
        due: dict[str, JsonObject] = {}
        found = _Findings(VerifyReport())
        expected = await self._check_chunks(found, await self._check_documents(found))
        expected |= await self._check_entities(found)
        expected |= await self._check_relations(found)
        due = {str(key): {"hash": digest} for key, digest in expected.items()}
        for keys in _pages(list(due)):
            await self._storage.kv(Namespace.STALE).put({key: due[key] for key in keys})
        return len(due)

    async def _index_again(self, record: DocumentRecord, unlisted: Sequence[str]) -> None:
        """Let the pipeline place the chunks that are missing; what was found in them is not asked for again."""
        if record.delete_requested:
            return
        live = await self._storage.kv(Namespace.TEXT_CHUNKS).get(record.chunks_list)
        record = record.replace(
            chunks_list=(*(key for key in record.chunks_list if key in live), *unlisted), updated_at=now_iso()
        )
        if record.status is DocStatus.PROCESSED:
            record = record.replace(status=DocStatus.PENDING, error_msg=None)
        await self._storage.documents.put([record])

    async def _remove(self, chunk_ids: Sequence[str]) -> None:
        async with self._storage.transaction() as tx:
            await remove_chunks(tx, chunk_ids, self._fold)

    async def _compare(self) -> _Findings:
        found = _Findings(VerifyReport())
        found.disagreements = await self._storage.check()
        for problem in (*found.disagreements.graph, *found.disagreements.indexes):
            found.report.note(problem)
        for vector_kind, key in found.disagreements.vectors:
            found.report.note(f"vector of {vector_kind} {key!r} is not one that an embedding model gave")
        stale = {key async for key, _ in _rows(self._storage, Namespace.STALE)}
        found.report.stale = len(stale)
        owned = await self._check_documents(found)
        expected = await self._check_chunks(found, owned)
        expected |= await self._check_entities(found)
        expected |= await self._check_relations(found)
        await self._check_made_by_hand(found)
        await self._check_vectors(found, expected, stale)
        return found

    async def _check_documents(self, found: _Findings) -> dict[str, str]:
        owned: dict[str, str] = {}
        offset = 0
        while True:
            rows, total = await self._storage.documents.page(
                offset=offset, limit=PAGE, sort="created_at", descending=False
            )
            for record in rows:
                found.report.documents += 1
                owned.update(dict.fromkeys(record.chunks_list, record.id))
                live = await self._storage.kv(Namespace.TEXT_CHUNKS).get(record.chunks_list)
                missing = len(record.chunks_list) - len(live)
                if missing and record.status is DocStatus.PROCESSED:
                    found.report.note(f"document {record.id} ({record.file_path}): {missing} chunks are missing")
                    found.broken_documents[record.id] = record
            files = [record for record in rows if record.source_file and record.status is DocStatus.PROCESSED]
            await self._check_texts(found, files)
            offset += len(rows)
            if not rows or offset >= total:
                return owned

    async def _check_texts(self, found: _Findings, records: Sequence[DocumentRecord]) -> None:
        """Look for documents whose text is gone, and whose files can be read again."""
        for group in _pages(records):
            kept = await self._storage.kv(Namespace.FULL_DOCS).get([record.id for record in group])
            for record in group:
                if record.id not in kept:
                    found.report.note(f"document {record.id} ({record.file_path}): its text is missing")
                    found.broken_documents[record.id] = record.replace(content_hash="")

    async def _check_chunks(self, found: _Findings, owned: dict[str, str]) -> dict[StaleKey, str]:
        expected: dict[StaleKey, str] = {}
        passages = await self._passages()
        surplus, missing = set(passages or ()), 0
        async for key, row in _rows(self._storage, Namespace.TEXT_CHUNKS):
            chunk = chunk_of_row(key, row)
            found.report.chunks += 1
            is_found = passages is None or key in passages
            missing += not is_found
            surplus.discard(key)
            if owned.get(key) != chunk.doc_id and not await self._is_unlisted(found, owned, chunk):
                found.report.note(f"chunk {key}: no document claims it")
                found.orphan_chunks.append(key)
                continue
            expected[StaleKey(StaleKind.CHUNK, key)] = text_hash(chunk.content)
            # Where the index is unsound, none of its entries is trusted.
            if passages is not None and (not is_found or found.disagreements.indexes):
                found.unindexed_chunks.append(chunk)
        if missing or surplus:
            found.report.note(f"the text index lacks {missing} chunks and holds {len(surplus)} that are gone")
        found.surplus_passages += sorted(surplus)
        await self._check_extractions(found, owned)
        return expected

    async def _is_unlisted(self, found: _Findings, owned: dict[str, str], chunk: Chunk) -> bool:
        """Note a chunk whose document is there and does not know it; return whether it is one."""
        if chunk.id in owned:
            return False
        record = (await self._storage.documents.get([chunk.doc_id])).get(chunk.doc_id)
        if record is None or record.delete_requested:
            return False
        found.report.note(f"document {record.id} ({record.file_path}) does not list its chunk {chunk.id}")
        found.broken_documents[record.id] = record
        found.unlisted_chunks.setdefault(record.id, []).append(chunk.id)
        owned[chunk.id] = record.id
        return True

    async def _passages(self) -> set[str] | None:
        """Return the chunks that can be found by their words; None where there is no text index."""
        lexical = self._storage.lexical
        if lexical is None:
            return None
        indexed: set[str] = set()
        after = ""
        while keys := await lexical.scan(after=after, limit=PAGE):
            after = keys[-1]
            indexed.update(keys)
        return indexed

    async def _check_extractions(self, found: _Findings, owned: dict[str, str]) -> None:
        overlay = await self._fold.overlays.current(self._storage)
        async for key, row in _rows(self._storage, Namespace.EXTRACTIONS):
            if key not in owned:
                # What LightRAG's graph says of sources that never were chunks has a source of its own.
                if "source" not in row:
                    found.report.note(f"extraction of chunk {key}: no document claims it")
                    found.orphan_chunks.append(key)
                continue
            names = {overlay.fate(fields[0]).name for fields in row["entities"]} - {None}
            pairs = {overlay.fate_of_pair((fields[0], fields[1])).pair for fields in row["relations"]} - {None}
            if not names and not pairs and not overlay.alters_mentions:
                continue
            mentioned = await self._storage.graph.mentioned_by([key])
            if not (names <= mentioned.names and pairs <= mentioned.pairs):
                found.report.note(f"chunk {key}: what it says is missing from the graph")
                found.unmentioned_chunks.append(key)
            elif mentioned.names - names or mentioned.pairs - pairs:
                found.report.note(f"chunk {key}: the graph has it say what it does not")
                found.unmentioned_chunks.append(key)

    async def _check_entities(self, found: _Findings) -> dict[StaleKey, str]:
        graph, expected = self._storage.graph, {}
        after = ""
        while rows := await graph.scan_entities(after=after, limit=PAGE):
            after = rows[-1].name
            folded = await self._fold.folded_entities(self._storage, [entity.name for entity in rows])
            for entity in rows:
                found.report.entities += 1
                if folded.get(entity.name) != entity:
                    found.report.note(f"entity {entity.name!r} does not agree with its mentions")
                    found.touched_names.add(entity.name)
                expected[StaleKey(StaleKind.ENTITY, entity.name)] = text_hash(entity_vector_text(entity))
        after = ""
        while names := await graph.scan_mention_keys(after=after, limit=PAGE):
            after = names[-1]
            known = await graph.get_entities(names)
            for name in names:
                if name not in known:
                    found.report.note(f"entity {name!r} is mentioned but missing")
                    found.touched_names.add(name)
        return expected

    async def _check_relations(self, found: _Findings) -> dict[StaleKey, str]:
        graph, expected = self._storage.graph, {}
        after: Pair | None = None
        while rows := await graph.scan_relations(after=after, limit=PAGE):
            after = rows[-1].pair
            folded = await self._fold.folded_relations(self._storage, [relation.pair for relation in rows])
            for relation in rows:
                found.report.relations += 1
                if folded.get(relation.pair) != relation:
                    found.report.note(f"relation {relation.source!r} — {relation.target!r} does not agree")
                    found.touched_pairs.add(relation.pair)
                key = StaleKey(StaleKind.RELATION, key_of_pair(relation.pair))
                expected[key] = text_hash(relation_vector_text(relation))
        after = None
        while pairs := await graph.scan_mention_pairs(after=after, limit=PAGE):
            after = pairs[-1]
            known = await graph.get_relations(pairs)
            for pair in pairs:
                if pair not in known:
                    found.report.note(f"relation {pair[0]!r} — {pair[1]!r} is mentioned but missing")
                    found.touched_pairs.add(pair)
        return expected

    async def _check_made_by_hand(self, found: _Findings) -> None:
        """Look for what manual edits made: no document mentions it, so that its absence shows nowhere else."""
        overlay, graph = await self._fold.overlays.current(self._storage), self._storage.graph
        pairs = [pair for pair, record in overlay.relations.items() if record.created]
        names = {name for name, record in overlay.entities.items() if record.created}
        names.update(end for pair in pairs for end in pair)
        for part in _pages(sorted(names)):
            known = await graph.get_entities(part)
            for name in part:
                if name not in known and name not in found.touched_names:
                    found.report.note(f"entity {name!r} was made by hand but is missing")
                    found.touched_names.add(name)
        for edges in _pages(sorted(pairs)):
            there = await graph.get_relations(edges)
            for pair in edges:
                if pair not in there and pair not in found.touched_pairs:
                    found.report.note(f"relation {pair[0]!r} — {pair[1]!r} was made by hand but is missing")
                    found.touched_pairs.add(pair)

    async def _check_vectors(self, found: _Findings, expected: dict[StaleKey, str], stale: set[str]) -> None:
        kinds = {
            VectorKind.CHUNKS: StaleKind.CHUNK,
            VectorKind.ENTITIES: StaleKind.ENTITY,
            VectorKind.RELATIONS: StaleKind.RELATION,
        }
        useless = set(found.disagreements.vectors)
        for vector_kind, kind in kinds.items():
            after = ""
            while rows := await self._storage.vectors(vector_kind).scan(after=after, limit=PAGE):
                after = rows[-1][0]
                for stored, digest in rows:
                    found.report.vectors += 1
                    key = StaleKey(kind, stored)
                    wanted = expected.pop(key, None)
                    if wanted is None:
                        found.report.note(f"vector of {vector_kind} {stored!r} stands for nothing")
                        found.surplus_vectors.append((vector_kind, stored))
                    elif (vector_kind, stored) in useless:
                        found.missing_vectors.append((key, wanted))
                    elif wanted != digest and str(key) not in stale:
                        found.report.note(f"vector of {vector_kind} {stored!r} is outdated")
                        found.missing_vectors.append((key, wanted))
        for key, wanted in expected.items():
            if str(key) not in stale:
                found.report.note(f"vector of {kinds_name(key.kind)} {key.key!r} is missing")
                found.missing_vectors.append((key, wanted))


def kinds_name(kind: StaleKind) -> str:
    """Return the word for what a vector stands for."""
    return {StaleKind.CHUNK: "chunk", StaleKind.ENTITY: "entity", StaleKind.RELATION: "relation"}.get(kind, kind.value)


async def _rows(storage: Storage, namespace: Namespace) -> AsyncIterator[tuple[str, JsonObject]]:
    after = ""
    while rows := await storage.kv(namespace).scan(after=after, limit=PAGE):
        after = rows[-1][0]
        for row in rows:
            yield row


def _pages(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + 64] for start in range(0, len(items), 64)]
