"""What is found out about a server, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from lightrag.errors import ModelRefused
from lightrag.llm.endpoint_probe import EndpointReport, told_limit
from lightrag.llm.endpoint_probe_chat import probe_chat_endpoint
from lightrag.llm.endpoint_probe_retrieval import probe_embedding_endpoint, probe_rerank_endpoint
from lightrag.settings import Settings, load_settings
from lightrag.testing.model_contract import SECRET, closed_port
from lightrag.testing.model_dialects import Answer
from lightrag.testing.model_server import ModelServer, Reaction
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_chat import AnthropicVendor
from lightrag.testing.vendor_server_embedding import TeiVendor
from lightrag.testing.vendor_server_rerank import RerankServer


def settings(**environ: str) -> Settings:
    return load_settings(None, environ, Path("/nonexistent"))


async def chat(url: str, *, binding: str = "openai", most: int = 0, key: str = "", model: str = "m") -> EndpointReport:
    said = settings(LLM_BINDING=binding, LLM_BINDING_HOST=url, LLM_MODEL=model, LLM_BINDING_API_KEY=key)
    return await probe_chat_endpoint(said.llm, said.vendors, seconds=60, most_context=most)


def found(report: EndpointReport) -> dict[str, tuple[str, str]]:
    return {check.subject: (check.level, check.detail) for check in report.checks}


def capable(body: dict[str, Any]) -> str:
    """Answer as a capable model would, to what the probe asks."""
    question = str(body["messages"][-1]["content"])
    if "JSON" in question:
        return '{"capital": "Paris"}'
    if "password" in question:
        return "ZEBRA-4217"
    return "one two three"


async def test_a_capable_server_is_found_to_be_one() -> None:
    async with ModelServer(answer=capable, models=["m", "n"], api_key=SECRET) as server:
        report = await chat(server.openai_url, key=SECRET, most=2048)
    checks = found(report)
    assert report.is_usable
    assert checks["reachable"] == ("ok", f"{server.openai_url} answers and lists 2 models")
    assert checks["model"] == ("ok", "'m' is there")
    assert checks["answer"][1].endswith("with token counts")
    assert checks["streaming"][1].startswith("first of 3 pieces")
    assert checks["JSON mode"] == ("ok", "the answer is a JSON object")
    assert checks["tool calls"] == ("ok", "accepted, but none was made")
    assert checks["output limit"] == ("ok", "the server names none")
    assert checks["context"] == ("ok", "prompts of 2,048 tokens are taken")
    assert report.settings["LLM_MODEL"] == "m"
    assert SECRET not in str(report)


@pytest.mark.parametrize(
    ("options", "subject", "detail"),
    [
        ({"api_key": "right"}, "key", "check the API key"),
        ({"models": ["mistral"]}, "answer", "not found"),
    ],
)
async def test_what_does_not_work_is_told(options: dict[str, Any], subject: str, detail: str) -> None:
    async with ModelServer(**options) as server:
        server.script(Reaction.status_code(401)) if subject == "key" else None
        report = await chat(server.openai_url, key="wrong", model="mistrel")
    checks = found(report)
    assert not report.is_usable
    assert report.settings == {}
    if subject == "key":
        assert checks["answer"][0] == "broken"
        assert detail in checks["answer"][1]
    else:
        assert checks["model"] == ("note", "'mistrel' is not listed; there are: mistral")
        assert detail in checks[subject][1]


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    report = await chat(f"http://127.0.0.1:{closed_port()}/v1")
    assert [(check.level, check.subject) for check in report.checks] == [("broken", "reachable")]


async def test_a_context_that_is_refused_is_found_by_what_the_server_says() -> None:
    async with ModelServer(answer=capable, context_tokens=3000) as server:
        report = await chat(server.openai_url, most=16384)
    assert found(report)["context"] == ("ok", "3,000 tokens; longer prompts are refused")
    assert report.settings["MAX_TOTAL_TOKENS"] == "2000"
    assert report.settings["CHUNK_SIZE"] == "600"


async def test_a_server_that_cuts_prompts_without_a_word_is_found_out_by_its_counts() -> None:
    def react(path: str, body: dict[str, Any]) -> Reaction:
        tokens = len(str(body.get("messages"))) // 5
        return Reaction(answer=Answer(capable(body), usage=(min(tokens, 1500), 5)))

    async with ModelServer(react=react) as server:
        report = await chat(server.openai_url, most=8192)
    assert found(report)["context"][0] == "broken"
    assert "1,500 tokens are cut" in found(report)["context"][1]


async def test_and_without_counts_by_what_it_forgets() -> None:
    def react(path: str, body: dict[str, Any]) -> Reaction:
        text = capable(body) if len(str(body.get("messages"))) < 8000 else "Which password?"
        return Reaction(answer=Answer(text, usage=None))

    async with ModelServer(react=react) as server:
        report = await chat(server.openai_url, most=8192)
    checks = found(report)
    assert checks["answer"][1].endswith("no token counts")
    assert checks["context"][0] == "broken"
    assert "1,024 tokens are cut" in checks["context"][1]


async def test_parameters_that_are_refused_are_told() -> None:
    async with ModelServer(answer=capable, rejects=["response_format", "tools"]) as server:
        checks = found(await chat(server.openai_url))
    assert checks["JSON mode"][0] == "note"
    assert checks["tool calls"][0] == "note"
    assert "refused" in checks["JSON mode"][1]
    assert "refused" in checks["tool calls"][1]


async def test_an_output_limit_is_read_from_the_refusal() -> None:
    def react(path: str, body: dict[str, Any]) -> Reaction | None:
        if (body.get("max_tokens") or 0) > 4096:
            message = "max_tokens is too large: 10000000. This model supports at most 4096 completion tokens."
            return Reaction.status_code(400, message=message)
        return None

    async with ModelServer(answer=capable, react=react) as server:
        assert found(await chat(server.openai_url))["output limit"] == ("ok", "4,096 tokens")


async def test_ollama_tells_its_context_and_is_asked_for_it() -> None:
    async with ModelServer(answer=capable, models=["m"], context_tokens=8192) as server:
        report = await chat(server.url, binding="ollama")
    assert found(report)["context"] == ("ok", "8,192 tokens, as the server tells; not tried")
    assert report.settings["MAX_TOKENS"] == "8192"


async def test_another_vendor_is_asked_in_its_own_form() -> None:
    async with VendorServer(AnthropicVendor(), answer=capable, api_key=SECRET) as server:
        report = await chat(server.url, binding="anthropic", key=SECRET)
    checks = found(report)
    assert report.is_usable
    assert checks["models"][0] == "note"
    assert checks["JSON mode"] == ("note", "there is none without a schema; the prompt was enough")


async def embedding(url: str, binding: str = "openai") -> EndpointReport:
    said = settings(EMBEDDING_BINDING=binding, EMBEDDING_BINDING_HOST=url, EMBEDDING_MODEL="m")
    return await probe_embedding_endpoint(said.embedding, said.vendors, seconds=60)


async def test_dimension_batch_and_length_of_an_embedding_model() -> None:
    async with ModelServer(dimension=48, context_tokens=700) as server:
        report = await embedding(server.openai_url)
    checks = found(report)
    assert checks["embedding"][1].startswith("48 dimensions")
    assert checks["texts in one call"] == ("ok", "256")
    assert checks["longest text"] == ("ok", "between 512 and 1,024 tokens; longer ones are refused")
    assert report.settings["EMBEDDING_DIM"] == "48"
    assert report.settings["CHUNK_SIZE"] == "384"


async def test_a_batch_limit_is_found() -> None:
    async with VendorServer(TeiVendor()) as server:
        checks = found(await embedding(server.url, "tei"))
    assert checks["texts in one call"] == ("ok", "32; more are refused")


async def test_an_embedding_server_that_cuts_texts_is_found_out() -> None:
    def react(path: str, body: dict[str, Any]) -> Reaction:
        rows = []
        for index, text in enumerate(body["input"]):
            vector = np.zeros(8)
            for character in text[:4000]:
                vector[ord(character) % 8] += 1
            rows.append({"index": index, "embedding": vector.tolist()})
        return Reaction.raw(orjson.dumps({"data": rows}))

    async with ModelServer(react=react) as server:
        checks = found(await embedding(server.openai_url))
    assert checks["longest text"] == ("broken", "texts longer than 512 tokens are cut without a word")


@pytest.mark.parametrize(("manner", "path"), [("vllm", "/v1/rerank"), ("tei", "/rerank"), ("voyageai", "/v1/rerank")])
async def test_the_rerank_dialect_is_found(manner: str, path: str) -> None:
    async with RerankServer(manner) as server:
        said = settings(RERANK_BINDING="auto", RERANK_BINDING_HOST=server.url, RERANK_MODEL="m")
        report = await probe_rerank_endpoint(said.rerank, seconds=60)
    assert report.is_usable
    assert found(report)["judgement"][0] == "ok"
    assert report.settings["RERANK_BINDING_HOST"] == server.url + path
    assert report.settings["RERANK_BINDING"] == {"vllm": "generic"}.get(manner, manner)


async def test_a_server_without_reranking_is_told() -> None:
    async with ModelServer() as server:
        said = settings(RERANK_BINDING="auto", RERANK_BINDING_HOST=server.url)
        report = await probe_rerank_endpoint(said.rerank, seconds=60)
    assert not report.is_usable


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("This model's maximum context length is 8192 tokens. However, you requested 10000 tokens", 8192),
        ("max_tokens is too large: 10000. This model supports at most 16384 completion tokens", 16384),
        ("max_tokens: 10000 > 4096, which is the maximum allowed number of output tokens for m", 4096),
        ("the request exceeds the available context size (4096 tokens), try increasing it", 4096),
        ("prompt is too long: 208310 tokens > 200000 maximum", 200000),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", None),
        ("no number here", None),
    ],
)
def test_limits_are_read_from_what_servers_say(message: str, limit: int | None) -> None:
    assert told_limit(ModelRefused(message), 10000) == limit
