"""Status rows and leases."""

from __future__ import annotations

import heapq
import time
from collections.abc import Collection, Iterable, Sequence

from lightrag.storage.contracts import SortField
from lightrag.storage.files.rows import copied_record
from lightrag.storage.files.session import Session
from lightrag.storage.files.state import State
from lightrag.storage.files.table import Table
from lightrag.storage.filters import admits, is_open
from lightrag.types import DocStatus, DocumentFilter, DocumentRecord

Mark = tuple[str, str]
"""A field by which documents are looked for, and its value."""
DELETING: Mark = ("delete_requested", "")


def marks_of(record: DocumentRecord) -> set[Mark]:
    """Return everything by which a document is found."""
    marks = {("track_id", record.track_id), ("file_path", record.file_path), status_mark(record.status)}
    marks |= {("hash", value) for value in (record.content_hash, record.source_hash) if value}
    return marks | {DELETING} if record.delete_requested else marks


def status_mark(status: DocStatus) -> Mark:
    """Return the mark of a status."""
    return ("status", status.value)


class DocumentIndex:
    """Ids of documents by mark; follows the bottom table of documents."""

    def __init__(self) -> None:
        self._ids: dict[Mark, set[str]] = {}

    def change(self, before: Table[str, DocumentRecord], layer: Table[str, DocumentRecord]) -> None:
        """Take in the changes of a layer over `before`, which does not hold them yet."""
        for id in (*layer.gone, *layer.changed):
            old = before.get(id)
            for mark in marks_of(old) if old is not None else ():
                self._ids[mark].discard(id)
                if not self._ids[mark]:
                    del self._ids[mark]
        for id, record in layer.changed.items():
            for mark in marks_of(record):
                self._ids.setdefault(mark, set()).add(id)

    def ids(self, mark: Mark) -> Collection[str]:
        """Return the ids with this mark; not to be changed by the caller."""
        return self._ids.get(mark, ())


