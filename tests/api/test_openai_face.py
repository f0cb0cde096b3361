"""The server as a server of OpenAI's chat dialect: models, answers with citations, streams, errors in its form."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from lightrag.errors import ContextTooLong, LightRAGError, ModelRateLimited, ModelUnreachable
from lightrag.types import Outcome

from .conftest import Served
from .scripted_engine import Script
from .test_housekeeping import TITLE

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "lightrag", "messages": [{"role": "user", "content": "Who wrote it?"}]}
CITED = Script(pieces=("Ada wrote ", "it [1]."))


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    blocks = answer.text.split("\n\n")
    assert blocks[-1] == ""
    assert blocks[-2] == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]


def said(content: object, **more: object) -> dict[str, object]:
    return ASK | {"messages": [{"role": "user", "content": content}]} | more


async def test_retrieval_modes_are_models(scripted: Served) -> None:
    async with scripted() as (client, _):
        listed = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/lightrag:mix")).json()
        unknown = await client.get("/v1/models/gpt-5")
    names = ["lightrag", *(f"lightrag:{mode}" for mode in ("local", "global", "hybrid", "naive", "mix", "bypass"))]
    assert [model["id"] for model in listed["data"]] == names
    assert listed["object"] == "list"
    assert one.keys() == {"id", "object", "created", "owned_by"}
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


async def test_an_answer_has_openais_shape(scripted: Served) -> None:
    async with scripted(Script(pieces=("Ada wrote it [1].",), outcome=Outcome("length", 420, 7))) as (client, engine):
        body = (await client.post(CHAT, json=ASK | {"model": "lightrag:naive"})).json()
        assert engine.asked[0][1].mode == "naive"
    assert body.keys() == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert (body["object"], body["model"]) == ("chat.completion", "lightrag:naive")
    [choice] = body["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", "Ada wrote it [1].")
    assert body["usage"] == {"prompt_tokens": 420, "completion_tokens": 7, "total_tokens": 427}


async def test_references_are_annotations(scripted: Served) -> None:
    async with scripted(CITED) as (client, _):
        message = (await client.post(CHAT, json=ASK)).json()["choices"][0]["message"]
        context = (await client.post(CHAT, json=said("/context Who?"))).json()["choices"][0]["message"]
    assert message["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": 13,
                "end_index": 16,
                "title": "ada.txt",
                "url": "http://server/documents/doc-1",
            },
            "reference_id": "1",
            "file_path": "ada.txt",
            "doc_id": "doc-1",
            "chunk_id": "chunk-1",
            "start": 0,
            "end": 28,
            "page_start": 2,
            "page_end": 2,
        }
    ]
    assert message["content"][13:16] == "[1]"
    assert context["annotations"] == []


async def test_a_stream_ends_with_citations_usage_and_the_end_mark(scripted: Served) -> None:
    async with scripted(CITED) as (client, _):
        answer = await client.post(CHAT, json=ASK | {"stream": True, "stream_options": {"include_usage": True}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, *pieces, last, usage = events(answer)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [piece["choices"][0]["delta"] for piece in pieces] == [{"content": "Ada wrote "}, {"content": "it [1]."}]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["annotations"][0]["doc_id"] == "doc-1"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + usage["usage"]["completion_tokens"] > 0
    assert all(event["usage"] is None for event in (first, *pieces, last))
    assert len({event["id"] for event in (first, *pieces, last, usage)}) == 1
    assert all(event["object"] == "chat.completion.chunk" for event in (first, *pieces, last, usage))


async def test_without_being_asked_a_stream_tells_no_usage(scripted: Served) -> None:
    async with scripted() as (client, _):
        found = events(await client.post(CHAT, json=ASK | {"stream": True}))
    assert all("usage" not in event for event in found)
    assert len(found) == 5


async def test_prefixes_work_here_too_and_beat_the_models_mode(scripted: Served) -> None:
    async with scripted() as (client, engine):
        await client.post(CHAT, json=said("/local[in verse] Who?", model="lightrag:naive"))
        question, param = engine.asked[0]
    assert (question, param.mode, param.user_prompt) == ("Who?", "local", "in verse")


async def test_messages_of_all_roles_are_read(scripted: Served) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "What time"}, {"type": "text", "text": "is it?"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {}}]},
        {"role": "tool", "tool_call_id": "1", "content": "12:00"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "Who?", "name": "ada"},
    ]
    async with scripted() as (client, engine):
        answer = await client.post(CHAT, json=ASK | {"messages": messages})
        question, param = engine.asked[0]
    assert answer.status_code == 200
    assert (question, param.user_prompt) == ("Who?", "Be brief.\n\nBe kind.")
    assert param.conversation_history == [
        {"role": "user", "content": "What time\nis it?"},
        {"role": "user", "content": "12:00"},
        {"role": "assistant", "content": "No."},
    ]


async def test_parameters_are_honoured_or_ignored(scripted: Served) -> None:
    tuning = {"top_p": 0.5, "seed": 1, "presence_penalty": 1, "logit_bias": {}, "user": "ada", "unknown": [], "n": 1}
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"}
    honoured = {"temperature": 0.1, "max_tokens": 5, "stop": ["it"]}
    async with scripted() as (client, engine):
        answer = await client.post(CHAT, json=ASK | tuning | tools | honoured | {"response_format": {"type": "text"}})
        streamed = events(await client.post(CHAT, json=ASK | honoured | {"stream": True}))
        await client.post(CHAT, json=ASK | {"max_completion_tokens": 9, "max_tokens": 5})
    generation = engine.asked[0][1].generation
    assert (generation.temperature, generation.max_tokens) == (0.1, 5)
    assert answer.json()["choices"][0]["message"]["content"] == "Ada wrote "
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in streamed) == "Ada wrote "
    assert engine.asked[2][1].generation.max_tokens == 9


async def test_thinking_is_sent_apart_and_only_where_asked_for(scripted: Served) -> None:
    async with scripted(Script(thinking="Hmm.")) as (client, _):
        streamed = events(await client.post(CHAT, json=ASK | {"stream": True, "include_reasoning": True}))
        whole = (await client.post(CHAT, json=ASK | {"include_reasoning": True})).json()
        silent = await client.post(CHAT, json=ASK | {"stream": True})
    assert streamed[1]["choices"][0]["delta"] == {"reasoning_content": "Hmm."}
    assert whole["choices"][0]["message"]["reasoning_content"] == "Hmm."
    assert "Hmm." not in silent.text


async def test_json_is_served_where_nothing_is_retrieved(scripted: Served) -> None:
    wanted = {"response_format": {"type": "json_object"}}
    async with scripted() as (client, engine):
        plain = await client.post(CHAT, json=ASK | wanted | {"model": "lightrag:bypass"})
        assert engine.asked[0][1].generation.json_object
        refused = await client.post(CHAT, json=ASK | wanted)
    assert plain.status_code == 200
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "response_format")


async def test_a_front_ends_own_prompts_are_answered_in_their_form(scripted: Served) -> None:
    async with scripted() as (client, engine):
        message = (await client.post(CHAT, json=said(TITLE))).json()["choices"][0]["message"]
    assert json.loads(message["content"])["title"]
    assert engine.asked == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": ASK["messages"]}, "model"),
        ({"model": "lightrag"}, "messages"),
        (ASK | {"messages": []}, "messages"),
        (ASK | {"messages": "hello"}, "messages"),
        (ASK | {"messages": [{"role": "assistant", "content": "x"}]}, "messages.0.role"),
        (ASK | {"messages": [{"role": "alien", "content": "x"}]}, "messages.0.role"),
        (said(""), "messages.0.content"),
        (said(None), "messages.0.content"),
        (said([{"type": "image_url", "image_url": {"url": "data:,"}}]), "messages.0.content"),
        (ASK | {"n": 2}, "n"),
        (ASK | {"logprobs": True}, "logprobs"),
        (ASK | {"tool_choice": "required"}, "tool_choice"),
        (ASK | {"modalities": ["audio"]}, "modalities"),
        (ASK | {"response_format": {"type": "json_schema"}}, "response_format"),
        (ASK | {"temperature": 3}, "temperature"),
        (ASK | {"temperature": "hot"}, "temperature"),
        (ASK | {"max_tokens": 0}, "max_tokens"),
        (ASK | {"stream": "perhaps"}, "stream"),
        ([], None),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_by_field(
    scripted: Served, body: Any, param: str | None
) -> None:
    async with scripted() as (client, engine):
        answer = await client.post(CHAT, json=body)
        assert engine.asked == []
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]


@pytest.mark.parametrize("name", ["gpt-5", "lightrag:large", "llama3:latest"])
async def test_other_models_do_not_exist(scripted: Served, name: str) -> None:
    async with scripted() as (client, _):
        for path, body in ((CHAT, ASK), ("/v1/embeddings", {"input": "x"})):
            answer = await client.post(path, json=body | {"model": name})
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "model_not_found"
            assert name in answer.json()["error"]["message"]


async def test_a_workspace_in_the_models_name_is_never_ignored(scripted: Served) -> None:
    async with scripted() as (client, engine):
        other = {"X-Workspace-ID": "tenant-b"}
        answer = await client.post(CHAT, json=ASK | {"model": "lightrag@tenant-a:mix"}, headers=other)
        assert engine.asked == []
        assert (await client.post(CHAT, json=ASK | {"model": "lightrag@tenant-a:mix"})).status_code == 200
        assert engine.opened == ["", "tenant-a"]
    assert answer.status_code == 400


async def test_what_other_layers_refuse_has_openais_form_too(scripted: Served) -> None:
    async with scripted(MAX_REQUEST_BODY_BYTES="500", LIGHTRAG_API_KEY="right") as (client, _):
        key = {"Authorization": "Bearer right"}
        answers = [
            await client.post(CHAT, json=ASK),
            await client.post(CHAT, json=ASK, headers={"Authorization": "Bearer wrong"}),
            await client.post(CHAT, json=said("x" * 600), headers=key),
            await client.post("/v1/responses", json={}, headers=key),
            await client.get(CHAT, headers=key),
            await client.post(CHAT, content=b"{", headers=key),
        ]
        assert (await client.post(CHAT, json=ASK, headers=key)).status_code == 200
        assert (await client.get("/v1/models", headers={"X-API-Key": "right"})).status_code == 200
    assert [answer.status_code for answer in answers[2:]] == [413, 404, 405, 400]
    assert {answers[0].status_code, answers[1].status_code} <= {401, 403}
    for answer in answers:
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
        assert "detail" not in answer.json()


async def test_without_a_configured_key_any_key_will_do(scripted: Served) -> None:
    async with scripted() as (client, _):
        answer = await client.post(CHAT, json=ASK, headers={"Authorization": "Bearer sk-whatever"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ModelUnreachable("cannot be reached"), 503, "service_unavailable"),
        (ContextTooLong("does not fit"), 400, "context_length_exceeded"),
        (ModelRateLimited("slow down", 3), 503, "service_unavailable"),
        (RuntimeError("inner"), 500, None),
    ],
)
async def test_failures_have_openais_form_before_and_on_the_way(
    scripted: Served, error: LightRAGError, status: int, code: str | None
) -> None:
    async with scripted(Script(fails_with=error)) as (client, _):
        whole = await client.post(CHAT, json=ASK)
    async with scripted(Script(pieces=("Ada",), breaks_with=error)) as (client, _):
        broken = await client.post(CHAT, json=ASK | {"stream": True})
    assert (whole.status_code, whole.json()["error"]["code"]) == (status, code)
    assert "[DONE]" not in broken.text
    last = json.loads(broken.text.split("\n\n")[-2].removeprefix("data: "))
    assert last["error"].keys() == {"message", "type", "param", "code"}
    assert "inner" not in whole.text + broken.text


async def test_texts_can_be_embedded(scripted: Served) -> None:
    async with scripted() as (client, _):
        floats = (await client.post("/v1/embeddings", json={"model": "lightrag", "input": ["a", "b"]})).json()
        packed = (
            await client.post("/v1/embeddings", json={"model": "test", "input": "a", "encoding_format": "base64"})
        ).json()
    vector = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4")
    assert [item["index"] for item in floats["data"]] == [0, 1]
    assert vector.tolist() == pytest.approx(floats["data"][0]["embedding"])
    assert packed["usage"].keys() == {"prompt_tokens", "total_tokens"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [1, 2, 3]}, None),
        ({"input": ["a", ""]}, None),
        ({"input": "a", "dimensions": 4}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
async def test_what_cannot_be_embedded_is_refused(scripted: Served, body: dict[str, Any], param: str | None) -> None:
    async with scripted() as (client, _):
        answer = await client.post("/v1/embeddings", json={"model": "lightrag"} | body)
    assert answer.status_code == 400
    if param is not None:
        error = answer.json()["error"]
        assert error["param"] == param
        assert "function" not in error["message"]
