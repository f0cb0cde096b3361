"""Looks for contradictions between the tables of a workspace file, and makes anew what searches read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

import numpy as np

from lightrag.storage.contracts import Disagreements, FloatArray, VectorKind
from lightrag.storage.evidence import MICRO
from lightrag.storage.sqlite.matrix import encode_blobs
from lightrag.storage.sqlite.sql import in_lists

_AT_ONCE = 1024
_TOLERANCE = 1e-3
"""How far from 1 the length of a stored vector may be."""

# Each counts the rows that contradict others.
_GRAPH = {
    "mentions of entities that have no row": (
        "SELECT count(*) FROM entity_mention WHERE entity NOT IN (SELECT id FROM entity)"
    ),
    "mentions of relations that have no row": (
        "SELECT count(*) FROM relation_mention WHERE relation NOT IN (SELECT id FROM relation)"
    ),
    "mentions of entities by chunks that have no row": (
        "SELECT count(*) FROM entity_mention WHERE chunk NOT IN (SELECT id FROM chunk)"
    ),
    "mentions of relations by chunks that have no row": (
        "SELECT count(*) FROM relation_mention WHERE chunk NOT IN (SELECT id FROM chunk)"
    ),
    "relations whose ends have no row": (
        "SELECT count(*) FROM relation WHERE source NOT IN (SELECT id FROM entity)"
        " OR target NOT IN (SELECT id FROM entity)"
    ),
    "entities whose number of mentions is wrong": (
        "SELECT count(*) FROM entity AS e LEFT JOIN"
        " (SELECT entity, count(*) AS n FROM entity_mention GROUP BY entity) AS m ON m.entity = e.id"
        " WHERE e.mentions <> coalesce(m.n, 0)"
    ),
    "relations whose number of mentions or weight is wrong": (
        "SELECT count(*) FROM relation AS r LEFT JOIN"
        " (SELECT relation, count(*) AS n, sum(micro) AS micro FROM relation_mention GROUP BY relation) AS m"
        " ON m.relation = r.id WHERE r.mentions <> coalesce(m.n, 0) OR r.total <> coalesce(m.micro, 0)"
    ),
    "mentions of relations whose weight is wrong": (
        "SELECT count(*) FROM relation_mention"
        f" WHERE abs(micro - json_extract('[' || body || ']', '$[2]') * {MICRO}) > 1"
    ),
    "entities whose number of relations is wrong": (
        "SELECT count(*) FROM entity AS e LEFT JOIN (SELECT id, count(*) AS n FROM"
        " (SELECT source AS id FROM relation WHERE weight IS NOT NULL"
        " UNION ALL SELECT target FROM relation WHERE weight IS NOT NULL AND source <> target) GROUP BY id) AS r"
        " ON r.id = e.id WHERE coalesce(e.degree, 0) <> coalesce(r.n, 0)"
    ),
    "nodes whose name or contents is wrong": (
        "SELECT count(*) FROM entity WHERE (degree IS NULL) <> (body IS NULL) OR (degree IS NULL) <> (folded IS NULL)"
        " OR folded <> casefold(name) OR json_extract('[' || body || ']', '$[0]') <> name"
    ),
    "edges whose weight or contents is wrong": (
        "SELECT count(*) FROM relation WHERE (weight IS NULL) <> (body IS NULL)"
        " OR json_extract('[' || body || ']', '$[4]') <> weight"
    ),
    "entities that nothing refers to": (
        "SELECT count(*) FROM entity WHERE mentions = 0 AND degree IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM relation WHERE source = entity.id OR target = entity.id)"
    ),
    "relations that nothing refers to": "SELECT count(*) FROM relation WHERE mentions = 0 AND weight IS NULL",
}


def check(conn: sqlite3.Connection) -> Disagreements:
    """Return what the tables contradict each other in; inside a transaction."""
    conn.create_function("casefold", 1, str.casefold, deterministic=True)
    return Disagreements(
        graph=tuple(
            f"the graph's tables hold {count} {what}" for what, sql in _GRAPH.items() if (count := _counted(conn, sql))
        ),
        indexes=tuple(_index_problems(conn)),
        vectors=tuple((kind, key) for kind in VectorKind for key in _unusable(conn, kind)),
    )


def mend_indexes(conn: sqlite3.Connection) -> None:
    """Make the text index and the codes of vectors anew, inside a transaction; readers learn of it."""
    conn.execute("INSERT INTO passage_index(passage_index) VALUES ('rebuild')")
    for kind in VectorKind:
        codes, vectors = f"code_{kind.value}", f"vector_{kind.value}"
        conn.execute(f"DELETE FROM {codes}")
        ids = [id for (id,) in conn.execute(f"SELECT id FROM {vectors} ORDER BY id").fetchall()]
        for start in range(0, len(ids), _AT_ONCE):
            for marks, part in in_lists(ids[start : start + _AT_ONCE]):
                rows = conn.execute(f"SELECT id, embedding FROM {vectors} WHERE id IN ({marks})", part).fetchall()
                made = _codes(dict(rows), _size(conn))
                conn.executemany(f"INSERT INTO {codes}(id, code) VALUES (?, ?)", list(made.items()))
        conn.execute(f"INSERT INTO gone_{kind.value}(id) VALUES (0)")


def _index_problems(conn: sqlite3.Connection) -> list[str]:
    problems = []
    try:
        # With a rank of 1 the index is compared with the table that it is of.
        conn.execute("INSERT INTO passage_index(passage_index, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError:
        problems.append("the text index does not fit the passages")
    for kind in VectorKind:
        codes, vectors = f"code_{kind.value}", f"vector_{kind.value}"
        missing = _counted(conn, f"SELECT count(*) FROM {vectors} WHERE id NOT IN (SELECT id FROM {codes})")
        surplus = _counted(conn, f"SELECT count(*) FROM {codes} WHERE id NOT IN (SELECT id FROM {vectors})")
        if missing or surplus:
            problems.append(f"{missing} vectors of {kind.value} cannot be found, {surplus} are found but gone")
        wrong = _wrong_codes(conn, kind)
        if wrong:
            problems.append(f"{wrong} vectors of {kind.value} are found as others than they are")
    return problems


def _wrong_codes(conn: sqlite3.Connection, kind: VectorKind) -> int:
    """Count the codes that are not those of their vectors."""
    wrong, after = 0, 0
    sql = (
        f"SELECT id, embedding, code FROM vector_{kind.value} JOIN code_{kind.value} USING (id)"
        " WHERE id > ? ORDER BY id LIMIT ?"
    )
    while rows := conn.execute(sql, (after, _AT_ONCE)).fetchall():
        after = rows[-1][0]
        stored = {id: code for id, _, code in rows}
        made = _codes({id: embedding for id, embedding, _ in rows}, _size(conn))
        wrong += sum(stored[id] != code for id, code in made.items())
    return wrong


def _unusable(conn: sqlite3.Connection, kind: VectorKind) -> Iterator[str]:
    """Yield the keys of vectors of another length than all, or whose numbers no embedding gave.

    Zeros are what a model has no vector for, unless the code tells that there was one.
    """
    after, size = 0, _size(conn)
    empty = encode_blobs(np.zeros((1, size // 4), np.float32))[0] if size else b""
    sql = (
        f"SELECT id, key, embedding, code FROM vector_{kind.value} LEFT JOIN code_{kind.value} USING (id)"
        " WHERE id > ? ORDER BY id LIMIT ?"
    )
    while rows := conn.execute(sql, (after, _AT_ONCE)).fetchall():
        after = rows[-1][0]
        usable = _usable({id: embedding for id, _, embedding, _ in rows}, size)
        for id, key, _, code in rows:
            if id not in usable or (not usable[id].any() and code not in (None, empty)):
                yield key


def _codes(embeddings: Mapping[int, bytes], size: int) -> dict[int, bytes]:
    """Return the codes of those vectors that can be used, by id."""
    usable = _usable(embeddings, size)
    if not usable:
        return {}
    return dict(zip(usable, encode_blobs(np.stack(list(usable.values()))), strict=True))


def _usable(embeddings: Mapping[int, bytes], size: int) -> dict[int, FloatArray]:
    """Return the vectors of the right size whose length is 1, or 0: what a model has no vector for is kept as that."""
    whole = {id: np.frombuffer(blob, "<f4") for id, blob in embeddings.items() if len(blob) == size}
    if not whole:
        return {}
    norms = np.linalg.norm(np.stack(list(whole.values())), axis=1)
    fits = (np.abs(norms - 1) < _TOLERANCE) | (norms == 0)
    return {id: vector for (id, vector), fit in zip(whole.items(), fits.tolist(), strict=True) if fit}


def _size(conn: sqlite3.Connection) -> int:
    """Return the bytes of a vector; 0 where there is none yet."""
    row = conn.execute("SELECT value FROM setting WHERE name = 'dimension'").fetchone()
    return 4 * int(row[0]) if row else 0


def _counted(conn: sqlite3.Connection, sql: str) -> int:
    return int(conn.execute(sql).fetchone()[0])
