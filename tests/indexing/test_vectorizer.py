"""What several documents want embedded is embedded once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from lightrag.errors import ContextTooLong, LightRAGError
from lightrag.indexing.fold import entity_vector_text, text_hash
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText
from lightrag.indexing.vectorizer import Ticket, Vectorizer
from lightrag.llm.contracts import FloatArray
from lightrag.storage.contracts import Namespace, Storage, VectorKind
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.fake_models import FakeEmbedding
from lightrag.types import Entity

ADA = StaleText(StaleKey(StaleKind.ENTITY, "Ada"), "Ada\nwrote a program")


class HeldEmbedding(FakeEmbedding):
    """Answers when told to."""

    def __init__(self) -> None:
        super().__init__(16)
        self.may_answer = asyncio.Event()
        self.is_asked = asyncio.Event()

    async def embed(self, texts: list[str], *, purpose: Literal["document", "query"]) -> FloatArray:  # type: ignore[override]
        self.is_asked.set()
        await self.may_answer.wait()
        return await super().embed(texts, purpose=purpose)


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    store = MemoryStorage("w")
    await store.open()
    yield store
    await store.close()


async def list_as_stale(storage: Storage, item: StaleText) -> None:
    await storage.kv(Namespace.STALE).put({str(item.key): {"hash": text_hash(item.text)}})


async def test_what_is_offered_again_while_it_is_embedded_is_not_embedded_again(storage: Storage) -> None:
    embedding = HeldEmbedding()
    vectorizer = Vectorizer(storage, GroupCommit(storage), embedding, batch=8, parallel=2)
    await list_as_stale(storage, ADA)
    running = asyncio.create_task(vectorizer.run())
    first = vectorizer.offer([ADA])
    await embedding.is_asked.wait()
    second = vectorizer.offer([ADA])
    embedding.may_answer.set()
    await finish(running, first, second)
    assert embedding.batches == [(ADA.text,)]
    assert await storage.vectors(VectorKind.ENTITIES).count() == 1


async def test_what_has_been_made_meanwhile_is_not_embedded(storage: Storage) -> None:
    assert await embedded(storage, ADA) == []


async def test_the_present_text_is_embedded_whatever_was_offered_last(storage: Storage) -> None:
    await storage.graph.put_entities([Entity("Ada", "person", "wrote two programs", mentions=1)])
    present = entity_vector_text((await storage.graph.get_entities(["Ada"]))["Ada"])
    await list_as_stale(storage, StaleText(ADA.key, present))
    assert await embedded(storage, ADA) == [(present,)]
    assert await storage.kv(Namespace.STALE).count() == 0


async def test_texts_offered_inside_a_transaction_are_embedded_after_it(storage: Storage) -> None:
    embedding = FakeEmbedding(16)
    vectorizer = Vectorizer(storage, GroupCommit(storage), embedding, batch=1, parallel=2)
    running = asyncio.create_task(vectorizer.run())
    async with storage.transaction() as tx:
        ticket = vectorizer.offer([ADA])
        await asyncio.sleep(0.1)
        await list_as_stale(tx, ADA)
    await finish(running, ticket)
    assert embedding.batches == [(ADA.text,)]


async def test_a_text_that_is_too_long_fails_only_those_who_wait_for_it(storage: Storage) -> None:
    class Short(FakeEmbedding):
        async def embed(self, texts: list[str], *, purpose: Literal["document", "query"]) -> FloatArray:  # type: ignore[override]
            if any(len(text) > 100 for text in texts):
                raise ContextTooLong("too long")
            return await super().embed(texts, purpose=purpose)

    texts = [StaleText(StaleKey(StaleKind.ENTITY, str(n)), "x" * (101 if n == 3 else 5)) for n in range(7)]
    for text in texts:
        await list_as_stale(storage, text)
    vectorizer = Vectorizer(storage, GroupCommit(storage), Short(16), batch=8, parallel=1)
    running = asyncio.create_task(vectorizer.run())
    fine, long = vectorizer.offer([*texts[:3], *texts[4:]]), vectorizer.offer(texts[3:4])
    with pytest.raises(ContextTooLong):
        await long.wait()
    await finish(running, fine)
    assert await storage.vectors(VectorKind.ENTITIES).count() == 6


async def test_an_unforeseen_error_is_told_to_those_who_wait(storage: Storage) -> None:
    class Faulty(FakeEmbedding):
        async def embed(self, texts: list[str], *, purpose: Literal["document", "query"]) -> FloatArray:  # type: ignore[override]
            raise ZeroDivisionError

    await list_as_stale(storage, ADA)
    vectorizer = Vectorizer(storage, GroupCommit(storage), Faulty(16), batch=8, parallel=1)
    running = asyncio.create_task(vectorizer.run())
    with pytest.raises(LightRAGError, match="ZeroDivisionError"):
        await vectorizer.offer([ADA]).wait()
    await finish(running)


async def embedded(storage: Storage, *offered: StaleText) -> list[tuple[str, ...]]:
    """Return what is sent to the model when these texts are offered."""
    embedding = FakeEmbedding(16)
    vectorizer = Vectorizer(storage, GroupCommit(storage), embedding, batch=8, parallel=2)
    ticket = vectorizer.offer(offered)
    await finish(asyncio.create_task(vectorizer.run()), ticket)
    return embedding.batches


async def finish(running: asyncio.Task[None], *tickets: Ticket) -> None:
    async with asyncio.timeout(60):
        for ticket in tickets:
            await ticket.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
