"""Models of a workspace over HTTP, in the words of the interface's own documentation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightrag.testing.model_server import ModelServer, Reaction

from .conftest import Served

Client = httpx.AsyncClient
Open = Callable[..., AbstractAsyncContextManager[Client]]
SECRET = "sk-canary-5f2e9c71d0b84a"
BAD = "sk-wrong-00000000000000"


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    """A provider."""
    async with ModelServer(api_key=SECRET) as server:
        yield server


@pytest.fixture
def opened(scripted: Served, upstream: ModelServer) -> Open:
    """Serve with OpenAI at the stand-in's address."""

    @asynccontextmanager
    async def serve(**environ: str) -> AsyncIterator[Client]:
        environ = {"LIGHTRAG_LLM_PROVIDER_URLS": f"OpenAI={upstream.openai_url}"} | environ
        async with scripted(**environ) as (client, _):
            yield client

    return serve


PREFIXES = ["/llm", "/v1/llm"]


def said(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer's envelope, which says everything twice."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["retcode"] == (1 if 100 <= body["code"] < 200 else body["code"])
    return body


def data(answer: httpx.Response) -> Any:
    """Return what a successful answer carries."""
    body = said(answer)
    assert (body["retcode"], body["retmsg"], body["message"]) == (0, "success", "success"), body
    return body["data"]


GPT4 = {"llm_factory": "OpenAI", "llm_name": "gpt-4", "model_type": "chat", "api_key": SECRET, "max_tokens": 8192}


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_documented_calls_work_as_documented(opened: Open, prefix: str, upstream: ModelServer) -> None:
    async with opened() as client:
        factories = data(await client.get(f"{prefix}/factories"))
        openai = next(one for one in factories if one["name"] == "OpenAI")
        assert openai["tags"] == "LLM,TEXT EMBEDDING,TTS,TEXT RE-RANK,SPEECH2TEXT,MODERATION"
        assert (openai["status"], openai["rank"], openai["logo"]) == ("1", 999, "")
        assert openai["model_types"] == ["chat", "embedding", "image2text", "speech2text", "tts"]

        assert data(await client.post(f"{prefix}/add_llm", json=GPT4)) is True
        assert data(await client.get(f"{prefix}/list")) == {
            "OpenAI": [
                {
                    "llm_name": "gpt-4",
                    "model_type": "chat",
                    "fid": "OpenAI",
                    "available": True,
                    "status": "1",
                    "max_tokens": 8192,
                    "is_tools": True,
                }
            ]
        }
        mine = data(await client.get(f"{prefix}/my_llms", params={"include_details": "true"}))["OpenAI"]
        assert mine["tags"] == openai["tags"]
        [model] = mine["llm"]
        assert {name: model[name] for name in ("type", "name", "max_tokens", "status", "api_base")} == {
            "type": "chat",
            "name": "gpt-4",
            "max_tokens": 8192,
            "status": "1",
            "api_base": upstream.openai_url,
        }
        assert isinstance(model["used_token"], int)
        assert set(data(await client.get(f"{prefix}/my_llms"))["OpenAI"]["llm"][0]) == {
            "type",
            "name",
            "used_token",
            "status",
        }
        switch = {"llm_factory": "OpenAI", "llm_name": "gpt-4", "status": "0"}
        assert data(await client.post(f"{prefix}/enable_llm", json=switch)) is True
        [off] = data(await client.get(f"{prefix}/list", params={"model_type": "chat"}))["OpenAI"]
        assert (off["status"], off["available"]) == ("0", False)
        assert data(await client.post(f"{prefix}/enable_llm", json=switch | {"status": "1"})) is True
        assert data(await client.post(f"{prefix}/delete_llm", json={"llm_factory": "OpenAI", "llm_name": "gpt-4"}))
        assert data(await client.get(f"{prefix}/list")) == {}
        key = {"llm_factory": "OpenAI", "api_key": SECRET}
        assert data(await client.post(f"{prefix}/set_api_key", json=key)) is True
        assert len(data(await client.get(f"{prefix}/list"))["OpenAI"]) == 25
        assert data(await client.post(f"{prefix}/delete_factory", json={"llm_factory": "OpenAI"})) is True
        assert data(await client.get(f"{prefix}/my_llms")) == {}


async def test_the_key_reaches_the_provider_and_nobody_else(opened: Open, upstream: ModelServer) -> None:
    async with opened() as client:
        data(await client.post("/llm/add_llm", json=GPT4))
        [asked] = upstream.requests
        assert asked.path == "/v1/chat/completions"
        assert asked.headers["authorization"] == f"Bearer {SECRET}"
        for path in ("list", "my_llms?include_details=true", "credentials", "defaults", "effective", "factories"):
            assert SECRET not in (await client.get(f"/llm/{path}")).text
        [key] = data(await client.get("/llm/credentials"))
        assert (key["label"], key["key_state"], key["hint"]) == ("default", "set", "…b84a")


async def test_a_wrong_key_is_told_after_one_call_for_each_type_and_nothing_is_stored(
    opened: Open, upstream: ModelServer
) -> None:
    async with opened() as client:
        answer = said(await client.post("/llm/add_llm", json=GPT4 | {"api_key": BAD}))
        assert (answer["retcode"], answer["retmsg"]) == (1, "Fail to access model(gpt-4) using this api key.")
        assert answer["data"] is None
        assert BAD not in str(answer)
        assert len(upstream.requests) == 1
        answer = said(await client.post("/llm/set_api_key", json={"llm_factory": "OpenAI", "api_key": BAD}))
        assert answer["retcode"] == 1
        assert "Fail to access embedding model(" in answer["retmsg"]
        assert len(upstream.requests) <= 1 + 5
        assert data(await client.get("/llm/my_llms")) == {}
        assert data(await client.get("/llm/credentials")) == []


async def test_what_cannot_be_tried_is_stored_when_that_is_asked_for(opened: Open, upstream: ModelServer) -> None:
    async with opened() as client:
        data(await client.post("/llm/add_llm", json=GPT4 | {"api_key": BAD, "unverified": True}))
        [model] = data(await client.get("/llm/my_llms?include_details=true"))["OpenAI"]["llm"]
        assert model["is_verified"] is False
        assert upstream.requests == []


MISSING = "Missing required parameter: {}"
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("add_llm", {}, 101, MISSING.format("llm_factory")),
    ("add_llm", {"llm_factory": ""}, 101, MISSING.format("llm_factory")),
    ("add_llm", {"llm_factory": "OpenAI", "model_type": "chat"}, 101, MISSING.format("llm_name")),
    ("add_llm", {"llm_factory": "OpenAI", "llm_name": "gpt-4"}, 101, MISSING.format("model_type")),
    ("add_llm", GPT4 | {"api_key": ""}, 101, MISSING.format("api_key")),
    ("add_llm", GPT4 | {"llm_factory": "Nobody"}, 102, "LLM factory Nobody is not allowed"),
    ("add_llm", GPT4 | {"llm_factory": "Youdao"}, 102, "LLM factory Youdao is not allowed"),
    ("add_llm", GPT4 | {"model_type": "ocr"}, 102, "Unknown model type: ocr"),
    ("add_llm", GPT4 | {"model_type": "rerank"}, 102, "Re-rank model from OpenAI is not supported yet."),
    ("add_llm", GPT4 | {"llm_factory": "Jina"}, 102, "Chat model from Jina is not supported yet."),
    (
        "add_llm",
        GPT4 | {"llm_factory": "DeepSeek", "model_type": "embedding"},
        102,
        "Embedding model from DeepSeek is not supported yet.",
    ),
    (
        "add_llm",
        GPT4 | {"llm_factory": "Anthropic", "model_type": "tts"},
        102,
        "TTS model from Anthropic is not supported yet.",
    ),
    ("verify", {}, 101, MISSING.format("llm_factory")),
    ("delete_llm", {}, 101, MISSING.format("llm_factory")),
    ("enable_llm", {"llm_factory": "OpenAI", "status": "1"}, 101, MISSING.format("llm_name")),
    ("add_llm", GPT4 | {"llm_factory": "VLLM", "api_base": ""}, 101, MISSING.format("api_base")),
    ("set_api_key", {"llm_factory": "OpenAI"}, 101, MISSING.format("api_key")),
    ("set_api_key", {"api_key": "sk-x"}, 101, MISSING.format("llm_factory")),
    ("delete_llm", {"llm_factory": "OpenAI"}, 101, MISSING.format("llm_name")),
    ("enable_llm", {"llm_name": "gpt-4"}, 101, MISSING.format("llm_factory")),
    ("delete_factory", {}, 101, MISSING.format("llm_factory")),
]


