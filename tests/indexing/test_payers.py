"""Documents of a token at its limit wait; what others brought goes on, and nobody waits for who is held back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import pytest

from lightrag.callers import Caller, calling_as, payers_of
from lightrag.errors import BudgetExceeded, LightRAGError, LimitReached, RateLimited
from lightrag.indexing.fold import text_hash
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.payers import Pauses, caller_of
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText, payer_of, stale_row
from lightrag.indexing.vectorizer import Vectorizer
from lightrag.llm.contracts import FloatArray
from lightrag.storage.contracts import Namespace, Storage
from lightrag.storage.memory import MemoryStorage
from lightrag.storage.rows import chunk_row
from lightrag.testing.fake_models import FakeEmbedding
from lightrag.types import Chunk, DocStatus, DocumentRecord

ANN, BEN = Caller("ann"), Caller("ben")


def limit_of(token: str, kind: str = "tokens_per_day", seconds: float = 1000.0) -> LimitReached:
    error = BudgetExceeded("The token's limit is reached", seconds, kind, "token", is_brief=kind == "concurrency")
    error.token_id = token
    return error


class MeteredEmbedding(FakeEmbedding):
    """Refuses texts of those whose limit is reached, and notes who paid for the others."""

    def __init__(self, *refused: str) -> None:
        super().__init__(16)
        self.refused = set(refused)
        self.paid: list[tuple[str | None, str]] = []
        self.calls = 0

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        self.calls += 1
        payers = [caller.token_id for caller in payers_of(texts)]
        for payer in payers:
            if payer in self.refused:
                raise limit_of(str(payer))
        self.paid += zip(payers, texts, strict=True)
        return await super().embed(texts, purpose=purpose)


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    store = MemoryStorage("w")
    await store.open()
    yield store
    await store.close()


async def stale_chunk(storage: Storage, name: str, caller: Caller) -> StaleText:
    """List the vector of a chunk as stale on somebody's behalf."""
    item = StaleText(StaleKey(StaleKind.CHUNK, name), f"text of {name}")
    with calling_as(caller):
        await storage.kv(Namespace.STALE).put({str(item.key): stale_row(hash=text_hash(item.text))})
    chunk = Chunk(name, "doc", 0, item.text, 3, 0, len(item.text))
    await storage.kv(Namespace.TEXT_CHUNKS).put({name: chunk_row(chunk)})
    return item


async def made(vectorizer: Vectorizer, item: StaleText, caller: Caller) -> LightRAGError | None:
    """Have a vector made; return why that could not be."""
    ticket = vectorizer.offer([item], caller)
    waiting = vectorizer._waiting.pop(item.key)
    await vectorizer._slots.acquire()
    await vectorizer._make([(item.key, waiting)])
    try:
        await ticket.wait()
    except LightRAGError as error:
        return error
    return None


async def test_one_batch_serves_many_and_each_pays_its_own(storage: Storage) -> None:
    model = MeteredEmbedding()
    vectorizer = Vectorizer(storage, GroupCommit(storage), model, batch=8, parallel=1)
    items = [await stale_chunk(storage, name, caller) for name, caller in (("a", ANN), ("b", BEN), ("c", Caller()))]
    for item, caller in zip(items, (ANN, BEN, Caller()), strict=True):
        vectorizer.offer([item], caller)
    await vectorizer._slots.acquire()
    await vectorizer._make([(key, vectorizer._waiting.pop(key)) for key in list(vectorizer._waiting)])
    assert model.calls == 1
    assert model.paid == [("ann", "text of a"), ("ben", "text of b"), (None, "text of c")]


async def test_a_batch_goes_on_without_the_texts_of_who_is_held_back(storage: Storage) -> None:
    model, pauses = MeteredEmbedding("ann"), Pauses()
    vectorizer = Vectorizer(storage, GroupCommit(storage), model, batch=8, parallel=1, pauses=pauses)
    items = [await stale_chunk(storage, name, caller) for name, caller in (("a", ANN), ("b", BEN))]
    tickets = [vectorizer.offer([item], caller) for item, caller in zip(items, (ANN, BEN), strict=True)]
    await vectorizer._slots.acquire()
    await vectorizer._make([(key, vectorizer._waiting.pop(key)) for key in list(vectorizer._waiting)])
    await tickets[1].wait()
    with pytest.raises(LimitReached):
        await tickets[0].wait()
    assert model.paid == [("ben", "text of b")]
    assert pauses.waiting() == {"ann"}
    # What waits is neither taken up again by itself nor forgotten.
    await vectorizer.load()
    assert vectorizer.waiting == 0
    assert len(await storage.kv(Namespace.STALE).scan(limit=10)) == 1


async def test_who_is_not_held_back_does_not_wait_for_who_is(storage: Storage) -> None:
    model, pauses = MeteredEmbedding("ann"), Pauses()
    await pauses.note(limit_of("ann"))
    vectorizer = Vectorizer(storage, GroupCommit(storage), model, batch=8, parallel=1, pauses=pauses)
    shared = await stale_chunk(storage, "a", ANN)
    assert await made(vectorizer, shared, BEN) is None
    assert model.paid == [("ben", "text of a")]


async def test_a_pause_ends_with_its_time_or_with_a_change_of_the_limit() -> None:
    now, limits = [0.0], ["old"]

    async def limits_of(_token: str) -> object:
        return limits[0]

    pauses = Pauses(limits_of, lambda: now[0])
    assert await pauses.note(limit_of("ann", seconds=30.0))
    assert not await pauses.note(limit_of("ann", seconds=30.0))
    assert await pauses.note(limit_of("ben", seconds=3000.0))
    now[0] = 29.0
    await pauses.refresh()
    assert pauses.waiting() == {"ann", "ben"}
    now[0] = 31.0
    await pauses.refresh()
    assert pauses.waiting() == {"ben"}
    limits[0] = "new"
    await pauses.refresh()
    assert pauses.waiting() == set()


async def test_only_limits_of_tokens_hold_documents_back() -> None:
    pauses = Pauses()
    await pauses.note(RateLimited("The workspace's limit is reached", 10.0, "tokens_per_minute", "workspace"))
    await pauses.note(limit_of("ann", "concurrency"))
    assert pauses.waiting() == set()


async def test_works_of_one_transaction_are_each_on_their_own_callers_behalf(storage: Storage) -> None:
    commits = GroupCommit(storage)

    async def mark(tx: Storage) -> str:
        return payer_of(stale_row())

    async def as_(caller: Caller) -> str:
        with calling_as(caller):
            return await commits.run(mark)

    assert await asyncio.gather(as_(ANN), as_(BEN), as_(Caller())) == ["ann", "ben", ""]


def test_who_pays_for_a_document() -> None:
    record = DocumentRecord("doc-1", DocStatus.PENDING, track_id="t-1", metadata={"brought_by": "ann"})
    assert caller_of(record) == Caller("ann", "t-1")
    assert caller_of(record.replace(metadata={})) == Caller(None, "t-1")
    # Deleting is nobody's debt.
    assert caller_of(record.replace(delete_requested=True)).token_id is None
