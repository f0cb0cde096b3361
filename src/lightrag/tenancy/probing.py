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
from typing import Any

from lightrag.errors import LightRAGError, ModelUnreachable, UnusableAnswer
from lightrag.llm.contracts import ChatRequest, Message, Role
from lightrag.llm.endpoint import without_keys
from lightrag.llm.vision import Picture
from lightrag.tenancy.connections import Connections
from lightrag.tenancy.contracts import Candidate, ModelType
from lightrag.tenancy.ledger import ERROR, OK, UsageEntry, priced

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

    def usage(self) -> UsageEntry:
        """Return the call as the ledger notes it: next to nothing, and counted as such."""
        candidate = self.candidate
        entry = UsageEntry(
            candidate.workspace_id,
            candidate.ref.provider,
            candidate.ref.name,
            candidate.type,
            "probe",
            prompt_tokens=8 if self.is_ok else 0,
            completion_tokens=1 if self.is_ok and candidate.type is ModelType.CHAT else 0,
            is_estimated=True,
            milliseconds=self.milliseconds,
            outcome=OK if self.is_ok else ERROR,
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
        dimension: int | None = None
        message = ""
        try:
            async with asyncio.timeout(self._seconds):
                dimension = await _TRIALS[candidate.type](self._connections, candidate)
        except TimeoutError:
            message = f"no answer within {self._seconds:g} s"
        except ModelUnreachable as error:
            message = str(error).replace("; it is tried again", "")
        except LightRAGError as error:
            message = str(error)
        milliseconds = round(1000 * (time.perf_counter() - started))
        return Outcome(candidate, not message, _told(message, candidate), milliseconds, dimension)


def _told(message: str, candidate: Candidate) -> str:
    """Return a message without anything secret of the candidate."""
    for secret in (candidate.secret, *map(str, candidate.extra.values())):
        if len(secret) >= 8:
            message = message.replace(secret, "***")
    return without_keys(message)


async def _chat(connections: Connections, candidate: Candidate) -> None:
    request = ChatRequest((Message("user", GREETING),), Role.ANSWER, max_tokens=MOST_TOKENS)
    model = connections.open_chat(candidate)
    try:
        async with contextlib.aclosing(model.stream(request)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                if delta.text or delta.thinking:
                    return
        raise UnusableAnswer("No valid response received")
    finally:
        await model.aclose()


async def _embedding(connections: Connections, candidate: Candidate) -> int:
    model = connections.open_embedding(candidate)
    try:
        vectors = await model.embed(["Test if the api key is available"], purpose="document")
        return int(vectors.shape[1])
    finally:
        await model.aclose()


async def _rerank(connections: Connections, candidate: Candidate) -> None:
    model = connections.open_rerank(candidate)
    try:
        if not await model.rerank("What's the weather?", ["Is it sunny today?"], 1):
            raise UnusableAnswer("No valid response received")
    finally:
        await model.aclose()


async def _image2text(connections: Connections, candidate: Candidate) -> None:
    model = connections.open_image2text(candidate)
    try:
        await model.describe(Picture(_png(), "image/png"), "Which colour is this?", max_tokens=MOST_TOKENS)
    finally:
        await model.aclose()


async def _speech2text(connections: Connections, candidate: Candidate) -> None:
    model = connections.open_speech2text(candidate)
    try:
        await model.transcribe(_silence())
    finally:
        await model.aclose()


async def _tts(connections: Connections, candidate: Candidate) -> None:
    model = connections.open_tts(candidate)
    try:
        await model.speak("Hello!", voice=str(candidate.extra.get("fish_audio_refid", "")))
    finally:
        await model.aclose()


_TRIALS: Mapping[ModelType, Callable[[Connections, Candidate], Awaitable[Any]]] = {
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
