"""Bad input: the documented error object, with a message that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from .front import Front

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


def error(front: Front, path: str, **body: object) -> tuple[int, dict[str, Any]]:
    answer = front.post(path, **body)
    return answer.status_code, answer.json()["error"]


def test_unknown_model(front: Front) -> None:
    assert error(front, CHAT, model="unknown-model", messages=HELLO) == (
        404,
        {"message": "Model not found: unknown-model", "type": "invalid_request_error", "code": "model_not_found"},
    )


def test_tier_without_a_model(front: Front) -> None:
    assert error(front, CHAT, model="heavy", messages=HELLO) == (
        503,
        {"message": "No models available for tier: heavy", "type": "model_error"},
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("temperature", 2.5, "temperature must be between 0.0 and 2.0"),
        ("top_p", -1, "top_p must be between 0.0 and 1.0"),
        ("top_k", 0, "top_k must be between 1"),
        ("max_tokens", 0, "max_tokens must be between 1"),
        ("temperature", "hot", "temperature: should be a valid number"),
        ("stop", [1], "stop"),
        ("messages", [], "messages: "),
        ("messages", [{"role": "user"}], "needs content"),
        ("messages", [{"role": "user", "content": [{"type": "image_url"}]}], "messages"),
        ("tool_choice", "required", "tool_choice needs tools"),
        ("response_format", {"type": "json_schema"}, "needs json_schema"),
        ("n", 100, "n must be between 1 and 8"),
    ],
)
def test_parameters_out_of_bounds(front: Front, field: str, value: object, said: str) -> None:
    status, described = error(front, CHAT, **{"model": "light", "messages": HELLO, field: value})
    assert status == 400
    assert said in described["message"]
    assert described["type"] == "invalid_request_error"


def test_too_long_a_context_gives_both_numbers(front: Front) -> None:
    for stream in (False, True):
        answer = front.chat("long", stream=stream)
        assert answer.status_code == 400
        described = answer.json()["error"]
        assert described["message"].startswith("Input exceeds maximum context length")
        assert (described["n_prompt_tokens"], described["n_ctx"]) == (5000, 4096)
        assert described["code"] == "context_length_exceeded"


def test_what_the_model_refuses_or_fails_at(front: Front) -> None:
    assert front.chat("bad").status_code == 400
    assert front.chat("fail").status_code == 503


@pytest.mark.parametrize("value", ["", [], [""], 5, None, [["a"]], [[]], [1, "a"], [-1], [100256], [[5], [10**9]]])
def test_input_that_cannot_be_embedded(front: Front, value: object) -> None:
    assert error(front, "/v1/embeddings", model="embedding", input=value)[0] == 400


def test_too_many_documents(front: Front) -> None:
    status, described = error(front, "/v1/rerank", model="reranker", query="q", documents=["d"] * 10_000)
    assert status == 400
    assert "MAX_RERANK_DOCUMENTS" in described["message"]


def test_a_tier_asked_for_what_it_is_not(front: Front) -> None:
    status, described = error(front, "/v1/embeddings", model="light", input="x")
    assert status == 400
    assert "embedding" in described["message"]


def test_bodies_that_are_none(front: Front) -> None:
    json = {"content-type": "application/json"}
    assert (
        front.client.post(CHAT, content=b"{", headers=json).json()["error"]["message"] == "The body is not valid JSON"
    )
    assert front.client.post(CHAT, content=b"[]", headers=json).status_code == 400
    assert front.client.get("/nowhere").status_code == 404
    assert front.client.get(CHAT).json()["error"]["type"] == "invalid_request_error"
