"""Questions that name the models that they are answered with, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from lightrag.testing.model_server import ModelServer, Reaction
from lightrag.testing.vendor_server_rerank import RerankServer

from .conftest import Real, RealServer

ADA = "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage."
QUESTION = "Who wrote the first program?"
KEYWORDS = '{"high_level_keywords": ["program"], "low_level_keywords": ["Ada Lovelace"]}'


def _answer(body: dict[str, Any]) -> str:
    if "high_level_keywords" in str(body["messages"]):
        return KEYWORDS
    return f"from {body['model']}"


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    """A model server whose answers say which model was asked."""
    async with ModelServer(answer=_answer, dimension=32) as server:
        yield server


class Tenant:
    """A workspace with one document and the models that are added to it."""

    def __init__(self, server: RealServer, name: str = "tenant-a") -> None:
        self.server = server
        self.name = name

    async def send(self, path: str, body: dict[str, Any], method: str = "POST") -> httpx.Response:
        headers = {"LIGHTRAG-WORKSPACE": self.name}
        return await self.server.client.request(method, path, json=body, headers=headers)

    async def get(self, path: str, **query: Any) -> Any:
        headers = {"LIGHTRAG-WORKSPACE": self.name}
        return (await self.server.client.get(path, params=query, headers=headers)).json()["data"]

    async def add(self, name: str, base: str, kind: str = "chat", factory: str = "OpenAI", **more: Any) -> None:
        body = {"llm_factory": factory, "llm_name": name, "model_type": kind, "api_base": base, "api_key": "k", **more}
        answer = await self.send("/llm/add_llm", body)
        assert answer.json()["retcode"] == 0, answer.text

    async def index(self) -> None:
        assert (await self.send("/documents/text", {"text": ADA, "file_source": "a.txt"})).status_code == 200
        async with asyncio.timeout(60):
            await self._tenants.pool.peek(self.name).wait_until_idle()

    async def ask(self, **more: Any) -> httpx.Response:
        return await self.send("/query", {"query": QUESTION, "mode": "naive", **more})

    async def said(self, **more: Any) -> str:
        answer = await self.ask(**more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["response"])

    async def entries(self) -> list[dict[str, Any]]:
        await (await self._tenants.models.existing()).ledger.flush()
        rows: list[dict[str, Any]] = await self.get("/llm/usage/entries", limit=1000)
        return rows

    @property
    def _tenants(self) -> Any:
        return self.server.client._transport.app.state.server.tenants  # type: ignore[attr-defined]


@pytest.fixture
async def tenant(real: Real, upstream: ModelServer) -> AsyncIterator[Tenant]:
    """A tenant with the chat models `one` (its default) and `two`."""
    async with real(COSINE_THRESHOLD="-1") as server:
        tenant = Tenant(server)
        await tenant.index()
        for name in ("one", "two"):
            await tenant.add(name, upstream.openai_url)
        assert (await tenant.send("/llm/defaults", {"chat": "one@OpenAI"}, "PUT")).json()["retcode"] == 0
        upstream.reset()
        yield tenant


async def test_a_question_is_answered_by_the_model_that_it_names(tenant: Tenant, upstream: ModelServer) -> None:
    assert await tenant.said() == "from one"
    assert await tenant.said(model="two@OpenAI") == "from two"
    assert await tenant.said(model="two", query="Who wrote it first?") == "from two"
    upstream.reset()
    assert await tenant.said(model="two", mode="mix", query="Who programmed first?") == "from two"
    assert [body["model"] for body in upstream.bodies("/chat/completions")] == ["two", "two"]
    upstream.reset()
    found = await tenant.send("/query/data", {"query": "Who was the first of all?", "mode": "mix", "model": "two"})
    assert found.json()["metadata"]["keywords"]["low_level"] == ["Ada Lovelace"]
    assert [body["model"] for body in upstream.bodies("/chat/completions")] == ["two"]
    streamed = await tenant.send("/query/stream", {"query": "Who streamed?", "mode": "naive", "model": "two"})
    assert '"response":"from' in streamed.text
    assert upstream.bodies("/chat/completions")[-1]["model"] == "two"
    rows = await tenant.entries()
    assert {(row["model"], row["operation"]) for row in rows if row["operation"] != "probe"} == {
        ("one", "answer"),
        ("two", "answer"),
        ("two", "keywords"),
    }


async def test_an_answer_is_kept_for_the_model_that_gave_it(tenant: Tenant, upstream: ModelServer) -> None:
    said = [await tenant.said(model=name) for name in ("one", "two", "one", "two")]
    assert said == ["from one", "from two"] * 2
    assert await tenant.said() == "from one"
    assert len(upstream.bodies("/chat/completions")) == 2
    removed = await tenant.send("/llm/delete_llm", {"llm_factory": "OpenAI", "llm_name": "two"})
    assert removed.json()["retcode"] == 0
    assert (await tenant.ask(model="two")).status_code == 404


async def test_an_answer_names_the_model_that_gave_it(tenant: Tenant, upstream: ModelServer) -> None:
    async def named(model: str | None) -> set[str]:
        """Return what whole, streamed and kept answers say, and those of the chat clients' routes."""
        streamed = await tenant.send("/query/stream", {"query": QUESTION, "mode": "naive", "model": model})
        told = {(await tenant.ask(model=model)).json()["model"], json.loads(streamed.text.splitlines()[-1])["model"]}
        asked = {"model": "lightrag:naive", "messages": [{"role": "user", "content": QUESTION}], "stream": False}
        for path in ("/v1/chat/completions", "/api/chat"):
            told.add((await tenant.send(path, asked | {"answer_model": model})).json()["answer_model"])
        return told

    assert await named(None) == {"one@OpenAI"}
    assert await named("two") == {"two@OpenAI"}
    assert len(upstream.bodies("/chat/completions")) == 2  # all but the first of each were kept answers


