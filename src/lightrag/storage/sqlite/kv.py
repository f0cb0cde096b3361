"""Key-value rows: one table per namespace, each row a JSON member `"key":value`."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import orjson

from lightrag.storage.contracts import Namespace
from lightrag.storage.sqlite.session import Session
from lightrag.storage.sqlite.sql import in_lists, prefix_end
from lightrag.types import JsonObject


class SQLiteKV:
    """JSON objects of one namespace."""

    def __init__(self, session: Session, namespace: Namespace) -> None:
        self._session = session
        self._table = f"kv_{namespace.value}"

    async def get(self, keys: Sequence[str]) -> dict[str, JsonObject]:
        """Return the rows that exist among `keys`."""
        if not keys:
            return {}
        sql = f"SELECT CAST(group_concat(body) AS BLOB) FROM {self._table} WHERE key IN ({{}})"

        def work(conn: sqlite3.Connection) -> dict[str, JsonObject]:
            found: dict[str, JsonObject] = {}
            for marks, part in in_lists(keys):
                found.update(_members(conn.execute(sql.format(marks), part).fetchone()[0]))
            return found

        return await self._session.read(work)

    async def put(self, rows: Mapping[str, JsonObject]) -> None:
        """Insert or replace rows."""
        if not rows:
            return
        sql = (
            f"INSERT INTO {self._table}(key, body) VALUES (?, ?)"
            " ON CONFLICT(key) DO UPDATE SET body = excluded.body WHERE body IS NOT excluded.body"
        )

        def work(conn: sqlite3.Connection) -> None:
            conn.executemany(sql, [(key, orjson.dumps({key: row})[1:-1].decode()) for key, row in rows.items()])

        await self._session.write(work)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        if not keys:
            return

        def work(conn: sqlite3.Connection) -> None:
            for marks, part in in_lists(keys):
                conn.execute(f"DELETE FROM {self._table} WHERE key IN ({marks})", part)

        await self._session.write(work)

    async def scan(self, *, prefix: str = "", after: str = "", limit: int = 1000) -> list[tuple[str, JsonObject]]:
        """Return at most `limit` rows whose key starts with `prefix` and is greater than `after`, by key."""
        condition, parameters = ["key > ?", "key >= ?"], [after, prefix]
        end = prefix_end(prefix)
        if end is not None:
            condition.append("key < ?")
            parameters.append(end)
        sql = (
            "SELECT CAST(group_concat(body) AS BLOB) FROM"
            f" (SELECT body FROM {self._table} WHERE {' AND '.join(condition)} ORDER BY key LIMIT ?)"
        )

        def work(conn: sqlite3.Connection) -> list[tuple[str, JsonObject]]:
            return sorted(_members(conn.execute(sql, (*parameters, limit)).fetchone()[0]).items(), key=_key)

        return await self._session.read(work)

    async def count(self) -> int:
        """Return the number of rows."""

        def work(conn: sqlite3.Connection) -> int:
            return int(conn.execute(f"SELECT count(*) FROM {self._table}").fetchone()[0])

        return await self._session.read(work)

    async def clear(self) -> None:
        """Remove all rows."""

        def work(conn: sqlite3.Connection) -> None:
            conn.execute(f"DELETE FROM {self._table}")

        await self._session.write(work)


def _members(body: bytes | None) -> dict[str, JsonObject]:
    return orjson.loads(b"{" + body + b"}") if body else {}


def _key(item: tuple[str, JsonObject]) -> str:
    return item[0]
