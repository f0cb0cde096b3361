"""Tries models before they are stored: one short call each, and what came of it.

At most one model of each type is tried, whatever the number of models that a key opens. A chat model has passed with
the first piece of an answer, and is cut off there.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import struct
import time
import wave
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from lightrag.callers import Caller
from lightrag.errors import LightRAGError, ModelUnreachable, UnusableAnswer
from lightrag.llm.contracts import ChatRequest, Message, Role, Usage
from lightrag.llm.endpoint import without_keys
from lightrag.llm.usage import estimate_rerank, estimate_texts, estimate_usage, noted_usage
from lightrag.llm.vision import Picture
from lightrag.tenancy.connections import Connections
from lightrag.tenancy.contracts import Candidate, ModelType
from lightrag.tenancy.ledger import ERROR, OK, PROBE, UsageEntry, priced

NOTHING = Usage()
GREETING = "Hello! How are you doing!"
MOST_TOKENS = 256
"""For an answer: fewer would end some reasoning models before they say anything."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of trying a model."""

    candidate: Candidate = dataclasses.field(repr=False)
    is_ok: bool
    message: str
    """Why it failed; empty where it did not."""
    milliseconds: int
    dimension: int | None = None
    """Length of the vectors of an embedding model."""
    usage: Usage = NOTHING

    def entry(self, workspace_id: str, caller: Caller) -> UsageEntry:
        """Return the call as the ledger notes it."""
        candidate, usage = self.candidate, self.usage
        entry = UsageEntry(
            workspace_id,
            candidate.ref.provider,
            candidate.ref.name,
            candidate.type,
            PROBE,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=min(usage.cached_tokens, usage.prompt_tokens),
            completion_tokens=usage.completion_tokens,
            is_estimated=usage.estimated,
            milliseconds=self.milliseconds,
            outcome=OK if self.is_ok else ERROR,
            token_id=caller.token_id,
            request_id=caller.request_id,
        )
        return priced(entry, candidate.price)


def one_of_each_type(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the model of each type whose trial costs least, as far as prices are known; the first one otherwise."""
    chosen: dict[ModelType, Candidate] = {}
    for candidate in candidates:
        known = chosen.setdefault(candidate.type, candidate)
        price, best = candidate.price.prompt, known.price.prompt
        if price is not None and (best is None or price < best):
            chosen[candidate.type] = candidate
    return list(chosen.values())


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """What a call showed that went well."""

    usage: Usage = NOTHING
    dimension: int | None = None


class Prober:
    """Tries models through connections of its own. `seconds`: for each of them."""

    def __init__(self, connections: Connections, seconds: float) -> None:
        self._connections = connections
        self._seconds = seconds

    async def probe(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Try all at the same time and return what came of each, in their order."""
        return list(await asyncio.gather(*(self._one(candidate) for candidate in candidates)))

    async def _one(self, candidate: Candidate) -> Outcome:
        started = time.perf_counter()
        trial = Trial()
        message = ""
        try:
            async with asyncio.timeout(self._seconds):
                trial = await _TRIALS[candidate.type](self._connections, candidate)
        except TimeoutError:
            message = f"no answer within {self._seconds:g} s"
        except ModelUnreachable as error:
            message = str(error).replace("; it is tried again", "")
        except LightRAGError as error:
            message = str(error)
        milliseconds = round(1000 * (time.perf_counter() - started))
        return Outcome(candidate, not message, _told(message, candidate), milliseconds, trial.dimension, trial.usage)


def _told(message: str, candidate: Candidate) -> str:
    """Return a message without anything secret of the candidate."""
    for secret in (candidate.secret, *map(str, candidate.extra.values())):
        if len(secret) >= 8:
            message = message.replace(secret, "***")
    return without_keys(message)


async def _chat(connections: Connections, candidate: Candidate) -> Trial:
    request = ChatRequest((Message("user", GREETING),), Role.ANSWER, max_tokens=MOST_TOKENS)
    model = connections.open_chat(candidate)
    try:
        async with contextlib.aclosing(model.stream(request)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                if delta.text or delta.thinking:
                    return Trial(delta.usage or estimate_usage(request, delta.thinking + delta.text))
        raise UnusableAnswer("No valid response received")
    finally:
        await model.aclose()


async def _embedding(connections: Connections, candidate: Candidate) -> Trial:
    model, texts = connections.open_embedding(candidate), ["Test if the api key is available"]
    try:
        with noted_usage() as noted:
            vectors = await model.embed(texts, purpose="document")
        return Trial(noted.usage or estimate_texts(texts), int(vectors.shape[1]))
    finally:
        await model.aclose()


async def _rerank(connections: Connections, candidate: Candidate) -> Trial:
    model, question, documents = connections.open_rerank(candidate), "What's the weather?", ["Is it sunny today?"]
    try:
        with noted_usage() as noted:
            if not await model.rerank(question, documents, 1):
                raise UnusableAnswer("No valid response received")
        return Trial(noted.usage or estimate_rerank(question, documents))
    finally:
        await model.aclose()


async def _image2text(connections: Connections, candidate: Candidate) -> Trial:
    model, picture, question = (
        connections.open_image2text(candidate),
        Picture(_png(), "image/png"),
        "Which colour is this?",
    )
    try:
        said = await model.describe(picture, question, max_tokens=MOST_TOKENS)
        request = ChatRequest((Message("user", question),), Role.IMAGE2TEXT, picture=picture)
        return Trial(said.usage or estimate_usage(request, said.text))
    finally:
        await model.aclose()


async def _speech2text(connections: Connections, candidate: Candidate) -> Trial:
    model = connections.open_speech2text(candidate)
    try:
        await model.transcribe(_silence())
        # Speech is paid for by its length.
        return Trial()
    finally:
        await model.aclose()


async def _tts(connections: Connections, candidate: Candidate) -> Trial:
    model, words = connections.open_tts(candidate), "Hello!"
    try:
        await model.speak(words, voice=str(candidate.extra.get("fish_audio_refid", "")))
        return Trial(estimate_texts([words]))
    finally:
        await model.aclose()


_TRIALS: Mapping[ModelType, Callable[[Connections, Candidate], Awaitable[Trial]]] = {
    ModelType.CHAT: _chat,
    ModelType.EMBEDDING: _embedding,
    ModelType.RERANK: _rerank,
    ModelType.IMAGE2TEXT: _image2text,
    ModelType.SPEECH2TEXT: _speech2text,
    ModelType.TTS: _tts,
}


def _png(side: int = 32) -> bytes:
    """Return a red square (PNG, RFC 2083)."""
    rows = (b"\0" + b"\xd0\x20\x20" * side) * side

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _silence(seconds: float = 0.5) -> bytes:
    """Return a recording in which nothing is said."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(b"\0\0" * int(16_000 * seconds))
    return buffer.getvalue()
