"""The settings name a binding, and calls go to its server in its form."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lightrag.engine_models import Models
from lightrag.errors import ConfigurationError
from lightrag.llm.contracts import Role
from lightrag.llm.retry import RetryPolicy
from lightrag.model_assembly import open_models
from lightrag.settings import load_settings
from lightrag.storage.memory import MemoryStorage
from lightrag.testing.model_contract import SECRET, ask, closed_port
from lightrag.testing.model_server import ModelServer, Reaction
from lightrag.testing.vendor_server import VendorServer
from lightrag.testing.vendor_server_bedrock import BedrockVendor
from lightrag.testing.vendor_server_chat import AnthropicVendor, AzureVendor, GeminiVendor, LollmsVendor
from lightrag.testing.vendor_server_embedding import CohereVendor, JinaVendor, TeiVendor, VoyageVendor
from lightrag.testing.vendor_server_rerank import RerankServer

CHAT: dict[str, tuple[Any, str]] = {
    "azure_openai": (AzureVendor, ""),
    "lollms": (LollmsVendor, ""),
    "anthropic": (AnthropicVendor, ""),
    "gemini": (GeminiVendor, ""),
    "bedrock": (BedrockVendor, ""),
}
EMBEDDING: dict[str, tuple[Any, str]] = {
    "azure_openai": (AzureVendor, ""),
    "lollms": (LollmsVendor, ""),
    "gemini": (GeminiVendor, ""),
    "bedrock": (BedrockVendor, ""),
    "jina": (JinaVendor, "/v1"),
    "voyageai": (VoyageVendor, "/v1"),
    "cohere": (CohereVendor, "/v2"),
    "tei": (TeiVendor, ""),
}


async def opened(tmp_path: Path, **environ: str) -> Models:
    settings = load_settings([], {"LLM_BINDING": "none"} | environ, tmp_path)
    return await open_models(settings, MemoryStorage("w"), None, RetryPolicy(attempts=1))


@pytest.mark.parametrize("binding", CHAT)
async def test_every_chat_binding_is_called_with_its_key(tmp_path: Path, binding: str) -> None:
    vendor, path = CHAT[binding]
    async with VendorServer(vendor(), api_key=SECRET) as server:
        host = server.url + path
        models = await opened(
            tmp_path, LLM_BINDING=binding, LLM_BINDING_HOST=host, LLM_BINDING_API_KEY=SECRET, LLM_MODEL="stand-in"
        )
        assert (await models.chat[Role.ANSWER].complete(ask())).text
        await models.aclose()
    assert (models.chat[Role.ANSWER].facts.binding, models.chat[Role.ANSWER].facts.name) == (binding, "stand-in")


@pytest.mark.parametrize("binding", EMBEDDING)
async def test_every_embedding_binding_is_called_with_its_key(tmp_path: Path, binding: str) -> None:
    vendor, path = EMBEDDING[binding]
    async with VendorServer(vendor(), api_key=SECRET) as server:
        models = await opened(
            tmp_path,
            EMBEDDING_BINDING=binding,
            EMBEDDING_BINDING_HOST=server.url + path,
            EMBEDDING_BINDING_API_KEY=SECRET,
            EMBEDDING_MODEL="stand-in",
            EMBEDDING_DIM="32",
            EMBEDDING_SEND_DIM="false" if binding == "lollms" else "true",
            EMBEDDING_BATCH_NUM="200",
        )
        if binding == "lollms":
            server._dimension = 32
        vectors = await models.embedding.embed([f"text {number}" for number in range(40)], purpose="document")
        await models.aclose()
    assert vectors.shape == (40, 32)
    assert models.embedding.facts.binding == binding


async def test_the_reranker_is_opened_and_cuts_long_passages(tmp_path: Path) -> None:
    async with RerankServer("vllm", api_key=SECRET) as server:
        models = await opened(
            tmp_path,
            RERANK_BINDING="auto",
            RERANK_BINDING_HOST=server.url,
            RERANK_BINDING_API_KEY=SECRET,
            RERANK_MODEL="m",
            RERANK_ENABLE_CHUNKING="true",
            RERANK_MAX_TOKENS_PER_DOC="20",
        )
        assert models.reranker is not None
        hits = await models.reranker.rerank("whale", ["cat " * 50 + "whale", "dog"], 1)
        await models.aclose()
    assert hits[0].index == 0
    assert len(server.requests[0].body["documents"]) > 2


async def test_a_second_server_answers_where_the_first_one_does_not(tmp_path: Path) -> None:
    async with ModelServer() as spare:
        backends = [{"name": "local"}, {"name": "spare", "host": spare.openai_url, "order": 1}]
        models = await opened(
            tmp_path,
            LLM_BINDING="openai",
            LLM_BINDING_HOST=f"http://127.0.0.1:{closed_port()}/v1",
            LLM_MODEL="m",
            LLM_BACKENDS=json.dumps(backends),
            EMBEDDING_BINDING="openai",
            EMBEDDING_MODEL="e",
            EMBEDDING_BACKENDS=json.dumps([{"host": spare.openai_url}]),
        )
        assert (await models.chat[Role.EXTRACT].complete(ask(role=Role.EXTRACT))).text
        assert (await models.embedding.embed(["a"], purpose="query")).shape == (1, 64)
        states = {(report.roles[0], report.state.name): report.state for report in models.backends()}
        await models.aclose()
    every_role = (Role.EXTRACT, Role.SUMMARY, Role.KEYWORDS, Role.ANSWER)
    assert [report.roles for report in models.backends()] == [every_role, every_role, (Role.EMBED,)]
    assert (states[Role.EXTRACT, "local"].failures, states[Role.EXTRACT, "spare"].failures) == (1, 0)
    assert sum(limiter.slots for limiter in models.extraction) == 4
    assert models.chat[Role.EXTRACT] is models.chat[Role.ANSWER]


async def test_roles_with_other_keys_have_other_models(tmp_path: Path) -> None:
    async with ModelServer() as server:
        models = await opened(
            tmp_path,
            LLM_BINDING="openai",
            LLM_BINDING_HOST=server.openai_url,
            LLM_BINDING_API_KEY="sk-one",
            QUERY_LLM_BINDING_API_KEY="sk-two",
        )
        for role in (Role.EXTRACT, Role.ANSWER):
            await models.chat[role].complete(ask(role=role))
        await models.aclose()
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer sk-one", "Bearer sk-two"]


@pytest.mark.parametrize(
    ("binding", "module"), [("anthropic", "anthropic"), ("gemini", "google.genai"), ("bedrock", "botocore")]
)
async def test_a_missing_extra_is_named_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, binding: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'lightrag-server\[{binding}\]'"):
        await opened(tmp_path, LLM_BINDING=binding, LLM_MODEL="m")


async def test_answers_of_a_routed_model_are_kept_as_those_of_one(tmp_path: Path) -> None:
    async with ModelServer() as first, ModelServer() as second:
        first.script(Reaction.status_code(500))
        models = await opened(
            tmp_path,
            LLM_BINDING="openai",
            LLM_BINDING_HOST=first.openai_url,
            LLM_BACKENDS=json.dumps([{}, {"host": second.openai_url, "order": 1}]),
        )
        request = ask(role=Role.EXTRACT)
        replies = [await models.chat[Role.EXTRACT].complete(request) for _ in range(2)]
        await models.aclose()
    assert [reply.from_cache for reply in replies] == [False, True]
