"""Questions of the SDK that name the models that they are answered with."""

from __future__ import annotations

import pytest

from lightrag.client import NotFound
from lightrag.testing.model_server import ModelServer

from .conftest import Client


async def test_a_question_names_its_model(client: Client, kind: str) -> None:
    async with ModelServer(answer=lambda body: f"from {body['model']}") as provider:
        name = f"models-{kind}"
        await client(lambda c: c.workspaces.create(name))
        tenant = client.in_workspace(name)
        for model in ("one", "two"):
            key = {"api_key": "k", "api_base": provider.openai_url}
            assert await tenant(lambda c, model=model, key=key: c.llm.add_llm("OpenAI", model, "chat", **key))

        async def said(**options: str) -> str:
            return str((await tenant(lambda c: c.query("Say who you are.", "bypass", **options))).response)

        assert await said() == "from one"
        assert await said(model="two@OpenAI") == "from two"
        stream = tenant.real.query.stream("Say who you are.", "bypass", model="two")
        assert await tenant.text_of(stream) == "from two"
        assert (stream.model, stream.finish_reason) == ("two@OpenAI", "stop")
        answer = await tenant(lambda c: c.query("Say who you are.", "bypass"))
        assert (answer.model, answer.finish_reason) == ("one@OpenAI", "stop")
        provider.reset()
        with pytest.raises(NotFound, match="there is one@OpenAI, two@OpenAI"):
            await said(model="three")
        with pytest.raises(NotFound, match="one@OpenAI"):
            await tenant.text_of(tenant.real.query.stream("Say who you are.", "bypass", model="three"))
        with pytest.raises(NotFound, match="no reranking model 'x'"):
            await tenant(lambda c: c.query.data("Say who you are.", "naive", rerank_model="x"))
        assert not provider.requests
