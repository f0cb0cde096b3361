"""The graph store: each method hands its work to the thread that owns a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from lightrag.storage.contracts import EntityEvidence, GraphChanges, RelationEvidence, Touched
from lightrag.storage.sqlite import changes, mentions, nodes
from lightrag.storage.sqlite.schema import clear_graph
from lightrag.storage.sqlite.session import Session
from lightrag.storage.sqlite.sql import snapshot
from lightrag.types import Entity, EntityMention, Pair, Relation, RelationMention


class SQLiteGraph:
    """Mentions, entities and relations of a workspace."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put_mentions(self, entities: Sequence[EntityMention], relations: Sequence[RelationMention]) -> Touched:
        """Store mentions, replacing those of the same key and chunk; return the keys."""
        return await self._session.write(lambda conn: mentions.put_mentions(conn, entities, relations))

    async def delete_mentions(self, chunk_ids: Sequence[str]) -> Touched:
        """Remove all mentions by these chunks; return the keys that lost any."""
        return await self._session.write(lambda conn: mentions.delete_mentions(conn, chunk_ids))

    async def entity_evidence(
        self, names: Sequence[str], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[str, EntityEvidence]:
        """Return evidence of each name that has any; with `doc_ids` only mentions by these documents count."""
        return await self._session.read(lambda conn: mentions.entity_evidence(conn, names, limit, doc_ids))

    async def relation_evidence(
        self, pairs: Sequence[Pair], limit: int, *, doc_ids: Collection[str] | None = None
    ) -> dict[Pair, RelationEvidence]:
        """Return evidence of each pair that has any; with `doc_ids` only mentions by these documents count."""

        def work(conn: sqlite3.Connection) -> dict[Pair, RelationEvidence]:
            with snapshot(conn):
                return mentions.relation_evidence(conn, pairs, limit, doc_ids)

        return await self._session.read(work)

    async def mentioned_by(self, chunk_ids: Sequence[str]) -> Touched:
        """Return the keys that these chunks mention."""

        def work(conn: sqlite3.Connection) -> Touched:
            with snapshot(conn):
                return mentions.mentioned_by(conn, chunk_ids)

        return await self._session.read(work)

    async def scan_mention_keys(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return names that have entity mentions, by name."""
        sql = "SELECT name FROM entity WHERE name > ? AND mentions > 0 ORDER BY name LIMIT ?"

        def work(conn: sqlite3.Connection) -> list[str]:
            return [name for (name,) in conn.execute(sql, (after, limit)).fetchall()]

        return await self._session.read(work)

    async def scan_mention_pairs(self, *, after: Pair | None = None, limit: int = 1000) -> list[Pair]:
        """Return pairs that have relation mentions, by pair."""
        sql = nodes.pairs_after("s.name, t.name", "r.mentions > 0")

        def work(conn: sqlite3.Connection) -> list[Pair]:
            return conn.execute(sql, (*(after or ("", "")), limit)).fetchall()

        return await self._session.read(work)

    async def put_entities(self, entities: Sequence[Entity]) -> None:
        """Insert or replace nodes."""
        await self._session.write(lambda conn: nodes.put_entities(conn, entities))

    async def put_relations(self, relations: Sequence[Relation]) -> None:
        """Insert or replace edges; raises `StorageError` where an end is missing."""
        await self._session.write(lambda conn: nodes.put_relations(conn, relations))

    async def delete_entities(self, names: Sequence[str]) -> None:
        """Remove nodes and every edge on them."""
        await self._session.write(lambda conn: nodes.delete_entities(conn, names))

    async def delete_relations(self, pairs: Sequence[Pair]) -> None:
        """Remove edges."""
        await self._session.write(lambda conn: nodes.delete_relations(conn, pairs))

    async def get_entities(self, names: Sequence[str]) -> dict[str, Entity]:
        """Return nodes by name."""
        return await self._session.read(lambda conn: nodes.get_entities(conn, names))

    async def get_relations(self, pairs: Sequence[Pair]) -> dict[Pair, Relation]:
        """Return edges by pair."""

        def work(conn: sqlite3.Connection) -> dict[Pair, Relation]:
            with snapshot(conn):
                return nodes.get_relations(conn, pairs)

        return await self._session.read(work)

    async def degrees(self, names: Sequence[str]) -> dict[str, int]:
        """Return the number of edges on each existing node."""
        return await self._session.read(lambda conn: nodes.degrees(conn, names))

    async def relations_of(self, names: Sequence[str], limit: int) -> dict[str, list[tuple[str, float]]]:
        """Return per node at most `limit` (neighbour, weight), heaviest first, ties by name."""

        def work(conn: sqlite3.Connection) -> dict[str, list[tuple[str, float]]]:
            with snapshot(conn):
                return nodes.relations_of(conn, names, limit)

        return await self._session.read(work)

    async def scan_entities(self, *, after: str = "", limit: int = 1000) -> list[Entity]:
        """Return nodes with name > `after`, by name."""
        return await self._session.read(lambda conn: nodes.scan_entities(conn, after, limit))

    async def scan_relations(self, *, after: Pair | None = None, limit: int = 1000) -> list[Relation]:
        """Return edges with pair > `after`, by pair."""
        return await self._session.read(lambda conn: nodes.scan_relations(conn, after, limit))

    async def popular_labels(self, limit: int) -> list[str]:
        """Return names by degree descending, ties by name."""
        return await self._session.read(lambda conn: nodes.popular_labels(conn, limit))

    async def labels_containing(self, text: str, limit: int) -> list[str]:
        """Return names that contain `text`, ignoring case; any order, at most `limit`."""
        return await self._session.read(lambda conn: nodes.labels_containing(conn, text, limit))

    async def counts(self) -> tuple[int, int]:
        """Return the numbers of nodes and edges."""

        def work(conn: sqlite3.Connection) -> tuple[int, int]:
            with snapshot(conn):
                return nodes.counts(conn)

        return await self._session.read(work)

    async def clear(self) -> None:
        """Remove all mentions, nodes and edges."""
        await self._session.write(clear_graph)

    async def changes(self, since: int) -> GraphChanges:
        """Return what changed after sequence number `since` (0: everything)."""

        def work(conn: sqlite3.Connection) -> GraphChanges:
            with snapshot(conn):
                return changes.changes(conn, since)

        return await self._session.read(work)
