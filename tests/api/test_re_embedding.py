"""Changing the embedding model of a workspace that holds documents."""

from __future__ import annotations

import asyncio
from typing import Any

from lightrag.testing.model_server import ModelServer

from .conftest import Real
from .test_usage import ADA, BOB, Tenant

OLD, NEW = "old___OpenAI-API@OpenAI-API-Compatible", "new___OpenAI-API@OpenAI-API-Compatible"


async def _until(tenant: Tenant, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            status: dict[str, Any] = await tenant.get("/llm/re_embed")
            if status["state"] in states:
                return status
            await asyncio.sleep(0.05)


async def _prepared(tenant: Tenant, first: ModelServer, second: ModelServer) -> None:
    await tenant.add("OpenAI-API-Compatible", "old", "embedding", first.openai_url)
    await tenant.index(ADA, "a.txt")
    await tenant.idle()
    await tenant.add(
        "OpenAI-API-Compatible", "new", "embedding", second.openai_url, credential="second", unverified=True
    )


async def test_the_change_is_refused_and_made_in_the_background(real: Real) -> None:
    async with (
        ModelServer(dimension=32) as first,
        ModelServer(dimension=48) as second,
        real(COSINE_THRESHOLD="-1") as server,
    ):
        ada = Tenant(server, "tenant-a")
        await _prepared(ada, first, second)
        refused = await ada.send("/llm/defaults", {"embedding": NEW}, "PUT")
        assert refused.status_code == 409
        assert "POST /llm/re_embed" in refused.json()["message"]
        assert await ada.engine.embedding_of_data() == "openai/old"
        begun = await ada.send("/llm/re_embed", {"model": NEW})
        assert begun.json()["retcode"] == 0, begun.text
        status = await _until(ada, "completed", "failed")
        assert status["state"] == "completed", status
        assert status["done"] == status["total"] > 0
        assert await ada.engine.embedding_of_data() == "openai/new"
        assert (await ada.get("/llm/effective"))["embedding"]["models"] == [NEW]
        report = await ada.engine.verify()
        assert report.ok
        assert report.stale == 0
        count = len(first.requests)
        await ada.index(BOB, "b.txt")
        await ada.idle()
        found = (await ada.send("/query/data", {"query": "Who described gases?", "mode": "naive"})).json()
        assert {chunk["file_path"] for chunk in found["data"]["chunks"]} == {"a.txt", "b.txt"}
        assert len(first.requests) == count
        again = await ada.send("/llm/re_embed", {"model": NEW})
        assert again.status_code == 409


async def test_it_can_be_cancelled_and_questions_are_answered_meanwhile(real: Real) -> None:
    async with (
        ModelServer(dimension=32) as first,
        ModelServer(dimension=48, embed_latency=30) as second,
        real(COSINE_THRESHOLD="-1") as server,
    ):
        ada = Tenant(server, "tenant-a")
        await _prepared(ada, first, second)
        assert (await ada.send("/llm/re_embed", {"model": NEW})).json()["retcode"] == 0
        assert (await ada.get("/llm/re_embed"))["state"] == "running"
        assert ada.engine.is_working()
        assert (await ada.send("/llm/re_embed", {"model": NEW})).status_code == 409
        assert (await ada.ask("What did Ada write?")).status_code == 200
        cancelled = await server.client.request("DELETE", "/llm/re_embed", headers=ada.headers)
        assert cancelled.json()["data"]["state"] == "cancelled"
        assert (await server.client.request("DELETE", "/llm/re_embed", headers=ada.headers)).status_code == 409
        assert await ada.engine.embedding_of_data() == "openai/old"
        assert (await ada.ask("What did Ada write then?")).status_code == 200


async def test_a_change_that_is_given_up_leaves_what_stands_in_for_the_model(real: Real) -> None:
    async with (
        ModelServer(dimension=32) as first,
        ModelServer(dimension=48, embed_latency=30) as second,
        real() as server,
    ):
        ada = Tenant(server, "tenant-a")
        await _prepared(ada, first, second)
        await ada.add("VLLM", "old", "embedding", first.openai_url)
        await ada.add("LocalAI", "old", "embedding", first.openai_url)
        chain = [OLD, "old___VLLM@VLLM", "old___LocalAI@LocalAI"]
        assert (await ada.send("/llm/defaults", {"embedding": chain}, "PUT")).json()["retcode"] == 0
        assert (await ada.send("/llm/re_embed", {"model": NEW})).json()["retcode"] == 0
        gone = {"llm_factory": "LocalAI", "llm_name": "old"}
        assert (await ada.send("/llm/delete_llm", gone)).json()["retcode"] == 0
        cancelled = await server.client.request("DELETE", "/llm/re_embed", headers=ada.headers)
        assert cancelled.json()["data"]["state"] == "cancelled", cancelled.text
        assert (await ada.get("/llm/defaults"))["embedding"] == chain[:2]


async def test_models_that_are_none_are_refused(real: Real) -> None:
    async with ModelServer(dimension=32) as first, real() as server:
        ada = Tenant(server, "tenant-a")
        await _prepared(ada, first, first)
        answer = (await ada.send("/llm/re_embed", {"model": "other@OpenAI"})).json()
        assert answer["retcode"] == 1
        assert "is no embedding model of this workspace" in answer["retmsg"]
        assert (await ada.get("/llm/re_embed"))["state"] == "none"
