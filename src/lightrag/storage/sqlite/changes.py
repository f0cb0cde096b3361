"""The structure of the graph for readers that keep it in memory, whole or as what changed."""

from __future__ import annotations

import sqlite3

import numpy as np

from lightrag.storage.contracts import FloatArray, GraphChanges, IntArray
from lightrag.storage.sqlite.interning import Change
from lightrag.storage.sqlite.sql import joined, joined_in

_ENTITY = "SELECT CAST(group_concat(id || ',' || json_quote(name)) AS BLOB) FROM entity"
_CHUNK = "SELECT CAST(group_concat(id || ',' || json_quote(key) || ',' || json_quote(doc)) AS BLOB) FROM chunk"
_MENTION = "SELECT CAST(group_concat(entity || ',' || chunk) AS BLOB) FROM entity_mention"
_RELATION = "SELECT CAST(group_concat(source || ',' || target || ',' || weight) AS BLOB) FROM relation"


def changes(conn: sqlite3.Connection, since: int) -> GraphChanges:
    """Return what changed after `since`, or everything where the log does not reach back to it."""
    # Two look-ups: asked for together in one SELECT, the whole log would be read.
    first, last = conn.execute(
        "SELECT (SELECT coalesce(min(seq), 1) FROM change), (SELECT coalesce(max(seq), 0) FROM change)"
    ).fetchone()
    if since <= 0 or since > last or since < first - 1:
        return _everything(conn, last)
    rows = conn.execute("SELECT kind, a, b FROM change WHERE seq > ?", (since,)).fetchall()
    logged: dict[int, set[tuple[int, int]]] = {kind: set() for kind in Change}
    for kind, a, b in rows:
        logged[kind].add((a, b))
    if logged[Change.ALL]:
        return _everything(conn, last)
    return _difference(conn, last, logged)


def _everything(conn: sqlite3.Connection, seq: int) -> GraphChanges:
    relations, weights = _weighted(joined(conn, f"{_RELATION} WHERE weight IS NOT NULL", ()))
    return GraphChanges(
        seq=seq,
        complete=True,
        removed_entities=_ints([]),
        removed_chunks=_ints([]),
        removed_relations=_pairs([]),
        entities=_entities(joined(conn, _ENTITY, ())),
        chunks=_chunks(joined(conn, _CHUNK, ())),
        mentions=_pairs(joined(conn, _MENTION, ())),
        relations=relations,
        relation_weights=weights,
    )


def _difference(conn: sqlite3.Connection, seq: int, logged: dict[int, set[tuple[int, int]]]) -> GraphChanges:
    chunks = sorted(id for id, _ in logged[Change.CHUNK])
    edges = sorted(id for id, _ in logged[Change.RELATION])
    relations, weights = _weighted(joined_in(conn, f"{_RELATION} WHERE id IN ({{}}) AND weight IS NOT NULL", edges))
    return GraphChanges(
        seq=seq,
        complete=False,
        removed_entities=_ints(sorted(id for id, _ in logged[Change.ENTITY_GONE])),
        removed_chunks=_ints(sorted(id for id, _ in logged[Change.CHUNK_GONE])),
        removed_relations=_pairs([id for pair in sorted(logged[Change.RELATION_GONE]) for id in pair]),
        entities=_entities(
            joined_in(conn, f"{_ENTITY} WHERE id IN ({{}})", sorted(id for id, _ in logged[Change.ENTITY]))
        ),
        chunks=_chunks(joined_in(conn, f"{_CHUNK} WHERE id IN ({{}})", chunks)),
        mentions=_pairs(joined_in(conn, f"{_MENTION} WHERE chunk IN ({{}})", chunks)),
        relations=relations,
        relation_weights=weights,
    )


def _ints(values: list[int]) -> IntArray:
    return np.array(values, np.int64)


def _pairs(values: list[int]) -> IntArray:
    return np.array(values, np.int64).reshape(-1, 2)


def _entities(values: list[int | str]) -> list[tuple[int, str]]:
    return list(zip(values[::2], values[1::2], strict=True))  # type: ignore[arg-type]


def _chunks(values: list[int | str]) -> list[tuple[int, str, str]]:
    return list(zip(values[::3], values[1::3], values[2::3], strict=True))  # type: ignore[arg-type]


def _weighted(values: list[float]) -> tuple[IntArray, FloatArray]:
    table = np.array(values, np.float64).reshape(-1, 3)
    return table[:, :2].astype(np.int64), table[:, 2].astype(np.float32)
