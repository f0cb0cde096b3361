"""Sparse weights of chunks are made with their vectors and go with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lightrag.errors import ModelRefused
from lightrag.indexing.contributions import Folder, add_chunks, remove_chunks
from lightrag.indexing.fold import FoldRules, text_hash
from lightrag.indexing.group_commit import GroupCommit
from lightrag.indexing.stale import StaleKey, StaleKind, StaleText
from lightrag.indexing.vectorizer import Vectorizer
from lightrag.llm.contracts import SparseModel
from lightrag.storage.contracts import Namespace, Storage, VectorKind
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.fake_models import FakeEmbedding
from lightrag.types import Chunk
from tests.sparse_words import SparseWords

CHUNK = Chunk("chunk-1", "doc", 0, "Ada wrote", 2, 0, 9, "a.txt")
ADA = StaleText(StaleKey(StaleKind.ENTITY, "Ada"), "Ada\nwrote a program")


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    store = MemoryStorage("w")
    await store.open()
    yield store
    await store.close()


async def index(storage: Storage, sparse: SparseModel | None) -> None:
    """Make the vectors of a chunk and an entity."""
    async with storage.transaction() as tx:
        stale = await add_chunks(tx, [CHUNK])
        await tx.kv(Namespace.STALE).put({str(ADA.key): {"hash": text_hash(ADA.text)}})
    vectorizer = Vectorizer(storage, GroupCommit(storage), FakeEmbedding(16), batch=8, parallel=1, sparse=sparse)
    ticket = vectorizer.offer([*stale, ADA])
    running = asyncio.create_task(vectorizer.run())
    try:
        await ticket.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def stored(storage: Storage) -> dict[str, object]:
    return dict(await storage.kv(Namespace.SPARSE).scan())


async def test_those_of_chunks_are_stored_and_of_nothing_else(storage: Storage) -> None:
    sparse = SparseWords()
    await index(storage, sparse)
    assert sparse.asked == [("Ada wrote",)]
    assert await stored(storage) == {"chunk-1": {"weights": {"ada": 3.0, "wrote": 5.0}}}


async def test_without_a_model_there_are_none(storage: Storage) -> None:
    await index(storage, None)
    assert await stored(storage) == {}
    assert await storage.vectors(VectorKind.CHUNKS).count() == 1


async def test_they_are_removed_with_their_chunk(storage: Storage) -> None:
    await index(storage, SparseWords())
    async with storage.transaction() as tx:
        await remove_chunks(tx, ["chunk-1"], Folder(FoldRules()))
    assert await stored(storage) == {}


async def test_a_refusal_is_told_to_who_waits_and_nothing_is_stored(storage: Storage) -> None:
    with pytest.raises(ModelRefused, match="no weights"):
        await index(storage, SparseWords(ModelRefused("no weights")))
    assert await stored(storage) == {}
    assert await storage.vectors(VectorKind.CHUNKS).count() == 0
