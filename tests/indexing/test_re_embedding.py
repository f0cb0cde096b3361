"""Making all vectors anew: what was cut short goes on, what changed meanwhile is not forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import pytest

from lightrag.errors import Conflict, ModelUnreachable
from lightrag.indexing.manifest import Manifest, manifest_of_data, write_manifest
from lightrag.indexing.re_embedding import KEY, ReEmbedding, ReEmbeddingStatus
from lightrag.llm.contracts import EmbeddingModel, FloatArray, ModelFacts
from lightrag.storage.contracts import Namespace, Storage, VectorKind, VectorRow
from lightrag.storage.memory import MemoryStorage
from lightrag.storage.rows import chunk_row
from lightrag.testing.fake_models import FakeEmbedding, hash_vectors
from lightrag.types import Chunk

CHUNKS = 600


class Fickle:
    """An embedding model that fails after some texts."""

    facts = ModelFacts("fake", "new", dimension=16)

    def __init__(self, most: int) -> None:
        self.most = most
        self.made = 0

    async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
        if self.made + len(texts) > self.most:
            raise ModelUnreachable("gone")
        self.made += len(texts)
        return hash_vectors(texts, 16)

    async def aclose(self) -> None:
        """Do nothing."""


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    """A workspace whose chunks have vectors of another model."""
    storage = MemoryStorage("one")
    await storage.open()
    chunks = [Chunk(f"chunk-{n:04d}", "doc", n, f"text {n}", 2, 0, 6, "a.txt") for n in range(CHUNKS)]
    await storage.kv(Namespace.TEXT_CHUNKS).put({chunk.id: chunk_row(chunk) for chunk in chunks})
    vectors = await FakeEmbedding(8).embed([chunk.content for chunk in chunks], purpose="document")
    await storage.set_dimension(8)
    await storage.vectors(VectorKind.CHUNKS).put(
        [VectorRow(chunk.id, "old", vector) for chunk, vector in zip(chunks, vectors, strict=True)]
    )
    await write_manifest(storage, Manifest("fake/old", storage.family))
    yield storage
    await storage.close()


def _job(storage: Storage, model: EmbeddingModel, owner: str = "here") -> ReEmbedding:
    async def find(name: str) -> EmbeddingModel | None:
        return model if name == "fake/new" else None

    async def nothing() -> None:
        return

    return ReEmbedding(storage, owner, find, lambda _model: None, nothing)


async def _ended(job: ReEmbedding) -> ReEmbeddingStatus:
    async with asyncio.timeout(60):
        while job.is_running:
            await asyncio.sleep(0.01)
    return await job.status()


async def test_what_failed_goes_on_where_it_stopped(storage: Storage) -> None:
    model = Fickle(most=300)
    job = _job(storage, model)
    await job.start("fake/new")
    assert (await _ended(job)).state == "failed"
    recorded = await manifest_of_data(storage)
    assert recorded is not None
    assert recorded.embedding == "fake/old"
    assert 0 < model.made < CHUNKS
    model.most = 10_000
    await job.start("fake/new")
    assert (await _ended(job)).state == "completed"
    assert model.made == CHUNKS
    assert await storage.vectors(VectorKind.CHUNKS).count() == CHUNKS
    [vector] = (await storage.vectors(VectorKind.CHUNKS).get(["chunk-0007"])).values()
    assert vector == pytest.approx(hash_vectors(["text 7"], 16)[0], abs=1e-6)
    assert not await storage.kv(Namespace.STALE).count()
    assert not await storage.kv(Namespace.META).scan(prefix="re_embedded:")


async def test_a_process_that_died_is_followed_by_another(storage: Storage) -> None:
    model = Fickle(most=10_000)
    row = {"state": "running", "model": "fake/new", "owner": "elsewhere", "beat": 0, "total": CHUNKS, "done": 0}
    await storage.kv(Namespace.META).put({KEY: row})
    job = _job(storage, model)
    await job.resume()
    assert (await _ended(job)).state == "completed"


async def test_one_that_lives_is_left_alone_and_can_be_cancelled_from_elsewhere(storage: Storage) -> None:
    released = asyncio.Event()

    class Held(Fickle):
        async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
            await released.wait()
            return await super().embed(texts, purpose=purpose)

    here, elsewhere = (_job(storage, Held(10_000), owner) for owner in ("here", "elsewhere"))
    await here.start("fake/new")
    await elsewhere.resume()
    assert not elsewhere.is_running
    with pytest.raises(Conflict, match="cancel that first"):
        await elsewhere.start("fake/new")
    assert (await elsewhere.cancel()).state == "cancelled"
    released.set()
    assert (await _ended(here)).state == "cancelled"
    assert not await storage.kv(Namespace.META).scan(prefix="re_embedded:")


async def test_what_changed_meanwhile_is_listed_for_the_pipeline(storage: Storage) -> None:
    class Editing(Fickle):
        """Has a chunk changed behind its back after it was embedded."""

        async def embed(self, texts: Sequence[str], *, purpose: Literal["document", "query"]) -> FloatArray:
            if "text 599" in texts:
                changed = Chunk("chunk-0000", "doc", 0, "another text", 2, 0, 6, "a.txt")
                await storage.kv(Namespace.TEXT_CHUNKS).put({changed.id: chunk_row(changed)})
            return await super().embed(texts, purpose=purpose)

    job = _job(storage, Editing(10_000))
    await job.start("fake/new")
    status = await _ended(job)
    assert status.state == "completed"
    # It is the pipeline's, or was made in a further pass.
    stale = [key for key, _ in await storage.kv(Namespace.STALE).scan()]
    vectors = await storage.vectors(VectorKind.CHUNKS).get(["chunk-0000"])
    assert ("c:chunk-0000" in stale) != ("chunk-0000" in vectors)


async def test_sparse_weights_of_the_former_model_go_with_its_vectors(storage: Storage) -> None:
    await storage.kv(Namespace.SPARSE).put({"chunk-0000": {"weights": {"7": 1.0}}})
    job = _job(storage, Fickle(most=CHUNKS))
    await job.start("fake/new")
    assert (await _ended(job)).state == "completed"
    assert await storage.kv(Namespace.SPARSE).count() == 0
