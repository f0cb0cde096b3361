"""Tenants with models of their own: use, usage and limits, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from lightrag.tenancy.keyring import new_key_text
from lightrag.testing.model_server import ModelServer

from .conftest import Real, RealServer

ADA = "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage."
BOB = "Robert Boyle described the pressure of gases in Oxford with Robert Hooke."


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    """A model server that both tenants reach, in different dialects."""
    async with ModelServer(dimension=32) as server:
        yield server


class Tenant:
    """A workspace's user."""

    def __init__(self, server: RealServer, name: str) -> None:
        self.server = server
        self.headers = {"LIGHTRAG-WORKSPACE": name}
        self.name = name

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.server.client.get(path, params=query, headers=self.headers)
        return answer.json()["data"] if path.startswith("/llm") else answer.json()

    async def send(self, path: str, body: dict[str, Any], method: str = "POST") -> httpx.Response:
        return await self.server.client.request(method, path, json=body, headers=self.headers)

    async def add(self, factory: str, name: str, kind: str, base: str, **more: Any) -> None:
        body = {"llm_factory": factory, "llm_name": name, "model_type": kind, "api_base": base, "api_key": "k", **more}
        answer = await self.send("/llm/add_llm", body)
        assert answer.json()["retcode"] == 0, answer.text

    async def index(self, text: str, source: str) -> None:
        answer = await self.send("/documents/text", {"text": text, "file_source": source})
        assert answer.status_code == 200, answer.text

    async def idle(self) -> None:
        engine = self.engine
        async with asyncio.timeout(60):
            await engine.wait_until_idle()

    @property
    def engine(self) -> Any:
        tenants = self.server.client._transport.app.state.server.tenants  # type: ignore[attr-defined]
        return tenants.pool.peek(self.name)

    async def ask(self, question: str, **more: Any) -> httpx.Response:
        return await self.send("/query", {"query": question, "mode": "naive", **more})

    async def limit(self, **limits: Any) -> None:
        answer = await self.send("/llm/limits", limits, "PUT")
        assert answer.status_code == 200, answer.text
        assert answer.json()["retcode"] == 0, answer.text

    async def usage(self) -> dict[tuple[str, str], Any]:
        tenants = self.server.client._transport.app.state.server.tenants  # type: ignore[attr-defined]
        await (await tenants.models.existing()).ledger.flush()
        rows = (await self.get("/llm/usage", by="provider,model,type"))["usage"]
        return {(row["provider"], row["type"]): row for row in rows}


PRICES = {"price_in": 1, "price_out": 2}


async def _openai(tenant: Tenant, upstream: ModelServer, **more: Any) -> None:
    await tenant.add("OpenAI-API-Compatible", "chatty", "chat", upstream.openai_url, **PRICES, **more)


async def test_two_tenants_index_and_ask_with_providers_of_their_own(real: Real, upstream: ModelServer) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada, bob = Tenant(server, "tenant-a"), Tenant(server, "tenant-b")
        await _openai(ada, upstream)
        await ada.add("OpenAI-API-Compatible", "vectors", "embedding", upstream.openai_url)
        await bob.add("Ollama", "llama", "chat", upstream.url)
        await bob.add("Ollama", "nomic", "embedding", upstream.url)
        for tenant, text in ((ada, ADA), (bob, BOB)):
            await tenant.index(text, "a.txt")
            await tenant.idle()
            assert (await tenant.ask("Who wrote what?")).json()["response"]
        by_ada, by_bob = await ada.usage(), await bob.usage()
        assert by_ada.keys() == {("OpenAI-API-Compatible", "chat"), ("OpenAI-API-Compatible", "embedding")}
        assert by_bob.keys() == {("Ollama", "chat"), ("Ollama", "embedding")}
        paid = by_ada["OpenAI-API-Compatible", "chat"]
        cost = (paid["prompt_tokens"] * 1 + paid["completion_tokens"] * 2) / 1e6
        # Rounded up for each call.
        assert cost <= paid["cost_usd"] <= cost + paid["calls"] / 1e6
        assert by_bob["Ollama", "chat"]["unpriced_tokens"] == by_bob["Ollama", "chat"]["total_tokens"] > 0
        models = (await ada.get("/llm/my_llms"))["OpenAI-API-Compatible"]["llm"]
        assert next(m for m in models if m["type"] == "chat")["used_token"] == paid["total_tokens"]
        health = await ada.get("/llm/health")
        assert {model["state"] for model in health["models"]} == {"closed"}
        assert all("tenant-b" not in str(model) and "Ollama" not in str(model) for model in health["models"])


