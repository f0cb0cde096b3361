"""The stand-in server as others use it: scripted in tests, and by itself for measurements."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import orjson
import pytest

from lightrag.llm.contracts import Message, Role
from lightrag.testing.fake_models import FakeChat, hash_vectors
from lightrag.testing.model_answers import Answerer
from lightrag.testing.model_contract import ask, closed_port
from lightrag.testing.model_server import ModelServer

RECORDED = [
    {
        "title": "Marie Curie",
        "text": "Marie Curie was born in Warsaw.",
        "entities": ["Marie Curie", "Warsaw"],
        "triples": [["Marie Curie", "was born in", "Warsaw"], ["malformed"]],
    }
]


def prompt(text: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "Write rows as entity<|#|>name<|#|>type<|#|>description"},
        {"role": "user", "content": f"<text>\n{text}\n</text>"},
    ]


@pytest.fixture
def openie(tmp_path: Path) -> Path:
    path = tmp_path / "openie.json"
    path.write_bytes(orjson.dumps(RECORDED))
    return path


@pytest.mark.parametrize(
    "passage", ["Marie Curie was born in Warsaw.", "Marie Curie\nMarie Curie was  born in Warsaw."]
)
def test_a_recorded_passage_is_replayed_with_or_without_its_title(openie: Path, passage: str) -> None:
    answerer = Answerer(openie)
    assert answerer.answer(prompt(passage)).splitlines() == [
        "entity<|#|>Marie Curie<|#|>Concept<|#|>Marie Curie was born in Warsaw.",
        "entity<|#|>Warsaw<|#|>Concept<|#|>Marie Curie was born in Warsaw.",
        "relation<|#|>Marie Curie<|#|>Warsaw<|#|>was born in<|#|>Marie Curie was born in Warsaw.",
        "<|COMPLETE|>",
    ]
    assert answerer.counts["replay_hit"] == 1


def test_other_passages_are_answered_by_rule() -> None:
    answer = Answerer().answer(prompt("In Oslo the Nobel Committee met Fridtjof Nansen."))
    assert "entity<|#|>Nobel Committee<|#|>" in answer
    assert "relation<|#|>Nobel Committee<|#|>Fridtjof Nansen<|#|>" in answer


def test_keywords_are_answered_as_json() -> None:
    question = [{"role": "user", "content": 'Return {"high_level_keywords": []}: where did Marie Curie work?'}]
    assert "Marie Curie" in orjson.loads(Answerer().answer(question))["low_level_keywords"]


def test_texts_that_share_words_are_near_each_other() -> None:
    cat, same, near, far = hash_vectors(["the black cat", "Cat, the black", "the white cat", "stock prices fell"], 256)
    assert float(cat @ same) == pytest.approx(1.0)
    assert float(cat @ near) > 0.5 > float(cat @ far)


async def test_it_counts_what_it_is_asked_and_can_forget_it() -> None:
    async with ModelServer(latency=0.002) as server, httpx.AsyncClient(base_url=server.url) as client:
        await client.post("/v1/chat/completions", json={"messages": prompt("Oslo is in Norway.")})
        await client.post("/api/embed", json={"input": ["a", "b"]})
        stats = (await client.get("/stats")).json()
        assert (stats["chat"], stats["extract"], stats["embed_calls"], stats["embed_texts"]) == (1, 1, 1, 2)
        assert stats["busy_ms"] >= 2
        await client.post("/reset")
        forgotten = (await client.get("/stats")).json()
        assert not any(forgotten.values())


async def test_it_runs_by_itself(openie: Path) -> None:
    port = closed_port()
    arguments = ["--port", str(port), "--dim", "16", "--openie", str(openie), "--fail-every", "2", "--latency", "1"]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "lightrag.testing.model_server", *arguments)
    try:
        transport = httpx.AsyncHTTPTransport(retries=8)  # until it listens
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", transport=transport) as client:
            vectors = (await client.post("/v1/embeddings", json={"input": "a"})).json()
            body = {"messages": prompt("Marie Curie was born in Warsaw.")}
            statuses = [(await client.post("/v1/chat/completions", json=body)).status_code for _ in range(4)]
            stats = (await client.get("/stats")).json()
    finally:
        process.terminate()
        await process.wait()
    assert len(vectors["data"][0]["embedding"]) == 16
    assert statuses == [200, 429, 200, 500]
    assert stats["replay_hit"] == 2


async def test_the_fake_chat_answers_by_function_and_records_what_it_was_asked() -> None:
    model = FakeChat(lambda request: request.messages[-1].content.upper())
    assert (await model.complete(ask("hello", Role.SUMMARY))).text == "HELLO"
    assert model.requests[0].messages[-1] == Message("user", "hello")
