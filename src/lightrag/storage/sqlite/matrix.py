"""The copy of one kind of vectors that a process keeps in memory, and the scan over it.

Each row is a vector times 127 / max |x|, rounded; `dot(codes) x both scales` approximates the cosine within about 1e-3.
The copy follows the database by row id, so that catching up costs what was added, not what is there. As long as there
are few vectors, they are kept with their keys in full precision beside the codes, and a search needs no read at all.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from typing import Any

import numkong
import numpy as np
import numpy.typing as npt
import orjson

from lightrag.storage.contracts import FloatArray, Hit, IntArray

CodeArray = npt.NDArray[np.int8]
_LOAD = 2048
_SCALE_BYTES = 4
EXACT_NUMBERS = 2_000_000
"""Numbers of full precision that are kept, per kind of vectors (8 MB)."""


def encode(vectors: FloatArray) -> tuple[CodeArray, FloatArray]:
    """Return int8 codes (n, dimension) and the scale of each row (n,)."""
    scales = np.abs(vectors).max(axis=1, initial=0.0).astype(np.float32) / np.float32(127)
    safe = np.where(scales > 0, scales, np.float32(1))
    return np.rint(vectors / safe[:, None]).astype(np.int8), scales


def encode_blobs(vectors: FloatArray) -> list[bytes]:
    """Return what a code column holds for each row: the scale as little-endian float32, then the codes."""
    codes, scales = encode(vectors)
    head = scales.astype("<f4")[:, None].view(np.uint8)
    packed = np.concatenate([head, codes.view(np.uint8)], axis=1)
    return [row.tobytes() for row in packed]


@dataclasses.dataclass(frozen=True, slots=True)
class Exact:
    """Rows in full precision."""

    keys: list[str]
    """At least as many as there are rows; only ever appended to."""
    vectors: FloatArray


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The matrix at one moment; later changes do not touch it."""

    ids: IntArray
    """Row ids, ascending."""
    codes: CodeArray
    scales: FloatArray
    alive: npt.NDArray[np.bool_]
    exact: Exact | None = None
    """The same rows in full precision, where they are kept."""

    def candidates(self, queries: FloatArray, count: int) -> list[IntArray]:
        """Return for each query the ids of about `count` rows with the highest approximate cosine."""
        return [self.ids[places] for places in self._places(queries, count)]

    def hits(self, units: FloatArray, top_k: int, count: int, threshold: float) -> list[list[Hit]]:
        """Return for each query the `top_k` hits not below `threshold`, best first, found among `count` candidates.

        Needs `exact`. Ties are in the order of keys.
        """
        assert self.exact is not None
        found: list[list[Hit]] = []
        for unit, places in zip(units, self._places(units, count), strict=True):
            if not len(places):
                found.append([])
                continue
            rows = self.exact.vectors[places]
            # One thread does this, unlike BLAS, whose threads get into each other's way in a busy server.
            dots = np.asarray(numkong.cdist(unit[None], rows, "dot", out_dtype="float32"), np.float32)
            scores = dots[0].clip(-1.0, 1.0).tolist()
            keys = self.exact.keys
            best = sorted(
                (-score, keys[place])
                for place, score in zip(places.tolist(), scores, strict=True)
                if score >= threshold
            )
            found.append([Hit(key, -score) for score, key in best[:top_k]])
        return found

    def _places(self, queries: FloatArray, count: int) -> list[IntArray]:
        if not len(self.ids):
            return [np.empty(0, np.int64) for _ in queries]
        return [self._best(scores, count) for scores in self._scores(queries)]

    def among(self, ids: IntArray) -> Snapshot:
        """Return the part that holds these ids."""
        places = np.searchsorted(self.ids, ids)
        places = places[places < len(self.ids)]
        kept = np.zeros(len(self.ids), np.bool_)
        kept[places] = True
        kept &= np.isin(self.ids, ids) & self.alive
        # A gather costs about as much as a scan of what it copies.
        if np.count_nonzero(kept) * 3 > len(self.ids):
            return Snapshot(self.ids, self.codes, self.scales, kept)
        return Snapshot(self.ids[kept], self.codes[kept], self.scales[kept], self.alive[kept])

    def _scores(self, queries: FloatArray) -> FloatArray:
        codes, _ = encode(queries)
        if len(codes) == 1:
            dots = np.asarray(numkong.cdist(codes, self.codes, "dot", out_dtype="float32"), np.float32)
        else:
            # One pass over the matrix serves all queries.
            packed = numkong.dots_packed(self.codes, numkong.dots_pack(codes))
            dots = np.ascontiguousarray(np.asarray(packed).T, np.float32)
        scores: FloatArray = dots * self.scales
        scores[:, ~self.alive] = -np.inf
        return scores

    def _best(self, scores: FloatArray, count: int) -> IntArray:
        if count < len(scores):
            places = np.argpartition(scores, len(scores) - count)[-count:]
        else:
            places = np.arange(len(scores))
        return places[scores[places] > -np.inf]


