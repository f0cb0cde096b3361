"""A made-up corpus: the same documents for the same seed, on every machine and Python version.

Names follow a Zipf law, so that some entities occur in nearly every document and most in few, as in real text.
Words are built from syllables; they cost about 2.2 tokens each, so `tokens` is approximate.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

SYLLABLES = [consonant + vowel for consonant in "bcdfgklmnprstvz" for vowel in "aeiou"]
WORDS_PER_TOKEN = 0.45
NAME_EXPONENT = 0.9
FREQUENT_NAMES = 30


@dataclasses.dataclass(frozen=True)
class Document:
    """A document as it is sent to a server."""

    name: str
    text: str


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about two names of the corpus, with the keywords that a model would have found."""

    text: str
    low_level: tuple[str, ...]
    high_level: tuple[str, ...] = ("mentioned together", "context")


class Corpus:
    """Generates documents and questions over one set of names."""

    def __init__(self, seed: int = 11, names: int = 4000) -> None:
        rng = random.Random(seed)
        drawn = (f"{_word(rng, 2).title()} {_word(rng, 3).title()}" for _ in range(names))
        self._names = list(dict.fromkeys(drawn))
        self._weights = [1 / rank**NAME_EXPONENT for rank in range(1, len(self._names) + 1)]
        self._filler = [_word(rng, rng.randint(1, 3)) for _ in range(2000)]
        self._seed = seed

    def document(self, prefix: str, index: int, tokens: int) -> Document:
        """Return document `index` of the series `prefix`, of about `tokens` tokens."""
        rng = random.Random(f"{self._seed}/{prefix}/{index}")
        sentences: list[str] = []
        words = 0
        while words < tokens * WORDS_PER_TOKEN:
            sentence = self._sentence(rng)
            sentences.append(sentence)
            words += sentence.count(" ") + 1
        return Document(f"{prefix}-{index:05d}.txt", f"Report {prefix} {index}. " + " ".join(sentences))

    def series(self, prefix: str, lengths: list[int]) -> list[Document]:
        """Return one document for each length, in tokens."""
        return [self.document(prefix, index, tokens) for index, tokens in enumerate(lengths)]

    def questions(self, count: int, series: str) -> Iterator[Question]:
        """Yield `count` questions on a frequent name, which every corpus holds, and any other one.

        Each question has a text of its own, so that no answer can come from a cache.
        """
        rng = random.Random(f"{self._seed}/questions/{series}")
        for index in range(count):
            one = rng.choice(self._names[:FREQUENT_NAMES])
            other = rng.choices(self._names, self._weights)[0]
            yield Question(f"How is {one} connected with {other}? Case {series} {index}.", (one,))

    def _sentence(self, rng: random.Random) -> str:
        one, other = rng.choices(self._names, self._weights, k=2)
        before = " ".join(rng.choices(self._filler, k=rng.randint(8, 14)))
        after = " ".join(rng.choices(self._filler, k=rng.randint(4, 9)))
        return f"{one} {before} with {other} {after}."


def _word(rng: random.Random, syllables: int) -> str:
    return "".join(rng.choice(SYLLABLES) for _ in range(syllables))