async def test_mistakes_are_told_in_the_documented_words(opened: Open, upstream: ModelServer) -> None:
    async with opened() as client:
        for path, fields, code, message in REFUSED:
            answer = said(await client.post(f"/llm/{path}", json=fields))
            assert (answer["retcode"], answer["code"], answer["retmsg"]) == (1, code, message)
            assert answer["message"] == message
            assert answer["data"] is None
        assert data(await client.get("/llm/my_llms")) == {}
    assert upstream.requests == []


async def test_models_that_are_added_at_once_are_all_there(opened: Open) -> None:
    models = ["gpt-4", "gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1"]
    calls = [("add_llm", GPT4 | {"llm_name": name}) for name in models]
    calls += [("set_api_key", {"llm_factory": "OpenAI", "api_key": SECRET})] * 2
    async with opened() as client:
        answers = await asyncio.gather(*(client.post(f"/llm/{path}", json=fields) for path, fields in calls))
        assert [said(answer)["retmsg"] for answer in answers] == ["success"] * len(calls)
        listed = data(await client.get("/llm/list"))["OpenAI"]
        assert len(listed) == len({(model["llm_name"], model["model_type"]) for model in listed})
        assert set(models) <= {model["llm_name"] for model in listed}
        assert [key["label"] for key in data(await client.get("/llm/credentials"))] == ["default"]