async def test_a_model_that_is_added_changed_or_removed_serves_from_the_next_call_on(
    real: Real, upstream: ModelServer
) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await ada.index(ADA, "a.txt")
        await ada.idle()
        quoted = (await ada.ask("What did Ada Lovelace write?")).json()["response"]
        assert not upstream.requests
        await _openai(ada, upstream)
        answered = (await ada.ask("What did Ada Lovelace write?")).json()["response"]
        assert answered != quoted
        assert {request.body["model"] for request in upstream.requests} == {"chatty"}
        # Documents that come from here on are read by the model, too.
        await ada.index(BOB, "b.txt")
        await ada.idle()
        assert ada.engine.describe().chat
        operations = {row["operation"] for row in await _entries(ada)}
        assert {"answer", "extract"} <= operations
        delete = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "chatty___OpenAI-API", "force": True}
        assert (await ada.send("/llm/delete_llm", delete)).json()["retcode"] == 0
        count = len(upstream.requests)
        assert (await ada.ask("What did Ada Lovelace write?")).json()["response"] == quoted
        assert len(upstream.requests) == count


async def _entries(tenant: Tenant) -> list[dict[str, Any]]:
    await tenant.usage()
    rows: list[dict[str, Any]] = await tenant.get("/llm/usage/entries", limit=1000)
    return rows


async def test_64_questions_at_once_stay_within_the_budget(real: Real, upstream: ModelServer) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await ada.index(ADA, "a.txt")
        await ada.idle()
        await _openai(ada, upstream)
        await ada.limit(tokens_per_day=10_000)
        answers = await asyncio.gather(*(ada.ask(f"Question {n}", max_tokens=64) for n in range(64)))
        statuses = {answer.status_code for answer in answers}
        # 429 where what is left is only reserved by the calls that run.
        assert statuses in ({200, 402}, {200, 429}, {200, 402, 429}), [answer.text for answer in answers][:3]
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert "tokens_per_day" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        state = (await ada.get("/llm/limits"))["tokens_per_day"]
        most = max(row["prompt_tokens"] + row["completion_tokens"] for row in await _entries(ada))
        assert state["reserved"] == 0
        assert state["used"] <= 10_000 + most


async def test_indexing_pauses_at_a_limit_and_goes_on_when_it_is_raised(real: Real, upstream: ModelServer) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await _openai(ada, upstream)
        await ada.limit(tokens_per_day=0, force=True)
        await ada.index(ADA, "a.txt")
        async with asyncio.timeout(60):
            while (await ada.get("/documents/pipeline_status")).get("paused_until") is None:
                await asyncio.sleep(0.05)
        counts = await ada.engine.status_counts()
        assert counts["failed"] == 0
        assert (await ada.ask("Who?")).status_code in (200, 402)  # nothing is found yet, or it is refused
        await ada.limit(tokens_per_day=None)
        await ada.idle()
        assert (await ada.engine.status_counts())["processed"] == 1


async def test_indexing_uses_up_a_budget_of_which_calls_side_by_side_reserve_more_than_they_need(real: Real) -> None:
    async with ModelServer(dimension=32, latency=0.1) as slow, real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await _openai(ada, slow)
        await ada.limit(tokens_per_day=4500)
        for number in range(6):
            await ada.index(f"{ADA} Number {number}.", f"{number}.txt")
        await ada.idle()
        state = (await ada.get("/llm/limits"))["tokens_per_day"]
        assert (await ada.engine.status_counts())["processed"] == 6
        assert 0 < state["used"] < 4500
        assert (await ada.get("/documents/pipeline_status")).get("paused_until") is None


