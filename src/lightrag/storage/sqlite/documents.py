"""Status rows of documents and their leases."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import orjson

from lightrag.storage.contracts import SortField
from lightrag.storage.filters import admits
from lightrag.storage.sqlite.session import Session
from lightrag.storage.sqlite.sql import Value, in_lists, joined, joined_in, snapshot
from lightrag.types import BROUGHT_BY, DocStatus, DocumentFilter, DocumentRecord

_BODIES = "SELECT CAST(group_concat(body) AS BLOB) FROM"
_PUT = (
    "INSERT INTO document(id, status, file_path, content_hash, source_hash, track_id, created_at, updated_at,"
    " delete_requested, tags, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT(id) DO UPDATE SET status = excluded.status, file_path = excluded.file_path,"
    " content_hash = excluded.content_hash, source_hash = excluded.source_hash, track_id = excluded.track_id,"
    " created_at = excluded.created_at, updated_at = excluded.updated_at,"
    " delete_requested = excluded.delete_requested, tags = excluded.tags, body = excluded.body"
)
_ORDER: dict[SortField, str] = {
    "created_at": "created_at {0}, id {0}",
    "updated_at": "updated_at {0}, id {0}",
    "id": "id {0}",
    "file_path": "file_path {0}, id {0}",
}


class SQLiteDocuments:
    """Status rows; `clock` gives Unix seconds, by which leases run out."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.time) -> None:
        self._session = session
        self._clock = clock

    async def put(self, records: Sequence[DocumentRecord]) -> None:
        """Insert or replace rows; leases are kept."""
        if records:
            await self._session.write(lambda conn: _put(conn, records))

    async def get(self, ids: Sequence[str]) -> dict[str, DocumentRecord]:
        """Return rows by id."""

        def work(conn: sqlite3.Connection) -> dict[str, DocumentRecord]:
            rows = joined_in(conn, f"{_BODIES} document WHERE id IN ({{}})", ids)
            return {record.id: record for record in map(_record, rows)}

        return await self._session.read(work)

    async def delete(self, ids: Sequence[str]) -> None:
        """Remove rows and their leases."""

        def work(conn: sqlite3.Connection) -> None:
            for marks, part in in_lists(ids):
                conn.execute(f"DELETE FROM document WHERE id IN ({marks})", part)
                conn.execute(f"DELETE FROM lease WHERE doc IN ({marks})", part)

        if ids:
            await self._session.write(work)

    async def by_track_id(self, track_id: str) -> list[DocumentRecord]:
        """Return the rows of one request, by creation."""
        sql = f"{_BODIES} (SELECT body FROM document WHERE track_id = ? ORDER BY created_at, id)"
        return await self._session.read(lambda conn: [_record(row) for row in joined(conn, sql, (track_id,))])

    async def by_file_path(self, file_path: str) -> DocumentRecord | None:
        """Return the oldest row of this path, if any."""
        return await self._oldest("file_path = ?", (file_path,))

    async def by_content_hash(self, content_hash: str) -> DocumentRecord | None:
        """Return the oldest row with this text or file hash, if any."""
        if not content_hash:
            return None
        return await self._oldest(
            "(content_hash = ?1 AND content_hash <> '' OR source_hash = ?1 AND source_hash <> '')", (content_hash,)
        )

    async def counts(self) -> dict[DocStatus, int]:
        """Return the number of rows per status."""

        def work(conn: sqlite3.Connection) -> dict[DocStatus, int]:
            rows = conn.execute("SELECT status, count(*) FROM document GROUP BY status").fetchall()
            return {DocStatus(status): count for status, count in rows}

        return await self._session.read(work)

    async def count_due(self, statuses: Collection[DocStatus]) -> int:
        """Return the number of rows that are of `statuses` or to be deleted, leased or not."""
        where, parameters = _of_statuses(statuses)
        # Two counts of index entries; a condition with OR would read every document.
        sql = (
            f"SELECT (SELECT count(*) FROM document WHERE {where})"
            f" + (SELECT count(*) FROM document WHERE delete_requested AND NOT ({where}))"
        )
        return await self._session.read(lambda conn: int(conn.execute(sql, [*parameters, *parameters]).fetchone()[0]))

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
        where, parameters = _of_statuses(statuses)
        order = _ORDER[sort].format("DESC" if descending else "ASC")
        sql = f"{_BODIES} (SELECT body FROM document WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?)"

        def work(conn: sqlite3.Connection) -> tuple[list[DocumentRecord], int]:
            with snapshot(conn):
                total = conn.execute(f"SELECT count(*) FROM document WHERE {where}", parameters).fetchone()[0]
                rows = joined(conn, sql, (*parameters, limit, offset))
            return [_record(row) for row in rows], int(total)

        return await self._session.read(work)

    async def matching(self, filter: DocumentFilter) -> set[str]:
        """Return the ids of documents that a non-empty filter admits."""
        columns = (
            "SELECT CAST(group_concat('[' || json_quote(id) || ',' || json_quote(file_path) || ',' || tags || ']')"
        )

        def work(conn: sqlite3.Connection) -> set[str]:
            if filter.doc_ids:
                rows = joined_in(conn, f"{columns} AS BLOB) FROM document WHERE id IN ({{}})", list(filter.doc_ids))
            else:
                rows = joined(conn, f"{columns} AS BLOB) FROM document", ())
            return {id for id, path, tags in rows if admits(filter, id, path, tags)}

        return await self._session.read(work)

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
        conditions: list[tuple[str, list[Value]]] = [("delete_requested", [])]
        for status in statuses:
            where = "status = ?"
            parameters: list[Value] = [status.value]
            if not_of:
                # Only read where somebody's documents are to wait.
                where += f" AND COALESCE(json_extract(body, '$.metadata.{BROUGHT_BY}'), '') NOT IN ({_marks(not_of)})"
                parameters += sorted(not_of)
            conditions.append((where, parameters))

        def work(conn: sqlite3.Connection) -> list[DocumentRecord]:
            now = self._clock()
            due: dict[str, DocumentRecord] = {}
            # One by one each follows an index in order and stops at the limit; together they would read every document.
            for where, parameters in conditions:
                sql = (
                    f"{_BODIES} (SELECT body FROM document WHERE {where} AND NOT EXISTS"
                    " (SELECT 1 FROM lease WHERE doc = document.id AND until > ?) ORDER BY created_at, id LIMIT ?)"
                )
                found = map(_record, joined(conn, sql, (*parameters, now, limit)))
                due.update((record.id, record) for record in found)
            records = sorted(due.values(), key=lambda record: (record.created_at, record.id))[:limit]
            conn.executemany(
                "INSERT OR REPLACE INTO lease(doc, owner, until) VALUES (?, ?, ?)",
                [(record.id, owner, now + lease_seconds) for record in records],
            )
            return records

        return await self._session.write(work)

    async def heartbeat(self, owner: str, lease_seconds: float) -> None:
        """Extend all leases of `owner`."""

        def work(conn: sqlite3.Connection) -> None:
            until = self._clock() + lease_seconds
            conn.execute("UPDATE lease SET until = ? WHERE owner = ?", (until, owner))

        await self._session.write(work)

    async def owners(self) -> list[str]:
        """Return who holds leases, ended ones included."""

        def work(conn: sqlite3.Connection) -> list[str]:
            return [row[0] for row in conn.execute("SELECT DISTINCT owner FROM lease ORDER BY owner")]

        return await self._session.read(work)

    async def release(self, owner: str, ids: Sequence[str] | None = None) -> None:
        """Give up leases (all of `owner` where `ids` is None)."""

        def work(conn: sqlite3.Connection) -> None:
            if ids is None:
                conn.execute("DELETE FROM lease WHERE owner = ?", (owner,))
                return
            for marks, part in in_lists(ids):
                conn.execute(f"DELETE FROM lease WHERE doc IN ({marks}) AND owner = ?", [*part, owner])

        await self._session.write(work)

    async def _oldest(self, where: str, parameters: tuple[str, ...]) -> DocumentRecord | None:
        sql = f"SELECT body FROM document WHERE {where} ORDER BY created_at, id LIMIT 1"

        def work(conn: sqlite3.Connection) -> DocumentRecord | None:
            row = conn.execute(sql, parameters).fetchone()
            return _record(orjson.loads(row[0])) if row else None

        return await self._session.read(work)


def _put(conn: sqlite3.Connection, records: Sequence[DocumentRecord]) -> None:
    conn.executemany(
        _PUT,
        [
            (
                record.id,
                record.status.value,
                record.file_path,
                record.content_hash,
                record.source_hash,
                record.track_id,
                record.created_at,
                record.updated_at,
                record.delete_requested,
                orjson.dumps(dict(record.tags)).decode(),
                orjson.dumps(record).decode(),
            )
            for record in records
        ],
    )


def _of_statuses(statuses: Collection[DocStatus] | None) -> tuple[str, list[Value]]:
    if statuses is None:
        return "TRUE", []
    return f"status IN ({_marks(statuses)})", [status.value for status in statuses]


def _marks(values: Collection[str]) -> str:
    return ",".join("?" * len(values))


def _record(row: dict[str, Any]) -> DocumentRecord:
    row["status"] = DocStatus(row["status"])
    row["chunks_list"] = tuple(row["chunks_list"])
    row["failed_chunks"] = tuple(row["failed_chunks"])
    return DocumentRecord(**row)
