"""Merges candidate lists into one order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

from lightrag.retrieval.walk import WalkRules, soften
from lightrag.storage.contracts import Hit

K = TypeVar("K", bound=Hashable)

DEPTH = 40
"""How many hits of a list count as seeds. The spread of the scores is measured over these."""


def interleave(*lists: Iterable[K]) -> list[K]:
    """Take from each list in turn, each key once."""
    rounds = zip_longest(*([(key,) for key in keys] for keys in lists), fillvalue=())
    return list(dict.fromkeys(key for turn in rounds for key in chain.from_iterable(turn)))


def softened(hits: Sequence[Hit], spread: float) -> dict[str, float]:
    """Return the weights of a list's best hits, summing to 1."""
    best = hits[:DEPTH]
    weights = soften([hit.score for hit in best], spread)
    return {hit.key: float(weight) for hit, weight in zip(best, weights, strict=True)}


def chunk_weights(
    dense: Sequence[Hit], lexical: Sequence[Hit], rules: WalkRules, sparse: Sequence[Hit] = ()
) -> dict[str, float]:
    """Fuse the lists of chunks into weights per chunk that sum to 1 (nothing where all are empty)."""
    shares = (
        (1 - rules.lexical_share, dense),
        (rules.lexical_share, lexical),
        (rules.sparse_share, sparse),
    )
    lists = [(share, softened(hits, rules.chunk_spread)) for share, hits in shares if hits and share > 0]
    total = sum(share for share, _ in lists)
    fused: dict[str, float] = {}
    for share, weights in lists:
        for key, weight in weights.items():
            fused[key] = fused.get(key, 0.0) + share / total * weight
    return fused
