"""The clients that people use against a real server: `ollama`, `openai` and `langchain-openai`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
import pytest_asyncio
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from lightrag.testing.model_server import ModelServer, Reaction

from .live_server import live_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "Who wrote the first program?"
ANSWER = "This is the stand-in model's answer. It cites the given context [1]."
USER = {"role": "user", "content": QUESTION}
CUT = Reaction.says("Half an ans", finish_reason="length")


class Stage:
    """A running server and its model server."""

    def __init__(self, url: str, models: ModelServer) -> None:
        self.url = url
        self.models = models
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self.ollama = ollama.AsyncClient(host=url)

    def last_prompt(self) -> list[dict[str, str]]:
        """Return the messages of the model's last call."""
        messages: list[dict[str, str]] = self.models.bodies("/chat/completions")[-1]["messages"]
        return messages


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, ModelServer]]:
    folder: Path = tmp_path_factory.mktemp("faces")
    async with ModelServer() as models, live_server(folder, models, ENABLE_LLM_CACHE="false") as url:
        yield url, models


@pytest_asyncio.fixture(loop_scope="module")
async def stage(running: tuple[str, ModelServer]) -> AsyncIterator[Stage]:
    stage = Stage(*running)
    yield stage
    await stage.openai.close()


async def test_ollamas_client_lists_shows_and_asks(stage: Stage) -> None:
    [model] = (await stage.ollama.list()).models
    assert (model.model, model.details.family if model.details else None) == ("lightrag:latest", "lightrag")
    assert (await stage.ollama.ps()).models[0].model == "lightrag:latest"
    assert (await stage.ollama.show("lightrag")).capabilities == ["completion"]
    reply = await stage.ollama.chat("lightrag:latest", [USER])
    assert (reply.message.content, reply.done, reply.done_reason) == (ANSWER, True, "stop")
    assert "Ada Lovelace" in stage.last_prompt()[0]["content"]


async def test_ollamas_client_reads_a_stream(stage: Stage) -> None:
    parts = [part async for part in await stage.ollama.chat("lightrag", [USER], stream=True)]
    assert "".join(part.message.content or "" for part in parts) == ANSWER
    assert len(parts) > 5
    assert (parts[-1].done, parts[-1].eval_count) == (True, 17)


async def test_ollamas_blocking_client_works_as_well(stage: Stage) -> None:
    def ask() -> str:
        client = ollama.Client(host=stage.url)
        parts = client.generate("lightrag", "Say hello", stream=True, options={"temperature": 0.5, "num_predict": 9})
        return "".join(part.response for part in parts)

    assert await asyncio.to_thread(ask) == ANSWER
    body = stage.models.bodies("/chat/completions")[-1]
    assert (body["messages"], body["temperature"]) == ([{"role": "user", "content": "Say hello"}], 0.5)
    assert body.get("max_tokens", body.get("max_completion_tokens")) == 9


async def test_ollamas_client_passes_by_with_history_and_thinks(stage: Stage) -> None:
    stage.models.script(Reaction.says("Hello.", thinking="Hmm."))
    history = [{"role": "user", "content": "I am Ada"}, {"role": "assistant", "content": "Hi Ada"}]
    asked = [{"role": "system", "content": "Be kind."}, *history, {"role": "user", "content": "/bypass Who am I?"}]
    reply = await stage.ollama.chat("lightrag", asked, think=True)
    assert (reply.message.content, reply.message.thinking) == ("Hello.", "Hmm.")
    told = [{"role": "system", "content": "Be kind."}, *history, {"role": "user", "content": "Who am I?"}]
    assert stage.last_prompt() == told


async def test_ollamas_client_embeds(stage: Stage) -> None:
    vectors = (await stage.ollama.embed("lightrag", ["a", "b"])).embeddings
    assert [len(vector) for vector in vectors] == [64, 64]