ODD: list[dict[str, Any]] = [
    {"max_tokens": -1},
    {"max_tokens": "many"},
    {"max_tokens": 10**9},
    {"max_tokens": True},
    {"max_tokens": 9000},
    {"max_tokens": "--5"},
    {"llm_name": "x" * 256},
    {"llm_name": "gpt\ud8004"},
    {"llm_name": "a\x00b"},
    {"llm_name": 4},
    {"llm_factory": ["OpenAI"]},
    {"api_key": "sk with spaces"},
    {"api_key": "sk-ключ"},
    {"api_key": "x" * 20_000},
    {"api_key": '{"api_key": '},
    {"api_key": ["a"]},
    {"api_base": "ftp://localhost/v1"},
    {"api_base": "localhost:8000"},
    {"api_base": "http://user:pw@localhost/v1"},
    {"api_base": "http://localhost/v1?key=1"},
    {"api_base": "http://localhost:99999/v1"},
    {"api_base": "http://[::1"},
    {"api_base": "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/v1"},
    {"api_base": "http://a\u200db.example/v1"},
    {"api_base": "http://169.254.169.254/latest"},
    {"api_base": "http://10.0.0.1/v1"},
    {"api_base": "http://0.0.0.0/v1"},
    {"api_base": "http://[fe80::1]/v1"},
    {"api_base": "http://2852039166/"},
    {"api_base": "http://metadata.google.internal/computeMetadata"},
    {"credential": "../x"},
    {"credential": "x" * 64},
    {"weight": -1},
    {"price_in": "cheap"},
    {"verify": "perhaps"},
]