class CodeMatrix:
    """Follows the code table of one kind of vectors."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._last_id = 0
        self._last_gone = -1
        self._count = 0
        self._ids: IntArray = np.empty(0, np.int64)
        self._codes: CodeArray = np.empty((0, 0), np.int8)
        self._scales: FloatArray = np.empty(0, np.float32)
        self._alive: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._vectors: FloatArray | None = np.empty((0, 0), np.float32)
        self._keys: list[str] = []

    def current(self, conn: sqlite3.Connection) -> Snapshot | None:
        """Return the matrix as the connection's read transaction sees it.

        None where another thread has already seen later changes: begin a new read transaction and ask again.
        """
        last_id, last_gone, first_gone = conn.execute(
            "SELECT (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?),"
            f" (SELECT coalesce(max(seq), 0) FROM gone_{self._kind}), (SELECT min(seq) FROM gone_{self._kind})",
            (f"vector_{self._kind}",),
        ).fetchone()
        with self._lock:
            if last_gone < self._last_gone or last_id < self._last_id:
                return None
            if last_gone > self._last_gone:
                self._remove(conn, last_gone, first_gone)
            if last_id > self._last_id:
                self._add(conn)
                self._last_id = last_id
            count = self._count
            alive = self._alive[:count]
            exact = None if self._vectors is None else Exact(self._keys, self._vectors[:count])
            return Snapshot(self._ids[:count], self._codes[:count], self._scales[:count], alive, exact)

    def _reset(self, last_gone: int) -> None:
        """Forget all rows; the arrays stay with the snapshots that use them."""
        self._last_id, self._last_gone, self._count = 0, last_gone, 0
        self._ids, self._codes = np.empty(0, np.int64), np.empty((0, 0), np.int8)
        self._scales, self._alive = np.empty(0, np.float32), np.empty(0, np.bool_)
        self._vectors, self._keys = np.empty((0, 0), np.float32), []

    def _remove(self, conn: sqlite3.Connection, last_gone: int, first_gone: int | None) -> None:
        if self._last_gone < 0 or first_gone is None or first_gone > self._last_gone + 1:
            self._reset(last_gone)
            return
        text = conn.execute(
            f"SELECT group_concat(id) FROM gone_{self._kind} WHERE seq > ?", (self._last_gone,)
        ).fetchone()[0]
        gone = np.array(orjson.loads(f"[{text}]"), np.int64)
        self._last_gone = last_gone
        if (gone == 0).any():  # everything was dropped
            self._reset(last_gone)
            return
        # Snapshots that are in use keep the mask they were given.
        dead = np.isin(self._ids[: self._count], gone)
        alive = self._alive.copy()
        alive[: self._count] &= ~dead
        self._alive = alive
        if (self._count - np.count_nonzero(alive[: self._count])) * 4 > self._count:
            self._compact()

    def _compact(self) -> None:
        alive = self._alive[: self._count]
        self._ids, self._codes = self._ids[: self._count][alive], self._codes[: self._count][alive]
        self._scales = self._scales[: self._count][alive]
        if self._vectors is not None:
            self._vectors = self._vectors[: self._count][alive]
            self._keys = [self._keys[place] for place in np.flatnonzero(alive).tolist()]
        self._count = len(self._ids)
        self._alive = np.ones(self._count, np.bool_)

    def _add(self, conn: sqlite3.Connection) -> None:
        codes = (
            "SELECT group_concat(id), CAST(group_concat(code, '') AS BLOB), max(length(code)) FROM"
            f" (SELECT id, code FROM code_{self._kind} WHERE id > ? ORDER BY id LIMIT {_LOAD})"
        )
        rows = (
            "SELECT CAST(group_concat(json_quote(key)) AS BLOB), CAST(group_concat(embedding, '') AS BLOB) FROM"
            f" (SELECT key, embedding FROM vector_{self._kind} WHERE id > ? ORDER BY id LIMIT {_LOAD})"
        )
        while True:
            text, blob, width = conn.execute(codes, (self._last_id,)).fetchone()
            if text is None:
                return
            ids = np.array(orjson.loads(f"[{text}]"), np.int64)
            if self._vectors is not None:
                self._add_exact(len(ids), width - _SCALE_BYTES, conn.execute(rows, (self._last_id,)).fetchone())
            self._append(ids, np.frombuffer(blob, np.uint8).reshape(len(ids), width))
            self._last_id = int(ids[-1])

    def _add_exact(self, count: int, dimension: int, row: tuple[bytes, bytes]) -> None:
        assert self._vectors is not None
        end = self._count + count
        if end * dimension > EXACT_NUMBERS:
            self._vectors, self._keys = None, []
            return
        if end > len(self._vectors):
            larger = np.empty((max(end, self._count + self._count // 2), dimension), np.float32)
            if self._count:
                larger[: self._count] = self._vectors[: self._count]
            self._vectors = larger
        self._vectors[self._count : end] = np.frombuffer(row[1], "<f4").reshape(count, dimension)
        self._keys.extend(orjson.loads(b"[" + row[0] + b"]"))

    def _append(self, ids: IntArray, rows: npt.NDArray[np.uint8]) -> None:
        end = self._count + len(ids)
        if end > len(self._ids):
            self._grow(max(end, self._count + self._count // 2), rows.shape[1] - _SCALE_BYTES)
        part = slice(self._count, end)
        self._ids[part] = ids
        self._codes[part] = rows[:, _SCALE_BYTES:].view(np.int8)
        self._scales[part] = np.ascontiguousarray(rows[:, :_SCALE_BYTES]).view("<f4")[:, 0]
        self._alive[part] = True
        self._count = end

    def _grow(self, capacity: int, dimension: int) -> None:
        def larger(old: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
            new = np.empty(shape, old.dtype)
            if self._count:
                new[: self._count] = old[: self._count]
            return new

        self._ids = larger(self._ids, (capacity,))
        self._codes = larger(self._codes, (capacity, dimension))
        self._scales = larger(self._scales, (capacity,))
        self._alive = larger(self._alive, (capacity,))