async def test_the_model_that_stood_in_for_another_one_is_named(tenant: Tenant, upstream: ModelServer) -> None:
    chain = {"chat": ["one@OpenAI", "two@OpenAI"]}
    assert (await tenant.send("/llm/defaults", chain, "PUT")).json()["retcode"] == 0
    upstream.script(Reaction.status_code(401))
    answer = await tenant.ask()
    assert (answer.json()["response"], answer.json()["model"]) == ("from two", "two@OpenAI")
    streamed = await tenant.send("/query/stream", {"query": "Who streamed?", "mode": "naive"})
    assert json.loads(streamed.text.splitlines()[-1])["model"] == "two@OpenAI"
    assert upstream.url not in answer.text + streamed.text
    found = await tenant.send("/query/data", {"query": "Who was the first of all?", "mode": "mix"})
    assert found.json()["metadata"]["keywords_model"] == "two@OpenAI"
    named = {"query": "Who was the first of all?", "mode": "mix", "ll_keywords": ["Ada"]}
    assert "keywords_model" not in (await tenant.send("/query/data", named)).json()["metadata"]


async def test_questions_at_the_same_time_do_not_mix_their_models(tenant: Tenant) -> None:
    names = ["one", "two", None] * 10
    answers = await asyncio.gather(
        *(
            tenant.said(query=f"Who wrote program number {number}?", **({"model": name} if name else {}))
            for number, name in enumerate(names)
        )
    )
    assert answers == [f"from {name or 'one'}" for name in names]


REFUSALS = [
    ("gone@OpenAI", 404, r"The workspace has no chat model 'gone@OpenAI' to ask; there is one@OpenAI, two@OpenAI"),
    ("two@Anthropic", 404, "there is one@OpenAI, two@OpenAI"),
    ("off", 404, "'off@OpenAI' is switched off (POST /llm/enable_llm switches it on)"),
    ("vectors", 404, "'vectors@OpenAI' is a model of type embedding, not chat"),
    ("", 422, "at least 1 character"),
    ("x" * 600, 422, "at most 512 characters"),
    (7, 422, "valid string"),
]


async def test_a_model_that_cannot_be_used_is_refused_before_anything_is_spent(
    tenant: Tenant, upstream: ModelServer
) -> None:
    await tenant.add("vectors", upstream.openai_url, "embedding")
    await tenant.add("off", upstream.openai_url)
    disabled = {"llm_factory": "OpenAI", "llm_name": "off", "status": "0"}
    assert (await tenant.send("/llm/enable_llm", disabled)).json()["retcode"] == 0
    upstream.reset()
    for path in ("/query", "/query/stream", "/query/data"):
        for name, status, message in REFUSALS:
            answer = await tenant.send(path, {"query": QUESTION, "model": name})
            # This route tells what is wrong with a request's form in the form of its own answers.
            expected = 400 if status == 422 and path == "/query/data" else status
            assert (answer.status_code, message in answer.text) == (expected, True), answer.text
    assert not upstream.requests


async def test_a_name_that_several_models_have_is_refused_with_their_full_names(
    tenant: Tenant, upstream: ModelServer
) -> None:
    await tenant.add("two", upstream.openai_url, factory="DeepSeek")
    answer = await tenant.ask(model="two")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "There are several chat models 'two': name one of two@DeepSeek, two@OpenAI"
    assert await tenant.said(model="two@DeepSeek") == "from two"


