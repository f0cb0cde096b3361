"""Mentions: what each chunk says of each name and pair. Totals are kept with every change, never counted anew."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson

from lightrag.errors import InvalidInput
from lightrag.storage.contracts import EntityEvidence, RelationEvidence, Touched
from lightrag.storage.evidence import MICRO, evidence_rank, micro_units, pair_key
from lightrag.storage.sqlite.interning import (
    Change,
    chunk_ids,
    entity_ids,
    intern_entities,
    intern_relations,
    log_changes,
    relation_ids,
    sweep_entities,
    sweep_relations,
)
from lightrag.storage.sqlite.sql import Value, fragment, in_lists
from lightrag.types import (
    EntityMention,
    ExtractedEntity,
    ExtractedRelation,
    MentionSource,
    Pair,
    RelationMention,
)

EntityKey = tuple[str, str]
RelationKey = tuple[Pair, str]


def put_mentions(
    conn: sqlite3.Connection, entities: Sequence[EntityMention], relations: Sequence[RelationMention]
) -> Touched:
    """Store mentions, replacing those of the same key and chunk."""
    of_names = {(mention.entity.name, mention.source.chunk_id): mention for mention in entities}
    of_pairs = {
        ((mention.relation.source, mention.relation.target), mention.source.chunk_id): mention for mention in relations
    }
    names, pairs = dict.fromkeys(name for name, _ in of_names), dict.fromkeys(pair for pair, _ in of_pairs)
    sources = {m.source.chunk_id: m.source for m in of_names.values()}
    sources |= {m.source.chunk_id: m.source for m in of_pairs.values()}
    ends = dict.fromkeys(end for pair in pairs for end in pair)
    ids = intern_entities(conn, names | ends)
    chunks, fresh, changed = _intern_chunks(conn, sources)
    known = [chunks[key] for key in sources if key not in fresh]
    changed |= _put_entity_mentions(conn, of_names, ids, chunks, known)
    _put_relation_mentions(conn, of_pairs, intern_relations(conn, pairs, ids), chunks, known)
    log_changes(conn, [(Change.CHUNK, chunk, 0) for chunk in sorted(changed)])
    return Touched(frozenset(names), frozenset(pairs))


def delete_mentions(conn: sqlite3.Connection, keys: Sequence[str]) -> Touched:
    """Remove all mentions by these chunks."""
    chunks = list(chunk_ids(conn, keys).values())
    touched = _mentioned_by(conn, chunks)
    lost_entities: Counter[int] = Counter()
    lost_relations: Counter[int] = Counter()
    lost_weight: Counter[int] = Counter()
    for marks, part in in_lists(chunks):
        where = f"WHERE chunk IN ({marks})"
        rows = conn.execute(
            f"SELECT entity, rank, chunk FROM entity_mention INDEXED BY entity_mention_chunk {where}", part
        ).fetchall()
        lost_entities.update(entity for entity, _, _ in rows)
        conn.executemany("DELETE FROM entity_mention WHERE entity = ? AND rank = ? AND chunk = ?", rows)
        rows = conn.execute(f"SELECT relation, rank, chunk, micro FROM relation_mention {where}", part).fetchall()
        for relation, _, _, micro in rows:
            lost_relations[relation] += 1
            lost_weight[relation] += micro
        conn.executemany(
            "DELETE FROM relation_mention WHERE relation = ? AND rank = ? AND chunk = ?",
            [row[:3] for row in rows],
        )
        conn.execute(f"DELETE FROM chunk WHERE id IN ({marks})", part)
    _add_entity_totals(conn, {entity: -count for entity, count in lost_entities.items()})
    _add_relation_totals(
        conn, {relation: (-count, -lost_weight[relation]) for relation, count in lost_relations.items()}
    )
    log_changes(conn, [(Change.CHUNK_GONE, chunk, 0) for chunk in chunks])
    sweep_entities(conn, sweep_relations(conn, lost_relations).union(lost_entities))
    return touched


def mentioned_by(conn: sqlite3.Connection, keys: Sequence[str]) -> Touched:
    """Return the keys that these chunks mention."""
    return _mentioned_by(conn, list(chunk_ids(conn, keys).values()))


_SOURCE = "'[' || m.body || ',' || c.body || ']'"


def entity_evidence(
    conn: sqlite3.Connection, names: Sequence[str], limit: int, doc_ids: Collection[str] | None
) -> dict[str, EntityEvidence]:
    """Return the total and the first mentions of each name; with `doc_ids` of these documents only."""
    first = (
        f"(SELECT CAST(group_concat({_SOURCE}) AS BLOB) FROM"
        " (SELECT body, chunk FROM entity_mention WHERE entity = e.id{filter} ORDER BY rank, chunk LIMIT ?) AS m"
        " JOIN chunk AS c ON c.id = m.chunk)"
    )
    where, documents = _document_filter(doc_ids)
    total = f"(SELECT count(*) FROM entity_mention WHERE entity = e.id{where})" if where else "e.mentions"
    sql = f"SELECT e.name, {total}, {first.format(filter=where)} FROM entity AS e WHERE e.mentions > 0"
    found: dict[str, EntityEvidence] = {}
    for marks, part in in_lists(list(dict.fromkeys(names))):
        for name, count, body in conn.execute(f"{sql} AND e.name IN ({marks})", [*documents, *documents, limit, *part]):
            if count:
                found[name] = EntityEvidence(count, _entity_mentions(name, body))
    return found


def relation_evidence(
    conn: sqlite3.Connection, pairs: Sequence[Pair], limit: int, doc_ids: Collection[str] | None
) -> dict[Pair, RelationEvidence]:
    """Return the totals and the first mentions of each pair; with `doc_ids` of these documents only."""
    first = (
        f"(SELECT CAST(group_concat({_SOURCE}) AS BLOB) FROM"
        " (SELECT body, chunk FROM relation_mention WHERE relation = r.id{filter} ORDER BY rank, chunk LIMIT ?) AS m"
        " JOIN chunk AS c ON c.id = m.chunk)"
    )
    where, documents = _document_filter(doc_ids)
    totals = "r.mentions, r.total"
    if where:
        of_pair = f"FROM relation_mention WHERE relation = r.id{where}"
        totals = f"(SELECT count(*) {of_pair}), (SELECT coalesce(sum(micro), 0) {of_pair})"
    sql = f"SELECT r.id, {totals}, {first.format(filter=where)} FROM relation AS r WHERE r.mentions > 0"
    by_id = {id: pair for pair, id in _relations_among(conn, pairs).items()}
    found: dict[Pair, RelationEvidence] = {}
    for marks, part in in_lists(list(by_id)):
        parameters = [*documents * (3 if where else 0), limit, *part]
        for id, count, micro, body in conn.execute(f"{sql} AND r.id IN ({marks})", parameters):
            if count:
                found[by_id[id]] = RelationEvidence(count, micro / MICRO, _relation_mentions(by_id[id], body))
    return found


def _document_filter(doc_ids: Collection[str] | None) -> tuple[str, list[Value]]:
    if doc_ids is None:
        return "", []
    where = " AND chunk IN (SELECT id FROM chunk WHERE doc IN (SELECT value FROM json_each(?)))"
    return where, [orjson.dumps(list(doc_ids)).decode()]


def _relations_among(conn: sqlite3.Connection, pairs: Sequence[Pair]) -> dict[Pair, int]:
    names = list({name for pair in pairs for name in pair})
    return relation_ids(conn, pairs, entity_ids(conn, names))


def _entity_mentions(name: str, body: bytes | None) -> tuple[EntityMention, ...]:
    return tuple(
        EntityMention(ExtractedEntity(name, type, description), MentionSource(*source))
        for type, description, *source in _parsed(body)
    )


def _relation_mentions(pair: Pair, body: bytes | None) -> tuple[RelationMention, ...]:
    return tuple(
        RelationMention(ExtractedRelation(*pair, keywords, description, weight), MentionSource(*source))
        for keywords, description, weight, *source in _parsed(body)
    )


def _parsed(body: bytes | None) -> Iterable[list[Any]]:
    return orjson.loads(b"[" + body + b"]") if body else ()


def _intern_chunks(
    conn: sqlite3.Connection, sources: dict[str, MentionSource]
) -> tuple[dict[str, int], set[str], set[int]]:
    """Return the id of every chunk, the keys of those that are new, and the ids of those whose row changed."""
    known: dict[str, tuple[int, str]] = {}
    for marks, part in in_lists(list(sources)):
        rows = conn.execute(f"SELECT key, id, body FROM chunk WHERE key IN ({marks})", part).fetchall()
        known.update((key, (id, body)) for key, id, body in rows)
    ids: dict[str, int] = {}
    changed: set[int] = set()
    for key, source in sources.items():
        body = fragment(key, source.doc_id, source.order, source.file_path, source.created_at)
        if key not in known:
            cursor = conn.execute("INSERT INTO chunk(key, doc, body) VALUES (?, ?, ?)", (key, source.doc_id, body))
            ids[key] = cursor.lastrowid or 0
            changed.add(ids[key])
            continue
        ids[key], stored = known[key]
        if stored != body:
            conn.execute("UPDATE chunk SET doc = ?, body = ? WHERE id = ?", (source.doc_id, body, ids[key]))
            changed.add(ids[key])
    return ids, sources.keys() - known.keys(), changed


def _put_entity_mentions(
    conn: sqlite3.Connection,
    mentions: dict[EntityKey, EntityMention],
    ids: dict[str, int],
    chunks: dict[str, int],
    known_chunks: list[int],
) -> set[int]:
    """Write entity mentions and their totals; return the ids of chunks that mention an entity more."""
    before: set[tuple[int, int]] = set()
    for marks, part in in_lists(known_chunks):
        before.update(
            conn.execute(f"SELECT entity, chunk FROM entity_mention WHERE chunk IN ({marks})", part).fetchall()
        )
    rows, gained, changed = [], Counter[int](), set[int]()
    for (name, key), mention in mentions.items():
        entity, chunk = ids[name], chunks[key]
        body = fragment(mention.entity.type, mention.entity.description)
        rows.append((entity, evidence_rank(name, key), chunk, body))
        if (entity, chunk) not in before:
            gained[entity] += 1
            changed.add(chunk)
    conn.executemany(
        "INSERT INTO entity_mention(entity, rank, chunk, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET body = excluded.body WHERE body <> excluded.body",
        rows,
    )
    _add_entity_totals(conn, gained)
    return changed


def _put_relation_mentions(
    conn: sqlite3.Connection,
    mentions: dict[RelationKey, RelationMention],
    ids: dict[Pair, int],
    chunks: dict[str, int],
    known_chunks: list[int],
) -> None:
    before: dict[tuple[int, int], int] = {}
    for marks, part in in_lists(known_chunks):
        sql = f"SELECT relation, chunk, micro FROM relation_mention WHERE chunk IN ({marks})"
        before.update(((relation, chunk), micro) for relation, chunk, micro in conn.execute(sql, part))
    rows, gained = [], dict[int, tuple[int, int]]()
    for (pair, key), mention in mentions.items():
        relation, chunk, found = ids[pair], chunks[key], mention.relation
        micro = _micro(found)
        body = fragment(found.keywords, found.description, found.weight)
        rows.append((relation, evidence_rank(pair_key(pair), key), chunk, micro, body))
        old = before.get((relation, chunk))
        count, weight = gained.get(relation, (0, 0))
        gained[relation] = (count + (old is None), weight + micro - (old or 0))
    conn.executemany(
        "INSERT INTO relation_mention(relation, rank, chunk, micro, body) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET micro = excluded.micro, body = excluded.body WHERE body <> excluded.body",
        rows,
    )
    _add_relation_totals(conn, gained)


def _micro(relation: ExtractedRelation) -> int:
    try:
        return micro_units(relation.weight)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"the weight of {relation.source!r} - {relation.target!r} is {relation.weight}; give a finite number"
        ) from error


def _add_entity_totals(conn: sqlite3.Connection, gained: dict[int, int]) -> None:
    conn.executemany(
        "UPDATE entity SET mentions = mentions + ? WHERE id = ?",
        [(count, entity) for entity, count in gained.items()],
    )


def _add_relation_totals(conn: sqlite3.Connection, gained: dict[int, tuple[int, int]]) -> None:
    conn.executemany(
        "UPDATE relation SET mentions = mentions + ?, total = total + ? WHERE id = ?",
        [(count, micro, relation) for relation, (count, micro) in gained.items() if count or micro],
    )


def _mentioned_by(conn: sqlite3.Connection, chunks: list[int]) -> Touched:
    names: set[str] = set()
    pairs: set[Pair] = set()
    for marks, part in in_lists(chunks):
        rows = conn.execute(
            f"SELECT e.name FROM entity_mention AS m JOIN entity AS e ON e.id = m.entity WHERE m.chunk IN ({marks})",
            part,
        )
        names.update(name for (name,) in rows)
        pairs.update(
            conn.execute(
                "SELECT s.name, t.name FROM relation_mention AS m JOIN relation AS r ON r.id = m.relation"
                " JOIN entity AS s ON s.id = r.source JOIN entity AS t ON t.id = r.target"
                f" WHERE m.chunk IN ({marks})",
                part,
            )
        )
    return Touched(frozenset(names), frozenset(pairs))