async def test_what_is_malformed_or_forbidden_is_refused_and_changes_nothing(
    opened: Open, upstream: ModelServer
) -> None:
    async with opened() as client:
        for change in ODD:
            answer = said(await client.post("/llm/add_llm", content=json.dumps(GPT4 | change)))
            assert answer["retcode"] == 1, change
            assert "sk-" not in answer["message"]
        for body in (b"[]", b"{", b"\xff", b"[" * 100_000, b'"x"', b"12"):
            assert said(await client.post("/llm/add_llm", content=body))["retcode"] == 1
        assert data(await client.get("/llm/my_llms")) == {}
        assert data(await client.get("/llm/credentials")) == []
    assert upstream.requests == []


async def test_forms_are_read_as_well(opened: Open) -> None:
    async with opened() as client:
        data(await client.post("/llm/add_llm", data={name: str(value) for name, value in GPT4.items()}))
        assert "OpenAI" in data(await client.get("/llm/list"))


async def test_json_is_read_where_its_content_type_says_form_as_curl_does(opened: Open) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with opened() as client:
        data(await client.post("/llm/add_llm", content=json.dumps(GPT4, indent=1), headers=form))
        assert "OpenAI" in data(await client.get("/llm/list"))
        for broken in (b'{"llm_factory": ', b"[]"):
            answer = said(await client.post("/llm/add_llm", content=broken, headers=form))
            assert "JSON object" in answer["message"]


async def test_a_stored_key_stays_when_it_is_not_entered_anew(opened: Open, upstream: ModelServer) -> None:
    async with opened() as client:
        data(await client.post("/llm/add_llm", json=GPT4))
        edit = {"llm_factory": "OpenAI", "llm_name": "gpt-4", "model_type": "chat", "max_tokens": 4000}
        for key in ({}, {"api_key": ""}, {"api_key": None}):
            data(await client.post("/llm/add_llm", json=edit | key))
        assert upstream.requests[-1].headers["authorization"] == f"Bearer {SECRET}"
        [model] = data(await client.get("/llm/my_llms?include_details=1"))["OpenAI"]["llm"]
        assert model["max_tokens"] == 4000


async def test_a_stored_key_is_never_sent_to_another_address(opened: Open) -> None:
    async with opened() as client, ModelServer() as thief:
        data(await client.post("/llm/add_llm", json=GPT4))
        fields = {"llm_factory": "OpenAI", "llm_name": "gpt-4", "model_type": "chat", "api_base": thief.openai_url}
        for path in ("add_llm", "verify", "set_api_key"):
            for more in ({}, {"unverified": True}, {"credential": "default"}):
                answer = said(await client.post(f"/llm/{path}", json=fields | more))
                assert answer["code"] != 0
                assert "enter the key again" in answer["message"]
        assert thief.requests == []
        assert "127.0.0.1:" in str(data(await client.get("/llm/credentials")))
        assert thief.url not in str(data(await client.get("/llm/credentials")))


async def test_a_redirect_to_another_host_is_not_followed(scripted: Served) -> None:
    async with ModelServer() as thief:
        moved = Reaction.status_code(307, message="moved")
        async with ModelServer(react=lambda _path, _body: moved) as upstream, scripted() as (client, _):
            fields = GPT4 | {"llm_factory": "VLLM", "api_base": upstream.openai_url}
            assert said(await client.post("/llm/add_llm", json=fields))["retcode"] == 1
        assert thief.requests == []


async def test_a_model_in_use_is_deleted_only_by_force(opened: Open) -> None:
    async with opened() as client:
        data(await client.post("/llm/add_llm", json=GPT4))
        data(await client.put("/llm/defaults", json={"chat": "gpt-4@OpenAI", "answer": ["gpt-4@OpenAI"]}))
        gone = {"llm_factory": "OpenAI", "llm_name": "gpt-4"}
        for path, fields in (("delete_llm", gone), ("delete_factory", {"llm_factory": "OpenAI"})):
            refused = await client.post(f"/llm/{path}", json=fields)
            assert refused.status_code == 409
            assert refused.json()["code"] == 409
            assert "answer, chat" in refused.json()["message"]
        data(await client.post("/llm/delete_llm", json=gone | {"force": True}))
        assert not any(data(await client.get("/llm/defaults")).values())
        assert data(await client.get("/llm/credentials")) == []