async def test_nothing_answers_in_place_of_a_named_model_that_fails(tenant: Tenant, upstream: ModelServer) -> None:
    assert (await tenant.send("/llm/defaults", {"chat": ["one@OpenAI", "two@OpenAI"]}, "PUT")).json()["retcode"] == 0
    upstream.script(Reaction.status_code(401))
    assert (await tenant.ask(model="one")).status_code == 502
    assert [body["model"] for body in upstream.bodies("/chat/completions")] == ["one"]
    assert await tenant.said() == "from two"


async def test_the_price_of_the_named_model_is_what_a_budget_is_held_against(
    tenant: Tenant, upstream: ModelServer
) -> None:
    await tenant.add("dear", upstream.openai_url, price_in=1000, price_out=1000)
    await tenant.add("cheap", upstream.openai_url, price_in=0.001, price_out=0.001)
    limited = await tenant.send("/llm/limits", {"cost_per_day": 0.01}, "PUT")
    assert limited.json()["retcode"] == 0, limited.text
    assert (await tenant.ask(model="two")).status_code == 402  # nobody knows what it costs
    assert await tenant.said(model="cheap") == "from cheap"
    assert await tenant.said(model="dear") == "from dear"
    assert (await tenant.ask(model="cheap", query="What else did she write?")).status_code == 402
    (paid,) = [row for row in await tenant.entries() if row["model"] == "dear" and row["operation"] == "answer"]
    assert paid["cost_usd"] > 0.01


# Faces


async def test_chat_clients_name_the_answering_model_beside_the_server_s_own_name(
    tenant: Tenant, upstream: ModelServer
) -> None:
    said = [{"role": "user", "content": QUESTION}]
    client = tenant.server.client
    body = {"model": "lightrag@tenant-a:naive", "messages": said, "answer_model": "two"}
    openai = (await client.post("/v1/chat/completions", json=body)).json()
    assert (openai["model"], openai["choices"][0]["message"]["content"]) == ("lightrag@tenant-a:naive", "from two")
    ollama = await client.post("/api/chat", json={**body, "model": "lightrag@tenant-a:latest", "stream": False})
    assert ollama.json()["message"]["content"] == "from two"
    prompt = {"model": "lightrag@tenant-a:latest", "prompt": "Say hello.", "answer_model": "two@OpenAI"}
    assert (await client.post("/api/generate", json=prompt)).json()["response"] == "from two"
    upstream.reset()
    refused = await client.post("/v1/chat/completions", json={**body, "answer_model": "gone"})
    assert refused.status_code == 404
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "answer_model")
    assert "one@OpenAI, two@OpenAI" in error["message"]
    refused = await client.post("/api/chat", json={**body, "answer_model": "gone"})
    assert (refused.status_code, "one@OpenAI" in refused.json()["error"]) == (404, True)
    assert not upstream.requests


# Reranking


async def test_passages_are_reordered_by_the_reranking_model_that_is_named(tenant: Tenant) -> None:
    async with RerankServer("vllm") as first, RerankServer("vllm") as second:
        for name, server in (("first", first), ("second", second)):
            await tenant.add(name, server.url, "rerank", "OpenAI-API-Compatible")
        first.reset()
        second.reset()
        naive = {"query": QUESTION, "mode": "naive"}
        found = await tenant.send("/query/data", {**naive, "rerank_model": "second"})
        assert found.json()["data"]["chunks"][0]["found_by"][-1]["list"] == "rerank"
        assert (len(first.requests), len(second.requests)) == (0, 1)
        await tenant.send("/query/data", naive)
        assert (len(first.requests), len(second.requests)) == (1, 1)
        refused = await tenant.send("/query/data", {**naive, "rerank_model": "one"})
        assert refused.status_code == 404
        assert "no reranking model 'one'" in refused.json()["detail"]
        assert "is a model of type chat, not rerank" in refused.json()["detail"]
        answer = await tenant.ask(rerank_model="second", enable_rerank=False)
        assert (answer.status_code, "enable_rerank is false" in answer.json()["detail"]) == (400, True)


