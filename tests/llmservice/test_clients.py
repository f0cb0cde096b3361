"""The clients that people use, against real tiny models and the bundled MiniLM."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cohere
import openai
import pytest
import tiktoken
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

from llmservice.testing.tiny_llama import make_tiny_llama

from .front import Front, cl100k, running

ROOT = Path(__file__).resolve().parents[2]
JAVASCRIPT = """
import OpenAI from 'openai';
const openai = new OpenAI({ baseURL: process.argv[2], apiKey: 'not-needed', maxRetries: 0 });
const asked = { model: 'medium', messages: [{ role: 'user', content: 'Hello!' }], temperature: 0 };
const completion = await openai.chat.completions.create(asked);
let streamed = '';
for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? '';
}
const embedding = await openai.embeddings.create({ model: 'embedding', input: 'Your text here' });
const refused = await openai.chat.completions.create({ ...asked, model: 'none' }).catch((error) => error.code);
console.log(JSON.stringify({
  whole: completion.choices[0].message.content, streamed, dimensions: embedding.data[0].embedding.length, refused,
}));
"""
HELLO = [{"role": "user", "content": "Hello!"}]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A service of a tiny language model with random weights; MiniLM embeds."""
    import minilm_int8

    model = make_tiny_llama(tmp_path_factory.mktemp("tiny"))
    variables = {
        "MEDIUM_MODEL_PATH": str(model.gguf),
        "MEDIUM_N_CTX": "256",
        "MEDIUM_SLOTS": "2",
        "MEDIUM_MAX_TOKENS": "16",
        "N_THREADS": "1",
        "EMBEDDING_MODEL_PATH": str(Path(minilm_int8.__file__).parent),
        "EMBEDDING_N_CTX": "256",
    }
    with running(tmp_path_factory.mktemp("real"), variables, fake=False) as one:
        yield one


@pytest.fixture(scope="module")
def client(real: Front) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{real.url}/v1", api_key="not-needed", max_retries=0)


def test_openai_chat_and_stream_say_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="medium", messages=HELLO, temperature=0)  # type: ignore[arg-type]
    assert whole.usage is not None
    assert 1 <= whole.usage.completion_tokens <= 16
    chunks = client.chat.completions.create(
        model="medium",
        messages=HELLO,  # type: ignore[arg-type]
        temperature=0,
        stream=True,
        extra_headers={"Cache-Control": "no-cache"},
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == whole.choices[0].message.content


async def test_openai_async_stream(real: Front) -> None:
    async with openai.AsyncOpenAI(base_url=f"{real.url}/v1", api_key="x", max_retries=0) as client:
        chunks = await client.chat.completions.create(
            model="medium",
            messages=HELLO,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
        last = [chunk async for chunk in chunks][-1]
        assert last.usage is not None
        assert last.usage.prompt_tokens > 0


def test_openai_schema_and_forced_tool(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="medium",
        messages=HELLO,  # type: ignore[arg-type]
        max_tokens=100,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["ok"], bool)
    called = client.chat.completions.create(
        model="medium",
        messages=HELLO,  # type: ignore[arg-type]
        max_tokens=100,
        tools=[{"type": "function", "function": {"name": "mark", "parameters": schema}}],
        tool_choice="required",
    )
    assert called.choices[0].finish_reason == "tool_calls"
    call = (called.choices[0].message.tool_calls or [])[0]
    assert isinstance(json.loads(call.function.arguments)["ok"], bool)  # type: ignore[union-attr]


def test_openai_embeddings_mean_something(client: openai.OpenAI) -> None:
    texts = ["A man is eating a meal.", "Someone has lunch.", "The stock market fell."]
    data = client.embeddings.create(model="embedding", input=texts).data
    near, far = (sum(a * b for a, b in zip(data[0].embedding, data[i].embedding, strict=True)) for i in (1, 2))
    assert near > far + 0.2
    assert math.isclose(sum(x * x for x in data[0].embedding), 1, rel_tol=1e-4)


def test_openai_errors_have_their_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Model not found"):
        client.chat.completions.create(model="unknown-model", messages=HELLO)  # type: ignore[arg-type]
    long = [{"role": "user", "content": "word " * 2000}]
    with pytest.raises(openai.BadRequestError, match="maximum context length") as caught:
        client.chat.completions.create(model="medium", messages=long)  # type: ignore[arg-type]
    assert caught.value.code == "context_length_exceeded"


def test_langchain(real: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    # LangChain sends token ids, with a table that tiktoken would download.
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: cl100k())
    where = {"base_url": f"{real.url}/v1", "api_key": "not-needed"}
    assert isinstance(ChatOpenAI(model="medium", **where).invoke("Hello").content, str)  # type: ignore[arg-type]
    assert isinstance(OpenAI(model="medium", **where).invoke("What is the meaning of life?"), str)  # type: ignore[arg-type]
    vectors = [
        OpenAIEmbeddings(model="embedding", check_embedding_ctx_length=by_text, **where).embed_query("Your text")  # type: ignore[arg-type]
        for by_text in (True, False)
    ]
    assert len(vectors[0]) == 384
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-6)


def test_javascript_client(real: Front, tmp_path: Path) -> None:
    modules = Path(os.environ.get("NODE_MODULES") or ROOT / "node_modules")
    if shutil.which("node") is None or not (modules / "openai").is_dir():
        pytest.skip("needs node, and npm's package openai in node_modules (NODE_MODULES names another folder)")
    (tmp_path / "node_modules").symlink_to(modules.resolve())
    (tmp_path / "client.mjs").write_text(JAVASCRIPT)
    command = ["node", "client.mjs", f"{real.url}/v1"]
    said = json.loads(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)
    assert said["streamed"] == said["whole"]
    assert said["dimensions"] == 384
    assert said["refused"] == "model_not_found"


def test_cohere_reranks(front: Front) -> None:
    answer = cohere.ClientV2("x", base_url=front.url).rerank(
        model="reranker", query="machine learning", documents=["weather", "machine learning"], top_n=1
    )
    assert [item.index for item in answer.results] == [1]
