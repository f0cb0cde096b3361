"""Takes one claimed document through its stages. Every stage may be cut short and run again."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from lightrag.errors import ContextTooLong, LimitReached, ModelError, ModelRefused, NotFound, UnusableAnswer
from lightrag.indexing.chunking_record import choice_of, used_metadata
from lightrag.indexing.contributions import (
    ExtractedChunk,
    add_chunks,
    add_extractions,
    extraction_from_row,
    move_chunks,
    put_mentions,
    remove_chunks,
)
from lightrag.indexing.extraction import Extractor
from lightrag.indexing.full_text import (
    StoredText,
    delete_text,
    md5_of,
    read_head,
    read_pieces,
    store_head,
    store_parts,
)
from lightrag.indexing.given import GRAPH, GivenExtractor, drop_given, is_given, read_given
from lightrag.indexing.given import KEY as GIVEN
from lightrag.indexing.group_commit import Withdrawn
from lightrag.indexing.intake import SUMMARY_CHARS, summary_of
from lightrag.indexing.job_tools import JobTools
from lightrag.indexing.payers import caller_of
from lightrag.indexing.pictures import LEFT, Illustrated
from lightrag.indexing.progress import now_iso
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText
from lightrag.indexing.vectorizer import Ticket, texts_of
from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.rows import chunk_of_row, key_of_pair
from lightrag.types import Chunk, ChunkingChoice, DocStatus, DocumentRecord, Extraction, ParsedDocument

T = TypeVar("T")

GROUP = 64
"""Chunks that are placed, removed or folded in one transaction."""


class Superseded(Withdrawn):
    """The document was changed, deleted, or cancelled meanwhile; whoever did that has the say."""


class DocumentJob:
    """Indexes or deletes one document."""

    def __init__(self, tools: JobTools, record: DocumentRecord, owner: str) -> None:
        self._tools = tools
        self._record = record
        self._owner = owner
        self.released = False
        """Whether the lease was given up with the last write."""
        self._tickets: list[Ticket] = []
        self._notes: list[str] = []
        self._pictures_failed: tuple[ModelError, ...] = ()
        self._started = int(time.time())
        self._extractor: Extractor = (
            GivenExtractor(tools.storage) if record.metadata.get(GIVEN) == GRAPH else tools.extractor
        )
        self._limit: LimitReached | None = None
        """The limit that was met: nothing more is begun."""
        self._opening: dict[str, Any] = {}
        """What is still to be written of the beginning; it goes with the first transaction."""

    async def index(self) -> str | None:
        """Bring what the document contributes in line with its text; return why some of it failed.

        Ends with status processed, or failed where chunks could not be extracted or embedded; what succeeded stays.
        Raises `Superseded`, or the `LightRAGError` that stopped it; `LimitReached` where the work of who brought it
        has to wait: what was paid for by then is stored.
        """
        created = int(datetime.fromisoformat(self._record.created_at).timestamp())
        begun_before = bool(self._record.chunks_list)
        self._tools.gate.opening += 1
        try:
            chosen = choice_of(self._record)
            choice = chosen or self._tools.chunkers.default
            self._opening = {"status": DocStatus.PROCESSING, "error_msg": None, "failed_chunks": ()}
            if chosen is None and not is_given(self._record):
                self._opening["metadata"] = {**self._record.metadata, **used_metadata(choice)}
            chunks = await self._chunk(choice, created)
        finally:
            self._tools.gate.opening -= 1
        self._tools.progress.chunks += len(chunks)
        failures = await self._extract(chunks, created)
        if begun_before:
            await self._offer_left_over()
        for ticket in self._tickets:
            await ticket.wait()
        return await self._finish(chunks, failures)

    async def _chunk(self, choice: ChunkingChoice, created: int) -> list[Chunk]:
        """Cut the text and place its chunks; return them, without their contents where there are many.

        A large text comes in pieces, and is held as a whole only where it is cut in another way than by its content.
        """
        await self._take_in()
        async with self._tools.gate.reading(self._record.content_length):
            return await self._cut(choice, created)

    async def _cut(self, choice: ChunkingChoice, created: int) -> list[Chunk]:
        head = await self._head()
        texts, doc_id = self._tools.storage.kv(Namespace.FULL_DOCS), self._record.id
        old = frozenset(self._record.chunks_list)
        placed: list[Chunk] = []
        cut = (
            read_given(self._tools.storage, self._record)
            if is_given(self._record)
            else self._tools.chunkers.cut(
                choice,
                read_pieces(texts, doc_id, head),
                doc_id=doc_id,
                file_path=self._record.file_path,
                pages=head.pages,
            )
        )
        async for chunks in cut:
            placed += await self._place(chunks, old, created)
        await self._remove_others(placed)
        return placed

    async def delete(self) -> None:
        """Take the document and all that it contributed out of the workspace."""
        await self._forget_pictures()
        for group in _groups(self._record.chunks_list):
            await self._forget_answers(group)
            await self._remove(group, deleting=True)
        # Before the row goes, or a crash between the two would leave a file that the next scan takes for a new one.
        if self._record.metadata.get("delete_file"):
            await self._tools.remove_file(self._record)

        async def forget(tx: Storage) -> None:
            await delete_text(tx.kv(Namespace.FULL_DOCS), self._record.id)
            await drop_given(tx.kv(Namespace.EDITS), self._record.id)
            await tx.documents.delete([self._record.id])

        await self._write(forget, deleting=True)
        self.released = True

    async def _forget_answers(self, chunk_ids: Sequence[str]) -> None:
        if self._tools.forget_answers is not None and self._record.metadata.get("delete_llm_cache"):
            rows = await self._tools.storage.kv(Namespace.TEXT_CHUNKS).get(chunk_ids)
            await self._tools.forget_answers([chunk_of_row(key, row) for key, row in rows.items()])

    async def _forget_pictures(self) -> None:
        if self._tools.illustrator is not None and self._record.metadata.get("delete_llm_cache"):
            head = await read_head(self._tools.storage.kv(Namespace.FULL_DOCS), self._record.id)
            if head is not None and head.pictures:
                await self._tools.illustrator.forget(head.pictures)

    async def fail(self, reason: str) -> None:
        """Record why the document could not be indexed."""
        await self._close(status=DocStatus.FAILED, error_msg=reason, metadata=self._report())

    async def _close(self, **changes: Any) -> None:
        """Write the last status and give up the lease with it."""

        async def close(tx: Storage) -> None:
            await self._put(tx, **changes)
            await tx.documents.release(self._owner, [self._record.id])

        await self._write(close)
        self.released = True

    async def _take_in(self) -> None:
        """Read the document's text from its file and store it, where that is not done yet."""
        record = self._record
        if record.source_file and (not record.content_hash or await self._has_pictures_left()):
            await self._update()
            illustrated = await self._parsed()
            parsed = illustrated.document
            self._notes += parsed.warnings
            self._pictures_failed = illustrated.failures
            content_hash, summary = await asyncio.to_thread(_facts_of, parsed)
            await store_parts(self._tools.storage.kv(Namespace.FULL_DOCS), record.id, parsed)
            if await self._write(lambda tx: self._keep_text(tx, illustrated, content_hash, summary)):
                raise Superseded

    async def _head(self) -> StoredText:
        """Return the head of the document's stored text."""
        doc_id = self._record.id
        head = await read_head(self._tools.storage.kv(Namespace.FULL_DOCS), doc_id)
        if head is None:
            raise NotFound(f"The text of document {doc_id} is missing from the store; insert the document again")
        return head

    async def _has_pictures_left(self) -> bool:
        """Tell whether pictures are to be described that an earlier run could not get described."""
        if not self._record.metadata.get(LEFT):
            return False
        if self._tools.sees is None or not await self._tools.sees():
            # What was described stays, although the model that did it is gone.
            self._notes.append(f"{self._record.metadata[LEFT]} picture(s) were not described: no model does so now.")
            return False
        return True

    async def _parsed(self) -> Illustrated:
        """Read the file, and have its pictures described where a model does so."""
        illustrator, sees = self._tools.illustrator, self._tools.sees
        if illustrator is None or sees is None or not await sees():
            return Illustrated(await self._tools.parse(self._record), ())
        async with illustrator.room:
            parsed = await self._tools.parse(self._record)
            return await illustrator.illustrate(parsed) if parsed.pictures else Illustrated(parsed, ())

    async def _keep_text(self, tx: Storage, illustrated: Illustrated, content_hash: str, summary: str) -> bool:
        """Store the text; return whether it turned out to be that of another document."""
        parsed = illustrated.document
        twin = await tx.documents.by_content_hash(content_hash)
        if twin is not None and twin.id != self._record.id and not twin.delete_requested:
            await self._put(tx, **self._duplicate_of(twin))
            return True
        texts, record = tx.kv(Namespace.FULL_DOCS), self._record
        await store_head(texts, record.id, parsed, record.file_path, illustrated.keys)
        changes: dict[str, Any] = {"content_hash": content_hash, "content_summary": summary}
        if illustrated.failures or LEFT in record.metadata:
            # With the text, so that also after a crash it is known that something is missing in it.
            changes["metadata"] = {**record.metadata, LEFT: len(illustrated.failures)}
        await self._put(tx, content_length=parsed.length, **changes)
        return False

    def _duplicate_of(self, twin: DocumentRecord) -> dict[str, Any]:
        return {
            "status": DocStatus.FAILED,
            "error_msg": f"Content already exists: the same text is document {twin.id} ({twin.file_path})",
            "metadata": {
                **self._report(),
                "is_duplicate": True,
                "original_doc_id": twin.id,
                "original_track_id": twin.track_id,
            },
        }

    async def _place(self, chunks: Sequence[Chunk], old: frozenset[str], created: int) -> list[Chunk]:
        """Store chunks, beside or in place of those of a former text; return what of them is still needed."""
        for added in _groups([chunk for chunk in chunks if chunk.id not in old]):
            await self._tools.vectorizer.room()
            await self._add(added)
        for kept in _groups([chunk for chunk in chunks if chunk.id in old]):
            await self._move(kept, created)
        if len(chunks) <= GROUP:
            return list(chunks)
        return [dataclasses.replace(chunk, content="") for chunk in chunks]

    async def _remove_others(self, chunks: Sequence[Chunk]) -> None:
        """Take out what a former text had and this one has not."""
        new = tuple(chunk.id for chunk in chunks)
        kept = frozenset(new)
        for group in _groups([key for key in self._record.chunks_list if key not in kept]):
            await self._remove(group)
        if self._opening or self._record.chunks_list != new:
            await self._update(chunks_list=new)

    async def _add(self, chunks: Sequence[Chunk]) -> None:
        async def add(tx: Storage) -> list[StaleText]:
            stale = await add_chunks(tx, chunks)
            await self._put(tx, chunks_list=(*self._record.chunks_list, *(chunk.id for chunk in chunks)))
            return stale

        self._offer(await self._write(add))

    async def _remove(self, chunk_ids: Sequence[str], *, deleting: bool = False) -> None:
        gone = set(chunk_ids)

        async def remove(tx: Storage) -> list[StaleText]:
            stale = await remove_chunks(tx, chunk_ids, self._tools.fold)
            await self._put(tx, chunks_list=tuple(key for key in self._record.chunks_list if key not in gone))
            return stale

        self._offer(await self._write(remove, deleting=deleting))

    async def _move(self, kept: Sequence[Chunk], created: int) -> None:
        rows = await self._tools.storage.kv(Namespace.TEXT_CHUNKS).get([chunk.id for chunk in kept])
        moved = [chunk for chunk in kept if chunk.id in rows and chunk_of_row(chunk.id, rows[chunk.id]) != chunk]
        if moved:
            self._offer(await self._write(lambda tx: self._moved(tx, moved, created)))

    async def _moved(self, tx: Storage, moved: Sequence[Chunk], created: int) -> list[StaleText]:
        await move_chunks(tx, moved)
        rows = await tx.kv(Namespace.EXTRACTIONS).get([chunk.id for chunk in moved])
        said = [
            ExtractedChunk(chunk, extraction_from_row(rows[chunk.id]), created, rows[chunk.id]["fingerprint"])
            for chunk in moved
            if chunk.id in rows
        ]
        return await put_mentions(tx, said, self._tools.fold)

    async def _extract(self, chunks: Sequence[Chunk], created: int) -> dict[str, ModelError]:
        """Extract the chunks that have not been; return the failures by chunk id."""
        missing = await self._missing(chunks)
        self._tools.progress.chunks_done += len(chunks) - len(missing)
        failures: dict[str, ModelError] = {}
        found: list[ExtractedChunk] = []
        finished: asyncio.Queue[tuple[Chunk, Extraction | Exception]] = asyncio.Queue()
        # A long document takes part of the gate only, so that short ones get through beside it.
        share = asyncio.Semaphore(self._tools.gate.width)
        tasks: list[asyncio.Task[None]] = []
        try:
            for number in range(1, len(missing) + 1):
                if self._limit is not None and number > len(tasks):
                    break
                if self._limit is None and len(tasks) < min(number + GROUP // 2, len(missing)):
                    loaded = await self._loaded(missing[len(tasks) : len(tasks) + GROUP])
                    tasks += (asyncio.create_task(self._extract_one(chunk, share, finished)) for chunk in loaded)
                chunk, outcome = await finished.get()
                self._tools.progress.chunks_done += 1
                if isinstance(outcome, LimitReached):
                    self._tools.progress.chunks_done -= 1
                    self._limit = outcome
                elif isinstance(outcome, ModelError):
                    failures[chunk.id] = outcome
                elif isinstance(outcome, Exception):
                    raise outcome
                else:
                    self._notes += (f"chunk {chunk.order + 1}: {note}" for note in outcome.notes)
                    found.append(ExtractedChunk(chunk, outcome, created, self._extractor.fingerprint))
                if len(found) >= GROUP or number == len(missing):
                    await self._commit(found)
                    found = []
                _stop_if_hopeless(failures)
            await self._commit(found)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._limit is not None:
            raise self._limit
        return failures

    async def _missing(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        known: set[str] = set()
        for group in _groups(chunks):
            known |= (await self._tools.storage.kv(Namespace.EXTRACTIONS).get([chunk.id for chunk in group])).keys()
        return [chunk for chunk in chunks if chunk.id not in known]

    async def _loaded(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Return chunks with their contents."""
        if all(chunk.content for chunk in chunks):
            return list(chunks)
        rows = await self._tools.storage.kv(Namespace.TEXT_CHUNKS).get([chunk.id for chunk in chunks])
        if len(rows) < len(chunks):
            raise Superseded
        return [chunk_of_row(chunk.id, rows[chunk.id]) for chunk in chunks]

    async def _extract_one(
        self, chunk: Chunk, share: asyncio.Semaphore, finished: asyncio.Queue[tuple[Chunk, Extraction | Exception]]
    ) -> None:
        outcome: Extraction | Exception
        try:
            async with share:
                outcome = await self._tools.gate.through(lambda: self._read(chunk))
        except UnusableAnswer as error:
            # Kept answers would be given again, and fail every retry.
            if self._tools.forget_answers is not None:
                await self._tools.forget_answers([chunk])
            outcome = error
        except Exception as error:
            outcome = error
        finished.put_nowait((chunk, outcome))

    async def _read(self, chunk: Chunk) -> Extraction:
        if self._limit is not None:
            raise self._limit
        return await self._extractor.extract(chunk)

    async def _commit(self, found: Sequence[ExtractedChunk]) -> None:
        if found:
            self._offer(await self._write(lambda tx: add_extractions(tx, found, self._tools.fold)))

    async def _offer_left_over(self) -> None:
        """Queue vectors that an earlier run of this document could not make."""
        storage = self._tools.storage
        for group in _groups(self._record.chunks_list):
            touched = await storage.graph.mentioned_by(group)
            keys = [
                *(StaleKey(StaleKind.CHUNK, key) for key in group),
                *(StaleKey(StaleKind.ENTITY, name) for name in touched.names),
                *(StaleKey(StaleKind.RELATION, key_of_pair(pair)) for pair in touched.pairs),
            ]
            stale = await storage.kv(Namespace.STALE).get([str(key) for key in keys])
            self._offer(await texts_of(storage, [key for key in keys if str(key) in stale]))

    async def _finish(self, chunks: Sequence[Chunk], failures: dict[str, ModelError]) -> str | None:
        if not failures and not self._pictures_failed:
            await self._close(status=DocStatus.PROCESSED, error_msg=None, metadata=self._report())
            if self._tools.settle_file is not None:
                await self._tools.settle_file(self._record)
            return None
        reason = self._reason(len(chunks), failures)
        await self._close(
            status=DocStatus.FAILED,
            failed_chunks=tuple(chunk.id for chunk in chunks if chunk.id in failures),
            error_msg=reason,
            metadata=self._report(),
        )
        return reason

    def _reason(self, chunks: int, failures: dict[str, ModelError]) -> str:
        said, only = [], []
        if failures:
            first = next(iter(failures.values()))
            said.append(f"{len(failures)} of {chunks} chunks could not be extracted: {first}.")
            only.append("chunks")
        if pictures := self._pictures_failed:
            said.append(f"{len(pictures)} picture(s) could not be described: {pictures[0]}.")
            only.append("pictures")
        said.append(
            f"What succeeded is in the graph; retry the failed documents to do only these {' and '.join(only)} again"
        )
        return " ".join(said)

    def _offer(self, stale: Sequence[StaleText]) -> None:
        if stale:
            self._tickets.append(self._tools.vectorizer.offer(stale, caller_of(self._record)))

    def _report(self) -> dict[str, Any]:
        report = {
            **self._record.metadata,
            "processing_start_time": self._started,
            "processing_end_time": int(time.time()),
        }
        report.pop("warnings", None)
        if not self._pictures_failed:
            report.pop(LEFT, None)
        return {**report, "warnings": self._notes[:20]} if self._notes else report

    async def _update(self, **changes: Any) -> None:
        await self._write(lambda tx: self._put(tx, **changes))

    async def _put(self, tx: Storage, **changes: Any) -> None:
        self._record = self._record.replace(updated_at=now_iso(), **(self._opening | changes))
        await tx.documents.put([self._record])

    async def _write(self, work: Callable[[Storage], Awaitable[T]], *, deleting: bool = False) -> T:
        """Do some work in a transaction in which this job still has the say over the document."""
        before = self._record

        async def checked(tx: Storage) -> T:
            self._record = before
            current = (await tx.documents.get([before.id])).get(before.id)
            if current is None or current.delete_requested != deleting or not _same_version(current, before):
                raise Superseded
            return await work(tx)

        try:
            result = await self._tools.commits.run(checked)
        except BaseException:
            self._record = before
            raise
        if self._record is not before:
            self._opening = {}
        return result


def _same_version(current: DocumentRecord, mine: DocumentRecord) -> bool:
    def version(record: DocumentRecord) -> tuple[str, str]:
        # A row that an update or a retry put in is pending and has another text, file, or time.
        return (record.content_hash, record.source_hash)

    return version(current) == version(mine) and current.updated_at == mine.updated_at


def _facts_of(document: ParsedDocument) -> tuple[str, str]:
    """Return the hash of a text and its beginning for lists. Blocking."""
    return md5_of(document), summary_of(next(document.pieces(SUMMARY_CHARS + 1), ""))


def _stop_if_hopeless(failures: dict[str, ModelError]) -> None:
    """Raise a refusal that every other chunk would meet as well."""
    for error in failures.values():
        if isinstance(error, ModelRefused) and not isinstance(error, ContextTooLong):
            raise error


def _groups(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), GROUP):
        yield items[start : start + GROUP]
