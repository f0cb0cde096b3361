"""Full-text index over chunks: FTS5 over terms that the caller has cut."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence

from lightrag.storage.contracts import Hit
from lightrag.storage.sqlite.session import Session
from lightrag.storage.sqlite.sql import in_lists, joined_in, snapshot

_EVERYWHERE = 0.5
"""BM25 gives nothing for a term in more than this share of all rows, so such terms only cost time."""
_COMMON = 20_000
"""A term in more rows than this is left out where rarer ones are asked for."""
_FEW = 500
"""A term in at most this many rows is never too common."""
_RANKED = 2_000
"""About so many rows are ranked: those with the rarest terms. The other terms count in their ranks."""

# What the tokenizer would cut at or fold becomes a private character and a harmless one.
_ESCAPE = "\ue000"
_SPECIAL = re.compile(r"[\x00-\x20A-Z\x7f\ue000]")
_TABLE = {code: _ESCAPE + chr(0xE100 + code) for code in (*range(0x21), *range(ord("A"), ord("Z") + 1), 0x7F)}
_TABLE[ord(_ESCAPE)] = _ESCAPE + "\ue1ff"


def encode_terms(terms: Sequence[str]) -> str:
    """Return terms as a text which the tokenizer cuts into exactly one token per term."""
    if _SPECIAL.search("".join(terms)) is None:
        return " ".join(filter(None, terms))
    return " ".join(term.translate(_TABLE) for term in terms if term)


class SQLiteLexical:
    """Terms of chunks, ranked by BM25 (k1 = 1.2, b = 0.75)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put(self, rows: Mapping[str, Sequence[str]]) -> None:
        """Insert or replace the terms of each key."""
        if not rows:
            return

        def work(conn: sqlite3.Connection) -> None:
            encoded = {key: encode_terms(terms) for key, terms in rows.items()}
            known: dict[str, str] = {}
            for marks, part in in_lists(list(rows)):
                sql = f"SELECT key, terms FROM passage WHERE key IN ({marks})"
                known.update(conn.execute(sql, part).fetchall())
            changed = {key: terms for key, terms in encoded.items() if known.get(key) != terms}
            self._remove(conn, [key for key in changed if key in known])
            for key, terms in changed.items():
                rowid = conn.execute("INSERT INTO passage(key, terms) VALUES (?, ?)", (key, terms)).lastrowid
                conn.execute("INSERT INTO passage_index(rowid, terms) VALUES (?, ?)", (rowid, terms))

        await self._session.write(work)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove keys."""
        if keys:
            await self._session.write(lambda conn: self._remove(conn, keys))

    async def search(self, terms: Sequence[str], limit: int, *, within: Collection[str] | None = None) -> list[Hit]:
        """Return the best keys that hold any of `terms`; `within` restricts before ranking.

        Of many terms the commonest do not find rows, they only rank what the rarer ones find.
        """
        phrases = list(dict.fromkeys(_phrase(term) for term in terms if term))
        keys = None if within is None else list(within)
        if not phrases or limit <= 0 or keys == []:
            return []

        def work(conn: sqlite3.Connection) -> list[Hit]:
            with snapshot(conn):
                if keys is not None:
                    return _ranked_within(conn, phrases, keys, limit)
                return _ranked(conn, phrases, limit)

        return await self._session.read(work)

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return at most `limit` keys greater than `after`, in order."""

        def work(conn: sqlite3.Connection) -> list[str]:
            sql = "SELECT key FROM passage WHERE key > ? ORDER BY key LIMIT ?"
            return [key for (key,) in conn.execute(sql, (after, limit)).fetchall()]

        return await self._session.read(work)

    async def count(self) -> int:
        """Return the number of keys."""

        def work(conn: sqlite3.Connection) -> int:
            return int(conn.execute("SELECT count(*) FROM passage").fetchone()[0])

        return await self._session.read(work)

    def _remove(self, conn: sqlite3.Connection, keys: Sequence[str]) -> None:
        for marks, part in in_lists(keys):
            conn.execute(
                "INSERT INTO passage_index(passage_index, rowid, terms)"
                f" SELECT 'delete', id, terms FROM passage WHERE key IN ({marks})",
                part,
            )
            conn.execute(f"DELETE FROM passage WHERE key IN ({marks})", part)


def _phrase(term: str) -> str:
    """Return a term as a string of the FTS5 query language."""
    escaped = encode_terms((term,)).replace('"', '""')
    return f'"{escaped}"'


# The unary plus keeps SQLite from running the text query once for each row of the list.
_LISTED = " AND +rowid IN (SELECT value FROM json_each(?))"
_FOUND = " AND +rowid IN (SELECT rowid FROM passage_index WHERE passage_index MATCH ?)"
_BEST = (
    "SELECT p.key, -f.score FROM (SELECT rowid AS id, bm25(passage_index) AS score FROM passage_index"
    " WHERE passage_index MATCH ?{} ORDER BY score, id LIMIT ?) AS f JOIN passage AS p ON p.id = f.id"
    " ORDER BY f.score, f.id"
)


def _ranked(conn: sqlite3.Connection, phrases: list[str], limit: int) -> list[Hit]:
    weighed = _weighed(conn, phrases)
    if not weighed:
        return []
    chosen, finding = " OR ".join(phrase for _, phrase in weighed), _finding(weighed, limit)
    if finding == chosen:
        return _hits(conn, _BEST.format(""), (chosen, limit))
    return _hits(conn, _BEST.format(_FOUND), (chosen, finding, limit))


def _ranked_within(conn: sqlite3.Connection, phrases: list[str], keys: list[str], limit: int) -> list[Hit]:
    ids = joined_in(conn, "SELECT CAST(group_concat(id) AS BLOB) FROM passage WHERE key IN ({})", keys)
    listed = f"[{','.join(map(str, ids))}]"
    if len(ids) <= _RANKED:
        return _hits(conn, _BEST.format(_LISTED), (" OR ".join(phrases), listed, limit))
    weighed = _weighed(conn, phrases)
    if not weighed:
        return []
    chosen, finding = " OR ".join(phrase for _, phrase in weighed), _finding(weighed, limit)
    return _hits(conn, _BEST.format(_FOUND + _LISTED), (chosen, finding, listed, limit))


def _finding(weighed: list[tuple[int, str]], limit: int) -> str:
    """Return a query for the rarest terms, which together find about as many rows as can be ranked quickly."""
    phrases, rows = [weighed[0][1]], weighed[0][0]
    for count, phrase in weighed[1:]:
        rows += count
        if rows > max(_RANKED, 4 * limit):
            break
        phrases.append(phrase)
    return " OR ".join(phrases)


def _weighed(conn: sqlite3.Connection, phrases: list[str]) -> list[tuple[int, str]]:
    """Return (rows, phrase) of those that occur, rarest first, without those that are too common to matter."""
    total = int(conn.execute("SELECT count(*) FROM passage").fetchone()[0])
    most = max(_FEW, int(min(total * _EVERYWHERE, _COMMON)))
    sql = "SELECT count(*) FROM (SELECT 1 FROM passage_index WHERE passage_index MATCH ? LIMIT ?)"
    counts = sorted((int(conn.execute(sql, (phrase, most + 1)).fetchone()[0]), phrase) for phrase in phrases)
    found = [(count, phrase) for count, phrase in counts if count]
    return [(count, phrase) for count, phrase in found if count <= most] or found


def _hits(conn: sqlite3.Connection, sql: str, parameters: tuple[str | int, ...]) -> list[Hit]:
    return [Hit(key, score) for key, score in conn.execute(sql, parameters).fetchall()]