async def test_the_openai_face_tells_a_budget_that_is_used_up_as_openai_does(real: Real, upstream: ModelServer) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await ada.index(ADA, "a.txt")
        await ada.idle()
        await _openai(ada, upstream)
        await ada.limit(tokens_per_day=0, force=True)
        body = {"model": "lightrag:naive", "messages": [{"role": "user", "content": "Who wrote it?"}]}
        refused = await ada.send("/v1/chat/completions", body)
        assert refused.status_code == 402
        assert int(refused.headers["Retry-After"]) > 0
        assert (refused.json()["error"]["type"], refused.json()["error"]["code"]) == ("insufficient_quota",) * 2


async def test_an_aborted_stream_is_paid_for(real: Real) -> None:
    async with ModelServer(tps=200) as slow, real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await ada.index(ADA, "a.txt")
        await ada.idle()
        await ada.add("OpenAI-API-Compatible", "chatty", "chat", slow.openai_url, unverified=True)
        from lightrag.types import QueryParam

        result = await ada.engine.query("What did Ada write?", QueryParam(mode="naive", stream=True))
        assert result.stream is not None
        async for _ in result.stream:
            break
        await result.stream.aclose()
        [entry] = [row for row in await _entries(ada) if row["operation"] == "answer"]
        assert entry["outcome"] == "aborted"
        assert entry["prompt_tokens"] > 0
        assert entry["completion_tokens"] > 0
        assert entry["is_estimated"]


async def test_a_tenants_bad_key_opens_no_other_tenants_circuit(real: Real) -> None:
    async with ModelServer(api_key="right") as upstream, real(COSINE_THRESHOLD="-1") as server:
        good, bad = Tenant(server, "tenant-a"), Tenant(server, "tenant-b")
        for tenant, key in ((good, "right"), (bad, "wrong")):
            await tenant.index(ADA, "a.txt")
            await tenant.idle()
            await tenant.add(
                "OpenAI-API-Compatible", "chatty", "chat", upstream.openai_url, api_key=key, unverified=True
            )
        for _ in range(4):
            assert (await bad.ask("Who?")).status_code == 502
        assert (await good.ask("Who?")).status_code == 200
        states = [[model["state"] for model in (await t.get("/llm/health"))["models"]] for t in (good, bad)]
        assert states == [["closed"], ["refused"]]
        # A key that is set right serves at once.
        await bad.add("OpenAI-API-Compatible", "chatty", "chat", upstream.openai_url, api_key="right")
        assert (await bad.ask("Who?")).status_code == 200


async def test_limits_that_make_no_sense(real: Real) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "Name limits"),
        ({"tokens": 5}, "There is no limit 'tokens'"),
        ({"tokens_per_day": -1}, "tokens_per_day must be a number"),
        ({"concurrency": 1.5}, "concurrency must be a whole number"),
        ({"cost_per_day": "much"}, "cost_per_day must be a number"),
    ]
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        for body, message in wrong:
            answer = (await ada.send("/llm/limits", body, "PUT")).json()
            assert answer["retcode"] == 1
            assert message in answer["retmsg"]
        assert await ada.get("/llm/limits") == {}


async def test_usage_is_given_as_a_table_and_refuses_unknown_parts(real: Real, upstream: ModelServer) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await _openai(ada, upstream)
        await ada.usage()
        table = await server.client.get("/llm/usage?format=csv&by=model", headers=ada.headers)
        assert table.headers["content-type"].startswith("text/csv")
        assert table.text.splitlines()[0].startswith("model,calls")
        for query in ("by=colour", "since=tomorrow", "since=2026-02-01&until=2026-01-01"):
            answer = (await server.client.get(f"/llm/usage?{query}", headers=ada.headers)).json()
            assert answer["retcode"] == 1