async def test_defaults_name_models_of_the_workspace_of_the_right_type(opened: Open) -> None:
    async with opened() as client:
        data(await client.post("/llm/set_api_key", json={"llm_factory": "OpenAI", "api_key": SECRET}))
        wrong = [
            {"chat": "text-embedding-3-small@OpenAI"},
            {"chat": "unknown@OpenAI"},
            {"chat": "gpt-4@Nobody"},
            {"chat": "gpt-4"},
            {"chat": 3},
            {"nothing": "gpt-4@OpenAI"},
            {"chat": ["gpt-4@OpenAI", "gpt-4@OpenAI"]},
            {"embedding": ["text-embedding-3-small@OpenAI", "text-embedding-3-large@OpenAI"]},
            {},
        ]
        for fields in wrong:
            assert said(await client.put("/llm/defaults", json=fields))["retcode"] == 1, fields
        chain = ["gpt-4@OpenAI", "gpt-3.5-turbo@OpenAI"]
        data(await client.put("/llm/defaults", json={"chat": chain, "embedding": "text-embedding-3-small@OpenAI"}))
        assert data(await client.get("/llm/defaults"))["chat"] == chain
        effective = data(await client.get("/llm/effective"))
        assert effective["answer"] == {"models": chain, "source": "workspace default for the type"}
        assert effective["rerank"]["source"] == "server"
        data(await client.put("/llm/defaults", json={"chat": None}))
        assert data(await client.get("/llm/defaults"))["chat"] == []


async def test_two_keys_of_one_provider_stand_side_by_side(opened: Open) -> None:
    async with opened() as client:
        data(await client.post("/llm/set_api_key", json={"llm_factory": "OpenAI", "api_key": SECRET}))
        second = {"llm_factory": "OpenAI", "api_key": BAD, "credential": "team b", "unverified": True}
        data(await client.put("/llm/credentials", json=second))
        keys = data(await client.get("/llm/credentials"))
        assert [(key["label"], key["is_verified"]) for key in keys] == [("default", True), ("team b", False)]
        assert keys[0]["fingerprint"] != keys[1]["fingerprint"]
        data(await client.delete("/llm/credentials", params={"llm_factory": "OpenAI", "credential": "team b"}))
        assert [key["label"] for key in data(await client.get("/llm/credentials"))] == ["default"]


async def test_trying_stores_nothing(opened: Open) -> None:
    async with opened() as client:
        good = data(await client.post("/llm/verify", json=GPT4))
        assert good["success"] is True
        assert good["outcomes"][0]["model_type"] == "chat"
        bad = data(await client.post("/llm/verify", json=GPT4 | {"api_key": BAD}))
        assert bad["success"] is False
        assert data(await client.post("/llm/add_llm", json=GPT4 | {"verify": True}))["success"] is True
        assert data(await client.get("/llm/credentials")) == []


