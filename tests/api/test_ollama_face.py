"""The server as an Ollama server: shapes, modes, streams, failures."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from lightrag.errors import ConfigurationError, ContextTooLong, LightRAGError, ModelRefused, ModelUnreachable
from lightrag.types import Outcome

from .conftest import Served
from .scripted_engine import Script
from .test_housekeeping import TAGS, TITLE

MODEL = "lightrag:latest"
CREATED = "2024-01-15T00:00:00Z"
COUNTS = {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"}
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Who wrote it?"}]}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def said(content: str, **more: object) -> dict[str, object]:
    return ASK | {"messages": [{"role": "user", "content": content}]} | more


async def test_the_server_looks_like_ollama_with_one_model(scripted: Served) -> None:
    details = {"parent_model": "", "format": "gguf", "quantization_level": "Q4_0"}
    listed = details | {"family": "lightrag", "families": ["lightrag"], "parameter_size": "13B"}
    loaded = details | {"family": "llama", "families": ["llama"], "parameter_size": "7.2B"}
    model = {"name": MODEL, "model": MODEL, "size": 7365960935, "digest": "sha256:lightrag"}
    async with scripted() as (client, _):
        version = (await client.get("/api/version")).json()
        tags = (await client.get("/api/tags")).json()
        ps = (await client.get("/api/ps")).json()
    assert version == {"version": "0.9.3"}
    assert tags == {"models": [model | {"modified_at": CREATED, "details": listed}]}
    expiry = {"expires_at": "2050-12-31T14:38:31.83753-07:00", "size_vram": 7365960935}
    assert ps == {"models": [model | {"details": loaded} | expiry]}


async def test_the_program_of_ollama_finds_the_server(scripted: Served) -> None:
    async with scripted(LIGHTRAG_API_KEY="right") as (client, _):
        assert (await client.head("/")).status_code == 200
        assert (await client.head("/api/version")).status_code in {200, 405}


async def test_the_model_can_be_described(scripted: Served) -> None:
    async with scripted(MAX_TOTAL_TOKENS="9000") as (client, _):
        shown = (await client.post("/api/show", json={"model": "lightrag"})).json()
        unknown = await client.post("/api/show", json={"name": "llama3"})
    assert shown["capabilities"] == ["completion"]
    assert shown["model_info"]["lightrag.context_length"] == 9000
    assert (unknown.status_code, unknown.json()["error"]) == (404, "model 'llama3' not found")


async def test_the_name_can_be_changed(scripted: Served) -> None:
    async with scripted(OLLAMA_EMULATING_MODEL_NAME="library", OLLAMA_EMULATING_MODEL_TAG="v2") as (client, _):
        assert (await client.get("/api/tags")).json()["models"][0]["name"] == "library:v2"
        assert (await client.post("/api/chat", json=ASK | {"stream": False})).json()["model"] == "library:v2"


async def test_an_answer_is_streamed_line_by_line(scripted: Served) -> None:
    async with scripted() as (client, engine):
        answer = await client.post("/api/chat", json=ASK)
        assert engine.asked[0][1].stream
    *pieces, last = lines(answer)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert pieces == [
        {
            "model": MODEL,
            "created_at": CREATED,
            "message": {"role": "assistant", "content": text, "images": None},
            "done": False,
        }
        for text in ("Ada ", "wrote ", "it.")
    ]
    assert last["message"] == {"role": "assistant", "content": "", "images": None}
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert all(isinstance(last[name], int) for name in COUNTS)
    assert last.keys() == {"model", "created_at", "message", "done", "done_reason"} | COUNTS


async def test_an_answer_comes_in_one_piece_where_asked_for(scripted: Served) -> None:
    async with scripted() as (client, _):
        answer = await client.post("/api/chat", json=ASK | {"stream": False})
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert body["message"] == {"role": "assistant", "content": "Ada wrote it.", "images": None}
    assert body.keys() == {"model", "created_at", "message", "done", "done_reason"} | COUNTS
    assert (body["prompt_eval_count"], body["eval_count"]) == (4, 4)


async def test_letters_of_all_languages_stay_as_they_are(scripted: Served) -> None:
    async with scripted(Script(pieces=("三个", " \ud800"))) as (client, _):
        answer = await client.post("/api/chat", json=said("唐僧有几个徒弟"))
    assert '"content":"三个"' in answer.text
    assert lines(answer)[1]["message"]["content"] == " ?"


@pytest.mark.parametrize(
    ("content", "question", "mode", "context_only", "prompt"),
    [
        ("Who?", "Who?", "mix", False, None),
        ("/local Who?", "Who?", "local", False, None),
        ("/bypass Who?", "Who?", "bypass", False, None),
        ("/globalcontext Who?", "Who?", "global", True, None),
        ("/naive[in\nverse] Who?", "Who?", "naive", False, "in\nverse"),
    ],
)
async def test_a_prefix_reaches_the_engine(
    scripted: Served, content: str, question: str, mode: str, context_only: bool, prompt: str | None
) -> None:
    async with scripted() as (client, engine):
        await client.post("/api/chat", json=said(content))
        asked, param = engine.asked[0]
    assert (asked, param.mode, param.only_need_context, param.user_prompt) == (question, mode, context_only, prompt)


async def test_a_mode_in_the_models_name_is_the_default(scripted: Served) -> None:
    async with scripted() as (client, engine):
        await client.post("/api/chat", json=ASK | {"model": "lightrag:naive"})
        await client.post("/api/chat", json=said("/local Who?", model="lightrag:naive"))
        await client.post("/api/chat", json=ASK | {"model": "llama3.2:latest"})
    assert [param.mode for _, param in engine.asked] == ["naive", "local", "mix"]


async def test_a_workspace_in_the_models_name_is_never_ignored(scripted: Served) -> None:
    async with scripted() as (client, engine):
        other = {"LIGHTRAG-WORKSPACE": "tenant-b"}
        answer = await client.post("/api/chat", json=ASK | {"model": "lightrag@tenant-a:latest"}, headers=other)
        assert engine.asked == []
        assert (await client.post("/api/chat", json=ASK | {"model": "lightrag@tenant-a:latest"})).status_code == 200
        assert engine.opened == ["", "tenant-a"]
        await client.post("/api/chat", json=ASK | {"model": "lightrag@tenant-c:7b"})
        await client.post("/api/generate", json={"model": "lightrag@tenant-d:q4_K_M", "prompt": "Who?"})
        await client.post("/api/chat", json=ASK | {"model": "LightRAG@tenant-e:naive"})
        assert engine.asked[-1][1].mode == "naive"
        assert engine.opened == ["", "tenant-a", "tenant-c", "tenant-d", "tenant-e"]
        for name in (
            "lightrag@tenant a:latest",
            "lightrag@../tenant-a",
            "lightrag@",
            "lightrag@:latest",
            "lightrag@a@b",
        ):
            refused = await client.post("/api/chat", json=ASK | {"model": name})
            assert refused.status_code == 400, name
            assert "Invalid workspace identifier" in refused.json()["error"]
        assert len(engine.opened) == 5
    assert answer.status_code == 400
    assert "tenant-b" in answer.json()["error"]


async def test_the_conversation_and_its_instructions_go_along(scripted: Served) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "tool", "content": "12:00"},
        {"role": "user", "content": "/[in verse] Who?", "images": ["aGk="]},
    ]
    async with scripted(TOP_K="7", HISTORY_TURNS="2") as (client, engine):
        await client.post("/api/chat", json={"messages": messages, "system": "Be kind."})
        question, param = engine.asked[0]
    assert question == "Who?"
    assert param.user_prompt == "Be kind.\n\nBe brief.\n\nin verse"
    assert param.conversation_history == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "12:00"},
    ]
    assert (param.top_k, param.history_turns) == (7, 2)


async def test_options_are_honoured(scripted: Served) -> None:
    options = {"temperature": 0.2, "num_predict": 50, "stop": ["wrote"], "num_ctx": 4096, "mirostat": 2}
    async with scripted() as (client, engine):
        answer = await client.post("/api/chat", json=ASK | {"options": options, "stream": False})
        streamed = await client.post("/api/chat", json=ASK | {"options": options})
        await client.post("/api/chat", json=ASK | {"options": {"num_predict": -1}})
    generation = engine.asked[0][1].generation
    assert (generation.temperature, generation.max_tokens) == (0.2, 50)
    assert answer.json()["message"]["content"] == "Ada "
    assert "".join(line["message"]["content"] for line in lines(streamed)) == "Ada "
    assert engine.asked[2][1].generation.max_tokens is None


async def test_an_answer_that_was_cut_off_says_so(scripted: Served) -> None:
    async with scripted(Script(outcome=Outcome("length"))) as (client, _):
        assert lines(await client.post("/api/chat", json=ASK))[-1]["done_reason"] == "length"


async def test_thinking_is_sent_apart_and_only_where_asked_for(scripted: Served) -> None:
    async with scripted(Script(thinking="Hmm.")) as (client, _):
        first = lines(await client.post("/api/chat", json=ASK | {"think": True}))[0]["message"]
        whole = (await client.post("/api/chat", json=ASK | {"think": True, "stream": False})).json()["message"]
        silent = await client.post("/api/chat", json=ASK)
        generated = lines(await client.post("/api/generate", json={"prompt": "x", "stream": True, "think": "high"}))
    assert (first["thinking"], first["content"]) == ("Hmm.", "")
    assert (whole["thinking"], whole["content"]) == ("Hmm.", "Ada wrote it.")
    assert "Hmm." not in silent.text
    assert (generated[0]["thinking"], generated[0]["response"]) == ("Hmm.", "")


async def test_what_is_complete_already_is_one_line_and_the_closing_one(scripted: Served) -> None:
    async with scripted(Script(text="From the cache.")) as (client, _):
        found = lines(await client.post("/api/chat", json=ASK))
    assert [line["message"]["content"] for line in found] == ["From the cache.", ""]


async def test_an_empty_answer_is_told(scripted: Served) -> None:
    async with scripted(Script(pieces=())) as (client, _):
        body = (await client.post("/api/chat", json=ASK | {"stream": False})).json()
    assert body["message"]["content"] == "No response generated"


async def test_generate_goes_straight_to_the_model(scripted: Served) -> None:
    request = {"model": MODEL, "prompt": "/local Say hello", "system": "Be brief.", "format": "json"}
    async with scripted() as (client, engine):
        whole = (await client.post("/api/generate", json=request)).json()
        *pieces, last = lines(await client.post("/api/generate", json=request | {"stream": True}))
    question, param = engine.asked[0]
    assert (question, param.mode, param.user_prompt) == ("/local Say hello", "bypass", "Be brief.")
    assert param.generation.json_object
    assert whole["response"] == "Ada wrote it."
    assert whole.keys() == {"model", "created_at", "response", "done", "done_reason", "context"} | COUNTS
    assert [line["response"] for line in pieces] == ["Ada ", "wrote ", "it."]
    assert all(line.keys() == {"model", "created_at", "response", "done"} for line in pieces)
    assert (last["response"], last["context"], last["done"]) == ("", [], True)


async def test_loading_and_unloading_the_model_needs_no_model(scripted: Served) -> None:
    async with scripted() as (client, engine):
        loaded = (await client.post("/api/generate", json={"model": MODEL})).json()
        unloaded = (await client.post("/api/generate", json={"model": MODEL, "keep_alive": 0})).json()
    assert (loaded["done_reason"], unloaded["done_reason"]) == ("load", "unload")
    assert engine.asked == []


async def test_texts_can_be_embedded(scripted: Served) -> None:
    async with scripted() as (client, _):
        many = (await client.post("/api/embed", json={"model": MODEL, "input": ["a", "b"]})).json()
        one = (await client.post("/api/embed", json={"model": MODEL, "input": "a"})).json()
        old = (await client.post("/api/embeddings", json={"model": MODEL, "prompt": "a"})).json()
        none = (await client.post("/api/embed", json={"model": MODEL, "input": []})).json()
    assert [len(vector) for vector in many["embeddings"]] == [8, 8]
    assert one["embeddings"][0] == many["embeddings"][0] == old["embedding"]
    assert none["embeddings"] == []


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_front_ends_own_prompts_go_straight_to_the_model(scripted: Served, streamed: bool) -> None:
    async with scripted(Script(has_model=True)) as (client, engine):
        await client.post("/api/chat", json=said(TITLE, stream=streamed))
        question, param = engine.asked[0]
    assert (question, param.mode) == (TITLE, "bypass")


async def test_without_a_model_they_are_answered_in_their_form(scripted: Served) -> None:
    async with scripted() as (client, engine):
        title = (await client.post("/api/chat", json=said(TITLE, stream=False))).json()
        tags = lines(await client.post("/api/chat", json=said(TAGS)))
        generated = (await client.post("/api/generate", json={"prompt": TITLE})).json()
    assert engine.asked == []
    assert json.loads(title["message"]["content"])["title"]
    assert json.loads(tags[0]["message"]["content"]) == {"tags": ["General"]}
    assert json.loads(generated["response"])["title"]


@pytest.mark.parametrize(
    "content_type", ["application/octet-stream", "text/plain", "application/x-www-form-urlencoded"]
)
async def test_a_body_is_json_whatever_it_is_called(scripted: Served, content_type: str) -> None:
    content = json.dumps(ASK | {"stream": False}).encode()
    async with scripted() as (client, _):
        answer = await client.post("/api/chat", content=content, headers={"Content-Type": content_type})
        bad = await client.post("/api/chat", content=b"{", headers={"Content-Type": content_type})
    assert answer.json()["message"]["content"] == "Ada wrote it."
    assert (bad.status_code, bad.json()["error"]) == (400, "Invalid JSON in request body")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "No messages provided"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "Last message must be from user role"),
        ({}, "messages: Field required"),
        ([], "The request body should be a JSON object"),
        ({"messages": "hello"}, "messages: Input should be a valid array"),
        ({"messages": [{"role": "user"}]}, "messages.0: Field 'content' is required"),
        ({"messages": [{"invalid_role": "user", "content": "x"}]}, "messages.0.role: Field required"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: Input should be a valid string"),
        ({"messages": [{"role": "user", "content": "  "}]}, "The last message holds no question"),
        ({"messages": [{"role": "user", "content": "/local "}]}, "The last message holds no question"),
        (ASK | {"stream": "perhaps"}, "stream: Input should be a valid boolean, unable to interpret input"),
        (ASK | {"options": {"temperature": "hot"}}, "options.temperature: Input should be a valid number"),
        (ASK | {"options": {"temperature": -1}}, "options.temperature: Input should be greater than or equal to 0"),
        (ASK | {"options": []}, "options: "),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(scripted: Served, body: Any, message: str) -> None:
    async with scripted() as (client, engine):
        answer = await client.post("/api/chat", json=body)
        assert engine.asked == []
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)
    assert answer.json()["detail"] == answer.json()["error"]


@pytest.mark.parametrize("body", [said("x" * 65_537), ASK | {"system": "x" * 65_537}], ids=["question", "system"])
async def test_a_question_of_the_documents_has_a_length_that_can_be_searched_for(
    scripted: Served, body: dict[str, object]
) -> None:
    async with scripted() as (client, engine):
        answer = await client.post("/api/chat", json=body)
        assert engine.asked == []
    assert answer.status_code == 413
    assert "65536" in answer.json()["error"]


@pytest.mark.parametrize(
    "content", [b"", b"nul", b"\xff\xfe", b'{"messages": ' + b"[" * 50_000, b'{"prompt": "\\ud800"}', b'"text"']
)
async def test_a_body_that_cannot_be_read_is_the_callers_fault(scripted: Served, content: bytes) -> None:
    async with scripted() as (client, _):
        for path in ("/api/chat", "/api/generate", "/api/show", "/api/embed", "/api/embeddings"):
            answer = await client.post(path, content=content)
            assert answer.status_code == 400
            assert answer.json()["error"]


async def test_what_other_layers_refuse_has_ollamas_form_too(scripted: Served) -> None:
    async with scripted(MAX_REQUEST_BODY_BYTES="500", LIGHTRAG_API_KEY="right", WHITELIST_PATHS="/health") as (
        client,
        _,
    ):
        key = {"X-API-Key": "right"}
        large = await client.post("/api/chat", json=said("x" * 600), headers=key)
        closed = await client.post("/api/chat", json=ASK)
        absent = await client.post("/api/pull", json={}, headers=key)
        method = await client.get("/api/chat", headers=key)
        bearer = await client.get("/api/tags", headers={"Authorization": "Bearer right"})
    assert [answer.status_code for answer in (large, closed, absent, method)] == [413, 403, 404, 405]
    for answer in (large, closed, absent, method):
        assert isinstance(answer.json()["error"], str)
        assert answer.json()["detail"] == answer.json()["error"]
    assert bearer.status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelUnreachable("The model server cannot be reached"), 503),
        (ModelRefused("The model server refused the API key"), 502),
        (ContextTooLong("The prompt does not fit"), 400),
        (ConfigurationError("mode bypass needs a language model and none is configured"), 400),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_what_fails_before_the_first_word_has_a_status(
    scripted: Served, error: LightRAGError, status: int, streamed: bool
) -> None:
    for script in (Script(fails_with=error), Script(pieces=(), breaks_with=error)):
        if script.breaks_with and not streamed:
            continue
        async with scripted(script) as (client, _):
            answer = await client.post("/api/chat", json=ASK | {"stream": streamed})
        assert (answer.status_code, answer.json()["error"]) == (status, str(error))


async def test_a_failure_on_the_way_becomes_a_line_and_the_closing_one(scripted: Served) -> None:
    async with scripted(Script(pieces=("Ada ",), breaks_with=ModelUnreachable("the line is dead"))) as (client, _):
        chat = lines(await client.post("/api/chat", json=ASK))
        generated = lines(await client.post("/api/generate", json={"prompt": "x", "stream": True}))
    assert chat[1]["message"]["content"] == "\n\nError: Provider error: the line is dead"
    assert chat[1]["error"] == "Provider error: the line is dead"
    assert chat[2] == {"model": MODEL, "created_at": CREATED, "done": True}
    assert generated[1]["response"] == "\n\nError: Provider error: the line is dead"
    assert generated[2]["done"] is True


async def test_an_unexpected_failure_tells_nothing_of_the_inside(scripted: Served) -> None:
    async with scripted(Script(fails_with=RuntimeError("inner"))) as (client, _):
        whole = await client.post("/api/chat", json=ASK)
    async with scripted(Script(breaks_with=RuntimeError("inner"))) as (client, _):
        broken = await client.post("/api/chat", json=ASK)
    assert whole.status_code == 500
    assert whole.json()["error"].startswith("Internal server error (error_id: ")
    assert "inner" not in whole.text + broken.text
    assert lines(broken)[-1]["done"] is True


async def test_an_answer_that_takes_too_long_is_given_up(scripted: Served) -> None:
    async with scripted(Script(pieces=(), hangs=True), TIMEOUT="0.05") as (client, engine):
        answer = await client.post("/api/chat", json=ASK | {"stream": False})
        assert engine.asking_cancelled.is_set()
    assert answer.status_code == 504
    assert "error" in answer.json()


async def test_a_stop_text_ends_the_models_call(scripted: Served) -> None:
    async with scripted(Script(hangs=True)) as (client, engine):
        async with asyncio.timeout(60):
            answer = await client.post("/api/chat", json=ASK | {"options": {"stop": "it"}})
        assert engine.stream_closed.is_set()
    assert [line["message"]["content"] for line in lines(answer)] == ["Ada ", "wrote ", ""]
