"""Vectors of one kind: float32 rows that are the truth, searched through int8 codes."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
import orjson

from lightrag.errors import InvalidInput, StorageMismatch
from lightrag.storage.contracts import FloatArray, Hit, IntArray, VectorKind, VectorRow
from lightrag.storage.sqlite.matrix import CodeMatrix, Snapshot, encode_blobs
from lightrag.storage.sqlite.pulse import Pulse
from lightrag.storage.sqlite.session import Session
from lightrag.storage.sqlite.sql import append_log, in_lists, joined_in, snapshot

_OVERSAMPLING = 2
_MIN_CANDIDATES = 64
_SCORED_AT_ONCE = 4096


class Scan(Protocol):
    """Finds the rows that are worth an exact score."""

    def candidates(
        self, conn: sqlite3.Connection, queries: FloatArray, count: int, within: IntArray | None
    ) -> list[IntArray] | None:
        """Return ids per query; None where the read must begin anew."""
        ...

    def at_once(self, queries: FloatArray, top_k: int, threshold: float) -> list[list[Hit]] | None:
        """Return hits from memory; None where that does not hold everything."""
        ...


class MatrixScan:
    """Scans the copy in memory; for committed data."""

    def __init__(self, kind: VectorKind, pulse: Pulse) -> None:
        self._matrix = CodeMatrix(kind.value)
        self._pulse = pulse
        self._seen: tuple[int, Snapshot] | None = None

    def candidates(
        self, conn: sqlite3.Connection, queries: FloatArray, count: int, within: IntArray | None
    ) -> list[IntArray] | None:
        """Return about `count` ids per query."""
        # Asked before the transaction has read anything: a commit in between makes the number old, never the copy.
        version = self._pulse.version() if within is None else None
        current = self._matrix.current(conn)
        if current is None:
            return None
        if within is not None:
            current = current.among(within)
        elif version is not None:
            self._seen = None if current.exact is None else (version, current)
        return current.candidates(queries, count)

    def at_once(self, queries: FloatArray, top_k: int, threshold: float) -> list[list[Hit]] | None:
        """Return hits from memory, as long as the file is as it was when memory was last brought up to date."""
        seen = self._seen
        if seen is None or seen[0] != self._pulse.version():
            return None
        copy = seen[1]
        if not len(copy.ids) or queries.shape[1] != copy.codes.shape[1] or not np.isfinite(queries).all():
            return None
        return copy.hits(unit_rows(queries), top_k, max(_OVERSAMPLING * top_k, _MIN_CANDIDATES), threshold)


class FullScan:
    """Takes every row; inside a transaction, where the copy in memory does not hold what was written."""

    def __init__(self, kind: VectorKind) -> None:
        self._table = f"vector_{kind.value}"

    def candidates(
        self, conn: sqlite3.Connection, queries: FloatArray, count: int, within: IntArray | None
    ) -> list[IntArray] | None:
        """Return all ids."""
        if within is None:
            text = conn.execute(f"SELECT group_concat(id) FROM {self._table}").fetchone()[0]
            within = np.array(orjson.loads(f"[{text or ''}]"), np.int64)
        return [within for _ in queries]

    def at_once(self, queries: FloatArray, top_k: int, threshold: float) -> list[list[Hit]] | None:
        """Return None: nothing is kept in memory."""
        return None


class SQLiteVectors:
    """Vectors of one kind, searched by cosine."""

    def __init__(self, session: Session, kind: VectorKind, scan: Scan) -> None:
        self._session = session
        self._scan = scan
        self._kind = kind.value
        self._table = f"vector_{kind.value}"

    async def put(self, rows: Sequence[VectorRow]) -> None:
        """Insert or replace rows; raises `StorageMismatch` for a wrong dimension."""
        unique = {row.key: row for row in rows}
        if not unique:
            return

        def work(conn: sqlite3.Connection) -> None:
            vectors = normalised([row.vector for row in unique.values()], dimension_of(conn))
            self._remove(conn, list(unique))
            last = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (self._table,)).fetchone()
            first = (last[0] if last else 0) + 1
            conn.executemany(
                f"INSERT INTO {self._table}(id, key, hash, embedding) VALUES (?, ?, ?, ?)",
                [(first + i, row.key, row.content_hash, vectors[i].tobytes()) for i, row in enumerate(unique.values())],
            )
            conn.executemany(
                f"INSERT INTO code_{self._kind}(id, code) VALUES (?, ?)",
                list(enumerate(encode_blobs(vectors), first)),
            )

        await self._session.write(work)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        if keys:
            await self._session.write(lambda conn: self._remove(conn, keys))

    async def search(
        self, queries: FloatArray, top_k: int, *, threshold: float = -1.0, within: Collection[str] | None = None
    ) -> list[list[Hit]]:
        """Return for each row of `queries` (n, dimension) the `top_k` best hits not below `threshold`, best first."""
        keys = None if within is None else list(within)
        if top_k <= 0 or not len(queries) or keys == []:
            return [[] for _ in queries]
        if keys is None:
            kept = self._scan.at_once(queries, top_k, threshold)
            if kept is not None:
                return kept

        def work(conn: sqlite3.Connection) -> list[list[Hit]]:
            units = normalised(queries, dimension_of(conn))
            while True:
                with snapshot(conn):
                    hits = self._search(conn, units, top_k, threshold, keys)
                if hits is not None:
                    return hits

        return await self._session.read(work)

    async def get(self, keys: Sequence[str]) -> dict[str, FloatArray]:
        """Return the stored (normalised) vectors."""
        if not keys:
            return {}

        def work(conn: sqlite3.Connection) -> dict[str, FloatArray]:
            found: dict[str, FloatArray] = {}
            for marks, part in in_lists(keys):
                names, vectors = self._rows(conn, f"key IN ({marks})", part)
                found.update(zip(names, vectors, strict=True))
            return found

        return await self._session.read(work)

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[tuple[str, str]]:
        """Return (key, content_hash) of at most `limit` rows with key > `after`, by key."""

        def work(conn: sqlite3.Connection) -> list[tuple[str, str]]:
            sql = f"SELECT key, hash FROM {self._table} WHERE key > ? ORDER BY key LIMIT ?"
            return conn.execute(sql, (after, limit)).fetchall()

        return await self._session.read(work)

    async def count(self) -> int:
        """Return the number of rows."""

        def work(conn: sqlite3.Connection) -> int:
            return int(conn.execute(f"SELECT count(*) FROM code_{self._kind}").fetchone()[0])

        return await self._session.read(work)

    def _search(
        self, conn: sqlite3.Connection, units: FloatArray, top_k: int, threshold: float, keys: list[str] | None
    ) -> list[list[Hit]] | None:
        within = None
        if keys is not None:
            sql = f"SELECT CAST(group_concat(id) AS BLOB) FROM {self._table} WHERE key IN ({{}})"
            within = np.unique(np.array(joined_in(conn, sql, keys), np.int64))
        wanted = max(_OVERSAMPLING * top_k, _MIN_CANDIDATES)
        per_query = self._scan.candidates(conn, units, wanted, within)
        if per_query is None:
            return None
        return [self._rescored(conn, unit, ids, top_k, threshold) for unit, ids in zip(units, per_query, strict=True)]

    def _rescored(
        self, conn: sqlite3.Connection, unit: FloatArray, ids: IntArray, top_k: int, threshold: float
    ) -> list[Hit]:
        """Score candidates exactly, best first; ties by key."""
        hits: list[Hit] = []
        for start in range(0, len(ids), _SCORED_AT_ONCE):
            for marks, part in in_lists(ids[start : start + _SCORED_AT_ONCE].tolist()):
                keys, vectors = self._rows(conn, f"id IN ({marks})", part)
                scores = (vectors @ unit).clip(-1.0, 1.0)
                # Ties with the last that fits are kept, for keys decide.
                least = np.partition(scores, len(scores) - top_k)[-top_k] if top_k < len(scores) else -1.0
                places = np.flatnonzero(scores >= max(threshold, least)).tolist()
                hits += [Hit(keys[place], float(scores[place])) for place in places]
            hits.sort(key=lambda hit: (-hit.score, hit.key))
            del hits[top_k:]
        return hits

    def _rows(
        self, conn: sqlite3.Connection, condition: str, parameters: Sequence[str | int]
    ) -> tuple[list[str], FloatArray]:
        keys, blob, count = conn.execute(
            "SELECT CAST(group_concat(json_quote(key)) AS BLOB), CAST(group_concat(embedding, '') AS BLOB), count(*)"
            f" FROM {self._table} WHERE {condition}",
            parameters,
        ).fetchone()
        if not count:
            return [], np.empty((0, 0), np.float32)
        vectors = np.frombuffer(blob, "<f4").reshape(count, -1)
        return orjson.loads(b"[" + keys + b"]"), vectors

    def _remove(self, conn: sqlite3.Connection, keys: Sequence[str]) -> None:
        gone: list[tuple[int]] = []
        for marks, part in in_lists(keys):
            gone += conn.execute(f"DELETE FROM {self._table} WHERE key IN ({marks}) RETURNING id", part).fetchall()
        if gone:
            conn.executemany(f"DELETE FROM code_{self._kind} WHERE id = ?", gone)
            append_log(conn, f"gone_{self._kind}", ("id",), gone)


def dimension_of(conn: sqlite3.Connection) -> int:
    """Return the length of the workspace's vectors; raises `StorageMismatch` where it has not been fixed."""
    row = conn.execute("SELECT value FROM setting WHERE name = 'dimension'").fetchone()
    if row is None:
        raise StorageMismatch("the length of vectors has not been fixed; call set_dimension first")
    return int(row[0])


def normalised(vectors: Sequence[FloatArray] | FloatArray, dimension: int) -> FloatArray:
    """Return float32 rows of length 1 (zero rows stay); raises `StorageMismatch` for another dimension."""
    wrong = next((vector.shape for vector in vectors if vector.shape != (dimension,)), None)
    if wrong is not None:
        raise StorageMismatch(
            f"a vector of shape {wrong} does not fit this workspace, whose vectors have {dimension} numbers; use the"
            " embedding model that it was made with, or embed it anew: lightrag repair --re-embed"
        )
    rows = np.asarray(vectors, dtype="<f4")
    if not np.isfinite(rows).all():
        raise InvalidInput("a vector holds a number that is not finite; check the embedding model")
    return unit_rows(rows)


def unit_rows(rows: FloatArray) -> FloatArray:
    """Return float32 rows of length 1; zero rows stay."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(norms > 0, norms, np.float32(1)))
