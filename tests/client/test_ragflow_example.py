"""RAGFlow's documented SDK example, with its import line changed."""

from __future__ import annotations

import asyncio

import pytest

from lightrag.client import LLMError, RAGFlow, RagFlow

from .scripted_server import Says, ScriptedServer

OPENAI = {"name": "OpenAI", "logo": "", "tags": "LLM", "status": "1", "rank": "999", "model_types": ["chat"]}
MINE = {"OpenAI": {"tags": "LLM", "llm": [{"type": "chat", "name": "gpt-4", "used_token": 1000, "status": "1"}]}}


def done(data: object) -> Says:
    """Return a successful answer in the form of the documentation."""
    return Says({"retcode": 0, "retmsg": "success", "data": data})


def example(url: str) -> tuple[list[str], bool, dict[str, object]]:
    """Do what the example does."""
    # Initialize client
    client = RagFlow(api_key="your-api-key", base_url=url)

    # Get available factories
    factories = client.llm.factories()
    names = [factory["name"] for factory in factories]

    # Add LLM configuration
    added = client.llm.add_llm(llm_factory="OpenAI", llm_name="gpt-4", model_type="chat", api_key="sk-your-key")

    # List tenant's LLMs
    my_llms = client.llm.my_llms(include_details=True)
    client.close()
    return names, added, my_llms


async def test_the_example_runs(scripted: ScriptedServer) -> None:
    scripted.says(done([OPENAI]), done(True), done(MINE))
    assert await asyncio.to_thread(example, scripted.url) == (["OpenAI"], True, MINE)
    first, second, third = scripted.asked
    assert [first.path, second.path, third.path] == [
        "/llm/factories",
        "/llm/add_llm",
        "/llm/my_llms?include_details=true",
    ]
    assert first.headers["authorization"] == "Bearer your-api-key"
    assert second.json == {
        "llm_factory": "OpenAI",
        "llm_name": "gpt-4",
        "model_type": "chat",
        "api_key": "sk-your-key",
    }
    assert RAGFlow is RagFlow


@pytest.mark.parametrize(
    "message",
    [
        "Fail to access model(GPT-4) using this api key.",
        "Chat model from OpenAI is not supported yet.",
        "Missing required parameter: llm_factory",
    ],
)
async def test_failures_raise_with_code_and_message(scripted: ScriptedServer, message: str) -> None:
    scripted.says(Says({"retcode": 1, "retmsg": message, "data": None}))
    with RagFlow(api_key="key", base_url=scripted.url) as client, pytest.raises(LLMError) as caught:
        await asyncio.to_thread(client.llm.set_api_key, "OpenAI", "sk-x")
    assert (caught.value.code, caught.value.message, str(caught.value)) == (1, message, message)
