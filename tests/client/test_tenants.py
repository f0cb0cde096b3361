"""Two tenants with providers of their own index, ask, reach a limit and are removed, over the SDK alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lightrag.client import BudgetExceeded, ClientError, Forbidden, NotFound
from lightrag.testing.model_server import ModelServer

from .conftest import Client, Connect

SECRET = "sk-canary-9d07b2"
TEXTS = {
    "red": "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage.",
    "blue": "Grace Hopper found a moth in a relay of the Mark II at Harvard.",
}
QUESTIONS = {"red": "Who wrote the first program?", "blue": "Who found a moth in a relay at Harvard?"}


@pytest.fixture
async def openai() -> AsyncIterator[ModelServer]:
    """A provider that speaks OpenAI's dialect."""
    async with ModelServer(api_key=SECRET) as server:
        yield server


@pytest.fixture
async def ollama() -> AsyncIterator[ModelServer]:
    """A provider that speaks Ollama's dialect."""
    async with ModelServer() as server:
        yield server


async def test_two_tenants_live_side_by_side(
    client: Client, connect: Connect, url: str, kind: str, openai: ModelServer, ollama: ModelServer
) -> None:
    names = {color: f"{color}-{kind}" for color in TEXTS}
    tokens: dict[str, str] = {}
    for name in names.values():
        await client(lambda c, name=name: c.workspaces.create(name))
        made = await client(lambda c, name=name: c.access.create_token(name, roles={name: "admin"}))
        tokens[name] = made.token

    async with connect(url, token=tokens[names["red"]]) as red, connect(url, token=tokens[names["blue"]]) as blue:
        tenants = {"red": red, "blue": blue}
        key = {"api_key": SECRET, "api_base": openai.openai_url}
        assert await red(lambda c: c.llm.add_llm("OpenAI-API-Compatible", "model-of-red", "chat", **key))
        assert await blue(lambda c: c.llm.add_llm("Ollama", "model-of-blue", "chat", api_base=ollama.url))
        for server in (openai, ollama):
            server.reset()

        for color, tenant in tenants.items():
            accepted = await tenant(lambda c, color=color: c.documents.insert_text(TEXTS[color], f"{color}.txt"))
            tracked = await tenant(lambda c, accepted=accepted: c.documents.wait(accepted, timeout=60))
            assert [document.status for document in tracked.documents] == ["processed"]
            answer = await tenant(lambda c, color=color: c.query(QUESTIONS[color]))
            assert answer.llm_generated
            assert [reference.file_path for reference in answer.references] == [f"{color}.txt"]
            stream = tenant.real.query.stream(QUESTIONS[color], "naive")
            assert await tenant.text_of(stream)
            assert (await tenant(lambda c: c.llm.usage()))["total"]["calls"] > 0

        assert {body["model"].partition("___")[0] for body in openai.bodies("/chat/completions")} == {"model-of-red"}
        assert {body["model"] for body in ollama.bodies("/api/chat")} == {"model-of-blue"}
        assert TEXTS["blue"] not in str(openai.requests)
        assert TEXTS["red"] not in str(ollama.requests)
        assert SECRET not in str(ollama.requests)

        with pytest.raises(Forbidden):
            await red.in_workspace(names["blue"])(lambda c: c.documents.list())
        with pytest.raises(Forbidden):
            await red(lambda c: c.llm.set_limits(tokens_per_day=10**9))
        used = (await red(lambda c: c.llm.usage()))["total"]["total_tokens"]
        at_red = client.in_workspace(names["red"])
        await at_red(lambda c: c.llm.set_limits(tokens_per_day=used, force=True))
        with pytest.raises(BudgetExceeded) as caught:
            await red(lambda c: c.query("What did Ada Lovelace write?"))
        assert caught.value.retry_after
        assert (await blue(lambda c: c.query("What did Grace Hopper find?"))).llm_generated

        for name in names.values():
            await client(lambda c, name=name: c.workspaces.delete(name))
            with pytest.raises(NotFound):
                await client(lambda c, name=name: c.workspaces.describe(name))
        with pytest.raises(ClientError):
            await red(lambda c: c.query("Is anybody there?"))
