"""BM25 over terms that are held in memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

K1 = 1.2
B = 0.75
LEAST_IDF = 1e-6
"""What a term in half of all rows or more counts, as SQLite's FTS5 has it."""


def bm25(rows: Mapping[str, Sequence[str]], query: Sequence[str]) -> dict[str, float]:
    """Return the scores of the rows that hold any term of the query; higher is better.

    The formula is that of Robertson and Zaragoza (2009) with k1 = 1.2, b = 0.75 and
    idf = ln((N - n + 0.5) / (n + 0.5)).
    """
    average = sum(map(len, rows.values())) / len(rows) if rows else 0.0
    counts = {key: Counter(terms) for key, terms in rows.items()}
    scores: dict[str, float] = {}
    for term in dict.fromkeys(query):
        holders = [key for key, terms in counts.items() if term in terms]
        idf = math.log((len(rows) - len(holders) + 0.5) / (len(holders) + 0.5)) if holders else 0.0
        for key in holders:
            frequency = counts[key][term]
            length = K1 * (1 - B + B * len(rows[key]) / average)
            gain = max(idf, LEAST_IDF) * frequency * (K1 + 1) / (frequency + length)
            scores[key] = scores.get(key, 0.0) + gain
    return scores
