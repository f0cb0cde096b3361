"""Nodes and edges of the graph."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from lightrag.errors import InvalidInput, StorageError
from lightrag.storage.sqlite.interning import (
    Change,
    Logged,
    entity_ids,
    intern_entities,
    intern_relations,
    log_changes,
    relation_ids,
    sweep_entities,
    sweep_relations,
)
from lightrag.storage.sqlite.sql import fragment, in_lists, joined, joined_in
from lightrag.types import Entity, Pair, Relation


def put_entities(conn: sqlite3.Connection, entities: Sequence[Entity]) -> None:
    """Insert or replace nodes."""
    unique = {entity.name: entity for entity in entities}
    ids = intern_entities(conn, unique)
    conn.executemany(
        "UPDATE entity SET degree = 0, folded = ? WHERE id = ? AND degree IS NULL",
        [(name.casefold(), id) for name, id in ids.items()],
    )
    conn.executemany(
        "UPDATE entity SET body = ? WHERE id = ?",
        [(_entity_body(entity), ids[name]) for name, entity in unique.items()],
    )


def put_relations(conn: sqlite3.Connection, relations: Sequence[Relation]) -> None:
    """Insert or replace edges between existing nodes."""
    unique = {relation.pair: relation for relation in relations}
    entities = _ends(conn, unique)
    ids = intern_relations(conn, unique, entities)
    weights: dict[int, float | None] = {}
    for marks, part in in_lists(list(ids.values())):
        sql = f"SELECT id, weight FROM relation WHERE id IN ({marks})"
        weights.update(conn.execute(sql, part).fetchall())
    gained: Counter[int] = Counter()
    log: list[Logged] = []
    for pair, relation in unique.items():
        if not math.isfinite(relation.weight):
            raise InvalidInput(f"the weight of {pair} is {relation.weight}; give a finite number")
        if weights[ids[pair]] is None:
            gained.update({entities[name] for name in pair})
        if weights[ids[pair]] != relation.weight:
            log.append((Change.RELATION, ids[pair], 0))
    changed = {id for _, id, _ in log}
    conn.executemany(
        "UPDATE relation SET weight = ? WHERE id = ?",
        [(relation.weight, ids[pair]) for pair, relation in unique.items() if ids[pair] in changed],
    )
    conn.executemany(
        "UPDATE relation SET body = ? WHERE id = ?",
        [(_relation_body(relation), ids[pair]) for pair, relation in unique.items()],
    )
    _add_degrees(conn, gained)
    log_changes(conn, log)


def delete_entities(conn: sqlite3.Connection, names: Sequence[str]) -> None:
    """Remove nodes and every edge on them."""
    ids = list(entity_ids(conn, names).values())
    edges: set[int] = set()
    for marks, part in in_lists(ids):
        for end in ("source", "target"):
            sql = f"SELECT id FROM relation WHERE {end} IN ({marks}) AND weight IS NOT NULL"
            edges.update(id for (id,) in conn.execute(sql, part))
    ends = _delete_edges(conn, list(edges))
    for marks, part in in_lists(ids):
        conn.execute(f"UPDATE entity SET degree = NULL, folded = NULL, body = NULL WHERE id IN ({marks})", part)
    sweep_entities(conn, ends.union(ids))


def delete_relations(conn: sqlite3.Connection, pairs: Sequence[Pair]) -> None:
    """Remove edges."""
    entities = entity_ids(conn, list({name for pair in pairs for name in pair}))
    sweep_entities(conn, _delete_edges(conn, list(relation_ids(conn, pairs, entities).values())))


def get_entities(conn: sqlite3.Connection, names: Sequence[str]) -> dict[str, Entity]:
    """Return nodes by name."""
    sql = "SELECT CAST(group_concat('[' || body || ']') AS BLOB) FROM entity WHERE name IN ({}) AND degree IS NOT NULL"
    return {entity.name: entity for entity in map(_entity, joined_in(conn, sql, names))}


def get_relations(conn: sqlite3.Connection, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
    """Return edges by pair."""
    ids = relation_ids(conn, pairs, entity_ids(conn, list({name for pair in pairs for name in pair})))
    sql = "SELECT CAST(group_concat('[' || body || ']') AS BLOB) FROM relation WHERE id IN ({}) AND weight IS NOT NULL"
    return {relation.pair: relation for relation in map(_relation, joined_in(conn, sql, list(ids.values())))}


def degrees(conn: sqlite3.Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the number of edges on each existing node."""
    found: dict[str, int] = {}
    for marks, part in in_lists(names):
        sql = f"SELECT name, degree FROM entity WHERE name IN ({marks}) AND degree IS NOT NULL"
        found.update(conn.execute(sql, part).fetchall())
    return found


def relations_of(conn: sqlite3.Connection, names: Sequence[str], limit: int) -> dict[str, list[tuple[str, float]]]:
    """Return per node at most `limit` (neighbour, weight), heaviest first, ties by name."""
    found: dict[str, list[tuple[str, float]]] = {}
    for name, id in entity_ids(conn, names).items():
        neighbours = _heaviest(conn, id, limit)
        if neighbours:
            found[name] = neighbours
    return found


def scan_entities(conn: sqlite3.Connection, after: str, limit: int) -> list[Entity]:
    """Return nodes with name > `after`, by name."""
    sql = (
        "SELECT CAST(group_concat('[' || body || ']') AS BLOB) FROM"
        " (SELECT body FROM entity WHERE name > ? AND degree IS NOT NULL ORDER BY name LIMIT ?)"
    )
    return sorted(map(_entity, joined(conn, sql, (after, limit))), key=lambda entity: entity.name)


