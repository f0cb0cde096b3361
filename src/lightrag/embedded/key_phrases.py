"""Finds the phrases that a passage is about: runs of content words that it repeats or that are long for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lightrag.text.stopwords import stop_words_of
from lightrag.text.words import fold

WORDS_PER_PHRASE = 150
"""A passage gives one phrase for so many words, but at least `MIN_PHRASES`."""
MIN_PHRASES = 3
MAX_PHRASES = 12
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*|[^\w\s]|\d+")
_NO_NOUN = ("ly", "ed")
"""Endings of English adverbs and participles, which make no phrase worth keeping."""


def key_phrases(sentences: Sequence[str]) -> list[tuple[str, int]]:
    """Return the best phrases of two or three words, in lower case, each with the index of its first sentence.

    Only words in lower case count, since names are found elsewhere; scripts without case have none.
    """
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    total = 0
    words_of = [_WORD.findall(sentence) for sentence in sentences]
    stops = stop_words_of([fold(word) for words in words_of[:6] for word in words[:20]])
    for index, words in enumerate(words_of):
        total += len(words)
        for phrase in _phrases(words, stops):
            counts[phrase] += 1
            first.setdefault(phrase, index)
    wanted = min(MAX_PHRASES, max(MIN_PHRASES, total // WORDS_PER_PHRASE))
    ranked = sorted(counts, key=lambda phrase: (-counts[phrase], -len(phrase), first[phrase], phrase))
    return [(phrase, first[phrase]) for phrase in ranked[:wanted]]


def _phrases(words: Sequence[str], stops: frozenset[str]) -> list[str]:
    phrases = []
    run: list[str] = []
    for word in (*words, "."):
        if len(word) > 2 and word.islower() and word not in stops and not word.endswith(_NO_NOUN):
            run.append(word)
            continue
        if 2 <= len(run) <= 3:
            phrases.append(" ".join(run))
        run = []
    return phrases
