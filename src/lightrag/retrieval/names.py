"""Finds entities by how their names are spelled, without regard to case, accents, articles and punctuation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lightrag.text.scripts import CJK, SOUTH_EAST
from lightrag.text.stopwords import stop_words_of
from lightrag.text.words import fold

# Scripts without spaces are cut into characters, so that a name is found inside a run of text.
_TOKEN = re.compile(rf"[{CJK}{SOUTH_EAST}]|[^\W_{CJK}{SOUTH_EAST}]+")
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_ARTICLES = frozenset({"the", "a", "an"})
LONGEST_NAME = 12
"""Tokens of the longest name that is looked for in a question."""


def spelling(name: str) -> str:
    """Return the folded spelling under which variants of a name meet; "" where nothing is left."""
    tokens = _tokens(name)
    bare = [token for token in tokens if token not in _ARTICLES]
    return " ".join(bare or tokens)


def spellings_in(question: str) -> Iterator[str]:
    """Yield the folded spellings of all runs of words in a question that could be names."""
    tokens = [token for token in _tokens(question) if token not in _ARTICLES]
    stops = stop_words_of(tokens)
    seen: set[str] = set()
    for start in range(len(tokens)):
        for end in range(start + 1, min(start + LONGEST_NAME, len(tokens)) + 1):
            run = tokens[start:end]
            # One character names nothing, and words that say nothing do not either.
            if (end == start + 1 and len(run[0]) == 1) or stops.issuperset(run):
                continue
            joined = " ".join(run)
            if joined not in seen:
                seen.add(joined)
                yield joined


def _tokens(text: str) -> list[str]:
    folded = fold(text)
    return (_ASCII_TOKEN if folded.isascii() else _TOKEN).findall(folded)