async def test_workspaces_know_nothing_of_each_others_models(opened: Open) -> None:
    async with opened() as client:
        one, two = {"LIGHTRAG-WORKSPACE": "one"}, {"X-Workspace-ID": "two"}
        data(await client.post("/llm/add_llm", json=GPT4, headers=one))
        assert data(await client.get("/llm/my_llms", headers=two)) == {}
        assert data(await client.get("/llm/my_llms")) == {}
        gone = {"llm_factory": "OpenAI", "llm_name": "gpt-4"}
        assert said(await client.post("/llm/delete_llm", json=gone, headers=two))["code"] == 102
        data(await client.post("/llm/add_llm", json=GPT4 | {"unverified": True}, headers=two))
        marks = [
            data(await client.get("/llm/credentials", headers=headers))[0]["fingerprint"] for headers in (one, two)
        ]
        assert marks[0] != marks[1]
        data(await client.post("/llm/delete_llm", json=gone, headers=two))
        assert "OpenAI" in data(await client.get("/llm/my_llms", headers=one))


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_access_errors_have_their_status_and_the_envelope(opened: Open, prefix: str) -> None:
    async with opened(LIGHTRAG_API_KEY="server-key") as client:
        refused = await client.get(f"{prefix}/factories")
        assert refused.status_code == refused.json()["code"] == refused.json()["retcode"] == 403
        assert refused.json()["detail"] == "API Key required"
        key = {"X-API-Key": "server-key"}
        assert (await client.get(f"{prefix}/factories", headers=key)).status_code == 200
        wrong = await client.get(f"{prefix}/list", headers=key | {"LIGHTRAG-WORKSPACE": "a/b"})
        assert wrong.status_code == 400
        assert wrong.json()["message"].startswith("Invalid workspace identifier 'a/b'")
        made = await client.post("/access/tokens", json={"roles": {"": "reader"}}, headers=key)
        if made.status_code != 201:
            data(await client.post(f"{prefix}/add_llm", json=GPT4, headers=key | {"LIGHTRAG-WORKSPACE": "one"}))
            made = await client.post("/access/tokens", json={"roles": {"one": "reader"}}, headers=key)
        reader = {"Authorization": f"Bearer {made.json()['token']}", "LIGHTRAG-WORKSPACE": "one"}
        assert (await client.get(f"{prefix}/my_llms", headers=reader)).status_code == 200
        refused = await client.post(f"{prefix}/add_llm", json=GPT4, headers=reader)
        assert (refused.status_code, refused.json()["code"]) == (403, 403)
        stranger = await client.get(f"{prefix}/list", headers={"Authorization": "Bearer lrt_wrong"})
        assert stranger.status_code == stranger.json()["code"] == 401
        assert stranger.json()["message"] == "<Unauthorized '401: Unauthorized'>"


def contents_below(folder: Path) -> bytes:
    """Return all bytes of all files."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_a_key_shows_up_nowhere(
    opened: Open, upstream: ModelServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = [SECRET, BAD, "canary-sk-of-bedrock-77"]
    answers: list[httpx.Response] = []
    bedrock = {"bedrock_ak": BAD, "bedrock_sk": canaries[2], "bedrock_region": "us-east-1"}
    async with opened() as client:
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "add_llm", GPT4),
            ("POST", "add_llm", GPT4 | {"api_key": BAD}),
            ("POST", "set_api_key", {"llm_factory": "OpenAI", "api_key": BAD}),
            ("POST", "add_llm", GPT4 | {"llm_factory": "Bedrock", "unverified": True} | bedrock),
            ("POST", "add_llm", GPT4 | {"api_base": f"http://user:{SECRET}@localhost/v1"}),
            ("POST", "add_llm", GPT4 | {"api_base": f"http://localhost/v1?key={SECRET}"}),
            ("POST", "add_llm", GPT4 | {"llm_name": "unknown", "api_key": '{"api_key": "' + SECRET}),
            ("POST", "verify", GPT4 | {"api_key": BAD}),
            ("PUT", "credentials", GPT4 | {"credential": "b"}),
            ("PUT", "defaults", {"chat": "gpt-4@OpenAI"}),
            ("POST", "delete_llm", {"llm_factory": "OpenAI", "llm_name": "gpt-4"}),
        ]
        for method, path, fields in calls:
            answers.append(await client.request(method, f"/llm/{path}", json=fields))
        upstream.script(Reaction.status_code(500, message=f"internal: {SECRET} failed"))
        answers.append(await client.post("/llm/add_llm", json=GPT4))
        paths = ("/llm/list", "/llm/my_llms?include_details=true", "/llm/credentials", "/audit", "/metrics")
        answers += [await client.get(path) for path in paths]
    files = contents_below(tmp_path)
    assert len(files) > 10_000
    for canary in canaries:
        for answer in answers:
            assert canary not in answer.text + str(answer.headers)
        assert canary not in caplog.text
        assert canary.encode() not in files
