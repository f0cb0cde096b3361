"""The text index: terms by chunk, and behind them the chunks by term."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from lightrag.storage.contracts import Hit
from lightrag.storage.files.session import Session
from lightrag.storage.files.state import State
from lightrag.storage.files.table import Table
from lightrag.storage.ranking import K1, LEAST_IDF, B, bm25


class Postings:
    """Which keys hold a term, and how often; follows the bottom table of terms."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[str, int]] = {}
        self._lengths: dict[str, int] = {}
        self._total = 0

    def change(self, before: Table[str, tuple[str, ...]], layer: Table[str, tuple[str, ...]]) -> None:
        """Take in the changes of a layer over `before`, which does not hold them yet."""
        for key in (*layer.gone, *layer.changed):
            self._remove(key, before.get(key) or ())
        for key, terms in layer.changed.items():
            self._lengths[key] = len(terms)
            self._total += len(terms)
            for term, count in Counter(terms).items():
                self._holders.setdefault(term, {})[key] = count

    def _remove(self, key: str, terms: Sequence[str]) -> None:
        self._total -= self._lengths.pop(key, 0)
        for term in set(terms):
            holders = self._holders[term]
            del holders[key]
            if not holders:
                del self._holders[term]

    def scores(self, query: Sequence[str]) -> dict[str, float]:
        """Return what `lightrag.storage.ranking.bm25` returns over all rows."""
        rows = len(self._lengths)
        average = self._total / rows if rows else 0.0
        scores: dict[str, float] = {}
        for term in dict.fromkeys(query):
            holders = self._holders.get(term, {})
            idf = max(math.log((rows - len(holders) + 0.5) / (len(holders) + 0.5)), LEAST_IDF)
            for key, frequency in holders.items():
                length = K1 * (1 - B + B * self._lengths[key] / average)
                scores[key] = scores.get(key, 0.0) + idf * frequency * (K1 + 1) / (frequency + length)
        return scores


class FileLexical:
    """Full-text index over chunks."""

    def __init__(self, session: Session, postings: Postings) -> None:
        self._session = session
        self._postings = postings

    async def put(self, rows: Mapping[str, Sequence[str]]) -> None:
        """Insert or replace the terms of each key."""
        cleaned = {key: tuple([term for term in terms if term]) for key, terms in rows.items()}

        def work(state: State) -> None:
            for key, terms in cleaned.items():
                state.terms.put(key, terms)

        await self._session.write(work)

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove keys."""
        wanted = list(keys)

        def work(state: State) -> None:
            for key in wanted:
                state.terms.remove(key)

        await self._session.write(work)

    async def search(self, terms: Sequence[str], limit: int, *, within: Collection[str] | None = None) -> list[Hit]:
        """Return the best keys that hold any of `terms`; `within` restricts before ranking."""
        rows = self._session.state.terms
        # Inside a transaction that changed texts they are counted through; the index knows committed ones.
        scores = bm25(dict(rows.items()), terms) if self._is_changed(rows) else self._postings.scores(terms)
        allowed = set(within) if within is not None else scores.keys()
        hits = [Hit(key, score) for key, score in scores.items() if key in allowed]
        return sorted(hits, key=lambda hit: (-hit.score, hit.key))[: max(limit, 0)]

    async def scan(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return at most `limit` keys greater than `after`, in order."""
        keys = self._session.state.terms.ordered()
        start = bisect.bisect_right(keys, after)
        return keys[start : start + limit]

    async def count(self) -> int:
        """Return the number of keys."""
        return len(self._session.state.terms)

    def _is_changed(self, rows: Table[str, tuple[str, ...]]) -> bool:
        return rows.is_layer and rows.has_changes
