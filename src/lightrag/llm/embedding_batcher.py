"""Split any number of texts, of any length, into calls of the size that a server takes, made side by side."""

from __future__ import annotations

import asyncio
import bisect
import logging
from collections.abc import Iterator, Sequence
from typing import Literal

from lightrag.errors import AccessRefused, ContextTooLong, ModelRefused
from lightrag.llm.contracts import EmbeddingModel, FloatArray, ModelFacts
from lightrag.llm.embedding_windows import Windows, measured
from lightrag.llm.vectors import joined

Purpose = Literal["document", "query"]
_ROOMS = tuple(int(64 * 1.5**step) for step in range(30))
"""Sizes of windows in bytes of UTF-8. They are fixed, so that what a model refuses first does not show in vectors."""

_REQUEST_REFUSED = (400, 413, 422)
"""Statuses by which servers refuse what is in a request."""

_FEW_CHARACTERS = 32_000
"""A call with fewer characters that is refused has too many texts rather than too much text."""

_log = logging.getLogger("lightrag.llm")


class BatchedEmbedding:
    """An embedding model that takes any number of texts of any length; the order is kept.

    At most `max_batch` texts and about `max_characters` go into one call (servers limit the tokens of a call as well as
    its texts). At most `parallel` calls of one `embed` are under way at once; how many there are in all is the
    limiter's to say. A call that is refused is split in halves, down to the one text that is to blame; where that is
    too long, it is embedded as windows. Where none is to blame, the call was too large: servers say so in many ways.
    How much the model takes is learned from what it refuses, and remembered.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        max_batch: int | None = None,
        *,
        max_characters: int = 400_000,
        parallel: int = 8,
    ) -> None:
        self._model = model
        self._max_batch = max_batch or model.facts.max_batch or 32
        self._max_characters = max_characters
        self._parallel = parallel
        self._room: int | None = None
        self._long = 0

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._model.facts

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> FloatArray:
        """Return L2-normalised vectors, shape (len(texts), dimension).

        Where one call fails the others are stopped, and its error is raised; `ContextTooLong` where the model finds
        even a few words too long.
        """
        windows = Windows(texts, self._room)
        return windows.merged(await self._embed_all(windows.pieces, purpose))

    async def _embed_all(self, texts: Sequence[str], purpose: Purpose) -> FloatArray:
        parts = list(self._split(texts))
        if len(parts) == 1:
            return await self._embed(parts[0], purpose)
        slots = asyncio.Semaphore(self._parallel)

        async def embed_part(part: Sequence[str]) -> FloatArray:
            async with slots:
                return await self._embed(part, purpose)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(embed_part(part)) for part in parts]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return joined([task.result() for task in tasks], self.facts.dimension)

    async def aclose(self) -> None:
        """Release connections and memory."""
        await self._model.aclose()

    def _split(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        start, characters = 0, 0
        for index, text in enumerate(texts):
            full = index - start == self._max_batch or characters + len(text) > self._max_characters
            if full and index > start:
                yield texts[start:index]
                start, characters = index, 0
            characters += len(text)
        if start < len(texts):
            yield texts[start:]

    async def _embed(self, texts: Sequence[str], purpose: Purpose) -> FloatArray:
        try:
            return await self._model.embed(texts, purpose=purpose)
        except ContextTooLong as refusal:
            if len(texts) == 1:
                return await self._embed_long(texts[0], purpose, refusal)
        except ModelRefused as refusal:
            if len(texts) == 1 or isinstance(refusal, AccessRefused) or refusal.status not in _REQUEST_REFUSED:
                raise
        half, long = len(texts) // 2, self._long
        parts = [await self._embed(texts[:half], purpose), await self._embed(texts[half:], purpose)]
        if self._long == long:
            self._keep_below(texts)
        return joined(parts, self.facts.dimension)

    def _keep_below(self, refused: Sequence[str]) -> None:
        """Make calls smaller than one that was refused although none of its texts is."""
        half, characters = -(-len(refused) // 2), sum(map(len, refused))
        if characters > _FEW_CHARACTERS and characters // 2 < self._max_characters:
            self._max_characters = characters // 2
        elif characters <= _FEW_CHARACTERS and half < self._max_batch:
            self._max_batch = half
        else:
            return
        _log.info(
            "%s refuses large calls; they have at most %s texts and %s characters from now on",
            self.facts.name,
            self._max_batch,
            self._max_characters,
        )

    async def _embed_long(self, text: str, purpose: Purpose, refusal: ContextTooLong) -> FloatArray:
        self._long += 1
        smaller = _ROOMS[: bisect.bisect_left(_ROOMS, len(measured(text)))]
        for room in reversed(smaller):
            windows = Windows([text], room)
            try:
                vectors = joined([await self._model.embed([piece], purpose=purpose) for piece in windows.pieces], None)
            except ContextTooLong:
                continue
            if self._room is None or room < self._room:
                self._room = room
                _log.info("%s refuses long texts; they are embedded in windows of %s bytes", self.facts.name, room)
            return windows.merged(vectors)
        raise refusal