async def test_a_token_has_limits_of_its_own(real: Real, upstream: ModelServer) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await ada.index(ADA, "a.txt")
        await ada.idle()
        await _openai(ada, upstream)
        made = (await ada.send("/access/tokens", {"is_admin": True})).json()
        server.client.headers["Authorization"] = f"Bearer {made['token']}"
        made = (await ada.send("/access/tokens", {"roles": {"tenant-a": "reader"}})).json()
        path = f"/access/tokens/{made['id']}/limits"
        assert (await ada.send(path, {"requests_per_minute": 1}, "PUT")).status_code == 200
        assert list((await server.client.get(path)).json()) == ["requests_per_minute"]
        for method in ("GET", "PUT"):
            unknown = await ada.send("/access/tokens/0f3a/limits", {"requests_per_minute": 1}, method)
            assert unknown.status_code == 404, unknown.text
        reader = {**ada.headers, "Authorization": f"Bearer {made['token']}"}
        statuses = []
        for question in ("Who?", "What?"):
            body = {"query": question, "mode": "naive"}
            statuses.append((await server.client.post("/query", json=body, headers=reader)).status_code)
        assert statuses == [200, 429]
        assert (await ada.ask("Who?")).status_code == 200
        assert (await server.client.get("/llm/limits", headers=reader)).status_code == 403
        await ada.usage()
        by_token = (await ada.get("/llm/usage", by="token"))["usage"]
        assert any(row["token"] == made["id"] for row in by_token)


async def test_an_estimate_tells_calls_tokens_and_cost_before_they_are_paid(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        ada = Tenant(server, "tenant-a")
        free = (await ada.send("/documents/estimate", {"texts": [ADA]})).json()
        assert free["chunks"] == 1
        assert (free["extraction"]["calls"], free["extraction"]["cost_usd"]) == (0, 0)
        await _openai(ada, upstream)
        asked = len(upstream.requests)
        told = (await ada.send("/documents/estimate", {"texts": [ADA, BOB]})).json()
        assert (told["documents"], told["chunks"]) == (2, 2)
        assert told["extraction"]["calls"] == 2
        cost = (told["extraction"]["prompt_tokens"] + 2 * told["extraction"]["completion_tokens"]) / 1e6
        assert told["extraction"]["cost_usd"] == pytest.approx(cost, abs=1e-6)
        assert len(upstream.requests) == asked
        # What waits for a limit can be foreseen, too.
        await ada.limit(tokens_per_day=0, force=True)
        await ada.index(ADA, "a.txt")
        async with asyncio.timeout(60):
            while (await ada.get("/documents/estimate"))["chunks"] != 1:
                await asyncio.sleep(0.05)
        await ada.limit(tokens_per_day=None)
        await ada.idle()
        done = await ada.get("/documents/estimate")
        assert (done["documents"], done["calls"]) == (0, 0)
        assert (await server.client.get("/documents/estimate?doc_id=no", headers=ada.headers)).status_code == 404
        wrong: list[dict[str, Any]] = [{}, {"texts": []}, {"texts": "a"}]
        for body in wrong:
            assert (await ada.send("/documents/estimate", body)).status_code == 422


async def test_the_model_that_the_documents_are_embedded_with_is_in_use(real: Real, upstream: ModelServer) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        ada = Tenant(server, "tenant-a")
        await ada.add("OpenAI-API-Compatible", "vectors", "embedding", upstream.openai_url)
        gone = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "vectors"}
        await ada.index(ADA, "ada.txt")
        await ada.idle()
        for path in ("/llm/delete_llm", "/llm/delete_factory"):
            refused = await ada.send(path, gone)
            assert refused.status_code == 409, refused.text
            assert "re_embed" in refused.json()["message"]
        key = "/llm/credentials?llm_factory=OpenAI-API-Compatible&credential=default"
        refused = await ada.send(key, {}, "DELETE")
        assert refused.status_code == 409, refused.text
        assert "re_embed" in refused.json()["message"]
        assert (await ada.ask("Who wrote it?", only_need_context=True)).status_code == 200
        assert (await ada.send("/llm/delete_llm", gone | {"force": True})).json()["retcode"] == 0


