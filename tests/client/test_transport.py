"""What the clients repeat and what they do not, what becomes of errors, and how streams end."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import httpx
import pytest

from lightrag.client import (
    AnswerBroken,
    AsyncLightRAGClient,
    BudgetExceeded,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    LightRAGClient,
    LLMError,
    NotDone,
    NotFound,
    RateLimited,
    RetryPolicy,
    ServerError,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from lightrag.client.requests import Account, Address, Route, Wish
from lightrag.client.retrying import exchange
from lightrag.client.steps import Failure, Pause, Reply, Send

from .conftest import Connect
from .scripted_server import Says, ScriptedServer

EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
LINES = {"Content-Type": "application/x-ndjson"}
INSERTED = Says({"status": "success", "message": "", "track_id": "t", "documents": []})
SLOW_DOWN = Says({"detail": "busy"}, 429, {"Retry-After": "0"})


def event(name: str, **data: Any) -> bytes:
    """Return a server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


REFERENCES = event("references", references=[{"reference_id": "1", "file_path": "ada.txt"}])
DONE = event("done", response_time=0.4, llm_generated=True, finish_reason="length", model="m@p")


# Repeating.


@pytest.mark.parametrize(
    "trouble",
    [Says(is_cut=True), Says("", 502), Says({"detail": "starting"}, 503), Says("", 504), SLOW_DOWN],
    ids=["cut", "502", "503", "504", "429"],
)
async def test_reading_is_repeated_until_it_succeeds(connect: Connect, scripted: ScriptedServer, trouble: Says) -> None:
    scripted.says(trouble, trouble, Says(["Ada"]))
    async with connect(scripted.url) as client:
        assert await client(lambda c: c.graph.labels()) == ["Ada"]
    assert len(scripted.asked) == 3


@pytest.mark.parametrize("trouble", [Says(is_cut=True), Says({"detail": "x"}, 503), Says("", 502), Says("", 504)])
async def test_what_may_have_been_done_is_not_repeated(
    connect: Connect, scripted: ScriptedServer, trouble: Says
) -> None:
    scripted.says(trouble, INSERTED)
    for call in (
        lambda c: c.documents.insert_text("text"),
        lambda c: c.documents.upload(b"text", "a.txt"),
        lambda c: c.query("question"),
        lambda c: c.documents.clear(),
        lambda c: c.graph.delete_entity("Ada"),
    ):
        scripted.says(trouble, INSERTED)
        scripted.asked.clear()
        async with connect(scripted.url) as client:
            with pytest.raises((Unreachable, ServerError)):
                await client(call)
        assert len(scripted.asked) == 1


async def test_what_the_server_has_refused_for_the_moment_is_repeated(
    connect: Connect, scripted: ScriptedServer
) -> None:
    scripted.says(SLOW_DOWN, Says({"detail": "later"}, 503, {"Retry-After": "0"}), INSERTED)
    async with connect(scripted.url) as client:
        assert (await client(lambda c: c.documents.upload(b"some bytes", "a.txt"))).track_id == "t"
    assert len(scripted.asked) == 3
    assert all(b"some bytes" in asked.body for asked in scripted.asked)


async def test_a_body_that_can_be_read_once_is_sent_once(connect: Connect, scripted: ScriptedServer) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.blocks = [b"some bytes", b""]

        def read(self, size: int) -> bytes:
            return self.blocks.pop(0)

        def seekable(self) -> bool:
            return False

    scripted.says(SLOW_DOWN, INSERTED)
    async with connect(scripted.url) as client:
        with pytest.raises(RateLimited):
            await client(lambda c: c.documents.upload(Pipe(), "a.txt"))
    assert scripted.asked[0].headers["transfer-encoding"] == "chunked"
    assert len(scripted.asked) == 1


async def test_repeating_ends(connect: Connect, scripted: ScriptedServer) -> None:
    scripted.says(Says({"detail": "no stores"}, 503))
    async with connect(scripted.url, retries=RetryPolicy(2, jitter=lambda: 0.0)) as client:
        with pytest.raises(Unavailable, match="no stores") as caught:
            await client(lambda c: c.health())
    assert (caught.value.status, len(scripted.asked)) == (503, 3)
    scripted.asked.clear()
    async with connect(scripted.url, retries=0) as client:
        with pytest.raises(Unavailable):
            await client(lambda c: c.health())
    assert len(scripted.asked) == 1


async def test_a_connection_that_was_never_made_is_tried_again_even_for_what_changes_something(
    connect: Connect,
) -> None:
    async with connect("http://127.0.0.1:9", retries=RetryPolicy(1, jitter=lambda: 0.0)) as client:
        with pytest.raises(Unreachable, match="is it running"):
            await client(lambda c: c.documents.insert_text("text"))


