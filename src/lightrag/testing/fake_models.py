"""Models that answer from memory: for tests of everything that talks to a model, without a server."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from lightrag.errors import ModelError, UnusableAnswer
from lightrag.llm.contracts import ChatDelta, ChatReply, ChatRequest, FloatArray, ModelFacts, Usage

_WORD = re.compile(r"\w+")
_HASHES = np.arange(1, 9, dtype=np.uint64)

Answer = str | ChatReply | ModelError
"""What a fake model does with a request: answer with a text or a reply, or fail."""


def hash_vectors(texts: Sequence[str], dimension: int) -> FloatArray:
    """Return L2-normalised vectors, shape (len(texts), dimension), that depend on the words of each text only.

    Signed feature hashing of the bag of words, eight places per word: texts that share words have a high cosine, the
    same text has the same vector on every machine, and 1,000 words cost a fraction of a millisecond.
    """
    out = np.empty((len(texts), dimension), np.float32)
    for row, text in enumerate(texts):
        counts = Counter(_WORD.findall(text.lower())) or Counter([text])
        codes = np.fromiter((zlib.crc32(word.encode()) for word in counts), np.uint64, len(counts))
        weights = np.fromiter(counts.values(), np.float64, len(counts))
        # A multiplicative mix (constants of splitmix64) turns one checksum into eight places and signs.
        mixed = codes[:, None] * np.uint64(0x9E3779B97F4A7C15) + _HASHES * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0x94D049BB133111EB)
        places = (mixed >> np.uint64(33)) % np.uint64(dimension)
        signs = np.where(mixed & np.uint64(1 << 20), 1.0, -1.0) * weights[:, None]
        vector = np.bincount(places.ravel().astype(np.int64), signs.ravel(), minlength=dimension)
        length = float(np.linalg.norm(vector))
        if length == 0.0:  # every place cancelled out: stand on the first one
            vector[int(places[0, 0])], length = 1.0, 1.0
        out[row] = vector / length
    return out


class FakeChat:
    """A chat model that answers from a queue, or by a function of the request; records what it was asked.

    `answers`: replies in order (the last one is repeated when the queue is empty), or a function. A `ModelError`
    is raised instead of returned. `delay` seconds pass before each answer; `requests` holds every request,
    `peak` the most calls that were in flight at once.
    """

    def __init__(
        self,
        answers: Iterable[Answer] | Callable[[ChatRequest], Answer] = ("fake answer",),
        *,
        name: str = "fake-chat",
        delay: float = 0.0,
    ) -> None:
        self.requests: list[ChatRequest] = []
        self.peak = 0
        self.closed = False
        self._function = answers if callable(answers) else None
        self._queue: deque[Answer] = deque() if callable(answers) else deque(answers)
        self._last: Answer | None = None
        self._delay = delay
        self._active = 0
        self._facts = ModelFacts(binding="fake", name=name, context_tokens=32768)

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    def push(self, *answers: Answer) -> None:
        """Append answers to the queue."""
        self._queue.extend(answers)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the next answer; raises `UnusableAnswer` where it is empty, as a real model's would."""
        self.requests.append(request)
        self._active += 1
        self.peak = max(self.peak, self._active)
        try:
            if self._delay:
                await asyncio.sleep(self._delay)
            answer = self._next(request)
        finally:
            self._active -= 1
        if isinstance(answer, ModelError):
            raise answer
        reply = answer if isinstance(answer, ChatReply) else self._reply(request, answer)
        if not reply.text.strip():
            raise UnusableAnswer(f"{self._facts.name} returned an empty answer; try again or choose another model")
        return reply

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the next answer word by word."""
        reply = await self.complete(request)
        if reply.thinking:
            yield ChatDelta(thinking=reply.thinking)
        for word in re.findall(r"\s*\S+|\s+$", reply.text):
            yield ChatDelta(text=word)
        yield ChatDelta(finish_reason=reply.finish_reason, usage=reply.usage, given_by=reply.given_by)

    async def aclose(self) -> None:
        """Mark the model as closed."""
        self.closed = True

    def _next(self, request: ChatRequest) -> Answer:
        if self._function is not None:
            return self._function(request)
        if self._queue:
            self._last = self._queue.popleft()
        if self._last is None:
            raise AssertionError("FakeChat has no answer left: give it one by `push`")
        return self._last

    @staticmethod
    def _reply(request: ChatRequest, text: str) -> ChatReply:
        prompt = sum(len(message.content) for message in request.messages)
        return ChatReply(text=text, usage=Usage(prompt // 4, max(1, len(text) // 4)))


class FakeEmbedding:
    """An embedding model over `hash_vectors`; records the batches that it was given.

    `failures` are raised by the first calls, one each.
    """

    def __init__(
        self,
        dimension: int = 64,
        *,
        name: str = "fake-embedding",
        max_batch: int | None = None,
        delay: float = 0.0,
        failures: Iterable[ModelError] = (),
    ) -> None:
        self.batches: list[tuple[str, ...]] = []
        self.peak = 0
        self.closed = False
        self._active = 0
        self._delay = delay
        self._failures = deque(failures)
        self._facts = ModelFacts(binding="fake", name=name, dimension=dimension, max_batch=max_batch)

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._facts

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        """Return hashed bags of words; the purpose makes no difference."""
        self.batches.append(tuple(texts))
        self._active += 1
        self.peak = max(self.peak, self._active)
        try:
            if self._delay:
                await asyncio.sleep(self._delay)
            if self._failures:
                raise self._failures.popleft()
            return hash_vectors(texts, self._facts.dimension or 1)
        finally:
            self._active -= 1

    async def aclose(self) -> None:
        """Mark the model as closed."""
        self.closed = True
