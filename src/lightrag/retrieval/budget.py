"""Cuts what was found to the tokens that a prompt may have."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

REMEMBERED_COUNTS = 20_000
RESERVE_TOKENS = 200
"""Left free in the prompt for what a server adds of its own."""
CHUNK_WRAPPING_TOKENS = 12
"""What a passage's line holds beside its text."""


class TokenCounter:
    """Counts tokens and remembers the counts of short texts, which recur from question to question."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._known: OrderedDict[str, int] = OrderedDict()

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        known = self._known.get(text)
        if known is not None:
            return known
        number = self._count(text)
        self._known[text] = number
        if len(self._known) > REMEMBERED_COUNTS:
            self._known.popitem(last=False)
        return number


def fit_lines(items: Sequence[T], lines: Iterable[str], limit: int, counter: TokenCounter) -> tuple[list[T], int]:
    """Return the first items whose lines fit into `limit` tokens, and how many tokens those are."""
    used = 0
    for kept, line in enumerate(lines):
        tokens = counter.count(line) + 1
        if used + tokens > limit:
            return list(items[:kept]), used
        used += tokens
    return list(items), used


def fit_sizes(items: Sequence[T], sizes: Sequence[int], limit: int) -> list[T]:
    """Return the first items whose sizes sum to at most `limit`."""
    used = 0
    for kept, size in enumerate(sizes):
        used += size
        if used > limit:
            return list(items[:kept])
    return list(items)