def pauses(policy: RetryPolicy, *outcomes: Reply | Failure, method: str = "GET") -> list[float]:
    """Return how long a call pauses between its tries."""
    address = Address("http://server", Account(None, None))
    plan = exchange(address, policy, Route(method, "/x", method == "GET"), Wish())
    waited: list[float] = []
    step = next(plan)
    left = list(outcomes)
    while True:
        try:
            if isinstance(step, Pause):
                waited.append(step.seconds)
                step = plan.send(None)
            else:
                assert isinstance(step, Send)
                outcome = left.pop(0)
                step = plan.throw(outcome) if isinstance(outcome, Failure) else plan.send(outcome)
        except (StopIteration, ClientError):
            return waited


def busy(retry_after: str, status: int = 429) -> Reply:
    """Return an answer that asks to wait."""
    return Reply(status, {"Retry-After": retry_after}, b"{}")


def test_pauses_grow_with_jitter_up_to_a_bound() -> None:
    lost = Failure("lost", was_sent=False, timed_out=False)
    policy = RetryPolicy(6, first=1.0, longest=8.0, jitter=lambda: 0.5)
    assert pauses(policy, *[lost] * 7, method="POST") == [0.5, 1, 2, 4, 4, 4]
    assert pauses(policy, *[Reply(502, {}, b"")] * 2, Reply(200, {}, b"{}")) == [0.5, 1]


def test_the_server_says_how_long_to_wait() -> None:
    policy = RetryPolicy(3, first=1.0, jitter=lambda: 0.0, patience=60.0)
    done = Reply(200, {}, b"{}")
    assert pauses(policy, busy("7"), busy("1.5", 503), done, method="POST") == [7, 1.5]
    assert pauses(policy, busy("Wed, 21 Oct 2015 07:28:00 GMT"), done) == [0]
    assert pauses(policy, busy("3600"), done) == []
    assert pauses(policy, busy("soon"), done) == [0.0]


# Errors.


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (402, BudgetExceeded),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, Invalid),
        (418, ClientError),
        (429, RateLimited),
        (500, ServerError),
    ],
)
async def test_each_status_has_its_error(
    connect: Connect, scripted: ScriptedServer, status: int, kind: type[ClientError]
) -> None:
    scripted.says(Says({"detail": "what is wrong"}, status, {"X-Request-ID": "4f2a", "Retry-After": "90"}))
    async with connect(scripted.url) as client:
        with pytest.raises(ClientError, match=f"what is wrong.*{status}") as caught:
            await client(lambda c: c.documents.insert_text("text"))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.request_id) == (status, "4f2a")
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after == 90


def test_errors_travel_between_processes() -> None:
    for error in (
        LLMError(102, "no model", status=200),
        RateLimited("slow down", retry_after=2.0),
        NotDone("later", [1]),
        AnswerBroken("cut", "text"),
    ):
        same = pickle.loads(pickle.dumps(error))
        assert (type(same), str(same), vars(same)) == (type(error), str(error), vars(error))


async def test_what_is_wrong_with_which_field_is_told(connect: Connect, scripted: ScriptedServer) -> None:
    detail = [{"type": "missing", "loc": ["body", "text"], "msg": "Field required", "input": {}}]
    scripted.says(Says({"detail": detail}, 422))
    async with connect(scripted.url) as client:
        with pytest.raises(Invalid, match="text: Field required") as caught:
            await client(lambda c: c.documents.insert_text("text"))
    assert caught.value.details == detail


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (Says(b"<html>Welcome</html>"), "something other than JSON"),
        (Says([1, 2]), "no Document"),
        (Says({"id": "doc-1"}), "lacks 'status'"),
        (Says(b"", 307, {"Location": "/login"}), "leads to '/login'"),
        (Says(b"<html>gateway</html>", 500), "gateway"),
    ],
)
async def test_answers_that_are_none_are_told_as_such(
    connect: Connect, scripted: ScriptedServer, says: Says, message: str
) -> None:
    scripted.says(says)
    async with connect(scripted.url) as client:
        with pytest.raises(ServerError, match=message):
            await client(lambda c: c.documents.get("doc-1"))


async def test_fields_of_other_versions_do_no_harm(connect: Connect, scripted: ScriptedServer) -> None:
    scripted.says(Says({"id": "doc-1", "status": "processed", "tags": None, "mood": "good"}))
    async with connect(scripted.url) as client:
        document = await client(lambda c: c.documents.get("doc-1"))
    assert (document.tags, document.chunks_count, document.extra["mood"]) == ({}, 0, "good")


async def test_waiting_for_an_answer_ends(connect: Connect, scripted: ScriptedServer) -> None:
    scripted.says(Says(pieces=(), waits=True))
    async with connect(scripted.url, timeout=0.2, retries=0) as client:
        with pytest.raises(TimedOut, match="not answer in time"):
            await client(lambda c: c.health())