async def test_reranking_goes_on_to_the_next_model_of_the_defaults_and_its_health_is_told(tenant: Tenant) -> None:
    async with RerankServer("vllm") as first, RerankServer("vllm") as second:
        for name, server in (("first", first), ("second", second)):
            await tenant.add(name, server.url, "rerank", "OpenAI-API-Compatible")
        names = [f"{name}___OpenAI-API@OpenAI-API-Compatible" for name in ("first", "second")]
        assert (await tenant.send("/llm/defaults", {"rerank": names}, "PUT")).json()["retcode"] == 0
        first.script(Reaction.status_code(401))
        found = await tenant.send("/query/data", {"query": QUESTION, "mode": "naive"})
        assert found.json()["data"]["chunks"][0]["found_by"][-1]["list"] == "rerank"
        models = (await tenant.get("/llm/health"))["models"]
        states = {model["model"]: model["state"] for model in models if model["roles"] == ["rerank"]}
        assert states == dict(zip(names, ["refused", "closed"], strict=True))
        await tenant.send("/query/data", {"query": "What is an engine?", "mode": "naive"})
    assert {(row["model"], row["outcome"]) for row in await tenant.entries() if row["operation"] == "rerank"} == {
        ("first___OpenAI-API", "error"),
        ("second___OpenAI-API", "ok"),
    }


# The server's own models


async def test_a_server_without_tenants_answers_with_the_models_that_it_is_configured_with(
    real: Real, upstream: ModelServer
) -> None:
    environ = {
        "LLM_BINDING": "openai",
        "LLM_BINDING_HOST": upstream.openai_url,
        "LLM_BINDING_API_KEY": "k",
        "LLM_MODEL": "big",
        "KEYWORD_LLM_MODEL": "small",
    }
    async with real(COSINE_THRESHOLD="-1", **environ) as server:
        await server.add(ADA, "a.txt")

        async def ask(**more: Any) -> httpx.Response:
            return await server.client.post("/query", json={"query": QUESTION, "mode": "mix", **more})

        for name in ("big", "big@openai"):
            assert (await ask(model=name)).json()["response"] == "from big"
        assert (await ask(model="small")).json()["response"] == "from small"
        upstream.reset()
        refused = await ask(model="other")
        assert refused.status_code == 404
        assert "The server has no chat model 'other' to ask; there is small@openai, big@openai" in refused.text
        refused = await ask(rerank_model="other")
        assert (refused.status_code, "no reranking model 'other'" in refused.text) == (404, True)
        assert not upstream.requests


async def test_a_server_that_quotes_has_no_model_to_name(real: Real) -> None:
    async with real(COSINE_THRESHOLD="-1") as server:
        await server.add(ADA, "a.txt")
        answer = await server.client.post("/query", json={"query": QUESTION, "model": "gpt-4o"})
    assert answer.status_code == 404
    assert "no chat model 'gpt-4o' to ask, nor any other one" in answer.json()["detail"]


async def test_of_backends_that_run_different_models_the_named_one_answers_alone(
    real: Real, upstream: ModelServer
) -> None:
    backends = [{"name": name, "model": name, "order": order} for order, name in enumerate(("main", "spare"))]
    environ = {
        "LLM_BINDING": "openai",
        "LLM_BINDING_HOST": upstream.openai_url,
        "LLM_BINDING_API_KEY": "k",
        "LLM_BACKENDS": str(backends).replace("'", '"'),
    }
    async with real(COSINE_THRESHOLD="-1", **environ) as server:
        await server.add(ADA, "a.txt")

        async def ask(**more: Any) -> httpx.Response:
            return await server.client.post("/query", json={"query": QUESTION, "mode": "naive", **more})

        assert (await ask(model="spare")).json()["response"] == "from spare"
        assert (await ask()).json()["response"] == "from main"
        upstream.script(*[Reaction.status_code(401)] * 3)
        failed = await ask(model="main", query="Who else wrote programs?")
        assert failed.status_code == 502
        assert upstream.bodies("/chat/completions")[-1]["model"] == "main"


async def test_workspaces_with_models_of_their_own_do_not_send_texts_to_the_server_s(
    real: Real, upstream: ModelServer
) -> None:
    environ = {"LLM_BINDING": "openai", "LLM_BINDING_HOST": upstream.openai_url, "LLM_BINDING_API_KEY": "k"}
    async with real(COSINE_THRESHOLD="-1", LLM_MODEL="house", **environ) as server:
        without, having = Tenant(server, "without"), Tenant(server, "having")
        for tenant in (without, having):
            await tenant.index()
        # Calls are entered for workspaces that are managed.
        assert (await without.send("/llm/limits", {"tokens_per_day": 10**9}, "PUT")).json()["retcode"] == 0
        await having.add("own", upstream.openai_url)
        upstream.reset()
        assert await without.said(model="house") == "from house"
        assert await having.said(model="own") == "from own"
        upstream.reset()
        refused = await having.ask(model="house")
        assert refused.status_code == 404
        assert "The server's own models serve workspaces without chat models only" in refused.json()["detail"]
        refused = await without.ask(model="own")
        assert (refused.status_code, "house@openai" in refused.json()["detail"]) == (404, True)
        assert not upstream.requests
        assert [row["model"] for row in await without.entries() if row["operation"] == "answer"] == ["house"]