def scan_relations(conn: sqlite3.Connection, after: Pair | None, limit: int) -> list[Relation]:
    """Return edges with pair > `after`, by pair."""
    sql = (
        f"SELECT CAST(group_concat('[' || body || ']') AS BLOB) FROM ({pairs_after('r.body', 'r.weight IS NOT NULL')})"
    )
    rows = joined(conn, sql, (*(after or ("", "")), limit))
    return sorted(map(_relation, rows), key=lambda relation: relation.pair)


def pairs_after(columns: str, condition: str) -> str:
    """Return a query for relation rows after a pair in the order of the names; parameters: pair, limit."""
    # The order of the joins is fixed, so that rows come by the first name and only ties on it are sorted.
    return (
        f"SELECT {columns} FROM entity AS s CROSS JOIN relation AS r ON r.source = s.id"
        f" CROSS JOIN entity AS t ON t.id = r.target WHERE {condition}"
        " AND s.name >= ?1 AND (s.name > ?1 OR t.name > ?2) ORDER BY s.name, t.name LIMIT ?3"
    )


def popular_labels(conn: sqlite3.Connection, limit: int) -> list[str]:
    """Return names by degree descending, ties by name."""
    sql = "SELECT name FROM entity WHERE degree IS NOT NULL ORDER BY degree DESC, name LIMIT ?"
    return _column(conn.execute(sql, (limit,)))


def labels_containing(conn: sqlite3.Connection, text: str, limit: int) -> list[str]:
    """Return names that contain `text`, ignoring case."""
    sql = "SELECT name FROM entity INDEXED BY entity_folded WHERE folded IS NOT NULL AND instr(folded, ?) > 0 LIMIT ?"
    return _column(conn.execute(sql, (text.casefold(), limit)))


def counts(conn: sqlite3.Connection) -> tuple[int, int]:
    """Return the numbers of nodes and edges."""
    nodes = conn.execute("SELECT count(*) FROM entity INDEXED BY entity_degree WHERE degree IS NOT NULL")
    edges = conn.execute("SELECT count(*) FROM relation WHERE weight IS NOT NULL")
    return int(nodes.fetchone()[0]), int(edges.fetchone()[0])


def _ends(conn: sqlite3.Connection, pairs: Iterable[Pair]) -> dict[str, int]:
    names = {name for pair in pairs for name in pair}
    found: dict[str, int] = {}
    for marks, part in in_lists(list(names)):
        sql = f"SELECT name, id FROM entity WHERE name IN ({marks}) AND degree IS NOT NULL"
        found.update(conn.execute(sql, part).fetchall())
    if missing := sorted(names - found.keys()):
        raise StorageError(f"no entity {missing[0]!r} exists for a relation on it; put the entities first")
    return found


def _delete_edges(conn: sqlite3.Connection, relations: list[int]) -> set[int]:
    """Make relation rows no edges any more; return the ends of rows that went with them."""
    lost: Counter[int] = Counter()
    log: list[Logged] = []
    for marks, part in in_lists(relations):
        sql = f"SELECT source, target FROM relation WHERE id IN ({marks}) AND weight IS NOT NULL"
        for source, target in conn.execute(sql, part).fetchall():
            lost.subtract({source, target})
            log.append((Change.RELATION_GONE, source, target))
        conn.execute(f"UPDATE relation SET weight = NULL, body = NULL WHERE id IN ({marks})", part)
    _add_degrees(conn, lost)
    log_changes(conn, log)
    return sweep_relations(conn, relations)


def _heaviest(conn: sqlite3.Connection, entity: int, limit: int) -> list[tuple[str, float]]:
    if limit <= 0:
        return []
    # The index gives weights in order; all rows as heavy as the last one that fits take part, as names break the tie.
    cut = conn.execute(
        "SELECT weight FROM (SELECT weight FROM relation WHERE source = ?1 AND weight IS NOT NULL"
        " UNION ALL SELECT weight FROM relation WHERE target = ?1 AND weight IS NOT NULL AND source <> target"
        " ORDER BY weight DESC LIMIT ?2) ORDER BY weight LIMIT 1",
        (entity, limit),
    ).fetchone()
    if cut is None:
        return []
    return conn.execute(
        "SELECT e.name, r.weight FROM (SELECT target AS id, weight FROM relation WHERE source = ?1 AND weight >= ?2"
        " UNION ALL SELECT source, weight FROM relation WHERE target = ?1 AND weight >= ?2 AND source <> target)"
        " AS r JOIN entity AS e ON e.id = r.id ORDER BY r.weight DESC, e.name LIMIT ?3",
        (entity, cut[0], limit),
    ).fetchall()


def _add_degrees(conn: sqlite3.Connection, gained: Counter[int]) -> None:
    conn.executemany(
        "UPDATE entity SET degree = degree + ? WHERE id = ?",
        [(count, entity) for entity, count in gained.items()],
    )


def _entity_body(entity: Entity) -> str:
    return fragment(
        entity.name,
        entity.type,
        entity.description,
        entity.mentions,
        entity.chunk_ids,
        entity.file_paths,
        entity.created_at,
    )


def _relation_body(relation: Relation) -> str:
    return fragment(
        relation.source,
        relation.target,
        relation.keywords,
        relation.description,
        relation.weight,
        relation.mentions,
        relation.chunk_ids,
        relation.file_paths,
        relation.created_at,
    )


def _entity(values: list[Any]) -> Entity:
    name, type, description, mentions, chunks, paths, created = values
    return Entity(name, type, description, mentions, tuple(chunks), tuple(paths), created)


def _relation(values: list[Any]) -> Relation:
    source, target, keywords, description, weight, mentions, chunks, paths, created = values
    return Relation(source, target, keywords, description, weight, mentions, tuple(chunks), tuple(paths), created)


def _column(cursor: sqlite3.Cursor) -> list[str]:
    return [value for (value,) in cursor.fetchall()]
