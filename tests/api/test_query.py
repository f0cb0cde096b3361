"""Questions over HTTP: shapes, limits, streams, failures."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from lightrag.errors import (
    ContextTooLong,
    LightRAGError,
    ModelRateLimited,
    ModelRefused,
    ModelUnreachable,
    StorageDamaged,
    StorageUnavailable,
)
from lightrag.types import Outcome, TakesBack

from .conftest import Served
from .scripted_engine import Script

CHUNK = {"chunk_id": "chunk-1", "start": 0, "end": 28, "page_start": 2, "page_end": 2}
REFERENCE = {"reference_id": "1", "file_path": "ada.txt", "doc_id": "doc-1", "chunks": [CHUNK]}
QUESTION = {"query": "Who wrote it?"}
GENERATED = {"llm_generated": True, "finish_reason": "stop", "model": None}


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def events(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def test_an_answer_comes_with_its_references(scripted: Served) -> None:
    async with scripted() as (client, _):
        body = (await client.post("/query", json=QUESTION)).json()
    assert body["response"] == "Ada wrote it."
    assert body["references"] == [REFERENCE | {"content": None}]
    assert body["llm_generated"] is True
    assert body["response_time"] >= 0


async def test_references_can_be_left_out_or_come_with_the_text(scripted: Served) -> None:
    async with scripted() as (client, _):
        without = (await client.post("/query", json=QUESTION | {"include_references": False})).json()
        with_text = (await client.post("/query", json=QUESTION | {"include_chunk_content": True})).json()
    assert without["references"] is None
    assert with_text["references"][0]["content"] == ["Ada wrote the first program."]


async def test_an_empty_answer_says_that_nothing_was_found(scripted: Served) -> None:
    async with scripted(Script(pieces=())) as (client, _):
        body = (await client.post("/query", json=QUESTION)).json()
    assert body["response"] == "No relevant context found for the query."


async def test_what_a_request_leaves_open_comes_from_the_settings(scripted: Served) -> None:
    async with scripted(TOP_K="7", MAX_TOTAL_TOKENS="900", RERANK_BY_DEFAULT="no") as (client, engine):
        await client.post("/query", json=QUESTION | {"chunk_top_k": 3, "unknown_key": 1})
        question, param = engine.asked[0]
    assert question == "Who wrote it?"
    assert (param.mode, param.top_k, param.chunk_top_k, param.max_total_tokens) == ("mix", 7, 3, 900)
    assert param.enable_rerank is False
    assert param.stream is False


async def test_a_filter_reaches_the_engine(scripted: Served) -> None:
    restriction = {"doc_ids": ["doc-1"], "file_paths": ["*.pdf"], "tags": {"year": 2025, "final": True, "who": ["a"]}}
    async with scripted() as (client, engine):
        await client.post("/query", json=QUESTION | {"filter": restriction})
        found = engine.asked[0][1].filter
    assert (found.doc_ids, found.file_paths) == (("doc-1",), ("*.pdf",))
    assert found.tags == {"year": 2025, "final": True, "who": ["a"]}
    assert type(found.tags["final"]) is bool


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": "hi"}, "query"),
        ({"query": "   \n  "}, "query"),
        ({"query": "x" * 65_537}, "query"),
        ({"query": "", "mode": "bypass"}, "query"),
        (QUESTION | {"mode": "magic"}, "mode"),
        (QUESTION | {"top_k": 0}, "top_k"),
        (QUESTION | {"top_k": 1001}, "top_k"),
        (QUESTION | {"max_total_tokens": 0}, "max_total_tokens"),
        (QUESTION | {"response_type": ""}, "response_type"),
        (QUESTION | {"hl_keywords": ["x"] * 65}, "hl_keywords"),
        (QUESTION | {"ll_keywords": ["x" * 513]}, "ll_keywords"),
        (QUESTION | {"conversation_history": [{"role": "", "content": "x"}]}, "conversation_history"),
        (QUESTION | {"conversation_history": [{"role": "user"}]}, "conversation_history"),
        (QUESTION | {"filter": {"tags": {"a": {"b": 1}}}}, "filter"),
        (QUESTION | {"filter": {"doc_id": ["doc-1"]}}, "filter"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_by_field(
    scripted: Served, body: dict[str, Any], field: str
) -> None:
    async with scripted() as (client, engine):
        answer = await client.post("/query", json=body)
        assert engine.asked == []
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["body", field]


async def test_the_refusal_of_a_short_question_is_lightrags(scripted: Served) -> None:
    async with scripted() as (client, _):
        answer = await client.post("/query", json={"query": "hi"})
        data = await client.post("/query/data", json={"query": "hi"})
    assert answer.json() == {
        "detail": [
            {
                "type": "string_too_short",
                "loc": ["body", "query"],
                "msg": "String should have at least 3 characters",
                "input": "hi",
                "ctx": {"min_length": 3},
            }
        ]
    }
    assert (data.status_code, data.json()) == (
        400,
        {
            "status": "failure",
            "message": "Validation error: body -> query: String should have at least 3 characters",
            "data": {},
            "metadata": {},
        },
    )


@pytest.mark.parametrize("body", [{"query": "谁?"}, {"query": "hi", "mode": "bypass"}, {"query": "为何"}])
async def test_short_questions_that_do_make_sense(scripted: Served, body: dict[str, Any]) -> None:
    async with scripted() as (client, _):
        assert (await client.post("/query", json=body)).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b"[]",
        b"nul",
        b'{"query": "\\ud800 half a pair"}',
        b'{"query": "Who wrote it?", "top_k": NaN}',
        b'{"query": "Who wrote it?", "top_k": 1e999}',
        b'{"query": "Who wrote it?", "top_k": ' + b"9" * 5000 + b"}",
        b'{"query": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'\xff\xfe{"query"',
    ],
)
async def test_a_body_that_cannot_be_read_is_the_callers_fault(scripted: Served, content: bytes) -> None:
    async with scripted() as (client, _):
        answer = await client.post("/query", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.json()["detail"]
    assert len(answer.content) < 5000


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read(scripted: Served) -> None:
    async with scripted(MAX_REQUEST_BODY_BYTES="2000") as (client, _):
        announced = await client.post("/query", json={"query": "x" * 3000})
        chunked = await client.post(
            "/query", content=pieces_of(b"x" * 3000), headers={"Content-Type": "application/json"}
        )
    for answer in (announced, chunked):
        assert answer.status_code == 413
        assert answer.json()["detail"].startswith("Request body too large. Maximum size: ")


async def pieces_of(content: bytes) -> Any:
    for start in range(0, len(content), 500):
        yield content[start : start + 500]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelUnreachable("The model server at http://gpu cannot be reached"), 503),
        (ModelRefused("The model server refused the API key"), 502),
        (ContextTooLong("The prompt does not fit"), 400),
        (StorageUnavailable("The database is locked"), 503),
        (StorageDamaged("graph.db cannot be read"), 500),
        (TimeoutError(), 504),
    ],
)
async def test_failures_of_models_and_stores_are_told(scripted: Served, error: LightRAGError, status: int) -> None:
    async with scripted(Script(fails_with=error)) as (client, _):
        for path in ("/query", "/query/stream", "/query/data"):
            answer = await client.post(path, json=QUESTION)
            assert answer.status_code == status
            assert str(error) in answer.text


async def test_a_rate_limit_tells_when_to_come_back(scripted: Served) -> None:
    async with scripted(Script(fails_with=ModelRateLimited("Slow down", retry_after=6.2))) as (client, _):
        answer = await client.post("/query", json=QUESTION)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


async def test_an_unexpected_error_gives_an_id_and_nothing_else(scripted: Served) -> None:
    async with scripted(Script(fails_with=RuntimeError("inner detail"))) as (client, _):
        answer = await client.post("/query", json=QUESTION)
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("Internal server error (error_id: ")
    assert "inner detail" not in answer.text


async def test_a_question_that_takes_too_long_is_given_up(scripted: Served) -> None:
    async with scripted(Script(pieces=(), hangs=True), TIMEOUT="0.05") as (client, engine):
        answer = await client.post("/query", json=QUESTION)
        assert engine.asking_cancelled.is_set()
    assert answer.status_code == 504


# Streams


async def test_a_stream_is_lines_of_json_references_first(scripted: Served) -> None:
    async with scripted() as (client, engine):
        answer = await client.post("/query/stream", json=QUESTION)
        assert engine.asked[0][1].stream is True
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    *parts, last = lines(answer)
    assert parts == [
        {"references": [REFERENCE]},
        {"response": "Ada "},
        {"response": "wrote "},
        {"response": "it."},
    ]
    assert last.pop("response_time") >= 0
    assert last == {"response": "", **GENERATED}


async def test_a_complete_answer_is_one_line(scripted: Served) -> None:
    async with scripted() as (client, _):
        answer = await client.post("/query/stream", json=QUESTION | {"stream": False})
    assert lines(answer) == [{"response": "Ada wrote it.", "references": [REFERENCE], **GENERATED}]


async def test_an_answer_that_was_cut_off_says_so(scripted: Served) -> None:
    async with scripted(Script(outcome=Outcome("length"))) as (client, _):
        whole = (await client.post("/query", json=QUESTION)).json()
        at_once = await client.post("/query/stream", json=QUESTION | {"stream": False})
        streamed = await client.post("/query/stream", json=QUESTION)
        sse = await client.post("/query/stream", json=QUESTION, headers={"Accept": "text/event-stream"})
    told = [whole, lines(at_once)[0], lines(streamed)[-1], events(sse)[-1][1]]
    assert [answer["finish_reason"] for answer in told] == ["length"] * 4


async def test_a_stream_tells_where_it_takes_back_what_was_thought(scripted: Served) -> None:
    async with scripted(Script(pieces=("Hmm.", TakesBack("\n\n"), "Ada."))) as (client, _):
        streamed = await client.post("/query/stream", json=QUESTION)
        sse = await client.post("/query/stream", json=QUESTION, headers={"Accept": "text/event-stream"})
    parts = [{"response": "Hmm."}, {"response": "\n\n", "takes_back": True}, {"response": "Ada."}]
    assert lines(streamed)[1:-1] == parts
    assert [data for name, data in events(sse) if name == "token"] == parts


async def test_an_answer_says_which_model_wrote_it(scripted: Served) -> None:
    async with scripted(Script(outcome=Outcome(model="m@p"))) as (client, _):
        whole = (await client.post("/query", json=QUESTION)).json()
        streamed = await client.post("/query/stream", json=QUESTION)
    assert [whole["model"], lines(streamed)[-1]["model"]] == ["m@p", "m@p"]


async def test_an_answer_that_no_model_wrote_has_neither_model_nor_reason_to_end(scripted: Served) -> None:
    async with scripted(Script(text="Sorry.")) as (client, _):
        told = (await client.post("/query", json=QUESTION)).json()
    assert (told["model"], told["finish_reason"]) == (None, None)


async def test_a_canned_answer_is_one_line_too(scripted: Served) -> None:
    async with scripted(Script(text="Sorry.")) as (client, _):
        answer = await client.post("/query/stream", json=QUESTION | {"include_references": False})
    assert lines(answer) == [{"response": "Sorry.", "llm_generated": False}]


async def test_events_for_those_who_ask_for_them(scripted: Served) -> None:
    async with scripted() as (client, _):
        answer = await client.post("/query/stream", json=QUESTION, headers={"Accept": "text/event-stream"})
        whole = await client.post(
            "/query/stream", json=QUESTION | {"stream": False}, headers={"Accept": "text/event-stream"}
        )
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in events(answer)]
    assert names == ["references", "token", "token", "token", "done"]
    assert events(answer)[0][1] == {"references": [REFERENCE]}
    assert events(answer)[1][1] == {"response": "Ada "}
    assert [name for name, _ in events(whole)] == ["references", "token", "done"]


async def test_line_breaks_in_a_piece_do_not_break_the_events(scripted: Served) -> None:
    async with scripted(Script(pieces=("one\n\nevent: done\r\n", "two"))) as (client, _):
        answer = await client.post("/query/stream", json=QUESTION, headers={"Accept": "text/event-stream"})
    assert [data["response"] for name, data in events(answer) if name == "token"] == [
        "one\n\nevent: done\r\n",
        "two",
    ]


async def test_a_stream_that_breaks_off_ends_with_the_error(scripted: Served) -> None:
    async with scripted(Script(breaks_with=ModelUnreachable("The model server went away"))) as (client, _):
        answer = await client.post("/query/stream", json=QUESTION)
        sse = await client.post("/query/stream", json=QUESTION, headers={"Accept": "text/event-stream"})
    assert answer.status_code == 200
    assert lines(answer)[-1] == {"error": "The model server went away"}
    assert events(sse)[-1] == ("error", {"error": "The model server went away"})


async def test_an_unexpected_break_does_not_tell_inner_details(scripted: Served) -> None:
    async with scripted(Script(breaks_with=RuntimeError("inner detail"))) as (client, _):
        answer = await client.post("/query/stream", json=QUESTION)
    assert "error" in lines(answer)[-1]
    assert "inner detail" not in answer.text


async def call_and_leave(app: Any, path: str, leave: asyncio.Event) -> list[dict[str, Any]]:
    """Call the application as a client that is gone once `leave` is set."""
    body = json.dumps(QUESTION).encode()
    sent: list[dict[str, Any]] = []
    requests = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in requests:
            return message
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and b"wrote" in message.get("body", b""):
            leave.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 9621),
    }
    await asyncio.wait_for(app(scope, receive, send), 60)
    return sent


async def test_a_client_that_leaves_ends_the_models_work(scripted: Served) -> None:
    async with scripted(Script(hangs=True)) as (client, engine):
        app = client._transport.app  # type: ignore[attr-defined]
        sent = await call_and_leave(app, "/query/stream", asyncio.Event())
        assert engine.stream_closed.is_set()
    assert sent[0]["status"] == 200


async def test_a_client_that_leaves_before_the_answer_ends_the_search(scripted: Served) -> None:
    leave = asyncio.Event()
    leave.set()
    for path in ("/query", "/query/stream", "/query/data"):
        async with scripted(Script(pieces=(), hangs=True)) as (client, engine):
            await call_and_leave(client._transport.app, path, leave)  # type: ignore[attr-defined]
            assert engine.asking_cancelled.is_set()


@pytest.mark.parametrize(
    "content", [b'{"query": "', b"\xff\xfe{", b"", b"[]", b'{"query": "Who?", "mode": "hybrid", ""}']
)
async def test_a_body_that_is_no_json_object_is_unprocessable(scripted: Served, content: bytes) -> None:
    async with scripted() as (client, _):
        answer = await client.post("/query", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


async def test_found_data_in_lightrags_form(scripted: Served) -> None:
    async with scripted() as (client, _):
        body = (await client.post("/query/data", json=QUESTION | {"mode": "naive"})).json()
    assert (body["status"], body["message"]) == ("success", "Query processed successfully")
    chunk = body["data"]["chunks"][0]
    assert {key: chunk[key] for key in ("reference_id", "content", "file_path", "chunk_id")} == {
        "reference_id": "1",
        "content": "Ada wrote the first program.",
        "file_path": "ada.txt",
        "chunk_id": "chunk-1",
    }
    assert body["data"]["references"] == [REFERENCE]
    assert body["metadata"]["query_mode"] == "naive"


async def test_a_silent_stream_of_events_shows_that_it_lives(scripted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightrag.api.streaming.KEEP_ALIVE_SECONDS", 0.01)
    async with scripted(Script(pieces=("one", "two"), pause=0.05)) as (client, _):
        answer = await client.post("/query/stream", json=QUESTION, headers={"Accept": "text/event-stream"})
        plain = await client.post("/query/stream", json=QUESTION)
    assert ": keep-alive\n\n" in answer.text
    assert [name for name, _ in events_without_comments(answer)] == ["references", "token", "token", "done"]
    assert lines(plain)[-2] == {"response": "two"}


def events_without_comments(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    kept = [block for block in answer.text.split("\n\n") if not block.startswith(":")]
    return events(httpx.Response(200, text="\n\n".join(kept)))
