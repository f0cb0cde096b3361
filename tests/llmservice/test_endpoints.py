"""What the endpoints answer, with the bodies that the documentation gives."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import struct
from importlib import resources
from typing import Any

import pytest

from llmservice.openai_tokens import TABLE

from .front import Front, cl100k


def events(text: str) -> list[Any]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def test_health_has_status_and_time(front: Front) -> None:
    answer = front.client.get("/health").json()
    assert answer["status"] == "healthy"
    assert "T" in answer["timestamp"]


def test_models_are_listed_with_their_state(front: Front) -> None:
    answer = front.client.get("/v1/models").json()
    ids = {model["id"]: model for model in answer["data"]}
    assert ids["light/qwen-0.5b"]["owned_by"] == "llmservice-light"
    assert answer["tiers"]["heavy"] == "absent"


def test_chat_answers_in_openais_form(front: Front) -> None:
    answer = front.chat("the capital is Paris.").json()
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "light"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "the capital is Paris."}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}


def test_stream_says_the_same_and_ends_with_done(front: Front) -> None:
    text = front.chat("one two three", stream=True, stream_options={"include_usage": True}).text
    assert text.endswith("data: [DONE]\n\n")
    chunks = events(text)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]) == "one two three"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 6


def test_several_choices_are_told_apart(front: Front) -> None:
    assert [c["index"] for c in front.chat("a b", n=3).json()["choices"]] == [0, 1, 2]
    chunks = events(front.chat("a b", n=2, stream=True).text)
    for index in (0, 1):
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert "".join(c["delta"].get("content", "") for c in mine) == "a b"


def test_logprobs_are_given_where_asked_for(front: Front) -> None:
    content = front.chat("a b", logprobs=True, top_logprobs=2).json()["choices"][0]["logprobs"]["content"]
    assert [one["token"] for one in content] == ["a", " b"]
    assert len(content[0]["top_logprobs"]) == 2
    legacy = front.post("/v1/completions", model="light", prompt="a b", logprobs=1).json()["choices"][0]["logprobs"]
    assert legacy["tokens"] == ["a", " b"]
    assert legacy["text_offset"] == [0, 1]


def test_completions_answer_every_prompt(front: Front) -> None:
    answer = front.post("/v1/completions", model="light", prompt=["Once upon", "a time"], echo=True).json()
    assert [c["text"] for c in answer["choices"]] == ["Once uponOnce upon", "a timea time"]
    chunks = events(front.post("/v1/completions", model="light", prompt="Once upon", stream=True).text)
    assert "".join(c["choices"][0]["text"] for c in chunks) == "Once upon"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool_is_called(front: Front, choice: object, stream: bool) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    answer = front.chat("hello", tools=tools, tool_choice=choice, stream=stream)
    if stream:
        choices = [chunk["choices"][0] for chunk in events(answer.text)]
        calls = [call for one in choices for call in one["delta"].get("tool_calls", [])]
        finish = choices[-1]["finish_reason"]
    else:
        calls = answer.json()["choices"][0]["message"]["tool_calls"]
        finish = answer.json()["choices"][0]["finish_reason"]
    assert finish == "tool_calls"
    assert calls[0]["function"]["name"] == "weather"
    assert json.loads(calls[0]["function"]["arguments"]) == {"city": "x"}


def test_a_call_that_the_model_writes_is_read(front: Front) -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    message = front.chat("call weather", tools=tools).json()["choices"][0]["message"]
    assert message["content"] is None
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    assert "tool_calls" not in front.chat("call weather").json()["choices"][0]["message"]
    assert "tool_calls" not in front.chat("call other", tools=tools).json()["choices"][0]["message"]


def test_what_the_engine_has_read_of_thoughts_and_calls_is_passed_on(front: Front) -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    choice = front.chat("parts weather", tools=tools).json()["choices"][0]
    function = {"name": "weather", "arguments": '{"a": 1}'}
    call = {"id": "c1", "type": "function", "function": function}
    thought = {"reasoning_content": "I should call."}
    assert choice["message"] == {"role": "assistant", "content": None, **thought, "tool_calls": [call]}
    assert choice["finish_reason"] == "tool_calls"
    chunks = events(front.chat("parts weather", tools=tools, stream=True).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert thought in deltas
    parts = [part["function"]["arguments"] for delta in deltas for part in delta.get("tool_calls", [])]
    assert parts == ['{"a"', ": 1}"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_structured_output_is_json(front: Front) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert json.loads(front.chat("hi", response_format=form).json()["choices"][0]["message"]["content"]) == {"n": 1}
    form = {"type": "json_object"}
    assert json.loads(front.chat("hi", response_format=form).json()["choices"][0]["message"]["content"]) == {}


def test_embeddings_as_floats_and_base64_agree(front: Front) -> None:
    floats = front.post("/v1/embeddings", model="embedding", input=["a", "b c"]).json()
    packed = front.post("/v1/embeddings", model="embedding", input=["a", "b c"], encoding_format="base64").json()
    vector = floats["data"][1]["embedding"]
    assert list(struct.unpack("<8f", base64.b64decode(packed["data"][1]["embedding"]))) == vector
    assert math.isclose(sum(x * x for x in vector), 1, rel_tol=1e-5)
    assert floats["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


@pytest.mark.parametrize("text", ["Your text here", "naïve café — 漢字 🙂", "<|endoftext|>"])
def test_token_ids_stand_for_their_text(front: Front, text: str) -> None:
    ids = cl100k().encode(text, allowed_special="all")
    wanted = front.post("/v1/embeddings", model="embedding", input=text).json()["data"]
    assert front.post("/v1/embeddings", model="embedding", input=ids).json()["data"] == wanted
    two = front.post("/v1/embeddings", model="embedding", input=[[1, 2, 3], ids]).json()["data"]
    assert two[1]["embedding"] == wanted[0]["embedding"]


def test_the_table_of_token_ids_is_the_published_one() -> None:
    table = gzip.decompress((resources.files("llmservice") / "data" / TABLE).read_bytes())
    expected = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
    assert hashlib.sha256(table).hexdigest() == expected


def test_fewer_dimensions_are_the_first_ones_at_unit_length(front: Front) -> None:
    whole = front.post("/v1/embeddings", model="embedding", input="a").json()["data"][0]["embedding"]
    head = front.post("/v1/embeddings", model="embedding", input="a", dimensions=3).json()["data"][0]["embedding"]
    norm = math.sqrt(sum(x * x for x in whole[:3]))
    assert head == pytest.approx([x / norm for x in whole[:3]], rel=1e-5)


def test_bge_m3s_other_vectors(front: Front) -> None:
    def first(**more: object) -> dict[str, Any]:
        answer = front.post("/v1/embeddings", model="embedding", input="one two", **more)
        return answer.json()["data"][0]  # type: ignore[no-any-return]

    hybrid = first(embedding_type="dense", return_sparse=True)
    assert len(hybrid["embedding"]) == 8
    assert hybrid["sparse_embedding"] == {"3": 0.5}
    assert first(embedding_type="sparse") == {
        "object": "embedding", "index": 0, "embedding": [], "sparse_embedding": {"3": 0.5}
    }  # fmt: skip
    assert [len(row) for row in first(embedding_type="colbert")["embedding"]] == [8, 8]


def test_rerank_answers_in_every_dialect(front: Front) -> None:
    documents = ["the weather", "what is machine learning", "machine parts"]
    body = {"model": "reranker", "query": "machine learning", "documents": documents, "return_documents": True}
    answer = front.post("/v1/rerank", **body, top_k=2).json()
    assert [item["index"] for item in answer["data"]] == [1, 2]
    assert answer["data"][0]["document"] == documents[1]
    assert 0 < answer["data"][1]["score"] < answer["data"][0]["score"] < 1
    assert answer["results"][0]["document"] == {"text": documents[1]}
    assert answer["results"][0]["relevance_score"] == answer["data"][0]["score"]
    assert len(front.post("/v2/rerank", **body, top_n=1).json()["results"]) == 1
    assert front.post("/rerank", **body, raw_scores=True).json()["data"][0]["score"] == 3.0
    first_words = front.post("/rerank", **body, raw_scores=True, max_tokens_per_doc=1).json()
    assert [item["index"] for item in first_words["data"]] == [2, 0, 1]


def test_tokenize_counts(front: Front) -> None:
    answer = front.post("/v1/tokenize", model="light", text="a bc").json()
    assert (answer["tokens"], answer["count"]) == ([1, 2], 2)


def test_a_repeated_request_is_answered_from_the_cache(front: Front) -> None:
    for body in ({"temperature": 0}, {"seed": 7}):
        first, second = (front.chat("cache me", **body) for _ in range(2))
        assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
        assert first.json()["choices"] == second.json()["choices"]
    assert front.chat("cache me", temperature=1).headers["x-cache"] == "BYPASS"
    streamed = front.chat("cache me", temperature=0, stream=True)
    assert streamed.headers["x-cache"] == "HIT"
    assert len(events(streamed.text)) == 4
    assert "llmservice_cache_hits_total" in front.client.get("/metrics").text


def test_a_streams_answer_is_kept_for_others(front: Front) -> None:
    assert front.chat("fill it", temperature=0, stream=True).headers["x-cache"] == "MISS"
    hit = front.chat("fill it", temperature=0)
    assert hit.headers["x-cache"] == "HIT"
    assert hit.json()["choices"][0]["message"]["content"] == "fill it"


def test_names_find_their_tier(front: Front) -> None:
    for name in ("light", "LIGHT", "light/qwen-0.5b", "qwen-0.5b", "qwen-0.5b.gguf", "gpt-4o", "phi-2b", "qwen-7b"):
        assert front.chat("x", model=name).status_code == 200, name
    for name in ("text-embedding-3-small", "bge-m3", "multilingual-e5-large"):
        assert front.post("/v1/embeddings", model=name, input="x").status_code == 200, name
    assert front.post("/v1/rerank", model="bge-reranker-v2-m3", query="q", documents=["d"]).status_code == 200
