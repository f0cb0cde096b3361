"""Keep paid answers: a call that was made once is not made again, not even after a crash.

An answer is stored, durably, before it is handed on; where the store fails, one to a question is handed on all the
same. Answers to questions are kept under the model that gave them,
also where it stood in for another one, so that who asks a model never gets what another one said. What is read out of
documents is kept under the first model of its chain: it is found again, and forgotten, whichever of them did the work.
An answer that was cut off at a length limit or by a filter is kept, with that mark, of work on documents, which uses
what is whole of it; to a question it would come back, cut, each time that somebody tries again for the whole one.
Rows are those of LightRAG's response cache:
`{mode}:{cache_type}:{md5}` → {"return", "cache_type", "chunk_id", "create_time"}, and of our own "model" and
"finish_reason", where there is something to say.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

import orjson

from lightrag.errors import StorageError
from lightrag.llm.contracts import ChatDelta, ChatModel, ChatReply, ChatRequest, ModelFacts, Role
from lightrag.llm.limiter import closing
from lightrag.types import CUT, JsonObject

_log = logging.getLogger(__name__)


class AnswerStore(Protocol):
    """Where answers are kept: the part of a key-value store that is needed here. `put` returns when it is durable."""

    async def get(self, keys: Sequence[str]) -> dict[str, JsonObject]:
        """Return the rows that exist among `keys`."""
        ...

    async def put(self, rows: Mapping[str, JsonObject]) -> None:
        """Insert or replace rows."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove rows."""
        ...


class KeptChat(ChatModel, Protocol):
    """A chat model whose answers are kept."""

    def key_of(self, request: ChatRequest) -> str:
        """Return the key under which the answer to `request` is kept."""
        ...

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop kept answers, so that the next calls are made again."""
        ...


CACHED_ROLES = frozenset({Role.EXTRACT, Role.SUMMARY, Role.KEYWORDS})
"""Roles whose answers are kept unless told otherwise; answers to users are not among them."""

_OF_THEIR_MODEL = frozenset({Role.KEYWORDS, Role.ANSWER})
"""Roles whose answers are kept under the model that gave them."""

_NOT_WHOLE = frozenset({CUT, "content_filter"})
"""Ends of answers that are not whole."""
_KEPT_CUT = frozenset({Role.EXTRACT, Role.SUMMARY})
"""Roles whose answers are kept also where they were cut off."""

_CACHE_TYPES = {
    Role.EXTRACT: "extract",
    Role.SUMMARY: "summary",
    Role.KEYWORDS: "keywords",
    Role.ANSWER: "query",
    Role.IMAGE2TEXT: "image2text",
}


def cache_key(facts: ModelFacts, request: ChatRequest, mode: str = "default", answered_by: str = "") -> str:
    """Return the key of a request to a model; `answered_by` is the identity of another one that answered in its place.

    The hash runs over parts that carry their lengths, so that no two different requests have the same parts. What a
    request is about (`chunk_id`) is not among them.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for part in _parts(answered_by or facts.identity, request):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return f"{mode}:{_CACHE_TYPES.get(request.role, request.role.value)}:{digest.hexdigest()}"


def _parts(identity: str, request: ChatRequest) -> Iterator[str]:
    yield identity
    yield repr((request.max_tokens, request.temperature, request.json_object))
    yield orjson.dumps(dict(request.extra), option=orjson.OPT_SORT_KEYS, default=repr).decode()
    for message in request.messages:
        yield message.role
        yield message.content
    if request.picture is not None:
        yield request.picture.media_type
        yield hashlib.sha256(request.picture.content).hexdigest()


@dataclasses.dataclass(slots=True)
class _Flight:
    """A call under way that any number of callers wait for."""

    key: str
    task: asyncio.Task[ChatReply]
    waiters: int = 0