async def test_ollamas_client_is_told_what_went_wrong(stage: Stage) -> None:
    with pytest.raises(ollama.ResponseError, match="No messages provided") as refused:
        await stage.ollama.chat("lightrag", [])
    assert refused.value.status_code == 400
    stage.models.script(None, Reaction.status_code(401, message="no such key"))
    with pytest.raises(ollama.ResponseError) as failed:
        _ = [part async for part in await stage.ollama.chat("lightrag", [USER], stream=True)]
    assert failed.value.status_code == 502
    stage.models.script(Reaction.half_stream(3))
    asked = [{"role": "user", "content": "/bypass hello"}]
    with pytest.raises(ollama.ResponseError, match="Provider error"):
        _ = [part async for part in await stage.ollama.chat("lightrag", asked, stream=True)]


async def test_ollamas_client_is_told_that_an_answer_was_cut_off(stage: Stage) -> None:
    asked = [{"role": "user", "content": "/bypass hello"}]
    stage.models.script(*[CUT] * 4)
    whole = await stage.ollama.chat("lightrag", asked)
    assert (whole.done_reason, whole.model) == ("length", "lightrag:latest")
    *_, last = [part async for part in await stage.ollama.chat("lightrag", asked, stream=True)]
    assert (last.done, last.done_reason) == (True, "length")
    assert (await stage.ollama.generate("lightrag", "hello")).done_reason == "length"
    ended = await stage.ollama.chat("lightrag", asked, options={"stop": ["an"]})
    assert (ended.message.content, ended.done_reason) == ("Half ", "stop")


async def test_openais_client_is_told_that_an_answer_was_cut_off(stage: Stage) -> None:
    asked: Any = {"model": "lightrag:bypass", "messages": [{"role": "user", "content": "hello"}]}
    stage.models.script(*[CUT] * 3)
    whole = await stage.openai.chat.completions.create(**asked)
    assert (whole.choices[0].finish_reason, whole.model) == ("length", "lightrag:bypass")
    assert (whole.model_extra or {})["answer_model"] == "stand-in@openai"
    chunks = [chunk async for chunk in await stage.openai.chat.completions.create(**asked, stream=True)]
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]
    assert (chunks[-1].model_extra or {})["answer_model"] == "stand-in@openai"
    ended = (await stage.openai.chat.completions.create(**asked, stop="an")).choices[0]
    assert (ended.message.content, ended.finish_reason) == ("Half ", "stop")


