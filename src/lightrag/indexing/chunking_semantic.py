"""Ends a chunk where the meaning turns: between two sentences whose vectors lie far apart."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from lightrag.indexing.chunking_recursive import SEPARATORS, recursive_spans
from lightrag.indexing.chunking_spans import Span, TokenCounter, trimmed
from lightrag.types import BreakpointType

FloatArray = npt.NDArray[np.float64]

AMOUNTS: dict[BreakpointType, float] = {
    "percentile": 95.0,
    "standard_deviation": 3.0,
    "interquartile": 1.5,
    "gradient": 95.0,
}
"""What a threshold is made of where nothing is said: a percentile, or a factor."""
_BATCH = 256


class Embeds(Protocol):
    """The part of an embedding model that cutting needs."""

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> npt.NDArray[np.float32]:
        """Return L2-normalised vectors, shape (len(texts), dimension)."""
        ...


def sentences_by(pattern: str, text: str) -> list[tuple[int, int]]:
    """Cut a text at the matches of a regular expression; return spans without what matched."""
    spans, start = [], 0
    for found in re.finditer(pattern, text):
        spans.append((start, found.start()))
        start = found.end()
    return [*spans, (start, len(text))]


async def distances_between(
    text: str, sentences: Sequence[tuple[int, int]], model: Embeds, buffer_size: int
) -> FloatArray:
    """Return the cosine distance of each sentence to the next, shape (len(sentences) - 1,).

    A sentence is embedded with `buffer_size` neighbours on either side, so that short ones have a meaning.
    """
    found: list[FloatArray] = []
    last: npt.NDArray[np.float32] | None = None
    for at in range(0, len(sentences), _BATCH):
        batch = [
            text[
                sentences[max(0, number - buffer_size)][0] : sentences[min(number + buffer_size, len(sentences) - 1)][1]
            ]
            for number in range(at, min(at + _BATCH, len(sentences)))
        ]
        vectors = await model.embed(batch, purpose="document")
        joined = vectors if last is None else np.concatenate((last[None], vectors))
        found.append(1.0 - np.einsum("ij,ij->i", joined[:-1], joined[1:]).astype(np.float64))
        last = vectors[-1]
    return np.concatenate(found) if found else np.empty(0)


def breaks(distances: FloatArray, kind: BreakpointType, amount: float) -> list[int]:
    """Return behind which sentences a chunk ends.

    `percentile`: distances above that percentile. `standard_deviation`: above the mean plus so many deviations.
    `interquartile`: above the mean plus so many times the distance of the quartiles. `gradient`: where the distance
    rises faster than at that percentile of places.
    """
    if len(distances) < 2:
        return []
    values = distances
    if kind == "percentile":
        threshold = float(np.percentile(values, amount))
    elif kind == "standard_deviation":
        threshold = float(np.mean(values) + amount * np.std(values))
    elif kind == "interquartile":
        low, high = np.percentile(values, [25, 75])
        threshold = float(np.mean(values) + amount * (high - low))
    else:
        values = np.gradient(values)
        threshold = float(np.percentile(values, amount))
    return [int(at) for at in np.flatnonzero(values > threshold)]


async def semantic_spans(
    text: str,
    sentences: Sequence[tuple[int, int]],
    tokens: TokenCounter,
    model: Embeds,
    *,
    size: int,
    kind: BreakpointType,
    amount: float,
    buffer_size: int,
) -> list[Span]:
    """Return spans that end where the meaning turns; those of more than `size` tokens are cut further.

    Raises `ModelError` where the sentences cannot be embedded.
    """
    if not sentences:
        return []
    found = await distances_between(text, sentences, model, buffer_size)
    ends = [*breaks(found, kind, amount), len(sentences) - 1]
    return await asyncio.to_thread(lambda: list(_spans(text, sentences, ends, tokens, size)))


def _spans(
    text: str, sentences: Sequence[tuple[int, int]], ends: Sequence[int], tokens: TokenCounter, size: int
) -> Iterator[Span]:
    first = 0
    for last in ends:
        start, end = sentences[first][0], sentences[last][1]
        first = last + 1
        body = text[start:end]
        count = tokens.count(body)
        if count > size:
            for span in recursive_spans(body, tokens, size=size, overlap=0, separators=SEPARATORS):
                yield Span(start + span.start, start + span.end, span.tokens)
        elif (inner := trimmed(text, Span(start, end, count))) is not None:
            yield inner
