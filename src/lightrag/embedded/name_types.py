"""Sorts names into types by the words in them and around them."""

from __future__ import annotations

from collections import Counter

from lightrag.embedded.lexicon import PERSON_AFTER, PERSON_BEFORE, PERSON_TITLES, PLACE_BEFORE, TYPE_OF_WORD
from lightrag.embedded.names import Found

DEFAULT_TYPE = "concept"
_BEFORE = 30
"""How many characters before a name are looked at."""


class TypeVotes:
    """Collects over a passage what speaks for each type of each name."""

    def __init__(self) -> None:
        self._votes: dict[str, Counter[str]] = {}

    def add(self, name: str, item: Found, sentence: str) -> None:
        """Take note of one place where a name stands."""
        votes = self._votes.setdefault(name, Counter())
        if item.kind is not None:
            votes[item.kind] += 3
        if not item.name[:1].isupper():
            return
        before = sentence[max(0, item.start - _BEFORE) : item.start].split()
        last = before[-1] if before else ""
        if last == "the":
            last = before[-2] if len(before) > 1 else ""
        if last in PERSON_BEFORE or PERSON_AFTER.match(sentence, item.end):
            votes["person"] += 1
        elif last in PLACE_BEFORE:
            votes["location"] += 1

    def kind(self, name: str) -> str:
        """Return the type of a name: by its own words first, then by what stands around it."""
        words = [word.casefold().strip(".,") for word in name.split()]
        if len(words) > 1 and words[0] in PERSON_TITLES and "of" not in words:
            return "person"
        head = words[words.index("of") - 1] if "of" in words[1:] else words[-1] if words else ""
        for word in (head, *words[:1], *(word for word in words[1:-1])):
            if len(words) > 1 and word in TYPE_OF_WORD:
                return TYPE_OF_WORD[word]
        votes = self._votes.get(name)
        if votes:
            return min(votes, key=lambda kind: (-votes[kind], kind))
        return DEFAULT_TYPE