async def test_chat_clients_do_not_see_thoughts_of_a_model_that_was_heard_before(stage: Stage) -> None:
    asked: Any = {"model": "lightrag:naive", "messages": [{"role": "user", "content": QUESTION}]}
    stage.models.script(*[Reaction.says("Hmm, so.\n</think>\n\nAda did.")] * 5)
    whole = await stage.openai.chat.completions.create(**asked)
    assert whole.choices[0].message.content == "Ada did."
    chunks = [chunk async for chunk in await stage.openai.chat.completions.create(**asked, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Ada did."
    bypass = [{"role": "user", "content": "/bypass hello"}]
    parts = [part async for part in await stage.ollama.chat("lightrag", bypass, stream=True, think=True)]
    assert "".join(part.message.content or "" for part in parts) == "Ada did."
    assert "".join(part.message.thinking or "" for part in parts).strip() == "Hmm, so."
    chunks = [
        chunk
        async for chunk in await stage.openai.chat.completions.create(
            **asked, stream=True, extra_body={"include_reasoning": True}
        )
    ]
    thoughts = [(chunk.choices[0].delta.model_extra or {}).get("reasoning_content", "") for chunk in chunks]
    assert "".join(thoughts).strip() == "Hmm, so."
    assert (await stage.ollama.chat("lightrag", bypass)).message.content == "Ada did."


async def test_openais_client_lists_and_asks(stage: Stage) -> None:
    models = [model.id async for model in stage.openai.models.list()]
    assert models[:2] == ["lightrag", "lightrag:local"]
    assert (await stage.openai.models.retrieve("lightrag:mix")).owned_by == "lightrag"
    completion = await stage.openai.chat.completions.create(
        model="lightrag:naive", messages=[{"role": "user", "content": QUESTION}], temperature=0, user="ada"
    )
    message = completion.choices[0].message
    assert message.content == ANSWER
    assert completion.usage is not None
    assert completion.usage.prompt_tokens > 100
    assert message.annotations is not None
    [annotation] = message.annotations
    cited = annotation.url_citation
    assert (annotation.type, cited.title, ANSWER[cited.start_index : cited.end_index]) == (
        "url_citation",
        "ada.txt",
        "[1]",
    )
    assert annotation.model_extra is not None
    assert annotation.model_extra["chunk_id"].startswith("chunk-")


async def test_openais_client_reads_a_stream(stage: Stage) -> None:
    said, annotations, usage = "", [], None
    async for chunk in await stage.openai.chat.completions.create(
        model="lightrag",
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        for choice in chunk.choices:
            said += choice.delta.content or ""
            annotations += (choice.delta.model_extra or {}).get("annotations", [])
        usage = chunk.usage or usage
    assert said == ANSWER
    assert annotations[0]["file_path"] == "ada.txt"
    assert usage is not None
    assert usage.completion_tokens == 17


async def test_openais_streaming_helper_gathers_the_answer(stage: Stage) -> None:
    async with stage.openai.chat.completions.stream(
        model="lightrag", messages=[{"role": "user", "content": QUESTION}]
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == ANSWER


async def test_openais_blocking_client_works_as_well(stage: Stage) -> None:
    def ask() -> tuple[str | None, list[float]]:
        with openai.OpenAI(base_url=f"{stage.url}/v1", api_key="none") as client:
            reply = client.chat.completions.create(
                model="lightrag:bypass", messages=[{"role": "user", "content": "Hello"}]
            )
            vectors = client.embeddings.create(model="lightrag", input=["a"])
            return reply.choices[0].message.content, vectors.data[0].embedding

    answer, vector = await asyncio.to_thread(ask)
    assert (answer, len(vector)) == (ANSWER, 64)


async def test_openais_client_raises_the_error_that_fits(stage: Stage) -> None:
    create = stage.openai.chat.completions.create
    with pytest.raises(openai.NotFoundError) as absent:
        await create(model="gpt-5", messages=[{"role": "user", "content": "x"}])
    assert absent.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        await create(model="lightrag", messages=[{"role": "user", "content": "x"}], n=3)
    assert refused.value.param == "n"
    stage.models.script(Reaction.half_stream(3))
    with pytest.raises(openai.APIError, match="before the answer was finished"):
        async for _ in await create(model="lightrag:bypass", messages=[{"role": "user", "content": "x"}], stream=True):
            pass


async def test_langchain_asks_streams_and_embeds(stage: Stage) -> None:
    chat = ChatOpenAI(model="lightrag:mix", base_url=f"{stage.url}/v1", api_key="none", max_retries=0)  # type: ignore[arg-type]
    conversation = [SystemMessage("Be brief."), HumanMessage("Hello"), AIMessage("Hi."), HumanMessage(QUESTION)]
    whole = await chat.ainvoke(conversation)
    assert whole.content == ANSWER or whole.text == ANSWER
    assert whole.usage_metadata is not None
    assert "Be brief." in stage.last_prompt()[0]["content"]
    pieces = [piece.text async for piece in chat.astream(conversation)]
    assert "".join(pieces) == ANSWER
    embeddings = OpenAIEmbeddings(
        model="lightrag",
        base_url=f"{stage.url}/v1",
        api_key="none",  # type: ignore[arg-type]
        check_embedding_ctx_length=False,
    )
    assert len(await embeddings.aembed_query("Ada")) == 64


async def test_leaving_ends_the_models_call(tmp_path: Path) -> None:
    async with ModelServer(tps=5, answer=lambda _: "word " * 200) as slow, live_server(tmp_path, slow) as url:
        idle = slow.connections
        client = ollama.AsyncClient(host=url)
        asked = [{"role": "user", "content": "/bypass go on"}]
        parts = await client.chat("lightrag", asked, stream=True)
        await anext(parts)
        assert slow.connections > idle
        await parts.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            while slow.connections > idle:
                await asyncio.sleep(0.02)