class CachedChat:
    """A chat model that remembers its answers, and makes equal calls that come at the same time only once.

    `roles`: whose answers are kept. `store_prompts`: keep the prompt beside the answer, for people to look at; it
    multiplies the size of the store. `on_hit` is told the role of each call that was not made. A reply that another
    call paid for has `from_cache` set, and no usage.
    """

    def __init__(
        self,
        model: ChatModel,
        store: AnswerStore,
        *,
        roles: Collection[Role] = CACHED_ROLES,
        mode: str = "default",
        store_prompts: bool = False,
        on_hit: Callable[[Role], None] | None = None,
    ) -> None:
        self._model = model
        self._store = store
        self._roles = frozenset(roles)
        self._mode = mode
        self._store_prompts = store_prompts
        self._on_hit = on_hit
        self._flights: dict[str, _Flight] = {}

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._model.facts

    def key_of(self, request: ChatRequest) -> str:
        """Return the key under which the answer to `request` is kept."""
        return cache_key(self._model.facts, request, self._mode)

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop kept answers, so that the next calls are made again."""
        await self._store.delete(keys)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Return the kept answer, or the model's, which is stored before this returns."""
        if request.fresh or request.role not in self._roles:
            return await self._model.complete(request)
        key = self.key_of(request)
        flight = self._flights.get(key)
        if flight is not None:
            reply = await self._join(flight)
            return self._hit(request, reply)
        flight = self._flights[key] = _Flight(key, asyncio.create_task(self._fetch(key, request)))
        reply = await self._join(flight)
        return self._hit(request, reply) if reply.from_cache else reply

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the kept answer in one piece, or the model's as it is written; it is stored before its last piece."""
        if request.fresh or request.role not in self._roles:
            async with closing(self._model.stream(request)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        key = self.key_of(request)
        kept = await self._kept(key)
        if kept is not None:
            self._hit(request, kept)
            yield ChatDelta(text=kept.text)
            yield ChatDelta(finish_reason=kept.finish_reason, usage=kept.usage, given_by=kept.given_by)
            return
        text = ""
        async with closing(self._model.stream(request)) as deltas:
            async for delta in deltas:
                if delta.takes_back:
                    text = ""
                text += delta.text
                if delta.finish_reason is not None:
                    reply = ChatReply(text, delta.finish_reason, model=delta.model, given_by=delta.given_by)
                    await self._keep(request, reply)
                yield delta

    async def aclose(self) -> None:
        """Abort calls under way and release connections."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._model.aclose()

    async def _join(self, flight: _Flight) -> ChatReply:
        """Wait for a call; when the last one who waits is cancelled, so is the call."""
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters and self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
                flight.task.cancel()
                await asyncio.wait([flight.task])

    async def _fetch(self, key: str, request: ChatRequest) -> ChatReply:
        kept = await self._kept(key)
        if kept is not None:
            return kept
        reply = await self._model.complete(request)
        await self._keep(request, reply)
        return reply

    async def _kept(self, key: str) -> ChatReply | None:
        row = (await self._store.get([key])).get(key)
        if row is None or not isinstance(row.get("return"), str):
            return None
        reason, given_by = row.get("finish_reason", "stop"), row.get("model", "")
        return ChatReply(row["return"], str(reason), from_cache=True, given_by=str(given_by))

    async def _keep(self, request: ChatRequest, reply: ChatReply) -> None:
        if reply.finish_reason in _NOT_WHOLE and request.role not in _KEPT_CUT:
            return
        answered_by = reply.model if request.role in _OF_THEIR_MODEL else ""
        key = cache_key(self._model.facts, request, self._mode, answered_by)
        row: JsonObject = {
            "return": reply.text,
            "cache_type": _CACHE_TYPES.get(request.role, request.role.value),
            "chunk_id": request.chunk_id or None,
            "create_time": int(time.time()),
        }
        if reply.finish_reason != "stop":
            row["finish_reason"] = reply.finish_reason
        if reply.given_by and request.role in _OF_THEIR_MODEL:
            row["model"] = reply.given_by
        if self._store_prompts:
            row["original_prompt"] = "\n\n".join(message.content for message in request.messages)
        try:
            await self._store.put({key: row})
        except StorageError as error:
            if request.role not in _OF_THEIR_MODEL:
                raise
            # A full disk keeps nobody from reading: the question goes on with the answer that it has.
            _log.warning("An answer is not kept, so that it is paid for again: %s", error)

    def _hit(self, request: ChatRequest, reply: ChatReply) -> ChatReply:
        if self._on_hit is not None:
            self._on_hit(request.role)
        return ChatReply(reply.text, reply.finish_reason, from_cache=True, given_by=reply.given_by)
