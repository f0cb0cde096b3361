"""Documents whose contents the tests know, and a model that answers by rule."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from lightrag.testing.model_answers import TUPLE_DELIMITER, Answerer, passage_of

_PERSON = re.compile(r"\b[A-Z][a-z]+ of [A-Z][a-z]+\b")
_FIRST = ("Ada", "Bela", "Cyra", "Dora", "Egon", "Fritz", "Gerda", "Hanno", "Ilse", "Jost")
_PLACES = ("Aalen", "Bremen", "Celle", "Dessau", "Erfurt", "Fulda", "Gotha")


def chronicle(number: int, paragraphs: int = 4, edition: int = 1) -> str:
    """Return a text of several paragraphs in which people of a small circle meet; each paragraph is a chunk or so."""
    return "\n\n".join(_paragraph(number, index, edition) for index in range(paragraphs))


def _paragraph(number: int, index: int, edition: int) -> str:
    def person(step: int) -> str:
        place = _PLACES[(number * 3 + index * step) % len(_PLACES)]
        return f"{_FIRST[(number + index * step) % len(_FIRST)]} of {place}"

    changed = f", as edition {edition} has it" if edition > 1 and index % 2 else ""
    return (
        f"Chronicle {number}, leaf {index}{changed}. In that year {person(1)} wrote a long letter to {person(2)} about "
        f"the price of salt and the state of the roads, and {person(3)} carried it over the mountains in winter. "
        f"Nobody knows what became of the answer that {person(2)} gave, but {person(1)} was seen at the market again."
    )


def digest_of(messages: Sequence[dict[str, Any]]) -> str:
    """Return a mark of a conversation; every answer to it carries the mark."""
    said = "\x00".join(str(message.get("content")) for message in messages)
    return f"q{hashlib.md5(said.encode(), usedforsecurity=False).hexdigest()[:16]}"


def answer_with_mark(body: dict[str, Any]) -> str:
    """Answer as a model would; extractions and summaries name the mark of what was asked."""
    messages = body.get("messages") or []
    mark = digest_of(messages)
    everything = "\n".join(str(message.get("content")) for message in messages)
    if TUPLE_DELIMITER in everything and "high_level_keywords" not in everything:
        return "\n".join(_extraction(passage_of(str(messages[-1].get("content"))), mark))
    answer = Answerer().answer(messages)
    return answer if answer.startswith("{") else f"{answer} {mark}"


def _extraction(passage: str, mark: str) -> Iterator[str]:
    people = list(dict.fromkeys(_PERSON.findall(passage)))
    for person in people:
        yield TUPLE_DELIMITER.join(("entity", person, "Person", f"{person} is named in {mark}."))
    for left, right in itertools.pairwise(people):
        yield TUPLE_DELIMITER.join(("relation", left, right, "letters", f"{left} knew {right} says {mark}."))
    yield "<|COMPLETE|>"