@pytest.mark.parametrize("bad", ["", "localhost:9621", "ftp://server"])
def test_an_address_must_be_one_of_http(bad: str) -> None:
    with pytest.raises(Invalid, match="http://"):
        LightRAGClient(bad)


@pytest.mark.parametrize("bad", ["tenant\r\nX-Admin: 1", "ténant"])
def test_what_no_header_can_hold_is_refused(bad: str) -> None:
    for options in ({"api_key": bad}, {"token": bad}, {"workspace": bad}):
        with pytest.raises(Invalid, match="ASCII"):
            LightRAGClient("http://server", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["", " ", ".", ".."])
def test_ids_do_not_lead_to_other_routes(bad: str) -> None:
    with LightRAGClient("http://127.0.0.1:9", retries=0) as client, pytest.raises(Invalid, match="cannot be"):
        client.documents.get(bad)


async def test_names_are_quoted_in_paths(connect: Connect, scripted: ScriptedServer) -> None:
    scripted.says(Says({"id": "x", "status": "failed"}))
    async with connect(scripted.url + "/rag/") as client:
        await client(lambda c: c.documents.get("a/../b?c#d é"))
    assert scripted.asked[0].path == "/rag/documents/a%2F..%2Fb%3Fc%23d%20%C3%A9"


def test_what_json_cannot_say_is_refused() -> None:
    with LightRAGClient("http://127.0.0.1:9", retries=0) as client:
        with pytest.raises(Invalid, match="JSON"):
            client.documents.insert_text("text", tags={"when": object()})
        with pytest.raises(TypeError, match="topk"):
            client.query("question", topk=3)  # type: ignore[call-arg]


# Who one is, and where.


async def test_headers_say_who_and_where(connect: Connect, scripted: ScriptedServer) -> None:
    scripted.says(Says({"status": "ok"}))
    options = {"api_key": "k", "token": "t", "workspace": "tenant-a", "headers": {"X-Trace": "1"}}
    async with connect(scripted.url, **options) as client:
        await client(lambda c: c.health())
        other = client.in_workspace("tenant-b")
        await other(lambda c: c.health())
        await client.in_workspace("")(lambda c: c.health())
        assert (client.real.workspace, other.real.workspace) == ("tenant-a", "tenant-b")
    first, second, third = (asked.headers for asked in scripted.asked)
    assert (first["x-api-key"], first["authorization"], first["x-trace"]) == ("k", "Bearer t", "1")
    assert (first["lightrag-workspace"], second["lightrag-workspace"]) == ("tenant-a", "tenant-b")
    assert "lightrag-workspace" not in third


async def test_closing_a_view_leaves_the_client_open(scripted: ScriptedServer) -> None:
    scripted.says(Says({"status": "ok"}))
    async with AsyncLightRAGClient(scripted.url) as client:
        async with client.in_workspace("a") as view:
            await view.health()
        assert (await client.health())["status"] == "ok"


async def test_a_client_of_httpx_that_was_handed_in_stays_open(scripted: ScriptedServer) -> None:
    scripted.says(Says({"status": "ok"}))
    async with httpx.AsyncClient(headers={"X-Own": "1"}) as http:
        async with AsyncLightRAGClient(scripted.url, http=http) as client:
            await client.health()
        assert not http.is_closed
    assert scripted.asked[0].headers["x-own"] == "1"


async def test_a_fresh_token_replaces_the_one_that_expires(connect: Connect, scripted: ScriptedServer) -> None:
    scripted.says(
        Says({"access_token": "first", "token_type": "bearer"}),
        Says({"status": "ok"}, headers={"X-New-Token": "second"}),
        Says({"status": "ok"}),
    )
    async with connect(scripted.url) as client:
        login = await client(lambda c: c.login("ada", "pass word&=é"))
        assert "first" not in repr(login)
        view = client.in_workspace("tenant-a")
        await view(lambda c: c.health())
        await client(lambda c: c.health())
    login_request, before, after = scripted.asked
    assert login_request.body == b"username=ada&password=pass%20word%26%3D%C3%A9"
    assert (before.headers["authorization"], after.headers["authorization"]) == ("Bearer first", "Bearer second")


# Streams.


