"""Integer ids of names, pairs and chunks, and the end of rows that nothing refers to any more."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum

from lightrag.storage.sqlite.sql import append_log, in_lists
from lightrag.types import Pair


class Change(IntEnum):
    """Kinds of rows in the log of changes; `a` and `b` are ids."""

    ALL = 0
    """Everything was dropped."""
    ENTITY = 1
    ENTITY_GONE = 2
    CHUNK = 3
    CHUNK_GONE = 4
    RELATION = 5
    """`a` is the id of a relation row."""
    RELATION_GONE = 6
    """`a` and `b` are the ids of the ends."""


Logged = tuple[Change, int, int]


def log_changes(conn: sqlite3.Connection, rows: Sequence[Logged]) -> None:
    """Append to the log of changes."""
    append_log(conn, "change", ("kind", "a", "b"), rows)


def entity_ids(conn: sqlite3.Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the ids of names that have a row."""
    found: dict[str, int] = {}
    for marks, part in in_lists(names):
        found.update(conn.execute(f"SELECT name, id FROM entity WHERE name IN ({marks})", part).fetchall())
    return found


def chunk_ids(conn: sqlite3.Connection, keys: Sequence[str]) -> dict[str, int]:
    """Return the ids of chunks that have a row."""
    found: dict[str, int] = {}
    for marks, part in in_lists(keys):
        found.update(conn.execute(f"SELECT key, id FROM chunk WHERE key IN ({marks})", part).fetchall())
    return found


def relation_ids(conn: sqlite3.Connection, pairs: Iterable[Pair], entities: dict[str, int]) -> dict[Pair, int]:
    """Return the ids of pairs that have a row, given the ids of their ends."""
    found: dict[Pair, int] = {}
    for pair in pairs:
        source, target = entities.get(pair[0]), entities.get(pair[1])
        if source is None or target is None:
            continue
        row = conn.execute("SELECT id FROM relation WHERE source = ? AND target = ?", (source, target)).fetchone()
        if row:
            found[pair] = row[0]
    return found


def intern_entities(conn: sqlite3.Connection, names: Collection[str]) -> dict[str, int]:
    """Return the id of every name, making rows for those that have none."""
    found = entity_ids(conn, list(names))
    log: list[Logged] = []
    for name in names:
        if name not in found:
            found[name] = _inserted(conn, "INSERT INTO entity(name) VALUES (?)", (name,))
            log.append((Change.ENTITY, found[name], 0))
    log_changes(conn, log)
    return found


def intern_relations(conn: sqlite3.Connection, pairs: Collection[Pair], entities: dict[str, int]) -> dict[Pair, int]:
    """Return the id of every pair, making rows for those that have none; the ends must have ids."""
    found = relation_ids(conn, pairs, entities)
    for pair in pairs:
        if pair not in found:
            ends = (entities[pair[0]], entities[pair[1]])
            found[pair] = _inserted(conn, "INSERT INTO relation(source, target) VALUES (?, ?)", ends)
    return found


def sweep_relations(conn: sqlite3.Connection, relations: Collection[int]) -> set[int]:
    """Remove those rows that are neither mentioned nor an edge; return the ids of their ends."""
    ends: set[int] = set()
    for marks, part in in_lists(list(relations)):
        for source, target in conn.execute(
            f"DELETE FROM relation WHERE id IN ({marks}) AND mentions = 0 AND weight IS NULL RETURNING source, target",
            part,
        ).fetchall():
            ends |= {source, target}
    return ends


def sweep_entities(conn: sqlite3.Connection, entities: Collection[int]) -> None:
    """Remove those rows that are not mentioned, no node, and no end of a relation row."""
    log: list[Logged] = []
    for marks, part in in_lists(list(entities)):
        gone = conn.execute(
            f"DELETE FROM entity WHERE id IN ({marks}) AND mentions = 0 AND degree IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM relation WHERE source = entity.id)"
            " AND NOT EXISTS (SELECT 1 FROM relation WHERE target = entity.id) RETURNING id",
            part,
        ).fetchall()
        log += [(Change.ENTITY_GONE, entity, 0) for (entity,) in gone]
    log_changes(conn, log)


def _inserted(conn: sqlite3.Connection, sql: str, parameters: tuple[str | int, ...]) -> int:
    rowid = conn.execute(sql, parameters).lastrowid
    assert rowid is not None
    return rowid
