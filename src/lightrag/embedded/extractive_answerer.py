"""Answers by quotation where no language model is configured: the sentences that fit best, with references."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lightrag.embedded.phrases import phrases_for
from lightrag.errors import ModelError
from lightrag.llm.contracts import EmbeddingModel, FloatArray
from lightrag.text.scripts import is_cjk
from lightrag.text.sentences import sentences
from lightrag.text.words import index_terms, query_terms
from lightrag.types import RankedChunk

MAX_CHUNKS = 12
MAX_EMBEDDED = 48
"""Sentences that are compared by meaning, chosen by their words and their chunk's rank."""
MAX_QUOTES = 5
MAX_QUOTED_CHARS = 1200
MAX_SENTENCE_CHARS = 500
MIN_SENTENCE_CHARS = 20
MIN_CJK_CHARS = 6
KEPT_SHARE = 0.65
"""A quotation scores at least this share of the best."""
REPETITION = 0.85
"""Cosine or word overlap from which two sentences say the same."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Measure:
    """How cosine, shared words and the chunk's rank add up, and which of the first two makes a sentence fit."""

    likeness: float
    words: float
    rank: float
    enough_likeness: float
    """Cosine from which a sentence fits a question though it shares no words."""
    enough_words: float
    """Share of the question's words, weighted by rarity, from which a sentence fits whatever its cosine."""


LATIN = _Measure(0.6, 0.35, 0.05, enough_likeness=0.3, enough_words=0.4)
OTHER = _Measure(0.25, 0.7, 0.05, enough_likeness=1.1, enough_words=0.25)
"""For questions in other scripts, which an English embedding model hardly tells apart: words decide."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Candidate:
    text: str
    terms: frozenset[str]
    chunk_rank: int
    place: tuple[str, int, int]
    """Document, order of its chunk, position in the chunk."""
    reference_id: str
    coverage: float = 0.0


def _line(item: _Candidate) -> str:
    """Return a quotation; a document without a name is not among the references, and has no number."""
    return f"- {item.text} [{item.reference_id}]" if item.reference_id else f"- {item.text}"


class ExtractiveAnswerer:
    """Quotes passages. `embedder` compares sentences with the question; without its help words alone decide."""

    def __init__(self, embedder: EmbeddingModel) -> None:
        self._embedder = embedder

    async def quote(self, question: str, chunks: Sequence[RankedChunk]) -> str:
        """Return the best sentences, each with its reference number, in the language of the question.

        They are sorted by document, best document first, and within it as they are read. The last line says that no
        language model is configured and how to configure one. Where nothing fits, the answer says so.
        """
        phrases = phrases_for(question)
        candidates = await asyncio.to_thread(_candidates, question, chunks)
        likeness, likeness_among = await self._compare(question, candidates)
        chosen = _choose(candidates, _measure_for(question), likeness, likeness_among)
        if not chosen:
            return f"{phrases.nothing}\n\n_{phrases.note}_"
        quotes = "\n".join(map(_line, _in_reading_order(chosen)))
        return f"{phrases.found}\n\n{quotes}\n\n_{phrases.note}_"

    async def _compare(self, question: str, candidates: Sequence[_Candidate]) -> tuple[FloatArray, FloatArray]:
        """Return the cosines of candidates to the question, shape (n,), and to each other, shape (n, n)."""
        count = len(candidates)
        if not candidates:
            return np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
        try:
            asked = await self._embedder.embed([question], purpose="query")
            read = await self._embedder.embed([item.text for item in candidates], purpose="document")
        except ModelError:
            return np.zeros(count, np.float32), np.zeros((count, count), np.float32)
        return read @ asked[0], read @ read.T


def _candidates(question: str, chunks: Sequence[RankedChunk]) -> list[_Candidate]:
    """Return the distinct sentences of the best chunks that are worth comparing by meaning."""
    seen: set[str] = set()
    found: list[_Candidate] = []
    for rank, ranked in enumerate(chunks[:MAX_CHUNKS]):
        content = ranked.chunk.content
        for start, end in sentences(content):
            text = " ".join(content[start:end].split())[:MAX_SENTENCE_CHARS].strip("#*- ")
            shortest = MIN_CJK_CHARS if is_cjk(text) else MIN_SENTENCE_CHARS
            if len(text) < shortest or text in seen:
                continue
            seen.add(text)
            place = (ranked.chunk.doc_id, ranked.chunk.order, start)
            found.append(_Candidate(text, frozenset(index_terms(text)), rank, place, ranked.reference_id))
    asked = query_terms(question)
    holders = Counter(term for item in found for term in asked if term in item.terms)
    weights = {term: math.log(1 + (len(found) + 0.5) / (holders[term] + 0.5)) for term in asked}
    total = sum(weights.values()) or 1.0
    scored = [
        dataclasses.replace(item, coverage=sum(weights[term] for term in asked if term in item.terms) / total)
        for item in found
    ]
    scored.sort(key=lambda item: (-(item.coverage - 0.02 * item.chunk_rank), item.chunk_rank, item.place))
    return scored[:MAX_EMBEDDED]


def _measure_for(question: str) -> _Measure:
    letters = [letter for letter in question if letter.isalpha()]
    latin = sum(letter < "\u0250" for letter in letters)
    return LATIN if latin * 2 >= len(letters) else OTHER


def _choose(
    candidates: Sequence[_Candidate], measure: _Measure, likeness: FloatArray, among: FloatArray
) -> list[_Candidate]:
    """Return the sentences to quote, best first: those that fit, none saying what another has said."""
    scores = [
        measure.likeness * float(like) + measure.words * item.coverage + measure.rank / (1 + item.chunk_rank)
        for item, like in zip(candidates, likeness, strict=True)
    ]
    fitting = [
        index
        for index, item in enumerate(candidates)
        if likeness[index] >= measure.enough_likeness or item.coverage >= measure.enough_words
    ]
    fitting.sort(key=lambda index: (-scores[index], candidates[index].place))
    chosen: list[int] = []
    room = MAX_QUOTED_CHARS
    for index in fitting:
        if len(chosen) == MAX_QUOTES or scores[index] < KEPT_SHARE * scores[fitting[0]]:
            break
        item = candidates[index]
        repeats = any(
            among[index, other] >= REPETITION or _overlap(item.terms, candidates[other].terms) >= REPETITION
            for other in chosen
        )
        if not repeats and (len(item.text) <= room or not chosen):
            chosen.append(index)
            room -= len(item.text)
    return [candidates[index] for index in chosen]


def _overlap(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / max(1, min(len(first), len(second)))


def _in_reading_order(chosen: Sequence[_Candidate]) -> list[_Candidate]:
    """Sort by document, the one with the best sentence first, then by place."""
    documents = {item.place[0]: position for position, item in reversed(list(enumerate(chosen)))}
    return sorted(chosen, key=lambda item: (documents[item.place[0]], item.place[1:]))