async def test_a_stream_gives_references_then_text(connect: Connect, scripted: ScriptedServer) -> None:
    whole = REFERENCES + event("token", response="Ada ♥ ") + b": keep-alive\n\n" + event("token", response="wrote it.")
    cuts = tuple((whole + DONE)[at : at + 7] for at in range(0, len(whole + DONE), 7))
    scripted.says(Says(pieces=cuts, headers=EVENTS))
    async with connect(scripted.url) as client:
        stream = client.real.query.stream("Who wrote it?", top_k=3)
        with pytest.raises(ClientError, match="not open"):
            _ = stream.references
        assert await client.text_of(stream) == "Ada ♥ wrote it."
        assert [item.file_path for item in stream.references] == ["ada.txt"]
        assert (stream.text, stream.llm_generated, stream.response_time) == ("Ada ♥ wrote it.", True, 0.4)
        assert (stream.finish_reason, stream.is_cut, stream.model) == ("length", True, "m@p")
        with pytest.raises(ClientError, match="once"):
            await client.text_of(stream)
    assert scripted.asked[0].json == {"query": "Who wrote it?", "mode": "mix", "top_k": 3}
    assert scripted.asked[0].headers["accept"] == "text/event-stream"


async def test_what_a_stream_takes_back_is_no_part_of_its_text(connect: Connect, scripted: ScriptedServer) -> None:
    thought = event("token", response="Hmm.") + event("token", response="\n\n", takes_back=True)
    scripted.says(Says(pieces=(REFERENCES + thought, event("token", response="Ada.") + DONE), headers=EVENTS))
    async with connect(scripted.url) as client:
        stream = client.real.query.stream("Who wrote it?")
        assert await client.text_of(stream) == "Hmm.\n\nAda."
        assert stream.text == "Ada."


async def test_lines_of_json_are_read_too(connect: Connect, scripted: ScriptedServer) -> None:
    lines = b'{"references": [{"reference_id": "1"}]}\n{"response": "Ada "}\n{"response": "wrote it."}'
    scripted.says(Says(pieces=(lines[:30], lines[30:]), headers=LINES))
    async with connect(scripted.url) as client:
        stream = client.real.query.stream("Who wrote it?")
        assert await client.text_of(stream) == "Ada wrote it."
        assert len(stream.references) == 1


CUT = Says(pieces=(REFERENCES, event("token", response="Ada ")), headers=EVENTS, is_cut=True)
ENDED = Says(pieces=(REFERENCES, event("token", response="Ada ")), headers=EVENTS)
SAID = Says(pieces=(event("token", response="Ada "), event("error", error="the model is gone")), headers=EVENTS)
CUT_LINES = Says(pieces=(b'{"response": "Ada "}\n',), headers=LINES, is_cut=True)
SAID_LINES = Says(pieces=(b'{"response": "Ada "}\n', b'{"error": "the model is gone"}\n'), headers=LINES)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (CUT, "broke off"),
        (ENDED, "before it was complete"),
        (SAID, "the model is gone"),
        (CUT_LINES, "broke off"),
        (SAID_LINES, "the model is gone"),
    ],
    ids=["cut", "ended", "said", "cut lines", "said in lines"],
)
async def test_an_answer_that_is_not_complete_does_not_look_complete(
    connect: Connect, scripted: ScriptedServer, says: Says, reason: str
) -> None:
    scripted.says(says)
    async with connect(scripted.url) as client:
        with pytest.raises(AnswerBroken, match=reason) as caught:
            await client.text_of(client.real.query.stream("Who wrote it?"))
    assert caught.value.text == "Ada "


async def test_a_refused_stream_raises_as_other_calls_do(connect: Connect, scripted: ScriptedServer) -> None:
    scripted.says(Says({"detail": "no model"}, 502))
    async with connect(scripted.url) as client:
        with pytest.raises(ServerError, match="no model"):
            await client.text_of(client.real.query.stream("Who wrote it?"))
    assert len(scripted.asked) == 1


async def test_leaving_the_block_ends_the_answer(connect: Connect, scripted: ScriptedServer, kind: str) -> None:
    scripted.says(Says(pieces=(REFERENCES, event("token", response="Ada ")), headers=EVENTS, waits=True))

    def read_one(client: LightRAGClient) -> str:
        with client.query.stream("Who?") as stream:
            assert stream.references
            return next(iter(stream))

    async with connect(scripted.url) as client:
        if kind == "blocking":
            assert await asyncio.to_thread(read_one, client.real) == "Ada "
        else:
            async with client.real.query.stream("Who?") as stream:
                assert stream.references
                assert await anext(aiter(stream)) == "Ada "
        async with asyncio.timeout(60):
            await scripted.client_left.wait()


async def test_leaving_the_loop_ends_the_answer(connect: Connect, scripted: ScriptedServer, kind: str) -> None:
    scripted.says(Says(pieces=(REFERENCES, event("token", response="Ada ")), headers=EVENTS, waits=True))

    def read_one(client: LightRAGClient) -> None:
        for _ in client.query.stream("Who?"):
            break

    async with connect(scripted.url) as client:
        if kind == "blocking":
            await asyncio.to_thread(read_one, client.real)
        else:
            async for _ in client.real.query.stream("Who?"):
                break
        async with asyncio.timeout(60):
            await scripted.client_left.wait()
