"""Two servers on one working directory share the work and see the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lightrag.testing.model_server import ModelServer

from .contents import contents_of
from .corpus import answer_with_mark, chronicle, digest_of
from .server import ServerProcess, openai_models, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = 2
Pair = tuple[ServerProcess, ServerProcess, ModelServer]


def questions(models: ModelServer) -> list[str]:
    """Return the marks of all chat calls; a request that a kill cut off is none."""
    return [digest_of(body["messages"]) for body in models.bodies("/chat/completions") if body.get("messages")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("shared")
    async with ModelServer(answer=answer_with_mark, latency=0.05) as models:
        environ = openai_models(
            models.openai_url,
            MAX_ASYNC_LLM=str(SLOTS),
            CHUNK_SIZE="120",
            CHUNK_OVERLAP_SIZE="10",
            FORCE_LLM_SUMMARY_ON_MERGE="1000",
            LIGHTRAG_LEASE_SECONDS="30",
        )
        async with serving(ServerProcess(folder, environ), ServerProcess(folder, environ)) as (one, other):
            yield one, other, models


async def test_each_document_is_processed_once_and_both_see_all(pair: Pair) -> None:
    one, other, models = pair
    with models.holding():
        for server, first in ((one, 0), (other, 1)):
            numbers = range(first, 12, 2)
            body = {"texts": [chronicle(n) for n in numbers], "file_sources": [f"{n}.txt" for n in numbers]}
            await server.post("/documents/texts", body)
        assert not await one.is_idle()
        assert not await other.is_idle()
    rows = await one.settle()
    assert await other.settle() == rows
    assert {name: row["status"] for name, row in rows.items()} == {f"{n}.txt": "processed" for n in range(12)}
    asked = questions(models)
    assert len(asked) == len(set(asked)) == sum(row["chunks_count"] for row in rows.values())


async def test_both_answer_the_same(pair: Pair) -> None:
    one, other, _ = pair
    for mode in ("naive", "local", "global", "hybrid", "mix"):
        asked = {"mode": mode, "hl_keywords": ["price of salt"], "ll_keywords": ["Ada of Aalen"]}
        found = await one.find("Who wrote to Ada of Aalen about salt?", **asked)
        assert found == await other.find("Who wrote to Ada of Aalen about salt?", **asked)
        assert found["chunks"]
    assert await one.get("/graph/label/list") == await other.get("/graph/label/list")


async def test_what_one_deletes_is_gone_for_the_other(pair: Pair) -> None:
    one, other, _ = pair
    row = (await one.rows())["3.txt"]
    await one.find("salt", mode="naive")
    before = await other.find("Chronicle 3, leaf 1", mode="naive", chunk_top_k=200)
    assert row["id"] in {chunk["doc_id"] for chunk in before["chunks"]}
    await one.delete(f"/documents/{row['id']}")
    await until(one.is_idle)

    async def is_gone() -> bool:
        return "3.txt" not in await other.rows()

    await until(is_gone)
    after = await other.find("Chronicle 3, leaf 1", chunk_top_k=200)
    assert row["id"] not in {chunk["doc_id"] for chunk in after["chunks"]}
    assert (await other.client.get(f"/documents/{row['id']}")).status_code == 404


async def test_when_one_is_killed_the_other_finishes(pair: Pair) -> None:
    one, other, models = pair
    models.reset()
    names = set(await one.rows())
    for number in range(20, 26):
        await one.add(chronicle(number), f"{number}.txt")

    async def works() -> bool:
        return len(models.requests) > 6

    await until(works)
    await one.kill()
    rows = await other.settle()
    assert set(rows) == names | {f"{number}.txt" for number in range(20, 26)}
    assert {row["status"] for row in rows.values()} == {"processed"}
    asked = questions(models)
    assert len(asked) - len(set(asked)) <= 2 * SLOTS
    await other.stop()
    assert (await contents_of(other.working_dir)).due == []