class FileDocuments:
    """Status rows and leases of one session."""

    def __init__(self, session: Session, index: DocumentIndex) -> None:
        self._session = session
        self._index = index

    async def put(self, records: Sequence[DocumentRecord]) -> None:
        """Insert or replace rows; leases are kept."""
        copies = [copied_record(record) for record in records]

        def work(state: State) -> None:
            for record in copies:
                state.documents.put(record.id, record)

        await self._session.write(work)

    async def get(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Return rows by id."""
        found = ((id, self._rows.get(id)) for id in ids)
        return {id: copied_record(record) for id, record in found if record is not None}

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove rows and their leases."""
        wanted = list(ids)

        def work(state: State) -> None:
            for id in wanted:
                state.documents.remove(id)
                state.leases.remove(id)

        await self._session.write(work)

    async def by_track_id(self, track_id: str) -> list[DocumentRecord]:
        """Return the rows of one request, by creation."""
        rows = sorted(self._marked(self._session.state, [("track_id", track_id)]), key=_age)
        return [copied_record(record) for record in rows]

    async def by_file_path(self, file_path: str) -> DocumentRecord | None:
        """Return the oldest row of this path, if any."""
        return self._oldest(("file_path", file_path))

    async def by_content_hash(self, content_hash: str) -> DocumentRecord | None:
        """Return the oldest row with this text or file hash, if any."""
        return self._oldest(("hash", content_hash)) if content_hash else None

    async def counts(self) -> dict[DocStatus, int]:
        """Return the number of rows per status; statuses without rows are absent."""
        counts = {status: len(self._marked(self._session.state, [status_mark(status)])) for status in DocStatus}
        return {status: count for status, count in counts.items() if count}

    async def count_due(self, statuses: Collection[DocStatus]) -> int:
        """Return the number of rows that are of `statuses` or to be deleted, leased or not."""
        return len(self._marked(self._session.state, [*(status_mark(status) for status in statuses), DELETING]))

    async def page(
        self,
        *,
        statuses: Collection[DocStatus] | None = None,
        offset: int = 0,
        limit: int = 50,
        sort: SortField = "updated_at",
        descending: bool = True,
    ) -> tuple[list[DocumentRecord], int]:
        """Return one page of rows and the number of all that match; ties by id."""
        if statuses is None:
            rows = [record for _, record in self._rows.items()]
        else:
            rows = self._marked(self._session.state, [status_mark(status) for status in statuses])
        rows.sort(key=lambda record: (getattr(record, sort), record.id), reverse=descending)
        return [copied_record(record) for record in rows[offset : offset + limit]], len(rows)

    async def matching(self, filter: DocumentFilter) -> set[str]:
        """Return the ids of documents that a non-empty filter admits."""
        if filter.doc_ids:
            wanted = ((id, self._rows.get(id)) for id in filter.doc_ids)
            rows: Iterable[tuple[str, DocumentRecord]] = [(id, record) for id, record in wanted if record is not None]
        else:
            rows = self._rows.items()
        return {id for id, record in rows if admits(filter, id, record.file_path, record.tags)}

    async def claim(
        self,
        owner: str,
        *,
        limit: int,
        lease_seconds: float,
        statuses: Collection[DocStatus],
        not_of: Collection[str] = (),
    ) -> list[DocumentRecord]:
        """Lease up to `limit` unleased documents, oldest first: those of `statuses` and those to be deleted.

        Documents that one of `not_of` brought (see `lightrag.types.BROUGHT_BY`) are left alone, but for deletion.
        """
        marks = [*(status_mark(status) for status in statuses), DELETING]

        def work(state: State) -> list[DocumentRecord]:
            now = time.time()
            free = (
                record
                for record in self._marked(state, marks)
                if (is_open(record, statuses, not_of) or record.delete_requested)
                and ((lease := state.leases.get(record.id)) is None or lease[1] <= now)
            )
            claimed = heapq.nsmallest(limit, free, key=_age)
            for record in claimed:
                state.leases.put(record.id, (owner, now + lease_seconds))
            return [copied_record(record) for record in claimed]

        return await self._session.write(work)

    async def heartbeat(self, owner: str, lease_seconds: float) -> None:
        """Extend all leases of `owner`."""

        def work(state: State) -> None:
            until = time.time() + lease_seconds
            for id in [id for id, lease in state.leases.items() if lease[0] == owner]:
                state.leases.put(id, (owner, until))

        await self._session.write(work)

    async def owners(self) -> list[str]:
        """Return who holds leases, ended ones included."""
        return sorted({lease[0] for _, lease in self._session.state.leases.items()})

    async def release(self, owner: str, ids: Sequence[str] | None = None) -> None:
        """Give up leases (all of `owner` where `ids` is None)."""
        wanted = None if ids is None else set(ids)

        def work(state: State) -> None:
            held = [id for id, lease in state.leases.items() if lease[0] == owner]
            for id in held:
                if wanted is None or id in wanted:
                    state.leases.remove(id)

        await self._session.write(work)

    @property
    def _rows(self) -> Table[str, DocumentRecord]:
        return self._session.state.documents

    def _oldest(self, mark: Mark) -> DocumentRecord | None:
        oldest = min(self._marked(self._session.state, [mark]), key=_age, default=None)
        return None if oldest is None else copied_record(oldest)

    def _marked(self, state: State, marks: Sequence[Mark]) -> list[DocumentRecord]:
        """Return the rows with any of these marks: by the index, but for what layers changed."""
        changed: set[str] = set()
        layer: State | None = state
        while layer is not None and layer.parent is not None:
            changed.update(layer.documents.changed, layer.documents.gone)
            layer = layer.parent
        ids = {id for mark in marks for id in self._index.ids(mark)} - changed
        found = [record for id in ids if (record := state.documents.get(id)) is not None]
        wanted = set(marks)
        for id in changed:
            record = state.documents.get(id)
            if record is not None and not wanted.isdisjoint(marks_of(record)):
                found.append(record)
        return found


def _age(record: DocumentRecord) -> tuple[str, str]:
    return (record.created_at, record.id)