async def test_a_workspace_whose_embedding_model_cannot_be_used_opens_and_says_why(
    real: Real, upstream: ModelServer
) -> None:
    name = "vectors"
    key, other_key = new_key_text(), new_key_text()
    switch = {"llm_factory": "OpenAI-API-Compatible", "llm_name": name}
    async with real(COSINE_THRESHOLD="-1", LIGHTRAG_KEK=key) as server:
        ada = Tenant(server, "tenant-a")
        await ada.add("OpenAI-API-Compatible", name, "embedding", upstream.openai_url)
        await ada.index(ADA, "ada.txt")
        await ada.idle()
    async with real(COSINE_THRESHOLD="-1", LIGHTRAG_KEK=other_key) as server:
        ada = Tenant(server, "tenant-a")
        assert "ada.txt" in str(await ada.get("/documents"))
        refused = await ada.ask("Who wrote it?", only_need_context=True)
        assert refused.status_code == 409, refused.text
        assert "cannot be read; set it again (POST /llm/set_api_key)" in refused.json()["detail"]
        await ada.add("OpenAI-API-Compatible", name, "embedding", upstream.openai_url)
        assert (await ada.ask("Who wrote it?", only_need_context=True)).status_code == 200
        assert (await ada.send("/llm/enable_llm", switch | {"status": "0"})).json()["retcode"] == 0
    async with real(COSINE_THRESHOLD="-1", LIGHTRAG_KEK=other_key) as server:
        ada = Tenant(server, "tenant-a")
        assert "ada.txt" in str(await ada.get("/documents"))
        refused = await ada.ask("Who wrote it?", only_need_context=True)
        assert refused.status_code == 409, refused.text
        assert "is switched off" in refused.json()["detail"]
        assert (await ada.send("/llm/enable_llm", switch | {"status": "1"})).json()["retcode"] == 0
        assert (await ada.ask("Who wrote it?", only_need_context=True)).status_code == 200


async def test_a_workspace_is_described_with_its_models_and_what_it_has_used(real: Real, upstream: ModelServer) -> None:
    async with real() as server:
        ada, bob = Tenant(server, "tenant-a"), Tenant(server, "tenant-b")
        await _openai(ada, upstream)
        await ada.add("OpenAI-API-Compatible", "spare", "chat", upstream.openai_url)
        off = {"llm_factory": "OpenAI-API-Compatible", "llm_name": "spare", "status": "0"}
        assert (await ada.send("/llm/enable_llm", off)).json()["retcode"] == 0
        await ada.index(ADA, "ada.txt")
        await ada.idle()
        await bob.index(BOB, "bob.txt")
        await bob.idle()
        assert await ada.usage()
        report = (await server.client.get("/workspaces/tenant-a")).json()
        assert report["models"] == {"chat": ["chatty___OpenAI-API@OpenAI-API-Compatible"]}
        assert report["usage"] == (await ada.get("/llm/usage"))["total"]
        assert report["usage"]["cost_usd"] > 0
        assert (await server.client.get("/workspaces/tenant-b")).json()["models"] == {}


async def test_an_estimate_calls_nothing_where_texts_are_cut_by_their_meaning(
    real: Real, upstream: ModelServer
) -> None:
    async with real(LIGHTRAG_CHUNKING="semantic_vector") as server:
        ada = Tenant(server, "tenant-a")
        await ada.add("OpenAI-API-Compatible", "vectors", "embedding", upstream.openai_url)
        asked = len(upstream.requests)
        told = (await ada.send("/documents/estimate", {"texts": [ADA]})).json()
        assert told["chunks"] == 1
        assert len(upstream.requests) == asked
